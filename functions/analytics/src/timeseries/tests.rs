use std::collections::BTreeSet;

use super::*;
use crate::body::{Granularity, MeterAmount};
use crate::parameters;
use crate::query::Query;
use crate::testing::{World, gateway, ready, tokens};
use bearer::Caller;
use domain::dimension::Label;
use domain::endpoint::Endpoint;
use domain::event::UsageEvent;
use domain::sample;
use domain::tally::Tally;
use domain::time::Window;
use proptest::prelude::*;
use proptest::sample::select;

const USER: &str = "ann@example.com";
const HOUR: i64 = 3_600_000;

/// Three days after clocks changed in Berlin.
fn now() -> UnixMillis {
    "2026-10-28T05:37:12Z".parse().unwrap()
}

fn asked(query: &[(&str, &str)]) -> Asked {
    let request = gateway::request("/v1/analytics/timeseries", query, None);
    let query = Query::of(&request, parameters::of(Endpoint::Timeseries)).unwrap();
    let admin = Caller {
        email: None,
        subject: None,
        admin: true,
        writes: false,
    };
    Asked::of(&query, &admin, &["tenant".to_owned()], now()).unwrap()
}

/// Events of the last six days.
fn events() -> impl Strategy<Value = Vec<UsageEvent>> {
    let parts = (
        prop_oneof![0..HOUR, 0..140 * HOUR],
        select(vec![USER, "bob@example.com", "ip:192.0.2.7"]),
        select(EventType::ALL.to_vec()),
        select(vec!["GET", "POST"]),
    );
    let event = |(number, (age, subject, event_type, method)): (u64, (i64, &str, _, &str))| {
        let mut event = sample::event(number, subject, event_type, now().plus_millis(-age));
        event.data.method = method.to_owned();
        event.data.key_id = (number % 5 > 0).then(|| format!("key_{}", number % 3));
        if event_type == EventType::ApiCall && number % 3 > 0 {
            event.data.dimensions = vec![Label {
                name: "tenant".into(),
                value: format!("t{}", number % 3).into(),
                values: 2,
            }];
        }
        event
    };
    proptest::collection::vec(parts, 0..50)
        .prop_map(move |parts| (0..).zip(parts).map(event).collect())
}

fn of_tally(tally: &Tally) -> Counts {
    Counts {
        tally: tally.clone(),
        ..Counts::default()
    }
}

/// The oracle: the tally of one bucket, computed from the events.
fn tally<'a>(events: impl Iterator<Item = &'a UsageEvent>) -> Tally {
    let mut tally = Tally::default();
    for event in events {
        let data = &event.data;
        tally.count(event.event_type, &data.method, &data.endpoint, 1);
        if let (EventType::ApiCall, Some(key)) = (event.event_type, &data.key_id) {
            tally.count_key(key, 1);
        }
        for label in &data.dimensions {
            let dimension = tally.dimensions.entry(label.name.to_string()).or_default();
            dimension.most = label.values;
            let share = dimension.values.entry(label.value.to_string()).or_default();
            share.calls += 1;
        }
    }
    tally
}

fn users<'a>(events: impl Iterator<Item = &'a UsageEvent>) -> u64 {
    let users: BTreeSet<&str> = events
        .filter(|event| event.event_type == EventType::ApiCall)
        .filter_map(|event| event.subject.email())
        .collect();
    users.len() as u64
}

const fn window(granularity: Granularity) -> Window {
    match granularity {
        Granularity::Minute => Window::Minute,
        Granularity::Hour => Window::Hour,
        Granularity::Day => Window::Day,
    }
}

/// The history before the series is read.
#[derive(Debug, Clone, Copy)]
enum Past {
    /// Everything was folded at once, and no day was closed.
    Folded,
    /// Everything was folded, days were closed, and the calls of the last hours came after that.
    Closed,
}

