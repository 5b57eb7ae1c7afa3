use super::*;
use crate::testing::{World, ready};
use domain::event::{EventType, UsageEvent};
use domain::sample;

fn at(text: &str) -> UnixMillis {
    text.parse().unwrap()
}

fn world(calls: &[&str]) -> World {
    let world = World::default();
    for (number, time) in (0..).zip(calls) {
        let call = sample::event(number, "ann@example.com", EventType::ApiCall, at(time));
        world.call(&[call]);
    }
    world
}

fn both(world: &World, now: UnixMillis) -> [Realtime; 2] {
    let ann = Subject::user("ann@example.com");
    [
        ready(of_user(&world.tables(), &ann, now)).unwrap(),
        ready(of_everybody(&world.tables(), now)).unwrap(),
    ]
}

#[test]
fn five_minutes_reach_over_the_turn_of_the_hour_and_active_users_do_not() {
    let calls = [
        "2026-11-22T23:57:59Z",
        "2026-11-22T23:58:00Z",
        "2026-11-22T23:59:59Z",
    ];
    let now = at("2026-11-23T00:02:00Z");
    let fresh = world(&calls);
    let folded = world(&calls);
    folded.fold(now);
    for last_minutes in [&fresh, &folded]
        .into_iter()
        .flat_map(|world| both(world, now))
    {
        let calls = last_minutes.calls_per_minute.iter();
        let calls: Vec<u64> = calls.map(|minute| minute.total_calls).collect();
        assert_eq!(calls, [1, 1, 0, 0, 0]);
        assert_eq!(
            (last_minutes.total_calls, last_minutes.active_users),
            (2, 0)
        );
    }
}

#[test]
fn folded_minutes_and_fresh_ones_make_one_answer() {
    let calls = [
        "2026-11-22T16:00:10Z",
        "2026-11-22T16:01:10Z",
        "2026-11-22T16:03:10Z",
    ];
    let world = world(&calls);
    world.fold(at("2026-11-22T16:03:20Z"));
    let bob = |number, time| sample::event(number, "bob@example.com", EventType::ApiCall, at(time));
    world.call(&[
        bob(7, "2026-11-22T16:03:30Z"),
        bob(8, "2026-11-22T16:04:01Z"),
    ]);
    let now = at("2026-11-22T16:04:05Z");
    let [user, everybody] = both(&world, now);
    let per_minute = |of: &Realtime| -> Vec<u64> {
        of.calls_per_minute
            .iter()
            .map(|minute| minute.total_calls)
            .collect()
    };
    assert_eq!(per_minute(&user), [1, 1, 0, 1, 0]);
    assert_eq!(per_minute(&everybody), [1, 1, 0, 2, 1]);
    assert_eq!((user.active_users, everybody.active_users), (1, 2));
    let users = everybody.top_users.unwrap();
    let users: Vec<(&str, u64)> = users
        .iter()
        .map(|user| (user.email.as_str(), user.total_calls))
        .collect();
    assert_eq!(users, [("ann@example.com", 3), ("bob@example.com", 2)]);
    assert_eq!((user.as_of, everybody.as_of), (Instant(now), Instant(now)));
}

/// Refused calls, each a second after the previous one.
fn failures(first: u64, ip: &str, time: &str, count: u64) -> Vec<UsageEvent> {
    let event = |number: u64| {
        let after = i64::try_from(number).unwrap() * 1_000;
        let time = at(time).plus_millis(after);
        let mut event = sample::event(
            first + number,
            &format!("ip:{ip}"),
            EventType::AuthFailed,
            time,
        );
        event.data.ip = ip.to_owned();
        event.data.key_id = Some(format!("key_{}", number % 3));
        event
    };
    (0..count).map(event).collect()
}

#[test]
fn an_address_is_suspicious_by_the_last_hour_folded_or_not() {
    let now = at("2026-11-22T16:04:05Z");
    for fold in [
        None,
        Some("2026-11-22T16:01:20Z"),
        Some("2026-11-22T16:04:04Z"),
    ] {
        let world = World::default();
        // One of these is an hour old.
        world.call(&failures(0, "192.0.2.7", "2026-11-22T15:04:59Z", 4));
        world.call(&failures(10, "192.0.2.7", "2026-11-22T16:01:10Z", 2));
        world.call(&failures(20, "192.0.2.8", "2026-11-22T15:30:00Z", 4));
        world.call(&failures(30, "2001:db8::1", "2026-11-22T15:30:00Z", 3));
        if let Some(fold) = fold {
            world.fold(at(fold));
        }
        world.call(&failures(40, "2001:db8::2", "2026-11-22T16:03:00Z", 2));
        let suspicious = both(&world, now)[1].suspicious_ips.clone().unwrap();
        let found: Vec<(&str, u64, u64)> = suspicious
            .iter()
            .map(|suspect| {
                (
                    suspect.ip.as_str(),
                    suspect.auth_failures,
                    suspect.distinct_keys,
                )
            })
            .collect();
        assert_eq!(
            found,
            [("192.0.2.7", 5, 3), ("2001:db8::/64", 5, 3)],
            "{fold:?}"
        );
        assert_eq!(suspicious[0].last_seen, Instant(at("2026-11-22T16:01:11Z")));
    }
}

