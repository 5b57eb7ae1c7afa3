//! Bills: every user with counts in a month that is handed over has exactly one, and it says what
//! the oracle counts.

use std::collections::{BTreeMap, BTreeSet};

use domain::time::{UnixMillis, Window};

use super::super::world::World;
use super::{Expected, Model, equal};

/// Milliseconds from the beginning of a month in UTC to the border between two periods of a plan.
pub(super) const BORDERS: [(&str, i64); 3] = [
    ("free", 0),
    ("east", -(5 * 60 + 30) * 60_000),
    ("west", (24 + 5) * 60 * 60_000),
];

pub(super) fn check(world: &World, model: &Model) -> Result<(), String> {
    let mut billed: BTreeMap<(&str, UnixMillis), &str> = BTreeMap::new();
    for (id, bill) in &world.notices.bills {
        let of = (bill.user.as_str(), bill.month);
        if let Some(other) = billed.insert(of, id) {
            return Err(format!("{of:?} has two bills, {other} and {id}"));
        }
        let expected = expected(model, of.0, of.1);
        let found = Expected {
            calls: bill.totals.calls,
            units: bill.totals.units,
            failures: bill.totals.auth_failures,
            limited: bill.totals.rate_limited,
            meters: bill.meters.clone(),
            ..Expected::default()
        };
        equal(|| format!("bill of {of:?}"), &found, &expected)?;
        if !has_counts(&found) {
            return Err(format!("{of:?} has a bill without counts"));
        }
    }
    let Some(last) = world.notices.last_month else {
        return Ok(());
    };
    let months = model.users.keys().flat_map(|(user, minute)| {
        [-2, 1].map(|days| (user.as_str(), Window::Month.start(minute.plus_days(days))))
    });
    let months: BTreeSet<(&str, UnixMillis)> = months.collect();
    for (user, month) in months.into_iter().filter(|(_, month)| *month <= last) {
        if has_counts(&expected(model, user, month)) && !billed.contains_key(&(user, month)) {
            return Err(format!("{user} has no bill of {month}"));
        }
    }
    Ok(())
}

const fn has_counts(expected: &Expected) -> bool {
    expected.calls + expected.failures + expected.limited > 0
}

/// A user's counts between the borders of a month.
fn expected(model: &Model, user: &str, month: UnixMillis) -> Expected {
    let from = border(model, user, month);
    let to = border(model, user, Window::Month.end(month));
    let (from, to) = ((user.to_owned(), from), (user.to_owned(), to));
    let mut sum = Expected::default();
    for (_, minute) in model.users.range(from..to) {
        sum.add(minute);
    }
    Expected {
        calls: sum.calls,
        units: sum.units,
        failures: sum.failures,
        limited: sum.limited,
        meters: sum.meters,
        ..Expected::default()
    }
}

/// The plan of the last call from the day before the month in UTC to the day of the latest border decides.
fn border(model: &Model, user: &str, month: UnixMillis) -> UnixMillis {
    let (from, to) = (month.plus_days(-1), month.plus_days(2));
    let calls = model
        .plans
        .range((user.to_owned(), from)..(user.to_owned(), to));
    let last = calls.map(|((_, at), plan)| (*at, plan)).max();
    let known = BORDERS
        .iter()
        .find(|(name, _)| last.is_some_and(|(_, plan)| plan == name));
    month.plus_millis(known.map_or(0, |(_, millis)| *millis))
}
