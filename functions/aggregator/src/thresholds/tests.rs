//! Use that grows, folds that repeat, and looks that fail.

use std::sync::{Arc, Mutex};

use domain::counts::{Counts, Slot};
use domain::plan::AnchorDay;
use domain::seen::Seen;
use domain::tally::Tally;
use runtime::memory::{self, Fault, MemoryStore};

use super::*;

const NOW: UnixMillis = UnixMillis(1_795_363_445_000);
const ANN: &str = "ann@example.com";
const NEVER: fn() -> bool = || false;

#[derive(Debug, Clone, Default)]
struct Alerts {
    sent: Arc<Mutex<Vec<String>>>,
    is_down: Arc<Mutex<bool>>,
}

impl Queue for Alerts {
    async fn send(&self, body: String, _delay_seconds: u32) -> Result<(), SendError> {
        if *self.is_down.lock().unwrap() {
            let source = "injected".into();
            return Err(SendError { source });
        }
        self.sent.lock().unwrap().push(body);
        Ok(())
    }
}

struct World {
    store: MemoryStore,
    alerts: Alerts,
    thresholds: Thresholds<MemoryStore, Alerts>,
}

fn plan(quota: Option<u64>, timezone: &str) -> Plan {
    Plan {
        rate_per_second: 10,
        burst: 20,
        monthly_quota: quota,
        alerts_percent: vec![50, 80, 100],
        limit_mode: domain::plan::LimitMode::Soft,
        timezone: timezone.to_owned(),
        period_anchor_day: AnchorDay::FIRST,
    }
}

impl World {
    fn new(plan: Plan) -> Self {
        let (store, alerts) = (MemoryStore::default(), Alerts::default());
        Self {
            thresholds: Thresholds {
                usage: store.clone(),
                alerts: alerts.clone(),
                plans: [("free".to_owned(), plan)].into(),
                memory: LookMemory::default(),
            },
            store,
            alerts,
        }
    }

    /// The same tables, seen by an instance with an empty memory.
    fn restarted(self) -> Self {
        let thresholds = Thresholds {
            memory: LookMemory::default(),
            ..self.thresholds
        };
        Self { thresholds, ..self }
    }

    /// Makes a minute of Ann's hour hold `calls`, as a fold writes it.
    fn fold(&self, minute: UnixMillis, calls: u64) -> Counted {
        self.fold_on("free", minute, calls)
    }

    fn fold_on(&self, plan: &str, minute: UnixMillis, calls: u64) -> Counted {
        let key = ItemKey::hour(ANN, minute);
        let start = Window::Hour.start(minute);
        let held = self.store.peek(&key);
        let mut hour = match &held {
            Some(stored) => Hour::decode(&stored.state).unwrap(),
            None => Hour::new(start),
        };
        let tally = Tally {
            calls,
            units: calls,
            ..Tally::default()
        };
        let counts = Counts {
            tally,
            seen: Some(Seen::new(minute, minute, Some((minute, plan.to_owned())))),
            ..Counts::default()
        };
        let slot = Slot {
            rank: calls,
            counts,
        };
        hour.offer(minute.minute_of_hour(), &slot);
        let version = held.map_or(0, |stored| stored.version) + 1;
        self.store.plant(&key, version, hour.encode().unwrap());
        let mut counted = Counted::default();
        let minutes = counted.minutes.entry(ANN.to_owned()).or_default();
        minutes.insert(Window::Minute.start(minute), calls);
        counted
    }

    /// The thresholds that were announced, read from the alerts in the queue.
    fn announced(&self) -> Vec<u8> {
        let sent = self.alerts.sent.lock().unwrap().clone();
        let alerts = sent.iter().map(|body| {
            let message: serde_json::Value = serde_json::from_str(body).unwrap();
            let id = message["alert"].as_str().unwrap().to_owned();
            let stored = self.store.peek(&ItemKey::alert(&id)).unwrap();
            let alert: Alert = state::decode(&stored.state).unwrap();
            assert_eq!(alert.id(), id);
            alert.percent
        });
        alerts.collect()
    }
}

