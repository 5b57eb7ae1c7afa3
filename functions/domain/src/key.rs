//! API keys: their form, their stored record, and when they are valid.
//!
//! A key is `{prefix}_{33 base-62 digits of 192 random bits}{6 base-62 digits of their CRC-32}`.
//! The checksum exposes a mistyped or invented key without a look-up. Only the SHA-256 of the whole
//! key is ever stored.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::limit::{Limits, Rate};
use crate::plan::Plan;
use crate::time::UnixMillis;

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Base-62 digits that hold 64 bits.
const WORD_DIGITS: usize = 11;
const CHECKSUM_DIGITS: usize = 6;
const SECRET_DIGITS: usize = 3 * WORD_DIGITS;
/// Digits of the secret that lists show, so that an owner recognises a key.
const SHOWN_DIGITS: usize = 4;

/// The expression by which secret scanners find keys of `prefix`. A match is a key only if its
/// checksum is right.
pub fn scanner_pattern(prefix: &str) -> String {
    format!(
        "\\b{prefix}_[0-9A-Za-z]{{{}}}\\b",
        SECRET_DIGITS + CHECKSUM_DIGITS
    )
}

/// A well-formed API key. Never printed by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    /// The key made of 24 random bytes.
    pub fn mint(prefix: &str, random: [u8; 24]) -> Self {
        let (words, _) = random.as_chunks::<8>();
        let secret: String = words
            .iter()
            .map(|word| base62(u64::from_be_bytes(*word), WORD_DIGITS))
            .collect();
        let checksum = checksum(&secret);
        Self(format!("{prefix}_{secret}{checksum}"))
    }

    /// The key in `text`, unless its form or checksum is wrong.
    pub fn parse(text: &str) -> Option<Self> {
        let (prefix, rest) = text.rsplit_once('_')?;
        let (secret, sum) = rest.split_at_checked(SECRET_DIGITS)?;
        let sound = !prefix.is_empty()
            && text.len() <= 128
            && secret.bytes().all(|digit| digit.is_ascii_alphanumeric())
            && checksum(secret) == sum;
        sound.then(|| Self(text.to_owned()))
    }

    /// The key itself, to be shown once.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// SHA-256 of the key in lower-case hex, as it is stored and looked up.
    pub fn hash(&self) -> String {
        hash(&self.0)
    }

    /// Prefix and first digits, which lists show.
    pub fn shown(&self) -> &str {
        let secret = self.0.rfind('_').map_or(0, |at| at + 1);
        self.0.get(..secret + SHOWN_DIGITS).unwrap_or_default()
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKey({}…)", self.shown())
    }
}

/// SHA-256 of a presented key of any form, in lower-case hex.
pub fn hash(presented: &str) -> String {
    use fmt::Write as _;
    Sha256::digest(presented.as_bytes())
        .iter()
        .fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}

fn checksum(secret: &str) -> String {
    base62(crc32fast::hash(secret.as_bytes()).into(), CHECKSUM_DIGITS)
}

fn base62(mut value: u64, digits: usize) -> String {
    let mut text = vec![b'0'; digits];
    for place in text.iter_mut().rev() {
        let digit = usize::try_from(value % 62).unwrap_or(0);
        *place = DIGITS.get(digit).copied().unwrap_or(b'0');
        value /= 62;
    }
    text.into_iter().map(char::from).collect()
}

