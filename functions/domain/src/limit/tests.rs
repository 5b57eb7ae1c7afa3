//! The limiter against the ideal one: several authorizers in virtual time, which are killed or
//! frozen, and whose reports are refused or lose their responses.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use proptest::prelude::*;

const START: UnixMillis = UnixMillis(1_795_363_445_000);
/// The window for which the bound is promised.
const WINDOW_MILLIS: i64 = 10_000;

/// The fate of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Answered,
    Refused,
    AnswerLost,
}

/// Authorizers that share counters.
#[derive(Clone)]
struct World {
    limits: Limits,
    meters: Vec<Meter>,
    shared: Shared,
    /// Every accepted call.
    accepted: Vec<UnixMillis>,
    /// When authorizers died.
    deaths: Vec<UnixMillis>,
    ideal: Bucket,
}

impl World {
    fn new(limits: Limits, instances: usize) -> Self {
        Self {
            limits,
            meters: vec![Meter::new(limits); instances],
            shared: Shared::default(),
            accepted: Vec::new(),
            deaths: Vec::new(),
            ideal: Bucket::full(limits.rate),
        }
    }

    /// Makes one call at one authorizer and returns why it was refused, if it was. Checks that the
    /// ideal limiter would refuse it as well.
    fn call(&mut self, instance: usize, now: UnixMillis, fate: Fate) -> Option<Over> {
        let meter = &mut self.meters[instance];
        let over = meter.check(now, 1);
        match over {
            Some(Over::Rate { retry_after }) => {
                assert!(!self.ideal.holds(now), "refused below the rate");
                let ideal = self.ideal.seconds_until_call(now);
                // Where others accept calls too, what three of them have not reported comes on top.
                assert!(
                    (1..=ideal + 3).contains(&retry_after),
                    "{retry_after} {ideal}"
                );
            }
            Some(Over::Quota) => {
                let used = self.accepted.len() as u64;
                assert!(self.limits.quota.is_some_and(|quota| used >= quota));
            }
            None => {
                meter.accept(now, 1);
                self.accepted.push(now);
                self.ideal.take(now, 1);
            }
        }
        if meter.is_due(now) {
            self.sync(instance, now, fate);
        }
        over
    }

    fn sync(&mut self, instance: usize, now: UnixMillis, fate: Fate) {
        let report = self.meters[instance].report(now);
        if fate != Fate::Refused {
            self.shared.slots.retain(|slot, _| *slot >= report.oldest);
            for (slot, calls) in &report.slots {
                *self.shared.slots.entry(*slot).or_default() += calls;
            }
            self.shared.units += report.units;
            self.shared.carry = report.carry.or(self.shared.carry);
        }
        if fate == Fate::Answered {
            self.meters[instance].learn(self.shared.clone());
        }
    }

    /// The most calls accepted within any window.
    fn most_in_window(&self) -> u64 {
        let mut from = 0;
        let mut most = 0;
        for (to, at) in self.accepted.iter().enumerate() {
            while at.since(self.accepted[from]) >= WINDOW_MILLIS {
                from += 1;
            }
            most = most.max(to - from + 1);
        }
        most as u64
    }
}

fn limits(per_second: u32, burst: u32, quota: Option<u64>) -> Limits {
    Limits {
        rate: Rate { per_second, burst },
        quota,
    }
}

/// A small generator that makes each simulation reproducible.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

/// Calls at five times the rate for a minute over `instances` authorizers, of which the second and
/// later ones start one after the other within half a minute. Returns the most in any ten seconds.
fn flood(limits: Limits, instances: usize, deaths: bool, seed: u64) -> (u64, World) {
    let mut world = World::new(limits, instances);
    let mut dice = Dice(seed);
    let calls = 5 * 60 * u64::from(limits.rate.per_second);
    for call in 0..calls {
        let at = START.plus_millis(i64::try_from(call * 60_000 / calls).unwrap());
        let started = (instances as u64 * call * 2 / calls + 1).min(instances as u64);
        let instance = usize::try_from(dice.below(started)).unwrap();
        if deaths && dice.below(50) == 0 {
            world.meters[instance] = Meter::new(limits);
            world.deaths.push(at);
        }
        world.call(instance, at, Fate::Answered);
    }
    (world.most_in_window(), world)
}

