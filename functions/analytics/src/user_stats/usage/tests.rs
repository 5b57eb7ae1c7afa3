use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::*;
use crate::testing::{SHARDS, Table, World, ready};
use domain::counts::Slot;
use domain::event::{EventType, UsageEvent};
use domain::response::Response;
use domain::sample;
use domain::seen::Seen;
use domain::table::ItemKey;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;

const USER: &str = "ann@example.com";
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

fn at(text: &str) -> UnixMillis {
    text.parse().unwrap()
}

/// The borders of two months, and days that are closed and sealed between them.
fn start() -> UnixMillis {
    at("2026-10-30T22:00:00Z")
}

/// Something that happens at a time.
#[derive(Debug, Clone)]
enum Action {
    Append(Box<UsageEvent>),
    Tick,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    /// The next action.
    Act,
    /// Some changes of a shard are folded.
    Fold(u8, usize),
}

/// A world in which things happen while it is read.
struct Story {
    world: World,
    actions: Mutex<std::vec::IntoIter<(UnixMillis, Action)>>,
    now: Mutex<UnixMillis>,
    /// What was appended, and whether in time.
    appended: Mutex<Vec<(UnixMillis, bool)>>,
}

impl Story {
    fn new(events: Vec<(UsageEvent, i64)>, ticks: i64) -> Self {
        let appends = events.into_iter();
        let appends = appends.map(|(event, delay)| {
            (
                event.time.plus_millis(delay),
                Action::Append(Box::new(event)),
            )
        });
        // Five minutes past each hour the previous hour gets its last beacon.
        let ticks = (1..=ticks).map(|hour| {
            let at = start().plus_millis(hour * HOUR + 5 * MINUTE);
            (at, Action::Tick)
        });
        let mut actions: Vec<_> = appends.chain(ticks).collect();
        actions.sort_by_key(|(at, _)| *at);
        Self {
            world: World::default(),
            actions: Mutex::new(actions.into_iter()),
            now: Mutex::new(start()),
            appended: Mutex::default(),
        }
    }

    fn step(&self, step: Step) {
        let mut now = self.now.lock().unwrap();
        match step {
            Step::Fold(shard, most) => {
                self.world.fold_some(shard, most, *now);
            }
            Step::Act => {
                let Some((at, action)) = self.actions.lock().unwrap().next() else {
                    return;
                };
                *now = at;
                match action {
                    Action::Tick => self.world.tick(at),
                    Action::Append(event) => {
                        let in_time = at.since(Window::Minute.end(event.time)) <= MINUTE;
                        self.appended.lock().unwrap().push((event.time, in_time));
                        self.world.append(&[*event], at);
                    }
                }
            }
        }
    }

    /// Events so far from `from` up to `to`: those that every response must hold, and all.
    fn bounds(&self, from: UnixMillis, to: UnixMillis) -> (u64, u64) {
        let appended = self.appended.lock().unwrap();
        let within = || {
            appended
                .iter()
                .filter(|(time, _)| (from..to).contains(time))
        };
        let in_time = within().filter(|(_, in_time)| *in_time).count();
        (in_time as u64, within().count() as u64)
    }
}

/// Plans of some zones and anchor days.
fn plans() -> Plans {
    let all = [
        ("UTC", 1),
        ("Asia/Kolkata", 1),
        ("Pacific/Kiritimati", 1),
        ("America/New_York", 1),
        ("UTC", 12),
        ("Asia/Kolkata", 31),
        ("America/New_York", 31),
    ];
    let plan = |(timezone, day): (&str, u8)| {
        let plan = json!({
            "ratePerSecond": 1, "burst": 1, "timezone": timezone, "periodAnchorDay": day,
        });
        (
            format!("{timezone} {day}"),
            serde_json::from_value(plan).unwrap(),
        )
    };
    all.into_iter().map(plan).collect()
}

fn periods(now: UnixMillis) -> Vec<(UnixMillis, UnixMillis)> {
    let of = |plan: &Plan| {
        let period = plan.period(now);
        (period.start, period.end)
    };
    plans().values().map(of).collect()
}

