//! Future usage if calls go on as before: pure arithmetic over the calls of past days.
//!
//! A day is expected to have the level of the last two weeks times the pattern of the week. The
//! interval derives from how far past days were off the pattern, from how uncertain the level
//! itself is, and from how far it moved in the two weeks before; it claims [`CONFIDENCE_PERCENT`].
//! All arithmetic uses whole numbers, in thousandths of a call.

/// How many percent of possible outcomes the interval covers.
pub const CONFIDENCE_PERCENT: u8 = 80;
/// Half the width of such an interval in standard deviations, in hundredths.
const DEVIATIONS: u128 = 128;
/// Past days to consider: eight weeks.
pub const DAYS: usize = 56;
/// Days that determine the level.
const LEVEL_DAYS: usize = 14;
/// Days from which a pattern of the week is determined.
const PATTERN_DAYS: usize = 21;
const THOUSAND: u128 = 1_000;

/// One day in the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Day {
    /// 0 to 6; which day is 0 does not matter.
    pub weekday: u8,
    /// Accepted calls.
    pub calls: u64,
}

/// A future day, or the rest of today.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// 0 to 6, as in [`Day::weekday`].
    pub weekday: u8,
    /// How much of the day remains, in thousandths.
    pub left: u16,
}

/// The expected number of calls and its interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Expected {
    /// Most likely.
    pub calls: u64,
    /// Lower end, with the claimed confidence.
    pub low: u64,
    /// Upper end, likewise.
    pub high: u64,
}

/// The outlook that past days give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outlook {
    /// Calls of each weekday, in thousandths.
    weekdays: [u128; 7],
    /// Square of how far a day is off, in calls.
    variance: u128,
    /// Square of how far the level is off, in calls.
    level_variance: u128,
}

impl Outlook {
    /// The outlook after `days`, oldest first; `None` if there is no day since the first call.
    pub fn after(days: &[Day]) -> Option<Self> {
        let days: Vec<Day> = days
            .iter()
            .copied()
            .skip_while(|day| day.calls == 0)
            .collect();
        let days = days.get(days.len().saturating_sub(DAYS)..)?;
        let mean = mean(days.iter())?;
        let recent = days.get(days.len().saturating_sub(LEVEL_DAYS)..)?;
        let level = self::mean(recent.iter())?;
        let of = |weekday: u8| {
            let pattern = self::mean(days.iter().filter(|day| day.weekday == weekday));
            let pattern = pattern.filter(|_| days.len() >= PATTERN_DAYS && mean > 0);
            pattern.unwrap_or(mean)
        };
        let patterns: [u128; 7] =
            std::array::from_fn(|weekday| of(u8::try_from(weekday).unwrap_or(0)));
        let off = |day: &Day| {
            let pattern = patterns
                .get(usize::from(day.weekday))
                .copied()
                .unwrap_or(mean);
            let off = (u128::from(day.calls) * THOUSAND).abs_diff(pattern) / THOUSAND;
            off.saturating_mul(off)
        };
        let squares = days.iter().map(off).fold(0, u128::saturating_add);
        // Each mean taken from these days uses up one degree of freedom.
        let means = if days.len() >= PATTERN_DAYS { 7 } else { 1 };
        let others = (days.len() as u128).saturating_sub(means).max(1);
        // Even a steady user does not make the same number of calls every day.
        let variance = (squares / others).max(level / THOUSAND);
        let before = days.len().saturating_sub(LEVEL_DAYS);
        let before = days.get(before.saturating_sub(LEVEL_DAYS)..before)?;
        let moved = self::mean(before.iter()).map_or(0, |before| level.abs_diff(before) / THOUSAND);
        Some(Self {
            weekdays: patterns
                .map(|pattern| level.saturating_mul(pattern).checked_div(mean).unwrap_or(0)),
            variance,
            level_variance: variance / recent.len() as u128 + moved.saturating_mul(moved) / 2,
        })
    }

    /// Expected calls of future days.
    pub fn over(&self, parts: &[Part]) -> Expected {
        let left: u128 = parts.iter().map(|part| u128::from(part.left)).sum();
        let calls = parts.iter().map(|part| {
            let whole = self.weekdays.get(usize::from(part.weekday)).copied();
            whole.unwrap_or(0) * u128::from(part.left)
        });
        let calls = calls.sum::<u128>() / (THOUSAND * THOUSAND);
        // Each day is off independently; the error of the level is common to all of them.
        let of_days = self.variance.saturating_mul(left) / THOUSAND;
        let of_level = self
            .level_variance
            .saturating_mul(left)
            .saturating_mul(left);
        let variance = of_days.saturating_add(of_level / (THOUSAND * THOUSAND));
        let off = variance.isqrt() * DEVIATIONS / 100;
        let whole = |number: u128| u64::try_from(number).unwrap_or(u64::MAX);
        Expected {
            calls: whole(calls),
            low: whole(calls.saturating_sub(off)),
            high: whole(calls + off),
        }
    }
}

/// The mean calls of some days, in thousandths.
fn mean<'a>(days: impl Iterator<Item = &'a Day>) -> Option<u128> {
    let (mut sum, mut count) = (0, 0);
    for day in days {
        sum += u128::from(day.calls) * THOUSAND;
        count += 1;
    }
    u128::checked_div(sum, count)
}

#[cfg(test)]
mod tests;