/// Attribute names of the API-key table.
pub mod attribute {
    /// Partition key: SHA-256 of the key.
    pub const KEY_HASH: &str = "keyHash";
    /// The key's id, by which people refer to it.
    pub const ID: &str = "id";
    /// The part of the key that lists show.
    pub const PREFIX: &str = "prefix";
    /// The user.
    pub const EMAIL: &str = "email";
    /// The user's plan.
    pub const PLAN: &str = "plan";
    /// When the key was created.
    pub const CREATED_AT: &str = "createdAt";
    /// When the key stops working; absent if never.
    pub const EXPIRES_AT: &str = "expiresAt";
    /// When the key was revoked; absent if it was not.
    pub const REVOKED_AT: &str = "revokedAt";
    /// When the key stops working because another replaces it.
    pub const GRACE_UNTIL: &str = "graceUntil";
    /// Id of the key that this one replaces.
    pub const REPLACES: &str = "replaces";
    /// When the key was last used, to the hour.
    pub const LAST_USED_AT: &str = "lastUsedAt";
    /// Calls per second for this key alone.
    pub const KEY_RATE: &str = "keyRatePerSecond";
    /// Burst for this key alone.
    pub const KEY_BURST: &str = "keyBurst";
    /// Calls per second for the user, overriding the plan's.
    pub const USER_RATE: &str = "userRatePerSecond";
    /// Burst for the user, overriding the plan's.
    pub const USER_BURST: &str = "userBurst";
    /// The user's quota, overriding the plan's: a number, or `none`.
    pub const USER_QUOTA: &str = "userMonthlyQuota";
    /// When the user was blocked; absent if it is not.
    pub const USER_BLOCKED_AT: &str = "userBlockedAt";
}

/// A user's quota that overrides the plan's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Quota {
    /// This many units per period.
    Calls(u64),
    /// No limit.
    None,
}

impl Quota {
    /// The number of units; `None` for no limit.
    pub const fn calls(self) -> Option<u64> {
        match self {
            Self::Calls(calls) => Some(calls),
            Self::None => None,
        }
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Calls(calls) => calls.fmt(f),
            Self::None => f.write_str("none"),
        }
    }
}

impl FromStr for Quota {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self::None);
        }
        let calls = text.parse().map(Self::Calls);
        calls.map_err(|_| format!("invalid quota `{text}`: expected a number of calls, or `none`"))
    }
}

/// A user's settings that override the plan. Every key of the user carries them, so that one
/// look-up finds both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UserSettings {
    /// Calls per second, over all keys.
    pub rate_per_second: Option<u32>,
    /// Burst, over all keys.
    pub burst: Option<u32>,
    /// Units per period, over all keys.
    pub monthly_quota: Option<Quota>,
    /// When the user was blocked.
    pub blocked_at: Option<UnixMillis>,
}

/// The stored record of a key. Every attribute is a string; times are RFC 3339.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// SHA-256 of the key.
    pub key_hash: String,
    /// The key's id.
    pub id: String,
    /// The part of the key that lists show.
    pub prefix: String,
    /// The user, lower-cased.
    pub email: String,
    /// The user's plan.
    pub plan: String,
    /// When the key was created.
    pub created_at: UnixMillis,
    /// When the key stops working.
    pub expires_at: Option<UnixMillis>,
    /// When the key was revoked.
    pub revoked_at: Option<UnixMillis>,
    /// Details that only some keys have.
    pub more: KeyDetails,
}

/// Details that only some keys have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyDetails {
    /// When the key stops working because another replaces it.
    pub grace_until: Option<UnixMillis>,
    /// Id of the key that this one replaces.
    pub replaces: Option<String>,
    /// When the key was last used, to the hour.
    pub last_used_at: Option<UnixMillis>,
    /// The rate limit of this key alone, within the user's.
    pub rate: Option<Rate>,
    /// The user's settings that override the plan.
    pub user: UserSettings,
}

/// Whether a key is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyStatus {
    /// Valid.
    Active,
    /// Valid until its grace period ends: another key replaces it.
    Grace,
    /// No longer valid: it has expired.
    Expired,
    /// No longer valid: it was revoked.
    Revoked,
}

