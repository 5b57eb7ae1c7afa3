//! Counts over time, of one user or of everybody.
//!
//! A bucket is filled with the largest stored parts that lie in it whole: days, then hours, then
//! quarter hours or minutes. None is ever divided by estimate; what cannot be told exactly is
//! refused ([`Asked::check_kept`]) or null.

mod asked;

pub use asked::{Asked, Format, GroupBy, PARAMETERS, Retention};

use std::collections::{BTreeMap, BTreeSet};

use domain::event::{EventType, Subject};
use domain::leaf::{Leaf, LeafKey};
use domain::rollup::RollUp;
use domain::table::{HourPart, ItemKey};
use domain::tally::{Tally, Totals};
use domain::time::{UnixMillis, Window};
use futures_util::future::try_join_all;
use runtime::store::{self, Store, StoreError};

use crate::answer::{Granularity, Group, Instant, Point, Timeseries};
use crate::buckets::Buckets;
use crate::overlay::{AsOf, Home, quarter_hours};
use crate::ranking::ranked;
use crate::reading;

const HOUR: i64 = 3_600_000;
const MINUTE: i64 = 60_000;

/// Reads the series.
pub async fn series<S: Store>(
    store: &S,
    asked: &Asked,
    now: UnixMillis,
) -> Result<Timeseries, StoreError> {
    let mut filling = Filling::new(&asked.buckets, asked.granularity);
    match &asked.whose {
        Some(subject) => of_user(store, subject, asked, now, &mut filling).await?,
        None => of_everybody(store, asked, &mut filling).await?,
    }
    let spans = asked.buckets.spans();
    let filled = filling.tallies.iter().zip(&filling.users);
    let point =
        |((start, _), (tally, users)): ((UnixMillis, UnixMillis), (&Tally, &Option<u64>))| {
            let alone = asked.whose.as_ref().map(|_| u64::from(tally.calls > 0));
            Point {
                start: Instant(start),
                total_calls: tally.calls,
                auth_failures: tally.auth_failures,
                rate_limited: tally.rate_limited,
                active_users: alone.or(*users),
                groups: asked.group_by.map(|by| groups(tally, by)),
            }
        };
    Ok(Timeseries {
        granularity: asked.granularity,
        from: Instant(asked.buckets.from()),
        to: Instant(asked.buckets.to()),
        points: spans.zip(filled).map(point).collect(),
    })
}

/// Every event type, in the same order everywhere; methods and endpoints most first.
fn groups(tally: &Tally, by: GroupBy) -> Vec<Group> {
    let group = |(key, total_calls): (&str, u64)| Group {
        key: key.to_owned(),
        total_calls,
    };
    let ranking = |counts: &BTreeMap<String, u64>| {
        let counts = counts.iter().map(|(key, count)| (key.as_str(), *count));
        ranked(counts).into_iter().map(group).collect()
    };
    match by {
        GroupBy::Type => EventType::ALL
            .map(|of| group((of.as_str(), tally.of(of))))
            .into(),
        GroupBy::Method => ranking(&tally.methods),
        GroupBy::Endpoint => ranking(&tally.endpoints),
    }
}

/// Buckets as they fill.
struct Filling<'a> {
    buckets: &'a Buckets,
    tallies: Vec<Tally>,
    users: Vec<Option<u64>>,
}

impl<'a> Filling<'a> {
    fn new(buckets: &'a Buckets, granularity: Granularity) -> Self {
        let window = window(granularity);
        let users = buckets.spans();
        Self {
            buckets,
            tallies: vec![Tally::default(); buckets.len()],
            users: users
                .map(|(start, _)| buckets.is_window(window, start).then_some(0))
                .collect(),
        }
    }

    fn add(&mut self, position: Option<usize>, tally: &Tally) {
        if let Some(known) = position.and_then(|position| self.tallies.get_mut(position)) {
            known.merge(tally);
        }
    }

    fn add_totals(&mut self, at: UnixMillis, totals: Totals) {
        let tally = Tally {
            calls: totals.calls,
            auth_failures: totals.auth_failures,
            rate_limited: totals.rate_limited,
            ..Tally::default()
        };
        self.add(self.buckets.position(at), &tally);
    }

    /// Everybody's counts in one window, whole or by its parts.
    fn add_roll_up(&mut self, window: Window, start: UnixMillis, roll_up: &RollUp) {
        if let Some(position) = self.buckets.holding(window, start) {
            self.add(Some(position), &roll_up.tally());
            if self.buckets.is_window(window, start)
                && let Some(users) = self.users.get_mut(position)
            {
                *users = Some(roll_up.users());
            }
            return;
        }
        for (name, part) in roll_up.parts() {
            if let Some((window, start)) = part_of(window, start, name) {
                self.add(self.buckets.holding(window, start), &part.tally);
            }
        }
    }
}

