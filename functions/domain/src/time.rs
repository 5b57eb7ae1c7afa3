//! Instants, and the windows of counts, all in UTC.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};
use serde::{Deserialize, Serialize, Serializer};

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct UnixMillis(pub i64);

/// Serialises an instant as RFC 3339, for documents that people read:
/// `#[serde(serialize_with = "rfc3339")]`.
///
/// # Errors
///
/// If the serialiser refuses the text.
pub fn rfc3339<S: Serializer>(at: &UnixMillis, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(at)
}

/// The last instant that has a four-digit year in every time zone, 9999-12-30T22:00:00Z: the latest
/// that [`Timestamp`] supports.
const LAST: i64 = 253_402_207_200_000;

/// A text that is not an RFC 3339 instant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected an RFC 3339 time such as `2026-11-22T16:04:05Z`, found `{text}`")]
pub struct NotATime {
    text: String,
}

impl UnixMillis {
    /// The instant `seconds` after the epoch.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Whole seconds since the epoch, as a time-to-live attribute requires.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// This instant moved by `millis`, clamped to the years 1970 to 9999.
    #[must_use]
    pub fn plus_millis(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis).clamp(0, LAST))
    }

    /// This instant moved by whole days of 86,400 s.
    #[must_use]
    pub fn plus_days(self, days: i64) -> Self {
        self.plus_millis(days.saturating_mul(86_400_000))
    }

    /// Milliseconds from `earlier` to this instant; negative if `earlier` is later.
    pub const fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The minute of the hour that this instant lies in, 0 to 59.
    pub fn minute_of_hour(self) -> u8 {
        u8::try_from(self.0.div_euclid(60_000).rem_euclid(60)).unwrap_or(0)
    }

    /// The same instant for calendar arithmetic.
    pub fn timestamp(self) -> Timestamp {
        Timestamp::from_millisecond(self.0.clamp(0, LAST)).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

impl From<Timestamp> for UnixMillis {
    fn from(at: Timestamp) -> Self {
        Self(at.as_millisecond())
    }
}

impl fmt::Display for UnixMillis {
    /// RFC 3339 in UTC, with milliseconds only if there are any.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.timestamp();
        if self.0.rem_euclid(1000) == 0 {
            write!(f, "{at:.0}")
        } else {
            write!(f, "{at:.3}")
        }
    }
}

impl FromStr for UnixMillis {
    type Err = NotATime;

    fn from_str(text: &str) -> Result<Self, NotATime> {
        parse_usual(text.as_bytes())
            .or_else(|| text.parse().ok())
            .map(Self::from)
            .filter(|at| (0..=LAST).contains(&at.0))
            .ok_or_else(|| NotATime { text: text.into() })
    }
}

/// Parses a time in its display form. Every record of the stream has such a time, and the general
/// parser takes more than twice as long.
fn parse_usual(text: &[u8]) -> Option<Timestamp> {
    let (date, rest) = text.split_first_chunk()?;
    let (time, rest) = rest.split_first_chunk()?;
    let [y0, y1, y2, y3, b'-', mo0, mo1, b'-', d0, d1] = *date else {
        return None;
    };
    let [b'T', h0, h1, b':', mi0, mi1, b':', s0, s1] = *time else {
        return None;
    };
    let millis = match *rest {
        [b'Z'] => 0,
        [b'.', f0, f1, f2, b'Z'] => number([f0, f1, f2])?,
        _ => return None,
    };
    let two = |tens, ones| i8::try_from(number([tens, ones])?).ok();
    let at = DateTime::new(
        i16::try_from(number([y0, y1, y2, y3])?).ok()?,
        two(mo0, mo1)?,
        two(d0, d1)?,
        two(h0, h1)?,
        two(mi0, mi1)?,
        two(s0, s1)?,
        millis * 1_000_000,
    );
    Offset::UTC.to_timestamp(at.ok()?).ok()
}

fn number<const N: usize>(digits: [u8; N]) -> Option<i32> {
    digits.into_iter().try_fold(0, |number, digit| {
        let value = digit.is_ascii_digit().then(|| i32::from(digit - b'0'))?;
        Some(10 * number + value)
    })
}