impl KeyStatus {
    /// The status as lists show it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Grace => "grace",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

/// An item of the API-key table that is not a valid key record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("key item lacks a usable `{attribute}`")]
pub struct BadKeyItem {
    attribute: &'static str,
}

impl KeyRecord {
    /// The item's attributes.
    pub fn attributes(&self) -> Vec<(&'static str, String)> {
        let mut attributes = vec![
            (attribute::KEY_HASH, self.key_hash.clone()),
            (attribute::ID, self.id.clone()),
            (attribute::PREFIX, self.prefix.clone()),
            (attribute::EMAIL, self.email.clone()),
            (attribute::PLAN, self.plan.clone()),
            (attribute::CREATED_AT, self.created_at.to_string()),
        ];
        let time = |time: Option<UnixMillis>| time.map(|time| time.to_string());
        let number = |number: Option<u32>| number.map(|number| number.to_string());
        let (more, user) = (&self.more, &self.more.user);
        let optional = [
            (attribute::EXPIRES_AT, time(self.expires_at)),
            (attribute::REVOKED_AT, time(self.revoked_at)),
            (attribute::GRACE_UNTIL, time(more.grace_until)),
            (attribute::REPLACES, more.replaces.clone()),
            (attribute::LAST_USED_AT, time(more.last_used_at)),
            (
                attribute::KEY_RATE,
                number(more.rate.map(|rate| rate.per_second)),
            ),
            (
                attribute::KEY_BURST,
                number(more.rate.map(|rate| rate.burst)),
            ),
            (attribute::USER_RATE, number(user.rate_per_second)),
            (attribute::USER_BURST, number(user.burst)),
            (
                attribute::USER_QUOTA,
                user.monthly_quota.map(|quota| quota.to_string()),
            ),
            (attribute::USER_BLOCKED_AT, time(user.blocked_at)),
        ];
        let present = optional.into_iter();
        attributes.extend(present.filter_map(|(name, value)| Some((name, value?))));
        attributes
    }

    /// Reads the record from an item's attributes.
    pub fn from_attributes<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Result<Self, BadKeyItem> {
        let text = |attribute| {
            get(attribute)
                .map(str::to_owned)
                .ok_or(BadKeyItem { attribute })
        };
        let time = |attribute| parsed::<UnixMillis>(&get, attribute);
        let number = |attribute| parsed::<u32>(&get, attribute);
        Ok(Self {
            key_hash: text(attribute::KEY_HASH)?,
            id: text(attribute::ID)?,
            prefix: text(attribute::PREFIX)?,
            email: text(attribute::EMAIL)?,
            plan: text(attribute::PLAN)?,
            created_at: time(attribute::CREATED_AT)?.ok_or(BadKeyItem {
                attribute: attribute::CREATED_AT,
            })?,
            expires_at: time(attribute::EXPIRES_AT)?,
            revoked_at: time(attribute::REVOKED_AT)?,
            more: KeyDetails {
                grace_until: time(attribute::GRACE_UNTIL)?,
                replaces: get(attribute::REPLACES).map(str::to_owned),
                last_used_at: time(attribute::LAST_USED_AT)?,
                rate: number(attribute::KEY_RATE)?
                    .zip(number(attribute::KEY_BURST)?)
                    .map(|(per_second, burst)| Rate { per_second, burst }),
                user: UserSettings {
                    rate_per_second: number(attribute::USER_RATE)?,
                    burst: number(attribute::USER_BURST)?,
                    monthly_quota: parsed(&get, attribute::USER_QUOTA)?,
                    blocked_at: time(attribute::USER_BLOCKED_AT)?,
                },
            },
        })
    }

    /// Whether the key is valid at `now`. Revocation outweighs expiry.
    pub fn status(&self, now: UnixMillis) -> KeyStatus {
        let is_over = |end: Option<UnixMillis>| end.is_some_and(|end| end <= now);
        if self.revoked_at.is_some() {
            KeyStatus::Revoked
        } else if is_over(self.expires_at) || is_over(self.more.grace_until) {
            KeyStatus::Expired
        } else if self.more.grace_until.is_some() {
            KeyStatus::Grace
        } else {
            KeyStatus::Active
        }
    }

