//! Rate limits and quotas: whether a call exceeds them, and what this instance reports to the
//! others.
//!
//! A soft limit is decided from this instance's knowledge, without a remote call; after the
//! response the instance reports what it accepted and learns what others accepted, when that is
//! due. A hard limit takes one conditional write before the response. Limits never make a call
//! fail: while the counters do not respond, the instance decides alone, from the counters as it last
//! saw them and from what it has accepted since. It adds those calls to the counters afterwards.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::key::KeyRecord;
use domain::limit::{CALL, Limits, Meter, Over, Report, Shared, bucket_counter, period_counter};
use domain::plan::{LimitMode, Period, Plan};
use domain::table::ItemKey;
use domain::time::UnixMillis;
use runtime::counters::{CounterTable, Counters, Increments, Take, TakeQuota, Taken};
use runtime::log::Chain;
use runtime::store::{Store, StoreError};
use tokio::time::timeout;

/// How long an instance leaves the counters alone after they did not respond.
const PAUSE_MILLIS: i64 = 5_000;
/// How long the units that folds have counted stay valid, far from the end of a quota and near it.
const COUNTED_MILLIS: i64 = 15 * 60_000;
const COUNTED_NEAR_MILLIS: i64 = 60_000;
/// The longest that a caller waits for the units that folds have counted, if the limit is hard.
const PATIENCE: Duration = Duration::from_millis(400);
/// A quota is near its end when less than this share remains, as a divisor.
const NEAR: u64 = 20;
/// The most writes that a call needs: each refusal shows what the table holds, and the bucket can only
/// have got emptier since the last one.
const MOST_WRITES: u32 = 4;
/// The most users and keys to watch at a time, some 2 MB.
const MOST_METERS: usize = 4_096;
/// Days for which counters outlive their period.
const KEPT_DAYS: i64 = 2;

/// A call that exceeds a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limited {
    /// The exceeded limit.
    pub over: Over,
    /// The limits.
    pub limits: Limits,
    /// Whole seconds until such a call would be accepted.
    pub retry_after: u64,
}

/// The limits of every user and key that calls this instance.
#[derive(Debug)]
pub struct Limiter<S, T> {
    /// The usage table: it holds the units that folds have counted.
    counted: S,
    counters: T,
    watched: Mutex<Watched>,
}

/// The calls that one meter watches: those of a user, or of one of its keys. Keys of one user may have
/// different plans, and for half a minute different settings. Each combination has a meter of its own;
/// all of them share the user's counters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Whose {
    user: String,
    key: Option<String>,
    plan: String,
    limits: Limits,
    mode: LimitMode,
}

impl Whose {
    /// The calls of the user of `key`.
    fn user(key: &KeyRecord, plan: &Plan) -> Self {
        Self {
            user: key.email.clone(),
            key: None,
            plan: key.plan.clone(),
            limits: key.user_limits(plan),
            mode: plan.limit_mode,
        }
    }

    /// The calls of `key`, if it has a rate of its own.
    fn key(key: &KeyRecord) -> Option<Self> {
        Some(Self {
            user: key.email.clone(),
            key: Some(key.id.clone()),
            plan: key.plan.clone(),
            limits: Limits {
                rate: key.more.rate?,
                quota: None,
            },
            mode: LimitMode::Soft,
        })
    }

    /// Where its counters are.
    fn item(&self) -> ItemKey {
        ItemKey::limit(&self.user, self.key.as_deref())
    }
}

#[derive(Debug, Default)]
struct Watched {
    meters: HashMap<Whose, Gauge>,
    paused_until: Option<UnixMillis>,
}

/// A meter and the state that this instance keeps around it.
#[derive(Debug)]
struct Gauge {
    meter: Meter,
    period: Period,
    /// Counters that the table may forget.
    outdated: Vec<String>,
    /// When the units that folds have counted were last read.
    counted_at: Option<UnixMillis>,
    /// The table's counters as last seen, if the limit is hard.
    held: Counters,
    /// Units that a hard limit accepted while the counters did not respond, and that they lack.
    owed: u64,
    last_call: UnixMillis,
}

impl Gauge {
    fn new(limits: Limits, plan: &Plan, now: UnixMillis) -> Self {
        Self {
            meter: Meter::new(limits),
            period: plan.period(now),
            outdated: Vec::new(),
            counted_at: None,
            held: Counters::new(),
            owed: 0,
            last_call: now,
        }
    }

    /// Counts a call that the counters do not know of.
    fn accept_alone(&mut self, take: &Take, units: u32) {
        self.fill(take);
        if take.quota.is_some() {
            self.owed += u64::from(units);
        }
    }

