//! Reads what the tables hold of a user.
//!
//! From the top down: all time, months, days, leaves. Counts are written the other way and every
//! read sees what was written before it, so that each item is at least as new as what the one
//! above it took: no count is missed between two reads, and none is met twice.

use std::collections::{BTreeMap, BTreeSet};

use domain::event::{DEDUPE_HORIZON_DAYS, MOST_LANES, Subject};
use domain::leaf::{Leaf, LeafKey};
use domain::names::TrackingMode;
use domain::rollup::RollUp;
use domain::table::{self, HourPart, ItemKey};
use domain::tally::Tally;
use domain::time::{UnixMillis, Window};
use futures_util::future::{try_join, try_join_all};
use runtime::store::{self, Store, StoreError};
use serde::de::DeserializeOwned;

use crate::overlay::{AsOf, Home, Known};

/// How far behind the newest hour that was rolled up a leaf may still change: calls are reported
/// within seconds, and the hour may just have turned. Also how far ahead the authorizers' clocks
/// may be.
const HOUR: i64 = 3_600_000;

/// The tables.
#[derive(Debug)]
pub struct Tables<'a, S> {
    /// The usage table.
    pub usage: &'a S,
    /// The analytics table. In synchronous mode there may be none: then it holds nothing.
    pub analytics: &'a S,
}

/// Reads one item.
pub async fn get<S: Store, T: DeserializeOwned>(
    store: &S,
    key: &ItemKey,
) -> Result<Option<AsOf<T>>, StoreError> {
    let stored = store.get(key).await?;
    let as_of = |stored: store::Stored| {
        Ok(AsOf {
            version: stored.version,
            state: store::read(key, &stored)?,
        })
    };
    stored.map(as_of).transpose()
}

/// Reads the items of a partition between two sort keys, both included.
pub async fn partition<S: Store, T: DeserializeOwned>(
    store: &S,
    pk: &str,
    from: &str,
    to: &str,
) -> Result<Vec<(String, AsOf<T>)>, StoreError> {
    let items = store.partition(pk, from, to).await?;
    let read = |(sk, stored): (String, store::Stored)| {
        let state = store::read(&ItemKey::new(pk, &sk), &stored)?;
        let version = stored.version;
        Ok((sk, AsOf { version, state }))
    };
    items.into_iter().map(read).collect()
}

/// Reads a user's days from that of `from` to that of `to`, both included.
pub async fn days<S: Store>(
    store: &S,
    subject: &Subject,
    from: UnixMillis,
    to: UnixMillis,
) -> Result<BTreeMap<UnixMillis, AsOf<RollUp>>, StoreError> {
    let (from, to) = (Window::Day.label(from), Window::Day.label(to));
    let items = partition(store, &table::day_partition(subject), &from, &to).await?;
    let by_start = items
        .into_iter()
        .filter_map(|(label, day)| Some((Window::Day.parse_label(&label)?, day)));
    Ok(by_start.collect())
}

/// Reads the first leaves of a user's hours in one lane, from the hour of `from` to that of `to`,
/// both included.
pub async fn leaves<S: Store>(
    store: &S,
    subject: &Subject,
    lane: u16,
    from: UnixMillis,
    to: UnixMillis,
) -> Result<Vec<(LeafKey, AsOf<Leaf>)>, StoreError> {
    let pk = table::leaf_partition(subject, lane);
    let (from, to) = (Window::Hour.label(from), Window::Hour.label(to));
    let items = partition(store, &pk, &from, &to).await?;
    let by_key = items
        .into_iter()
        .filter_map(|(sk, leaf)| Some((table::parse_leaf(&ItemKey::new(&pk, sk))?, leaf)));
    Ok(by_key.collect())
}

/// Reads what a user did in each minute, from the hour of `from` to that of `to`, both included. What
/// stands beyond first leaves is as fresh as its sums, of which the `days` know.
pub async fn minutes<S: Store>(
    store: &S,
    subject: &Subject,
    days: &BTreeMap<UnixMillis, AsOf<RollUp>>,
    from: UnixMillis,
    to: UnixMillis,
) -> Result<BTreeMap<UnixMillis, Tally>, StoreError> {
    let is_busy = hour_parts(days).any(|part| matches!(part, HourPart::Beyond(_)));
    let lanes = if is_busy { 0..MOST_LANES } else { 0..1 };
    let leaves = lanes.map(|lane| leaves(store, subject, lane, from, to));
    let busy = async {
        if is_busy {
            busy_minutes(store, subject, from, to).await
        } else {
            Ok(Vec::new())
        }
    };
    let (leaves, busy) = try_join(try_join_all(leaves), busy).await?;
    let mut minutes: BTreeMap<UnixMillis, Tally> = BTreeMap::new();
    for (key, leaf) in leaves.into_iter().flatten() {
        for minute in leaf.state.minutes() {
            let at = key.hour.plus_millis(i64::from(minute) * 60_000);
            let tally = leaf.state.minute(minute);
            minutes.entry(at).or_default().merge(&tally);
        }
    }
    for (minute, rolled) in busy {
        minutes.entry(minute).or_default().merge(&rolled.tally());
    }
    Ok(minutes)
}