const fn window(granularity: Granularity) -> Window {
    match granularity {
        Granularity::Minute => Window::Minute,
        Granularity::Hour => Window::Hour,
        Granularity::Day => Window::Day,
    }
}

/// The part `name` of everybody's day or hour: an hour, or a minute.
fn part_of(window: Window, start: UnixMillis, name: &str) -> Option<(Window, UnixMillis)> {
    let (part, length) = match window {
        Window::Day => (Window::Hour, HOUR),
        Window::Hour => (Window::Minute, MINUTE),
        Window::Minute | Window::Month => return None,
    };
    let number: u8 = name.parse().ok()?;
    Some((part, start.plus_millis(i64::from(number) * length)))
}

async fn of_everybody<S: Store>(
    store: &S,
    asked: &Asked,
    filling: &mut Filling<'_>,
) -> Result<(), StoreError> {
    let window = window(asked.granularity);
    let last = asked.buckets.to().plus_millis(-1);
    let (from, to) = (window.label(asked.buckets.from()), window.label(last));
    for (label, stored) in store.by_time(window, &from, &to).await? {
        if let Some(start) = window.parse_label(&label) {
            let roll_up = store::read(&ItemKey::global(window, start), &stored)?;
            filling.add_roll_up(window, start, &roll_up);
        }
    }
    if asked.granularity != Granularity::Day {
        return Ok(());
    }
    let hours = asked
        .buckets
        .cut_hours()
        .into_iter()
        .map(|hour| async move {
            let read: Option<AsOf<RollUp>> =
                reading::get(store, &ItemKey::global(Window::Hour, hour)).await?;
            Ok::<_, StoreError>((hour, read))
        });
    for (hour, read) in try_join_all(hours).await? {
        if let Some(read) = read {
            filling.add_roll_up(Window::Hour, hour, &read.state);
        }
    }
    Ok(())
}

async fn of_user<S: Store>(
    store: &S,
    subject: &Subject,
    asked: &Asked,
    now: UnixMillis,
    filling: &mut Filling<'_>,
) -> Result<(), StoreError> {
    let buckets = &asked.buckets;
    let last = buckets.to().plus_millis(-1);
    let by_minute = if asked.is_of_quarters() {
        BTreeSet::new()
    } else {
        buckets.cut_hours()
    };
    let this_hour = Window::Hour.start(now);
    let recent = [this_hour.plus_millis(-HOUR), this_hour];
    let recent = recent
        .into_iter()
        .filter(|hour| *hour <= last && buckets.from() < Window::Hour.end(*hour));
    let recent: BTreeSet<UnixMillis> = recent.filter(|hour| !by_minute.contains(hour)).collect();
    let days = reading::days(store, subject, buckets.from(), last).await?;
    let minutes = runs(&by_minute).into_iter();
    let minutes = minutes.map(|(from, to)| reading::minutes(store, subject, &days, from, to));
    for (minute, tally) in try_join_all(minutes).await?.into_iter().flatten() {
        filling.add(buckets.position(minute), &tally);
    }
    let leaves = runs(&recent).into_iter();
    let leaves = leaves.map(|(from, to)| reading::leaves(store, subject, 0, from, to));
    let leaves: BTreeMap<LeafKey, AsOf<Leaf>> =
        try_join_all(leaves).await?.into_iter().flatten().collect();
    for (day, fresh) in (Home { days, leaves }).fresh_days() {
        for (name, part) in fresh.parts() {
            let hour = HourPart::parse(day, name).map(HourPart::hour);
            let Some(hour) = hour.filter(|hour| !by_minute.contains(hour)) else {
                continue;
            };
            match buckets.holding(Window::Hour, hour) {
                Some(position) => filling.add(Some(position), &part.tally),
                None => quarter_hours(day, name, part)
                    .for_each(|(at, totals)| filling.add_totals(at, totals)),
            }
        }
    }
    Ok(())
}

/// Hours that follow one another, as first and last.
fn runs(hours: &BTreeSet<UnixMillis>) -> Vec<(UnixMillis, UnixMillis)> {
    let mut runs: Vec<(UnixMillis, UnixMillis)> = Vec::new();
    for hour in hours {
        match runs.last_mut() {
            Some((_, last)) if hour.since(*last) <= HOUR => *last = *hour,
            _ => runs.push((*hour, *hour)),
        }
    }
    runs
}

#[cfg(test)]
mod tests;
