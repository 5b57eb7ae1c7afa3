//! Durations and times as people give them: on the command line and in requests.

use std::time::Duration;

use crate::time::UnixMillis;

/// A whole number and `s`, `m`, `h` or `d`: `90s`, `15m`, `24h`, `7d`.
///
/// # Errors
///
/// The text is anything else, or the duration is zero.
pub fn duration(text: &str) -> Result<Duration, String> {
    let refused = || {
        format!(
            "invalid duration `{text}`: expected a whole number and `s`, `m`, `h` or `d`, such as `90s` or `7d`"
        )
    };
    let unit = text.chars().last().ok_or_else(refused)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(refused()),
    };
    let number = text.strip_suffix(unit).unwrap_or_default();
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(refused());
    }
    let number: u64 = number.parse().map_err(|_| refused())?;
    let total = number.checked_mul(seconds).filter(|total| *total > 0);
    total.map(Duration::from_secs).ok_or_else(refused)
}

/// A time in the future: a duration from now, or an RFC 3339 time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// This long from now.
    In(Duration),
    /// At this time.
    At(UnixMillis),
}

impl When {
    /// The instant, seen from `now`.
    pub fn from(self, now: UnixMillis) -> UnixMillis {
        match self {
            Self::In(duration) => {
                now.plus_millis(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX))
            }
            Self::At(time) => time,
        }
    }
}

/// A duration or a time.
///
/// # Errors
///
/// The text is neither.
pub fn when(text: &str) -> Result<When, String> {
    if let Ok(duration) = duration(text) {
        return Ok(When::In(duration));
    }
    text.parse().map(When::At).map_err(|_| {
        format!(
            "invalid time `{text}`: expected a duration such as `30d` or a time such as `2027-01-31T00:00:00Z`"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_a_number_and_a_unit() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("15m"), Ok(Duration::from_mins(15)));
        assert_eq!(duration("24h"), Ok(Duration::from_hours(24)));
        assert_eq!(duration("7d"), Ok(Duration::from_hours(168)));
        for bad in [
            "",
            "s",
            "30",
            "1.5h",
            "-1s",
            "+1s",
            "0s",
            "5w",
            "5é",
            "99999999999999999999d",
            "18446744073709551615d",
        ] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_time_is_absolute_or_from_now() {
        let now = UnixMillis(1_000);
        assert_eq!(when("2s").map(|when| when.from(now)), Ok(UnixMillis(3_000)));
        assert_eq!(
            when("1970-01-01T00:00:09Z").map(|when| when.from(now)),
            Ok(UnixMillis(9_000))
        );
        assert!(when("soon").is_err_and(|message| message.contains("`soon`")));
    }
}