/// A span of time for which counts are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Window {
    /// 60 seconds.
    Minute,
    /// 60 minutes.
    Hour,
    /// A day in UTC.
    Day,
    /// A calendar month in UTC.
    Month,
}

impl Window {
    /// The text form, as tables and requests carry it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
        }
    }

    /// The window that `text` names.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Minute, Self::Hour, Self::Day, Self::Month]
            .into_iter()
            .find(|window| window.as_str() == text)
    }

    /// The window's length in milliseconds; `None` for a month, whose length varies.
    pub const fn millis(self) -> Option<i64> {
        match self {
            Self::Minute => Some(60_000),
            Self::Hour => Some(3_600_000),
            Self::Day => Some(86_400_000),
            Self::Month => None,
        }
    }

    /// The start of the window that `at` lies in.
    pub fn start(self, at: UnixMillis) -> UnixMillis {
        if let Some(length) = self.millis() {
            return UnixMillis(at.0 - at.0.rem_euclid(length));
        }
        let date = at
            .timestamp()
            .to_zoned(TimeZone::UTC)
            .date()
            .first_of_month();
        start_of(date)
    }

    /// The start of the next window after the one `at` lies in.
    pub fn end(self, at: UnixMillis) -> UnixMillis {
        let start = self.start(at);
        if let Some(length) = self.millis() {
            return start.plus_millis(length);
        }
        let date = start.timestamp().to_zoned(TimeZone::UTC).date();
        date.checked_add(jiff::Span::new().months(1))
            .map_or(start, start_of)
    }

    /// The label of the window that contains `at`: `2026-11`, `2026-11-22`, `2026-11-22T16` or
    /// `2026-11-22T16:04`. Labels of one kind sort by time.
    pub fn label(self, at: UnixMillis) -> String {
        let mut label = String::with_capacity(self.label_length());
        self.push_label(at, &mut label);
        label
    }

    /// Appends the [`label`](Self::label) of the window that contains `at`. Every key of a table has
    /// one, and formatting takes several times as long.
    pub fn push_label(self, at: UnixMillis, text: &mut String) {
        let at = Offset::UTC.to_datetime(at.timestamp());
        push_two(text, u64::from(at.year().unsigned_abs()) / 100);
        push_two(text, u64::from(at.year().unsigned_abs()) % 100);
        let parts = [
            (Self::Month, '-', at.month()),
            (Self::Day, '-', at.day()),
            (Self::Hour, 'T', at.hour()),
            (Self::Minute, ':', at.minute()),
        ];
        for (window, separator, number) in parts {
            // From a month to a minute, each window is part of the one before.
            if window < self {
                break;
            }
            text.push(separator);
            push_two(text, u64::from(number.unsigned_abs()));
        }
    }

    /// Number of characters of a label.
    pub(crate) const fn label_length(self) -> usize {
        match self {
            Self::Month => 7,
            Self::Day => 10,
            Self::Hour => 13,
            Self::Minute => 16,
        }
    }

    /// The start of the window that `label` names.
    pub fn parse_label(self, label: &str) -> Option<UnixMillis> {
        if label.len() != self.label_length() {
            return None;
        }
        let mut text = *b"0000-01-01T00:00:00Z";
        text.get_mut(..label.len())?
            .copy_from_slice(label.as_bytes());
        let at = parse_usual(&text).map(UnixMillis::from)?;
        (0..=LAST).contains(&at.0).then_some(at)
    }
}

/// Appends a number below 100 as two digits.
pub(crate) fn push_two(text: &mut String, number: u64) {
    for digit in [number / 10 % 10, number % 10] {
        text.push(char::from_digit(u32::try_from(digit).unwrap_or(0), 10).unwrap_or('0'));
    }
}