    /// Whether calls with the key are accepted at `now`, as far as the key goes.
    pub fn works(&self, now: UnixMillis) -> bool {
        matches!(self.status(now), KeyStatus::Active | KeyStatus::Grace)
    }

    /// When the key stops working, unless it is revoked before.
    pub fn ends_at(&self) -> Option<UnixMillis> {
        let ends = [self.expires_at, self.more.grace_until];
        ends.into_iter().flatten().min()
    }

    /// When the key stops working if another replaces it at `now` with this grace period: never
    /// later than it would have without.
    pub fn grace_end(&self, now: UnixMillis, grace_millis: i64) -> UnixMillis {
        let asked = now.plus_millis(grace_millis);
        self.ends_at().map_or(asked, |end| end.min(asked))
    }

    /// The limits of this key's user on `plan`, over all keys.
    pub fn user_limits(&self, plan: &Plan) -> Limits {
        let user = &self.more.user;
        Limits {
            rate: Rate {
                per_second: user.rate_per_second.unwrap_or(plan.rate_per_second).max(1),
                burst: user.burst.unwrap_or(plan.burst).max(1),
            },
            quota: plan.quota(user.monthly_quota),
        }
    }
}

fn parsed<'a, T: FromStr>(
    get: &impl Fn(&str) -> Option<&'a str>,
    attribute: &'static str,
) -> Result<Option<T>, BadKeyItem> {
    get(attribute)
        .map(|text| text.parse().map_err(|_| BadKeyItem { attribute }))
        .transpose()
}

/// An email address that cannot own a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{given}` is not an email that can own a key: expected ASCII `local@domain` of at most 254 characters, without colon, quotation mark and backslash"
)]
pub struct BadEmail {
    given: String,
}

