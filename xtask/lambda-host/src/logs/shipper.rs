//! Ships batches of lines and metrics to the local CloudWatch.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use super::{Line, embedded_metrics::Metric};
use crate::emulator::{Emulator, EmulatorError, Service};

/// `PutLogEvents` accepts 10,000 events and 1 MiB, including 26 bytes per event.
const MAX_EVENTS: usize = 10_000;
const MAX_BATCH_BYTES: usize = 1_048_576;
const EVENT_OVERHEAD: usize = 26;
/// `PutMetricData` accepts 1,000 metrics, and 150 values per metric.
const MAX_METRICS: usize = 1_000;
const MAX_VALUES: usize = 150;
/// CloudWatch Logs's error code if the group does not exist.
const NO_GROUP: &str = "ResourceNotFoundException";

/// A log stream, and the function whose role writes it, if one does.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct LogStream {
    function: Option<String>,
    group: String,
    name: String,
}

/// Lines and metrics that wait to be shipped.
#[derive(Debug, Default)]
pub(super) struct Batches {
    lines: BTreeMap<LogStream, Vec<Line>>,
    /// By namespace and datum.
    metrics: BTreeMap<(String, String), Metric>,
    size: usize,
}

impl Batches {
    pub(super) fn add_line(&mut self, line: Line) {
        self.size += 1;
        let stream = LogStream {
            function: line.function.clone(),
            group: line.group.clone(),
            name: line.stream.clone(),
        };
        self.lines.entry(stream).or_default().push(line);
    }