    /// Counts a call whose write may have taken effect: assume that it has. The next response of the
    /// counters shows whether that was right.
    fn presume(&mut self, take: &Take) {
        self.fill(take);
        if let Some(quota) = &take.quota {
            let used = self.held.entry(quota.used.clone()).or_insert(quota.begin);
            *used += quota.units;
        }
    }

    /// Takes a call out of the bucket as last seen.
    fn fill(&mut self, take: &Take) {
        let full_at = self.held.entry(take.full_at.clone()).or_insert(take.now);
        *full_at = (*full_at).max(take.now) + CALL;
    }

    /// The units that are known to be used, of the whole period.
    fn used(&self) -> u64 {
        let held = self.held.get(&period_counter(self.period.start));
        let held = held.map_or(0, |held| u64::try_from(*held).unwrap_or(0));
        (held + self.owed).max(self.meter.used())
    }

    /// The owed units, if the counters hold the period's use by now.
    fn debt(&self) -> Option<(String, u64)> {
        let used = period_counter(self.period.start);
        (self.owed > 0 && self.held.contains_key(&used)).then_some((used, self.owed))
    }

    fn limited(&self, over: Over, now: UnixMillis) -> Limited {
        let retry_after = match over {
            Over::Rate { retry_after } => retry_after,
            Over::Quota => seconds_until(self.period.end, now),
        };
        Limited {
            over,
            limits: self.meter.limits(),
            retry_after,
        }
    }

    /// Whether the units that folds have counted may have changed.
    fn wants_counted(&self, now: UnixMillis) -> bool {
        let Some(quota) = self.meter.limits().quota else {
            return false;
        };
        let remaining = quota.saturating_sub(self.meter.used());
        let good_for = if remaining < quota / NEAR {
            COUNTED_NEAR_MILLIS
        } else {
            COUNTED_MILLIS
        };
        let is_good = |at: UnixMillis| (0..good_for).contains(&now.since(at));
        !self.counted_at.is_some_and(is_good)
    }
}

/// Whole seconds until `at`, rounded up; at least one.
fn seconds_until(at: UnixMillis, now: UnixMillis) -> u64 {
    let millis = u64::try_from(at.since(now)).unwrap_or(0);
    millis.div_ceil(1_000).max(1)
}

impl<S: Store, T: CounterTable> Limiter<S, T> {
    /// Limits by `counters`, and by the units that folds have `counted`.
    pub fn new(counted: S, counters: T) -> Self {
        Self {
            counted,
            counters,
            watched: Mutex::default(),
        }
    }

    /// Counts a call of `key` that weighs `units` at `now`, or returns the limit that it exceeds. A
    /// call that exceeds any limit counts against none.
    pub async fn admit(
        &self,
        key: &KeyRecord,
        plan: &Plan,
        units: u32,
        now: UnixMillis,
    ) -> Result<(), Limited> {
        let (user, own) = (Whose::user(key, plan), Whose::key(key));
        let soft: Vec<&Whose> = match plan.limit_mode {
            LimitMode::Soft => own.iter().chain([&user]).collect(),
            LimitMode::Hard => own.iter().collect(),
        };
        {
            let mut watched = self.watched();
            for whose in own.iter().chain([&user]) {
                watched.meet(whose, plan, now);
            }
            for whose in &soft {
                if let Some(gauge) = watched.meters.get_mut(*whose)
                    && let Some(over) = gauge.meter.check(now, units)
                {
                    return Err(gauge.limited(over, now));
                }
            }
            if plan.limit_mode == LimitMode::Soft {
                watched.accept(&soft, units, now);
                return Ok(());
            }
        }
        self.take(&user, units, now).await?;
        self.watched().accept(&soft, units, now);
        Ok(())
    }

    /// Reports what this instance accepted for the user of `key`, and learns what the others
    /// accepted, if that is due.
    pub async fn keep_up(&self, key: &KeyRecord, plan: &Plan, now: UnixMillis) {
        let (user, own) = (Whose::user(key, plan), Whose::key(key));
        for whose in own.iter().chain([&user]) {
            if let Err(error) = self.keep_up_with(whose, now).await {
                self.pause(&error, now);
            }
        }
    }

    async fn keep_up_with(&self, whose: &Whose, now: UnixMillis) -> Result<(), StoreError> {
        self.settle(whose, now).await?;
        let Some(due) = self.watched().report(whose, now) else {
            return Ok(());
        };
        if let Some(report) = due.report {
            let limits = due.limits;
            let increments = Increments {
                add: report.increments(limits.rate, due.period.start),
                set: report.assignments(limits.rate),
                remove: due.outdated,
                expires_at: Some(due.period.end.plus_days(KEPT_DAYS)),
            };
            let counters = self.counters.add(&whose.item(), &increments).await?;
            let oldest = report.oldest;
            let (shared, outdated) = Shared::read(&counters, limits.rate, due.period.start, oldest);
            self.with(whose, |gauge| {
                // A new period may have begun in the meantime.
                if gauge.period == due.period {
                    gauge.meter.learn(shared);
                    gauge.outdated = outdated;
                }
            });
        }
        if due.wants_counted {
            self.learn_counted(whose, due.period, now).await?;
        }
        Ok(())
    }