fn world(events: &[UsageEvent], past: Past) -> World {
    let world = World::metered();
    let (late, old): (Vec<UsageEvent>, Vec<UsageEvent>) = events
        .iter()
        .cloned()
        .partition(|event| now().since(event.time) < HOUR);
    let an_hour_ago = now().plus_millis(-HOUR);
    match past {
        Past::Folded => {
            world.call(&old);
            world.fold(an_hour_ago);
        }
        Past::Closed => world.live(&old, an_hour_ago),
    }
    world.call(&late);
    world
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Every bucket matches the events, in any zone, however they are split, folded or not.
    #[test]
    fn buckets_hold_what_the_events_say(
        events in events(),
        past in select(vec![Past::Folded, Past::Closed]),
        granularity in select(vec![("minute", Granularity::Minute), ("hour", Granularity::Hour), ("day", Granularity::Day)]),
        zone in select(vec!["UTC", "Asia/Kolkata", "Asia/Kathmandu", "Europe/Berlin", "America/New_York"]),
        by in select(vec![
            None,
            Some(("type", Grouping::By(GroupBy::Type))),
            Some(("method", Grouping::By(GroupBy::Method))),
            Some(("endpoint", Grouping::By(GroupBy::Endpoint))),
            Some(("key", Grouping::By(GroupBy::Key))),
            Some(("tenant", Grouping::Dimension("tenant".to_owned()))),
        ]),
        whose in select(vec![None, Some(USER)]),
        from in 0..130 * HOUR,
        length in 1..40 * HOUR,
    ) {
        // Keys are one user's.
        let is_by_key = by.as_ref().is_some_and(|(name, _)| *name == "key");
        let whose = whose.or(is_by_key.then_some(USER));
        let world = world(&events, past);
        let length = if granularity.1 == Granularity::Minute { length / 2 } else { length };
        let start = now().plus_millis(-from);
        let (from, to) = (start.to_string(), start.plus_millis(length + 1).to_string());
        let mut query = vec![("granularity", granularity.0), ("timezone", zone), ("from", &from), ("to", &to)];
        query.extend(by.iter().map(|(name, _)| ("groupBy", *name)));
        query.extend(whose.map(|email| ("email", email)));
        let asked = asked(&query);
        asked.check_kept(RETENTION, now()).unwrap();
        let series = ready(series(&world.tables(), &asked, now())).unwrap();

        let is_seen = |event: &&UsageEvent| whose.is_none_or(|email| event.subject.as_str() == email);
        let seen: Vec<&UsageEvent> = events.iter().filter(is_seen).collect();
        prop_assert_eq!(series.as_of, Instant(now()));
        prop_assert_eq!(series.points.len(), asked.buckets.len());
        for (point, (start, end)) in series.points.iter().zip(asked.buckets.spans()) {
            let within = || seen.iter().copied().filter(|event| (start..end).contains(&event.time));
            let expected = tally(within());
            prop_assert_eq!(point.start, Instant(start));
            prop_assert_eq!(point.total_calls, expected.calls);
            prop_assert_eq!(point.auth_failures, expected.auth_failures);
            prop_assert_eq!(point.rate_limited, expected.rate_limited);
            let calls = || within().filter(|event| event.event_type == EventType::ApiCall);
            let is_tokens = |of: &MeterAmount| of.meter == "tokens";
            prop_assert_eq!(point.meters.iter().any(is_tokens), calls().next().is_some());
            let used: u64 = point.meters.iter().map(|of| of.amount).sum();
            prop_assert_eq!(used, calls().map(tokens).sum::<u64>());
            let is_window = asked.buckets.is_window(window(granularity.1), start);
            let known = whose.is_some() || is_window;
            prop_assert_eq!(point.active_users, known.then(|| users(within())));
            prop_assert_eq!(&point.groups, &by.as_ref().map(|(_, by)| groups(&of_tally(&expected), by)));
        }
    }
}

const RETENTION: Retention = Retention {
    minutes: 7,
    hours: 90,
};

#[test]
fn a_closed_day_is_split_by_its_hours_where_labels_are_wanted() {
    let day = Window::Day.start(now()).plus_millis(-5 * 24 * HOUR);
    let at = |hour: i64| day.plus_millis(hour * HOUR);
    let call = |number, time| sample::event(number, USER, EventType::ApiCall, time);
    let world = world(
        &[call(1, at(3)), call(2, at(7)), call(3, at(27))],
        Past::Closed,
    );
    let marks = ready(Marks::read(&world.usage, now())).unwrap();
    assert!(marks.is_closed(day));
    let (from, to) = (at(0).to_string(), at(24).to_string());
    for (zone, granularity, calls) in [
        ("UTC", "hour", vec![(3, 1), (7, 1)]),
        ("Asia/Kolkata", "day", vec![(0, 2), (1, 1)]),
    ] {
        for by in ["type", "method", "endpoint", "key"] {
            let query = [
                ("granularity", granularity),
                ("from", &from),
                ("to", &to),
                ("timezone", zone),
                ("groupBy", by),
                ("email", USER),
            ];
            let series = ready(series(&world.tables(), &asked(&query), now())).unwrap();
            let groups = series.points.iter().enumerate();
            let groups = groups.map(|(place, point)| {
                let groups = point.groups.iter().flatten();
                (place, groups.map(|group| group.total_calls).sum::<u64>())
            });
            let groups: Vec<_> = groups.filter(|(_, calls)| *calls > 0).collect();
            assert_eq!(groups, calls, "{zone} {by}");
        }
    }
}

