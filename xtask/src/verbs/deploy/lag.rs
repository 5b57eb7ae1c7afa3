//! The processor's lag behind the stream.
//!
//! On AWS it comes from the metrics of Kinesis and Lambda, about a minute late. The embedded AWS
//! has neither: there it comes from the function host, which polls the stream.

use deployer::{Metrics, Streams};
use domain::names::Function;
use domain::time::UnixMillis;
use serde_json::Value;

use crate::aws::Reached;
use crate::local::host;

/// Metrics of this age are complete ("CloudWatch metrics are delayed", up to about two minutes).
const SETTLED_MILLIS: i64 = 180_000;
/// An authorizer that was replaced may still be sending the events of its last calls.
const LAST_SENDS_MILLIS: i64 = 3_000;

/// Converts a count or a time that a metric reports as a floating-point number.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "metrics are non-negative, and whole for what is counted; the cast saturates"
)]
pub(in crate::verbs) fn whole(value: f64) -> u64 {
    value.round() as u64
}

/// Milliseconds that the stream's oldest unprocessed record has waited; `None` if there is no
/// metric.
pub(in crate::verbs) async fn iterator_age(reached: &Reached) -> anyhow::Result<Option<u64>> {
    iterator_age_of(reached, Function::Processor).await
}

/// The same for the stream that a function reads.
pub(in crate::verbs) async fn iterator_age_of(
    reached: &Reached,
    function: Function,
) -> anyhow::Result<Option<u64>> {
    let function = reached.environment.names().function(function);
    if let Some(running) = &reached.running {
        let status = host::status(&running.host()).await;
        return Ok(status.and_then(|status| of_host(&status, &function)));
    }
    let now = crate::clock::now();
    let age = Metrics::new(&reached.session)
        .maximum(
            "AWS/Lambda",
            "IteratorAge",
            ("FunctionName", &function),
            (now.plus_millis(-SETTLED_MILLIS), now),
        )
        .await?;
    Ok(age.map(whole))
}

/// Number of records that arrived in the stream. The embedded AWS has no such metric, but its
/// stream is small enough to count them.
pub(in crate::verbs) async fn incoming(
    reached: &Reached,
    window: (UnixMillis, UnixMillis),
) -> anyhow::Result<u64> {
    let stream = reached.environment.names().usage_stream();
    if reached.running.is_some() {
        let streams = Streams::new(&reached.session);
        return Ok(streams.records_since(&stream, window.0).await?);
    }
    let sum = Metrics::new(&reached.session)
        .sum(
            "AWS/Kinesis",
            "IncomingRecords",
            ("StreamName", &stream),
            window,
        )
        .await?;
    Ok(whole(sum.unwrap_or(0.0)))
}

/// Whether everything sent before `since` is in the journal, and nothing is being sent any more.
/// The progress of folding does not matter: the aggregator stays when the stream is deleted.
pub(super) async fn is_drained(reached: &Reached, since: UnixMillis) -> anyhow::Result<bool> {
    let now = crate::clock::now();
    let settled = if reached.running.is_some() {
        LAST_SENDS_MILLIS
    } else {
        SETTLED_MILLIS
    };
    if now.since(since) < settled {
        return Ok(false);
    }
    let quiet = reached.running.is_some()
        || incoming(reached, (now.plus_millis(-SETTLED_MILLIS), now)).await? == 0;
    let behind = iterator_age(reached).await?.is_some_and(|age| age > 0);
    Ok(quiet && !behind)
}

/// The function host's report about the records that wait for a function.
fn of_host(status: &Value, function: &str) -> Option<u64> {
    let mappings = status.get("mappings")?.as_array()?.iter();
    let of_function = mappings
        .filter(|mapping| mapping.get("function").and_then(Value::as_str) == Some(function));
    of_function
        .filter_map(|mapping| mapping.get("iteratorAgeMs")?.as_u64())
        .max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_knows_how_far_each_function_is_behind() {
        let status = serde_json::json!({"mappings": [
            {"function": "Processor", "iteratorAgeMs": 7},
            {"function": "Aggregator", "iteratorAgeMs": 9}]});
        assert_eq!(of_host(&status, "Processor"), Some(7));
        assert_eq!(of_host(&status, "Authorizer"), None);
        assert_eq!(of_host(&Value::Null, "Processor"), None);
    }

    #[test]
    fn metrics_become_whole_numbers() {
        assert_eq!(whole(41.999_999), 42);
        assert_eq!(whole(-1.0), 0);
    }
}
