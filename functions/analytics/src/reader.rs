//! Reads the tables: each method reads one kind of item.
//!
//! A method that takes a span reads one query of it, and a further page per megabyte; a page costs
//! one read unit per 4 KB. Nothing here chooses what to read: see [`crate::marks`] for that, and
//! [`crate::fresh`] for what no table holds yet.

use std::collections::{BTreeMap, BTreeSet};

use domain::counts::{AddressHour, Callers, Hour, Sum};
use domain::state::{self, StateError};
use domain::table::{self, ItemKey, Listed};
use domain::time::{UnixMillis, Window};
use runtime::store::{self, Query, Row, Store, StoreError, unreadable};
use runtime::together::together;

/// A sort key before all others.
const FIRST: &str = " ";

/// Counts by the start of their span.
pub type ByStart<T> = BTreeMap<UnixMillis, T>;

/// The tables.
#[derive(Debug)]
pub struct Tables<'a, S> {
    /// Users' hours, days and months, and the marks.
    pub usage: &'a S,
    /// The journal and the counts of all users.
    pub analytics: &'a S,
}

impl<S: Store> Tables<'_, S> {
    /// A user's months before that of `end`.
    pub async fn months(&self, user: &str, end: UnixMillis) -> Result<ByStart<Sum>, StoreError> {
        let last = ItemKey::month(user, Window::Month.start(end).plus_millis(-1)).sk;
        let query = Query::states(table::user(user), "MONTH#", last);
        by_label(self.usage, query, ("MONTH#", Window::Month), Sum::decode).await
    }

    /// A user's days from that of `from` to that of `to`, both included.
    pub async fn days(
        &self,
        user: &str,
        from: UnixMillis,
        to: UnixMillis,
    ) -> Result<ByStart<Sum>, StoreError> {
        let (from, to) = (ItemKey::day(user, from), ItemKey::day(user, to));
        let query = Query::states(from.pk, from.sk, to.sk);
        by_label(self.usage, query, ("DAY#", Window::Day), Sum::decode).await
    }

    /// A user's hours: one query for each run of consecutive hours.
    pub async fn hours(
        &self,
        user: &str,
        hours: &BTreeSet<UnixMillis>,
    ) -> Result<ByStart<Hour>, StoreError> {
        let runs = runs(hours).into_iter();
        let queries = runs.map(|(from, to)| {
            let (from, to) = (ItemKey::hour(user, from), ItemKey::hour(user, to));
            let query = Query::states(from.pk, from.sk, to.sk);
            by_label(self.usage, query, ("HOUR#", Window::Hour), Hour::decode)
        });
        let read = together(queries.collect()).await?;
        Ok(read.into_iter().flatten().collect())
    }

    /// The hours or days of all users from that of `from` to that of `to`, both included.
    pub async fn totals(
        &self,
        window: Window,
        from: UnixMillis,
        to: UnixMillis,
    ) -> Result<ByStart<Sum>, StoreError> {
        let labels = (window.label(from), window.label(to));
        let query = Query::states(table::totals(window), labels.0, labels.1);
        by_label(self.analytics, query, ("", window), Sum::decode).await
    }

    /// The minutes of all users from `from` up to `end`, which lie in one hour.
    pub async fn minutes(
        &self,
        from: UnixMillis,
        end: UnixMillis,
    ) -> Result<ByStart<Sum>, StoreError> {
        self.by_minute(table::minutes(from), from, end, Sum::decode)
            .await
    }

    /// The callers of the minutes from `from` up to `end`, which lie in one hour.
    pub async fn callers(
        &self,
        from: UnixMillis,
        end: UnixMillis,
    ) -> Result<ByStart<Callers>, StoreError> {
        self.by_minute(table::callers(from), from, end, state::decode_packed)
            .await
    }

    async fn by_minute<T>(
        &self,
        pk: String,
        from: UnixMillis,
        end: UnixMillis,
        decode: impl Fn(&[u8]) -> Result<T, StateError>,
    ) -> Result<ByStart<T>, StoreError> {
        if from >= end {
            return Ok(BTreeMap::new());
        }
        let last = end.plus_millis(-1);
        let query = Query::states(&pk, table::minute(from), table::minute(last));
        let rows = store::all(self.analytics, query).await?;
        let hour = Window::Hour.start(from);
        let minute_of = |sk: &str| Some(hour.plus_millis(sk.parse::<i64>().ok()? * 60_000));
        decoded(&pk, rows, minute_of, decode)
    }

    /// The users with an accepted call in an hour, as far as it is folded, each as eight bytes.
    pub async fn roster(&self, hour: UnixMillis) -> Result<BTreeSet<[u8; 8]>, StoreError> {
        let query = Query::states(table::roster(hour), FIRST, store::after(""));
        let rows = store::all(self.analytics, query).await?;
        let bytes = rows.iter().filter_map(|row| row.bytes.as_deref());
        Ok(bytes
            .flat_map(|bytes| bytes.as_chunks::<8>().0)
            .copied()
            .collect())
    }

    /// The addresses that failed in an hour: those of one page, which lists addresses with three
    /// failures first.
    pub async fn addresses(
        &self,
        hour: UnixMillis,
    ) -> Result<BTreeMap<String, AddressHour>, StoreError> {
        let pk = table::addresses(hour);
        let query = Query::states(&pk, FIRST, store::after(""));
        let rows = self.analytics.query(&query).await?.items;
        let mut addresses: BTreeMap<String, AddressHour> = BTreeMap::new();
        for row in rows {
            let listed = [Listed::First, Listed::Last];
            let address = listed
                .iter()
                .find_map(|listed| row.sk.strip_prefix(listed.as_str()));
            let Some((address, bytes)) = address.zip(row.bytes.as_deref()) else {
                continue;
            };
            let stored: AddressHour =
                state::decode(bytes).map_err(unreadable(&ItemKey::new(&pk, &row.sk)))?;
            // Two concurrent folds may write one item each.
            let known = addresses.entry(address.to_owned()).or_default();
            for (minute, failures) in &stored.slots {
                known.offer(*minute, failures);
            }
        }
        Ok(addresses)
    }
}