#[tokio::test]
async fn each_threshold_is_announced_once_even_if_folds_repeat() {
    let world = World::new(plan(Some(1_000), "UTC"));
    for calls in 1..=1_100 {
        let counted = world.fold(NOW, calls);
        world.thresholds.look(&counted, NOW, &NEVER).await;
        world.thresholds.look(&counted, NOW, &NEVER).await;
        let expected = [50, 80, 100]
            .into_iter()
            .filter(|percent| calls >= percent * 10);
        let expected: Vec<u8> = expected
            .map(|percent| u8::try_from(percent).unwrap())
            .collect();
        assert_eq!(world.announced(), expected, "{calls}");
    }
    let world = world.restarted();
    let counted = world.fold(NOW, 1_101);
    world.thresholds.look(&counted, NOW, &NEVER).await;
    assert_eq!(world.announced(), [50, 80, 100]);
    let period = ItemKey::period(ANN, Window::Month.start(NOW));
    assert_eq!(world.store.peek(&period).unwrap().version, 1_101);
}

#[tokio::test]
async fn few_folds_are_looked_at() {
    let world = World::new(plan(Some(100_000), "UTC"));
    world.store.inject(|_, _| Fault::None);
    let mut reads = 0;
    for calls in 1..=10_000 {
        let counted = world.fold(NOW, calls);
        let before = world.store.units();
        world.thresholds.look(&counted, NOW, &NEVER).await;
        reads += u64::from(world.store.units() != before);
    }
    assert!(reads <= 3, "{reads}");
}

#[tokio::test]
async fn a_new_period_arms_every_threshold_again_in_the_plans_own_zone() {
    let world = World::new(plan(Some(10), "Asia/Kolkata"));
    let end: UnixMillis = "2026-11-30T18:30:00Z".parse().unwrap();
    let counted = world.fold(end.plus_millis(-60_000), 10);
    world.thresholds.look(&counted, end, &NEVER).await;
    assert_eq!(world.announced(), [50, 80, 100]);
    let counted = world.fold(end, 4);
    world.thresholds.look(&counted, end, &NEVER).await;
    assert_eq!(world.announced(), [50, 80, 100]);
    let counted = world.fold(end, 5);
    world.thresholds.look(&counted, end, &NEVER).await;
    assert_eq!(world.announced(), [50, 80, 100, 50]);
    // Calls of the previous period arrive late.
    let counted = world.fold(end.plus_millis(-120_000), 3);
    world.thresholds.look(&counted, end, &NEVER).await;
    assert_eq!(world.announced(), [50, 80, 100, 50]);
}

#[tokio::test]
async fn a_period_from_the_middle_of_a_month_holds_the_days_of_two() {
    let anchored = Plan {
        period_anchor_day: 15.try_into().unwrap(),
        ..plan(Some(10), "America/New_York")
    };
    let mut world = World::new(anchored);
    let other = plan(Some(10), "UTC");
    world.thresholds.plans.insert("other".to_owned(), other);
    let at = |text: &str| text.parse::<UnixMillis>().unwrap();
    // Clocks are put back on 1 November.
    let (start, end) = (at("2026-10-15T04:00:00Z"), at("2026-11-15T05:00:00Z"));
    world.fold(start.plus_millis(-60_000), 9);
    let first = world.fold(start, 4);
    world.thresholds.look(&first, start, &NEVER).await;
    assert_eq!(world.announced(), [] as [u8; 0]);
    // The hours of the first days are in their days by then.
    for day in [start.plus_days(-1), start] {
        let hour = world
            .store
            .peek(&ItemKey::hour(ANN, day))
            .map(|stored| Hour::decode(&stored.state).unwrap());
        if let Some(hour) = hour {
            let key = ItemKey::day(ANN, day);
            world.store.plant(&key, 1, hour.sum().encode().unwrap());
        }
    }
    let last = end.plus_millis(-60_000);
    let counted = world.fold(last, 1);
    world.thresholds.look(&counted, last, &NEVER).await;
    assert_eq!(world.announced(), [50]);
    let counted = world.fold(end, 4);
    world.thresholds.look(&counted, end, &NEVER).await;
    assert_eq!(world.announced(), [50]);
    let counted = world.fold(end, 5);
    world.thresholds.look(&counted, end, &NEVER).await;
    assert_eq!(world.announced(), [50, 50]);
    assert_eq!(
        world
            .store
            .peek(&ItemKey::period(ANN, start))
            .unwrap()
            .version,
        5
    );
}

