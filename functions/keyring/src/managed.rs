//! Changes that only those who manage all keys make: a key's plan and its own rate, and keys that
//! another system created.

use domain::key::{KeyDetails, KeyRecord, attribute, normal_email};
use domain::limit::Rate;
use domain::time::UnixMillis;
use serde::Serialize;

use crate::actor::Actor;
use crate::blocks::must_manage_all;
use crate::change::{Guard, OF_USER};
use crate::error::KeyError;
use crate::mint::new_id;
use crate::rules::{Keyring, entry, unchanged};
use crate::table::KeyTable;

/// What an imported key is shown as: only its hash is known.
const IMPORTED: &str = "imported";
/// What a setting changes.
const SETTABLE: &[&str] = &[attribute::PLAN, attribute::KEY_RATE, attribute::KEY_BURST];

/// A change of a key's settings. What is `None` stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Setting {
    /// The new plan.
    pub plan: Option<String>,
    /// The rate of the key alone.
    pub rate: RateSetting,
}

/// A change of the rate that a key has alone, within its user's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RateSetting {
    /// It stays as it is.
    #[default]
    Unchanged,
    /// The key has this one.
    To(Rate),
    /// The key has none.
    None,
}

impl RateSetting {
    /// The rate after the change of a key that had `before`.
    const fn after(self, before: Option<Rate>) -> Option<Rate> {
        match self {
            Self::Unchanged => before,
            Self::To(rate) => Some(rate),
            Self::None => None,
        }
    }
}

/// A key that another system created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// SHA-256 of the whole key, in hex.
    pub hash: String,
    /// Its user.
    pub email: String,
    /// Its plan.
    pub plan: String,
    /// When it stops working.
    pub expires: Option<UnixMillis>,
}

/// A key after a change of its settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SetKey {
    /// Its id.
    pub id: String,
    /// Its user.
    pub email: String,
    /// Its plan.
    pub plan: String,
    /// Calls per second with this key alone.
    pub rate_per_second: Option<u32>,
    /// Burst with this key alone.
    pub burst: Option<u32>,
}

/// A key that was imported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImportedKey {
    /// Its id.
    pub id: String,
    /// Its user.
    pub email: String,
    /// Its plan.
    pub plan: String,
    /// When it was imported.
    pub created_at: String,
    /// When it stops working.
    pub expires_at: Option<String>,
}

impl<T: KeyTable> Keyring<T> {
    /// Changes a key's settings.
    ///
    /// # Errors
    ///
    /// The actor may not, nothing is to be changed, the plan or the key does not exist, the key has
    /// changed meanwhile, or the table failed.
    pub async fn set(
        &self,
        id: &str,
        setting: Setting,
        actor: &Actor,
        now: UnixMillis,
    ) -> Result<SetKey, KeyError> {
        must_manage_all(actor)?;
        if setting == Setting::default() {
            return Err(KeyError::NoChange);
        }
        if let Some(plan) = &setting.plan {
            self.check_plan(plan)?;
        }
        let key = self.find(id, actor).await?;
        let mut set = Vec::new();
        if let Some(plan) = &setting.plan {
            set.push((attribute::PLAN, Some(plan.clone())));
        }
        if setting.rate != RateSetting::Unchanged {
            let rate = setting.rate.after(None);
            let text = |of: fn(Rate) -> u32| rate.map(|rate| of(rate).to_string());
            set.push((attribute::KEY_RATE, text(|rate| rate.per_second)));
            set.push((attribute::KEY_BURST, text(|rate| rate.burst)));
        }
        let changed = SetKey::of(&key, setting);
        let guard = Guard {
            key,
            same: SETTABLE,
            set,
        };
        let entry = entry(actor, "keys set", id, now)?;
        self.commit(None, Some(guard), entry).await?;
        Ok(changed)
    }

    /// Accepts a key that another system created. It has the settings that its user's keys carry.
    ///
    /// # Errors
    ///
    /// The actor may not, a value is not valid, the key exists already, or the table failed.
    pub async fn import(
        &self,
        import: Import,
        actor: &Actor,
        now: UnixMillis,
    ) -> Result<ImportedKey, KeyError> {
        must_manage_all(actor)?;
        let email = normal_email(&import.email)?;
        self.check_plan(&import.plan)?;
        if import.expires.is_some_and(|expires| expires <= now) {
            return Err(KeyError::Expired);
        }
        let key_hash = hash(&import.hash)?;
        let mut of_user = self.table.of_user(&email).await?;
        if of_user.iter().any(|key| key.key_hash == key_hash) {
            return Err(KeyError::Exists);
        }
        let newest = of_user.pop();
        let user = newest.as_ref().map(|key| key.more.user);
        let record = KeyRecord {
            key_hash,
            id: new_id()?,
            prefix: IMPORTED.to_owned(),
            email,
            plan: import.plan,
            created_at: now,
            expires_at: import.expires,
            revoked_at: None,
            more: KeyDetails {
                user: user.unwrap_or_default(),
                ..KeyDetails::default()
            },
        };
        let guard = newest.map(|key| unchanged(key, OF_USER));
        let entry = entry(actor, "keys import", &record.id, now)?;
        let committed = self.commit(Some(&record), guard, entry).await;
        committed.map_err(|error| match error {
            KeyError::Conflict => KeyError::Exists,
            error => error,
        })?;
        Ok(ImportedKey {
            id: record.id,
            email: record.email,
            plan: record.plan,
            created_at: record.created_at.to_string(),
            expires_at: record.expires_at.map(|time| time.to_string()),
        })
    }
}

impl SetKey {
    fn of(key: &KeyRecord, setting: Setting) -> Self {
        let rate = setting.rate.after(key.more.rate);
        Self {
            id: key.id.clone(),
            email: key.email.clone(),
            plan: setting.plan.unwrap_or_else(|| key.plan.clone()),
            rate_per_second: rate.map(|rate| rate.per_second),
            burst: rate.map(|rate| rate.burst),
        }
    }
}

/// A SHA-256 in lower-case hex.
fn hash(given: &str) -> Result<String, KeyError> {
    let hash = given.trim().to_ascii_lowercase();
    if hash.len() == 64 && hash.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        Ok(hash)
    } else {
        // A text of another form may be the key itself.
        Err(KeyError::NotAHash)
    }
}

#[cfg(test)]
mod tests;
