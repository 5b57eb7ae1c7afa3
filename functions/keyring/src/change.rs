//! A change of the keys, as one transaction.

use domain::key::{KeyRecord, attribute};
use domain::time::UnixMillis;

use crate::actor::Actor;

/// Everything that decides what a key may do. `lastUsedAt` is not among it: the authorizer changes
/// that at any time.
pub(crate) const TERMS: &[&str] = &[
    attribute::PLAN,
    attribute::EXPIRES_AT,
    attribute::REVOKED_AT,
    attribute::GRACE_UNTIL,
    attribute::KEY_RATE,
    attribute::KEY_BURST,
    attribute::USER_RATE,
    attribute::USER_BURST,
    attribute::USER_QUOTA,
    attribute::USER_BLOCKED_AT,
];
/// The settings that every key of a user carries.
pub(crate) const OF_USER: &[&str] = &[
    attribute::USER_RATE,
    attribute::USER_BURST,
    attribute::USER_QUOTA,
    attribute::USER_BLOCKED_AT,
];
/// Whether a key is revoked.
pub(crate) const REVOCATION: &[&str] = &[attribute::REVOKED_AT];

/// A change: all of it takes effect, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// A key to create.
    pub insert: Option<KeyRecord>,
    /// Existing keys on which the change depends.
    pub guards: Vec<Guard>,
    /// The record in the audit log.
    pub entry: Entry,
}

/// An existing key that must still be as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    /// The key as it was read.
    pub key: KeyRecord,
    /// Attributes that must not have changed.
    pub same: &'static [&'static str],
    /// The attributes that the write changes: sets to a text, or removes if that is `None`.
    pub set: Vec<(&'static str, Option<String>)>,
}

impl Guard {
    /// The value of each attribute that must not have changed; `None` if it must be absent.
    pub fn expected(&self) -> Vec<(&'static str, Option<String>)> {
        let attributes = self.key.attributes();
        let value = |name: &str| {
            let found = attributes.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| value.clone())
        };
        self.same.iter().map(|name| (*name, value(name))).collect()
    }
}

/// A record in the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When.
    pub at: UnixMillis,
    /// Distinguishes changes within one millisecond.
    pub number: u64,
    /// Who.
    pub actor: Actor,
    /// The change, as the command line names it.
    pub what: &'static str,
    /// The id of the key; the address or the email, if somebody is blocked.
    pub subject: String,
}
