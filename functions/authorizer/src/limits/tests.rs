//! Several instances over the same counters.

use super::*;
use crate::testing::{NOW, key};
use domain::limit::Rate;
use domain::plan::{AnchorDay, LimitMode};
use runtime::counters::MemoryCounters;
use runtime::memory::{Fault, MemoryStore};

struct World {
    counted: MemoryStore,
    counters: MemoryCounters,
    plan: Plan,
    instances: Vec<Limiter<MemoryStore, MemoryCounters>>,
}

impl World {
    fn new(instances: usize, mode: LimitMode, quota: Option<u64>) -> Self {
        let (counted, counters) = (MemoryStore::default(), MemoryCounters::default());
        let plan = Plan {
            rate_per_second: 10,
            burst: 20,
            monthly_quota: quota,
            alerts_percent: Vec::new(),
            limit_mode: mode,
            timezone: "UTC".to_owned(),
            period_anchor_day: AnchorDay::FIRST,
        };
        let instance = || Limiter::new(counted.clone(), counters.clone());
        Self {
            instances: (0..instances).map(|_| instance()).collect(),
            counted,
            counters,
            plan,
        }
    }

    /// A call at an instance, with the work after its response.
    async fn call(&self, instance: usize, key: &KeyRecord, now: UnixMillis) -> Result<(), Limited> {
        let limiter = &self.instances[instance];
        let admitted = limiter.admit(key, &self.plan, 1, now).await;
        limiter.keep_up(key, &self.plan, now).await;
        admitted
    }

    /// Calls for `seconds`, 50 per second, over all instances. Returns the number accepted.
    async fn flood(&self, key: &KeyRecord, seconds: i64) -> u64 {
        let mut accepted = 0;
        for call in 0..seconds * 50 {
            let instance = usize::try_from(call).unwrap() % self.instances.len();
            let now = NOW.plus_millis(call * 20);
            accepted += u64::from(self.call(instance, key, now).await.is_ok());
        }
        accepted
    }
}

#[tokio::test]
async fn four_instances_share_a_soft_rate() {
    let world = World::new(4, LimitMode::Soft, None);
    let accepted = world.flood(&key(), 10).await;
    assert!((100 + 20..=150 + 20).contains(&accepted), "{accepted}");
    assert!(
        world.counters.asked() <= accepted,
        "{}",
        world.counters.asked()
    );
}

#[tokio::test]
async fn a_hard_rate_and_quota_are_exact_over_any_number_of_instances() {
    for instances in [1, 4, 16] {
        let world = World::new(instances, LimitMode::Hard, Some(100));
        // By the rate, ten seconds allow 120: 20 at once, and ten per second.
        let accepted = world.flood(&key(), 10).await;
        assert_eq!(accepted, 100, "{instances}");
        let world = World::new(instances, LimitMode::Hard, None);
        let accepted = world.flood(&key(), 10).await;
        // The last call is 20 ms before the end of the ten seconds.
        assert_eq!(accepted, 20 + 99, "{instances}");
    }
}

#[tokio::test]
async fn a_hard_quota_begins_with_what_folds_have_counted() {
    let world = World::new(2, LimitMode::Hard, Some(100));
    let period = world.plan.period(NOW);
    let key = key();
    world
        .counted
        .plant(&ItemKey::period(&key.email, period.start), 95, Vec::new());
    assert_eq!(world.flood(&key, 3).await, 5);
    let limited = world
        .call(0, &key, NOW.plus_millis(9_000))
        .await
        .unwrap_err();
    assert_eq!(limited.over, Over::Quota);
    let left = period.end.since(NOW.plus_millis(9_000));
    assert_eq!(
        limited.retry_after,
        u64::try_from(left).unwrap().div_ceil(1_000)
    );
    // An exhausted quota is known without a request.
    let asked = world.counters.asked();
    world
        .call(0, &key, NOW.plus_millis(9_500))
        .await
        .unwrap_err();
    assert_eq!(world.counters.asked(), asked);
    assert!(world.call(0, &key, period.end).await.is_ok());
}

#[tokio::test]
async fn a_soft_quota_ends_for_all_keys_of_a_user_and_begins_with_the_next_period() {
    let world = World::new(2, LimitMode::Soft, Some(30));
    let other = KeyRecord {
        id: "key_2".to_owned(),
        ..key()
    };
    let accepted = world.flood(&key(), 3).await;
    assert!((30..=30 + 50).contains(&accepted), "{accepted}");
    let now = NOW.plus_millis(60_000);
    let limited = world.call(0, &other, now).await.unwrap_err();
    assert_eq!(limited.over, Over::Quota);
    let period = world.plan.period(NOW);
    assert!(world.call(0, &other, period.end).await.is_ok());
}

