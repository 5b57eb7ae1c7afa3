//! Responses to accepted calls, as the gateway's access log reports them: status and latency.
//!
//! Latencies are kept in a log-linear histogram of whole numbers: below 32 ms each value has its
//! own bucket; above, each power of two is divided into 16 buckets. A percentile is therefore exact
//! below 32 ms and off by at most one part in 32 above. Only non-empty buckets are stored, some
//! three bytes each.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Buckets of one power of two, as a power of two.
const BITS: u32 = 4;
/// Buckets of one power of two.
const BUCKETS: u32 = 1 << BITS;

/// The response to one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// Milliseconds from the request to its response; `None` if the gateway does not report it.
    pub latency: Option<u32>,
}

/// The responses to calls.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Responses {
    /// Calls by HTTP status.
    pub statuses: BTreeMap<u16, u64>,
    /// Their latency in milliseconds.
    pub latency: Histogram,
}

impl Responses {
    /// Counts one response.
    pub fn count(&mut self, response: Response) {
        *self.statuses.entry(response.status).or_default() += 1;
        if let Some(millis) = response.latency {
            self.latency.record(millis);
        }
    }

    /// Adds the counts of `other`.
    pub fn merge(&mut self, other: &Self) {
        for (status, count) in &other.statuses {
            *self.statuses.entry(*status).or_default() += count;
        }
        self.latency.merge(&other.latency);
    }
}

impl<'a> FromIterator<&'a Responses> for Responses {
    fn from_iter<I: IntoIterator<Item = &'a Responses>>(responses: I) -> Self {
        let mut sum = Self::default();
        for other in responses {
            sum.merge(other);
        }
        sum
    }
}

/// Whole numbers by bucket; each bucket is as wide as a sixteenth of the power of two below it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Histogram {
    buckets: BTreeMap<u16, u64>,
}

impl Histogram {
    /// Adds one value.
    pub fn record(&mut self, value: u32) {
        *self.buckets.entry(bucket_of(value)).or_default() += 1;
    }

    /// Adds all values of `other`.
    pub fn merge(&mut self, other: &Self) {
        for (bucket, count) in &other.buckets {
            *self.buckets.entry(*bucket).or_default() += count;
        }
    }

    /// The non-empty buckets with their numbers of values, in order.
    pub fn buckets(&self) -> impl Iterator<Item = (u16, u64)> {
        self.buckets.iter().map(|(bucket, count)| (*bucket, *count))
    }

    /// Adds values to a bucket.
    pub fn add(&mut self, bucket: u16, count: u64) {
        *self.buckets.entry(bucket).or_default() += count;
    }

    /// Number of values.
    pub fn count(&self) -> u64 {
        self.buckets.values().sum()
    }

    /// The value that `percent` of a hundred do not exceed, exact below 32 and off by at most one
    /// part in 32 above; `None` if there are no values.
    pub fn percentile(&self, percent: u8) -> Option<u64> {
        let wanted = (u128::from(self.count()) * u128::from(percent)).div_ceil(100);
        let mut passed = 0_u128;
        for (bucket, count) in &self.buckets {
            passed += u128::from(*count);
            if passed >= wanted.max(1) {
                return Some(middle_of(*bucket));
            }
        }
        None
    }
}

fn bucket_of(value: u32) -> u16 {
    let shift = (value | 1).ilog2().saturating_sub(BITS);
    // At most 27 · 16 + 31.
    u16::try_from(shift * BUCKETS + (value >> shift)).unwrap_or(u16::MAX)
}

/// The value in the middle of a bucket, rounded down.
fn middle_of(bucket: u16) -> u64 {
    let bucket = u64::from(bucket);
    let buckets = u64::from(BUCKETS);
    let shift = (bucket / buckets).saturating_sub(1).min(32);
    let lowest = (bucket - shift * buckets) << shift;
    lowest + ((1 << shift) - 1) / 2
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use proptest::prelude::*;

    /// The oracle: the value at that rank of all of them in order.
    fn exact(values: &[u32], percent: u8) -> u64 {
        let mut sorted = values.to_vec();
        sorted.sort_unstable();
        let rank = (sorted.len() * usize::from(percent)).div_ceil(100).max(1);
        u64::from(sorted[rank - 1])
    }

    fn histogram(values: &[u32]) -> Histogram {
        let mut histogram = Histogram::default();
        for value in values {
            histogram.record(*value);
        }
        histogram
    }

    fn value() -> impl Strategy<Value = u32> {
        (0_u32..=31).prop_flat_map(|power| 0..=u32::MAX >> power)
    }

    proptest! {
        #[test]
        fn a_percentile_is_at_most_a_part_in_32_off(
            values in proptest::collection::vec(value(), 1..200), percent in 1_u8..=100,
        ) {
            let exact = exact(&values, percent);
            let found = histogram(&values).percentile(percent).unwrap();
            prop_assert!(found.abs_diff(exact) * 32 <= exact, "{} for {}", found, exact);
        }

        #[test]
        fn merged_is_as_if_taken_by_one(
            one in proptest::collection::vec(value(), 0..50),
            other in proptest::collection::vec(value(), 0..50),
        ) {
            let mut merged = histogram(&one);
            merged.merge(&histogram(&other));
            prop_assert_eq!(merged.count(), (one.len() + other.len()) as u64);
            let both: Vec<u32> = one.into_iter().chain(other).collect();
            prop_assert_eq!(merged, histogram(&both));
        }
    }

    #[test]
    fn small_values_are_exact_and_the_greatest_has_a_bucket() {
        for value in 0..32 {
            assert_eq!(histogram(&[value]).percentile(50), Some(u64::from(value)));
        }
        assert_eq!(bucket_of(u32::MAX), 27 * 16 + 31);
        assert_eq!(Histogram::default().percentile(99), None);
    }

    #[test]
    fn buckets_follow_each_other_without_a_gap() {
        let mut last = 0;
        for value in 0..100_000 {
            let bucket = bucket_of(value);
            assert!(bucket == last || bucket == last + 1, "{value}");
            last = bucket;
        }
    }

    #[test]
    fn the_middle_of_a_bucket_is_rounded_down() {
        assert_eq!(bucket_of(32), bucket_of(33));
        assert_eq!(histogram(&[33]).percentile(50), Some(32));
        assert_eq!(histogram(&[64]).percentile(50), Some(65));
    }

    #[test]
    fn responses_add_up() {
        let of = |given: &[(u16, Option<u32>)]| {
            let mut responses = Responses::default();
            for (status, latency) in given.iter().copied() {
                responses.count(Response { status, latency });
            }
            responses
        };
        let one = of(&[(200, Some(7)), (200, Some(8))]);
        let other = of(&[(200, Some(9)), (504, None)]);
        let sum: Responses = [&one, &other].into_iter().collect();
        assert_eq!(sum.statuses, BTreeMap::from([(200, 3), (504, 1)]));
        assert_eq!(sum.latency.count(), 3);
    }

    #[test]
    fn statuses_are_counted_and_an_unknown_latency_is_none() {
        let mut responses = Responses::default();
        for (status, latency) in [(200, Some(7)), (200, None), (504, Some(29_000))] {
            responses.count(Response { status, latency });
        }
        assert_eq!(responses.statuses, BTreeMap::from([(200, 2), (504, 1)]));
        assert_eq!(responses.latency.count(), 2);
    }
}
