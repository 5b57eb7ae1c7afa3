//! The tables as the counting code sees them: items with a version and a state, changed one at a
//! time and only as of the version that was read.
//!
//! [`Store`] is what the fault model mimics; [`update`] is the one way a state is changed. Nothing
//! here knows what a state means.

use std::error::Error;
use std::future::Future;

use domain::state::{self, StateError};
use domain::table::ItemKey;
use domain::tally::Tally;
use domain::time::{UnixMillis, Window};
use serde::{Serialize, de::DeserializeOwned};

/// Times that [`update`] reads again after somebody else wrote between its read and its write.
const MOST_CONFLICTS: u32 = 50;

/// An item as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The version that a write must still find.
    pub version: u64,
    /// See [`domain::state`].
    pub state: Vec<u8>,
}

/// An item as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewItem {
    /// One more than the version that was read; 1 for an item that was not there.
    pub version: u64,
    /// See [`domain::state`].
    pub state: Vec<u8>,
    /// What else the item shows.
    pub shown: Shown,
}

/// What an item shows besides its state.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shown {
    /// Totals for whoever reads the table by hand.
    pub tally: Option<Tally>,
    /// When the item may go.
    pub expires_at: Option<UnixMillis>,
    /// Place in the index by time.
    pub by_time: Option<(Window, UnixMillis)>,
}

/// A document: an item without a version, the same however often it is written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Document {
    /// Its attributes.
    pub attributes: Vec<(&'static str, Value)>,
    /// When it may go; `None` for never.
    pub expires_at: Option<UnixMillis>,
}

/// The value of a document's attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A text.
    Text(String),
    /// A whole number.
    Number(u64),
    /// Bytes.
    Bytes(Vec<u8>),
}

/// What a table refuses.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Somebody else wrote first: read again.
    #[error("`{}`/`{}` was changed meanwhile", key.pk, key.sk)]
    Conflict {
        /// The item.
        key: ItemKey,
    },
    /// The table does not exist.
    #[error("table `{table}` does not exist")]
    TableMissing {
        /// The table.
        table: String,
    },
    /// The table did not answer, or not in time, or asked to slow down. Whether a write was done
    /// is unknown.
    #[error("table `{table}` is unavailable")]
    Unavailable {
        /// The table.
        table: String,
        /// What it answered.
        source: Box<dyn Error + Send + Sync>,
    },
    /// An item that this release cannot read.
    #[error("`{}`/`{}` cannot be read", key.pk, key.sk)]
    Unreadable {
        /// The item.
        key: ItemKey,
        /// What is wrong with it.
        source: StateError,
    },
}

/// A table of versioned items.
pub trait Store: Send + Sync {
    /// Reads an item, with every write that was acknowledged before.
    fn get(&self, key: &ItemKey)
    -> impl Future<Output = Result<Option<Stored>, StoreError>> + Send;

    /// Writes an item if the table holds `item.version - 1` of it, or nothing where that is 0.
    fn put(
        &self,
        key: &ItemKey,
        item: NewItem,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Writes a document, whatever was there.
    fn keep(
        &self,
        key: &ItemKey,
        document: Document,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The items of a partition whose sort keys lie between `from` and `to`, both included, in
    /// the order of their sort keys.
    fn partition(
        &self,
        pk: &str,
        from: &str,
        to: &str,
    ) -> impl Future<Output = Result<Vec<(String, Stored)>, StoreError>> + Send;

    /// The items of a window in the index by time whose start labels lie between `from` and
    /// `to`, both included, in the order of time. May lag behind writes by moments.
    fn by_time(
        &self,
        window: Window,
        from: &str,
        to: &str,
    ) -> impl Future<Output = Result<Vec<(String, Stored)>, StoreError>> + Send;
}

/// A sort key after every other that starts with `prefix`.
pub fn after(prefix: &str) -> String {
    format!("{prefix}\u{10ffff}")
}

/// Reads a state.
pub fn read<T: DeserializeOwned>(key: &ItemKey, stored: &Stored) -> Result<T, StoreError> {
    state::decode(&stored.state).map_err(|source| StoreError::Unreadable {
        key: key.clone(),
        source,
    })
}

/// A state after [`update`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Updated<T> {
    /// The version now stored; 0 where nothing is.
    pub version: u64,
    /// The state now stored.
    pub state: T,
}

/// Reads an item, lets `change` change its state, and writes it back as of the version read; as
/// often as it takes, so `change` must say the same of the same state.
///
/// `change` returns whether there is anything to write. An item that is not there starts from the
/// default state.
pub async fn update<S, T>(
    store: &S,
    key: &ItemKey,
    mut change: impl FnMut(&mut T) -> bool + Send,
    show: impl Fn(&T) -> Shown + Send,
) -> Result<Updated<T>, StoreError>
where
    S: Store,
    T: Serialize + DeserializeOwned + Default + Send,
{
    let mut conflicts = 0;
    loop {
        let (version, mut state) = match store.get(key).await? {
            Some(stored) => (stored.version, read(key, &stored)?),
            None => (0, T::default()),
        };
        if !change(&mut state) {
            return Ok(Updated { version, state });
        }
        let encoded = state::encode(&state).map_err(|source| StoreError::Unreadable {
            key: key.clone(),
            source,
        })?;
        let item = NewItem {
            version: version + 1,
            state: encoded,
            shown: show(&state),
        };
        match store.put(key, item).await {
            Ok(()) => {
                return Ok(Updated {
                    version: version + 1,
                    state,
                });
            }
            Err(StoreError::Conflict { .. }) if conflicts < MOST_CONFLICTS => conflicts += 1,
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryStore;

    /// Adds one to a number, and loses as many times against somebody else.
    async fn add_one(losses: u32) -> Result<Updated<u64>, StoreError> {
        let store = MemoryStore::default();
        let key = ItemKey::new("a", "b");
        let mut lost = 0;
        let change = |number: &mut u64| {
            if lost < losses {
                lost += 1;
                let item = NewItem {
                    version: u64::from(lost),
                    state: state::encode(&u64::from(10 * lost)).unwrap(),
                    shown: Shown::default(),
                };
                store.plant(&key, item).unwrap();
            }
            *number += 1;
            true
        };
        update(&store, &key, change, |_| Shown::default()).await
    }

    #[tokio::test]
    async fn whoever_loses_reads_again_until_it_is_too_much() {
        for losses in [0, 1, MOST_CONFLICTS] {
            let updated = add_one(losses).await.unwrap();
            let expected = Updated {
                version: u64::from(losses) + 1,
                state: u64::from(10 * losses) + 1,
            };
            assert_eq!(updated, expected);
        }
        let error = add_one(MOST_CONFLICTS + 1).await.unwrap_err();
        assert_eq!(error.to_string(), "`a`/`b` was changed meanwhile");
    }

    #[tokio::test]
    async fn what_does_not_change_is_not_written() {
        let store = MemoryStore::default();
        let key = ItemKey::new("a", "b");
        let updated = update(&store, &key, |_: &mut u64| false, |_| Shown::default()).await;
        assert_eq!(
            updated.unwrap(),
            Updated {
                version: 0,
                state: 0
            }
        );
        assert!(store.items().is_empty());
    }

    #[test]
    fn what_begins_so_sorts_before() {
        for text in ["a", "a#", "a\u{10fffe}", "aé"] {
            assert!(text < after("a").as_str(), "{text}");
        }
        assert!(after("a").as_str() < "b");
    }
}