    /// Adds to the counters what a hard limit accepted while they did not respond. Units whose
    /// addition may have taken effect are not added again.
    async fn settle(&self, whose: &Whose, now: UnixMillis) -> Result<(), StoreError> {
        let (period, debt) = {
            let watched = self.watched();
            let gauge = watched.meters.get(whose);
            let owing = gauge.and_then(|gauge| Some((gauge.period, gauge.debt()?)));
            match owing {
                Some(owing) if !watched.is_paused(now) => owing,
                _ => return Ok(()),
            }
        };
        let (used, units) = debt;
        let increments = Increments {
            add: vec![(used, i64::try_from(units).unwrap_or(i64::MAX))],
            expires_at: Some(period.end.plus_days(KEPT_DAYS)),
            ..Increments::default()
        };
        let added = self.counters.add(&whose.item(), &increments).await;
        self.with(whose, |gauge| {
            if gauge.period != period {
                return;
            }
            match &added {
                Ok(held) => {
                    gauge.owed = gauge.owed.saturating_sub(units);
                    gauge.held.clone_from(held);
                }
                Err(StoreError::Unavailable { .. }) => {
                    gauge.owed = gauge.owed.saturating_sub(units);
                }
                Err(_) => {}
            }
        });
        added.map(drop)
    }

    /// Reads the units that folds have counted in the period.
    async fn learn_counted(
        &self,
        whose: &Whose,
        period: Period,
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        let stored = self
            .counted
            .get(&ItemKey::period(&whose.user, period.start))
            .await?;
        self.with(whose, |gauge| {
            if gauge.period == period {
                gauge.counted_at = Some(now);
                gauge
                    .meter
                    .learn_counted(stored.map_or(0, |stored| stored.version));
            }
        });
        Ok(())
    }