#[test]
fn up_to_four_authorizers_accept_at_most_half_more_than_the_rate() {
    for (per_second, burst) in [(1, 1), (1, 20), (2, 3), (10, 20), (10, 600), (100, 200)] {
        let limits = limits(per_second, burst, None);
        for instances in 1..=4 {
            for seed in 0..20 {
                let (most, _) = flood(limits, instances, false, seed);
                let bound = 15 * u64::from(per_second) + u64::from(burst);
                assert!(most <= bound, "{limits:?} {instances}: {most} > {bound}");
                let ideal = 10 * u64::from(per_second);
                assert!(most >= ideal, "{limits:?} {instances}: {most} < {ideal}");
            }
        }
    }
}

#[test]
fn sixteen_authorizers_accept_what_the_derivation_says() {
    for (per_second, burst) in [(1, 1), (10, 20), (100, 200)] {
        let limits = limits(per_second, burst, None);
        let slots = i64::from(per_second) * limits.rate.slot_millis() / 1_000 + 1;
        let unreported = 15 * limits.rate.unreported() + 16 * u64::from(per_second) / 4;
        let ideal = 10 * u64::from(per_second) + u64::from(burst);
        let bound = ideal + unreported + slots.unsigned_abs();
        for seed in 0..20 {
            let (most, _) = flood(limits, 16, false, seed);
            assert!(most <= bound, "{limits:?}: {most} > {bound}");
        }
    }
}

#[test]
fn authorizers_that_die_cost_what_they_had_not_reported() {
    let limits = limits(10, 20, None);
    // Its unreported calls are lost with it, and the new one accepts a call before it asks.
    let each = limits.rate.unreported() + 1;
    for seed in 0..20 {
        let (_, world) = flood(limits, 4, true, seed);
        for from in &world.accepted {
            let within = |at: &&UnixMillis| (0..WINDOW_MILLIS).contains(&at.since(*from));
            let accepted = world.accepted.iter().filter(within).count() as u64;
            let deaths = world.deaths.iter().filter(within).count() as u64;
            assert!(
                accepted <= 15 * 10 + 20 + deaths * each,
                "{accepted}, {deaths}"
            );
        }
    }
}

#[test]
fn retry_after_of_one_authorizer_holds_at_every_other() {
    let (mut said, mut held) = (0, 0);
    for (per_second, burst) in [(2, 4), (10, 20), (100, 200)] {
        let limits = limits(per_second, burst, None);
        for seed in 0..20 {
            let (_, world) = flood(limits, 4, false, seed);
            let end = START.plus_millis(60_000);
            for (one, other) in (0..4).flat_map(|one| (0..4).map(move |other| (one, other))) {
                let mut world = world.clone();
                if let Some(Over::Rate { retry_after }) = world.call(one, end, Fate::Answered) {
                    said += 1;
                    let again = end.plus_millis(i64::try_from(retry_after).unwrap() * 1_000);
                    held += u32::from(world.call(other, again, Fate::Answered).is_none());
                }
            }
        }
    }
    assert!(said > 100, "{said}");
    assert_eq!(held, said);
}

#[test]
fn a_frozen_authorizer_knows_at_its_second_call_what_it_slept_through() {
    let limits = limits(10, 20, None);
    let mut world = World::new(limits, 2);
    world.call(0, START, Fate::Answered);
    for call in 0..400 {
        world.call(1, START.plus_millis(call * 25), Fate::Answered);
    }
    let now = START.plus_millis(10_001);
    let accepted = (0..50).filter(|_| world.call(0, now, Fate::Answered).is_none());
    let accepted = accepted.count() as u64;
    assert!(accepted <= limits.rate.unreported(), "{accepted}");
}

#[test]
fn a_quota_is_exceeded_by_at_most_five_seconds_of_traffic() {
    for (per_second, quota) in [(1, 50), (10, 100), (10, 500), (100, 5_000)] {
        let limits = limits(per_second, per_second * 2, Some(quota));
        for instances in 1..=4 {
            for seed in 0..20 {
                let (_, world) = flood(limits, instances, false, seed);
                let passed = world.accepted.len() as u64 - quota;
                let bound = 5 * u64::from(per_second);
                assert!(
                    passed <= bound,
                    "{limits:?} {instances}: {passed} > {bound}"
                );
            }
        }
    }
}

#[test]
fn what_folds_count_is_not_accepted_again() {
    let mut meter = Meter::new(limits(10, 20, Some(100)));
    assert_eq!(meter.check(START, 1), None);
    meter.learn_counted(99);
    assert_eq!(meter.check(START, 1), None);
    assert_eq!(meter.check(START, 2), Some(Over::Quota));
    meter.learn_counted(100);
    meter.learn_counted(50);
    assert_eq!(meter.check(START, 1), Some(Over::Quota));
    meter.begin_period();
    assert_eq!(meter.check(START, 1), None);
}

