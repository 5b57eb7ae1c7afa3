//! The buckets of a series while they are filled.

use std::collections::BTreeSet;

use domain::counts::{Counts, Sum};
use domain::meter::{self, Amounts};
use domain::tally::{Tally, Totals};
use domain::time::{UnixMillis, Window};

use crate::body::Granularity;
use crate::buckets::Buckets;

/// Counts and a number of users for each bucket.
pub(super) struct Filling<'a> {
    pub(super) buckets: &'a Buckets,
    pub(super) window: Window,
    pub(super) counts: Vec<Counts>,
    /// `None` if the bucket is not one of UTC.
    pub(super) users: Vec<Option<u64>>,
    /// The instant up to which everything appended in time is counted.
    pub(super) as_of: UnixMillis,
}

impl<'a> Filling<'a> {
    pub(super) fn new(buckets: &'a Buckets, granularity: Granularity, now: UnixMillis) -> Self {
        let window = match granularity {
            Granularity::Minute => Window::Minute,
            Granularity::Hour => Window::Hour,
            Granularity::Day => Window::Day,
        };
        let spans = buckets.spans();
        let users = spans.map(|(start, _)| buckets.is_window(window, start).then_some(0));
        Self {
            buckets,
            window,
            counts: vec![Counts::default(); buckets.len()],
            users: users.collect(),
            as_of: now,
        }
    }

    /// Adds to the bucket that contains `at`, if there is one.
    pub(super) fn add(&mut self, at: UnixMillis, counts: &Counts) {
        if let Some(known) = self.bucket(at) {
            known.merge(counts);
        }
    }

    /// Likewise, if only calls by type are known.
    fn add_totals(&mut self, at: UnixMillis, totals: Totals) {
        if let Some(known) = self.bucket(at) {
            known.tally.merge(&Tally {
                calls: totals.calls,
                auth_failures: totals.auth_failures,
                rate_limited: totals.rate_limited,
                units: totals.units,
                ..Tally::default()
            });
        }
    }

    /// Likewise, for amounts.
    fn add_amounts(&mut self, at: UnixMillis, amounts: &Amounts) {
        if let Some(known) = self.bucket(at) {
            meter::add(&mut known.tally.meters, amounts);
        }
    }

    /// Adds the quarter hours of a day to their buckets.
    pub(super) fn add_quarters(&mut self, day: UnixMillis, sum: &Sum) {
        for (at, totals) in sum.quarters_of(day) {
            self.add_totals(at, totals);
        }
        for (at, amounts) in sum.amounts_of(day) {
            self.add_amounts(at, amounts);
        }
    }

    fn bucket(&mut self, at: UnixMillis) -> Option<&mut Counts> {
        let position = self.buckets.position(at)?;
        self.counts.get_mut(position)
    }

    /// Sets the users of the bucket that is exactly the window from `start`, if there is one.
    pub(super) fn set_users(&mut self, start: UnixMillis, users: u64) {
        if self.buckets.is_window(self.window, start)
            && let Some(position) = self.buckets.position(start)
            && let Some(known) = self.users.get_mut(position)
        {
            *known = Some(users);
        }
    }

    /// The windows from the first bucket to the last, whole or cut, except those after `last`.
    pub(super) fn windows(&self, window: Window, last: UnixMillis) -> BTreeSet<UnixMillis> {
        let last = last.min(self.buckets.to().plus_millis(-1));
        let first = window.start(self.buckets.from());
        let next = |start: &UnixMillis| Some(window.end(*start));
        let all = std::iter::successors(Some(first), next);
        all.take_while(|start| *start <= last).collect()
    }
}
