//! Keys as the command line and the API show them. Only [`NewKey`] and [`Rotated`] hold a key's
//! plain text; neither is printed by `Debug`.

use std::fmt;

use domain::key::{ApiKey, KeyRecord};
use domain::time::UnixMillis;
use serde::Serialize;

/// A key that was just created. Its plain text is visible only here.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NewKey {
    /// Its id.
    pub id: String,
    /// The key itself.
    pub key: String,
    /// Its user.
    pub email: String,
    /// Its plan.
    pub plan: String,
    /// When it was created.
    pub created_at: String,
    /// When it stops working.
    pub expires_at: Option<String>,
}

/// A key that replaces another.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rotated {
    /// The new key.
    #[serde(flatten)]
    pub new: NewKey,
    /// Id of the old one.
    pub replaces: String,
    /// When the old one stops working.
    pub grace_until: String,
}

/// A key that was revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Revoked {
    /// Its id.
    pub id: String,
    /// When.
    pub revoked_at: String,
}

/// A key in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListedKey {
    /// Its id.
    pub id: String,
    /// The part of the key by which its owner recognises it.
    pub prefix: String,
    /// Its user.
    pub email: String,
    /// Its plan.
    pub plan: String,
    /// `active`, `grace`, `expired` or `revoked`.
    pub status: &'static str,
    /// When it was created.
    pub created_at: String,
    /// When it stops working.
    pub expires_at: Option<String>,
    /// When it was last used, to the hour.
    pub last_used_at: Option<String>,
}

impl fmt::Debug for NewKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewKey")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl NewKey {
    /// A key and its record.
    pub fn of(record: KeyRecord, key: &ApiKey) -> Self {
        Self {
            id: record.id,
            key: key.reveal().to_owned(),
            email: record.email,
            plan: record.plan,
            created_at: record.created_at.to_string(),
            expires_at: record.expires_at.map(|time| time.to_string()),
        }
    }
}

impl ListedKey {
    /// The record as seen at `now`.
    pub fn of(record: &KeyRecord, now: UnixMillis) -> Self {
        Self {
            id: record.id.clone(),
            prefix: record.prefix.clone(),
            email: record.email.clone(),
            plan: record.plan.clone(),
            status: record.status(now).as_str(),
            created_at: record.created_at.to_string(),
            expires_at: record.expires_at.map(|time| time.to_string()),
            last_used_at: record.more.last_used_at.map(|time| time.to_string()),
        }
    }
}