#[test]
fn a_caller_well_below_its_rate_is_reported_once() {
    let limits = limits(100, 200, None);
    let mut meter = Meter::new(limits);
    let mut reports = 0;
    for second in 0..600 {
        let now = START.plus_millis(second * 1_000);
        meter.accept(now, 1);
        if meter.is_due(now) {
            reports += 1;
            meter.report(now);
            meter.learn(Shared::default());
        }
    }
    assert_eq!(reports, 1);
}

#[test]
fn retry_after_is_true() {
    let rate = Rate {
        per_second: 2,
        burst: 3,
    };
    let mut bucket = Bucket::full(rate);
    for _ in 0..9 {
        bucket.take(START, 1);
    }
    // Six calls more than it held: three seconds to pay them back, half a second for the next one.
    assert_eq!(bucket.seconds_until_call(START), 4);
    assert!(!bucket.holds(START.plus_millis(3_499)));
    assert!(bucket.holds(START.plus_millis(3_500)));
    assert_eq!(bucket.seconds_until_call(START.plus_millis(3_499)), 1);
    assert_eq!(bucket.seconds_until_call(START.plus_millis(3_500)), 0);
}

#[test]
fn counters_read_back_as_reported_and_old_ones_are_named() {
    let rate = limits(10, 20, None).rate;
    let period: UnixMillis = "2026-11-01T00:00:00Z".parse().unwrap();
    let report = Report {
        slots: [(90, 1), (100, 2), (101, 3)].into(),
        units: 9,
        oldest: 95,
        carry: Some(Carry {
            slot: 95,
            full_at: 12_345,
        }),
    };
    let mut counters: BTreeMap<String, i64> = report.increments(rate, period).into_iter().collect();
    assert_eq!(counters.len(), 3);
    counters.extend(report.assignments(rate));
    // The same user's keys on another plan, whose buckets last as long.
    let (other, another) = (limits(2, 4, None).rate, limits(4, 8, None).rate);
    let old = [
        slot_counter(rate, 94),
        slot_counter(other, 94),
        carry_slot(other),
        carry_full_at(other),
        period_counter(period.plus_days(-33)),
    ];
    counters.extend(old.iter().map(|name| (name.clone(), 30)));
    counters.insert(slot_counter(other, 95), 7);
    counters.insert(carry_slot(another), 31);
    counters.insert(carry_full_at(another), 7);
    // That of a plan whose period began on another day, and goes on.
    counters.insert(period_counter(period.plus_days(-31)), 7);
    counters.insert(period_counter(period.plus_days(30)), 7);
    counters.insert(bucket_counter(rate), 7);
    let (shared, outdated) = Shared::read(&counters, rate, period, 95);
    assert_eq!(shared.slots, [(100, 2), (101, 3)].into());
    assert_eq!(shared.units, 9);
    assert_eq!(shared.carry, report.carry);
    let mut old = old.to_vec();
    old.sort();
    assert_eq!(outdated, old);
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![8 => Just(Fate::Answered), 1 => Just(Fate::Refused), 1 => Just(Fate::AnswerLost)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// [`World::call`] checks each refusal against the ideal limiter.
    #[test]
    fn no_call_is_refused_that_the_ideal_limiter_accepts(
        (per_second, burst) in (1_u32..50, 1_u32..200),
        quota in proptest::option::of(1_u64..500),
        instances in 1_usize..=16,
        calls in proptest::collection::vec((0_usize..16, 0_i64..400, fate(), 0_u8..40), 1..600),
    ) {
        let limits = limits(per_second, burst, quota);
        let mut world = World::new(limits, instances);
        let mut now = START;
        for (instance, pause, fate, death) in calls {
            now = now.plus_millis(pause * i64::from(pause % 3 == 0) / 2);
            let instance = instance % instances;
            if death == 0 {
                world.meters[instance] = Meter::new(limits);
            }
            world.call(instance, now, fate);
        }
    }

    #[test]
    fn one_authorizer_alone_accepts_what_the_ideal_limiter_accepts_and_a_slot_more(
        (per_second, burst) in (1_u32..50, 1_u32..200),
        pauses in proptest::collection::vec(0_i64..300, 1..500),
    ) {
        let limits = limits(per_second, burst, None);
        let mut world = World::new(limits, 1);
        let mut now = START;
        for pause in pauses {
            now = now.plus_millis(pause);
            world.call(0, now, Fate::Answered);
            let ahead = world.ideal.full_at - limits.rate.tick(now) - limits.rate.tolerance();
            let slot = limits.rate.slot_millis() * i64::from(per_second);
            prop_assert!(ahead <= slot + CALL, "{} ticks ahead", ahead);
        }
    }
}