/// The normal form of an email that identifies a user: ASCII `local@domain`, lower case, without
/// any character that a line of the access log may write in another form.
pub fn normal_email(given: &str) -> Result<String, BadEmail> {
    let refused = || BadEmail {
        given: given.to_owned(),
    };
    let email = given.trim().to_ascii_lowercase();
    let (local, domain) = email.split_once('@').ok_or_else(refused)?;
    let local_sound = (1..=64).contains(&local.len())
        && local
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b':' | b'"' | b'\\'));
    let label_sound = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let domain_sound = domain.split('.').all(label_sound);
    if email.len() <= 254 && local_sound && domain_sound {
        Ok(email)
    } else {
        Err(refused())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_minted_key_parses_and_a_changed_one_does_not(random: [u8; 24], at in 0_usize..39, by in 1_usize..62) {
            let key = ApiKey::mint("complical", random);
            prop_assert_eq!(ApiKey::parse(key.reveal()), Some(key.clone()));
            let mut bytes = key.reveal().as_bytes().to_vec();
            let place = "complical_".len() + at;
            let digit = DIGITS.iter().position(|digit| *digit == bytes[place]).unwrap();
            bytes[place] = DIGITS[(digit + by) % 62];
            let changed = String::from_utf8(bytes).unwrap();
            prop_assert_eq!(ApiKey::parse(&changed), None);
        }

        #[test]
        fn any_text_is_parsed_without_panic(text: String) {
            prop_assert_eq!(ApiKey::parse(&text), None);
        }
    }

    #[test]
    fn a_key_is_shown_and_hashed_but_never_printed() {
        let key = ApiKey::mint("complical", [7; 24]);
        assert_eq!(key.reveal().len(), "complical_".len() + 39);
        assert_eq!(key.shown(), "complical_0bPE");
        assert_eq!(format!("{key:?}"), "ApiKey(complical_0bPE…)");
        assert_eq!(key.hash().len(), 64);
        assert_eq!(
            hash("abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn a_record_reads_back_as_written_and_knows_its_status() {
        let mut record = KeyRecord {
            key_hash: "00".repeat(32),
            id: "key_1".into(),
            prefix: "complical_0bPE".into(),
            email: "ann@example.com".into(),
            plan: "free".into(),
            created_at: UnixMillis(1_000),
            expires_at: Some(UnixMillis(9_000)),
            revoked_at: None,
            more: KeyDetails {
                replaces: Some("key_0".into()),
                last_used_at: Some(UnixMillis(3_000)),
                rate: Some(Rate {
                    per_second: 2,
                    burst: 3,
                }),
                user: UserSettings {
                    rate_per_second: Some(7),
                    burst: None,
                    monthly_quota: Some(Quota::None),
                    blocked_at: Some(UnixMillis(4_000)),
                },
                grace_until: None,
            },
        };
        let attributes = record.attributes();
        let get = |name: &str| {
            attributes
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| value.as_str())
        };
        assert_eq!(KeyRecord::from_attributes(get), Ok(record.clone()));
        assert_eq!(record.status(UnixMillis(8_999)), KeyStatus::Active);
        assert_eq!(record.status(UnixMillis(9_000)), KeyStatus::Expired);
        record.more.grace_until = Some(record.grace_end(UnixMillis(5_000), 1_000));
        assert_eq!(record.status(UnixMillis(5_999)), KeyStatus::Grace);
        assert_eq!(record.status(UnixMillis(6_000)), KeyStatus::Expired);
        assert_eq!(
            record.grace_end(UnixMillis(5_000), 9_000),
            UnixMillis(6_000)
        );
        record.more.grace_until = None;
        assert_eq!(
            record.grace_end(UnixMillis(5_000), 9_000),
            UnixMillis(9_000)
        );
        record.revoked_at = Some(UnixMillis(2_000));
        assert_eq!(record.status(UnixMillis(9_000)), KeyStatus::Revoked);
        let without = |name: &str| get(name).filter(|_| name != "email");
        assert_eq!(
            KeyRecord::from_attributes(without).unwrap_err().to_string(),
            "key item lacks a usable `email`"
        );
    }

    #[test]
    fn a_users_settings_stand_in_place_of_the_plan() {
        let plan: Plan =
            serde_json::from_str(r#"{"ratePerSecond": 5, "burst": 10, "monthlyQuota": 100}"#)
                .unwrap();
        let mut record = KeyRecord {
            key_hash: String::new(),
            id: String::new(),
            prefix: String::new(),
            email: String::new(),
            plan: String::new(),
            created_at: UnixMillis(0),
            expires_at: None,
            revoked_at: None,
            more: KeyDetails::default(),
        };
        let limits = |record: &KeyRecord| {
            let limits = record.user_limits(&plan);
            (limits.rate.per_second, limits.rate.burst, limits.quota)
        };
        assert_eq!(limits(&record), (5, 10, Some(100)));
        record.more.user.rate_per_second = Some(50);
        record.more.user.monthly_quota = Some(Quota::Calls(7));
        assert_eq!(limits(&record), (50, 10, Some(7)));
        record.more.user.monthly_quota = Some(Quota::None);
        assert_eq!(limits(&record), (50, 10, None));
        assert!("many".parse::<Quota>().is_err());
    }

    #[test]
    fn secret_scanners_find_keys_by_the_documented_pattern() {
        assert_eq!(
            scanner_pattern("complical"),
            r"\bcomplical_[0-9A-Za-z]{39}\b"
        );
    }

    #[test]
    fn emails_are_ascii_and_lower_cased() {
        assert_eq!(
            normal_email(" Ann@Example.COM "),
            Ok("ann@example.com".into())
        );
        assert_eq!(normal_email("a#b@c"), Ok("a#b@c".into()));
        for bad in [
            "",
            "ann",
            "@b",
            "a@",
            "ännchen@b.c",
            "a b@c.d",
            "ip:1@b",
            "a@b..c",
            "a@b@c",
            r"corp\bob@b.c",
            r#""ann"@b.c"#,
        ] {
            assert!(normal_email(bad).is_err(), "{bad}");
        }
        assert!(normal_email(&format!("a@{}", "b.".repeat(130))).is_err());
    }
}
