//! The stored form of counts: each method, endpoint, meter and plan is written once, and counts
//! refer to it by number, because an item's price grows by the kilobyte.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Counts, FIRST_LABELS, Hour, LARGEST_STATE, OTHER, Slot, Sum};
use crate::dimension::{self, Dimension, Dimensions, Share};
use crate::meter::Amounts;
use crate::response::{Histogram, Responses};
use crate::seen::Seen;
use crate::state::{self, StateError};
use crate::tally::{Tally, Totals};
use crate::time::UnixMillis;

/// Length of a minute in milliseconds.
const MINUTE: i64 = 60_000;

/// Counts by the number of their label.
type Counted = Vec<(u32, u64)>;

/// Totals in format 4: every accepted call weighed one unit.
#[derive(Serialize, Deserialize)]
struct TotalsOfFormat4 {
    calls: u64,
    auth_failures: u64,
    rate_limited: u64,
}

impl From<TotalsOfFormat4> for Totals {
    fn from(totals: TotalsOfFormat4) -> Self {
        Self {
            calls: totals.calls,
            auth_failures: totals.auth_failures,
            rate_limited: totals.rate_limited,
            units: totals.calls,
        }
    }
}

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

/// A sum in formats 4 and 5: without amounts.
#[derive(Serialize, Deserialize)]
struct SumBefore6<T> {
    labels: Vec<String>,
    rank: u64,
    counts: CountsBefore6<T>,
    quarters: Vec<(u8, T)>,
    users: u64,
    unreported: u64,
    repeats: u64,
}

/// Counts in formats 4 and 5: without amounts.
#[derive(Serialize, Deserialize)]
struct CountsBefore6<T> {
    totals: T,
    methods: Counted,
    endpoints: Counted,
    statuses: Vec<(u16, u64)>,
    latencies: Vec<(u16, u64)>,
    seen: Option<SeenWritten>,
}

type HourBefore6<T> = HourWritten<CountsBefore6<T>>;

impl<T: Into<Totals>> From<HourBefore6<T>> for HourWritten {
    fn from(hour: HourBefore6<T>) -> Self {
        let slots = hour.slots.into_iter();
        Self {
            hour: hour.hour,
            labels: hour.labels,
            slots: slots
                .map(|(minute, rank, counts)| (minute, rank, counts.into()))
                .collect(),
        }
    }
}

impl<T: Into<Totals>> From<SumBefore6<T>> for SumWritten {
    fn from(sum: SumBefore6<T>) -> Self {
        let quarters = sum.quarters.into_iter();
        Self {
            labels: sum.labels,
            rank: sum.rank,
            counts: sum.counts.into(),
            quarters: quarters
                .map(|(quarter, totals)| (quarter, totals.into()))
                .collect(),
            users: sum.users,
            unreported: sum.unreported,
            repeats: sum.repeats,
            amounts: Vec::new(),
        }
    }
}

impl<T: Into<Totals>> From<CountsBefore6<T>> for CountsWritten {
    fn from(counts: CountsBefore6<T>) -> Self {
        Self {
            totals: counts.totals.into(),
            methods: counts.methods,
            endpoints: counts.endpoints,
            statuses: counts.statuses,
            latencies: counts.latencies,
            seen: counts.seen,
            meters: Vec::new(),
        }
    }
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

    /// There are few plans, meters and values of dimensions, so each keeps its own number.
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

    /// Folds bound the dimensions of slots. An hour without any is written as if there were none:
    /// it costs nothing more, and earlier releases read it.
    fn encoded(&self, told: Option<BTreeSet<&str>>) -> Result<Vec<u8>, StateError> {
        let mut labels = Labels::of(told);
        let mut hour = self.written(&mut labels);
        let slots = self.slots.iter();
        let slots = slots.map(|(minute, slot)| (*minute, &slot.counts.tally.dimensions));
        let slots = slots.filter(|(_, dimensions)| !dimensions.is_empty());
        let dimensions: Vec<_> = slots
            .map(|(minute, dimensions)| (minute, labels.dimensions(dimensions)))
            .collect();
        hour.labels = labels.names;
        if dimensions.is_empty() {
            return state::encode(&hour);
        }
        state::encode_labelled(&LabelledHour { hour, dimensions })
    }

    /// Reads what [`Self::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        let LabelledHour {
            hour:
                HourWritten {
                    hour,
                    labels,
                    slots,
                },
            dimensions,
        } = match state::decode_labelled(bytes) {
            Some(labelled) => labelled?,
            None => LabelledHour {
                hour: state::decode_since::<
                    HourBefore6<TotalsOfFormat4>,
                    HourBefore6<Totals>,
                    HourWritten,
                >(bytes)?,
                dimensions: Vec::new(),
            },
        };
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
    /// its dimensions are bounded.
    pub fn encode(&self) -> Result<Vec<u8>, StateError> {
        let dimensions = dimension::bounded(&self.counts.tally.dimensions);
        let bytes = self.encoded(None, &dimensions)?;
        if bytes.len() <= LARGEST_STATE {
            return Ok(bytes);
        }
        self.encoded(Some(first_labels([&self.counts])), &dimensions)
    }

    fn encoded(
        &self,
        told: Option<BTreeSet<&str>>,
        dimensions: &Dimensions,
    ) -> Result<Vec<u8>, StateError> {
        let mut labels = Labels::of(told);
        let mut sum = self.written(&mut labels);
        let dimensions = labels.dimensions(dimensions);
        sum.labels = labels.names;
        if dimensions.is_empty() {
            return state::encode(&sum);
        }
        state::encode_labelled(&LabelledSum { sum, dimensions })
    }

    /// Reads what [`Self::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        let LabelledSum {
            sum: written,
            dimensions,
        } = match state::decode_labelled(bytes) {
            Some(labelled) => labelled?,
            None => LabelledSum {
                sum: state::decode_since::<SumBefore6<TotalsOfFormat4>, SumBefore6<Totals>, _>(
                    bytes,
                )?,
                dimensions: Vec::new(),
            },
        };
        let inconsistent = || StateError::Inconsistent { bytes: bytes.len() };
        let labels = &written.labels;
        let amounts = written.amounts.into_iter();
        let amounts = amounts.map(|(quarter, amounts)| Some((quarter, named(labels, amounts)?)));
        let amounts = amounts.collect::<Option<_>>().ok_or_else(inconsistent)?;
        let dimensions = read_dimensions(labels, dimensions).ok_or_else(inconsistent)?;
        let counts = written.counts.read(labels, UnixMillis(0));
        let mut counts = counts.ok_or_else(inconsistent)?;
        counts.tally.dimensions = dimensions;
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