#[test]
fn a_day_is_looked_at_in_each_period_that_it_touches() {
    let mut world = World::new(plan(Some(10), "UTC"));
    let west = Plan {
        period_anchor_day: 31.try_into().unwrap(),
        ..plan(Some(10), "America/Bogota")
    };
    world.thresholds.plans.insert("west".to_owned(), west);
    let at = |text: &str| text.parse::<UnixMillis>().unwrap();
    for (day, instants) in [
        ("2026-11-15T00:00:00Z", 1),
        ("2026-11-29T00:00:00Z", 1),
        // West's period begins at five.
        ("2026-11-30T00:00:00Z", 2),
        ("2026-12-01T00:00:00Z", 1),
        ("2026-12-30T00:00:00Z", 1),
        ("2026-12-31T00:00:00Z", 2),
    ] {
        let day = at(day);
        let found = world.thresholds.instants_of(day);
        assert_eq!(found.len(), instants, "{day}");
        assert!(
            found.iter().all(|at| Window::Day.start(*at) == day),
            "{day}"
        );
    }
}

#[tokio::test]
async fn a_look_that_fails_is_made_up_for_without_a_further_fold() {
    let world = World::new(plan(Some(10), "UTC"));
    *world.alerts.is_down.lock().unwrap() = true;
    let counted = world.fold(NOW, 5);
    world.thresholds.look(&counted, NOW, &NEVER).await;
    assert_eq!(world.announced(), [] as [u8; 0]);
    *world.alerts.is_down.lock().unwrap() = false;
    world
        .thresholds
        .look(&Counted::default(), NOW, &NEVER)
        .await;
    assert_eq!(world.announced(), [50]);
    world
        .thresholds
        .look(&Counted::default(), NOW, &NEVER)
        .await;
    assert_eq!(world.announced(), [50]);
}

#[tokio::test]
async fn wherever_a_look_dies_its_alert_keeps_one_id() {
    for dies_at in 0..12 {
        let world = World::new(plan(Some(10), "UTC"));
        let counted = world.fold(NOW, 8);
        world.store.inject(memory::dies_at(dies_at));
        for _ in 0..3 {
            world.thresholds.look(&counted, NOW, &NEVER).await;
        }
        let world = world.restarted();
        world.thresholds.look(&counted, NOW, &NEVER).await;
        let mut announced = world.announced();
        announced.sort_unstable();
        announced.dedup();
        assert_eq!(announced, [50, 80], "{dies_at}");
        let mut ids = world.alerts.sent.lock().unwrap().clone();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 2, "{dies_at}");
    }
}

#[tokio::test]
async fn a_users_own_quota_stands_in_place_of_the_plans() {
    let world = World::new(plan(Some(10), "UTC"));
    let quota = state::encode(&Some(Quota::Calls(100))).unwrap();
    world.store.plant(&ItemKey::settings(ANN), 1, quota);
    let counted = world.fold(NOW, 49);
    world.thresholds.look(&counted, NOW, &NEVER).await;
    assert_eq!(world.announced(), [] as [u8; 0]);
    let counted = world.fold(NOW, 50);
    world.thresholds.look(&counted, NOW, &NEVER).await;
    assert_eq!(world.announced(), [50]);
}

#[tokio::test]
async fn a_day_counts_by_its_sum_or_its_hours_whichever_has_more_facts() {
    let world = World::new(plan(Some(100), "UTC"));
    let earlier = NOW.plus_days(-10);
    let mut day = Hour::new(Window::Hour.start(earlier));
    let tally = Tally {
        calls: 45,
        units: 45,
        ..Tally::default()
    };
    let counts = Counts {
        tally,
        ..Counts::default()
    };
    day.offer(3, &Slot { rank: 45, counts });
    let state = day.sum().encode().unwrap();
    world.store.plant(&ItemKey::day(ANN, earlier), 1, state);
    let counted = world.fold(NOW, 4);
    world.thresholds.look(&counted, NOW, &NEVER).await;
    assert_eq!(world.announced(), [] as [u8; 0]);
    let counted = world.fold(NOW, 5);
    world.thresholds.look(&counted, NOW, &NEVER).await;
    assert_eq!(world.announced(), [50]);
}

