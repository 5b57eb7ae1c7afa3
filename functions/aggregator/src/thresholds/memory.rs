//! An instance's memory of its looks: it says which folds are looked at. It saves looks and never holds a count.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use domain::plan::Period;
use domain::time::UnixMillis;

/// Upper bound for the users that are watched at a time.
const MOST_WATCHED: usize = 50_000;
/// How long a look stays valid. The user's settings may change in the meantime.
const LOOK_MILLIS: i64 = 6 * 3_600_000;
/// Minutes of a user that are remembered, to know what a further fold of them adds.
const MINUTES: usize = 4;

/// An instance's memory of its looks: it saves looks and never holds a count.
#[derive(Debug, Default)]
pub struct LookMemory(Mutex<Looks>);

#[derive(Debug, Default)]
struct Looks {
    watched: HashMap<String, Watch>,
    /// Looks that are still to be made: the user and an instant of the period.
    owed: BTreeSet<(String, UnixMillis)>,
}

#[derive(Debug)]
struct Watch {
    /// The time of the last look, and the period it was in.
    at: UnixMillis,
    period: Period,
    /// An estimate of the units of the period: those of the last look and those that folds of this
    /// instance added since.
    used: u64,
    /// The estimate at which the next look is due.
    next: u64,
    minutes: BTreeMap<UnixMillis, u64>,
}

impl LookMemory {
    /// Records what a fold counted for a user. Returns the instant to look at, if a look is due.
    pub(super) fn count(
        &self,
        user: &str,
        minutes: &BTreeMap<UnixMillis, u64>,
        now: UnixMillis,
    ) -> Option<UnixMillis> {
        let last = *minutes.keys().next_back()?;
        let mut looks = self.looks();
        let Some(watch) = looks.watched.get_mut(user) else {
            return Some(last);
        };
        for (minute, calls) in minutes {
            let known = watch.minutes.entry(*minute).or_default();
            watch.used += calls.saturating_sub(*known);
            *known = (*known).max(*calls);
        }
        while watch.minutes.len() > MINUTES {
            watch.minutes.pop_first();
        }
        let is_good = watch.period.holds(last) && now.since(watch.at) < LOOK_MILLIS;
        (watch.used >= watch.next || !is_good).then_some(last)
    }

    /// Nothing to watch until the settings may have changed.
    pub(super) fn rest(&self, user: &str, at: UnixMillis, now: UnixMillis) {
        let period = Period {
            start: at.min(now).plus_days(-1),
            end: now.plus_days(1),
        };
        self.looked(user, period, (0, u64::MAX), now);
    }

    /// Records a look that found `calls` units. The next one is due at `next`.
    pub(super) fn looked(
        &self,
        user: &str,
        period: Period,
        (calls, next): (u64, u64),
        now: UnixMillis,
    ) {
        let watched = &mut self.looks().watched;
        if watched.len() >= MOST_WATCHED && !watched.contains_key(user) {
            watched.clear();
        }
        let minutes = watched.remove(user).map(|watch| watch.minutes);
        let watch = Watch {
            at: now,
            period,
            used: calls,
            next,
            minutes: minutes.unwrap_or_default(),
        };
        watched.insert(user.to_owned(), watch);
    }

    pub(super) fn owe(&self, user: &str, at: UnixMillis) {
        let owed = &mut self.looks().owed;
        // Without room, the next fold of the user makes a look due again.
        if owed.len() < MOST_WATCHED {
            owed.insert((user.to_owned(), at));
        }
    }

    pub(super) fn settle(&self, user: &str, at: UnixMillis) {
        self.looks().owed.remove(&(user.to_owned(), at));
    }

    pub(super) fn owed(&self) -> BTreeSet<(String, UnixMillis)> {
        self.looks().owed.clone()
    }

    fn looks(&self) -> MutexGuard<'_, Looks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
