//! The refused addresses: one item, read again after responses.

use std::sync::{Mutex, MutexGuard, PoisonError};

use domain::address::Blocked;
use domain::state;
use domain::table::ItemKey;
use domain::time::UnixMillis;
use runtime::log::Chain;
use runtime::store::{Store, StoreError, unreadable};

use crate::cache::{LONGEST_TRUST_MILLIS, RENEWAL_MILLIS};

/// The list as it was last read.
#[derive(Debug)]
pub struct Blocks<S> {
    store: S,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    list: Blocked,
    /// When it was last requested, with or without success.
    asked_at: Option<UnixMillis>,
}

impl<S: Store> Blocks<S> {
    /// The list in `store`, before the first read.
    pub fn new(store: S) -> Self {
        Self {
            store,
            known: Mutex::default(),
        }
    }

    /// Whether `address` is refused, as far as this instance knows.
    pub fn hold(&self, address: &str) -> bool {
        self.known().list.holds(address)
    }

    /// Reads the list before a response if it has not been read for so long that an address blocked
    /// in the meantime would be let through.
    pub async fn catch_up(&self, now: UnixMillis) {
        if self.is_older(LONGEST_TRUST_MILLIS, now) {
            self.read(now).await;
        }
    }

    /// Reads the list after a response, if it is due.
    pub async fn renew(&self, now: UnixMillis) {
        if self.is_older(RENEWAL_MILLIS, now) {
            self.read(now).await;
        }
    }

    fn is_older(&self, millis: i64, now: UnixMillis) -> bool {
        let asked_at = self.known().asked_at;
        asked_at.is_none_or(|at| !(0..millis).contains(&now.since(at)))
    }

    async fn read(&self, now: UnixMillis) {
        self.known().asked_at = Some(now);
        match self.list().await {
            Ok(list) => self.known().list = list,
            Err(error) => {
                tracing::warn!(error = %Chain(&error), "the blocked addresses stay as they were");
            }
        }
    }

    async fn list(&self) -> Result<Blocked, StoreError> {
        let key = ItemKey::blocked_addresses();
        match self.store.get(&key).await? {
            Some(stored) => state::decode(&stored.state).map_err(unreadable(&key)),
            None => Ok(Blocked::default()),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::NOW;
    use runtime::memory::{Fault, MemoryStore};

    #[tokio::test]
    async fn a_blocked_address_is_known_within_half_a_minute_whatever_the_instance_did() {
        let store = MemoryStore::default();
        let blocks = Blocks::new(store.clone());
        blocks.catch_up(NOW).await;
        assert!(!blocks.hold("192.0.2.1"));
        let list = Blocked {
            since: [("192.0.2.1".to_owned(), NOW)].into(),
        };
        store.plant(
            &ItemKey::blocked_addresses(),
            1,
            state::encode(&list).unwrap(),
        );
        blocks.renew(NOW.plus_millis(RENEWAL_MILLIS - 1)).await;
        assert!(!blocks.hold("192.0.2.1"));
        blocks.renew(NOW.plus_millis(RENEWAL_MILLIS)).await;
        assert!(blocks.hold("192.0.2.1"));
        store.plant(
            &ItemKey::blocked_addresses(),
            2,
            state::encode(&Blocked::default()).unwrap(),
        );
        blocks
            .catch_up(NOW.plus_millis(RENEWAL_MILLIS + LONGEST_TRUST_MILLIS))
            .await;
        assert!(!blocks.hold("192.0.2.1"));
    }

    #[tokio::test]
    async fn without_the_table_the_list_stays_and_is_not_asked_for_at_every_call() {
        let store = MemoryStore::default();
        let list = Blocked {
            since: [("192.0.2.1".to_owned(), NOW)].into(),
        };
        store.plant(
            &ItemKey::blocked_addresses(),
            1,
            state::encode(&list).unwrap(),
        );
        let blocks = Blocks::new(store.clone());
        blocks.catch_up(NOW).await;
        store.inject(|_, _| Fault::Refused);
        for second in 25..40 {
            blocks.catch_up(NOW.plus_millis(second * 1_000)).await;
        }
        assert!(blocks.hold("192.0.2.1"));
    }
}
