//! The tables as the rules see them.

use std::future::Future;

use domain::address::Blocked;
use domain::key::KeyRecord;

use crate::change::{Change, Entry};
use crate::error::TableError;

/// A part of the keys to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pages {
    /// Only this user's keys, the newest first; everybody's in no particular order if `None`.
    pub email: Option<String>,
    /// Only keys after this one.
    pub after: Option<KeyRecord>,
    /// The most keys of a page.
    pub limit: usize,
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// The keys.
    pub keys: Vec<KeyRecord>,
    /// Whether more keys may follow.
    pub is_more: bool,
}

/// The table of keys, with the audit log beside it. Reads by id and by user go through indexes,
/// which may be a moment behind; a change is checked against the table itself.
pub trait KeyTable: Send + Sync {
    /// The key with this id.
    fn find(&self, id: &str) -> impl Future<Output = Result<Option<KeyRecord>, TableError>> + Send;

    /// Every key of a user, the oldest first.
    fn of_user(
        &self,
        email: &str,
    ) -> impl Future<Output = Result<Vec<KeyRecord>, TableError>> + Send;

    /// A page of a list. Items that are not valid key records are left out.
    fn page(&self, pages: &Pages) -> impl Future<Output = Result<Page, TableError>> + Send;

    /// Makes a change, unless a key on which it depends is no longer as it was read. Returns
    /// whether it took effect.
    fn commit(&self, change: &Change) -> impl Future<Output = Result<bool, TableError>> + Send;

    /// The blocked addresses, and the version of their list: 0 if there never was one.
    fn blocked(&self) -> impl Future<Output = Result<(Blocked, u64), TableError>> + Send;

    /// Replaces the list of blocked addresses and adds an audit entry, both only if the stored list
    /// still has `version`. Returns whether it did.
    fn set_blocked(
        &self,
        list: &Blocked,
        version: u64,
        entry: &Entry,
    ) -> impl Future<Output = Result<bool, TableError>> + Send;
}

impl<T: KeyTable> KeyTable for &T {
    async fn find(&self, id: &str) -> Result<Option<KeyRecord>, TableError> {
        (**self).find(id).await
    }

    async fn of_user(&self, email: &str) -> Result<Vec<KeyRecord>, TableError> {
        (**self).of_user(email).await
    }

    async fn page(&self, pages: &Pages) -> Result<Page, TableError> {
        (**self).page(pages).await
    }

    async fn commit(&self, change: &Change) -> Result<bool, TableError> {
        (**self).commit(change).await
    }

    async fn blocked(&self) -> Result<(Blocked, u64), TableError> {
        (**self).blocked().await
    }

    async fn set_blocked(
        &self,
        list: &Blocked,
        version: u64,
        entry: &Entry,
    ) -> Result<bool, TableError> {
        (**self).set_blocked(list, version, entry).await
    }
}
