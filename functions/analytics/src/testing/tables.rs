//! Tables for tests.

use domain::table::ItemKey;
use runtime::memory::MemoryStore;
use runtime::store::{Document, NewItem, Page, Query, Store, StoreError, Stored, Written};

type Hook = Box<dyn Fn() -> Result<(), StoreError> + Send + Sync>;

/// A table in memory with a hook that runs before every call.
pub(crate) struct Table {
    store: MemoryStore,
    hook: Hook,
}

impl Table {
    pub(crate) fn hooked(
        store: MemoryStore,
        hook: impl Fn() -> Result<(), StoreError> + Send + Sync + 'static,
    ) -> Self {
        Self {
            store,
            hook: Box::new(hook),
        }
    }

    /// A table that does not exist.
    pub(crate) fn missing() -> Self {
        Self::hooked(MemoryStore::default(), || {
            Err(StoreError::TableMissing {
                table: "gone".to_owned(),
            })
        })
    }

    /// A table that does not respond.
    pub(crate) fn silent() -> Self {
        Self::hooked(MemoryStore::default(), || {
            Err(StoreError::Unavailable {
                table: "silent".to_owned(),
                source: "no route to 192.0.2.9".into(),
            })
        })
    }
}

impl Store for Table {
    async fn get(&self, key: &ItemKey) -> Result<Option<Stored>, StoreError> {
        (self.hook)()?;
        self.store.get(key).await
    }

    async fn put(&self, key: &ItemKey, item: NewItem) -> Result<Written, StoreError> {
        (self.hook)()?;
        self.store.put(key, item).await
    }

    async fn put_both(
        &self,
        one: (&ItemKey, NewItem),
        other: (&ItemKey, NewItem),
    ) -> Result<bool, StoreError> {
        (self.hook)()?;
        self.store.put_both(one, other).await
    }

    async fn keep(&self, key: &ItemKey, document: Document) -> Result<(), StoreError> {
        (self.hook)()?;
        self.store.keep(key, document).await
    }

    async fn delete(&self, key: &ItemKey) -> Result<(), StoreError> {
        (self.hook)()?;
        self.store.delete(key).await
    }

    async fn query(&self, query: &Query) -> Result<Page, StoreError> {
        (self.hook)()?;
        self.store.query(query).await
    }
}
