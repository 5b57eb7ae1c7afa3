//! Tables for tests.

use std::sync::Arc;

use domain::table::ItemKey;
use domain::time::Window;
use runtime::memory::MemoryStore;
use runtime::store::{Document, NewItem, Store, StoreError, Stored};

type Hook = Box<dyn Fn() -> Result<(), StoreError> + Send + Sync>;

/// A table in memory on which something happens before every call.
pub(crate) struct Table {
    pub(crate) store: Arc<MemoryStore>,
    hook: Hook,
}

impl Default for Table {
    fn default() -> Self {
        Self::hooked(Arc::default(), || Ok(()))
    }
}

impl Table {
    pub(crate) fn hooked(
        store: Arc<MemoryStore>,
        hook: impl Fn() -> Result<(), StoreError> + Send + Sync + 'static,
    ) -> Self {
        Self {
            store,
            hook: Box::new(hook),
        }
    }

    /// A table that does not exist.
    pub(crate) fn missing() -> Self {
        Self::hooked(Arc::default(), || {
            Err(StoreError::TableMissing {
                table: "gone".to_owned(),
            })
        })
    }

    /// A table that does not answer.
    pub(crate) fn silent() -> Self {
        Self::hooked(Arc::default(), || {
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

    async fn put(&self, key: &ItemKey, item: NewItem) -> Result<(), StoreError> {
        (self.hook)()?;
        self.store.put(key, item).await
    }

    async fn keep(&self, key: &ItemKey, document: Document) -> Result<(), StoreError> {
        (self.hook)()?;
        self.store.keep(key, document).await
    }

    async fn partition(
        &self,
        pk: &str,
        from: &str,
        to: &str,
    ) -> Result<Vec<(String, Stored)>, StoreError> {
        (self.hook)()?;
        self.store.partition(pk, from, to).await
    }

    async fn by_time(
        &self,
        window: Window,
        from: &str,
        to: &str,
    ) -> Result<Vec<(String, Stored)>, StoreError> {
        (self.hook)()?;
        self.store.by_time(window, from, to).await
    }
}