#[test]
fn a_user_who_calls_in_two_hours_of_an_open_day_is_one() {
    let at = |hour: i64| {
        Window::Day
            .start(now())
            .plus_millis(-5 * 24 * HOUR + hour * HOUR)
    };
    let call =
        |number: u64, user: &str, time| sample::event(number, user, EventType::ApiCall, time);
    let events = [
        call(1, USER, at(3)),
        call(2, USER, at(7)),
        call(3, "bob@example.com", at(7)),
        call(4, USER, at(27)),
    ];
    let (from, to) = (at(0).to_string(), at(48).to_string());
    let query = [("granularity", "day"), ("from", &from), ("to", &to)];
    for past in [Past::Folded, Past::Closed] {
        let world = world(&events, past);
        let series = ready(series(&world.tables(), &asked(&query), now())).unwrap();
        let users: Vec<_> = series
            .points
            .iter()
            .map(|point| point.active_users)
            .collect();
        assert_eq!(users, [Some(2), Some(1)], "{past:?}");
    }
}

/// The documented cost: a month of days, a week of hours and a day of minutes.
#[test]
fn a_series_costs_few_read_units() {
    let world = World::default();
    let mut events = Vec::new();
    for number in 0..30 * 24 * 4_u64 {
        let time = now().plus_millis(-i64::try_from(number).unwrap() * HOUR / 4);
        let user = if number % 3 == 0 {
            USER
        } else {
            "bob@example.com"
        };
        events.push(sample::event(number, user, EventType::ApiCall, time));
    }
    world.live(&events, now().plus_millis(-5_000));
    let cost = |query: &str| {
        let reads = || world.usage.units().reads + world.analytics.units().reads;
        let asked = asked(&gateway::parameters(query));
        let before = reads();
        let series = ready(series(&world.tables(), &asked, now())).unwrap();
        let cost = reads() - before;
        let within = asked.buckets.from()..asked.buckets.to();
        let counted = events.iter().filter(|event| {
            let is_theirs = asked
                .whose
                .as_ref()
                .is_none_or(|user| *user == event.subject);
            is_theirs && within.contains(&event.time)
        });
        let calls = series.points.iter().map(|point| point.total_calls);
        assert_eq!(calls.sum::<u64>(), counted.count() as u64, "{query}");
        cost
    };
    for (query, most) in [
        ("granularity=day&duration=30d&email=ann@example.com", 15),
        ("granularity=hour&duration=7d&email=ann@example.com", 12),
        (
            "granularity=hour&duration=7d&groupBy=endpoint&email=ann@example.com",
            20,
        ),
        ("granularity=minute&duration=24h&email=ann@example.com", 10),
        ("granularity=day&duration=30d", 25),
        ("granularity=day&duration=30d&timezone=Europe/Berlin", 25),
        ("granularity=day&duration=30d&timezone=Asia/Kolkata", 25),
        (
            "granularity=day&duration=30d&timezone=Europe/Berlin&groupBy=endpoint",
            60,
        ),
        ("granularity=hour&duration=7d", 32),
        ("granularity=hour&duration=7d&timezone=Asia/Kolkata", 32),
        (
            "granularity=hour&duration=6d&timezone=Asia/Kolkata&groupBy=endpoint",
            160,
        ),
        ("granularity=minute&duration=24h", 36),
    ] {
        let cost = cost(query);
        assert!(cost <= most, "{query}: {cost} read units");
    }
}

#[test]
fn types_are_all_there_and_methods_stand_by_count() {
    let mut tally = Tally::default();
    tally.count(EventType::ApiCall, "GET", "/a", 2);
    tally.count(EventType::ApiCall, "PUT", "/a", 3);
    tally.count(EventType::RateLimited, "GET", "/a", 9);
    let keys = |by| -> Vec<(String, u64)> {
        let groups = groups(&of_tally(&tally), by).into_iter();
        groups.map(|group| (group.key, group.total_calls)).collect()
    };
    let named = |pairs: &[(&str, u64)]| -> Vec<(String, u64)> {
        pairs
            .iter()
            .map(|(key, count)| ((*key).to_owned(), *count))
            .collect()
    };
    let types = [
        ("API_CALL", 5),
        ("API_AUTH_FAILED", 0),
        ("API_RATE_LIMITED", 9),
    ];
    assert_eq!(keys(&Grouping::By(GroupBy::Type)), named(&types));
    assert_eq!(
        keys(&Grouping::By(GroupBy::Method)),
        named(&[("PUT", 3), ("GET", 2)])
    );
}

