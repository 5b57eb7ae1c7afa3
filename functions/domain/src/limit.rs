//! Limits of a user or a key: the token bucket of a rate, the quota of a period, and one
//! authorizer's view of both.
//!
//! Several authorizers accept calls of one user at the same time. Each holds a [`Meter`]: the
//! shared counters as it last read them, and the calls that it has accepted since. It refuses a
//! call only if the calls that it *knows* of have emptied the ideal bucket. A call that it does not
//! know of could only make the bucket emptier, so it never refuses a call that the ideal bucket
//! would accept. How many more it accepts depends on how many calls it may accept before it
//! reports: see [`Rate::unreported`], and `ARCHITECTURE.md` for the derivation.

use std::collections::BTreeMap;

use crate::time::UnixMillis;

/// The ticks that one call takes out of a bucket. A tick is a millisecond divided by the calls per
/// second, so that every quantity is a whole number.
pub const CALL: i64 = 1_000;
/// Slots that a bucket's memory is divided into.
const SLOTS: i64 = 64;
/// Slots that shared counters keep beyond that memory, so that a [`Carry`] and the slots after it
/// leave no gap: at least the second between two reports of an authorizer under load.
const LINGER: i64 = 16;
/// How late reports may be, in milliseconds.
const LATE_MILLIS: i64 = 5_000;
/// The share of a rate that an authorizer need not report, as a divisor.
const QUIET: i64 = 40;
/// The other authorizers for which its `Retry-After` still holds: bounds hold for four in all.
const OTHERS: u64 = 3;
/// How old its view may be before an authorizer that refuses calls asks again.
const STALE_MILLIS: i64 = 1_000;
/// While a quota is far from used up, an authorizer reports each time it has accepted this share of
/// the remainder, as a divisor.
const REMAINING: u64 = 400;
/// No period is longer: 31 days, and the hour by which clocks are put back.
const LONGEST_PERIOD_DAYS: i64 = 32;

/// A rate limit: sustained calls per second and burst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    /// Sustained calls per second; at least 1.
    pub per_second: u32,
    /// Calls that a full bucket holds; at least 1.
    pub burst: u32,
}

impl Rate {
    /// The tick of an instant.
    pub fn tick(self, at: UnixMillis) -> i64 {
        at.0.saturating_mul(self.per_second.max(1).into())
    }

    /// How far ahead of now the instant may be at which a bucket is full again, for a call to be
    /// accepted.
    pub fn tolerance(self) -> i64 {
        i64::from(self.burst.max(1)) * CALL
    }

    /// Calls that an authorizer accepts before it reports: the calls of 0.9 seconds, at least one.
    pub fn unreported(self) -> u64 {
        (u64::from(self.per_second) * 9 / 10).max(1)
    }

    /// The span over which calls are counted together, in milliseconds: a 64th of a bucket's
    /// memory.
    pub fn slot_millis(self) -> i64 {
        let refill = i64::from(self.burst) * 1_000 / i64::from(self.per_second.max(1));
        (refill + LATE_MILLIS) / SLOTS
    }

    /// Whether the bucket, and reports about it, have forgotten a slot at `now`.
    fn forgets(self, slot: i64, now: UnixMillis) -> bool {
        let until = slot.saturating_add(SLOTS + LINGER);
        until.saturating_mul(self.slot_millis()) < now.0
    }

    /// The rate in the name of a counter.
    fn parse(text: &str) -> Option<Self> {
        let (per_second, burst) = text.split_once('x')?;
        Some(Self {
            per_second: per_second.parse().ok()?,
            burst: burst.parse().ok()?,
        })
    }

    /// Whole seconds, rounded up, until a bucket that is full again at tick `full_at` holds a call.
    pub fn seconds_until(self, full_at: i64, now: UnixMillis) -> u64 {
        let free = full_at.saturating_add(CALL - self.tolerance());
        let ticks = free.saturating_sub(self.tick(now));
        let per_second = 1_000 * i64::from(self.per_second.max(1));
        u64::try_from(ticks.max(0)).map_or(0, |ticks| ticks.div_ceil(per_second.unsigned_abs()))
    }
}

/// The ideal token bucket, stored as the generic cell rate algorithm does: by the tick at which it
/// is full again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    rate: Rate,
    full_at: i64,
}

impl Bucket {
    /// A full bucket.
    pub const fn full(rate: Rate) -> Self {
        Self {
            rate,
            full_at: i64::MIN,
        }
    }

    /// Whether it holds a call at `now`.
    pub fn holds(&self, now: UnixMillis) -> bool {
        let tick = self.rate.tick(now);
        self.full_at.max(tick) + CALL <= tick + self.rate.tolerance()
    }

