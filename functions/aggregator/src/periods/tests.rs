//! Months of sealed days, ticks that die, and days that cannot be read.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use domain::sample;
use domain::seen::Seen;
use domain::tally::{Tally, Totals};
use runtime::memory::MemoryStore;
use runtime::store::{Document, Value};

use super::*;
use crate::lists::AT_ONCE;
use domain::table::user_bucket;

const NEVER: fn() -> bool = || false;

fn at(text: &str) -> UnixMillis {
    text.parse().unwrap()
}

/// November's days are sealed.
fn sealed() -> UnixMillis {
    at("2026-12-11T01:00:00Z")
}

#[derive(Debug, Clone, Default)]
struct Sent {
    ids: Arc<Mutex<Vec<String>>>,
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
        let message: serde_json::Value = serde_json::from_str(&body).unwrap();
        let id = message["alert"].as_str().unwrap().to_owned();
        self.ids.lock().unwrap().push(id);
        Ok(())
    }
}

#[derive(Default)]
struct World {
    store: MemoryStore,
    queue: Sent,
    plans: Plans,
}

impl World {
    /// Every day from the last of October to the first of December is sealed, and has users.
    fn new(users: usize) -> Self {
        let world = Self::default();
        world.plant(&ItemKey::periods_mark(), &UnixMillis(0));
        let (first, last) = (at("2026-10-31T00:00:00Z"), at("2026-12-01T00:00:00Z"));
        let mut day = first;
        while day <= last {
            world.mark(day, true);
            day = Window::Day.end(day);
        }
        for user in 0..users {
            let day = first.plus_days(1 + i64::try_from(user % 28).unwrap());
            world.call(&format!("user{user}@example.com"), day, 1 + user as u64);
        }
        world
    }

    fn plant<T: Serialize>(&self, key: &ItemKey, state: &T) {
        self.store.plant(key, 1, state::encode(state).unwrap());
    }

    fn mark(&self, day: UnixMillis, is_sealed: bool) {
        let mut mark = DayMark::begin(day);
        mark.finish();
        if is_sealed {
            mark.seal();
            mark.finish();
        }
        self.plant(&ItemKey::day_mark(day), &mark);
    }

    /// A day with calls of a user, and the list that its closing wrote.
    fn call(&self, user: &str, day: UnixMillis, calls: u64) {
        let totals = Totals {
            calls,
            units: calls,
            ..Totals::default()
        };
        let mut sum = Sum {
            rank: 2 * calls,
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
        self.store.plant(&key, 1, sum.encode().unwrap());
        let hour = day.plus_millis(i64::try_from(calls % 24).unwrap() * 3_600_000);
        let part = usize::try_from(calls).unwrap();
        let list = ItemKey::day_users(hour, user_bucket(user), part);
        let names = state::encode_packed(&vec![user.to_owned()]).unwrap();
        let document = Document {
            attributes: vec![(table::attribute::STATE, Value::Bytes(names))],
            expires_at: None,
        };
        self.store.plant_document(&list, document);
    }

    fn periods(&self) -> Periods<'_, MemoryStore, Sent> {
        Periods {
            usage: &self.store,
            queue: &self.queue,
            plans: &self.plans,
        }
    }

    async fn tick(&self, now: UnixMillis) -> Result<(), HandOverError> {
        self.periods().begin(now).await?;
        self.periods().hand_over(now, &NEVER).await
    }

    /// Calls by user, from the bills whose ids were sent.
    fn billed(&self) -> BTreeMap<String, u64> {
        let ids = self.queue.ids.lock().unwrap();
        let bills = ids.iter().map(|id| {
            let stored = self.store.peek(&ItemKey::alert(id)).unwrap();
            let bill: Bill = state::decode(&stored.state).unwrap();
            assert_eq!(bill.id(), *id);
            (bill.user, bill.totals.calls)
        });
        bills.collect()
    }

    fn sent(&self) -> usize {
        self.queue.ids.lock().unwrap().len()
    }
}

fn expected(users: usize) -> BTreeMap<String, u64> {
    let users = 0..users;
    users
        .map(|user| (format!("user{user}@example.com"), 1 + user as u64))
        .collect()
}

#[tokio::test]
async fn a_closed_period_is_handed_over_once_for_every_user_with_counts() {
    let users = 3 * AT_ONCE;
    let world = World::new(users);
    // Only calls of another month.
    world.call("eve@example.com", at("2026-12-01T00:00:00Z"), 5);
    world.tick(sealed()).await.unwrap();
    assert_eq!((world.billed(), world.sent()), (expected(users), users));
    for _ in 0..3 {
        world.tick(sealed().plus_days(1)).await.unwrap();
    }
    assert_eq!(world.sent(), users);
}

