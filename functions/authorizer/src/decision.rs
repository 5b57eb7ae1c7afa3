//! Who may call: decided from what was presented, what the table of keys says of it, and the time.
//! Nothing else is known here.

use domain::key::{KeyRecord, KeyStatus};
use domain::time::UnixMillis;

use crate::request::Credential;

/// Hex digits of an unknown key's hash by which an event tells it from others.
const HASH_DIGITS: usize = 8;

/// What the table of keys says of a hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// There is such a key.
    Known(KeyRecord),
    /// There is no such key.
    Unknown,
    /// The table did not say, and nothing of late is remembered.
    Unavailable,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// The call goes through.
    Allow(KeyRecord),
    /// It does not.
    Refuse(Refused),
    /// It cannot be said: the gateway answers 500, and nothing is reported.
    Undecided,
}

/// A call that does not go through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Why not.
    pub why: Why,
    /// The key by which the user is known, where there is one.
    pub key: Option<KeyRecord>,
    /// Id of the key; of an unknown one the first digits of its hash.
    pub key_id: Option<String>,
}

/// Why a call does not go through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It came without a key.
    Missing,
    /// What it came with is no key.
    Malformed,
    /// No such key was ever made.
    Unknown,
    /// The key's time is over.
    Expired,
    /// The key was revoked.
    Revoked,
}

/// Decides at `now`. `found` is what the table says of a well-formed credential's hash; of others
/// it is not asked.
pub fn decide(credential: &Credential, found: Found, now: UnixMillis) -> Decision {
    let (hash, found) = match credential {
        Credential::Missing => return refuse(Why::Missing, None),
        Credential::Malformed { hash } => return refuse(Why::Malformed, Some(hash)),
        Credential::WellFormed { hash } => (hash, found),
    };
    match found {
        Found::Unavailable => Decision::Undecided,
        Found::Unknown => refuse(Why::Unknown, Some(hash)),
        Found::Known(key) => match key.status(now) {
            KeyStatus::Active => Decision::Allow(key),
            KeyStatus::Expired => refuse_known(Why::Expired, key),
            KeyStatus::Revoked => refuse_known(Why::Revoked, key),
        },
    }
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
        }
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