    /// Takes calls out at `at`, whether or not the bucket holds them.
    pub fn take(&mut self, at: UnixMillis, calls: u64) {
        let calls = i64::try_from(calls).unwrap_or(i64::MAX);
        let from = self.full_at.max(self.rate.tick(at));
        self.full_at = from.saturating_add(calls.saturating_mul(CALL));
    }

    /// The emptier of the two.
    fn emptier(self, other: Self) -> Self {
        Self {
            full_at: self.full_at.max(other.full_at),
            ..self
        }
    }

    /// Whole seconds, rounded up, until it holds a call.
    pub fn seconds_until_call(&self, now: UnixMillis) -> u64 {
        if self.holds(now) {
            return 0;
        }
        self.rate.seconds_until(self.full_at, now).max(1)
    }
}

/// The limits of a user or a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Limits {
    /// The rate.
    pub rate: Rate,
    /// Units per period, weighed by the routes of the calls; `None` for no limit.
    pub quota: Option<u64>,
}

/// Why a call is over its limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// The bucket is empty.
    Rate {
        /// Seconds until it holds a call.
        retry_after: u64,
    },
    /// The quota is used up until the period ends.
    Quota,
}

/// Calls of a slot by the slot's number.
type Slots = BTreeMap<i64, u64>;

/// An authorizer's report to the shared counters: what it has accepted since its last report.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Calls by slot.
    pub slots: Slots,
    /// The units of those calls, for the quota.
    pub units: u64,
    /// The first slot that is still needed.
    pub oldest: i64,
    /// How empty the bucket was before those slots, once this authorizer knows.
    pub carry: Option<Carry>,
}

/// How empty the calls of all slots before one have made a bucket. A bucket that never gets full
/// again remembers calls forever. Without this, an authorizer that starts, or that was frozen,
/// would assume a full bucket at the first slot that it learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Carry {
    /// The first slot that it does not include.
    pub slot: i64,
    /// The earliest tick at which the bucket is full again.
    pub full_at: i64,
}

/// The response of the shared counters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shared {
    /// Calls of all authorizers by slot.
    pub slots: Slots,
    /// Units of all authorizers in the period.
    pub units: u64,
    /// The effect of earlier slots, from the last report.
    pub carry: Option<Carry>,
}

impl Report {
    /// The amount to add to each counter of `rate` and of the period that begins at `period`.
    pub fn increments(&self, rate: Rate, period: UnixMillis) -> Vec<(String, i64)> {
        let slots = self.slots.range(self.oldest..);
        let mut all: Vec<(String, i64)> = slots
            .map(|(slot, calls)| (slot_counter(rate, *slot), signed(*calls)))
            .collect();
        all.push((period_counter(period), signed(self.units)));
        all
    }

    /// The counters to set: two that belong together.
    pub fn assignments(&self, rate: Rate) -> Vec<(String, i64)> {
        let carry = self.carry.into_iter();
        carry
            .flat_map(|Carry { slot, full_at }| {
                [(carry_slot(rate), slot), (carry_full_at(rate), full_at)]
            })
            .collect()
    }
}

impl Shared {
    /// Reads counters. Also names those that are obsolete: slots before `oldest`, and earlier periods.
    /// Counters of another rate belong to keys of the same user on another plan: they are obsolete
    /// once that rate's bucket has forgotten them.
    pub fn read(
        counters: &BTreeMap<String, i64>,
        rate: Rate,
        period: UnixMillis,
        oldest: i64,
    ) -> (Self, Vec<String>) {
        let mut shared = Self::default();
        let mut outdated = Vec::new();
        let now = UnixMillis((oldest + SLOTS + LINGER).saturating_mul(rate.slot_millis()));
        let carried = |name: String| counters.get(&name).copied();
        if let (Some(slot), Some(full_at)) =
            (carried(carry_slot(rate)), carried(carry_full_at(rate)))
        {
            shared.carry = Some(Carry { slot, full_at });
        }
        for (name, calls) in counters {
            let calls = u64::try_from(*calls).unwrap_or(0);
            match Counter::parse(name) {
                Some(Counter::Slot { of, slot }) if of == rate && slot >= oldest => {
                    shared.slots.insert(slot, calls);
                }
                Some(Counter::Slot { of, slot }) if of == rate || of.forgets(slot, now) => {
                    outdated.push(name.clone());
                }
                Some(Counter::Period(start)) if start == period => shared.units = calls,
                // A plan of another calendar may have a period that began before this one and goes on.
                Some(Counter::Period(start)) if start < period.plus_days(-LONGEST_PERIOD_DAYS) => {
                    outdated.push(name.clone());
                }
                Some(Counter::Carry(of)) if of != rate => {
                    let slot = counters.get(&carry_slot(of)).copied();
                    if slot.is_none_or(|slot| of.forgets(slot + SLOTS, now)) {
                        outdated.push(name.clone());
                    }
                }
                Some(Counter::Slot { .. } | Counter::Period(_) | Counter::Carry(_)) | None => {}
            }
        }
        (shared, outdated)
    }
}

