//! Write and read units that DynamoDB bills, as measured by benchmark B4.

/// Units per 1,000 calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Units {
    pub(super) writes: u64,
    pub(super) reads: u64,
}

/// How events reach the journal, and how often it is folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Over the stream in windows of ten seconds, folded every minute.
    Minute,
    /// Over the stream, folded every ten seconds.
    TenSeconds,
    /// One by one, folded every minute.
    OneByOne,
    /// One by one, folded every ten seconds.
    OneByOneTenSeconds,
}

/// A measurement: 1,000 users by Zipf's law with the exponent 1.1, both tracks.
struct Point {
    /// Calls per month at the measured rate.
    calls: u64,
    units: Units,
}

const fn point(calls: u64, writes: u64, reads: u64) -> Point {
    let units = Units { writes, reads };
    Point { calls, units }
}

/// W5 and W3 of `cargo xtask bench B4`, measured on 2026-11-27.
const MINUTE: [Point; 2] = [point(10_000_000, 843, 341), point(259_200_000, 279, 102)];
/// W5 with a fold window of 10 s.
const TEN_SECONDS: [Point; 1] = [point(10_000_000, 1_378, 640)];
/// W6.
const ONE_BY_ONE: [Point; 1] = [point(10_000_000, 1_760, 559)];
/// Not measured: W6, plus what the shorter window adds to W5.
const ONE_BY_ONE_TEN_SECONDS: [Point; 1] = [point(10_000_000, 2_295, 858)];

/// The units of this many calls per month.
///
/// Between two measured rates the monthly units are interpolated; below the first and above the
/// last, their units per call apply. Units per call fall as calls rise, so above the last this is
/// an upper bound.
pub(super) fn of_month(way: Way, calls: u64) -> Units {
    let points: &[Point] = match way {
        Way::Minute => &MINUTE,
        Way::TenSeconds => &TEN_SECONDS,
        Way::OneByOne => &ONE_BY_ONE,
        Way::OneByOneTenSeconds => &ONE_BY_ONE_TEN_SECONDS,
    };
    let above = points.iter().position(|point| calls <= point.calls);
    let above = above.unwrap_or(points.len());
    let below = above.checked_sub(1).and_then(|at| points.get(at));
    match (below, points.get(above)) {
        (Some(below), Some(above)) => between(below, above, calls),
        (Some(only), None) | (None, Some(only)) => only.units,
        (None, None) => Units {
            writes: 0,
            reads: 0,
        },
    }
}

fn between(below: &Point, above: &Point, calls: u64) -> Units {
    let of = |get: fn(Units) -> u64| {
        let total = |point: &Point| u128::from(point.calls) * u128::from(get(point.units));
        let (low, high) = (total(below), total(above));
        let into = u128::from(calls.saturating_sub(below.calls));
        let span = u128::from(above.calls.saturating_sub(below.calls)).max(1);
        let month = low + high.saturating_sub(low) * into / span;
        u64::try_from(month.div_ceil(u128::from(calls.max(1)))).unwrap_or(u64::MAX)
    };
    Units {
        writes: of(|units| units.writes),
        reads: of(|units| units.reads),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writes(calls: u64) -> u64 {
        of_month(Way::Minute, calls).writes
    }

    #[test]
    fn measured_rates_are_met_and_others_lie_between() {
        assert_eq!((writes(10_000_000), writes(259_200_000)), (843, 279));
        assert_eq!((writes(1_000), writes(1_000_000_000)), (843, 279));
        // 8,430,000 units, and 90/249.2 of the 63,886,800 to the next point: 31,502,793.
        assert_eq!(writes(100_000_000), 316);
    }

    #[test]
    fn more_calls_never_cost_less_in_all() {
        let months = (1..=400).map(|millions| millions * 1_000_000);
        let totals: Vec<u64> = months.map(|calls| calls * writes(calls)).collect();
        // Only rounding up per thousand calls can lower it.
        assert!(
            totals
                .windows(2)
                .all(|pair| pair[1] + 1_000_000_000 > pair[0])
        );
    }
}
