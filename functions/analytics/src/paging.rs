//! Lists in pages: the greatest first, and by name where they are as great.
//!
//! A page begins behind the last entry of the page before, wherever that would stand now. A list that
//! changes between two pages repeats or leaves out only entries that moved.

use crate::error::ApiError;
use crate::query::Query;

/// The parameter that says how many entries a page has.
pub const LIMIT: &str = "limit";
/// The parameter that says where a page begins.
pub const CURSOR: &str = "cursor";
/// Most entries of a page.
pub const MOST: usize = 1_000;
/// Entries of a page where no number is given.
pub const DEFAULT: usize = 100;

/// Where an entry stands in its list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The greater come first.
    pub size: u64,
    /// Then the first by name.
    pub name: String,
}

/// Which entries of a list are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paging {
    limit: usize,
    after: Option<Place>,
}

impl Paging {
    /// What `query` asks for.
    pub fn of(query: &Query) -> Result<Self, ApiError> {
        let limit = query.whole(LIMIT, 1..=MOST)?.unwrap_or(DEFAULT);
        let after = query.get(CURSOR).map(Place::parse).transpose()?;
        Ok(Self { limit, after })
    }

    /// The page of `entries`, and the cursor of the next where there is one.
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
