//! Decides whether a call is authorized, from the credential, the key found for it, and the time
//! alone.

pub use domain::event::Why;
use domain::key::{KeyRecord, KeyStatus};
use domain::time::UnixMillis;

use crate::limits::Limited;
use crate::request::Credential;

/// Hex digits of an unknown key's hash in an event.
const HASH_DIGITS: usize = 8;

/// The API-key table's result for a hash.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(
    clippy::large_enum_variant,
    reason = "one a call, and never kept: a box would cost more"
)]
pub enum Found {
    /// The key exists.
    Known(KeyRecord),
    /// The key does not exist.
    Unknown,
    /// The key was not looked up: its address has tried too many unknown ones.
    Untried,
    /// The key was not looked up: its address is blocked.
    Blocked,
    /// The table did not respond, and the cache does not know the key.
    Unavailable,
}

/// The decision about a call.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(
    clippy::large_enum_variant,
    reason = "one a call, and never kept: a box would cost more"
)]
pub enum Decision {
    /// The call is authorized.
    Allow(KeyRecord),
    /// The call is refused.
    Refuse(Refused),
    /// The call is authorized, and over a limit.
    Limit(KeyRecord, Limited),
    /// The key cannot be looked up: the gateway responds 500, and no event is reported.
    Undecided,
}

/// A refused call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The reason.
    pub why: Why,
    /// The key, if it exists: it identifies the user.
    pub key: Option<KeyRecord>,
    /// Id of the key; for an unknown key, the first digits of its hash.
    pub key_id: Option<String>,
}

/// Decides at `now`. `found` matters for a well-formed credential only; others are never looked up.
pub fn decide(credential: &Credential, found: Found, now: UnixMillis) -> Decision {
    let (hash, found) = match credential {
        Credential::Missing => return refuse(Why::Missing, None),
        Credential::Malformed { hash } => return refuse(Why::Malformed, Some(hash)),
        Credential::WellFormed { hash } => (hash, found),
    };
    match found {
        Found::Unavailable => Decision::Undecided,
        Found::Unknown => refuse(Why::Unknown, Some(hash)),
        Found::Untried => refuse(Why::Untried, Some(hash)),
        Found::Blocked => refuse(Why::Blocked, Some(hash)),
        Found::Known(key) => match key.status(now) {
            KeyStatus::Active | KeyStatus::Grace if key.more.user.blocked_at.is_some() => {
                refuse_known(Why::Blocked, key)
            }
            KeyStatus::Active | KeyStatus::Grace => Decision::Allow(key),
            KeyStatus::Expired => refuse_known(Why::Expired, key),
            KeyStatus::Revoked => refuse_known(Why::Revoked, key),
        },
    }
}

/// Refuses a call for a reason other than its key.
pub fn refuse_call(why: Why) -> Decision {
    refuse(why, None)
}

fn refuse(why: Why, hash: Option<&String>) -> Decision {
    Decision::Refuse(Refused {
        why,
        key: None,
        key_id: hash.map(|hash| hash.chars().take(HASH_DIGITS).collect()),
    })
}

fn refuse_known(why: Why, key: KeyRecord) -> Decision {
    Decision::Refuse(Refused {
        why,
        key_id: Some(key.id.clone()),
        key: Some(key),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::key::KeyDetails;

    const NOW: UnixMillis = UnixMillis(1_795_363_445_000);
    const HASH: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn key(expires_in: Option<i64>, revoked_in: Option<i64>) -> KeyRecord {
        KeyRecord {
            key_hash: HASH.to_owned(),
            id: "key_1".to_owned(),
            prefix: "complical_0bPE".to_owned(),
            email: "ann@example.com".to_owned(),
            plan: "free".to_owned(),
            created_at: NOW.plus_days(-30),
            expires_at: expires_in.map(|millis| NOW.plus_millis(millis)),
            revoked_at: revoked_in.map(|millis| NOW.plus_millis(millis)),
            more: KeyDetails::default(),
        }
    }

    fn with(change: impl FnOnce(&mut KeyDetails)) -> KeyRecord {
        let mut key = key(None, None);
        change(&mut key.more);
        key
    }

    fn refused(why: Why, key: Option<KeyRecord>, key_id: Option<&str>) -> Decision {
        Decision::Refuse(Refused {
            why,
            key,
            key_id: key_id.map(str::to_owned),
        })
    }

    #[test]
    fn every_state_of_key_and_table_has_its_answer() {
        let missing = Credential::Missing;
        let malformed = Credential::Malformed {
            hash: HASH.to_owned(),
        };
        let sound = Credential::WellFormed {
            hash: HASH.to_owned(),
        };
        let known = |expires_in, revoked_in| Found::Known(key(expires_in, revoked_in));
        let hashed = Some("ba7816bf");
        let by_id = Some("key_1");
        let table = [
            (&missing, Found::Unknown, refused(Why::Missing, None, None)),
            (
                &missing,
                Found::Unavailable,
                refused(Why::Missing, None, None),
            ),
            (
                &missing,
                known(None, None),
                refused(Why::Missing, None, None),
            ),
            (
                &malformed,
                Found::Unknown,
                refused(Why::Malformed, None, hashed),
            ),
            (
                &malformed,
                Found::Unavailable,
                refused(Why::Malformed, None, hashed),
            ),
            (
                &malformed,
                known(None, None),
                refused(Why::Malformed, None, hashed),
            ),
            (&sound, Found::Unknown, refused(Why::Unknown, None, hashed)),
            (&sound, Found::Unavailable, Decision::Undecided),
            (&sound, known(None, None), Decision::Allow(key(None, None))),
            (
                &sound,
                known(Some(1), None),
                Decision::Allow(key(Some(1), None)),
            ),
            (
                &sound,
                known(Some(0), None),
                refused(Why::Expired, Some(key(Some(0), None)), by_id),
            ),
            (
                &sound,
                known(Some(-1), None),
                refused(Why::Expired, Some(key(Some(-1), None)), by_id),
            ),
            (
                &sound,
                known(None, Some(-1)),
                refused(Why::Revoked, Some(key(None, Some(-1))), by_id),
            ),
            (
                &sound,
                known(Some(1), Some(-1)),
                refused(Why::Revoked, Some(key(Some(1), Some(-1))), by_id),
            ),
            (&sound, Found::Untried, refused(Why::Untried, None, hashed)),
            (&sound, Found::Blocked, refused(Why::Blocked, None, hashed)),
            (
                &sound,
                Found::Known(with(|key| key.grace_until = Some(NOW.plus_millis(1)))),
                Decision::Allow(with(|key| key.grace_until = Some(NOW.plus_millis(1)))),
            ),
            (
                &sound,
                Found::Known(with(|key| key.grace_until = Some(NOW))),
                refused(
                    Why::Expired,
                    Some(with(|key| key.grace_until = Some(NOW))),
                    by_id,
                ),
            ),
            (
                &sound,
                Found::Known(with(|key| key.user.blocked_at = Some(NOW))),
                refused(
                    Why::Blocked,
                    Some(with(|key| key.user.blocked_at = Some(NOW))),
                    by_id,
                ),
            ),
            (
                &sound,
                known(Some(-1), Some(-1)),
                refused(Why::Revoked, Some(key(Some(-1), Some(-1))), by_id),
            ),
        ];
        for (credential, found, expected) in table {
            let case = format!("{credential:?} with {found:?}");
            assert_eq!(decide(credential, found, NOW), expected, "{case}");
        }
    }
}
