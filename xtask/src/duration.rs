//! Durations and times in the form of the command line.

use std::time::Duration;

pub(crate) use domain::duration::{When, duration, when};
use domain::time::{UnixMillis, Window};

use crate::stop::Stop;

/// A calendar month: its first instant in UTC.
pub(crate) fn month(text: &str) -> Result<UnixMillis, String> {
    Window::Month.parse_label(text).ok_or_else(|| {
        format!("invalid month `{text}`: expected a year and a month, such as `2026-11`")
    })
}

/// A time in the past: a duration before now, or an RFC 3339 time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Past {
    /// This long ago.
    Ago(Duration),
    /// At this time.
    At(UnixMillis),
}

impl Past {
    /// The instant, seen from `now`.
    pub(crate) fn before(self, now: UnixMillis) -> UnixMillis {
        match self {
            Self::Ago(duration) => {
                now.plus_millis(-i64::try_from(duration.as_millis()).unwrap_or(i64::MAX))
            }
            Self::At(time) => time,
        }
    }
}

/// How long ago, or a time.
pub(crate) fn past(text: &str) -> Result<Past, String> {
    match when(text)? {
        When::In(duration) => Ok(Past::Ago(duration)),
        When::At(time) => Ok(Past::At(time)),
    }
}

/// The span from `from` to `to`, but no later than now. Refuses an empty one.
pub(crate) fn span(
    from: Past,
    to: Option<Past>,
    now: UnixMillis,
) -> Result<(UnixMillis, UnixMillis), Stop> {
    let from = from.before(now);
    let to = to.map_or(now, |to| to.before(now));
    if from < to && from < now {
        Ok((from, to.min(now)))
    } else {
        Err(Stop::usage(format!(
            "there is nothing between `--from` {from} and `--to` {to}"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_not_empty_and_ends_with_the_present() {
        let now = UnixMillis(1_796_083_200_000);
        let asked = |from: &str, to: Option<&str>| {
            let given = |text: &str| past(text).unwrap_or(Past::At(now));
            span(given(from), to.map(given), now).ok()
        };
        assert_eq!(asked("1h", None), Some((now.plus_millis(-3_600_000), now)));
        let later = asked("1h", Some("2027-01-01T00:00:00Z"));
        assert_eq!(later, Some((now.plus_millis(-3_600_000), now)));
        assert_eq!(asked("1h", Some("2h")), None);
        assert_eq!(asked("2027-01-01T00:00:00Z", None), None);
    }

    #[test]
    fn a_time_in_the_past_is_absolute_or_before_now() {
        assert_eq!(
            past("2s").map(|past| past.before(UnixMillis(3_000))),
            Ok(UnixMillis(1_000))
        );
        let absolute = Ok(Past::At(UnixMillis(9_000)));
        assert_eq!(past("1970-01-01T00:00:09Z"), absolute);
    }
}