/// The parsed name of a counter.
enum Counter {
    /// Calls of a slot.
    Slot { of: Rate, slot: i64 },
    /// Units of a period, by its start.
    Period(UnixMillis),
    /// One of the two numbers of a [`Carry`].
    Carry(Rate),
}

impl Counter {
    fn parse(name: &str) -> Option<Self> {
        if let Some(start) = name.strip_prefix('u') {
            return start
                .parse()
                .ok()
                .map(UnixMillis::from_seconds)
                .map(Self::Period);
        }
        if let Some(rate) = name.strip_prefix(['b', 'f']) {
            return Rate::parse(rate).map(Self::Carry);
        }
        let (rate, slot) = name.strip_prefix('s')?.rsplit_once('x')?;
        Some(Self::Slot {
            of: Rate::parse(rate)?,
            slot: slot.parse().ok()?,
        })
    }
}

fn slot_counter(rate: Rate, slot: i64) -> String {
    format!("s{}x{}x{slot}", rate.per_second, rate.burst)
}

fn carry_slot(rate: Rate) -> String {
    format!("b{}x{}", rate.per_second, rate.burst)
}

fn carry_full_at(rate: Rate) -> String {
    format!("f{}x{}", rate.per_second, rate.burst)
}

/// The counter of the units of the period that begins at `start`.
pub fn period_counter(start: UnixMillis) -> String {
    format!("u{}", start.seconds())
}

/// The counter that holds the tick at which the bucket of `rate` is full again, if the limit is
/// hard.
pub fn bucket_counter(rate: Rate) -> String {
    format!("t{}", rate.per_second)
}

fn signed(calls: u64) -> i64 {
    i64::try_from(calls).unwrap_or(i64::MAX)
}

/// One authorizer's view of a user's or a key's limits.
#[derive(Debug, Clone)]
pub struct Meter {
    limits: Limits,
    /// The bucket as it was before the slots from `horizon` on.
    before: Bucket,
    /// `before` includes the calls of earlier slots.
    horizon: i64,
    /// The shared counters as last read.
    shared: Shared,
    /// Accepted here and not reported yet.
    own: Report,
    /// Reported without a response: perhaps counted, perhaps not.
    sent: Report,
    /// A lower bound for the units of the period that folds have counted.
    counted: u64,
    /// The level of the share of the rate that need not be reported, in thousandths of a call.
    loud: i64,
    loud_at: UnixMillis,
    /// The slot in which it last asked: it knows earlier slots completely.
    asked_in: i64,
    reported_at: UnixMillis,
    has_asked: bool,
    /// Whether it has refused a call for its rate since it last asked.
    has_refused: bool,
    /// Whether others accepted calls between its last two reports.
    has_others: bool,
}