    pub(super) fn add_metrics(&mut self, metrics: Vec<Metric>) {
        for metric in metrics {
            self.size += 1;
            let key = (metric.namespace.clone(), metric.datum.to_string());
            match self.metrics.entry(key) {
                std::collections::btree_map::Entry::Vacant(entry) => drop(entry.insert(metric)),
                std::collections::btree_map::Entry::Occupied(mut entry) => {
                    entry.get_mut().values.extend(metric.values);
                }
            }
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.size == 0
    }

    pub(super) const fn is_full(&self) -> bool {
        self.size >= MAX_EVENTS
    }
}

pub(super) type Shipment = (Batches, Option<oneshot::Sender<()>>);

/// Ships what arrives, until the sender is gone.
pub(super) async fn run(mut batches: mpsc::Receiver<Shipment>, emulator: Option<Emulator>) {
    let mut known = HashSet::new();
    while let Some((batch, done)) = batches.recv().await {
        if let Some(emulator) = &emulator {
            ship(emulator, batch, &mut known).await;
        }
        if let Some(done) = done {
            let _ = done.send(());
        }
    }
}

async fn ship(emulator: &Emulator, batch: Batches, known: &mut HashSet<LogStream>) {
    for (stream, lines) in batch.lines {
        let group = &stream.group;
        let emulator = match &stream.function {
            Some(function) => emulator.under_role_of(function),
            None => emulator.clone(),
        };
        for part in parts(lines) {
            match put_lines(&emulator, &stream, &part, known).await {
                Err(error) if error.code() == Some(NO_GROUP) => {
                    tracing::debug!(
                        group,
                        lines = part.len(),
                        "lines of a deleted stack dropped"
                    );
                }
                Err(error) => {
                    tracing::warn!(group, lines = part.len(), %error, "log lines were not accepted");
                }
                Ok(()) => {}
            }
        }
    }
    for (namespace, data) in metric_data(batch.metrics.into_values()) {
        for part in data.chunks(MAX_METRICS) {
            let input = json!({"Namespace": namespace, "MetricData": part});
            if let Err(error) = emulator
                .call(Service::CloudWatch, "PutMetricData", &input)
                .await
            {
                tracing::warn!(namespace, metrics = part.len(), %error, "metrics were not accepted");
            }
        }
    }
}

/// Splits lines, oldest first, at the limits of `PutLogEvents`.
fn parts(mut lines: Vec<Line>) -> Vec<Vec<Value>> {
    lines.sort_by_key(|line| line.at);
    let mut parts = Vec::new();
    let mut part = Vec::new();
    let mut bytes = 0;
    for line in lines {
        let size = line.text.len() + EVENT_OVERHEAD;
        if !part.is_empty() && (part.len() == MAX_EVENTS || bytes + size > MAX_BATCH_BYTES) {
            parts.push(std::mem::take(&mut part));
            bytes = 0;
        }
        bytes += size;
        part.push(json!({"timestamp": line.at.as_millisecond(), "message": line.text}));
    }
    if !part.is_empty() {
        parts.push(part);
    }
    parts
}

/// Puts lines into a stream of an existing group. Only its stack may create a group: one that was
/// deleted with its stack must stay deleted, or the stack could not be deployed again.
async fn put_lines(
    emulator: &Emulator,
    stream: &LogStream,
    events: &[Value],
    known: &mut HashSet<LogStream>,
) -> Result<(), EmulatorError> {
    let LogStream { group, name, .. } = stream;
    if !known.contains(stream) {
        create_stream(emulator, group, name).await?;
        known.insert(stream.clone());
    }
    let input = json!({"logGroupName": group, "logStreamName": name, "logEvents": events});
    let put = emulator.call(Service::Logs, "PutLogEvents", &input).await;
    if put.is_err() {
        // The group may have been recreated without the stream.
        known.remove(stream);
    }
    put.map(drop)
}

async fn create_stream(
    emulator: &Emulator,
    group: &str,
    stream: &str,
) -> Result<(), EmulatorError> {
    let input = json!({"logGroupName": group, "logStreamName": stream});
    let created = emulator.call(Service::Logs, "CreateLogStream", &input);
    match created.await {
        Err(error) if error.code() == Some("ResourceAlreadyExistsException") => Ok(()),
        other => other.map(drop),
    }
}

/// The data of each namespace, with equal values counted.
fn metric_data(metrics: impl Iterator<Item = Metric>) -> BTreeMap<String, Vec<Value>> {
    let mut data: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for metric in metrics {
        let namespace = data.entry(metric.namespace).or_default();
        for part in counted(&metric.values).chunks(MAX_VALUES) {
            let mut datum = metric.datum.clone();
            if let Some(datum) = datum.as_object_mut() {
                let (values, counts): (Vec<f64>, Vec<f64>) = part.iter().copied().unzip();
                datum.insert("Values".to_owned(), json!(values));
                datum.insert("Counts".to_owned(), json!(counts));
            }
            namespace.push(datum);
        }
    }
    data
}

fn counted(values: &[f64]) -> Vec<(f64, f64)> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let mut counted: Vec<(f64, f64)> = Vec::new();
    for value in sorted {
        match counted.last_mut() {
            Some((last, count)) if last.total_cmp(&value).is_eq() => *count += 1.0,
            _ => counted.push((value, 1.0)),
        }
    }
    counted
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn line(at: i64, text: &str) -> Line {
        Line {
            function: None,
            group: "g".to_owned(),
            stream: "s".to_owned(),
            at: Timestamp::from_millisecond(at).unwrap(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn lines_are_put_in_order_of_time_and_split_at_the_size_limit() {
        let large = "x".repeat(MAX_BATCH_BYTES / 2);
        let parts = parts(vec![line(3, &large), line(1, &large), line(2, "small")]);
        let times: Vec<Vec<_>> = parts
            .iter()
            .map(|part| {
                part.iter()
                    .map(|event| event["timestamp"].as_i64().unwrap())
                    .collect()
            })
            .collect();
        assert_eq!(times, [vec![1, 2], vec![3]]);
    }

    #[test]
    fn values_of_one_metric_are_put_together_and_equal_ones_counted() {
        let metric = |value| Metric {
            namespace: "N".to_owned(),
            datum: json!({"MetricName": "Calls"}),
            values: vec![value],
        };
        let mut batches = Batches::default();
        batches.add_metrics(vec![metric(1.0), metric(2.0), metric(1.0)]);
        let data = metric_data(batches.metrics.into_values());
        assert_eq!(
            data["N"],
            [json!({"MetricName": "Calls", "Values": [1.0, 2.0], "Counts": [2.0, 1.0]})]
        );
    }
}