#[test]
fn only_what_is_kept_is_answered() {
    let cases = [
        (
            "granularity=minute&from=2026-10-21T05:37:12Z&to=2026-10-21T06:00:00Z",
            None,
        ),
        (
            "granularity=minute&from=2026-10-21T05:36:00Z&to=2026-10-21T06:00:00Z",
            Some("from"),
        ),
        // A user's hours contain their minutes.
        (
            "granularity=minute&from=2026-07-30T05:00:00Z&to=2026-07-30T06:00:00Z&email=ann@example.com",
            None,
        ),
        (
            "granularity=minute&from=2026-07-30T04:59:00Z&to=2026-07-30T06:00:00Z&email=ann@example.com",
            Some("from"),
        ),
        (
            "granularity=hour&from=2026-07-30T05:00:00Z&to=2026-08-01T00:00:00Z",
            None,
        ),
        (
            "granularity=hour&from=2026-07-30T04:00:00Z&to=2026-08-01T00:00:00Z",
            Some("from"),
        ),
        // Days keep quarter hours for good, without labels.
        (
            "granularity=hour&from=2025-07-30T04:00:00Z&to=2025-08-01T00:00:00Z&email=ann@example.com",
            None,
        ),
        (
            "granularity=hour&from=2025-07-30T04:00:00Z&to=2025-08-01T00:00:00Z&email=ann@example.com&timezone=Asia/Kolkata",
            None,
        ),
        (
            "granularity=hour&from=2025-07-30T04:00:00Z&to=2025-08-01T00:00:00Z&email=ann@example.com&groupBy=endpoint",
            Some("from"),
        ),
        (
            "granularity=hour&from=2026-07-30T05:00:00Z&to=2026-08-01T00:00:00Z&email=ann@example.com&groupBy=endpoint",
            None,
        ),
        ("granularity=day&duration=1000d", None),
        (
            "granularity=day&duration=1000d&email=ann@example.com&groupBy=method",
            None,
        ),
        (
            "granularity=day&duration=1000d&email=ann@example.com&timezone=Asia/Kolkata",
            None,
        ),
        (
            "granularity=day&duration=80d&email=ann@example.com&timezone=Asia/Kolkata&groupBy=method",
            None,
        ),
        (
            "granularity=day&duration=100d&email=ann@example.com&timezone=Asia/Kolkata&groupBy=method",
            Some("timezone"),
        ),
        // Days of all users keep quarter hours for good as well.
        ("granularity=day&duration=1000d&timezone=Asia/Kolkata", None),
        ("granularity=hour&duration=60d&timezone=Asia/Kolkata", None),
        (
            "granularity=hour&from=2026-07-29T20:30:00Z&to=2026-08-01T00:00:00Z&timezone=Asia/Kolkata",
            Some("from"),
        ),
        (
            "granularity=day&duration=80d&timezone=Europe/Berlin&groupBy=method",
            None,
        ),
        (
            "granularity=day&duration=100d&timezone=Europe/Berlin&groupBy=method",
            Some("timezone"),
        ),
        // Of the day that the first bucket cuts, only the hours within the bucket are needed.
        (
            "granularity=day&from=2026-07-31T00:00:00Z&to=2026-08-02T00:00:00Z&timezone=Europe/Berlin&groupBy=method",
            None,
        ),
        // With labels, the hours of all users are cut at half past: their minutes are kept seven
        // days.
        (
            "granularity=day&duration=5d&timezone=Asia/Kolkata&groupBy=method",
            None,
        ),
        (
            "granularity=day&duration=10d&timezone=Asia/Kolkata&groupBy=method",
            Some("timezone"),
        ),
        (
            "granularity=hour&duration=5d&timezone=Asia/Kolkata&groupBy=method",
            None,
        ),
        (
            "granularity=hour&duration=10d&timezone=Asia/Kolkata&groupBy=method",
            Some("timezone"),
        ),
    ];
    for (query, refused) in cases {
        let checked = asked(&gateway::parameters(query)).check_kept(RETENTION, now());
        let parameter = checked.err().map(|error| error.body().parameter.unwrap());
        assert_eq!(parameter.as_deref(), refused, "{query:?}");
    }
}
