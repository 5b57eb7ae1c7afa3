//! The stored form of counts: each method, endpoint, meter and plan is written once, and counts
//! refer to it by number, because an item's price grows by the kilobyte.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Counts, FIRST_LABELS, Hour, LARGEST_STATE, OTHER, Slot, Sum};
use crate::dimension::{self, Dimension, Dimensions, Share};
use crate::key_calls::{self, KeyCalls};
use crate::meter::Amounts;
use crate::response::{Histogram, Responses};
use crate::seen::Seen;
use crate::state::{self, StateError};
use crate::tally::{Tally, Totals};
use crate::time::UnixMillis;

mod earlier;

/// Length of a minute in milliseconds.
const MINUTE: i64 = 60_000;

/// Counts by the number of their label.
type Counted = Vec<(u32, u64)>;

#[derive(Serialize, Deserialize)]
struct HourWritten<C = CountsWritten> {
    /// Hours since the epoch.
    hour: i64,
    labels: Vec<String>,
    slots: Vec<(u8, u64, C)>,
}

/// Dimensions: the number of its label, how many values count apart, and of each value the number
/// of its label, its calls and their units.
type DimensionsWritten = Vec<(u32, u8, Vec<(u32, u64, u64)>)>;

/// An hour of which some calls have dimensions: by minute, as far as there are any.
#[derive(Serialize, Deserialize)]
struct LabelledHour {
    hour: HourWritten,
    dimensions: Vec<(u8, DimensionsWritten)>,
}

/// A sum of which some calls have dimensions.
#[derive(Serialize, Deserialize)]
struct LabelledSum {
    sum: SumWritten,
    dimensions: DimensionsWritten,
}

/// Calls by key. Most users have one key, and then only its name is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum KeysWritten {
    /// No call has a key.
    None,
    /// All calls have the same, of which this is the number of its label.
    Sole(u32),
    /// Of each key the number of its label and its calls.
    Each(Counted),
}

/// An hour of which some calls have keys: how many of the next slots have which. A slot without
/// calls belongs to those before it.
#[derive(Serialize, Deserialize)]
struct KeyedHour {
    hour: LabelledHour,
    keys: Vec<(u8, KeysWritten)>,
}

/// A sum of which some calls have keys.
#[derive(Serialize, Deserialize)]
struct KeyedSum {
    sum: LabelledSum,
    keys: KeysWritten,
}

#[derive(Serialize, Deserialize)]
struct SumWritten {
    labels: Vec<String>,
    rank: u64,
    counts: CountsWritten,
    quarters: Vec<(u8, Totals)>,
    users: u64,
    unreported: u64,
    repeats: u64,
    /// Amounts by quarter hour.
    amounts: Vec<(u8, Counted)>,
}

#[derive(Serialize, Deserialize)]
struct CountsWritten {
    totals: Totals,
    methods: Counted,
    endpoints: Counted,
    statuses: Vec<(u16, u64)>,
    /// Each bucket as its distance from the previous one.
    latencies: Vec<(u16, u64)>,
    seen: Option<SeenWritten>,
    meters: Counted,
}

/// Times are stored relative to the start of the span, then relative to each other.
#[derive(Serialize, Deserialize)]
struct SeenWritten {
    first: u64,
    until_last: u64,
    /// Distance before the last event, and the plan named there.
    plan: Option<(u64, u32)>,
}

/// Labels in the order of their first use.
#[derive(Default)]
struct Labels<'a> {
    numbers: BTreeMap<&'a str, u32>,
    names: Vec<String>,
    /// The labels that keep counts of their own, if not all do.
    told: Option<BTreeSet<&'a str>>,
}

impl<'a> Labels<'a> {
    fn of(told: Option<BTreeSet<&'a str>>) -> Self {
        Self {
            told,
            ..Self::default()
        }
    }

    fn number(&mut self, label: &'a str) -> u32 {
        let is_told = self.told.as_ref().is_none_or(|told| told.contains(label));
        let label = if is_told { label } else { OTHER };
        *self.numbers.entry(label).or_insert_with(|| {
            self.names.push(label.to_owned());
            // An item holds some 300,000 bytes: this never saturates.
            u32::try_from(self.names.len() - 1).unwrap_or(u32::MAX)
        })
    }

    /// There are few plans, meters, keys and values of dimensions, so each keeps its own number.
    fn kept(&mut self, name: &'a str) -> u32 {
        let told = self.told.take();
        let number = self.number(name);
        self.told = told;
        number
    }

    fn amounts(&mut self, amounts: &'a Amounts) -> Counted {
        let amounts = amounts.iter();
        amounts
            .map(|(meter, amount)| (self.kept(meter), *amount))
            .collect()
    }

