//! The CloudWatch embedded metric format: a log line that describes metrics.
//!
//! Source: "Specification: Embedded metric format", Amazon CloudWatch User Guide.

use serde_json::{Map, Value, json};

/// A metric's values, ready for `PutMetricData`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Metric {
    pub(crate) namespace: String,
    /// A `MetricDatum` without `Values` and `Counts`: equal ones are merged.
    pub(crate) datum: Value,
    pub(crate) values: Vec<f64>,
}

/// The metrics in a line; none for a line in another format.
pub(super) fn read(line: &str) -> Vec<Metric> {
    if !line.starts_with('{') || !line.contains("\"_aws\"") {
        return Vec::new();
    }
    serde_json::from_str::<Value>(line)
        .ok()
        .as_ref()
        .and_then(Value::as_object)
        .map(metrics)
        .unwrap_or_default()
}

fn metrics(root: &Map<String, Value>) -> Vec<Metric> {
    let Some(meta) = root.get("_aws") else {
        return Vec::new();
    };
    let millis = meta
        .get("Timestamp")
        .and_then(Value::as_i64)
        .unwrap_or_default();
    array(meta.get("CloudWatchMetrics"))
        .flat_map(|directive| directive_metrics(root, directive, millis))
        .collect()
}

fn array(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value.and_then(Value::as_array).into_iter().flatten()
}

fn directive_metrics(root: &Map<String, Value>, directive: &Value, millis: i64) -> Vec<Metric> {
    let Some(namespace) = directive.get("Namespace").and_then(Value::as_str) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for set in array(directive.get("Dimensions")) {
        let Some(dimensions) = dimensions(root, set) else {
            continue;
        };
        for definition in array(directive.get("Metrics")) {
            let Some(name) = definition.get("Name").and_then(Value::as_str) else {
                continue;
            };
            let values = values(root.get(name));
            if values.is_empty() {
                continue;
            }
            let unit = definition
                .get("Unit")
                .and_then(Value::as_str)
                .unwrap_or("None");
            found.push(Metric {
                namespace: namespace.to_owned(),
                datum: json!({
                    "MetricName": name,
                    "Dimensions": dimensions,
                    "Unit": unit,
                    // Points of one second are merged.
                    "Timestamp": millis.div_euclid(1_000),
                    "StorageResolution": definition.get("StorageResolution").and_then(Value::as_i64).unwrap_or(60),
                }),
                values,
            });
        }
    }
    found
}

/// The dimensions that a set names, with their values; a set with a missing member produces no
/// metric.
fn dimensions(root: &Map<String, Value>, set: &Value) -> Option<Vec<Value>> {
    set.as_array()?
        .iter()
        .map(|name| {
            let name = name.as_str()?;
            let value = root.get(name)?.as_str()?;
            Some(json!({"Name": name, "Value": value}))
        })
        .collect()
}

fn values(target: Option<&Value>) -> Vec<f64> {
    match target {
        Some(Value::Number(number)) => number.as_f64().into_iter().collect(),
        Some(Value::Array(numbers)) => numbers.iter().filter_map(Value::as_f64).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn line() -> String {
        json!({
            "_aws": {
                "Timestamp": 1_700_000_000_500_i64,
                "CloudWatchMetrics": [{
                    "Namespace": "CompliCal/Kinesis",
                    "Dimensions": [["Environment"]],
                    "Metrics": [
                        {"Name": "ProcessedRecords", "Unit": "Count"},
                        {"Name": "ProcessingLatency", "Unit": "Milliseconds"},
                        {"Name": "Absent"}
                    ]
                }]
            },
            "Environment": "local",
            "ProcessedRecords": 3,
            "ProcessingLatency": [12.5, 14]
        })
        .to_string()
    }

    #[test]
    fn each_metric_with_a_value_is_read_with_its_dimensions_and_unit() {
        let metrics = read(&line());
        assert_eq!(metrics.len(), 2);
        let latency = metrics.last().unwrap();
        assert_eq!(latency.namespace, "CompliCal/Kinesis");
        assert_eq!(latency.values, [12.5, 14.0]);
        assert_eq!(
            latency.datum,
            json!({
                "MetricName": "ProcessingLatency",
                "Dimensions": [{"Name": "Environment", "Value": "local"}],
                "Unit": "Milliseconds",
                "Timestamp": 1_700_000_000,
                "StorageResolution": 60
            })
        );
    }

    #[test]
    fn a_dimension_without_a_value_gives_no_metric() {
        assert!(
            read(&line().replace("\"Environment\":\"local\"", "\"Other\":\"local\"")).is_empty()
        );
    }

    #[test]
    fn other_lines_hold_no_metrics() {
        for text in [
            "",
            "plain",
            "{\"_aws\": ",
            "{\"level\":\"info\"}",
            "{\"_aws\": 3}",
        ] {
            assert!(read(text).is_empty(), "{text}");
        }
    }
}