/// Reads while `steps` happen, one before each call. Returns the total and that of each period.
fn read(story: &Arc<Story>, steps: Vec<Step>) -> (UnixMillis, u64, Vec<u64>) {
    let now = *story.now.lock().unwrap();
    let steps = Arc::new(Mutex::new(steps.into_iter()));
    let hook = || {
        let (story, steps) = (Arc::clone(story), Arc::clone(&steps));
        move || {
            let next = steps.lock().unwrap().next();
            if let Some(step) = next {
                story.step(step);
            }
            Ok(())
        }
    };
    let usage = Table::hooked(story.world.usage.clone(), hook());
    let analytics = Table::hooked(story.world.analytics.clone(), hook());
    let tables = Tables {
        usage: &usage,
        analytics: &analytics,
    };
    let read = ready(Usage::read(&tables, &plans(), USER, now)).unwrap();
    let of = |(start, end)| read.between(start, end).calls;
    let in_periods = periods(now).into_iter().map(of).collect();
    (now, read.all_time().tally.calls, in_periods)
}

fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => Just(Step::Act),
        2 => (0..SHARDS, select(vec![1, 7, usize::MAX])).prop_map(|(shard, most)| Step::Fold(shard, most)),
    ];
    proptest::collection::vec(step, 0..most)
}

