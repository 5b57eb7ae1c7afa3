//! Limits: the counters that the authorizers share, and what their decisions must be.
//!
//! The authorizers' own limiter decides users' calls. An authorizer may die in the middle of a
//! decision, and the counters may fail or lose their responses. In every case, quota counters exclude
//! refused calls, and a call that still fits its quota is accepted. Hard limits are exact as long as
//! nothing fails.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;

use authorizer::limits::Limiter;
use domain::event::{EventType, UsageEvent};
use domain::key::{KeyDetails, KeyRecord, Quota, UserSettings};
use domain::limit::{Over, Rate, period_counter};
use domain::plan::{LimitMode, Plan, Plans};
use domain::table::ItemKey;
use domain::time::UnixMillis;
use runtime::counters::{CounterTable, Counters, Increments, MemoryCounters, Take, Taken};
use runtime::memory::{Fault, MemoryStore, Pace};
use runtime::store::StoreError;

use super::check::most_units;
use super::schedule::{Place, Response};
use super::traffic::{CALLERS, OWN_QUOTA, plans};
use super::weather::Weather;
use super::world::World;

/// The rate of the plan with a hard limit, and that of the first caller's key: two calls within a
/// second exceed it.
const SLOW: Rate = Rate {
    per_second: 1,
    burst: 1,
};
/// A rate that no schedule reaches.
const FAST: Rate = Rate {
    per_second: 1_000,
    burst: 1_000,
};

pub(super) type ModelLimiter = Limiter<MemoryStore, ModelCounters>;

/// The counters, as the authorizers see them.
#[derive(Debug, Clone)]
pub(super) struct ModelCounters {
    pub(super) weather: Weather,
    pub(super) pace: Pace,
    pub(super) held: MemoryCounters,
}

impl ModelCounters {
    async fn ask<T>(
        &self,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.pace.stop().await;
        let fault = self.weather.decide(Place::Counters);
        let lands = matches!(fault, Fault::None | Fault::AnswerLost | Fault::DoneAndHangs);
        let answer = if lands { Some(work.await) } else { None };
        self.pace.stop().await;
        let table = "usage".to_owned();
        match (fault, answer) {
            (Fault::None, Some(answer)) => answer,
            (Fault::Hangs | Fault::DoneAndHangs, _) => std::future::pending().await,
            (Fault::AnswerLost, _) => Err(StoreError::Unavailable {
                table,
                source: "injected".into(),
            }),
            _ => Err(StoreError::TableMissing { table }),
        }
    }
}

impl CounterTable for ModelCounters {
    async fn add(&self, key: &ItemKey, increments: &Increments) -> Result<Counters, StoreError> {
        self.ask(self.held.add(key, increments)).await
    }

    async fn take(&self, key: &ItemKey, take: &Take) -> Result<Taken, StoreError> {
        self.ask(self.held.take(key, take)).await
    }
}

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing, as long as its authorizer works on it, and if it died.
    None,
    /// It was let through.
    Admitted,
    /// It was refused.
    Refused(Over),
}

/// A call that an authorizer decides by its limits.
pub(super) struct Decision {
    pub(super) event: UsageEvent,
    pub(super) instance: usize,
    pub(super) answer: Response,
    pub(super) verdict: Verdict,
    /// Nothing had failed by the time of the verdict that a hard limit depends on.
    pub(super) is_exact: bool,
}

/// The limits of a schedule.
pub(super) struct Limits {
    /// Whether authorizers decide by them.
    pub(super) is_on: bool,
    pub(super) plans: Plans,
    pub(super) counters: ModelCounters,
    pub(super) decisions: Vec<Decision>,
    /// Something failed that a hard limit depends on.
    pub(super) is_disturbed: bool,
    with_quotas: bool,
}

