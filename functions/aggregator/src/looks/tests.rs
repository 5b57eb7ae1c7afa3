//! Closed days, ticks that die, and sums that cannot be read.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use domain::alert::Alert;
use domain::counts::Sum;
use domain::plan::{AnchorDay, LimitMode, Plan};
use domain::seen::Seen;
use domain::table::{self, user_bucket};
use domain::tally::{Tally, Totals};
use runtime::memory::{Fault, MemoryStore};
use runtime::queue::SendError;
use runtime::store::{Document, Value};

use super::*;
use crate::lists::AT_ONCE;
use crate::thresholds::LookMemory;

const NEVER: fn() -> bool = || false;

fn at(text: &str) -> UnixMillis {
    text.parse().unwrap()
}

fn day() -> UnixMillis {
    at("2026-11-12T00:00:00Z")
}

/// When the day is closed.
fn closed() -> UnixMillis {
    at("2026-11-13T02:00:00Z")
}

#[derive(Debug, Clone, Default)]
struct Sent {
    bodies: Arc<Mutex<Vec<String>>>,
    /// Sends until the queue fails.
    good: Arc<Mutex<Option<u32>>>,
}

impl Queue for Sent {
    async fn send(&self, body: String, _delay_seconds: u32) -> Result<(), SendError> {
        let mut good = self.good.lock().unwrap();
        match good.as_mut() {
            Some(0) => {
                let source = "injected".into();
                return Err(SendError { source });
            }
            Some(left) => *left -= 1,
            None => {}
        }
        self.bodies.lock().unwrap().push(body);
        Ok(())
    }
}

struct World {
    store: MemoryStore,
    sent: Sent,
    thresholds: Thresholds<MemoryStore, Sent>,
    closed: BTreeMap<UnixMillis, u64>,
}

fn thresholds(store: &MemoryStore, sent: &Sent) -> Thresholds<MemoryStore, Sent> {
    let plan = Plan {
        rate_per_second: 1,
        burst: 1,
        monthly_quota: Some(10),
        alerts_percent: vec![50, 100],
        limit_mode: LimitMode::Soft,
        timezone: "Asia/Kolkata".to_owned(),
        period_anchor_day: AnchorDay::FIRST,
    };
    Thresholds {
        usage: store.clone(),
        alerts: sent.clone(),
        plans: [("free".to_owned(), plan)].into(),
        memory: LookMemory::default(),
    }
}

impl World {
    /// A closed day on which each user made `calls` calls.
    fn new(users: usize, calls: u64) -> Self {
        let (store, sent) = (MemoryStore::default(), Sent::default());
        let world = Self {
            thresholds: thresholds(&store, &sent),
            store,
            sent,
            closed: BTreeMap::from([(day(), 7)]),
        };
        for user in 0..users {
            world.call(&email(user), day(), calls);
        }
        world
    }

    /// The day of a user, and the list that its closing wrote.
    fn call(&self, user: &str, day: UnixMillis, calls: u64) {
        let totals = Totals {
            calls,
            units: calls,
            ..Totals::default()
        };
        let mut sum = Sum {
            rank: calls,
            ..Sum::default()
        };
        sum.quarters.insert(3, totals);
        sum.counts.tally = Tally {
            calls,
            units: calls,
            ..Tally::default()
        };
        sum.counts.seen = Some(Seen::new(day, day, Some((day, "free".to_owned()))));
        let key = ItemKey::day(user, day);
        self.store.plant(&key, calls, sum.encode().unwrap());
        let part = user.len() * 100 + usize::from(user.as_bytes()[user.len() - 13]);
        let list = ItemKey::day_users(day, user_bucket(user), part);
        let names = vec![user.to_owned()];
        let known = self.store.peek_document(&list);
        let known = known.map(|known| match &known.attributes[0].1 {
            Value::Bytes(bytes) => state::decode_packed::<Vec<String>>(bytes).unwrap(),
            _ => Vec::new(),
        });
        let names = [known.unwrap_or_default(), names].concat();
        let names = state::encode_packed(&names).unwrap();
        let document = Document {
            attributes: vec![(table::attribute::STATE, Value::Bytes(names))],
            expires_at: None,
        };
        self.store.plant_document(&list, document);
    }

    async fn tick(&self) -> Result<(), LookError> {
        self.thresholds
            .look_at_closed(&self.closed, closed(), &NEVER)
            .await
    }

    /// Users and thresholds of the alerts whose ids were sent.
    fn announced(&self) -> BTreeSet<(String, u8)> {
        let bodies = self.sent.bodies.lock().unwrap();
        let alerts = bodies.iter().map(|body| {
            let message: serde_json::Value = serde_json::from_str(body).unwrap();
            let id = message["alert"].as_str().unwrap().to_owned();
            let stored = self.store.peek(&ItemKey::alert(&id)).unwrap();
            let alert: Alert = state::decode(&stored.state).unwrap();
            assert_eq!(alert.id(), id);
            (alert.user, alert.percent)
        });
        alerts.collect()
    }

    fn sent(&self) -> usize {
        self.sent.bodies.lock().unwrap().len()
    }
}

fn email(user: usize) -> String {
    format!("user{user}@example.com")
}

fn expected(users: usize, percent: &[u8]) -> BTreeSet<(String, u8)> {
    let users = 0..users;
    users
        .flat_map(|user| percent.iter().map(move |percent| (email(user), *percent)))
        .collect()
}

