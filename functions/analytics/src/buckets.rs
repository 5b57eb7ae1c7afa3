//! The buckets of a time series: minutes, hours by the clock and days by the calendar of a time
//! zone, consecutive and without gaps.
//!
//! Buckets follow the clock: the day on which clocks go forward has 23 hours.

use std::collections::BTreeSet;

use domain::time::{UnixMillis, Window};
use jiff::tz::TimeZone;

use crate::body::Granularity;

/// The most buckets per series.
pub const MOST: usize = 1_500;

const HOUR: i64 = 3_600_000;

/// The series would have too many buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany;

/// Buckets, oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buckets {
    /// Starts of the buckets, and the end of the last one.
    edges: Vec<UnixMillis>,
}

impl Granularity {
    /// The start of the bucket that contains `at`.
    pub fn start(self, at: UnixMillis, zone: &TimeZone) -> UnixMillis {
        match self {
            // Every offset in use is a whole number of minutes.
            Self::Minute => Window::Minute.start(at),
            Self::Hour => {
                let turned = zone.preceding(next_second(at)).next();
                let turned = turned.map(|turn| UnixMillis::from(turn.timestamp()));
                let hour = at.plus_millis(-into_hour(at, zone));
                turned.map_or(hour, |turned| hour.max(turned))
            }
            Self::Day => {
                let day = at.timestamp().to_zoned(zone.clone()).start_of_day();
                day.map_or(Window::Day.start(at), |day| day.timestamp().into())
            }
        }
    }

    /// The start of the bucket after the one that contains `at`.
    pub fn next(self, at: UnixMillis, zone: &TimeZone) -> UnixMillis {
        match self {
            Self::Minute => Window::Minute.end(at),
            Self::Hour => {
                let turns = zone.following(at.timestamp()).next();
                let turns = turns.map(|turn| UnixMillis::from(turn.timestamp()));
                let hour = at.plus_millis(HOUR - into_hour(at, zone));
                turns.map_or(hour, |turns| hour.min(turns))
            }
            Self::Day => {
                let date = at.timestamp().to_zoned(zone.clone()).date();
                let tomorrow = date.tomorrow().and_then(|date| date.to_zoned(zone.clone()));
                tomorrow.map_or(Window::Day.end(at), |day| day.timestamp().into())
            }
        }
    }
}

/// How far into its hour the clock of `zone` is.
fn into_hour(at: UnixMillis, zone: &TimeZone) -> i64 {
    let offset = i64::from(zone.to_offset(at.timestamp()).seconds()) * 1000;
    (at.0 + offset).rem_euclid(HOUR)
}

/// Time zones change at whole seconds: a change at `at` itself is before this instant.
fn next_second(at: UnixMillis) -> jiff::Timestamp {
    UnixMillis::from_seconds(at.seconds() + 1).timestamp()
}

impl Buckets {
    /// The buckets from the one that contains `from` to the one that ends at or after `to`.
    pub fn covering(
        from: UnixMillis,
        to: UnixMillis,
        granularity: Granularity,
        zone: &TimeZone,
    ) -> Result<Self, TooMany> {
        let mut edge = granularity.start(from, zone);
        let mut edges = vec![edge];
        while edge < to {
            edge = granularity.next(edge, zone);
            edges.push(edge);
            if edges.len() > MOST + 1 {
                return Err(TooMany);
            }
        }
        Ok(Self { edges })
    }

    /// Number of buckets.
    pub fn len(&self) -> usize {
        self.edges.len().saturating_sub(1)
    }

    /// Whether there are no buckets.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Start of the first bucket.
    pub fn from(&self) -> UnixMillis {
        self.edges.first().copied().unwrap_or_default()
    }

    /// End of the last bucket.
    pub fn to(&self) -> UnixMillis {
        self.edges.last().copied().unwrap_or_default()
    }

    /// Start and end of each bucket.
    pub fn spans(&self) -> impl Iterator<Item = (UnixMillis, UnixMillis)> {
        let ends = self.edges.iter().skip(1);
        self.edges.iter().copied().zip(ends.copied())
    }

