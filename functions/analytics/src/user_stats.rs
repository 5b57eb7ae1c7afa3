//! One user's usage: of all time, and of the current period of their plan.

use domain::event::Subject;
use domain::plan::{self, Period, Plan, Plans};
use domain::time::{UnixMillis, Window};
use jiff::tz::TimeZone;
use runtime::store::{Store, StoreError};

use crate::answer::{
    CurrentPeriod, EndpointCalls, Instant, Latency, MethodCalls, StatusCount, UserStats,
};
use crate::ranking::ranked;
use crate::reading::Tables;

/// Reads what `subject` used, as fresh as the leaves.
pub async fn stats<S: Store>(
    tables: &Tables<'_, S>,
    plans: &Plans,
    subject: &Subject,
    now: UnixMillis,
) -> Result<UserStats, StoreError> {
    let mut known = tables.known(subject, now).await?;
    let mut usage = known.usage();
    let seen = usage.all_time().seen().cloned();
    let plan = seen.as_ref().and_then(|seen| plans.get(seen.plan()?));
    let zone = plan.and_then(|plan| plan::time_zone(&plan.timezone).ok());
    let period = Period::of(now, &zone.unwrap_or(TimeZone::UTC));
    let first_day = Window::Day.start(period.start);
    if first_day < period.start {
        // The period begins within this day: its hours tell what belongs to it.
        tables.add_day(&mut known, first_day).await?;
        usage = known.usage();
    }
    let tally = usage.all_time().tally();
    let responses = usage.all_time().responses();
    let status = |(status, count)| StatusCount { status, count };
    let calls = usage.calls_between(period.start, period.end);
    let method = |(method, total_calls)| MethodCalls {
        method,
        total_calls,
    };
    let endpoint = |(endpoint, total_calls)| EndpointCalls {
        endpoint,
        total_calls,
    };
    Ok(UserStats {
        total_calls: tally.calls,
        auth_failures: tally.auth_failures,
        rate_limited: tally.rate_limited,
        current_period: current(period, calls, plan, now),
        methods: ranked(tally.methods).into_iter().map(method).collect(),
        endpoints: ranked(tally.endpoints).into_iter().map(endpoint).collect(),
        statuses: ranked(responses.statuses).into_iter().map(status).collect(),
        latency: Latency {
            p50: responses.latency.percentile(50),
            p95: responses.latency.percentile(95),
            p99: responses.latency.percentile(99),
        },
        first_seen: seen.as_ref().map(|seen| Instant(seen.first)),
        last_seen: seen.as_ref().map(|seen| Instant(seen.last)),
    })
}

fn current(period: Period, calls: u64, plan: Option<&Plan>, now: UnixMillis) -> CurrentPeriod {
    let quota = plan.and_then(|plan| plan.monthly_quota);
    let exhausts_at = quota.and_then(|quota| exhausts_at(period, calls, quota, now));
    CurrentPeriod {
        start: Instant(period.start),
        end: Instant(period.end),
        calls,
        quota,
        remaining: quota.map(|quota| quota.saturating_sub(calls)),
        exhausts_at: exhausts_at.map(Instant),
    }
}

/// When a quota is used up at the pace of the period so far, to the second; in the past where it
/// is used up already. `None` where it lasts.
fn exhausts_at(period: Period, calls: u64, quota: u64, now: UnixMillis) -> Option<UnixMillis> {
    let elapsed = i128::from(now.since(period.start));
    let needed = (elapsed * i128::from(quota)).checked_div(i128::from(calls))?;
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
        let unlimited = Plan {
            rate_per_second: 5,
            burst: 10,
            monthly_quota: None,
            alerts_percent: Vec::new(),
            limit_mode: plan::LimitMode::Soft,
            timezone: "UTC".to_owned(),
        };
        for plan in [None, Some(&unlimited)] {
            let current = current(november(), 7, plan, now);
            assert_eq!((current.quota, current.remaining), (None, None));
            assert_eq!((current.calls, current.exhausts_at), (7, None));
        }
        let limited = Plan {
            monthly_quota: Some(5),
            ..unlimited
        };
        let current = current(november(), 7, Some(&limited), now);
        assert_eq!((current.quota, current.remaining), (Some(5), Some(0)));
    }
}