#[test]
fn lists_are_cut_and_stand_in_the_same_order_always() {
    let now = at("2026-11-22T16:04:05Z");
    let mut events = Vec::new();
    let mut add = |subject: &str, event_type, ip: String| {
        let mut event = sample::event(events.len() as u64, subject, event_type, now);
        event.data.ip = ip;
        events.push(event);
    };
    for user in 0..12 {
        add(
            &format!("user{user:02}@example.com"),
            EventType::ApiCall,
            String::new(),
        );
    }
    add("user11@example.com", EventType::ApiCall, String::new());
    for address in 0..120 {
        for _ in 0..4 + u64::from(address > 5) + u64::from(address == 70) {
            let ip = format!("192.0.2.{address:03}");
            add(&format!("ip:{ip}"), EventType::AuthFailed, ip);
        }
    }
    let world = World::default();
    world.append(&events, now);
    let last_minutes = ready(of_everybody(&world.tables(), now)).unwrap();
    let users = last_minutes.top_users.unwrap();
    let users: Vec<&str> = users.iter().map(|user| &user.email[4..6]).collect();
    assert_eq!(
        users,
        ["11", "00", "01", "02", "03", "04", "05", "06", "07", "08"]
    );
    let suspicious = last_minutes.suspicious_ips.unwrap();
    assert_eq!(suspicious.len(), 100);
    let first: Vec<&str> = suspicious
        .iter()
        .map(|suspect| suspect.ip.as_str())
        .take(3)
        .collect();
    assert_eq!(first, ["192.0.2.070", "192.0.2.006", "192.0.2.007"]);
}

#[test]
fn of_equal_failures_the_address_that_tried_more_keys_is_more_suspicious() {
    let now = at("2026-11-22T16:04:05Z");
    let one_key = |first, ip: &str, count| {
        let mut events = failures(first, ip, "2026-11-22T16:00:00Z", count);
        for event in &mut events {
            event.data.key_id = Some("key_0".to_owned());
        }
        events
    };
    for fold in [false, true] {
        let world = World::default();
        world.call(&one_key(0, "192.0.2.1", 6));
        world.call(&failures(10, "192.0.2.2", "2026-11-22T16:00:00Z", 6));
        world.call(&one_key(20, "192.0.2.3", 7));
        if fold {
            world.fold(at("2026-11-22T16:04:00Z"));
        }
        let suspicious = both(&world, now)[1].suspicious_ips.clone().unwrap();
        let found = suspicious.iter().map(|suspect| {
            let failures = suspect.auth_failures;
            (suspect.ip.as_str(), failures, suspect.distinct_keys)
        });
        let expected = [
            ("192.0.2.3", 7, 1),
            ("192.0.2.2", 6, 3),
            ("192.0.2.1", 6, 1),
        ];
        assert_eq!(found.collect::<Vec<_>>(), expected, "folded: {fold}");
    }
}

/// The documented cost, for a hundred users and thirty addresses that fail.
#[test]
fn the_last_minutes_cost_few_read_units() {
    let world = World::default();
    let now = at("2026-11-22T16:04:05Z");
    world.mark_days(now);
    for number in 0..3_000_u64 {
        let time = at("2026-11-22T15:14:00Z").plus_millis(i64::try_from(number).unwrap() * 1_000);
        let user = format!("user{:02}@example.com", number % 100);
        world.append(
            &[sample::event(number, &user, EventType::ApiCall, time)],
            time,
        );
    }
    for address in 0..30_u64 {
        world.call(&failures(
            10_000 + 10 * address,
            &format!("192.0.2.{address}"),
            "2026-11-22T16:00:00Z",
            5,
        ));
    }
    world.fold(at("2026-11-22T16:04:00Z"));
    let reads = || (world.usage.units().reads, world.analytics.units().reads);
    let before = reads();
    let everybody = ready(of_everybody(&world.tables(), now)).unwrap();
    let between = reads();
    let user = Subject::user("user07@example.com");
    let user = ready(of_user(&world.tables(), &user, now)).unwrap();
    let after = reads();
    assert_eq!((everybody.total_calls, user.total_calls), (240, 2));
    let of_everybody = (between.0 - before.0, between.1 - before.1);
    let of_user = (after.0 - between.0, after.1 - between.1);
    assert!(
        of_everybody.0 <= 2 && of_everybody.1 <= 20,
        "{of_everybody:?}"
    );
    assert!(of_user.0 <= 3 && of_user.1 <= 15, "{of_user:?}");
}