/// Reads what a user's leaves beyond the first ones add up to, by minute.
async fn busy_minutes<S: Store>(
    store: &S,
    subject: &Subject,
    from: UnixMillis,
    to: UnixMillis,
) -> Result<Vec<(UnixMillis, RollUp)>, StoreError> {
    let last = Window::Hour.end(to).plus_millis(-1);
    let from = Window::Minute.label(Window::Hour.start(from));
    let to = store::after(&Window::Minute.label(last));
    let items = partition(store, &table::busy_partition(subject), &from, &to).await?;
    // The sums of hours stand among those of their minutes.
    let by_start = items
        .into_iter()
        .filter_map(|(label, rolled)| Some((table::minute_of_busy(&label)?, rolled.state)));
    Ok(by_start.collect())
}

/// The newest hour of which a subject's first leaf was rolled up.
fn newest_hour(days: &BTreeMap<UnixMillis, AsOf<RollUp>>) -> Option<UnixMillis> {
    let firsts = hour_parts(days).filter(|part| matches!(part, HourPart::First(_)));
    firsts.map(HourPart::hour).max()
}

fn hour_parts(days: &BTreeMap<UnixMillis, AsOf<RollUp>>) -> impl Iterator<Item = HourPart> {
    days.iter()
        .flat_map(|(day, rolled)| rolled.state.parts().map(move |(name, _)| (*day, name)))
        .filter_map(|(day, name)| HourPart::parse(day, name))
}

impl<S: Store> Tables<'_, S> {
    /// Reads what is needed to say what `subject` used up to `now`, however far the roll-ups of its
    /// first leaves are.
    pub async fn known(&self, subject: &Subject, now: UnixMillis) -> Result<Known, StoreError> {
        let all_time = get(self.usage, &ItemKey::all_time(subject)).await?;
        let months = self.months(subject, now).await?;
        let (stream, synchronous) = try_join(
            self.home(TrackingMode::Stream, subject, &months, now),
            self.home(TrackingMode::Synchronous, subject, &months, now),
        )
        .await?;
        Ok(Known {
            subject: subject.clone(),
            all_time: all_time.unwrap_or_default(),
            months,
            homes: BTreeMap::from([
                (TrackingMode::Stream, stream),
                (TrackingMode::Synchronous, synchronous),
            ]),
        })
    }

    /// Reads one more day, unless it was read.
    pub async fn add_day(&self, known: &mut Known, day: UnixMillis) -> Result<(), StoreError> {
        let key = ItemKey::day(&known.subject, day);
        for (mode, home) in &mut known.homes {
            if !home.days.contains_key(&day)
                && let Some(rolled) = or_absent(get(self.table(*mode), &key).await)?
            {
                home.days.insert(day, rolled);
            }
        }
        Ok(())
    }

    const fn table(&self, mode: TrackingMode) -> &S {
        match mode {
            TrackingMode::Stream => self.analytics,
            TrackingMode::Synchronous => self.usage,
        }
    }

    /// The months that leaves may still change. The newest first: what it holds of a day says that
    /// all before it was handed on, and what is read after it holds that.
    async fn months(
        &self,
        subject: &Subject,
        now: UnixMillis,
    ) -> Result<BTreeMap<UnixMillis, AsOf<RollUp>>, StoreError> {
        let oldest = Window::Month.start(now.plus_days(-DEDUPE_HORIZON_DAYS));
        let newest = Window::Month.start(now);
        let mut months = BTreeMap::new();
        for start in BTreeSet::from([oldest, newest]).into_iter().rev() {
            let month = get(self.usage, &ItemKey::month(subject, start)).await?;
            months.extend(month.map(|month| (start, month)));
        }
        Ok(months)
    }

    /// The days and leaves of one mode, from where its roll-ups are.
    async fn home(
        &self,
        mode: TrackingMode,
        subject: &Subject,
        months: &BTreeMap<UnixMillis, AsOf<RollUp>>,
        now: UnixMillis,
    ) -> Result<Home, StoreError> {
        let parts = months
            .iter()
            .flat_map(|(month, rolled)| rolled.state.parts().map(move |(name, _)| (*month, name)));
        let newest_day = parts
            .filter_map(|(month, name)| table::day_of_part(month, name))
            .filter(|(_, of)| *of == mode)
            .map(|(day, _)| day)
            .max();
        or_absent(home(self.table(mode), subject, newest_day, now).await)
    }
}

/// The days from the newest one that was handed on, today and yesterday, and the leaves from the
/// newest hour that was rolled up and the last hour: whatever is older has not changed since.
async fn home<S: Store>(
    table: &S,
    subject: &Subject,
    newest_day: Option<UnixMillis>,
    now: UnixMillis,
) -> Result<Home, StoreError> {
    let oldest = now.plus_days(-DEDUPE_HORIZON_DAYS);
    let yesterday = Window::Day.start(now.plus_days(-1));
    let from = newest_day.map_or(oldest, |day| day.min(yesterday).max(oldest));
    let days = days(table, subject, from, now.plus_days(1)).await?;
    let last_hour = now.plus_millis(-HOUR);
    let from = newest_hour(&days).map_or(oldest, |hour| {
        hour.plus_millis(-HOUR).min(last_hour).max(oldest)
    });
    let leaves = leaves(table, subject, 0, from, now.plus_millis(HOUR)).await?;
    Ok(Home {
        days,
        leaves: leaves.into_iter().collect(),
    })
}

/// The usage table was read before: what is missing is the analytics table, and that may be.
fn or_absent<T: Default>(read: Result<T, StoreError>) -> Result<T, StoreError> {
    match read {
        Err(StoreError::TableMissing { .. }) => Ok(T::default()),
        read => read,
    }
}

#[cfg(test)]
mod tests;
