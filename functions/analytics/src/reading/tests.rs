use std::sync::{Arc, Mutex};

use super::*;
use domain::event::{EventType, UsageEvent};
use domain::sample;
use futures_util::FutureExt as _;
use proptest::prelude::*;
use proptest::sample::select;
use runtime::counting;
use runtime::memory::{Call, Fault, MemoryStore};
use runtime::rolling::{LeafAt, Rolling};
use runtime::spill::Limits;
use runtime::store::Stored;

use crate::testing::Table;

const USER: &str = "ann@example.com";

#[derive(Debug, Clone, Copy)]
enum Step {
    /// The next event is counted.
    Count,
    /// The next leaves are rolled up, until the usage table fails after so many writes.
    RollUp {
        mode: TrackingMode,
        leaves: usize,
        writes: usize,
    },
}

/// Two tables, what is still to happen to them, and what did.
#[derive(Default)]
struct World {
    usage: Arc<MemoryStore>,
    analytics: Arc<MemoryStore>,
    events: Mutex<Vec<UsageEvent>>,
    steps: Mutex<Vec<Step>>,
    rolled: Mutex<BTreeMap<(TrackingMode, LeafKey), u64>>,
    counted: Mutex<u64>,
}

impl World {
    /// Events are counted in the order of time.
    fn new(mut events: Vec<UsageEvent>, steps: Vec<Step>) -> Self {
        events.sort_by_key(|event| std::cmp::Reverse(event.time));
        Self {
            events: Mutex::new(events),
            steps: Mutex::new(steps),
            ..Self::default()
        }
    }

    fn counted(&self) -> u64 {
        *self.counted.lock().unwrap()
    }

    fn leaves(&self, mode: TrackingMode) -> &Arc<MemoryStore> {
        match mode {
            TrackingMode::Stream => &self.analytics,
            TrackingMode::Synchronous => &self.usage,
        }
    }

    fn advance(&self) {
        let step = self.steps.lock().unwrap().pop();
        match step {
            Some(Step::Count) => self.count(),
            Some(Step::RollUp {
                mode,
                leaves,
                writes,
            }) => self.roll_up(mode, leaves, writes),
            None => {}
        }
    }

    fn count(&self) {
        let Some(event) = self.events.lock().unwrap().pop() else {
            return;
        };
        let store = self.leaves(event.data.mode).as_ref();
        for (first, row) in counting::rows([&event]) {
            let counted = row.count(store, first).now_or_never().unwrap().unwrap();
            *self.counted.lock().unwrap() += counted.counted.len() as u64;
        }
    }

    /// In the order of time, as the table's stream delivers a user's leaves.
    fn roll_up(&self, mode: TrackingMode, most: usize, writes: usize) {
        let mut rolled = self.rolled.lock().unwrap();
        let leaves = self.leaves(mode).items().into_iter();
        let changed: Vec<(LeafKey, Stored)> = leaves
            .filter_map(|(key, stored)| Some((table::parse_leaf(&key)?, stored)))
            .filter(|(key, stored)| rolled.get(&(mode, key.clone())) != Some(&stored.version))
            .collect();
        for (key, stored) in changed.into_iter().take(most) {
            let leaf = store::read(&ItemKey::leaf(&key), &stored).unwrap();
            let at = LeafAt {
                key: &key,
                version: stored.version,
                leaf: &leaf,
            };
            if !self.roll_up_one(mode, at, writes) {
                return;
            }
            rolled.insert((mode, key), stored.version);
        }
    }

    fn roll_up_one(&self, mode: TrackingMode, leaf: LeafAt<'_>, writes: usize) -> bool {
        let mut written = 0;
        self.usage.inject(move |call, _| {
            written += usize::from(call == Call::Put);
            if written > writes {
                Fault::Refused
            } else {
                Fault::None
            }
        });
        let rolling = Rolling {
            leaves: self.leaves(mode).as_ref(),
            usage: self.usage.as_ref(),
            mode,
            limits: Limits::default(),
        };
        let result = rolling.roll_up(&[leaf]).now_or_never().unwrap();
        self.usage.inject(|_, _| Fault::None);
        result.is_ok()
    }
}

/// A table on which the world goes on before every read.
fn moving(world: &Arc<World>, mode: TrackingMode) -> Table {
    let going_on = Arc::clone(world);
    Table::hooked(Arc::clone(world.leaves(mode)), move || {
        going_on.advance();
        Ok(())
    })
}

/// Early in a month, so that a week reaches back into the one before.
fn now() -> UnixMillis {
    "2026-12-03T01:30:00Z".parse().unwrap()
}

fn mode() -> impl Strategy<Value = TrackingMode> {
    select(vec![TrackingMode::Stream, TrackingMode::Synchronous])
}

/// Events of the last week, most of them of the last hours.
fn events() -> impl Strategy<Value = Vec<UsageEvent>> {
    let age = prop_oneof![0..7_200_000_i64, 0..100_000_000_i64, 0..604_000_000_i64];
    let event = (mode(), age);
    proptest::collection::vec(event, 0..30).prop_map(|events| {
        let event = |(number, (mode, age)): (u64, (TrackingMode, i64))| {
            let at = now().plus_millis(-age);
            let mut event = sample::event(number, USER, EventType::ApiCall, at);
            event.data.mode = mode;
            event
        };
        (0..).zip(events).map(event).collect()
    })
}

fn steps(length: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => Just(Step::Count),
        1 => (mode(), 1..4_usize, 0..9_usize)
            .prop_map(|(mode, leaves, writes)| Step::RollUp { mode, leaves, writes }),
    ];
    proptest::collection::vec(step, length)
}

