//! The traffic to estimate.

use serde::Serialize;

/// Records that a shard accepts per second.
const SHARD_RECORDS: u64 = 1_000;

/// Days of the estimated month.
pub(super) const DAYS: u64 = 30;
/// Its seconds.
pub(super) const SECONDS: u64 = DAYS * 86_400;

/// The properties of traffic besides the number of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Shape {
    /// Users who call.
    pub(super) users: u64,
    /// The ratio of the busiest second to the average one.
    pub(super) peak: u64,
    /// Calls per thousand that fail to authenticate.
    pub(super) errors_per_thousand: u64,
    /// Requests with amounts per thousand calls, where the environment declares meters.
    pub(super) reports_per_thousand: u64,
    /// Size of a response in bytes, including headers.
    pub(super) response_bytes: u64,
    /// Milliseconds that a call to DynamoDB, Kinesis or SQS takes.
    pub(super) service_millis: u64,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            users: 1_000,
            peak: 10,
            errors_per_thousand: 20,
            reports_per_thousand: 1_000,
            response_bytes: 1_024,
            service_millis: 8,
        }
    }
}

const ALLOWED: &str = "expected `users=N`, `peak=N`, `errors=N%`, `reports=N%`, `responseBytes=N` or `serviceMillis=N`, separated by commas";

/// Parses `users=200,peak=5,errors=1%`; omitted members keep their defaults.
pub(crate) fn shape(text: &str) -> Result<Shape, String> {
    let mut shape = Shape::default();
    for part in text.split(',') {
        let invalid = || format!("invalid shape `{part}`: {ALLOWED}");
        let (key, value) = part.split_once('=').ok_or_else(invalid)?;
        let number = |value: &str, least: u64, most: u64| {
            let number = value
                .parse()
                .ok()
                .filter(|number| (least..=most).contains(number));
            number.ok_or_else(|| {
                format!("invalid `{part}`: expected a whole number from {least} to {most}")
            })
        };
        match key {
            "users" => shape.users = number(value, 1, 1_000_000_000)?,
            "peak" => shape.peak = number(value, 1, 100_000)?,
            "errors" => {
                let value = value.strip_suffix('%').ok_or_else(invalid)?;
                shape.errors_per_thousand = 10 * number(value, 0, 100)?;
            }
            "reports" => {
                let value = value.strip_suffix('%').ok_or_else(invalid)?;
                shape.reports_per_thousand = 10 * number(value, 0, 1_000)?;
            }
            "responseBytes" => shape.response_bytes = number(value, 0, 10_485_760)?,
            "serviceMillis" => shape.service_millis = number(value, 1, 10_000)?,
            _ => return Err(invalid()),
        }
    }
    Ok(shape)
}

/// Parses a number of calls: `10M`, `2B`, `500k` or plain digits.
pub(crate) fn calls(text: &str) -> Result<u64, String> {
    const MOST: u64 = 1_000_000_000_000;
    let (digits, factor) = match text.char_indices().next_back() {
        Some((at, 'k' | 'K')) => (text.get(..at), 1_000),
        Some((at, 'M')) => (text.get(..at), 1_000_000),
        Some((at, 'B')) => (text.get(..at), 1_000_000_000),
        _ => (Some(text), 1),
    };
    let number: Option<u64> = digits.and_then(|digits| digits.parse().ok());
    let calls = number.and_then(|number| number.checked_mul(factor));
    calls
        .filter(|calls| (1_000..=MOST).contains(calls))
        .ok_or_else(|| {
            format!("invalid number of calls `{text}`: expected 1k to 1000B, such as `10M` or `1B`")
        })
}

/// Traffic of a month.
#[derive(Debug, Clone, Copy)]
pub(super) struct Traffic {
    pub(super) calls: u64,
    pub(super) shape: Shape,
}

impl Traffic {
    /// Calls in the busiest second.
    pub(super) fn peak_rate(&self) -> u64 {
        self.calls.saturating_mul(self.shape.peak).div_ceil(SECONDS)
    }

    /// The number of shards for the busiest second.
    pub(super) fn shards(&self) -> u64 {
        self.peak_rate().div_ceil(SHARD_RECORDS).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_take_a_suffix() {
        assert_eq!(calls("10M"), Ok(10_000_000));
        assert_eq!(calls("2B"), Ok(2_000_000_000));
        assert_eq!(calls("5000"), Ok(5_000));
        for text in [
            "",
            "M",
            "1.5M",
            "-1M",
            "0",
            "999",
            "1001B",
            "10m",
            "99999999999999999999B",
        ] {
            assert!(calls(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_shape_changes_what_it_names() {
        let read = shape("users=200,errors=1%,reports=5%").unwrap();
        assert_eq!((read.users, read.errors_per_thousand), (200, 10));
        assert_eq!(read.reports_per_thousand, 50);
        assert_eq!(read.peak, Shape::default().peak);
        for text in [
            "",
            "users",
            "users=0",
            "errors=2",
            "errors=101%",
            "reports=2",
            "reports=1001%",
            "color=red",
            "peak=x",
        ] {
            let message = shape(text).unwrap_err();
            assert!(message.starts_with("invalid"), "{message}");
        }
    }
}