#[tokio::test]
async fn a_quota_lasts_until_the_plans_own_day() {
    for mode in [LimitMode::Soft, LimitMode::Hard] {
        let mut world = World::new(1, mode, Some(10));
        world.plan.period_anchor_day = 31.try_into().unwrap();
        world.plan.timezone = "Asia/Kolkata".to_owned();
        let end: UnixMillis = "2026-11-29T18:30:00Z".parse().unwrap();
        assert_eq!(world.plan.period(NOW).end, end);
        let before = end.plus_millis(-20_000);
        for call in 0..10 {
            let now = before.plus_millis(call * 200);
            assert!(world.call(0, &key(), now).await.is_ok(), "{call}");
        }
        let now = before.plus_millis(5_000);
        let limited = world.call(0, &key(), now).await.unwrap_err();
        assert_eq!((limited.over, limited.retry_after), (Over::Quota, 15));
        assert!(world.call(0, &key(), end).await.is_ok());
    }
}

/// A period of one plan goes on while that of another begins, and neither drops the other's counter.
#[tokio::test]
async fn keys_on_plans_with_different_days_keep_the_use_of_each_period() {
    let first = World::new(1, LimitMode::Hard, Some(10)).plan;
    let middle = Plan {
        period_anchor_day: 15.try_into().unwrap(),
        limit_mode: LimitMode::Soft,
        ..first.clone()
    };
    let other = KeyRecord {
        id: "key_2".to_owned(),
        plan: "middle".to_owned(),
        ..key()
    };
    let world = World::new(1, LimitMode::Hard, Some(10));
    let mut accepted = 0;
    for call in 0..30 {
        let now = NOW.plus_millis(call * 2_000);
        let (key, plan) = if call % 2 == 0 {
            (key(), &first)
        } else {
            (other.clone(), &middle)
        };
        let limiter = &world.instances[0];
        let admitted = limiter.admit(&key, plan, 1, now).await;
        limiter.keep_up(&key, plan, now).await;
        accepted += u32::from(admitted.is_ok() && call % 2 == 0);
    }
    assert_eq!(
        accepted, 10,
        "the quota of the plan that began first is exact"
    );
    let item = ItemKey::limit("ann@example.com", None);
    let counters = world.counters.counters(&item);
    for plan in [&first, &middle] {
        let name = period_counter(plan.period(NOW).start);
        assert!(counters[&name] > 0, "{counters:?}");
    }
}

#[tokio::test]
async fn a_key_with_a_rate_of_its_own_is_limited_within_the_users() {
    let world = World::new(1, LimitMode::Soft, None);
    let mut slow = key();
    slow.more.rate = Some(Rate {
        per_second: 1,
        burst: 2,
    });
    let accepted = world.flood(&slow, 3).await;
    assert!((4..=5).contains(&accepted), "{accepted}");
    let other = KeyRecord {
        id: "key_2".to_owned(),
        ..key()
    };
    assert!(world.call(0, &other, NOW.plus_millis(3_000)).await.is_ok());
}

#[tokio::test]
async fn without_counters_each_instance_keeps_limits_by_itself() {
    let world = World::new(2, LimitMode::Soft, Some(1_000));
    world.counters.set_down(true);
    world.counted.inject(|_, _| Fault::Refused);
    let accepted = world.flood(&key(), 10).await;
    assert!((2 * 118..=2 * 125).contains(&accepted), "{accepted}");
    assert!(world.counters.asked() <= 6, "{}", world.counters.asked());
    let world = World::new(2, LimitMode::Hard, Some(10));
    world.counters.set_down(true);
    assert_eq!(world.flood(&key(), 2).await, 2 * 10);
    let world = World::new(2, LimitMode::Hard, None);
    world.counters.set_down(true);
    let accepted = world.flood(&key(), 10).await;
    assert!((2 * 118..=2 * 120).contains(&accepted), "{accepted}");
}