fn start_of(date: jiff::civil::Date) -> UnixMillis {
    date.to_zoned(TimeZone::UTC)
        .map_or(UnixMillis(0), |start| start.timestamp().into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use proptest::prelude::*;
    use proptest::sample::select;

    prop_compose! {
        /// Texts of times, many with a day, an hour or a second that does not exist.
        fn any_time()(
            (year, month, day) in (1_960..=9_999, 0..=13, 0..=32),
            (hour, minute, second) in (0..=25, 0..=61, 0..=61),
            fraction in select(vec!["", ".0", ".000", ".007", ".999", ".1234", ".x", "."]),
            zone in select(vec!["Z", "z", "", "+05:30", "-00:01", "Z0"]),
        ) -> String {
            format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}{zone}")
        }
    }

    proptest! {
        #[test]
        fn a_time_is_read_as_the_general_parser_reads_it(text in any_time(), at: prop::sample::Index) {
            let general = |text: &str| {
                let at = UnixMillis::from(text.parse::<Timestamp>().ok()?);
                (0..=LAST).contains(&at.0).then_some(at)
            };
            prop_assert_eq!(text.parse().ok(), general(&text));
            let mut broken = text.clone();
            broken.replace_range(at.index(text.len()).., "");
            prop_assert_eq!(broken.parse().ok(), general(&broken));
        }

        #[test]
        fn a_label_is_the_beginning_of_the_time_as_displayed(millis in 0..=LAST) {
            let at = UnixMillis(millis);
            for window in [Window::Month, Window::Day, Window::Hour, Window::Minute] {
                let label = window.label(at);
                prop_assert_eq!(label.len(), window.label_length());
                prop_assert!(at.to_string().starts_with(&label));
                prop_assert_eq!(window.parse_label(&label), Some(window.start(at)));
            }
        }

        #[test]
        fn a_time_reads_back_as_displayed(millis in 0..=LAST) {
            let at = UnixMillis(millis);
            prop_assert_eq!(parse_usual(at.to_string().as_bytes()).map(UnixMillis::from), Some(at));
        }
    }

    fn at(text: &str) -> UnixMillis {
        text.parse().unwrap()
    }

    #[test]
    fn a_month_starts_on_its_first_day_and_ends_on_the_next_months() {
        let leap = at("2028-02-29T23:59:59.999Z");
        assert_eq!(Window::Month.start(leap), at("2028-02-01T00:00:00Z"));
        assert_eq!(Window::Month.end(leap), at("2028-03-01T00:00:00Z"));
        assert_eq!(
            Window::Month.end(at("2026-12-31T12:00:00Z")),
            at("2027-01-01T00:00:00Z")
        );
    }

    #[test]
    fn windows_are_named_and_seconds_are_whole() {
        let names = [
            (Window::Minute, "minute"),
            (Window::Hour, "hour"),
            (Window::Day, "day"),
            (Window::Month, "month"),
        ];
        for (window, name) in names {
            assert_eq!(window.as_str(), name);
            assert_eq!(Window::parse(name), Some(window));
        }
        assert_eq!(Window::parse("year"), None);
        assert_eq!(at("1970-01-01T00:01:01.999Z").seconds(), 61);
    }

    #[test]
    fn labels_lead_back_to_the_start_of_their_window() {
        let now = at("2026-11-22T16:04:05.678Z");
        for (window, label) in [
            (Window::Month, "2026-11"),
            (Window::Day, "2026-11-22"),
            (Window::Hour, "2026-11-22T16"),
            (Window::Minute, "2026-11-22T16:04"),
        ] {
            assert_eq!(window.label(now), label);
            assert_eq!(window.parse_label(label), Some(window.start(now)));
        }
        assert_eq!(Window::Hour.parse_label("2026-11-22T16:04"), None);
    }

    #[test]
    fn times_are_written_in_utc_without_needless_fractions() {
        assert_eq!(
            at("2026-11-22T21:34:05+05:30").to_string(),
            "2026-11-22T16:04:05Z"
        );
        assert_eq!(
            UnixMillis(1_795_363_445_007).to_string(),
            "2026-11-22T16:04:05.007Z"
        );
        let last = UnixMillis(0).plus_millis(i64::MAX);
        assert_eq!(last.to_string(), "9999-12-30T22:00:00Z");
        assert!("yesterday".parse::<UnixMillis>().is_err());
        assert!("-000001-01-01T00:00:00Z".parse::<UnixMillis>().is_err());
    }
}
