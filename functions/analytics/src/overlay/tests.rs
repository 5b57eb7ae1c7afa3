use super::*;
use domain::event::{EventType, UsageEvent};
use domain::leaf::Offer;
use domain::response::Response;
use domain::sample;
use proptest::prelude::*;
use proptest::sample::select;

const MODES: [TrackingMode; 2] = [TrackingMode::Stream, TrackingMode::Synchronous];

/// 2026-11-30T22:00:00Z: the four hours from here lie in two days and two months.
const START: UnixMillis = UnixMillis(1_796_076_000_000);

/// One step of counting or of rolling up; `hour` counts from [`START`].
#[derive(Debug, Clone, Copy)]
enum Step {
    Count {
        mode: TrackingMode,
        millis: i64,
        event_type: EventType,
    },
    Day {
        mode: TrackingMode,
        hour: i64,
    },
    Month {
        mode: TrackingMode,
        hour: i64,
    },
    AllTime {
        hour: i64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let mode = || select(MODES.to_vec());
    let event_type = select(EventType::ALL.to_vec());
    prop_oneof![
        3 => (mode(), 0..4 * 3_600_000_i64, event_type)
            .prop_map(|(mode, millis, event_type)| Step::Count { mode, millis, event_type }),
        1 => (mode(), 0..4_i64).prop_map(|(mode, hour)| Step::Day { mode, hour }),
        1 => (mode(), 0..4_i64).prop_map(|(mode, hour)| Step::Month { mode, hour }),
        1 => (0..4_i64).prop_map(|hour| Step::AllTime { hour }),
    ]
}

/// The tables, as the counting code and the aggregator would fill them.
struct World {
    known: Known,
    events: Vec<UsageEvent>,
}

impl World {
    fn new() -> Self {
        let known = Known {
            subject: Subject::user("ann@example.com"),
            all_time: AsOf::default(),
            months: BTreeMap::new(),
            homes: MODES.map(|mode| (mode, Home::default())).into(),
        };
        Self {
            known,
            events: Vec::new(),
        }
    }

    fn take(&mut self, step: Step) {
        let at = |hour: i64| START.plus_millis(hour * 3_600_000);
        match step {
            Step::Count {
                mode,
                millis,
                event_type,
            } => {
                self.count(mode, START.plus_millis(millis), event_type);
            }
            Step::Day { mode, hour } => self.roll_day(mode, at(hour)),
            Step::Month { mode, hour } => self.roll_month(mode, at(hour)),
            Step::AllTime { hour } => self.roll_all_time(at(hour)),
        }
    }

    fn count(&mut self, mode: TrackingMode, at: UnixMillis, event_type: EventType) {
        let number = self.events.len() as u64;
        let event = sample::event(number, "ann@example.com", event_type, at);
        let home = self.known.homes.get_mut(&mode).unwrap();
        let leaf = home.leaves.entry(LeafKey::of(&event)).or_default();
        assert_eq!(leaf.state.offer(&event), Offer::Counted);
        // Of every third the access log has not told yet.
        if !number.is_multiple_of(3) {
            leaf.state.report(&event, response_of(&event));
        }
        leaf.version += 1;
        self.events.push(event);
    }

    fn roll_day(&mut self, mode: TrackingMode, hour: UnixMillis) {
        let home = self.known.homes.get_mut(&mode).unwrap();
        let day = home.days.entry(Window::Day.start(hour)).or_default();
        for (key, leaf) in home.leaves.iter().filter(|(key, _)| key.hour == hour) {
            let part = Part {
                version: leaf.version,
                tally: leaf.state.tally(),
                quarters: leaf.state.quarters().to_vec(),
                responses: leaf.state.responses().clone(),
                ..Part::default()
            };
            let taken = day.state.take(&HourPart::First(key.hour).name(), part);
            let seen = day.state.see(leaf.state.seen());
            day.version += u64::from(taken || seen);
        }
    }

