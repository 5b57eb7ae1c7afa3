//! The usual count of an hour, derived from the same hour of other days: pure arithmetic.
//!
//! The usual count is the median of comparable hours; the scatter is their median distance from it.
//! Medians tolerate a few odd hours among them. An hour is odd if it is off by more than `SCATTERS`
//! times the scatter; the scatter is at least what chance alone gives such a count.

/// Hours in a day and in a week.
const DAY: usize = 24;
const WEEK: usize = 7 * DAY;
/// How many times the scatter a count must be off to be odd.
const SCATTERS: u64 = 5;
/// Counts that differ by less are never odd.
const LEAST: u64 = 10;
/// The fewest comparable hours from which to judge.
const FEWEST: usize = 3;

/// The usual range of a count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usual {
    /// The median.
    pub expected: u64,
    /// A lower count is odd.
    pub low: u64,
    /// A higher count is odd.
    pub high: u64,
}

impl Usual {
    /// The usual range at `position` of `counts`, by the hours before it; `None` if they are too
    /// few.
    ///
    /// Comparable are the hours at the same time of the week, and their neighbours, in the four
    /// weeks before. With less than two weeks of history, the same hour of each day is comparable.
    pub fn at(counts: &[u64], position: usize) -> Option<Self> {
        let weeks = (1..=4).filter_map(|weeks| position.checked_sub(weeks * WEEK));
        let by_week: Vec<usize> = weeks
            .flat_map(|same| [same.checked_sub(1), Some(same), Some(same + 1)])
            .flatten()
            .collect();
        let days = (1..=14).filter_map(|days| position.checked_sub(days * DAY));
        let comparable: Vec<usize> = if by_week.len() > FEWEST {
            by_week
        } else {
            days.collect()
        };
        let comparable = comparable
            .into_iter()
            .filter_map(|at| counts.get(at).copied());
        Self::of(&comparable.collect::<Vec<_>>())
    }

    fn of(comparable: &[u64]) -> Option<Self> {
        if comparable.len() < FEWEST {
            return None;
        }
        let expected = median(comparable.to_vec())?;
        let distances = comparable.iter().map(|count| count.abs_diff(expected));
        // A standard deviation is 1.48 times the median distance.
        let scatter = median(distances.collect())?.saturating_mul(148) / 100;
        let scatter = scatter.max(expected.isqrt()).max(1);
        let off = scatter.saturating_mul(SCATTERS).max(LEAST);
        Some(Self {
            expected,
            low: expected.saturating_sub(off),
            high: expected.saturating_add(off),
        })
    }

    /// Whether a count is above the usual range.
    pub const fn is_above(&self, count: u64) -> bool {
        count > self.high
    }

    /// Whether a count is below the usual range.
    pub const fn is_below(&self, count: u64) -> bool {
        count < self.low
    }
}

fn median(mut counts: Vec<u64>) -> Option<u64> {
    counts.sort_unstable();
    counts.get(counts.len() / 2).copied()
}

#[cfg(test)]
mod tests;