#[tokio::test]
async fn every_user_of_a_closed_day_is_looked_at_once() {
    let users = 3 * AT_ONCE;
    let world = World::new(users, 5);
    world.tick().await.unwrap();
    assert_eq!(world.announced(), expected(users, &[50]));
    let before = world.store.units();
    world.tick().await.unwrap();
    assert_eq!(world.sent(), users);
    let after = world.store.units();
    // The mark of the looks, and nothing else.
    assert_eq!(after.calls, before.calls + 1);
}

#[tokio::test]
async fn a_day_that_was_closed_again_is_looked_at_again() {
    let mut world = World::new(2, 5);
    world.tick().await.unwrap();
    assert_eq!(world.announced(), expected(2, &[50]));
    // Late calls, whose fold died before its look.
    world.call(&email(0), day(), 10);
    world.tick().await.unwrap();
    assert_eq!(world.sent(), 2);
    world.closed.insert(day(), 9);
    world.tick().await.unwrap();
    let mut all = expected(2, &[50]);
    all.insert((email(0), 100));
    assert_eq!((world.announced(), world.sent()), (all, 3));
}

#[tokio::test]
async fn a_day_on_the_border_of_two_periods_is_looked_at_in_both() {
    let mut world = World::new(0, 0);
    // In India, December begins within this day.
    let border = at("2026-11-30T00:00:00Z");
    world.call(&email(0), border, 5);
    world.call(&email(0), at("2026-12-01T00:00:00Z"), 5);
    world.closed = BTreeMap::from([(border, 1)]);
    for now in [border.plus_days(1), border.plus_days(10)] {
        let looks = world.thresholds.look_at_closed(&world.closed, now, &NEVER);
        looks.await.unwrap();
    }
    let bodies = world.sent.bodies.lock().unwrap().clone();
    let ids: BTreeSet<&String> = bodies.iter().collect();
    assert_eq!((bodies.len(), ids.len()), (2, 2));
}

#[tokio::test]
async fn wherever_a_tick_dies_no_alert_is_lost_and_each_keeps_its_id() {
    for dies_at in 0..40 {
        let world = World::new(3, 10);
        world.store.inject(runtime::memory::dies_at(dies_at));
        let _ = world.tick().await;
        world.store.inject(|_, _| Fault::None);
        world.tick().await.unwrap();
        assert_eq!(world.announced(), expected(3, &[50, 100]), "{dies_at}");
    }
}

#[tokio::test]
async fn wherever_the_queue_fails_no_alert_is_lost() {
    let users = AT_ONCE + 20;
    for good in [0, 1, 150, 205, 219] {
        let world = World::new(users, 5);
        *world.sent.good.lock().unwrap() = Some(good);
        world.tick().await.unwrap_err();
        *world.sent.good.lock().unwrap() = None;
        world.tick().await.unwrap();
        assert_eq!(world.announced(), expected(users, &[50]));
    }
}

#[tokio::test]
async fn ticks_that_run_out_of_time_go_on_where_the_mark_is() {
    let users = 3 * AT_ONCE;
    let world = World::new(users, 5);
    for tick in 1..=4 {
        let looks = AtomicU32::new(0);
        let over = || looks.fetch_add(1, Ordering::Relaxed) >= 1;
        let looks = world
            .thresholds
            .look_at_closed(&world.closed, closed(), &over);
        looks.await.unwrap();
        assert_eq!(world.sent(), users.min(tick * AT_ONCE));
    }
    assert_eq!(world.announced(), expected(users, &[50]));
}

#[tokio::test]
async fn two_ticks_at_once_give_the_same_ids() {
    let users = AT_ONCE + 20;
    let world = World::new(users, 5);
    let (one, other) = tokio::join!(world.tick(), world.tick());
    one.and(other).unwrap();
    assert_eq!(world.announced(), expected(users, &[50]));
    let ids: BTreeSet<String> = world.sent.bodies.lock().unwrap().iter().cloned().collect();
    assert_eq!(ids.len(), users);
}

#[tokio::test]
async fn a_sum_that_cannot_be_read_holds_up_nobody_else_and_stays_owed() {
    let world = World::new(4, 5);
    let key = ItemKey::day(&email(2), day());
    let format = world.store.peek(&key).unwrap().state[0];
    world.store.tamper(&key, |bytes| bytes[0] = 250);
    world.tick().await.unwrap();
    let mut others = expected(4, &[50]);
    others.remove(&(email(2), 50));
    assert_eq!(world.announced(), others);
    world.store.tamper(&key, |bytes| bytes[0] = format);
    world.tick().await.unwrap();
    assert_eq!((world.announced(), world.sent()), (expected(4, &[50]), 4));
}

#[tokio::test]
async fn pages_of_any_size_hold_every_user() {
    for page in [1, 2, 7] {
        let world = World::new(40, 5);
        world.store.page_by(page);
        world.tick().await.unwrap();
        assert_eq!((world.announced(), world.sent()), (expected(40, &[50]), 40));
    }
}

/// The progress as this release stores it: later releases must read it.
#[test]
fn stored_progress_is_read() {
    let place = Place::of("ann@example.com");
    let expected = Looked {
        days: BTreeMap::from([(day(), 300)]),
        at: Some((day().plus_days(1), 40, place)),
        owed: BTreeSet::from([(day(), "bob@example.com".to_owned())]),
    };
    let sample =
        b"\x06\x01\x80\xf0\xee\xd0\xb9h\xac\x02\x01\x80\xe0\xa1\xa3\xbah(\x01\x0fann@example.com\
                   \x01\x80\xf0\xee\xd0\xb9h\x0fbob@example.com";
    assert_eq!(state::decode::<Looked>(sample).unwrap(), expected);
}
