//! What a store was asked, and what it answered.

use domain::table::ItemKey;

use crate::store::{Document, NewItem, Page, Query, Stored, Written};

/// A call with its result. Another table must do the same and return the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
    /// An item was read.
    Get {
        /// Its key.
        key: ItemKey,
        /// What the table held.
        found: Option<Stored>,
    },
    /// An item was written, or its condition did not hold.
    Put {
        /// Its key.
        key: ItemKey,
        /// The item to write.
        item: NewItem,
        /// The result.
        written: Written,
    },
    /// Two items were written, or neither.
    PutBoth {
        /// The items to write.
        items: [(ItemKey, NewItem); 2],
        /// Whether they were.
        written: bool,
    },
    /// A document was written.
    Keep {
        /// Its key.
        key: ItemKey,
        /// The document written.
        document: Document,
    },
    /// An item was deleted.
    Delete {
        /// Its key.
        key: ItemKey,
    },
    /// A page was read.
    Query {
        /// The query.
        query: Query,
        /// The result.
        page: Page,
    },
}