#[tokio::test]
async fn a_period_waits_until_its_last_day_is_sealed() {
    let world = World::new(1);
    let last = at("2026-11-30T00:00:00Z");
    world.mark(last, false);
    world.tick(sealed()).await.unwrap();
    assert_eq!(world.sent(), 0);
    world.mark(last, true);
    world.tick(sealed()).await.unwrap();
    assert_eq!(world.billed(), expected(1));
}

#[tokio::test]
async fn pages_of_any_size_hold_every_user() {
    for page in [1, 2, 7] {
        let world = World::new(40);
        world.store.page_by(page);
        world.tick(sealed()).await.unwrap();
        assert_eq!((world.billed(), world.sent()), (expected(40), 40));
    }
}

#[tokio::test]
async fn ticks_that_run_out_of_time_go_on_where_the_mark_is() {
    let users = 3 * AT_ONCE;
    let world = World::new(users);
    for tick in 1..=5 {
        let looks = AtomicU32::new(0);
        let over = || looks.fetch_add(1, Ordering::Relaxed) >= 1;
        world.periods().hand_over(sealed(), &over).await.unwrap();
        assert_eq!(world.sent(), users.min(tick * AT_ONCE));
    }
    assert_eq!(world.billed(), expected(users));
}

#[tokio::test]
async fn wherever_the_queue_fails_each_period_keeps_its_id() {
    let users = AT_ONCE + 20;
    for good in [0, 1, 150, 205, 219] {
        let world = World::new(users);
        *world.queue.good.lock().unwrap() = Some(good);
        world.tick(sealed()).await.unwrap_err();
        assert!(world.sent() < users);
        *world.queue.good.lock().unwrap() = None;
        world.tick(sealed()).await.unwrap();
        assert_eq!(world.billed(), expected(users));
        let ids: BTreeSet<String> = world.queue.ids.lock().unwrap().iter().cloned().collect();
        assert_eq!(ids.len(), users);
    }
}

#[tokio::test]
async fn two_ticks_at_once_give_the_same_ids() {
    let world = World::new(AT_ONCE + 20);
    let periods = world.periods();
    let (one, other) = tokio::join!(
        periods.hand_over(sealed(), &NEVER),
        periods.hand_over(sealed(), &NEVER),
    );
    one.and(other).unwrap();
    let ids: BTreeSet<String> = world.queue.ids.lock().unwrap().iter().cloned().collect();
    assert_eq!(ids.len(), AT_ONCE + 20);
    assert_eq!(world.billed(), expected(AT_ONCE + 20));
}

#[tokio::test]
async fn a_day_that_cannot_be_read_holds_up_nobody_else_and_stays_owed() {
    let world = World::new(4);
    let key = ItemKey::day("user2@example.com", at("2026-11-03T00:00:00Z"));
    let format = world.store.peek(&key).unwrap().state[0];
    world.store.tamper(&key, |bytes| bytes[0] = 250);
    world.tick(sealed()).await.unwrap();
    let mut others = expected(4);
    others.remove("user2@example.com");
    assert_eq!(world.billed(), others);
    world.store.tamper(&key, |bytes| bytes[0] = format);
    world.tick(sealed()).await.unwrap();
    assert_eq!((world.billed(), world.sent()), (expected(4), 4));
}

#[tokio::test]
async fn an_environment_that_closed_days_before_hands_over_the_first_whole_period() {
    let world = World::new(2);
    world.store.forget(&ItemKey::periods_mark());
    // The first tick of this release, in the middle of the month.
    world
        .periods()
        .begin(at("2026-11-12T00:00:00Z"))
        .await
        .unwrap();
    world.tick(sealed()).await.unwrap();
    assert_eq!(world.sent(), 0);
    let new = World::default();
    new.periods()
        .begin(at("2026-11-12T00:00:00Z"))
        .await
        .unwrap();
    for day in 0..30 {
        new.mark(at("2026-11-01T00:00:00Z").plus_days(day), true);
    }
    new.call("ann@example.com", at("2026-11-12T00:00:00Z"), 7);
    new.tick(sealed()).await.unwrap();
    let ann = BTreeMap::from([("ann@example.com".to_owned(), 7)]);
    assert_eq!(new.billed(), ann);
}

#[tokio::test]
async fn a_period_is_that_of_the_users_zone() {
    let mut world = World::new(0);
    world.plans = sample::plans([("free", "America/Bogota")]);
    // 00:45 in UTC is the evening before in Bogotá.
    world.call("ann@example.com", at("2026-12-01T00:00:00Z"), 7);
    world.call("bob@example.com", at("2026-11-01T00:00:00Z"), 5);
    // October is over for good by then.
    world.tick(sealed().plus_days(1)).await.unwrap();
    let ann = BTreeMap::from([("ann@example.com".to_owned(), 7)]);
    assert_eq!(world.billed(), ann);
}

/// Periods of the plan `free` from a day of the month on.
fn anchored(day: u8) -> Plans {
    let mut plans = sample::plans([("free", "UTC")]);
    for plan in plans.values_mut() {
        plan.period_anchor_day = day.try_into().unwrap();
    }
    plans
}