    fn keys(&mut self, keys: &'a KeyCalls, calls: u64) -> KeysWritten {
        match keys.first_key_value() {
            None => KeysWritten::None,
            Some((key, of_key)) if *of_key == calls && keys.len() == 1 => {
                KeysWritten::Sole(self.kept(key))
            }
            Some(_) => KeysWritten::Each(self.amounts(keys)),
        }
    }

    /// The keys of slots, each with the number of consecutive slots that have them.
    fn runs(&mut self, slots: impl Iterator<Item = &'a Slot>) -> Vec<(u8, KeysWritten)> {
        let mut runs: Vec<(u8, KeysWritten)> = Vec::new();
        for slot in slots {
            let Tally { keys, calls, .. } = &slot.counts.tally;
            let written = self.keys(keys, *calls);
            match runs.last_mut() {
                Some((slots, before)) if *calls == 0 && keys.is_empty() && before.fits_none() => {
                    *slots += 1;
                }
                Some((slots, before)) if *before == written => *slots += 1,
                _ => runs.push((1, written)),
            }
        }
        runs
    }

    fn dimensions(&mut self, dimensions: &'a Dimensions) -> DimensionsWritten {
        let written = dimensions.iter().map(|(name, dimension)| {
            let name = self.kept(name);
            let values = dimension.values.iter();
            let values = values.map(|(value, share)| (self.kept(value), share.calls, share.units));
            (name, dimension.most, values.collect())
        });
        written.collect()
    }

    fn counted(&mut self, counts: &'a BTreeMap<String, u64>) -> Counted {
        let mut counted: BTreeMap<u32, u64> = BTreeMap::new();
        for (label, count) in counts {
            *counted.entry(self.number(label)).or_default() += count;
        }
        counted.into_iter().collect()
    }

    fn counts(&mut self, counts: &'a Counts, start: UnixMillis) -> CountsWritten {
        let mut before = 0;
        let latencies = counts.responses.latency.buckets().map(|(bucket, count)| {
            let distance = bucket - before;
            before = bucket;
            (distance, count)
        });
        CountsWritten {
            totals: counts.tally.totals(),
            methods: self.counted(&counts.tally.methods),
            endpoints: self.counted(&counts.tally.endpoints),
            statuses: counts.responses.statuses.clone().into_iter().collect(),
            latencies: latencies.collect(),
            seen: counts.seen.as_ref().map(|seen| self.seen(seen, start)),
            meters: self.amounts(&counts.tally.meters),
        }
    }

    fn seen(&mut self, seen: &'a Seen, start: UnixMillis) -> SeenWritten {
        let span = |from: UnixMillis, to: UnixMillis| to.since(from).max(0).unsigned_abs();
        let plan = seen.plan_at();
        SeenWritten {
            first: span(start, seen.first),
            until_last: span(seen.first, seen.last),
            plan: plan.map(|(at, name)| (span(at, seen.last), self.kept(name))),
        }
    }
}

impl KeysWritten {
    /// Whether they read as none of a slot without calls.
    const fn fits_none(&self) -> bool {
        matches!(self, Self::None | Self::Sole(_))
    }

    fn read(&self, labels: &[String], calls: u64) -> Option<KeyCalls> {
        match self {
            Self::None => Some(KeyCalls::new()),
            Self::Sole(_) if calls == 0 => Some(KeyCalls::new()),
            Self::Sole(key) => Some(KeyCalls::from([(label(labels, *key)?.clone(), calls)])),
            Self::Each(counted) => named(labels, counted.clone()),
        }
    }
}

fn label(labels: &[String], number: u32) -> Option<&String> {
    labels.get(usize::try_from(number).ok()?)
}

fn named(labels: &[String], counted: Counted) -> Option<BTreeMap<String, u64>> {
    let counted = counted.into_iter();
    counted
        .map(|(number, count)| Some((label(labels, number)?.clone(), count)))
        .collect()
}

fn read_dimensions(labels: &[String], written: DimensionsWritten) -> Option<Dimensions> {
    let dimensions = written.into_iter().map(|(name, most, values)| {
        let values = values.into_iter().map(|(value, calls, units)| {
            Some((label(labels, value)?.clone(), Share { calls, units }))
        });
        let values = values.collect::<Option<_>>()?;
        Some((label(labels, name)?.clone(), Dimension { most, values }))
    });
    dimensions.collect()
}

/// Sets the keys of slots, if there are any.
fn read_runs(
    slots: &mut BTreeMap<u8, Slot>,
    labels: &[String],
    runs: &[(u8, KeysWritten)],
) -> Option<()> {
    if runs.is_empty() {
        return Some(());
    }
    let mut slots = slots.values_mut();
    for (length, written) in runs {
        for _ in 0..*length {
            let tally = &mut slots.next()?.counts.tally;
            tally.keys = written.read(labels, tally.calls)?;
        }
    }
    slots.next().is_none().then_some(())
}

