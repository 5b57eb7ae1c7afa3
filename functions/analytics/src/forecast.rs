//! The forecast of a user's current period, and when the quota runs out, if calls go on as before
//! ([`crate::outlook`]).
//!
//! Cost in read units: that of `user-stats`, plus that of the user's last 57 days.

use domain::event::Subject;
use domain::plan::Plans;
use domain::time::UnixMillis;
use jiff::tz::TimeZone;
use runtime::store::{Store, StoreError};

use crate::body::{CurrentPeriod, Exhaustion, Forecast, Granularity, Instant, Point, Projected};
use crate::buckets::Buckets;
use crate::outlook::{CONFIDENCE_PERCENT, DAYS, Day, Expected, Outlook, Part};
use crate::reader::Tables;
use crate::timeseries::{self, Asked};
use crate::user_stats;

/// Computes the forecast for `subject`.
pub async fn forecast<S: Store>(
    tables: &Tables<'_, S>,
    plans: &Plans,
    subject: &Subject,
    now: UnixMillis,
) -> Result<Forecast, StoreError> {
    let (period, zone, as_of) = user_stats::period(tables, plans, subject, now).await?;
    let today = Granularity::Day.start(now, &zone);
    let from = now.plus_days(-i64::try_from(DAYS).unwrap_or(0));
    let whose = Some(subject.clone());
    let points = match Asked::totals(whose, Granularity::Day, from..today, &zone) {
        Some(asked) => timeseries::series(tables, &asked, now).await?.points,
        None => Vec::new(),
    };
    let days: Vec<Day> = points.iter().map(|point| day(point, &zone)).collect();
    let outlook = Outlook::after(&days);
    let ahead = Ahead::of(&period, &zone, now);
    let projected = outlook.as_ref().map(|outlook| {
        let expected = outlook.over(&ahead.parts());
        Projected {
            calls: period.calls.saturating_add(expected.calls),
            low: period.calls.saturating_add(expected.low),
            high: period.calls.saturating_add(expected.high),
        }
    });
    let exhausts = |of: fn(Expected) -> u64| ahead.exhausts_at(&period, outlook.as_ref(), of);
    Ok(Forecast {
        projected,
        exhausts: Exhaustion {
            expected: exhausts(|expected| expected.calls),
            earliest: exhausts(|expected| expected.high),
            latest: exhausts(|expected| expected.low),
        },
        current_period: period,
        confidence_percent: CONFIDENCE_PERCENT,
        days_observed: days.iter().skip_while(|day| day.calls == 0).count() as u64,
        as_of: Instant(as_of),
    })
}

fn day(point: &Point, zone: &TimeZone) -> Day {
    Day {
        weekday: weekday(point.start.0, zone),
        calls: point.total_calls,
    }
}

fn weekday(at: UnixMillis, zone: &TimeZone) -> u8 {
    let date = at.timestamp().to_zoned(zone.clone()).date();
    u8::try_from(date.weekday().to_monday_zero_offset()).unwrap_or(0)
}

/// The rest of today, and the days up to the end of the period.
struct Ahead(Vec<(UnixMillis, UnixMillis, Part)>);

impl Ahead {
    fn of(period: &CurrentPeriod, zone: &TimeZone, now: UnixMillis) -> Self {
        let days = Buckets::covering(now, period.end.0, Granularity::Day, zone);
        let days = days.iter().flat_map(Buckets::spans);
        let ahead = days.map(|(start, end)| {
            let from = start.max(now);
            let left = (end.since(from) * 1_000).checked_div(end.since(start));
            let part = Part {
                weekday: weekday(start, zone),
                left: left.and_then(|left| u16::try_from(left).ok()).unwrap_or(0),
            };
            (from, end, part)
        });
        Self(ahead.collect())
    }

    fn parts(&self) -> Vec<Part> {
        self.0.iter().map(|(_, _, part)| *part).collect()
    }

    /// When the quota runs out, to the second; `None` if it lasts or if no calls are expected.
    fn exhausts_at(
        &self,
        period: &CurrentPeriod,
        outlook: Option<&Outlook>,
        of: fn(Expected) -> u64,
    ) -> Option<Instant> {
        let left = period.remaining?;
        if left == 0 {
            return period.exhausts_at;
        }
        let parts = self.parts();
        let mut before = 0;
        for (number, (from, end, _)) in self.0.iter().enumerate() {
            let calls = of(outlook?.over(parts.get(..=number)?));
            if calls >= left {
                let into = i128::from(left.saturating_sub(before)) * i128::from(end.since(*from));
                let into = into.checked_div(i128::from(calls.saturating_sub(before)))?;
                let at = from.plus_millis(i64::try_from(into).ok()?);
                return Some(Instant(UnixMillis::from_seconds(at.seconds())));
            }
            before = calls;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{World, ready};
    use domain::event::EventType;
    use domain::sample;
    use serde_json::json;

    const USER: &str = "ann@example.com";

    fn now() -> UnixMillis {
        "2026-11-16T12:00:00Z".parse().unwrap()
    }

    /// Ten calls at noon of each of the last `days` days, today's included.
    fn forecast_after(days: i64, quota: u64) -> Forecast {
        let world = World::default();
        let mut events = Vec::new();
        for day in 0..days {
            for call in 0..10 {
                let time = now().plus_days(-day).plus_millis(-call);
                let number = events.len() as u64;
                let mut event = sample::event(number, USER, EventType::ApiCall, time);
                event.data.plan = Some("free".to_owned());
                events.push(event);
            }
        }
        world.live(&events, now());
        let plans = json!({"free": {"ratePerSecond": 5, "burst": 10, "monthlyQuota": quota}});
        let plans = serde_json::from_value(plans).unwrap();
        let user = Subject::user(USER);
        ready(forecast(&world.tables(), &plans, &user, now())).unwrap()
    }

    #[test]
    fn a_steady_user_goes_on() {
        let forecast = forecast_after(30, 250);
        assert_eq!(forecast.current_period.calls, 160);
        assert_eq!(forecast.days_observed, 29);
        // Half of today, and fourteen days.
        let projected = forecast.projected.unwrap();
        assert_eq!(projected.calls, 160 + 5 + 140);
        assert!(projected.low < 305 && projected.high > 305, "{projected:?}");
        let at = |at: Option<Instant>| at.unwrap().0.to_string();
        assert_eq!(at(forecast.exhausts.expected), "2026-11-25T12:00:00Z");
        assert!(at(forecast.exhausts.earliest) < at(forecast.exhausts.expected));
    }

    #[test]
    fn a_quota_that_lasts_or_is_used_up_runs_out_at_no_time_to_come() {
        assert_eq!(forecast_after(30, 10_000).exhausts, Exhaustion::default());
        let used_up = forecast_after(30, 100);
        assert!(used_up.exhausts.expected.unwrap().0 < now());
        assert_eq!(used_up.exhausts.expected, used_up.exhausts.latest);
    }

    #[test]
    fn without_a_past_nothing_is_projected() {
        let forecast = forecast_after(1, 250);
        assert_eq!(forecast.current_period.calls, 10);
        assert_eq!((forecast.projected, forecast.days_observed), (None, 0));
        assert_eq!(forecast.exhausts, Exhaustion::default());
    }
}
