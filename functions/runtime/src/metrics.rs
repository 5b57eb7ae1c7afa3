//! Metrics in the embedded metric format: a line on standard output that `CloudWatch` turns into
//! metrics, without a request that delays anyone.
//!
//! Format and limits:
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>

use std::io::{self, Write};

use domain::names::METRIC_DIMENSION;
use domain::time::UnixMillis;
use serde_json::{Map, Value, json};

/// The most values per metric in one line, by the specification. Lines never reach the limit of 100
/// metrics.
const MOST_VALUES: usize = 100;

/// The unit of a metric's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Count,
    Milliseconds,
}

impl Unit {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Count => "Count",
            Self::Milliseconds => "Milliseconds",
        }
    }
}

/// Values of one metric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metric {
    name: &'static str,
    unit: Unit,
    values: Vec<i64>,
}

impl Metric {
    /// A number of things.
    pub fn count(name: &'static str, count: u64) -> Self {
        Self {
            name,
            unit: Unit::Count,
            values: vec![i64::try_from(count).unwrap_or(i64::MAX)],
        }
    }

    /// Spans of time, one value each, in milliseconds.
    pub fn millis(name: &'static str, spans: Vec<i64>) -> Self {
        Self {
            name,
            unit: Unit::Milliseconds,
            values: spans,
        }
    }
}

/// The metrics of one namespace, and of one value of each dimension.
#[derive(Debug, Clone)]
pub struct Metrics {
    namespace: String,
    dimensions: Vec<(&'static str, String)>,
}

impl Metrics {
    /// Metrics in `namespace`, with the dimension `Environment`.
    pub fn new(namespace: impl Into<String>, environment: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            dimensions: vec![(METRIC_DIMENSION, environment.into())],
        }
    }

    /// The same for one value of a further dimension. Every value is a metric that AWS charges for,
    /// so values must be few, and none may be a caller's choice.
    #[must_use]
    pub fn of(&self, dimension: &'static str, value: impl Into<String>) -> Self {
        let mut of_value = self.clone();
        of_value.dimensions.push((dimension, value.into()));
        of_value
    }

    /// Emits values as of `at` on standard output.
    pub fn emit(&self, at: UnixMillis, metrics: &[Metric]) {
        if let Err(error) = self.write(&mut io::stdout().lock(), at, metrics) {
            tracing::error!(%error, "metrics were not written");
        }
    }

    fn write(&self, out: &mut impl Write, at: UnixMillis, metrics: &[Metric]) -> io::Result<()> {
        for line in self.lines(at, metrics) {
            writeln!(out, "{line}")?;
        }
        out.flush()
    }

    /// One line, and another for each further hundred values of a metric.
    fn lines(&self, at: UnixMillis, metrics: &[Metric]) -> Vec<Value> {
        let longest = metrics.iter().map(|metric| metric.values.len()).max();
        let lines = longest.unwrap_or(0).div_ceil(MOST_VALUES);
        (0..lines)
            .map(|line| self.line(at, metrics, line * MOST_VALUES))
            .collect()
    }

    fn line(&self, at: UnixMillis, metrics: &[Metric], from: usize) -> Value {
        let mut members = Map::new();
        let mut definitions = Vec::new();
        for Metric { name, unit, values } in metrics {
            let values: Vec<i64> = values
                .iter()
                .skip(from)
                .take(MOST_VALUES)
                .copied()
                .collect();
            let value = match values.as_slice() {
                [] => continue,
                [value] => json!(value),
                values => json!(values),
            };
            members.insert((*name).to_owned(), value);
            definitions.push(json!({"Name": name, "Unit": unit.as_str()}));
        }
        let names: Vec<&str> = self.dimensions.iter().map(|(name, _)| *name).collect();
        let directive = json!({
            "Namespace": self.namespace,
            "Dimensions": [names],
            "Metrics": definitions,
        });
        for (dimension, value) in &self.dimensions {
            members.insert((*dimension).to_owned(), json!(value));
        }
        members.insert(
            "_aws".to_owned(),
            json!({"Timestamp": at.0, "CloudWatchMetrics": [directive]}),
        );
        Value::Object(members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::names::{api_metric, kinesis_metric};

    fn written(metrics: &[Metric]) -> Vec<Value> {
        let mut out = Vec::new();
        Metrics::new("CompliCal/API", "test")
            .write(&mut out, UnixMillis(1_795_363_445_007), metrics)
            .unwrap();
        let text = String::from_utf8(out).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    #[test]
    fn a_metric_is_a_line_with_its_namespace_dimension_and_unit() {
        let success = Metric::count(api_metric::USAGE_TRACKING_SUCCESS, 1);
        assert_eq!(
            written(&[success]),
            [json!({
                "_aws": {
                    "Timestamp": 1_795_363_445_007_i64,
                    "CloudWatchMetrics": [{
                        "Namespace": "CompliCal/API",
                        "Dimensions": [["Environment"]],
                        "Metrics": [{"Name": "UsageTrackingSuccess", "Unit": "Count"}],
                    }],
                },
                "Environment": "test",
                "UsageTrackingSuccess": 1,
            })]
        );
    }

    #[test]
    fn a_further_dimension_stands_beside_the_environment() {
        let of_plan = Metrics::new("CompliCal/Plans", "test").of("Plan", "free");
        let line = of_plan.line(UnixMillis(0), &[Metric::count("Units", 3)], 0);
        let directive = &line["_aws"]["CloudWatchMetrics"][0];
        assert_eq!(directive["Dimensions"], json!([["Environment", "Plan"]]));
        let values = ["Environment", "Plan", "Units"].map(|name| line[name].clone());
        assert_eq!(values, [json!("test"), json!("free"), json!(3)]);
    }

    #[test]
    fn values_beyond_a_hundred_go_to_further_lines_and_none_is_lost_or_repeated() {
        let spans: Vec<i64> = (0..250).collect();
        let lines = written(&[
            Metric::millis(kinesis_metric::PROCESSING_LATENCY, spans.clone()),
            Metric::count(kinesis_metric::PROCESSED_RECORDS, 250),
        ]);
        assert_eq!(lines.len(), 3);
        let emitted: Vec<i64> = lines
            .iter()
            .flat_map(|line| line["ProcessingLatency"].as_array().unwrap())
            .map(|value| value.as_i64().unwrap())
            .collect();
        assert_eq!(emitted, spans);
        let counts = lines.iter().filter(|line| line["ProcessedRecords"] == 250);
        assert_eq!(counts.count(), 1);
    }

    #[test]
    fn no_metrics_make_no_line() {
        assert_eq!(
            written(&[Metric::millis(
                kinesis_metric::PROCESSING_LATENCY,
                Vec::new()
            )]),
            [] as [Value; 0]
        );
    }
}