fn calls(known: &Known) -> u64 {
    known.usage().all_time().tally().calls
}

proptest! {
    /// Whatever was counted is read, wherever the roll-ups are and wherever they broke off.
    #[test]
    fn every_count_is_read_however_late_the_roll_ups_are(events in events(), steps in steps(0..60)) {
        let world = World::new(events, steps);
        while !world.steps.lock().unwrap().is_empty() {
            world.advance();
        }
        let tables = Tables { usage: world.usage.as_ref(), analytics: world.analytics.as_ref() };
        let subject = Subject::user(USER);
        let known = tables.known(&subject, now()).now_or_never().unwrap().unwrap();
        prop_assert_eq!(calls(&known), world.counted());
    }

    /// Counts that go on between the reads are neither met twice nor missed.
    #[test]
    fn what_changes_between_reads_counts_at_most_once(
        events in events(), steps in steps(0..80), before in 0..60_usize,
    ) {
        let world = Arc::new(World::new(events, steps));
        (0..before).for_each(|_| world.advance());
        let usage = moving(&world, TrackingMode::Synchronous);
        let analytics = moving(&world, TrackingMode::Stream);
        let tables = Tables { usage: &usage, analytics: &analytics };
        let least = world.counted();
        let subject = Subject::user(USER);
        let known = tables.known(&subject, now()).now_or_never().unwrap().unwrap();
        let read = calls(&known);
        prop_assert!((least..=world.counted()).contains(&read), "{} of {}..={}", read, least, world.counted());
    }
}

/// Two months, and everything rolled up at once between any two reads.
#[test]
fn a_roll_up_between_two_reads_hides_nothing() {
    for reads in 0..12 {
        let at = ["2026-11-30T23:59:59Z", "2026-12-03T01:29:00Z"].map(|at| at.parse().unwrap());
        let event = |(number, at)| sample::event(number, USER, EventType::ApiCall, at);
        let events = (0..).zip(at).map(event).collect();
        let roll_up = Step::RollUp {
            mode: TrackingMode::Stream,
            leaves: 2,
            writes: 9,
        };
        let mut steps = vec![roll_up];
        steps.extend(vec![Step::Count; 2 + reads]);
        let world = Arc::new(World::new(events, steps));
        (0..2).for_each(|_| world.advance());
        let usage = moving(&world, TrackingMode::Synchronous);
        let analytics = moving(&world, TrackingMode::Stream);
        let tables = Tables {
            usage: &usage,
            analytics: &analytics,
        };
        let subject = Subject::user(USER);
        let known = tables.known(&subject, now()).now_or_never().unwrap();
        assert_eq!(calls(&known.unwrap()), 2, "after {reads} reads");
    }
}

#[test]
fn a_missing_analytics_table_holds_nothing_and_a_missing_usage_table_is_an_error() {
    let (there, gone) = (Table::default(), Table::missing());
    let read = |usage, analytics| {
        let tables = Tables { usage, analytics };
        let subject = Subject::user(USER);
        let known = tables.known(&subject, now());
        known.now_or_never().unwrap().map(|known| calls(&known))
    };
    assert_eq!(read(&there, &gone).unwrap(), 0);
    assert!(matches!(
        read(&gone, &there),
        Err(StoreError::TableMissing { .. })
    ));
}

/// More than one leaf takes, over several lanes: what stands between leaf and day counts once.
#[test]
fn a_busy_users_calls_are_read_once_each() {
    let store = MemoryStore::default();
    let usage = MemoryStore::default();
    let hour = Window::Hour.start(now());
    let events: Vec<UsageEvent> = (0..13_000)
        .map(|number| {
            let at = hour.plus_millis(if number % 2 == 0 { 0 } else { 60_000 });
            let mut event = sample::event(number, USER, EventType::ApiCall, at);
            event.data.lanes = if number < 5_000 { 1 } else { 2 };
            event
        })
        .collect();
    let rolling = Rolling {
        leaves: &store,
        usage: &usage,
        mode: TrackingMode::Stream,
        limits: Limits::default(),
    };
    for (first, row) in counting::rows(&events) {
        let done = row.count(&store, first).now_or_never().unwrap().unwrap();
        let leaves: Vec<LeafAt<'_>> = done
            .leaves
            .iter()
            .map(|(key, leaf)| LeafAt {
                key,
                version: leaf.version,
                leaf: &leaf.state,
            })
            .collect();
        rolling.roll_up(&leaves).now_or_never().unwrap().unwrap();
    }
    let tables = Tables {
        usage: &usage,
        analytics: &store,
    };
    let subject = Subject::user(USER);
    let known = tables
        .known(&subject, now())
        .now_or_never()
        .unwrap()
        .unwrap();
    let read = known.usage();
    assert_eq!(read.all_time().tally().calls, 13_000);
    assert_eq!(read.calls_between(hour, Window::Hour.end(hour)), 13_000);
    let days = days(&store, &subject, hour, hour)
        .now_or_never()
        .unwrap()
        .unwrap();
    let counted = minutes(&store, &subject, &days, hour, hour)
        .now_or_never()
        .unwrap()
        .unwrap();
    let calls = counted
        .into_iter()
        .map(|(minute, tally)| (minute, tally.calls));
    let minute = hour.plus_millis(60_000);
    assert_eq!(calls.collect::<Vec<_>>(), [(hour, 6_500), (minute, 6_500)]);
}
