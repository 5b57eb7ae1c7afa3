//! Unusual hours ([`crate::baseline`]), of one user or of all users, and routes that had no calls
//! before.
//!
//! Cost in read units: that of an hourly time series over four weeks plus the span itself, and of
//! two series over a week with routes.

use std::ops::Range;

use domain::event::Subject;
use domain::time::{UnixMillis, Window};
use jiff::tz::TimeZone;
use runtime::store::{Store, StoreError};

use crate::baseline::Usual;
use crate::body::{Anomalies, Anomaly, AnomalyKind, Granularity, Instant, Point};
use crate::error::ApiError;
use crate::parameters::DURATION;
use crate::query::{Query, themselves};
use crate::reader::Tables;
use crate::timeseries::{self, DEFAULT_DURATION, Retention, duration};
use bearer::Caller;

/// Days before the span that define what is usual.
const PAST_DAYS: i64 = 28;
/// Days before the span whose routes are known.
const ROUTE_DAYS: i64 = 7;
/// The longest span, in days.
const MOST_DAYS: i64 = 7;

/// The span to judge.
#[derive(Debug, Clone)]
pub struct Asked {
    whose: Option<Subject>,
    from: UnixMillis,
    /// Start of the oldest hour that is still stored.
    kept: UnixMillis,
}

impl Asked {
    /// Reads the span from `query`, if `caller` may see it.
    pub fn of(
        query: &Query,
        caller: &Caller,
        retention: Retention,
        now: UnixMillis,
    ) -> Result<Self, ApiError> {
        let whose = match query.user(caller)? {
            None if !caller.admin => Some(themselves(caller)?),
            whose => whose,
        };
        let span = query.get(DURATION).map(duration).transpose()?;
        let from = now.plus_millis(-span.unwrap_or(DEFAULT_DURATION));
        if from < now.plus_days(-MOST_DAYS) {
            let message = format!("at most {MOST_DAYS} days are judged at once");
            return Err(ApiError::parameter(DURATION, message));
        }
        Ok(Self {
            whose,
            from: Window::Hour.start(from),
            kept: Window::Hour.end(now.plus_days(-retention.hours)),
        })
    }
}

/// Judges the span.
pub async fn anomalies<S: Store>(
    tables: &Tables<'_, S>,
    asked: &Asked,
    now: UnixMillis,
) -> Result<Anomalies, StoreError> {
    let end = Window::Hour.end(now);
    let past = asked.from.plus_days(-PAST_DAYS).max(asked.kept);
    let (mut found, mut as_of) = (Vec::new(), now);
    if let Some(series) = span(asked, past..end) {
        let series = timeseries::series(tables, &series, now).await?;
        as_of = series.as_of.0;
        found = hours(&series.points, asked.from, now);
    }
    found.extend(new_routes(tables, asked, end, now).await?);
    found.sort_by_key(|anomaly| anomaly.start.0);
    Ok(Anomalies {
        from: Instant(asked.from),
        to: Instant(end),
        anomalies: found,
        as_of: Instant(as_of),
    })
}

fn span(asked: &Asked, span: Range<UnixMillis>) -> Option<timeseries::Asked> {
    let whose = asked.whose.clone();
    timeseries::Asked::totals(whose, Granularity::Hour, span, &TimeZone::UTC)
}

/// The counts of a point that are judged, and the kind of anomaly when they are too high or too
/// low.
struct Judged {
    of: fn(&Point) -> u64,
    above: AnomalyKind,
    below: Option<AnomalyKind>,
}

const JUDGED: [Judged; 2] = [
    Judged {
        of: |point| point.total_calls,
        above: AnomalyKind::Spike,
        below: Some(AnomalyKind::Silence),
    },
    Judged {
        of: |point| point.auth_failures + point.rate_limited,
        above: AnomalyKind::Refusals,
        below: None,
    },
];

/// The unusual hours from `from` on.
fn hours(points: &[Point], from: UnixMillis, now: UnixMillis) -> Vec<Anomaly> {
    // Hours before the first event say nothing about what is usual.
    let is_silent = |point: &&Point| {
        point.total_calls == 0 && point.auth_failures == 0 && point.rate_limited == 0
    };
    let first = points.iter().take_while(is_silent).count();
    let points = points.get(first..).unwrap_or_default();
    let this_hour = Window::Hour.start(now);
    let mut found = Vec::new();
    for Judged { of, above, below } in JUDGED {
        let counts: Vec<u64> = points.iter().map(of).collect();
        for (position, (point, count)) in points.iter().zip(&counts).enumerate() {
            let usual = Usual::at(&counts, position);
            let Some(usual) = usual.filter(|_| point.start.0 >= from) else {
                continue;
            };
            let is_over = point.start.0 < this_hour;
            let kind = if usual.is_above(*count) {
                Some(above)
            } else {
                below.filter(|_| is_over && usual.is_below(*count))
            };
            found.extend(kind.map(|kind| Anomaly {
                kind,
                start: point.start,
                observed: *count,
                expected: Some(usual.expected),
                low: Some(usual.low),
                high: Some(usual.high),
                endpoint: None,
            }));
        }
    }
    found
}