async fn by_label<S: Store, T>(
    store: &S,
    query: Query,
    (prefix, window): (&str, Window),
    decode: impl Fn(&[u8]) -> Result<T, StateError>,
) -> Result<ByStart<T>, StoreError> {
    if query.from > query.to {
        return Ok(BTreeMap::new());
    }
    let pk = query.pk.clone();
    let rows = store::all(store, query).await?;
    let start_of = |sk: &str| window.parse_label(sk.strip_prefix(prefix)?);
    decoded(&pk, rows, start_of, decode)
}

fn decoded<T>(
    pk: &str,
    rows: Vec<Row>,
    start_of: impl Fn(&str) -> Option<UnixMillis>,
    decode: impl Fn(&[u8]) -> Result<T, StateError>,
) -> Result<ByStart<T>, StoreError> {
    let rows = rows.into_iter();
    let found = rows.filter_map(|row| Some((start_of(&row.sk)?, row.sk, row.bytes?)));
    let read = found.map(|(start, sk, bytes)| {
        let value = decode(&bytes).map_err(unreadable(&ItemKey::new(pk, sk)))?;
        Ok((start, value))
    });
    read.collect()
}

/// Runs of consecutive hours, as first and last.
fn runs(hours: &BTreeSet<UnixMillis>) -> Vec<(UnixMillis, UnixMillis)> {
    let mut runs: Vec<(UnixMillis, UnixMillis)> = Vec::new();
    for hour in hours {
        match runs.last_mut() {
            Some((_, last)) if Window::Hour.end(*last) == *hour => *last = *hour,
            _ => runs.push((*hour, *hour)),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{World, ready};
    use domain::counts::Failures;

    #[test]
    fn an_address_listed_twice_counts_by_the_greater_rank() {
        let world = World::default();
        let hour = UnixMillis(1_795_363_200_000);
        let failed = |rank: u64| Failures {
            rank,
            auth_failures: rank,
            ..Failures::default()
        };
        for (listed, ranks) in [
            (Listed::First, [(1, 2), (2, 7)]),
            (Listed::Last, [(1, 5), (2, 3)]),
        ] {
            let mut hours = AddressHour::default();
            for (minute, rank) in ranks {
                hours.offer(minute, &failed(rank));
            }
            let key = ItemKey::address(hour, listed, "192.0.2.7");
            world
                .analytics
                .plant(&key, 1, state::encode(&hours).unwrap());
        }
        let found = ready(world.tables().addresses(hour)).unwrap();
        let slots = BTreeMap::from([(1, failed(5)), (2, failed(7))]);
        assert_eq!(found["192.0.2.7"].slots, slots);
    }

    #[test]
    fn hours_that_follow_one_another_are_one_run() {
        let hour = |hour: i64| UnixMillis(hour * 3_600_000);
        let hours = [1, 2, 3, 7, 9, 10].map(hour).into();
        let expected = [(1, 3), (7, 7), (9, 10)].map(|(from, to)| (hour(from), hour(to)));
        assert_eq!(runs(&hours), expected);
        assert_eq!(runs(&BTreeSet::new()), []);
    }
}