#[tokio::test]
async fn counters_learn_what_a_hard_limit_accepted_while_they_were_down() {
    let world = World::new(2, LimitMode::Hard, Some(15));
    assert!(world.call(0, &key(), NOW).await.is_ok());
    world.counters.set_down(true);
    for call in 1..=9 {
        let now = NOW.plus_millis(call * 100);
        assert!(world.call(0, &key(), now).await.is_ok(), "{call}");
    }
    world.counters.set_down(false);
    // The first call after the pause settles what the instance owes.
    let later = NOW.plus_millis(100 + PAUSE_MILLIS);
    assert!(world.call(0, &key(), later).await.is_ok());
    let used = period_counter(world.plan.period(NOW).start);
    let item = ItemKey::limit("ann@example.com", None);
    assert_eq!(world.counters.counters(&item)[&used], 11);
    let mut accepted = 0;
    for call in 1..=20 {
        let now = later.plus_millis(call * 100);
        accepted += u32::from(world.call(1, &key(), now).await.is_ok());
    }
    assert_eq!(accepted, 4, "the other instance knows of all of them");
}

#[tokio::test]
async fn a_write_whose_response_is_lost_is_not_counted_twice() {
    for landed in [true, false] {
        let world = World::new(1, LimitMode::Hard, Some(10));
        assert!(world.call(0, &key(), NOW).await.is_ok());
        world.counters.lose_responses(landed);
        // One write, and a pause: the instance decides alone.
        for call in 1..=3 {
            let now = NOW.plus_millis(call * 100);
            assert!(world.call(0, &key(), now).await.is_ok(), "{call}");
        }
        world.counters.respond();
        let mut accepted = 4;
        for call in 0..20 {
            let now = NOW.plus_millis(100 + PAUSE_MILLIS + call * 100);
            accepted += u32::from(world.call(0, &key(), now).await.is_ok());
        }
        // A write that is lost with its response is a call that the counters miss.
        assert_eq!(accepted, if landed { 10 } else { 11 }, "{landed}");
    }
}

#[tokio::test]
async fn a_crowd_is_watched_within_bounds() {
    let world = World::new(1, LimitMode::Soft, None);
    for number in 0..3 * MOST_METERS {
        let user = KeyRecord {
            email: format!("user{number}@example.com"),
            ..key()
        };
        let now = NOW.plus_millis(i64::try_from(number).unwrap());
        assert!(world.call(0, &user, now).await.is_ok());
    }
    assert!(world.instances[0].watched().meters.len() <= MOST_METERS);
}

#[tokio::test]
async fn keys_on_two_plans_have_a_rate_each_and_one_quota() {
    let narrow = World::new(1, LimitMode::Soft, Some(60)).plan;
    let wide = Plan {
        rate_per_second: 20,
        burst: 40,
        ..narrow.clone()
    };
    let other = KeyRecord {
        id: "key_2".to_owned(),
        plan: "wide".to_owned(),
        ..key()
    };
    let world = World::new(2, LimitMode::Soft, None);
    let mut accepted = [0_u64; 2];
    // 50 calls a second with each key, in turns, at instances in turns.
    for call in 0..200 {
        let now = NOW.plus_millis(call * 10);
        let which = usize::try_from(call % 2).unwrap();
        let (key, plan) = if which == 0 {
            (key(), &narrow)
        } else {
            (other.clone(), &wide)
        };
        let limiter = &world.instances[usize::try_from(call / 2 % 2).unwrap()];
        let admitted = limiter.admit(&key, plan, 1, now).await;
        limiter.keep_up(&key, plan, now).await;
        accepted[which] += u64::from(admitted.is_ok());
    }
    // Two seconds: the burst and twice the rate at most, with what two instances may add.
    assert!(
        accepted[0] <= 20 + 30 && accepted[1] <= 40 + 60,
        "{accepted:?}"
    );
    let all = accepted[0] + accepted[1];
    assert!(
        (60..=60 + 5 * 20).contains(&all) && all < 140,
        "{accepted:?}"
    );
}

#[tokio::test]
async fn what_folds_have_counted_is_read_again_after_a_failure() {
    let world = World::new(1, LimitMode::Hard, Some(100));
    let period = world.plan.period(NOW);
    let item = ItemKey::period("ann@example.com", period.start);
    world.counted.plant(&item, 99, Vec::new());
    world.counted.inject(|_, _| Fault::Refused);
    assert!(world.call(0, &key(), NOW).await.is_ok(), "decided alone");
    world.counted.inject(|_, _| Fault::None);
    let later = NOW.plus_millis(PAUSE_MILLIS);
    assert!(world.call(0, &key(), later).await.is_ok());
    let limited = world.call(0, &key(), later).await.unwrap_err();
    assert_eq!(limited.over, Over::Quota);
}
