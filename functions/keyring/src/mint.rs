//! New keys and their ids.

use domain::key::{ApiKey, KeyDetails, KeyRecord};
use domain::time::UnixMillis;

use crate::error::KeyError;

/// What a key is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// Its user.
    pub email: String,
    /// Its plan.
    pub plan: String,
    /// When it stops working.
    pub expires_at: Option<UnixMillis>,
    /// Details that only some keys have.
    pub more: KeyDetails,
}

/// A new key and its record, which is not stored yet.
///
/// # Errors
///
/// The operating system provides no randomness.
pub fn mint(prefix: &str, terms: Terms, now: UnixMillis) -> Result<(KeyRecord, ApiKey), KeyError> {
    let key = ApiKey::mint(prefix, random()?);
    let record = KeyRecord {
        key_hash: key.hash(),
        id: new_id()?,
        prefix: key.shown().to_owned(),
        email: terms.email,
        plan: terms.plan,
        created_at: now,
        expires_at: terms.expires_at,
        revoked_at: None,
        more: terms.more,
    };
    Ok((record, key))
}

/// A new id. It is random and says nothing about its key.
///
/// # Errors
///
/// The operating system provides no randomness.
pub fn new_id() -> Result<String, KeyError> {
    Ok(format!("key_{:016x}", u64::from_be_bytes(random()?)))
}

pub(crate) fn random<const N: usize>() -> Result<[u8; N], KeyError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(KeyError::Randomness)?;
    Ok(bytes)
}