    /// Counts a call against a hard limit with one conditional write, or with a second one if the
    /// bucket is not as full as this instance assumed. Decides alone while the counters do not
    /// respond.
    async fn take(&self, whose: &Whose, units: u32, now: UnixMillis) -> Result<(), Limited> {
        if self.watched().is_paused(now) {
            return self.take_alone(whose, units, now);
        }
        let unknown = self.watched().unknown_period(whose);
        if let Some(period) = unknown {
            let learnt = timeout(PATIENCE, self.learn_counted(whose, period, now)).await;
            let failed: Option<&dyn std::error::Error> = match &learnt {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error),
                Err(elapsed) => Some(elapsed),
            };
            if let Some(error) = failed {
                self.pause(error, now);
                return self.take_alone(whose, units, now);
            }
        }
        for _ in 0..MOST_WRITES {
            let Some(take) = self.watched().next_take(whose, units, now)? else {
                return Ok(());
            };
            match self.counters.take(&whose.item(), &take).await {
                Ok(Taken::Done(held)) => {
                    self.with(whose, |gauge| gauge.held = held);
                    return Ok(());
                }
                Ok(Taken::Refused(held)) => self.with(whose, |gauge| gauge.held = held),
                Err(error) => {
                    self.pause(&error, now);
                    self.with(whose, |gauge| {
                        // What folds have counted by then shows what the counters missed.
                        gauge.counted_at = None;
                        match error {
                            StoreError::Unavailable { .. } => gauge.presume(&take),
                            _ => gauge.accept_alone(&take, units),
                        }
                    });
                    return Ok(());
                }
            }
        }
        // Each refusal came from a table that had deleted the item in between.
        self.take_alone(whose, units, now)
    }

    /// Counts a call against a hard limit from what this instance knows.
    fn take_alone(&self, whose: &Whose, units: u32, now: UnixMillis) -> Result<(), Limited> {
        let mut watched = self.watched();
        let Some(take) = watched.next_take(whose, units, now)? else {
            return Ok(());
        };
        if let Some(gauge) = watched.meters.get_mut(whose) {
            gauge.accept_alone(&take, units);
        }
        Ok(())
    }

    fn with(&self, whose: &Whose, change: impl FnOnce(&mut Gauge)) {
        if let Some(gauge) = self.watched().meters.get_mut(whose) {
            change(gauge);
        }
    }

    fn pause(&self, error: &dyn std::error::Error, now: UnixMillis) {
        tracing::warn!(error = %Chain(error), "the counters failed: limits are not shared for a while");
        self.watched().paused_until = Some(now.plus_millis(PAUSE_MILLIS));
    }

    fn watched(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Work that is due after a response.
struct Due {
    report: Option<Report>,
    limits: Limits,
    period: Period,
    outdated: Vec<String>,
    wants_counted: bool,
}

impl Watched {
    fn is_paused(&self, now: UnixMillis) -> bool {
        self.paused_until.is_some_and(|until| now < until)
    }

    /// Makes sure that there is a meter, in the current period.
    fn meet(&mut self, whose: &Whose, plan: &Plan, now: UnixMillis) {
        if self.meters.len() >= MOST_METERS && !self.meters.contains_key(whose) {
            self.make_room();
        }
        let gauge = self
            .meters
            .entry(whose.clone())
            .or_insert_with(|| Gauge::new(whose.limits, plan, now));
        if !gauge.period.holds(now) {
            let period = plan.period(now);
            if period != gauge.period {
                gauge.period = period;
                gauge.meter.begin_period();
                gauge.counted_at = None;
                gauge.owed = 0;
            }
        }
        gauge.last_call = now;
    }

    fn accept(&mut self, all: &[&Whose], units: u32, now: UnixMillis) {
        for whose in all {
            if let Some(gauge) = self.meters.get_mut(*whose) {
                gauge.meter.accept(now, units);
            }
        }
    }

    fn report(&mut self, whose: &Whose, now: UnixMillis) -> Option<Due> {
        if self.is_paused(now) {
            return None;
        }
        let gauge = self.meters.get_mut(whose)?;
        let wants_counted = gauge.wants_counted(now);
        let is_due = whose.mode == LimitMode::Soft && gauge.meter.is_due(now);
        (is_due || wants_counted).then(|| Due {
            report: is_due.then(|| gauge.meter.report(now)),
            limits: gauge.meter.limits(),
            period: gauge.period,
            outdated: if is_due {
                std::mem::take(&mut gauge.outdated)
            } else {
                Vec::new()
            },
            wants_counted,
        })
    }

    /// The period of a hard quota for which this instance does not know the units that folds have
    /// counted.
    fn unknown_period(&self, whose: &Whose) -> Option<Period> {
        let gauge = self.meters.get(whose)?;
        let is_unknown = gauge.meter.limits().quota.is_some() && gauge.counted_at.is_none();
        is_unknown.then_some(gauge.period)
    }

    /// The write that counts a call against a hard limit, based on the table's counters as last
    /// seen. A bucket is only emptied by others and only filled by time, and a quota only shrinks:
    /// a call that older counters refuse, the table would refuse too.
    fn next_take(
        &self,
        whose: &Whose,
        units: u32,
        now: UnixMillis,
    ) -> Result<Option<Take>, Limited> {
        let Some(gauge) = self.meters.get(whose) else {
            return Ok(None);
        };
        let Limits { rate, quota } = gauge.meter.limits();
        let full_at = bucket_counter(rate);
        let tick = rate.tick(now);
        let latest = tick + rate.tolerance() - CALL;
        let held = gauge.held.get(&full_at).copied();
        if held.is_some_and(|held| held > latest) {
            let retry_after = rate.seconds_until(held.unwrap_or(tick), now).max(1);
            return Err(gauge.limited(Over::Rate { retry_after }, now));
        }
        if quota.is_some_and(|quota| gauge.used() + u64::from(units) > quota) {
            return Err(gauge.limited(Over::Quota, now));
        }
        let signed = |calls: u64| i64::try_from(calls).unwrap_or(i64::MAX);
        Ok(Some(Take {
            is_full: held.is_none_or(|held| held < tick),
            full_at,
            now: tick,
            latest,
            quota: quota.map(|quota| TakeQuota {
                used: period_counter(gauge.period.start),
                units: units.into(),
                // Folds have counted what is owed, or will; it is added to the counter later.
                begin: signed(gauge.meter.used().saturating_sub(gauge.owed)),
                most: signed(quota.saturating_sub(gauge.owed)),
            }),
            expires_at: Some(gauge.period.end.plus_days(KEPT_DAYS)),
        }))
    }

    /// Drops the older half: each eviction is a search.
    fn make_room(&mut self) {
        let mut ages: Vec<UnixMillis> = self.meters.values().map(|gauge| gauge.last_call).collect();
        ages.sort_unstable();
        let middle = ages.get(ages.len() / 2).copied().unwrap_or(UnixMillis(0));
        self.meters.retain(|_, gauge| gauge.last_call > middle);
    }
}

#[cfg(test)]
mod tests;