impl World {
    /// Every day from September to January is sealed. Ann makes a call on each.
    fn of_months(day: u8) -> Self {
        let mut world = Self::new(0);
        world.plans = anchored(day);
        let mut day = at("2026-09-01T00:00:00Z");
        while day < at("2027-02-01T00:00:00Z") {
            world.mark(day, true);
            world.call("ann@example.com", day, 1);
            day = Window::Day.end(day);
        }
        world
    }

    /// Ann's bills since October: each period with its calls.
    fn periods_billed(&self) -> BTreeSet<(String, String, u64)> {
        let ids = self.queue.ids.lock().unwrap();
        let bills = ids.iter().map(|id| {
            let stored = self.store.peek(&ItemKey::alert(id)).unwrap();
            let bill: Bill = state::decode(&stored.state).unwrap();
            let label = |at| Window::Day.label(at);
            (label(bill.start), label(bill.end), bill.totals.calls)
        });
        bills
            .filter(|(start, ..)| start.as_str() >= "2026-10")
            .collect()
    }

    /// Ticks once a day.
    async fn live(&self, from: &str, to: &str) {
        let (mut now, to) = (at(from), at(to));
        while now < to {
            self.tick(now).await.unwrap();
            now = now.plus_days(1);
        }
    }
}

fn billed(periods: &[(&str, &str, u64)]) -> BTreeSet<(String, String, u64)> {
    let periods = periods.iter();
    periods
        .map(|(start, end, calls)| ((*start).to_owned(), (*end).to_owned(), *calls))
        .collect()
}

#[tokio::test]
async fn a_period_from_the_middle_of_a_month_is_handed_over_nine_days_after_it_ends() {
    let world = World::of_months(15);
    world
        .live("2026-11-12T00:00:00Z", "2026-12-24T00:00:00Z")
        .await;
    let october = ("2026-10-15", "2026-11-15", 31);
    assert_eq!(world.periods_billed(), billed(&[october]));
    world.tick(at("2026-12-24T00:00:00Z")).await.unwrap();
    let found = world.periods_billed();
    let expected = billed(&[october, ("2026-11-15", "2026-12-15", 30)]);
    assert_eq!(found, expected);
}

/// The bills that exist decide where the next ones begin: a changed plan leaves no gap and no overlap.
#[tokio::test]
async fn a_plan_whose_day_moves_leaves_no_day_between_two_bills() {
    let mut world = World::of_months(15);
    world
        .live("2026-11-12T00:00:00Z", "2026-12-01T00:00:00Z")
        .await;
    world.plans = anchored(1);
    world
        .live("2026-12-01T00:00:00Z", "2027-01-02T00:00:00Z")
        .await;
    world.plans = anchored(31);
    world
        .live("2027-01-02T00:00:00Z", "2027-02-20T00:00:00Z")
        .await;
    let found = world.periods_billed();
    let expected = billed(&[
        ("2026-10-15", "2026-11-15", 31),
        ("2026-11-15", "2026-12-01", 16),
        ("2026-12-01", "2027-01-31", 61),
    ]);
    assert_eq!(found, expected);
}

/// No bill before it says where an environment's first month begins.
#[tokio::test]
async fn the_first_month_begins_where_it_did_whatever_the_plans_become() {
    let mut world = World::new(1);
    world.plans = anchored(1);
    world.tick(sealed()).await.unwrap();
    assert_eq!(world.sent(), 1);
    world.plans = anchored(15);
    let (terms, unnoted) = world
        .periods()
        .terms(at("2026-11-01T00:00:00Z"), true)
        .await
        .unwrap();
    let calendar = Calendars::of(&anchored(1));
    assert_eq!((&terms.from, &terms.to), (&calendar, &calendar));
    assert!(!unnoted.from && !unnoted.to);
}

/// A release without anchor days noted no calendars.
#[tokio::test]
async fn a_month_that_an_earlier_release_handed_over_ended_with_the_month() {
    let world = World::of_months(15);
    let done = Progress {
        at: Place::of("zoe@example.com"),
        owed: BTreeSet::new(),
    };
    world.plant(&ItemKey::month_mark(at("2026-10-01T00:00:00Z")), &done);
    let (terms, unnoted) = world
        .periods()
        .terms(at("2026-11-01T00:00:00Z"), false)
        .await
        .unwrap();
    let all = Unnoted {
        from: true,
        to: true,
    };
    assert_eq!(unnoted, all);
    assert_eq!(terms.from, Calendars::of(&anchored(1)));
    assert_eq!(terms.to, Calendars::of(&anchored(15)));
    // That release had begun with the month, too.
    let (terms, _) = world
        .periods()
        .terms(at("2026-11-01T00:00:00Z"), true)
        .await
        .unwrap();
    assert_eq!(terms.to, Calendars::of(&anchored(1)));
}
