//! A slow table.

use std::time::Duration;

use domain::table::ItemKey;
use runtime::memory::MemoryStore;
use runtime::store::{Document, NewItem, Page, Query, Store, StoreError, Stored, Written};
use tokio::time::sleep;

/// A table in memory whose every call takes `delay`.
#[derive(Clone)]
pub(super) struct Delayed {
    pub(super) table: MemoryStore,
    pub(super) delay: Duration,
}

impl Store for Delayed {
    async fn get(&self, key: &ItemKey) -> Result<Option<Stored>, StoreError> {
        sleep(self.delay).await;
        self.table.get(key).await
    }

    async fn put(&self, key: &ItemKey, item: NewItem) -> Result<Written, StoreError> {
        sleep(self.delay).await;
        self.table.put(key, item).await
    }

    async fn put_both(
        &self,
        one: (&ItemKey, NewItem),
        other: (&ItemKey, NewItem),
    ) -> Result<bool, StoreError> {
        sleep(self.delay).await;
        self.table.put_both(one, other).await
    }

    async fn keep(&self, key: &ItemKey, document: Document) -> Result<(), StoreError> {
        sleep(self.delay).await;
        self.table.keep(key, document).await
    }

    async fn delete(&self, key: &ItemKey) -> Result<(), StoreError> {
        sleep(self.delay).await;
        self.table.delete(key).await
    }

    async fn query(&self, query: &Query) -> Result<Page, StoreError> {
        sleep(self.delay).await;
        self.table.query(query).await
    }
}