impl CountsWritten {
    fn read(self, labels: &[String], start: UnixMillis) -> Option<Counts> {
        let named = |counted| named(labels, counted);
        let mut bucket = 0_u16;
        let mut latency = Histogram::default();
        for (distance, count) in self.latencies {
            bucket = bucket.checked_add(distance)?;
            latency.add(bucket, count);
        }
        let Totals {
            calls,
            auth_failures,
            rate_limited,
            units,
        } = self.totals;
        Some(Counts {
            tally: Tally {
                calls,
                auth_failures,
                rate_limited,
                units,
                methods: named(self.methods)?,
                endpoints: named(self.endpoints)?,
                meters: named(self.meters)?,
                dimensions: Dimensions::new(),
                keys: KeyCalls::new(),
            },
            responses: Responses {
                statuses: self.statuses.into_iter().collect(),
                latency,
            },
            seen: match self.seen {
                Some(seen) => Some(seen.read(labels, start)?),
                None => None,
            },
        })
    }
}

impl SeenWritten {
    fn read(self, labels: &[String], start: UnixMillis) -> Option<Seen> {
        let later = |from: UnixMillis, by: u64| Some(from.plus_millis(i64::try_from(by).ok()?));
        let first = later(start, self.first)?;
        let last = later(first, self.until_last)?;
        let plan = match self.plan {
            Some((before, number)) => {
                let at = last.plus_millis(-i64::try_from(before).ok()?);
                Some((at, label(labels, number)?.clone()))
            }
            None => None,
        };
        Some(Seen::new(first, last, plan))
    }
}

impl Hour {
    /// The bytes to store. If they would be too many, labels beyond the first [`FIRST_LABELS`]
    /// count as [`OTHER`]; totals stay exact.
    pub fn encode(&self) -> Result<Vec<u8>, StateError> {
        let bytes = self.encoded(None)?;
        if bytes.len() <= LARGEST_STATE {
            return Ok(bytes);
        }
        let counts = self.slots.values().map(|slot| &slot.counts);
        self.encoded(Some(first_labels(counts)))
    }

    /// Folds bound the dimensions and keys of slots. An hour without any is written as if there were
    /// none: it costs nothing more, and earlier releases read it.
    fn encoded(&self, told: Option<BTreeSet<&str>>) -> Result<Vec<u8>, StateError> {
        let mut labels = Labels::of(told);
        let mut hour = self.written(&mut labels);
        let slots = self.slots.iter();
        let slots = slots.map(|(minute, slot)| (*minute, &slot.counts.tally.dimensions));
        let slots = slots.filter(|(_, dimensions)| !dimensions.is_empty());
        let dimensions: Vec<_> = slots
            .map(|(minute, dimensions)| (minute, labels.dimensions(dimensions)))
            .collect();
        let has_keys = |slot: &Slot| !slot.counts.tally.keys.is_empty();
        let keys = if self.slots.values().any(has_keys) {
            labels.runs(self.slots.values())
        } else {
            Vec::new()
        };
        hour.labels = labels.names;
        if !keys.is_empty() {
            let hour = LabelledHour { hour, dimensions };
            state::encode_as(state::KEYED, &KeyedHour { hour, keys })
        } else if !dimensions.is_empty() {
            state::encode_as(state::LABELLED, &LabelledHour { hour, dimensions })
        } else {
            state::encode(&hour)
        }
    }

    /// Reads what [`Self::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        let KeyedHour {
            hour: LabelledHour { hour, dimensions },
            keys,
        } = match state::decode_as(state::KEYED, bytes) {
            Some(keyed) => keyed?,
            None => KeyedHour {
                hour: LabelledHour::decode(bytes)?,
                keys: Vec::new(),
            },
        };
        let HourWritten {
            hour,
            labels,
            slots,
        } = hour;
        let start = UnixMillis(hour.saturating_mul(3_600_000));
        let read = |(minute, rank, counts): (u8, u64, CountsWritten)| {
            let counts = counts.read(&labels, minute_of(start, minute))?;
            Some((minute, Slot { rank, counts }))
        };
        let inconsistent = || StateError::Inconsistent { bytes: bytes.len() };
        let slots = slots.into_iter().map(read).collect::<Option<_>>();
        let mut slots: BTreeMap<u8, Slot> = slots.ok_or_else(inconsistent)?;
        for (minute, dimensions) in dimensions {
            let slot = slots.get_mut(&minute).ok_or_else(inconsistent)?;
            let dimensions = read_dimensions(&labels, dimensions).ok_or_else(inconsistent)?;
            slot.counts.tally.dimensions = dimensions;
        }
        read_runs(&mut slots, &labels, &keys).ok_or_else(inconsistent)?;
        Ok(Self { start, slots })
    }

    fn written<'a>(&'a self, labels: &mut Labels<'a>) -> HourWritten {
        let slots = self.slots.iter().map(|(minute, slot)| {
            let start = minute_of(self.start, *minute);
            (*minute, slot.rank, labels.counts(&slot.counts, start))
        });
        let slots = slots.collect();
        HourWritten {
            hour: self.start.0.div_euclid(3_600_000),
            slots,
            labels: Vec::new(),
        }
    }
}

