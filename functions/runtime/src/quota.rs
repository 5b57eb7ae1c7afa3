//! A user's own quota, which applies instead of the plan's.

use domain::key::Quota;
use domain::state;
use domain::table::ItemKey;

use crate::store::{Store, StoreError, unreadable};

/// Reads the quota that `users set` gave a user; `None` if the plan's applies.
pub async fn own<S: Store>(usage: &S, user: &str) -> Result<Option<Quota>, StoreError> {
    let key = ItemKey::settings(user);
    let Some(stored) = usage.get(&key).await? else {
        return Ok(None);
    };
    state::decode(&stored.state).map_err(unreadable(&key))
}