    /// The position of the bucket that contains `at`.
    pub fn position(&self, at: UnixMillis) -> Option<usize> {
        let after = self.edges.partition_point(|edge| *edge <= at);
        after
            .checked_sub(1)
            .filter(|position| *position < self.len())
    }

    /// The position of the bucket that contains all of `window` from `start`.
    pub fn holding(&self, window: Window, start: UnixMillis) -> Option<usize> {
        let last = window.end(start).plus_millis(-1);
        let position = self.position(start)?;
        (self.position(last) == Some(position)).then_some(position)
    }

    /// Whether some bucket is exactly `window` from `start`.
    pub fn is_window(&self, window: Window, start: UnixMillis) -> bool {
        let has = |edge: UnixMillis| self.edges.binary_search(&edge);
        match (has(start), has(window.end(start))) {
            (Ok(one), Ok(other)) => one + 1 == other,
            _ => false,
        }
    }

    /// The windows of UTC that do not lie entirely in one bucket: only smaller parts fill buckets
    /// exactly.
    pub fn cut(&self, window: Window) -> BTreeSet<UnixMillis> {
        let edges = self.edges.iter();
        edges
            .map(|edge| (window.start(*edge), *edge))
            .filter(|(start, edge)| start < edge)
            .map(|(start, _)| start)
            .collect()
    }