    fn roll_month(&mut self, mode: TrackingMode, at: UnixMillis) {
        let home = &self.known.homes[&mode];
        let day = Window::Day.start(at);
        let month = self
            .known
            .months
            .entry(Window::Month.start(at))
            .or_default();
        if let Some(below) = home.days.get(&day) {
            hand_on(month, &table::day_part(day, mode), below);
        }
    }

    fn roll_all_time(&mut self, at: UnixMillis) {
        let month = Window::Month.start(at);
        if let Some(below) = self.known.months.get(&month) {
            hand_on(&mut self.known.all_time, &Window::Month.label(month), below);
        }
    }

    fn calls_between(&self, start: UnixMillis, end: UnixMillis) -> u64 {
        let calls = self.events.iter().filter(|event| {
            event.event_type == EventType::ApiCall && (start..end).contains(&event.time)
        });
        calls.count() as u64
    }
}

fn response_of(event: &UsageEvent) -> Response {
    let minute = event.time.since(START) / 60_000;
    let minute = u16::try_from(minute.rem_euclid(60)).unwrap();
    Response {
        status: 200 + minute,
        latency: Some(u32::from(minute)),
    }
}

fn hand_on(above: &mut AsOf<RollUp>, name: &str, below: &AsOf<RollUp>) {
    let part = Part {
        version: below.version,
        tally: below.state.tally(),
        responses: below.state.responses(),
        ..Part::default()
    };
    let taken = above.state.take(name, part);
    let seen = above.state.see(below.state.seen());
    above.version += u64::from(taken || seen);
}

proptest! {
    /// However far the roll-ups are, the totals are those of the events.
    #[test]
    fn totals_do_not_depend_on_how_far_the_roll_ups_are(
        steps in proptest::collection::vec(step(), 0..60),
        from in 0_i64..16,
        quarters in 0_i64..16,
    ) {
        let mut world = World::new();
        for step in steps {
            world.take(step);
        }
        let usage = world.known.usage();
        let mut expected = Tally::default();
        for event in &world.events {
            expected.count(event.event_type, &event.data.method, &event.data.endpoint, 1);
        }
        prop_assert_eq!(usage.all_time().tally(), expected);
        let mut responses = Responses::default();
        for (event, number) in world.events.iter().zip(0_u64..) {
            if event.event_type == EventType::ApiCall && !number.is_multiple_of(3) {
                responses.count(response_of(event));
            }
        }
        prop_assert_eq!(usage.all_time().responses(), responses);
        let seen = usage.all_time().seen();
        prop_assert_eq!(seen.map(|seen| seen.first), world.events.iter().map(|event| event.time).min());
        prop_assert_eq!(seen.map(|seen| seen.last), world.events.iter().map(|event| event.time).max());
        let start = START.plus_millis(from * QUARTER);
        let end = start.plus_millis(quarters * QUARTER);
        prop_assert_eq!(usage.calls_between(start, end), world.calls_between(start, end));
    }
}

#[test]
fn a_part_is_not_replaced_by_an_older_one() {
    let part = |version, calls| Part {
        version,
        tally: Tally {
            calls,
            ..Tally::default()
        },
        ..Part::default()
    };
    let mut fresh = Fresh::default();
    fresh.lay("2026-11".to_owned(), part(7, 70), None);
    fresh.lay("2026-11".to_owned(), part(6, 60), None);
    assert_eq!(fresh.tally().calls, 70);
    fresh.lay("2026-11".to_owned(), part(7, 71), None);
    assert_eq!(fresh.tally().calls, 71);
}

#[test]
fn a_day_whose_hours_are_gone_counts_whole() {
    let mut world = World::new();
    for minute in 0..3 {
        world.count(
            TrackingMode::Stream,
            START.plus_millis(minute * 60_000),
            EventType::ApiCall,
        );
    }
    world.roll_day(TrackingMode::Stream, START);
    world.roll_month(TrackingMode::Stream, START);
    world.known.homes.clear();
    let usage = world.known.usage();
    let evening = START.plus_millis(3_600_000);
    assert_eq!(usage.calls_between(evening, evening.plus_days(1)), 3);
    assert_eq!(
        usage.calls_between(evening.plus_days(1), evening.plus_days(2)),
        0
    );
}
