//! One user's usage: over all time, and in the current period of their plan.
//!
//! Cost in read units, whatever the user's history: two for the marks; a query each for settled
//! months (one item per month), for days (one per day since the oldest month that has not settled, or
//! since the current period of any plan began: 45 at most) and for the hours of days that are not closed (today's, and yesterday's until it is
//! closed); one for the user's own quota, with a quota also its alerts; and the journal since it
//! was folded ([`crate::fresh`]).

mod alerts;
mod usage;

use std::cmp::Reverse;
use std::collections::BTreeMap;

use domain::counts::Counts;
use domain::dimension::{self, Dimensions, Share};
use domain::event::Subject;
use domain::key_calls::{self, KeyCalls};
use domain::plan::{Calendar, Period, Plan, Plans};
use domain::tally::Totals;
use domain::time::UnixMillis;
use jiff::tz::TimeZone;
use runtime::store::{Store, StoreError};

use crate::body::{CurrentPeriod, DimensionValue, EndpointCalls, Instant, KeyTotal, UserStats};
use crate::endpoints::{latency, meters, methods, statuses};
use crate::ranking::ranked;
use crate::reader::Tables;
use usage::Usage;

/// Reads the usage of `subject` up to `now`.
pub async fn stats<S: Store>(
    tables: &Tables<'_, S>,
    plans: &Plans,
    subject: &Subject,
    now: UnixMillis,
) -> Result<UserStats, StoreError> {
    let usage = Usage::read(tables, plans, subject.as_str(), now).await?;
    let counts = usage.all_time();
    let seen = counts.seen.as_ref();
    let (current_period, _) = in_period(&usage, &counts, plans, now);
    let alerts = match current_period.quota {
        Some(_) => {
            let start = current_period.start.0;
            alerts::of_period(tables.usage, plans, subject, start).await?
        }
        None => Vec::new(),
    };
    let (tally, responses) = (&counts.tally, &counts.responses);
    let endpoint = |(endpoint, total_calls)| EndpointCalls {
        endpoint,
        total_calls,
    };
    Ok(UserStats {
        total_calls: tally.calls,
        total_units: tally.units,
        meters: meters(tally.meters.clone()),
        dimensions: dimensions(&tally.dimensions),
        keys: keys(&tally.keys),
        auth_failures: tally.auth_failures,
        rate_limited: tally.rate_limited,
        current_period,
        alerts,
        methods: methods(tally.methods.clone()),
        endpoints: ranked(tally.endpoints.clone())
            .into_iter()
            .map(endpoint)
            .collect(),
        statuses: statuses(responses),
        latency: latency(responses),
        first_seen: seen.map(|seen| Instant(seen.first)),
        last_seen: seen.map(|seen| Instant(seen.last)),
        as_of: Instant(usage.as_of()),
    })
}

/// The calls of each key. The user's sums are added up here, so this is where they are bounded.
fn keys(sum: &KeyCalls) -> Vec<KeyTotal> {
    let ranked = ranked(key_calls::bounded(sum)).into_iter();
    let keys = ranked.map(|(key, total_calls)| KeyTotal { key, total_calls });
    keys.collect()
}

/// The values of each dimension. The user's sums are added up here, so this is where they are
/// bounded.
fn dimensions(sum: &Dimensions) -> BTreeMap<String, Vec<DimensionValue>> {
    let bounded = dimension::bounded(sum).into_iter();
    let values = bounded.map(|(name, of)| {
        let mut values: Vec<_> = of.values.into_iter().collect();
        values.sort_by_key(|(_, share)| Reverse(share.calls));
        let values = values.into_iter();
        let values = values.map(|(value, Share { calls, units })| DimensionValue {
            value,
            calls,
            units,
        });
        (name, values.collect())
    });
    values.collect()
}