impl Limits {
    pub(super) fn new(is_on: bool, with_quotas: bool, counters: ModelCounters) -> Self {
        let plans = plans(with_quotas).into_iter();
        let plans = plans.map(|(name, plan)| {
            let is_hard = name != "free";
            let rate = if name == "east" { SLOW } else { FAST };
            let plan = Plan {
                rate_per_second: rate.per_second,
                burst: rate.burst,
                limit_mode: if is_hard {
                    LimitMode::Hard
                } else {
                    LimitMode::Soft
                },
                ..plan
            };
            (name, plan)
        });
        Self {
            is_on,
            plans: plans.collect(),
            counters,
            decisions: Vec::new(),
            is_disturbed: false,
            with_quotas,
        }
    }

    /// The key and the plan of a call that its limits decide.
    pub(super) fn of(&self, event: &UsageEvent) -> Option<(KeyRecord, Plan)> {
        let user = event.subject.email()?;
        let is_known = CALLERS.iter().take(3).any(|caller| *caller == user);
        if !self.is_on || !is_known || event.event_type != EventType::ApiCall {
            return None;
        }
        let name = event.data.plan.clone()?;
        let plan = self.plans.get(&name)?.clone();
        let own = (self.with_quotas && user == OWN_QUOTA.0).then_some(Quota::Calls(OWN_QUOTA.1));
        let key = KeyRecord {
            key_hash: String::new(),
            id: "key_of_limits".to_owned(),
            prefix: String::new(),
            email: user.to_owned(),
            plan: name,
            created_at: UnixMillis(0),
            expires_at: None,
            revoked_at: None,
            more: KeyDetails {
                rate: (user == CALLERS[0]).then_some(SLOW),
                user: UserSettings {
                    monthly_quota: own,
                    ..UserSettings::default()
                },
                ..KeyDetails::default()
            },
        };
        Some((key, plan))
    }

    /// Whether a later call of the same user was decided, or is being decided.
    fn is_overtaken(&self, event: &UsageEvent) -> bool {
        let mut others = self.decisions.iter().map(|decision| &decision.event);
        others.any(|other| other.subject == event.subject && other.time > event.time)
    }

    /// The units of a user's calls in a period that were let through, and those of calls that died.
    fn spent(&self, user: &str, plan: &Plan, start: UnixMillis) -> (u64, u64) {
        let own = self.decisions.iter();
        let own = own.filter(|decision| decision.event.subject.email() == Some(user));
        let own = own.filter(|decision| plan.period(decision.event.time).start == start);
        own.fold((0, 0), |(admitted, unknown), decision| {
            let units = u64::from(decision.event.data.units);
            match decision.verdict {
                Verdict::Admitted => (admitted + units, unknown),
                Verdict::None => (admitted, unknown + units),
                Verdict::Refused(_) => (admitted, unknown),
            }
        })
    }
}

/// Whether a call that was just refused exceeds the limit.
pub(super) fn check_refusal(world: &World, number: usize) -> Result<(), String> {
    let limits = &world.limits;
    let decision = &limits.decisions[number];
    let event = &decision.event;
    let (Verdict::Refused(over), Some((key, plan))) = (decision.verdict, limits.of(event)) else {
        return Ok(());
    };
    match over {
        Over::Quota => {
            let quota = key.user_limits(&plan).quota.unwrap_or(u64::MAX);
            let start = plan.period(event.time).start;
            let (admitted, unknown) = limits.spent(&key.email, &plan, start);
            let most = admitted + unknown + of_others(world, &key.email, &plan, start);
            if most + u64::from(event.data.units) > quota {
                return Ok(());
            }
            Err(format!(
                "refused with at most {most} of {quota} used: {event:?}"
            ))
        }
        // The authorizers' clocks decide how full a bucket is, and a call that waits meets later ones.
        Over::Rate { .. } if !world.has_one_clock() || limits.is_overtaken(event) => Ok(()),
        Over::Rate { .. } => {
            let others = limits.decisions.iter().filter(|other| {
                other.event.subject == event.subject
                    && !matches!(other.verdict, Verdict::Refused(_))
            });
            let own = key.more.rate.map_or(plan.burst, |rate| rate.burst);
            if others.count() >= own.min(plan.burst) as usize {
                return Ok(());
            }
            Err(format!(
                "refused although the bucket holds a call: {event:?}"
            ))
        }
    }
}