impl Sum {
    /// The bytes to store; see [`Hour::encode`]. A sum is whole when it is stored, so this is where
    /// its dimensions and keys are bounded.
    pub fn encode(&self) -> Result<Vec<u8>, StateError> {
        let tally = &self.counts.tally;
        let bounded = (
            dimension::bounded(&tally.dimensions),
            key_calls::bounded(&tally.keys),
        );
        let bytes = self.encoded(None, &bounded)?;
        if bytes.len() <= LARGEST_STATE {
            return Ok(bytes);
        }
        self.encoded(Some(first_labels([&self.counts])), &bounded)
    }

    fn encoded(
        &self,
        told: Option<BTreeSet<&str>>,
        (dimensions, keys): &(Dimensions, KeyCalls),
    ) -> Result<Vec<u8>, StateError> {
        let mut labels = Labels::of(told);
        let mut sum = self.written(&mut labels);
        let dimensions = labels.dimensions(dimensions);
        let keys = labels.keys(keys, self.counts.tally.calls);
        sum.labels = labels.names;
        if keys != KeysWritten::None {
            let sum = LabelledSum { sum, dimensions };
            state::encode_as(state::KEYED, &KeyedSum { sum, keys })
        } else if !dimensions.is_empty() {
            state::encode_as(state::LABELLED, &LabelledSum { sum, dimensions })
        } else {
            state::encode(&sum)
        }
    }

    /// Reads what [`Self::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        let KeyedSum { sum, keys } = match state::decode_as(state::KEYED, bytes) {
            Some(keyed) => keyed?,
            None => KeyedSum {
                sum: LabelledSum::decode(bytes)?,
                keys: KeysWritten::None,
            },
        };
        let LabelledSum {
            sum: written,
            dimensions,
        } = sum;
        let inconsistent = || StateError::Inconsistent { bytes: bytes.len() };
        let labels = &written.labels;
        let amounts = written.amounts.into_iter();
        let amounts = amounts.map(|(quarter, amounts)| Some((quarter, named(labels, amounts)?)));
        let amounts = amounts.collect::<Option<_>>().ok_or_else(inconsistent)?;
        let dimensions = read_dimensions(labels, dimensions).ok_or_else(inconsistent)?;
        let counts = written.counts.read(labels, UnixMillis(0));
        let mut counts = counts.ok_or_else(inconsistent)?;
        counts.tally.dimensions = dimensions;
        let keys = keys.read(labels, counts.tally.calls);
        counts.tally.keys = keys.ok_or_else(inconsistent)?;
        Ok(Self {
            rank: written.rank,
            counts,
            quarters: written.quarters.into_iter().collect(),
            amounts,
            users: written.users,
            unreported: written.unreported,
            repeats: written.repeats,
        })
    }

    fn written<'a>(&'a self, labels: &mut Labels<'a>) -> SumWritten {
        let counts = labels.counts(&self.counts, UnixMillis(0));
        let amounts = self.amounts.iter();
        let amounts = amounts.map(|(quarter, amounts)| (*quarter, labels.amounts(amounts)));
        SumWritten {
            amounts: amounts.collect(),
            labels: Vec::new(),
            rank: self.rank,
            counts,
            quarters: self.quarters.clone().into_iter().collect(),
            users: self.users,
            unreported: self.unreported,
            repeats: self.repeats,
        }
    }
}

fn minute_of(hour: UnixMillis, minute: u8) -> UnixMillis {
    hour.plus_millis(i64::from(minute) * MINUTE)
}

/// The labels with most calls, by name where counts are equal.
fn first_labels<'a>(counts: impl IntoIterator<Item = &'a Counts>) -> BTreeSet<&'a str> {
    let mut calls: BTreeMap<&str, u64> = BTreeMap::new();
    for counts in counts {
        let Tally {
            methods, endpoints, ..
        } = &counts.tally;
        for (label, count) in methods.iter().chain(endpoints) {
            *calls.entry(label).or_default() += count;
        }
    }
    let mut ranked: Vec<(&str, u64)> = calls.into_iter().collect();
    ranked.sort_by(|(one, count), (other, than)| than.cmp(count).then(one.cmp(other)));
    let first = ranked.into_iter().take(FIRST_LABELS);
    first.map(|(label, _)| label).collect()
}
