//! Alerts: in each period, each threshold of a user's quota that the accepted units crossed has exactly one
//! id, which was sent. No other id was.

use std::collections::{BTreeMap, BTreeSet};

use domain::alert::Alert;
use domain::event::EventType;
use domain::id::EventId;
use domain::time::{UnixMillis, Window};

use super::super::amounts::METERS;
use super::super::traffic::{OWN_QUOTA, PLANS, QUOTAS};
use super::super::world::World;
use super::bills::BORDERS;
use super::{Model, equal};

/// Units by user and minute.
pub(in super::super) type Units = BTreeMap<(String, UnixMillis), u64>;

pub(super) fn check(world: &World, model: &Model) -> Result<(), String> {
    if !world.notices.with_quotas {
        let alert = world.notices.alerts.values().next();
        return alert.map_or(Ok(()), |alert| {
            Err(format!("nobody has a quota: {alert:?}"))
        });
    }
    let plans = plans_of(world);
    let most = most_units(world, &|_| false);
    let mut found: BTreeMap<(&str, UnixMillis, u8), &str> = BTreeMap::new();
    for (id, alert) in &world.notices.alerts {
        let of = (alert.user.as_str(), alert.start, alert.percent);
        if let Some(other) = found.insert(of, id) {
            return Err(format!("{of:?} has two alerts, {other} and {id}"));
        }
        let is_on_plan = plans
            .get(of.0)
            .is_some_and(|plans| plans.contains(&alert.plan));
        if !is_on_plan {
            return Err(format!("its user has no such plan: {alert:?}"));
        }
        is_crossed(alert, &most)?;
    }
    if !world.notices.alerts_are_due {
        return Ok(());
    }
    let units = model.users.iter();
    let units: Units = units
        .map(|(of, counts)| (of.clone(), counts.units))
        .collect();
    for (user, plans) in &plans {
        // Who changes to a plan of another zone has periods of both.
        let Some(plan) = plans.first().filter(|_| plans.len() == 1) else {
            continue;
        };
        for (start, used) in by_period(user, plan, &units) {
            for percent in crossed_by(user, plan, used) {
                if !found.contains_key(&(user, start, percent)) {
                    return Err(format!(
                        "no alert says that {user} crossed {percent} % with {used} units from {start}"
                    ));
                }
            }
        }
    }
    Ok(())
}

/// An alert says what is true by any of the facts.
fn is_crossed(alert: &Alert, most: &Units) -> Result<(), String> {
    let periods = by_period(&alert.user, &alert.plan, most);
    let used = periods.get(&alert.start).copied().unwrap_or_default();
    let quota = quota_of(&alert.user, &alert.plan).map(|(quota, _)| quota);
    equal(|| format!("quota of {alert:?}"), &Some(alert.quota), &quota)?;
    let is_crossed = |units| crossed_by(&alert.user, &alert.plan, units).contains(&alert.percent);
    if alert.used <= used && is_crossed(alert.used) {
        Ok(())
    } else {
        Err(format!("not crossed, of at most {used} units: {alert:?}"))
    }
}

/// A user's quota on a plan, and its thresholds.
fn quota_of(user: &str, plan: &str) -> Option<(u64, &'static [u8])> {
    let place = PLANS.iter().position(|(name, ..)| *name == plan)?;
    let (quota, percents) = QUOTAS[place];
    let own = (user == OWN_QUOTA.0).then_some(OWN_QUOTA.1);
    Some((own.or(quota)?, percents))
}

/// The thresholds that some units cross.
fn crossed_by(user: &str, plan: &str, units: u64) -> Vec<u8> {
    let Some((quota, percents)) = quota_of(user, plan) else {
        return Vec::new();
    };
    let needed = |percent: u8| (quota * u64::from(percent)).div_ceil(100);
    let percents = percents.iter().copied();
    percents
        .filter(|percent| units >= needed(*percent))
        .collect()
}

/// A user's units by the period of a plan, each by its first instant.
fn by_period(user: &str, plan: &str, units: &Units) -> BTreeMap<UnixMillis, u64> {
    let border = BORDERS.iter().find(|(name, _)| *name == plan);
    let border = border.map_or(0, |(_, millis)| *millis);
    let mut periods = BTreeMap::new();
    for ((_, minute), units) in units.iter().filter(|((of, _), _)| of == user) {
        let month = Window::Month.start(minute.plus_millis(-border));
        *periods.entry(month.plus_millis(border)).or_default() += units;
    }
    periods
}

/// The plans that any fact in the journal names for a user.
fn plans_of(world: &World) -> BTreeMap<String, BTreeSet<String>> {
    let mut plans: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for said in world.oracle.held.values().flatten() {
        let of = plans.entry(said.subject.clone()).or_default();
        of.extend(said.plan.clone());
    }
    plans
}

/// The most units that any facts of the journal give to a user: facts that disagree are corrected, but what
/// was announced stays. Of the calls that `is_known` names, only amounts count, and what facts give to others.
pub(in super::super) fn most_units(world: &World, is_known: &dyn Fn(EventId) -> bool) -> Units {
    let mut most = Units::new();
    for (id, said) in &world.oracle.held {
        let amounts = world.oracle.amounts.of(*id).into_iter();
        let amounts = amounts.filter(|(meter, _)| METERS.contains(&(*meter, true)));
        let amounts: u64 = amounts.map(|(_, amount)| amount).sum();
        let mut of_users: BTreeMap<&str, u64> = BTreeMap::new();
        let calls = said.iter();
        for call in calls.filter(|said| said.event_type == EventType::ApiCall) {
            let units = of_users.entry(&call.subject).or_default();
            if !is_known(*id) {
                *units = (*units).max(u64::from(call.units));
            }
        }
        let minute = Window::Minute.start(id.minted_at());
        for (user, units) in of_users {
            *most.entry((user.to_owned(), minute)).or_default() += units + amounts;
        }
    }
    most
}
