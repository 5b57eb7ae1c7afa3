//! The users that the closings of some days listed, one after the other: by bucket, then by email.
//!
//! A mark that holds a [`Place`] says that everybody before it is done. What goes on from a mark reads the
//! remaining lists again, so it may die anywhere.

use std::collections::{BTreeSet, btree_set};

use domain::state;
use domain::table::{self, ItemKey, USER_BUCKETS, user_bucket};
use domain::time::UnixMillis;
use runtime::store::{self, Query, Row, Store, StoreError, unreadable};
use runtime::together::together;
use serde::{Deserialize, Serialize};

/// Users between two writes of a mark.
pub(crate) const AT_ONCE: usize = 200;

/// A user's place in the order.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Place {
    bucket: u8,
    user: String,
}

impl Place {
    pub(crate) fn of(user: &str) -> Self {
        Self {
            bucket: user_bucket(user),
            user: user.to_owned(),
        }
    }

    const fn before(bucket: u8) -> Self {
        Self {
            bucket,
            user: String::new(),
        }
    }

    /// Whether it is behind every user.
    pub(crate) const fn is_end(&self) -> bool {
        self.bucket >= USER_BUCKETS
    }
}

/// The lists of some days.
#[derive(Debug)]
pub(crate) struct Lists<'a, S> {
    store: &'a S,
    days: Vec<UnixMillis>,
    read: Option<Listed>,
}

/// Users that are listed and not done, up to a bucket.
#[derive(Debug)]
struct Listed {
    users: btree_set::IntoIter<Place>,
    until: u8,
}

impl<'a, S: Store> Lists<'a, S> {
    pub(crate) const fn new(store: &'a S, days: Vec<UnixMillis>) -> Self {
        Self {
            store,
            days,
            read: None,
        }
    }

    /// Some users after `at`, and the place up to which they are all users. There may be none before
    /// the end.
    pub(crate) async fn next(&mut self, at: &Place) -> Result<(Vec<String>, Place), StoreError> {
        let mut listed = match self.read.take() {
            Some(listed) => listed,
            None => self.list(at).await?,
        };
        let some: Vec<Place> = listed.users.by_ref().take(AT_ONCE).collect();
        let last = match some.last() {
            Some(last) if listed.users.len() > 0 => {
                let last = last.clone();
                self.read = Some(listed);
                last
            }
            _ => Place::before(listed.until),
        };
        Ok((some.into_iter().map(|place| place.user).collect(), last))
    }

    /// Everybody after `at`: of all buckets if the lists fit into a page a day, else of one.
    async fn list(&self, at: &Place) -> Result<Listed, StoreError> {
        let of = |prefix: String| {
            let from = format!("{:02}#", at.bucket);
            let days = self.days.iter().map(move |day| {
                let pk = table::day_users(*day);
                (Query::states(&pk, &from, store::after(&prefix)), pk)
            });
            days.collect::<Vec<_>>()
        };
        let pages = of(String::new()).into_iter().map(|(query, pk)| async move {
            let page = self.store.query(&query).await?;
            Ok::<_, StoreError>((pk, page.items, page.next.is_none()))
        });
        let pages = together(pages.collect()).await?;
        let mut users = BTreeSet::new();
        let is_whole = pages.iter().all(|(_, _, is_whole)| *is_whole);
        if is_whole {
            for (pk, rows, _) in pages {
                take(&mut users, &pk, rows, at)?;
            }
        } else {
            for (query, pk) in of(format!("{:02}#", at.bucket)) {
                take(&mut users, &pk, store::all(self.store, query).await?, at)?;
            }
        }
        Ok(Listed {
            users: users.into_iter(),
            until: if is_whole {
                USER_BUCKETS
            } else {
                at.bucket + 1
            },
        })
    }
}

/// Takes the users after `at` from lists.
fn take(
    users: &mut BTreeSet<Place>,
    pk: &str,
    rows: Vec<Row>,
    at: &Place,
) -> Result<(), StoreError> {
    for row in rows {
        let names = row.bytes.unwrap_or_default();
        let names = state::decode_packed::<Vec<String>>(&names);
        let names = names.map_err(unreadable(&ItemKey::new(pk, &row.sk)))?;
        let places = names.into_iter().map(|user| Place::of(&user));
        users.extend(places.filter(|place| place > at));
    }
    Ok(())
}