/// Units that facts give to a user in a period, apart from those of the calls that limits decided.
fn of_others(world: &World, user: &str, plan: &Plan, start: UnixMillis) -> u64 {
    let own = world.limits.decisions.iter();
    let own = own.filter(|decision| decision.event.subject.email() == Some(user));
    let own: BTreeSet<_> = own.map(|decision| decision.event.id).collect();
    let units = most_units(world, &|id| own.contains(&id));
    let units = units.into_iter();
    let units = units.filter(|((of, at), _)| of == user && plan.period(*at).start == start);
    units.map(|(_, units)| units).sum()
}

/// Between any two calls, a hard rate admits at most its burst plus what it refills in that time, even
/// if the authorizers' clocks disagree: each call moves the instant at which the bucket is full.
fn check_rates(limits: &Limits) -> Result<(), String> {
    let mut admitted: BTreeMap<(String, String), (Rate, Vec<i64>)> = BTreeMap::new();
    for decision in limits.decisions.iter().filter(|decision| decision.is_exact) {
        let Some((key, plan)) = limits.of(&decision.event) else {
            continue;
        };
        if plan.limit_mode == LimitMode::Hard && decision.verdict == Verdict::Admitted {
            let rate = key.user_limits(&plan).rate;
            let bucket = admitted.entry((key.email, key.plan));
            let (_, times) = bucket.or_insert_with(|| (rate, Vec::new()));
            times.push(decision.event.time.0);
        }
    }
    for ((user, plan), (rate, mut times)) in admitted {
        times.sort_unstable();
        for (place, from) in times.iter().enumerate() {
            for (calls, to) in (1..).zip(times.iter().skip(place)) {
                let refilled = (to - from) * i64::from(rate.per_second) / 1_000;
                let most = i64::from(rate.burst) + refilled;
                if calls > most {
                    return Err(format!(
                        "{calls} calls of {user} on {plan} were let through from {from} to {to}, at most {most}"
                    ));
                }
            }
        }
    }
    Ok(())
}

/// The counters hold what was let through: never a refused call, and of a hard limit every other, as
/// long as nothing failed. After a failure they may hold a call twice: from the folds with which
/// another authorizer began them, and from the one that let it through meanwhile.
pub(super) fn check(world: &World) -> Result<(), String> {
    let limits = &world.limits;
    check_rates(limits)?;
    let mut periods: BTreeMap<(String, UnixMillis), (KeyRecord, Plan)> = BTreeMap::new();
    for decision in &limits.decisions {
        if let Some((key, plan)) = limits.of(&decision.event) {
            let start = plan.period(decision.event.time).start;
            periods.insert((key.email.clone(), start), (key, plan));
        }
    }
    for ((user, start), (key, plan)) in periods {
        let counters = limits.counters.held.counters(&ItemKey::limit(&user, None));
        let counted = counters.get(&period_counter(start)).copied().unwrap_or(0);
        let counted = u64::try_from(counted).unwrap_or(0);
        let (admitted, unknown) = limits.spent(&user, &plan, start);
        let twice = if limits.is_disturbed { admitted } else { 0 };
        let most = admitted + twice + unknown + of_others(world, &user, &plan, start);
        if counted > most {
            return Err(format!(
                "{counted} units of {user} from {start} are counted, {admitted} were let through, at most {most}"
            ));
        }
        let quota = key.user_limits(&plan).quota;
        let (LimitMode::Hard, Some(quota), false) = (plan.limit_mode, quota, limits.is_disturbed)
        else {
            continue;
        };
        if admitted > quota {
            return Err(format!(
                "{admitted} of {quota} units of {user} were let through from {start}"
            ));
        }
        if counted < admitted {
            return Err(format!(
                "{counted} units of {user} from {start} are counted, {admitted} were let through"
            ));
        }
    }
    Ok(())
}