    /// Whether every edge falls on a quarter hour.
    pub fn are_of_quarters(&self) -> bool {
        self.edges.iter().all(|edge| edge.0 % (HOUR / 4) == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::plan::time_zone;
    use proptest::prelude::*;
    use proptest::sample::select;

    fn at(text: &str) -> UnixMillis {
        text.parse().unwrap()
    }

    fn edges(from: &str, to: &str, granularity: Granularity, zone: &str) -> Vec<String> {
        let zone = time_zone(zone).unwrap();
        let buckets = Buckets::covering(at(from), at(to), granularity, &zone).unwrap();
        buckets.edges.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_range_is_widened_to_whole_buckets() {
        assert_eq!(
            edges(
                "2026-11-22T16:04:05Z",
                "2026-11-22T17:00:00.001Z",
                Granularity::Hour,
                "UTC"
            ),
            [
                "2026-11-22T16:00:00Z",
                "2026-11-22T17:00:00Z",
                "2026-11-22T18:00:00Z"
            ],
        );
        assert_eq!(
            edges(
                "2026-11-22T16:00:00Z",
                "2026-11-22T17:00:00Z",
                Granularity::Hour,
                "UTC"
            ),
            ["2026-11-22T16:00:00Z", "2026-11-22T17:00:00Z"],
        );
    }

    #[test]
    fn days_and_hours_begin_by_the_zones_own_clock() {
        assert_eq!(
            edges(
                "2026-11-22T19:00:00Z",
                "2026-11-23T19:00:00Z",
                Granularity::Day,
                "Asia/Kolkata"
            ),
            [
                "2026-11-22T18:30:00Z",
                "2026-11-23T18:30:00Z",
                "2026-11-24T18:30:00Z"
            ],
        );
        assert_eq!(
            edges(
                "2026-11-22T19:00:00Z",
                "2026-11-22T19:30:00Z",
                Granularity::Hour,
                "Asia/Kathmandu"
            ),
            [
                "2026-11-22T18:15:00Z",
                "2026-11-22T19:15:00Z",
                "2026-11-22T20:15:00Z"
            ],
        );
    }

    #[test]
    fn days_on_which_clocks_change_are_shorter_or_longer() {
        assert_eq!(
            edges(
                "2026-03-28T12:00:00Z",
                "2026-03-29T12:00:00Z",
                Granularity::Day,
                "Europe/Berlin"
            ),
            [
                "2026-03-27T23:00:00Z",
                "2026-03-28T23:00:00Z",
                "2026-03-29T22:00:00Z"
            ],
        );
        assert_eq!(
            edges(
                "2026-10-25T12:00:00Z",
                "2026-10-25T13:00:00Z",
                Granularity::Day,
                "Europe/Berlin"
            ),
            ["2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"],
        );
    }

    /// Lord Howe's clocks change by half an hour: 2026-10-04, 02:00 +10:30 becomes 02:30 +11:00.
    #[test]
    fn an_hour_in_which_clocks_change_by_half_an_hour_is_half_as_long() {
        let whole = edges(
            "2026-10-03T14:30:00Z",
            "2026-10-03T17:00:00Z",
            Granularity::Hour,
            "Australia/Lord_Howe",
        );
        assert_eq!(
            whole,
            [
                "2026-10-03T14:30:00Z",
                "2026-10-03T15:30:00Z",
                "2026-10-03T16:00:00Z",
                "2026-10-03T17:00:00Z"
            ],
        );
        let inside = edges(
            "2026-10-03T15:45:00Z",
            "2026-10-03T15:50:00Z",
            Granularity::Hour,
            "Australia/Lord_Howe",
        );
        assert_eq!(inside, ["2026-10-03T15:30:00Z", "2026-10-03T16:00:00Z"]);
    }

    #[test]
    fn a_series_has_at_most_1500_buckets() {
        let utc = TimeZone::UTC;
        let minutes = |count: i64| {
            let from = at("2026-11-22T00:00:00Z");
            let to = from.plus_millis(count * 60_000);
            Buckets::covering(from, to, Granularity::Minute, &utc).map(|buckets| buckets.len())
        };
        assert_eq!(minutes(1_500), Ok(1_500));
        assert_eq!(minutes(1_501), Err(TooMany));
        let ages = Buckets::covering(
            UnixMillis(0),
            at("9999-12-30T00:00:00Z"),
            Granularity::Day,
            &utc,
        );
        assert_eq!(ages, Err(TooMany));
        let end = at("9999-12-30T22:00:00Z");
        let last = Buckets::covering(end.plus_millis(-1), end, Granularity::Minute, &utc).unwrap();
        assert_eq!(last.len(), 1);
    }

    #[test]
    fn hours_cut_by_an_edge_are_known() {
        let zone = time_zone("Asia/Kolkata").unwrap();
        let (from, to) = (at("2026-11-21T18:30:00Z"), at("2026-11-22T18:30:00Z"));
        let days = Buckets::covering(from, to, Granularity::Day, &zone).unwrap();
        let cut: Vec<String> = days
            .cut(Window::Hour)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(cut, ["2026-11-21T18:00:00Z", "2026-11-22T18:00:00Z"]);
        let utc = Buckets::covering(from, to, Granularity::Day, &TimeZone::UTC).unwrap();
        assert!(utc.cut(Window::Hour).is_empty());
    }

    proptest! {
        #[test]
        fn buckets_follow_one_another_and_hold_the_range(
            from in 1_700_000_000_000_i64..1_900_000_000_000,
            length in 0_i64..400_000_000,
            granularity in select(vec![Granularity::Hour, Granularity::Day]),
            zone in select(vec!["UTC", "Asia/Kolkata", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Chatham"]),
        ) {
            let zone = time_zone(zone).unwrap();
            let (from, to) = (UnixMillis(from), UnixMillis(from + length));
            let buckets = Buckets::covering(from, to, granularity, &zone).unwrap();
            prop_assert!(buckets.edges.is_sorted_by(|one, next| one < next));
            prop_assert!(buckets.from() <= from && to <= buckets.to());
            prop_assert!(buckets.are_of_quarters());
            for (start, end) in buckets.spans() {
                prop_assert_eq!(granularity.start(start, &zone), start);
                prop_assert_eq!(granularity.start(end.plus_millis(-1), &zone), start);
                let longest = if granularity == Granularity::Hour { HOUR } else { 25 * HOUR };
                prop_assert!(end.since(start) <= longest);
            }
            for (position, (start, _)) in buckets.spans().enumerate() {
                prop_assert_eq!(buckets.position(start), Some(position));
                prop_assert_eq!(buckets.position(start.plus_millis(-1)), position.checked_sub(1));
            }
            prop_assert_eq!(buckets.position(buckets.to()), None);
        }
    }
}
