//! Pages of lists: greatest first, and by name where sizes are equal.
//!
//! A page begins after the current position of the previous page's last entry. If the list changes
//! between two pages, only entries that moved are repeated or omitted.

use crate::error::ApiError;
use crate::query::Query;

/// The parameter for the number of entries per page.
pub const LIMIT: &str = "limit";
/// The parameter for the start of a page.
pub const CURSOR: &str = "cursor";
/// The most entries per page.
pub const MOST: usize = 1_000;
/// Entries per page by default.
pub const DEFAULT: usize = 100;

/// The place of an entry in its list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Greater sizes come first.
    pub size: u64,
    /// Among equal sizes, names come in order.
    pub name: String,
}

/// The requested part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paging {
    limit: usize,
    after: Option<Place>,
}

impl Paging {
    /// Reads the paging parameters of `query`.
    pub fn of(query: &Query) -> Result<Self, ApiError> {
        let limit = query.whole(LIMIT, 1..=MOST)?.unwrap_or(DEFAULT);
        let after = query.get(CURSOR).map(Place::parse).transpose()?;
        Ok(Self { limit, after })
    }

    /// The requested page of `entries`, and the cursor of the next page if there is one.
    pub fn page<T>(&self, mut entries: Vec<(Place, T)>) -> (Vec<T>, Option<String>) {
        entries.sort_by(|(one, _), (other, _)| one.key().cmp(&other.key()));
        if let Some(after) = &self.after {
            entries.retain(|(place, _)| place.key() > after.key());
        }
        let is_more = entries.len() > self.limit;
        entries.truncate(self.limit);
        let last = entries.last().filter(|_| is_more);
        let next = last.map(|(place, _)| place.cursor());
        let page = entries.into_iter().map(|(_, entry)| entry);
        (page.collect(), next)
    }
}

impl Place {
    fn key(&self) -> (std::cmp::Reverse<u64>, &str) {
        (std::cmp::Reverse(self.size), &self.name)
    }

    fn cursor(&self) -> String {
        format!("{}~{}", self.size, self.name)
    }

    fn parse(cursor: &str) -> Result<Self, ApiError> {
        let parts = cursor.split_once('~');
        let place = parts.and_then(|(size, name)| {
            Some(Self {
                size: size.parse().ok()?,
                name: name.to_owned(),
            })
        });
        place.ok_or_else(|| {
            let message = format!("expected `next` of an earlier page, found `{cursor}`");
            ApiError::parameter(CURSOR, message)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entries(given: &[(u64, u8)]) -> Vec<(Place, (u64, u8))> {
        let place = |(size, name): (u64, u8)| Place {
            size,
            name: format!("~{name}"),
        };
        given.iter().map(|entry| (place(*entry), *entry)).collect()
    }

    proptest! {
        #[test]
        fn pages_hold_every_entry_once_and_in_order(
            given in proptest::collection::btree_set((0_u64..5, 0_u8..20), 0..40), limit in 1_usize..9,
        ) {
            let given: Vec<(u64, u8)> = given.into_iter().collect();
            let (mut shown, mut after) = (Vec::new(), None);
            loop {
                let paging = Paging { limit, after };
                let (page, next) = paging.page(entries(&given));
                prop_assert!(page.len() <= limit);
                shown.extend(page);
                let Some(next) = next else { break };
                after = Some(Place::parse(&next).unwrap());
            }
            let all = Paging { limit: MOST, after: None };
            prop_assert_eq!(&shown, &all.page(entries(&given)).0);
            prop_assert_eq!(shown.len(), given.len());
            prop_assert!(shown.is_sorted_by(|one, next| one.0 >= next.0));
        }
    }

    #[test]
    fn a_cursor_of_no_page_is_refused() {
        for cursor in ["", "7", "~a", "x~a", "-1~a", "18446744073709551616~a"] {
            assert!(Place::parse(cursor).is_err(), "{cursor}");
        }
    }
}
