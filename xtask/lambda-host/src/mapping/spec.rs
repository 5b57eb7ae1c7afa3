//! A mapping as it is deployed.

use serde_json::Value;

use super::{
    filter::Filters,
    model::{MAX_PAYLOAD_BYTES, Millis, Position, Settings},
};

/// The kind of a mapping's source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SourceKind {
    Kinesis,
    TableStream,
}

/// A deployed mapping.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct MappingSpec {
    pub(crate) uuid: String,
    pub(crate) source_arn: String,
    pub(crate) source: SourceKind,
    pub(crate) function_name: String,
    pub(crate) function_arn: String,
    pub(crate) settings: Settings,
    pub(crate) filters: Filters,
    /// ARN of the on-failure destination.
    pub(crate) on_failure: Option<String>,
    /// Whether the emulator's own poller is on.
    pub(crate) polled_by_emulator: bool,
}

impl MappingSpec {
    /// Reads the emulator's event source mapping configuration; `None` for an incomplete
    /// configuration or a source that is neither a Kinesis stream nor a table stream.
    pub(crate) fn read(configuration: &Value) -> Option<Self> {
        let text = |member: &str| configuration.get(member).and_then(Value::as_str);
        let source_arn = text("EventSourceArn")?;
        let source = match source_arn.split(':').nth(2)? {
            "kinesis" => SourceKind::Kinesis,
            "dynamodb" => SourceKind::TableStream,
            _ => return None,
        };
        let function_arn = text("FunctionArn")?;
        Some(Self {
            uuid: text("UUID")?.to_owned(),
            source_arn: source_arn.to_owned(),
            source,
            function_name: function_arn.split(':').nth(6)?.to_owned(),
            function_arn: function_arn.to_owned(),
            settings: settings(configuration)?,
            filters: Filters::read(configuration.get("FilterCriteria")),
            on_failure: configuration
                .pointer("/DestinationConfig/OnFailure/Destination")
                .and_then(Value::as_str)
                .map(str::to_owned),
            polled_by_emulator: text("State") == Some("Enabled"),
        })
    }
}

/// Milliseconds between reads of a shard: Lambda's base rate for table streams. Lambda reads
/// Kinesis once a second; here calls should show as fast, and reading costs nothing.
const POLL_EVERY: Millis = 250;

/// The defaults are those of the parameters page of each source.
fn settings(configuration: &Value) -> Option<Settings> {
    let number = |member: &str| configuration.get(member).and_then(number);
    let limit = |member: &str| number(member).filter(|limit| *limit >= 0);
    let starting_position = match configuration.get("StartingPosition")?.as_str()? {
        "TRIM_HORIZON" => Position::TrimHorizon,
        "AT_TIMESTAMP" => {
            let seconds = configuration.get("StartingPositionTimestamp")?.as_f64()?;
            Position::AtTimestamp(millis(seconds))
        }
        _ => Position::Latest,
    };
    Some(Settings {
        starting_position,
        batch_size: number("BatchSize")
            .and_then(|size| usize::try_from(size).ok())
            .unwrap_or(100)
            .max(1),
        window: number("MaximumBatchingWindowInSeconds").unwrap_or(0) * 1_000,
        parallelization: number("ParallelizationFactor")
            .and_then(|factor| usize::try_from(factor).ok())
            .unwrap_or(1)
            .clamp(1, 10),
        max_retries: limit("MaximumRetryAttempts").and_then(|limit| u32::try_from(limit).ok()),
        max_age: limit("MaximumRecordAgeInSeconds").map(|seconds| seconds * 1_000),
        bisect: flag(configuration.get("BisectBatchOnFunctionError")),
        report_item_failures: configuration
            .get("FunctionResponseTypes")
            .and_then(Value::as_array)
            .is_some_and(|types| types.iter().any(|kind| kind == "ReportBatchItemFailures")),
        poll_every: POLL_EVERY,
        max_payload: MAX_PAYLOAD_BYTES,
    })
}

/// CloudFormation may represent numbers and flags as text.
fn number(value: &Value) -> Option<Millis> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

pub(crate) fn flag(value: Option<&Value>) -> bool {
    value.is_some_and(|value| value.as_bool().unwrap_or(value == "true"))
}

/// Seconds with a fraction, the form of times in AWS's JSON, in milliseconds.
#[expect(
    clippy::cast_possible_truncation,
    reason = "times lie far within the range"
)]
pub(crate) fn millis(seconds: f64) -> Millis {
    (seconds * 1_000.0).round() as Millis
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_deployed_mapping_is_read_with_its_limits() {
        let spec = MappingSpec::read(&json!({
            "UUID": "u", "State": "Enabled",
            "EventSourceArn": "arn:aws:kinesis:ap-south-1:000000000000:stream/s",
            "FunctionArn": "arn:aws:lambda:ap-south-1:000000000000:function:f",
            "StartingPosition": "TRIM_HORIZON", "BatchSize": 50, "ParallelizationFactor": 10,
            "MaximumBatchingWindowInSeconds": 1, "MaximumRetryAttempts": 3,
            "MaximumRecordAgeInSeconds": -1, "BisectBatchOnFunctionError": "true",
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
            "DestinationConfig": {"OnFailure": {"Destination": "arn:aws:sqs:ap-south-1:0:q"}}
        }))
        .unwrap();
        assert_eq!(spec.function_name, "f");
        assert_eq!(
            spec.settings,
            Settings {
                starting_position: Position::TrimHorizon,
                batch_size: 50,
                window: 1_000,
                parallelization: 10,
                max_retries: Some(3),
                max_age: None,
                bisect: true,
                report_item_failures: true,
                poll_every: POLL_EVERY,
                max_payload: MAX_PAYLOAD_BYTES,
            }
        );
    }

    #[test]
    fn a_queue_is_left_to_the_emulator() {
        let queue = json!({
            "UUID": "u", "EventSourceArn": "arn:aws:sqs:ap-south-1:000000000000:q",
            "FunctionArn": "arn:aws:lambda:ap-south-1:000000000000:function:f"
        });
        assert_eq!(MappingSpec::read(&queue), None);
    }
}
