//! Thresholds of quotas: how much of its period's quota a user has used, and the alerts about it.
//!
//! After the folds of a batch or a tick, this module looks at the users they counted, but only at those whose
//! use may have crossed a threshold since the last look. A look adds up the period's stored sums. It stores the
//! alert of each crossed threshold under an id that derives from user, period and threshold, sends the id to
//! the queue, and only then notes the threshold as announced. If it dies on the way, the next look does the
//! same again, and the id shows that it is the same alert. If a look fails, or the invocation runs out of time,
//! the next invocation of the same instance makes it. When a day is closed, a look at each of its users is due.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::convert::Infallible;
use std::sync::{Mutex, MutexGuard, PoisonError};

use domain::alert::{Alert, crossed, next_look};
use domain::counts::{Hour, Sum};
use domain::key::Quota;
use domain::plan::{Period, Plan, Plans};
use domain::state;
use domain::table::{self, ItemKey};
use domain::time::{UnixMillis, Window};
use runtime::log::Chain;
use runtime::queue::{Queue, SendError};
use runtime::quota;
use runtime::store::{self, Condition, NewItem, Query, Shown, Store, StoreError, unreadable};
use runtime::together::together;
use serde::{Deserialize, Serialize};

use crate::periods::Periods;

/// Upper bound for the users that are watched at a time.
const MOST_WATCHED: usize = 50_000;
/// How long a look stays valid. The user's settings may change in the meantime.
const LOOK_MILLIS: i64 = 6 * 3_600_000;
/// Minutes of a user that are remembered, to know what a further fold of them adds.
const MINUTES: usize = 4;
/// Days for which an alert is kept.
const ALERT_DAYS: i64 = 90;
/// Days whose hours are read if the day itself does not exist yet.
const OPEN_DAYS: i64 = 3;

/// The users that a fold counted.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Counted {
    /// Units of accepted calls by user and minute.
    pub minutes: BTreeMap<String, BTreeMap<UnixMillis, u64>>,
    /// Users of closed days, each with an instant of the day.
    pub closed: BTreeSet<(String, UnixMillis)>,
}

/// The stored state of a period besides its units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announced {
    /// The highest threshold that was announced, in percent.
    pub percent: u8,
}

/// Compares users' usage with the thresholds of their quotas.
#[derive(Debug)]
pub struct Thresholds<S, Q> {
    /// The usage table.
    pub usage: S,
    /// The queue that takes alerts.
    pub alerts: Q,
    /// The plans.
    pub plans: Plans,
    /// This instance's memory.
    pub memory: LookMemory,
}

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

/// A look that failed.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// The table.
    #[error("cannot read what a user has used in a period")]
    Store(#[from] StoreError),
    /// The queue.
    #[error("cannot queue an alert")]
    Send(#[from] SendError),
}

/// A user's use within a period.
struct Use<'a> {
    plan: (&'a str, &'a Plan),
    period: Period,
    calls: u64,
    quota: Option<u64>,
}