/// Routes with calls in the span but none in the week before, provided other routes had some.
async fn new_routes<S: Store>(
    tables: &Tables<'_, S>,
    asked: &Asked,
    end: UnixMillis,
    now: UnixMillis,
) -> Result<Vec<Anomaly>, StoreError> {
    let before = asked.from.plus_days(-ROUTE_DAYS).max(asked.kept);
    let detailed = |within| span(asked, within).map(timeseries::Asked::with_details);
    let spans = detailed(before..asked.from).zip(detailed(asked.from..end));
    let Some((before, within)) = spans else {
        return Ok(Vec::new());
    };
    let (before, _) = timeseries::sum(tables, &before, now).await?;
    let (within, _) = timeseries::sum(tables, &within, now).await?;
    let known = before.tally.endpoints;
    let new = within.tally.endpoints.into_iter();
    let new = new.filter(|(route, _)| !known.is_empty() && !known.contains_key(route));
    let anomaly = |(route, calls)| Anomaly {
        kind: AnomalyKind::NewEndpoint,
        start: Instant(asked.from),
        observed: calls,
        expected: None,
        low: None,
        high: None,
        endpoint: Some(route),
    };
    Ok(new.map(anomaly).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{World, ready};
    use domain::event::{EventType, UsageEvent};
    use domain::sample;

    const USER: &str = "ann@example.com";

    fn now() -> UnixMillis {
        "2026-11-16T12:30:00Z".parse().unwrap()
    }

    /// Adds `count` events in an hour that began `hours_ago` hours ago.
    fn calls(events: &mut Vec<UsageEvent>, hours_ago: i64, of: EventType, count: i64, route: &str) {
        for call in 0..count {
            let hour = Window::Hour
                .start(now())
                .plus_millis(-hours_ago * 3_600_000);
            let time = hour.plus_millis(call * 1_000);
            let subject = if of == EventType::AuthFailed {
                "ip:192.0.2.7"
            } else {
                USER
            };
            let number = events.len() as u64;
            let mut event = sample::event(number, subject, of, time);
            event.data.endpoint = route.to_owned();
            events.push(event);
        }
    }

    fn found(events: &[UsageEvent], whose: Option<&str>) -> Vec<(AnomalyKind, String, u64)> {
        let world = World::default();
        world.live(events, now());
        let asked = Asked {
            whose: whose.map(Subject::user),
            from: Window::Hour.start(now().plus_days(-1)),
            kept: now().plus_days(-90),
        };
        let found = ready(anomalies(&world.tables(), &asked, now())).unwrap();
        let found = found.anomalies.into_iter();
        found
            .map(|anomaly| (anomaly.kind, anomaly.start.0.to_string(), anomaly.observed))
            .collect()
    }

    #[test]
    fn spikes_silence_refusals_and_new_routes_are_found() {
        let mut events = Vec::new();
        for hour in 1..24 * 6 {
            match hour {
                3 => calls(&mut events, hour, EventType::ApiCall, 90, "/v1/deadlines"),
                5 => {}
                _ => calls(&mut events, hour, EventType::ApiCall, 30, "/v1/deadlines"),
            }
        }
        assert_eq!(found(&events[..0], None), []);
        calls(&mut events, 2, EventType::ApiCall, 1, "/v1/other");
        calls(&mut events, 7, EventType::AuthFailed, 40, "/v1/deadlines");
        let of_user = [
            (
                AnomalyKind::NewEndpoint,
                "2026-11-15T12:00:00Z".to_owned(),
                1,
            ),
            (AnomalyKind::Silence, "2026-11-16T07:00:00Z".to_owned(), 0),
            (AnomalyKind::Spike, "2026-11-16T09:00:00Z".to_owned(), 90),
        ];
        assert_eq!(found(&events, Some(USER)), of_user);
        let everybody = found(&events, None);
        assert_eq!(everybody.len(), 4, "{everybody:?}");
        let refusals = (AnomalyKind::Refusals, "2026-11-16T05:00:00Z".to_owned(), 40);
        assert!(everybody.contains(&refusals), "{everybody:?}");
    }

    #[test]
    fn steady_traffic_is_usual() {
        let mut events = Vec::new();
        for hour in 0..24 * 5 {
            let count = 20 + hour % 5;
            calls(
                &mut events,
                hour,
                EventType::ApiCall,
                count,
                "/v1/deadlines",
            );
        }
        assert_eq!(found(&events, None), []);
    }
}
