//! The metrics that Lambda itself emits for an invocation, in the namespace `AWS/Lambda`.
//!
//! Source: "Types of metrics for Lambda functions", Lambda developer guide.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use super::embedded_metrics::Metric;
use crate::function::Outcome;

/// A throttled invocation counts as a throttle and nothing else.
pub(super) fn of(
    function: &str,
    took: Duration,
    outcome: &Outcome,
    iterator_age: Option<Duration>,
) -> Vec<Metric> {
    let millis = |duration: Duration| duration.as_secs_f64() * 1_000.0;
    let failed = f64::from(u8::from(matches!(outcome, Outcome::FunctionError(_))));
    let mut metrics = match outcome {
        Outcome::Unavailable(_) => Vec::new(),
        Outcome::Throttled => vec![("Throttles", "Count", 1.0)],
        Outcome::Success(_) | Outcome::FunctionError(_) => vec![
            ("Invocations", "Count", 1.0),
            ("Errors", "Count", failed),
            ("Throttles", "Count", 0.0),
            ("Duration", "Milliseconds", millis(took)),
        ],
    };
    metrics.extend(iterator_age.map(|age| ("IteratorAge", "Milliseconds", millis(age))));
    let second = Timestamp::now().as_second();
    metrics
        .into_iter()
        .map(|(name, unit, value)| Metric {
            namespace: "AWS/Lambda".to_owned(),
            datum: json!({
                "MetricName": name,
                "Dimensions": [{"Name": "FunctionName", "Value": function}],
                "Unit": unit,
                "Timestamp": second,
            }),
            values: vec![value],
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(outcome: &Outcome) -> Vec<(String, Vec<f64>)> {
        of("f", Duration::from_millis(5), outcome, None)
            .into_iter()
            .map(|metric| {
                let name = metric
                    .datum
                    .get("MetricName")
                    .and_then(|name| name.as_str());
                (name.unwrap_or_default().to_owned(), metric.values)
            })
            .collect()
    }

    #[test]
    fn an_error_is_an_invocation_and_a_throttle_is_none() {
        let failed = names(&Outcome::error("E", "m"));
        assert!(failed.contains(&("Invocations".to_owned(), vec![1.0])));
        assert!(failed.contains(&("Errors".to_owned(), vec![1.0])));
        assert_eq!(
            names(&Outcome::Throttled),
            [("Throttles".to_owned(), vec![1.0])]
        );
    }
}