impl<S: Store, Q: Queue> Thresholds<S, Q> {
    /// The hand-over of closed periods, over the same table and queue.
    pub const fn periods(&self) -> Periods<'_, S, Q> {
        Periods {
            usage: &self.usage,
            queue: &self.alerts,
            plans: &self.plans,
        }
    }

    /// Looks at the users that a fold counted and at those whose look is owed, until the time is
    /// `over`. Remaining looks are owed. A look that fails does not delay the others.
    pub async fn look(&self, counted: &Counted, now: UnixMillis, over: &impl Fn() -> bool) {
        let mut due: BTreeSet<(String, UnixMillis)> = counted.closed.clone();
        due.extend(self.memory.owed());
        for (user, minutes) in &counted.minutes {
            due.extend(
                self.memory
                    .count(user, minutes, now)
                    .map(|at| (user.clone(), at)),
            );
        }
        let mut users: BTreeMap<String, Vec<UnixMillis>> = BTreeMap::new();
        for (user, at) in due {
            users.entry(user).or_default().push(at);
        }
        let looks = users.iter().map(|(user, instants)| async move {
            for at in instants {
                self.try_look(user, *at, now, over).await;
            }
            Ok::<(), Infallible>(())
        });
        let Ok(_) = together(looks.collect()).await;
    }

    async fn try_look(
        &self,
        user: &str,
        at: UnixMillis,
        now: UnixMillis,
        over: &impl Fn() -> bool,
    ) {
        if over() {
            return self.memory.owe(user, at);
        }
        match self.look_at(user, at, now).await {
            Ok(()) => self.memory.settle(user, at),
            Err(error) => {
                tracing::warn!(user, error = %Chain(&error), "the next invocation looks at a quota again");
                self.memory.owe(user, at);
            }
        }
    }

    /// Looks at a user's use within the period that contains `at`.
    async fn look_at(&self, user: &str, at: UnixMillis, now: UnixMillis) -> Result<(), LookError> {
        let own = quota::own(&self.usage, user).await?;
        let has_quota = |plan: &Plan| plan.monthly_quota.is_some();
        if own.is_none() && !self.plans.values().any(has_quota) {
            self.memory.rest(user, at, now);
            return Ok(());
        }
        let Some(found) = self.used(user, own, at, now).await? else {
            self.memory.rest(user, at, now);
            return Ok(());
        };
        let Some(quota) = found.quota else {
            self.memory.looked(user, &found, u64::MAX, now);
            return Ok(());
        };
        let (name, plan) = found.plan;
        let key = ItemKey::period(user, found.period.start);
        let stored = self.usage.get(&key).await?;
        let announced = match &stored {
            Some(stored) => state::decode::<Announced>(&stored.state).map_err(unreadable(&key))?,
            None => Announced { percent: 0 },
        };
        let crossed = crossed(found.calls, quota, &plan.alerts_percent, announced.percent);
        for percent in &crossed {
            let calls = (found.calls, quota, *percent);
            self.alert(&Alert::new((user, name), calls, found.period, now))
                .await?;
        }
        let announced = Announced {
            percent: crossed.last().copied().unwrap_or(announced.percent),
        };
        let item = NewItem {
            version: found.calls,
            state: state::encode(&announced).map_err(unreadable(&key))?,
            shown: Shown {
                expires_at: Some(found.period.end.plus_days(ALERT_DAYS)),
                ..Shown::default()
            },
            condition: Condition::Lower,
        };
        self.usage.put(&key, item).await?;
        let next = next_look(found.calls, quota, &plan.alerts_percent);
        self.memory.looked(user, &found, next, now);
        Ok(())
    }

    /// Stores an alert unless it is stored already, and sends it to the queue.
    async fn alert(&self, alert: &Alert) -> Result<(), LookError> {
        let id = alert.id();
        let key = ItemKey::alert(&id);
        let item = NewItem {
            version: 1,
            state: state::encode(alert).map_err(unreadable(&key))?,
            shown: Shown {
                expires_at: Some(alert.end.plus_days(ALERT_DAYS)),
                ..Shown::default()
            },
            condition: Condition::Version(0),
        };
        self.usage.put(&key, item).await?;
        let message = serde_json::json!({ "alert": id }).to_string();
        Ok(self.alerts.send(message, 0).await?)
    }

    /// Adds up the stored sums of the period of `at`: days, and the hours of days that do not exist
    /// yet.
    async fn used(
        &self,
        user: &str,
        own: Option<Quota>,
        at: UnixMillis,
        now: UnixMillis,
    ) -> Result<Option<Use<'_>>, StoreError> {
        let month = Window::Month.start(at.plus_days(-1));
        let (from, to) = (month.plus_days(-1), at.max(now).plus_days(1));
        let days = self.read(
            user,
            ItemKey::day(user, from),
            ItemKey::day(user, to),
            Sum::decode,
        );
        let hours = |from, to| {
            let (from, to) = (ItemKey::hour(user, from), ItemKey::hour(user, to));
            self.read(user, from, to, Hour::decode)
        };
        let recent = now.plus_days(-OPEN_DAYS);
        // The day of late calls is closed again later. Until then its hours have more facts.
        let late = async {
            if at < recent {
                let day = Window::Day.start(at);
                return hours(day, Window::Day.end(day).min(recent)).await;
            }
            Ok(Vec::new())
        };
        let (days, mut hours, late) = tokio::try_join!(days, hours(recent, to), late)?;
        hours.extend(late);
        hours.sort_by_key(|(start, _)| *start);
        hours.dedup_by_key(|(start, _)| *start);
        let seen = days.iter().filter_map(|(_, day)| day.counts.seen.as_ref());
        let of_hours = hours.iter().flat_map(|(_, hour)| hour.slots());
        let seen = seen.chain(of_hours.filter_map(|(_, slot)| slot.counts.seen.as_ref()));
        let latest = seen.filter_map(domain::seen::Seen::plan_at).max();
        let plan = latest.and_then(|(_, name)| self.plans.get_key_value(name));
        let Some((name, plan)) = plan else {
            return Ok(None);
        };
        let period = plan.period(at);
        Ok(Some(Use {
            plan: (name, plan),
            period,
            calls: calls_within(period, &days, &hours),
            quota: plan.quota(own),
        }))
    }

    async fn read<T>(
        &self,
        user: &str,
        from: ItemKey,
        to: ItemKey,
        decode: impl Fn(&[u8]) -> Result<T, state::StateError>,
    ) -> Result<Vec<(UnixMillis, T)>, StoreError> {
        let pk = table::user(user);
        let rows = store::all(&self.usage, Query::states(&pk, from.sk, to.sk)).await?;
        let mut read = Vec::new();
        for row in rows {
            let (kind, label) = row.sk.split_once('#').unwrap_or_default();
            let window = if kind == "DAY" {
                Window::Day
            } else {
                Window::Hour
            };
            if let Some((start, bytes)) = window.parse_label(label).zip(row.bytes) {
                let key = ItemKey::new(&pk, &row.sk);
                read.push((start, decode(&bytes).map_err(unreadable(&key))?));
            }
        }
        Ok(read)
    }
}

