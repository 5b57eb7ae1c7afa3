//! Reads what earlier releases stored.

use serde::{Deserialize, Serialize};

use super::{
    Counted, CountsWritten, HourWritten, LabelledHour, LabelledSum, SeenWritten, SumWritten,
};
use crate::state::{self, StateError};
use crate::tally::Totals;

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

impl LabelledHour {
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        if let Some(labelled) = state::decode_as(state::LABELLED, bytes) {
            return labelled;
        }
        let hour =
            state::decode_since::<HourBefore6<TotalsOfFormat4>, HourBefore6<Totals>, _>(bytes);
        Ok(Self {
            hour: hour?,
            dimensions: Vec::new(),
        })
    }
}

impl LabelledSum {
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        if let Some(labelled) = state::decode_as(state::LABELLED, bytes) {
            return labelled;
        }
        let sum = state::decode_since::<SumBefore6<TotalsOfFormat4>, SumBefore6<Totals>, _>(bytes);
        Ok(Self {
            sum: sum?,
            dimensions: Vec::new(),
        })
    }
}
