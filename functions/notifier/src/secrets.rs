//! The secrets that deliveries are signed with: made when an endpoint is first delivered to.

use domain::state;
use domain::table::ItemKey;
use domain::time::UnixMillis;
use domain::webhook::{Secret, Secrets};
use runtime::random::{self, NoRandomness};
use runtime::store::{Condition, NewItem, Shown, Store, StoreError, Written, unreadable};

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The table.
    #[error("the secrets of an endpoint are not known")]
    Store(#[from] StoreError),
    /// There is no randomness.
    #[error("no secret can be made")]
    Random(#[from] NoRandomness),
}

/// The secrets of `endpoint` that are good at `now`, the newest first.
pub async fn of<S: Store>(
    store: &S,
    endpoint: &str,
    now: UnixMillis,
) -> Result<Vec<Secret>, SecretError> {
    let key = ItemKey::secrets(endpoint);
    let mut held = store.get(&key).await?;
    if held.is_none() {
        let made = Secrets::new(Secret::new(random::bytes()?));
        let item = NewItem {
            version: 1,
            state: state::encode(&made).map_err(unreadable(&key))?,
            shown: Shown::default(),
            condition: Condition::Version(0),
        };
        held = match store.put(&key, item).await? {
            Written::Done { .. } => return Ok(made.good_at(now)),
            Written::Refused { current } => current,
        };
    }
    let bytes = held.map(|stored| stored.state).unwrap_or_default();
    let secrets: Secrets = state::decode(&bytes).map_err(unreadable(&key))?;
    Ok(secrets.good_at(now))
}