#[tokio::test]
async fn a_users_own_quota_counts_where_no_plan_has_one() {
    let world = World::new(plan(None, "UTC"));
    let counted = world.fold(NOW, 50);
    world.thresholds.look(&counted, NOW, &NEVER).await;
    assert_eq!(world.announced(), [] as [u8; 0]);
    let quota = state::encode(&Some(Quota::Calls(100))).unwrap();
    world.store.plant(&ItemKey::settings(ANN), 1, quota);
    let world = world.restarted();
    world.thresholds.look(&counted, NOW, &NEVER).await;
    assert_eq!(world.announced(), [50]);
}

#[tokio::test]
async fn a_look_without_time_is_made_by_the_next_invocation() {
    let world = World::new(plan(Some(10), "UTC"));
    let counted = world.fold(NOW, 8);
    world.thresholds.look(&counted, NOW, &|| true).await;
    assert_eq!(world.announced(), [] as [u8; 0]);
    world
        .thresholds
        .look(&Counted::default(), NOW, &NEVER)
        .await;
    assert_eq!(world.announced(), [50, 80]);
}

#[tokio::test]
async fn a_look_that_succeeds_settles_no_other_of_the_same_user() {
    let world = World::new(plan(Some(10), "UTC"));
    let earlier = NOW.plus_days(-40);
    world.fold(earlier, 5);
    world.fold(NOW, 1);
    for at in [earlier, NOW] {
        world.thresholds.memory.owe(ANN, at);
    }
    // The earlier look comes first, and fails.
    let mut calls = 0;
    world.store.inject(move |_, _| {
        calls += 1;
        if calls == 1 {
            Fault::Refused
        } else {
            Fault::None
        }
    });
    for expected in [[].as_slice(), &[50]] {
        world
            .thresholds
            .look(&Counted::default(), NOW, &NEVER)
            .await;
        assert_eq!(world.announced(), expected);
    }
}

#[tokio::test]
async fn a_threshold_that_a_lower_quota_makes_crossed_is_announced_and_noted() {
    let world = World::new(plan(Some(100), "UTC"));
    let counted = world.fold(NOW, 40);
    world.thresholds.look(&counted, NOW, &NEVER).await;
    assert_eq!(world.announced(), [] as [u8; 0]);
    let quota = state::encode(&Some(Quota::Calls(50))).unwrap();
    world.store.plant(&ItemKey::settings(ANN), 1, quota);
    let world = world.restarted();
    for _ in 0..2 {
        world.thresholds.memory.owe(ANN, NOW);
        world.thresholds.look(&counted, NOW, &NEVER).await;
        assert_eq!(world.announced(), [50, 80]);
    }
}

#[tokio::test]
async fn a_look_that_finds_nothing_new_writes_nothing() {
    let world = World::new(plan(Some(10), "UTC"));
    let counted = world.fold(NOW, 8);
    world.thresholds.look(&counted, NOW, &NEVER).await;
    let before = world.store.units();
    world.thresholds.memory.owe(ANN, NOW);
    world.thresholds.look(&counted, NOW, &NEVER).await;
    let after = world.store.units();
    assert!(after.reads > before.reads);
    assert_eq!(after.writes, before.writes);
}

#[tokio::test]
async fn a_later_plan_in_another_zone_announces_nothing_again_of_an_earlier_period() {
    let mut world = World::new(plan(Some(10), "UTC"));
    let east = plan(Some(10), "Asia/Kolkata");
    world.thresholds.plans.insert("east".to_owned(), east);
    let counted = world.fold(NOW, 8);
    world.thresholds.look(&counted, NOW, &NEVER).await;
    assert_eq!(world.announced(), [50, 80]);
    let later = NOW.plus_days(14);
    world.fold_on("east", later, 1);
    world.thresholds.memory.owe(ANN, NOW);
    world
        .thresholds
        .look(&Counted::default(), later, &NEVER)
        .await;
    assert_eq!(world.announced(), [50, 80]);
}

#[tokio::test]
async fn late_calls_hide_none_of_the_days_since() {
    let world = World::new(plan(Some(1_000), "UTC"));
    let counted = world.fold(NOW, 795);
    world.thresholds.look(&counted, NOW, &NEVER).await;
    assert_eq!(world.announced(), [50]);
    let late = world.fold(NOW.plus_days(-5), 5);
    world.thresholds.look(&late, NOW, &NEVER).await;
    assert_eq!(world.announced(), [50, 80]);
}