/// Units of a period's accepted calls: for each day the day's own sum, or its hours if they have
/// more facts. Exact to the quarter hour, on which periods of every time zone begin.
fn calls_within(period: Period, days: &[(UnixMillis, Sum)], hours: &[(UnixMillis, Hour)]) -> u64 {
    let mut of_hours: BTreeMap<UnixMillis, Sum> = BTreeMap::new();
    for (start, hour) in hours {
        let day = of_hours.entry(Window::Day.start(*start)).or_default();
        day.merge(&hour.sum());
    }
    for (start, day) in days {
        let known = of_hours.entry(*start).or_default();
        if day.rank >= known.rank {
            known.clone_from(day);
        }
    }
    let quarters = of_hours.iter().flat_map(|(day, sum)| sum.quarters_of(*day));
    let within = quarters.filter(|(at, _)| period.holds(*at));
    within.map(|(_, totals)| totals.units).sum()
}

impl LookMemory {
    /// Records what a fold counted for a user. Returns the instant to look at, if a look is due.
    fn count(
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

    fn looked(&self, user: &str, found: &Use<'_>, next: u64, now: UnixMillis) {
        self.watch(user, found.period, (found.calls, next), now);
    }

    /// Nothing to watch until the settings may have changed.
    fn rest(&self, user: &str, at: UnixMillis, now: UnixMillis) {
        let period = Period {
            start: at.min(now).plus_days(-1),
            end: now.plus_days(1),
        };
        self.watch(user, period, (0, u64::MAX), now);
    }

    fn watch(&self, user: &str, period: Period, (calls, next): (u64, u64), now: UnixMillis) {
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

    fn owe(&self, user: &str, at: UnixMillis) {
        let owed = &mut self.looks().owed;
        // Without room, the next fold of the user makes a look due again.
        if owed.len() < MOST_WATCHED {
            owed.insert((user.to_owned(), at));
        }
    }

    fn settle(&self, user: &str, at: UnixMillis) {
        self.looks().owed.remove(&(user.to_owned(), at));
    }

    fn owed(&self) -> BTreeSet<(String, UnixMillis)> {
        self.looks().owed.clone()
    }

    fn looks(&self) -> MutexGuard<'_, Looks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
