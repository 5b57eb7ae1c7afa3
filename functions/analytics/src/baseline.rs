//! What an hour's count usually is, from the same hour of other days: pure arithmetic.
//!
//! The usual count is the median of comparable hours, and how far they scatter their median distance from
//! it. Medians do not mind a few odd hours among them. An hour is odd if it is beyond
//! `SCATTERS` times the scatter; the scatter is at least what chance alone makes of such a count.

/// Hours in a day and in a week.
const DAY: usize = 24;
const WEEK: usize = 7 * DAY;
/// How many times the scatter a count must be off.
const SCATTERS: u64 = 5;
/// Counts that differ by less are never odd.
const LEAST: u64 = 10;
/// Comparable hours without which nothing is said.
const FEWEST: usize = 3;

/// What is usual.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usual {
    /// The median.
    pub expected: u64,
    /// Less is odd.
    pub low: u64,
    /// More is odd.
    pub high: u64,
}

impl Usual {
    /// What is usual at `position` of `counts`, by the hours before it; `None` where they are too few.
    ///
    /// Comparable are the hours of the same time of the week, and their neighbours, in the four weeks
    /// before. Where there are not two weeks, the same hour of each day.
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

    /// Whether so much is more than usual.
    pub const fn is_above(&self, count: u64) -> bool {
        count > self.high
    }

    /// Whether so little is less than usual.
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