impl Meter {
    /// The meter of an authorizer that knows nothing yet.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            before: Bucket::full(limits.rate),
            horizon: i64::MIN,
            shared: Shared::default(),
            own: Report::default(),
            sent: Report::default(),
            counted: 0,
            loud: 0,
            loud_at: UnixMillis(0),
            asked_in: i64::MIN,
            reported_at: UnixMillis(i64::MIN),
            has_asked: false,
            has_refused: false,
            has_others: false,
        }
    }

    /// Its limits.
    pub const fn limits(&self) -> Limits {
        self.limits
    }

    /// Begins a new period: the rate limit carries on, the quota is full again.
    pub fn begin_period(&mut self) {
        self.shared.units = 0;
        self.own.units = 0;
        self.sent.units = 0;
        self.counted = 0;
    }

    /// Units of the period that this meter knows.
    pub fn used(&self) -> u64 {
        let reported = self.shared.units + self.own.units + self.sent.units;
        reported.max(self.counted)
    }

    /// Why a call of `units` at `now` is over the limits; `None` if it may be accepted.
    pub fn check(&mut self, now: UnixMillis, units: u32) -> Option<Over> {
        let after = self.used() + u64::from(units);
        if self.limits.quota.is_some_and(|quota| after > quota) {
            return Some(Over::Quota);
        }
        let mut bucket = self.bucket();
        if bucket.holds(now) {
            return None;
        }
        self.has_refused = true;
        if self.has_others {
            // They may have accepted calls that they have not reported.
            bucket.take(now, OTHERS * self.limits.rate.unreported());
        }
        Some(Over::Rate {
            retry_after: bucket.seconds_until_call(now),
        })
    }

    /// Counts a call that was accepted at `now`.
    pub fn accept(&mut self, now: UnixMillis, units: u32) {
        let slot = self.slot(now);
        *self.own.slots.entry(slot).or_default() += 1;
        self.own.units += u64::from(units);
        let passed = now.since(self.loud_at).clamp(0, 3_600_000);
        let quieter = passed * i64::from(self.limits.rate.per_second) / QUIET;
        self.loud = (self.loud - quieter).max(0) + 1_000;
        self.loud_at = now;
    }

    /// Whether the authorizer must consult the shared counters before it accepts more, or before it
    /// next tells a caller when to retry.
    pub fn is_due(&self, now: UnixMillis) -> bool {
        if self.has_refused && !(0..STALE_MILLIS).contains(&now.since(self.reported_at)) {
            return true;
        }
        if self.own.units == 0 && self.own.slots.is_empty() {
            return false;
        }
        let most = self.limits.rate.unreported();
        let is_loud = self.loud
            >= i64::try_from(most)
                .unwrap_or(i64::MAX)
                .saturating_mul(1_000);
        let is_many = self.limits.quota.is_some_and(|quota| {
            let remaining = quota.saturating_sub(self.used());
            self.own.units >= most.max(remaining / REMAINING)
        });
        !self.has_asked || is_loud || is_many
    }

    /// The report to send at `now`. Nothing in it is ever reported again, even if it fails: a
    /// report whose response is lost may have been counted.
    pub fn report(&mut self, now: UnixMillis) -> Report {
        self.forget(now);
        let mut report = std::mem::take(&mut self.own);
        report.oldest = self.horizon.saturating_sub(LINGER);
        report.carry = (self.asked_in >= self.horizon).then_some(Carry {
            slot: self.horizon,
            full_at: self.before.full_at,
        });
        for (slot, calls) in &report.slots {
            *self.sent.slots.entry(*slot).or_default() += calls;
        }
        self.sent.units += report.units;
        self.loud = 0;
        self.reported_at = now;
        self.has_refused = false;
        report
    }

    /// Takes the shared counters' response to the last report.
    pub fn learn(&mut self, shared: Shared) {
        self.has_others = shared.units > self.shared.units + self.sent.units;
        self.shared = shared;
        self.sent = Report::default();
        self.asked_in = self.slot(self.reported_at);
        self.has_asked = true;
    }

    /// Takes the units that folds have counted in the period.
    pub fn learn_counted(&mut self, units: u64) {
        self.counted = self.counted.max(units);
    }

    fn slot(&self, at: UnixMillis) -> i64 {
        at.0.div_euclid(self.limits.rate.slot_millis())
    }

    /// Drains slots that have left the bucket's memory into the bucket before them.
    fn forget(&mut self, now: UnixMillis) {
        // A clock that steps back does not bring a slot back.
        let oldest = self.slot(now) - SLOTS;
        let drained = self.horizon;
        self.horizon = drained.max(oldest);
        let mut old = Slots::new();
        for slots in [
            &mut self.shared.slots,
            &mut self.own.slots,
            &mut self.sent.slots,
        ] {
            let kept = slots.split_off(&self.horizon);
            for (slot, calls) in std::mem::replace(slots, kept) {
                *old.entry(slot).or_default() += calls;
            }
        }
        let carry = self
            .shared
            .carry
            .take_if(|carry| carry.slot <= self.horizon);
        let carried = carry.map(|carry| self.carried(carry, &old));
        drain(&mut self.before, old.range(drained..));
        if let Some(carried) = carried {
            self.before = self.before.emptier(carried);
        }
    }

    /// The bucket after all known calls: the emptier of this authorizer's own knowledge and of what
    /// another authorizer left. Neither includes more than the calls that were made.
    fn bucket(&self) -> Bucket {
        let mut all = self.shared.slots.clone();
        for (slot, calls) in self.own.slots.iter().chain(&self.sent.slots) {
            *all.entry(*slot).or_default() += calls;
        }
        let mut bucket = self.before;
        drain(&mut bucket, all.range(self.horizon..));
        match self.shared.carry {
            Some(carry) => bucket.emptier(self.carried(carry, &all)),
            None => bucket,
        }
    }

    /// The bucket after the calls in `slots`, starting with what another authorizer left.
    fn carried(&self, carry: Carry, slots: &Slots) -> Bucket {
        let mut bucket = Bucket {
            rate: self.limits.rate,
            full_at: carry.full_at,
        };
        drain(&mut bucket, slots.range(carry.slot..));
        bucket
    }
}

/// Takes calls out of a bucket, each as early as its slot begins: the result is never emptier than
/// the bucket that the calls really left.
fn drain<'a>(bucket: &mut Bucket, slots: impl IntoIterator<Item = (&'a i64, &'a u64)>) {
    let width = bucket.rate.slot_millis();
    for (slot, calls) in slots {
        bucket.take(UnixMillis(slot.saturating_mul(width)), *calls);
    }
}

#[cfg(test)]
mod tests;