/// Calls of a few days, most of them in time.
fn events(hours: i64) -> impl Strategy<Value = Vec<(UsageEvent, i64)>> {
    let delay = prop_oneof![5 => 0..30_000_i64, 1 => 0..3 * HOUR];
    let parts = proptest::collection::vec((0..hours * HOUR, delay), 0..40);
    parts.prop_map(|parts| {
        let event = |(number, (after, delay)): (u64, (i64, i64))| {
            let time = start().plus_millis(after);
            (sample::event(number, USER, EventType::ApiCall, time), delay)
        };
        (0..).zip(parts).map(event).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// In every state of folds, closings and seals, and with any change during a read: a response
    /// holds everything that was appended in time before, nothing twice, and the next one holds no
    /// less.
    #[test]
    fn answers_hold_what_was_appended_and_never_go_backwards(
        (hours, events) in prop_oneof![1..6_i64, 20..60_i64, 300..320_i64]
            .prop_flat_map(|hours| (Just(hours), events(hours))),
        before in steps(700),
        during in proptest::collection::vec(steps(12), 3),
        between in steps(60),
    ) {
        let story = Arc::new(Story::new(events, hours));
        for step in before {
            story.step(step);
        }
        let mut last = 0;
        for steps in during {
            let now = *story.now.lock().unwrap();
            let spans = [(UnixMillis(0), at("2100-01-01T00:00:00Z"))].into_iter().chain(periods(now));
            let spans: Vec<_> = spans.collect();
            let least: Vec<u64> = spans.iter().map(|(from, to)| story.bounds(*from, *to).0).collect();
            let (_, total, in_periods) = read(&story, steps);
            let most: Vec<u64> = spans.iter().map(|(from, to)| story.bounds(*from, *to).1).collect();
            let found: Vec<u64> = [total].into_iter().chain(in_periods).collect();
            for ((least, found), most) in least.iter().zip(&found).zip(&most) {
                prop_assert!(least <= found && found <= most, "{} <= {} <= {}", least, found, most);
            }
            prop_assert!(last <= total, "{} then {}", last, total);
            last = total;
            for step in &between {
                story.step(*step);
            }
        }
    }
}

#[test]
fn closed_days_and_settled_months_are_read_instead_of_what_is_below() {
    let events: Vec<_> = (0..40)
        .map(|number| {
            let time = start().plus_millis(i64::try_from(number).unwrap() * 9 * HOUR);
            (sample::event(number, USER, EventType::ApiCall, time), 0)
        })
        .collect();
    let story = Arc::new(Story::new(events, 360));
    for _ in 0..400 {
        story.step(Step::Act);
        (0..SHARDS).for_each(|shard| story.step(Step::Fold(shard, usize::MAX)));
    }
    let (now, total, _) = read(&story, Vec::new());
    assert_eq!((Window::Day.label(now).as_str(), total), ("2026-11-14", 40));
    let usage = ready(Usage::read(&story.world.tables(), &plans(), USER, now)).unwrap();
    assert_eq!(usage.months.len(), 1);
    assert_eq!(usage.first_day, at("2026-11-01T00:00:00Z"));
    // In India, a period began on 31 October, which is in a settled month.
    assert_eq!(usage.days.keys().next(), Some(&at("2026-10-30T00:00:00Z")));
    assert!(
        usage
            .hours
            .keys()
            .all(|hour| *hour >= at("2026-11-13T00:00:00Z")),
        "{:?}",
        usage.hours.keys()
    );
    // Levels below are not read.
    let forget = |key: ItemKey| story.world.usage.forget(&key);
    forget(ItemKey::day(USER, at("2026-10-30T00:00:00Z")));
    for hour in hours_between(start(), at("2026-11-12T23:00:00Z")) {
        forget(ItemKey::hour(USER, hour));
    }
    assert_eq!(read(&story, Vec::new()).1, 40);
}

/// A minute of a user who constantly calls five routes.
fn slot(start: UnixMillis) -> Slot {
    let mut slot = Slot {
        rank: 20,
        ..Slot::default()
    };
    for (place, route) in [
        "/v1/deadlines",
        "/v1/countries",
        "/v1/rules",
        "/v1/forms",
        "/v1/search",
    ]
    .iter()
    .enumerate()
    {
        slot.counts.tally.count(EventType::ApiCall, "GET", route, 2);
        for latency in [13, 47] {
            let latency = Some(latency + 9 * u32::try_from(place).unwrap());
            slot.counts.responses.count(Response {
                status: 200,
                latency,
            });
        }
    }
    let last = start.plus_millis(59_000);
    slot.counts.seen = Some(Seen::new(
        start.plus_millis(700),
        last,
        Some((last, "free".to_owned())),
    ));
    slot
}

/// The documented cost: eleven months, the days of this month, the hours of today, three minutes.
#[test]
fn a_user_with_a_long_past_costs_few_read_units() {
    let world = World::default();
    let now = at("2026-11-15T16:04:05Z");
    let mut months: BTreeMap<UnixMillis, Vec<Sum>> = BTreeMap::new();
    for day in crate::marks::days_between(at("2025-12-01T00:00:00Z"), now) {
        let mut sum = Sum::default();
        for hour_at in hours_between(day, Window::Day.end(day).plus_millis(-1)) {
            let mut hour = Hour::new(hour_at);
            for minute in 0..60 {
                hour.set(
                    minute,
                    slot(hour_at.plus_millis(i64::from(minute) * MINUTE)),
                );
            }
            if day >= at("2026-11-01T00:00:00Z") && hour_at <= now {
                world
                    .usage
                    .plant(&ItemKey::hour(USER, hour_at), 60, hour.encode().unwrap());
            }
            sum.merge(&hour.sum());
        }
        if Window::Day.end(day) <= now {
            world
                .usage
                .plant(&ItemKey::day(USER, day), 24, sum.encode().unwrap());
        }
        months
            .entry(Window::Month.start(day))
            .or_default()
            .push(sum);
    }
    for (month, days) in &months {
        world.usage.plant(
            &ItemKey::month(USER, *month),
            30,
            Sum::of(days).encode().unwrap(),
        );
    }
    for hour in hours_between(now.plus_days(-15), now.plus_millis(-HOUR)) {
        let mark = Window::Hour.end(hour).plus_millis(9 * MINUTE);
        world
            .usage
            .plant(&ItemKey::hour_mark(hour), mark.0.unsigned_abs(), Vec::new());
    }
    world.usage.plant(
        &ItemKey::hour_mark(now),
        now.plus_millis(-10_000).0.unsigned_abs(),
        Vec::new(),
    );
    world.mark_days(now);
    for number in 0..300 {
        let time = at("2026-11-15T16:01:00Z").plus_millis(i64::try_from(number).unwrap() * 600);
        world.call(&[sample::event(number, USER, EventType::ApiCall, time)]);
    }
    let before = (world.usage.units().reads, world.analytics.units().reads);
    let usage = ready(Usage::read(&world.tables(), &Plans::new(), USER, now)).unwrap();
    let reads = (
        world.usage.units().reads - before.0,
        world.analytics.units().reads - before.1,
    );
    assert_eq!(usage.months.len(), 11);
    assert!(usage.hours.len() <= 18, "{}", usage.hours.len());
    assert!(reads.0 <= 25 && reads.1 <= 20, "{reads:?}");
}
