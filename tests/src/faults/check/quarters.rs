//! The quarter hours within users' days, from which periods of other time zones are added up.

use std::collections::BTreeMap;

use domain::table::ItemKey;
use domain::time::{UnixMillis, Window};

use super::super::world::World;
use super::{Model, equal, peek};

/// A quarter of an hour in milliseconds.
const QUARTER: i64 = 15 * 60_000;

/// Calls, units, failures and rate-limited calls, and amounts by meter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Quarter {
    totals: [u64; 4],
    amounts: BTreeMap<String, u64>,
}

pub(super) fn check(world: &World, model: &Model) -> Result<(), String> {
    let mut days: BTreeMap<(&str, UnixMillis), BTreeMap<UnixMillis, Quarter>> = BTreeMap::new();
    for ((user, minute), counts) in &model.users {
        let day = days.entry((user, Window::Day.start(*minute))).or_default();
        let quarter = day
            .entry(UnixMillis(minute.0 - minute.0.rem_euclid(QUARTER)))
            .or_default();
        let counted = [counts.calls, counts.units, counts.failures, counts.limited];
        for (sum, count) in quarter.totals.iter_mut().zip(counted) {
            *sum += count;
        }
        for (meter, amount) in &counts.meters {
            *quarter.amounts.entry(meter.clone()).or_default() += amount;
        }
    }
    for ((user, day), mut expected) in days {
        let sum = peek(&world.usage, &ItemKey::day(user, day))?;
        let mut found: BTreeMap<UnixMillis, Quarter> = BTreeMap::new();
        for (start, totals) in sum.quarters_of(day) {
            let counted = [
                totals.calls,
                totals.units,
                totals.auth_failures,
                totals.rate_limited,
            ];
            found.entry(start).or_default().totals = counted;
        }
        for (start, amounts) in sum.amounts_of(day) {
            let amounts = amounts
                .iter()
                .map(|(meter, amount)| (meter.clone(), *amount));
            found.entry(start).or_default().amounts = amounts.collect();
        }
        expected.retain(|_, quarter| *quarter != Quarter::default());
        found.retain(|_, quarter| *quarter != Quarter::default());
        equal(
            || format!("quarter hours of {user} on {day}"),
            &found,
            &expected,
        )?;
    }
    Ok(())
}
