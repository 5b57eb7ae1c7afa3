//! The tables as the functions see them: items that replace each other by version or by rank,
//! documents that are written unconditionally, and partitions that are read page by page.
//!
//! The fault model imitates [`Store`]. Nothing here knows the meaning of an item.

use std::error::Error;
use std::future::Future;

use domain::state::StateError;
use domain::table::ItemKey;
use domain::tally::Totals;
use domain::time::{UnixMillis, Window};

/// An item as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its version or rank.
    pub version: u64,
    /// See [`domain::state`].
    pub state: Vec<u8>,
}

/// An item as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewItem {
    /// Its version or rank.
    pub version: u64,
    /// See [`domain::state`].
    pub state: Vec<u8>,
    /// Its other attributes.
    pub shown: Shown,
    /// The condition of the write.
    pub condition: Condition,
}

/// The condition of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// The table holds this version of the item; 0 if it must hold none.
    Version(u64),
    /// The table holds no such item, or one of a lower version whose state has the same or an
    /// earlier format: an older release never replaces what a newer one wrote.
    Lower,
}

/// An item's attributes besides its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Shown {
    /// Totals, for people who read the table.
    pub totals: Option<Totals>,
    /// When the item may be deleted.
    pub expires_at: Option<UnixMillis>,
    /// Place in the index by time.
    pub by_time: Option<(Window, UnixMillis)>,
}

/// The result of a conditional write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// The write took effect.
    Done {
        /// The item that it replaced.
        before: Option<Stored>,
    },
    /// The condition does not hold.
    Refused {
        /// The item in the table.
        current: Option<Stored>,
    },
}

/// A document: writing it again has no further effect.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Document {
    /// Its attributes.
    pub attributes: Vec<(&'static str, Value)>,
    /// When it may be deleted; `None` for never.
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

/// The items of a partition to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// The partition.
    pub pk: String,
    /// First sort key, included.
    pub from: String,
    /// Last sort key, included.
    pub to: String,
    /// Resume after this sort key.
    pub after: Option<String>,
    /// The attribute to read of each item; items without it return no bytes.
    pub attribute: &'static str,
}

impl NewItem {
    /// The format of the state, see [`domain::state`]; 0 if the state is empty.
    pub fn format(&self) -> u8 {
        self.state.first().copied().unwrap_or(0)
    }
}

impl Query {
    /// The states of the items of a partition between two sort keys, both included.
    pub fn states(pk: impl Into<String>, from: impl Into<String>, to: impl Into<String>) -> Self {
        Self::of(domain::table::attribute::STATE, pk, from, to)
    }

    /// An attribute of the items of a partition between two sort keys, both included.
    pub fn of(
        attribute: &'static str,
        pk: impl Into<String>,
        from: impl Into<String>,
        to: impl Into<String>,
    ) -> Self {
        Self {
            pk: pk.into(),
            from: from.into(),
            to: to.into(),
            after: None,
            attribute,
        }
    }
}

/// A page of a partition.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// The items, in the order of their sort keys.
    pub items: Vec<Row>,
    /// The sort key after which to resume; `None` at the end.
    pub next: Option<String>,
}

/// An item of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its sort key.
    pub sk: String,
    /// Its version or rank; 0 for a document.
    pub version: u64,
    /// The requested attribute.
    pub bytes: Option<Vec<u8>>,
}

/// Why a table refuses a call.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The table does not exist.
    #[error("table `{table}` does not exist")]
    TableMissing {
        /// The table.
        table: String,
    },
    /// A partition or the table is throttled.
    #[error("table `{table}` is throttled")]
    Throttled {
        /// The table.
        table: String,
        /// The cause.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The table did not respond, or not in time. Whether a write took effect is unknown.
    #[error("table `{table}` is unavailable")]
    Unavailable {
        /// The table.
        table: String,
        /// The cause.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The item exceeds the size limit of a table.
    #[error("`{}`/`{}` is too large for a table", key.pk, key.sk)]
    TooLarge {
        /// The item.
        key: ItemKey,
    },
    /// An item that this release cannot read.
    #[error("`{}`/`{}` cannot be read", key.pk, key.sk)]
    Unreadable {
        /// The item.
        key: ItemKey,
        /// What is wrong with it.
        source: StateError,
    },
    /// A concurrent writer was first, again and again.
    #[error("other writers changed `{}`/`{}` at every attempt", key.pk, key.sk)]
    Contended {
        /// The item.
        key: ItemKey,
    },
    /// No time is left for the call.
    #[error("no time is left for the call")]
    OutOfTime,
}

impl StoreError {
    /// The item at fault if no retry will change the result: it is parked, and everything else goes
    /// on.
    pub const fn parked(&self) -> Option<&ItemKey> {
        match self {
            Self::TooLarge { key } | Self::Unreadable { key, .. } => Some(key),
            _ => None,
        }
    }
}

/// A table. Every read sees every write that was acknowledged before it.
pub trait Store: Send + Sync {
    /// Reads an item.
    fn get(&self, key: &ItemKey)
    -> impl Future<Output = Result<Option<Stored>, StoreError>> + Send;

    /// Writes an item if its condition holds.
    fn put(
        &self,
        key: &ItemKey,
        item: NewItem,
    ) -> impl Future<Output = Result<Written, StoreError>> + Send;

    /// Writes two items of different keys, both or neither. Returns whether both conditions held.
    fn put_both(
        &self,
        one: (&ItemKey, NewItem),
        other: (&ItemKey, NewItem),
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Writes a document unconditionally.
    fn keep(
        &self,
        key: &ItemKey,
        document: Document,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Deletes the item or document, if there is one.
    fn delete(&self, key: &ItemKey) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Reads a page of a partition.
    fn query(&self, query: &Query) -> impl Future<Output = Result<Page, StoreError>> + Send;
}

impl<S: Store> Store for &S {
    async fn get(&self, key: &ItemKey) -> Result<Option<Stored>, StoreError> {
        (**self).get(key).await
    }

    async fn put(&self, key: &ItemKey, item: NewItem) -> Result<Written, StoreError> {
        (**self).put(key, item).await
    }

    async fn put_both(
        &self,
        one: (&ItemKey, NewItem),
        other: (&ItemKey, NewItem),
    ) -> Result<bool, StoreError> {
        (**self).put_both(one, other).await
    }

    async fn keep(&self, key: &ItemKey, document: Document) -> Result<(), StoreError> {
        (**self).keep(key, document).await
    }

    async fn delete(&self, key: &ItemKey) -> Result<(), StoreError> {
        (**self).delete(key).await
    }

    async fn query(&self, query: &Query) -> Result<Page, StoreError> {
        (**self).query(query).await
    }
}

/// A sort key after all others that start with `prefix`.
pub fn after(prefix: &str) -> String {
    format!("{prefix}\u{10ffff}")
}

/// Reads all pages of a query.
pub async fn all<S: Store>(store: &S, mut query: Query) -> Result<Vec<Row>, StoreError> {
    let mut rows = Vec::new();
    loop {
        let page = store.query(&query).await?;
        rows.extend(page.items);
        match page.next {
            Some(next) => query.after = Some(next),
            None => return Ok(rows),
        }
    }
}

/// An item that cannot be read.
pub fn unreadable(key: &ItemKey) -> impl FnOnce(StateError) -> StoreError + use<> {
    let key = key.clone();
    |source| StoreError::Unreadable { key, source }
}
