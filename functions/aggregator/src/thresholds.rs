//! How much of its period's quota a user has used, and the alerts about it.
//!
//! After the folds of a batch or a tick, this module looks at the users they counted, but only at those whose
//! use may have crossed a threshold since the last look. A look adds up the period's stored sums. It stores the
//! alert of each crossed threshold under an id that derives from user, period and threshold, sends the id to
//! the queue, and only then notes the threshold as announced. If it dies on the way, the next look does the
//! same again, and the id shows that it is the same alert. If a look fails, or the invocation runs out of time,
//! the next invocation of the same instance makes it. That makes alerts prompt. No alert depends on it: when a
//! day is closed and when it is sealed, [`looks`](crate::looks) at each of its users follow from its mark.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use domain::alert::{Alert, Announced, crossed, next_look};
use domain::counts::{Hour, Sum};
use domain::key::Quota;
use domain::plan::{self, Period, Plan, Plans};
use domain::state;
use domain::table::{self, ItemKey};
use domain::time::{UnixMillis, Window};
use runtime::log::Chain;
use runtime::queue::{Queue, SendError};
use runtime::quota;
use runtime::store::{self, Condition, NewItem, Query, Shown, Store, StoreError, unreadable};
use runtime::together::together;

use crate::periods::Periods;

mod memory;

pub use memory::LookMemory;

/// Days for which an alert is kept.
const ALERT_DAYS: i64 = 90;
/// Days whose hours are read if the day itself does not exist yet.
const OPEN_DAYS: i64 = 3;

/// The users that a fold counted.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Counted {
    /// Units of accepted calls by user and minute.
    pub minutes: BTreeMap<String, BTreeMap<UnixMillis, u64>>,
}

impl Counted {
    pub(crate) fn add(&mut self, other: Self) {
        for (user, minutes) in other.minutes {
            self.minutes.entry(user).or_default().extend(minutes);
        }
    }
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
        let mut due: BTreeSet<(String, UnixMillis)> = self.memory.owed();
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
        let found = if self.may_have_quota(own) {
            self.used(user, own, at, now).await?
        } else {
            None
        };
        let Some(found) = found else {
            self.memory.rest(user, at, now);
            return Ok(());
        };
        let next = self.compare(user, &found, now).await?;
        self.memory
            .looked(user, found.period, (found.calls, next), now);
        Ok(())
    }

    /// Looks at a user after a day was closed: at what the closed days of its periods hold. Hours of days that
    /// are not closed yet need not be read, because their closings look at the user, too.
    pub(crate) async fn look_at_day(
        &self,
        user: &str,
        day: UnixMillis,
        now: UnixMillis,
    ) -> Result<(), LookError> {
        let own = quota::own(&self.usage, user).await?;
        if !self.may_have_quota(own) {
            return Ok(());
        }
        for at in self.instants_of(day) {
            let days = self.days(user, at, now).await?;
            if let Some(found) = self.sum_up(own, at, &days, &[]) {
                self.compare(user, &found, now).await?;
            }
        }
        Ok(())
    }

    fn may_have_quota(&self, own: Option<Quota>) -> bool {
        let has_quota = |plan: &Plan| plan.monthly_quota.is_some();
        own.is_some() || self.plans.values().any(has_quota)
    }

    /// Announces the thresholds that a user has crossed. Returns the units at which the next look is due.
    async fn compare(
        &self,
        user: &str,
        found: &Use<'_>,
        now: UnixMillis,
    ) -> Result<u64, LookError> {
        let Some(quota) = found.quota else {
            return Ok(u64::MAX);
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
        let version = stored.map_or(0, |stored| stored.version);
        let has_grown = found.calls > version;
        if has_grown || !crossed.is_empty() {
            let announced = Announced {
                percent: crossed.last().copied().unwrap_or(announced.percent),
            };
            let item = NewItem {
                version: found.calls.max(version),
                state: state::encode(&announced).map_err(unreadable(&key))?,
                shown: Shown {
                    expires_at: Some(found.period.end.plus_days(ALERT_DAYS)),
                    ..Shown::default()
                },
                condition: if has_grown {
                    Condition::Lower
                } else {
                    Condition::Version(version)
                },
            };
            self.usage.put(&key, item).await?;
        }
        Ok(next_look(found.calls, quota, &plan.alerts_percent))
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
        let recent = now.plus_days(-OPEN_DAYS);
        let (_, to) = self.span(at, now);
        // The day of late calls is closed again later. Until then its hours have more facts.
        let day = Window::Day.start(at);
        let late = self.hours(user, day, Window::Day.end(day).min(recent));
        let hours = self.hours(user, recent, to);
        let (days, mut hours, late) = tokio::try_join!(self.days(user, at, now), hours, late)?;
        hours.extend(late);
        hours.sort_by_key(|(start, _)| *start);
        hours.dedup_by_key(|(start, _)| *start);
        Ok(self.sum_up(own, at, &days, &hours))
    }

    fn sum_up(
        &self,
        own: Option<Quota>,
        at: UnixMillis,
        days: &[(UnixMillis, Sum)],
        hours: &[(UnixMillis, Hour)],
    ) -> Option<Use<'_>> {
        let seen = days.iter().filter_map(|(_, day)| day.counts.seen.as_ref());
        let of_hours = hours.iter().flat_map(|(_, hour)| hour.slots());
        let seen = seen.chain(of_hours.filter_map(|(_, slot)| slot.counts.seen.as_ref()));
        let latest = seen.filter_map(domain::seen::Seen::plan_at).max();
        let (name, plan) = latest.and_then(|(_, name)| self.plans.get_key_value(name))?;
        let period = plan.period(at);
        Some(Use {
            plan: (name, plan),
            period,
            calls: calls_within(period, days, hours),
            quota: plan.quota(own),
        })
    }

    /// The first and the last instant to read for the period of `at`, up to `now`: those of the periods of
    /// `at` on any plan. What the user did later, perhaps on another plan, does not concern it.
    fn span(&self, at: UnixMillis, now: UnixMillis) -> (UnixMillis, UnixMillis) {
        let periods = plan::around(&self.plans, at);
        let last = periods.end.plus_millis(-1);
        (periods.start, last.min(at.max(now).plus_days(1)))
    }

    /// Instants of a day that lie in each of the periods that it touches, on every plan.
    fn instants_of(&self, day: UnixMillis) -> Vec<UnixMillis> {
        let last = Window::Day.end(day).plus_millis(-1);
        let mut plans = self.plans.values();
        if plans.all(|plan| plan.period(day).holds(last)) {
            vec![last]
        } else {
            vec![day, last]
        }
    }

    /// A user's days that the period of `at` may touch.
    async fn days(
        &self,
        user: &str,
        at: UnixMillis,
        now: UnixMillis,
    ) -> Result<Vec<(UnixMillis, Sum)>, StoreError> {
        let (from, to) = self.span(at, now);
        let (from, to) = (ItemKey::day(user, from), ItemKey::day(user, to));
        self.read(user, from, to, Sum::decode).await
    }

    async fn hours(
        &self,
        user: &str,
        from: UnixMillis,
        to: UnixMillis,
    ) -> Result<Vec<(UnixMillis, Hour)>, StoreError> {
        if from >= to {
            return Ok(Vec::new());
        }
        let (from, to) = (ItemKey::hour(user, from), ItemKey::hour(user, to));
        self.read(user, from, to, Hour::decode).await
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

#[cfg(test)]
mod tests;