/// The current period, its time zone, and the instant up to which everything appended in time is
/// counted.
pub(crate) async fn period<S: Store>(
    tables: &Tables<'_, S>,
    plans: &Plans,
    subject: &Subject,
    now: UnixMillis,
) -> Result<(CurrentPeriod, TimeZone, UnixMillis), StoreError> {
    let usage = Usage::read(tables, plans, subject.as_str(), now).await?;
    let (period, zone) = in_period(&usage, &usage.all_time(), plans, now);
    Ok((period, zone, usage.as_of()))
}

fn in_period(
    usage: &Usage,
    counts: &Counts,
    plans: &Plans,
    now: UnixMillis,
) -> (CurrentPeriod, TimeZone) {
    let seen = counts.seen.as_ref();
    let plan = seen.and_then(|seen| plans.get(seen.plan()?));
    let calendar = plan.map_or(Calendar::UTC, Plan::calendar);
    let period = calendar.period(now);
    let used = usage.between(period.start, period.end);
    let quota = plan.and_then(|plan| usage.quota(plan));
    let current = CurrentPeriod {
        meters: meters(usage.amounts_between(period.start, period.end)),
        ..current(period, used, quota, now)
    };
    (current, calendar.zone)
}

fn current(period: Period, used: Totals, quota: Option<u64>, now: UnixMillis) -> CurrentPeriod {
    let Totals { calls, units, .. } = used;
    let exhausts_at = quota.and_then(|quota| exhausts_at(period, units, quota, now));
    CurrentPeriod {
        start: Instant(period.start),
        end: Instant(period.end),
        calls,
        units,
        meters: Vec::new(),
        quota,
        remaining: quota.map(|quota| quota.saturating_sub(units)),
        exhausts_at: exhausts_at.map(Instant),
    }
}

/// When a quota runs out at the pace of the period so far, to the second; in the past if it has run
/// out already. `None` if it lasts.
fn exhausts_at(period: Period, units: u64, quota: u64, now: UnixMillis) -> Option<UnixMillis> {
    let elapsed = i128::from(now.since(period.start));
    let needed = (elapsed * i128::from(quota)).checked_div(i128::from(units))?;
    let needed = i64::try_from(needed).unwrap_or(i64::MAX);
    let at = UnixMillis::from_seconds(period.start.plus_millis(needed).seconds());
    (at < period.end).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn november() -> Period {
        Period {
            start: "2026-11-01T00:00:00Z".parse().unwrap(),
            end: "2026-12-01T00:00:00Z".parse().unwrap(),
        }
    }

    #[test]
    fn a_quota_is_projected_by_the_pace_so_far() {
        let now: UnixMillis = "2026-11-11T00:00:00Z".parse().unwrap();
        let at = |calls, quota| exhausts_at(november(), calls, quota, now).map(|at| at.to_string());
        assert_eq!(at(100, 200).as_deref(), Some("2026-11-21T00:00:00Z"));
        assert_eq!(at(100, 100).as_deref(), Some("2026-11-11T00:00:00Z"));
        assert_eq!(at(200, 100).as_deref(), Some("2026-11-06T00:00:00Z"));
        assert_eq!(at(100, 300), None);
        assert_eq!(at(0, 100), None);
        assert_eq!(
            at(u64::MAX, u64::MAX).as_deref(),
            Some("2026-11-11T00:00:00Z")
        );
        assert_eq!(at(1, u64::MAX), None);
        assert_eq!(at(7, 0).as_deref(), Some("2026-11-01T00:00:00Z"));
    }

    #[test]
    fn without_a_quota_nothing_is_left_and_nothing_runs_out() {
        let now: UnixMillis = "2026-11-11T00:00:00Z".parse().unwrap();
        let used = Totals {
            calls: 3,
            units: 7,
            ..Totals::default()
        };
        let current = current(november(), used, None, now);
        assert_eq!((current.quota, current.remaining), (None, None));
        assert_eq!(
            (current.calls, current.units, current.exhausts_at),
            (3, 7, None)
        );
        let current = super::current(november(), used, Some(9), now);
        assert_eq!((current.quota, current.remaining), (Some(9), Some(2)));
    }
}
