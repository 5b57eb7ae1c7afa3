//! Delivers records to the processor and lines of the access log to the reconciler, as Lambda does,
//! and hours to the aggregator, to be folded again.
//!
//! An event counts once even if it is appended many times, and a fold replaces counts. So
//! everything that fails here can be repeated any number of times.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use deployer::{Error, Functions, SetAside, StreamRecord};
use domain::delivery::BatchAnswer;
use domain::names::Function;
use domain::time::{UnixMillis, Window};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::aws::Reached;
use crate::stop::Stop;

/// The most records per invocation.
const MOST_RECORDS: usize = 200;
/// The most bytes of JSON per invocation, which accepts 6 MB (Lambda quotas).
const MOST_BYTES: usize = 4_000_000;
/// Number of attempts.
const ATTEMPTS: u32 = 5;
/// Before the second attempt; doubled before each further one.
const PAUSE: Duration = Duration::from_millis(250);
/// Upper bound for the JSON around a record's payload.
const AROUND: usize = 1_000;

/// The fate of records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Delivered {
    /// Events appended to the journal, for the first time or again.
    pub(super) appended: u64,
    /// Positions of the records set aside, now or once more.
    pub(super) set_aside: BTreeSet<String>,
    /// Positions of the records that failed at every attempt: their fate is unknown.
    pub(super) failed: BTreeSet<String>,
}

impl Delivered {
    pub(super) fn add(&mut self, other: Self) {
        self.appended += other.appended;
        self.set_aside.extend(other.set_aside);
        self.failed.extend(other.failed);
    }
}

/// The deployed functions that append and fold.
#[derive(Debug)]
pub(super) struct Delivery {
    functions: Functions,
    processor: String,
    aggregator: String,
    reconciler: String,
    region: String,
}

/// An event as Lambda sends it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Event<R> {
    #[serde(rename = "Records")]
    records: Vec<R>,
    /// See [`domain::delivery`].
    #[serde(skip_serializing_if = "is_false")]
    report_outcome: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "what serde asks for")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct KinesisRecord<'a> {
    kinesis: KinesisData<'a>,
    event_source: &'static str,
    event_version: &'static str,
    #[serde(rename = "eventID")]
    event_id: String,
    event_name: &'static str,
    aws_region: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct KinesisData<'a> {
    kinesis_schema_version: &'static str,
    partition_key: &'a str,
    sequence_number: &'a str,
    data: String,
    approximate_arrival_timestamp: f64,
}

/// An operator's request to the aggregator: a span of time, both ends included.
#[derive(Debug, Serialize)]
struct FoldAgain {
    fold: Span,
}

#[derive(Debug, Serialize)]
struct Span {
    from: UnixMillis,
    to: UnixMillis,
}

/// The aggregator's response to it.
#[derive(Debug, Deserialize)]
struct FoldedAgain {
    minutes: u64,
}

/// A message of the queue that delays lines.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct QueueRecord<'a> {
    message_id: &'a str,
    body: Cow<'a, str>,
    event_source: &'static str,
}

/// An invocation by the subscription of the access log.
#[derive(Debug, Deserialize)]
struct OfLog {
    #[serde(rename = "awslogs")]
    _lines: serde::de::IgnoredAny,
}

/// A line in a message of that queue.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LogData<'a> {
    message_type: &'static str,
    log_group: &'a str,
    log_stream: &'a str,
    log_events: [LogEvent<'a>; 1],
}

#[derive(Debug, Serialize)]
struct LogEvent<'a> {
    id: &'a str,
    message: &'a str,
}

impl Delivery {
    pub(super) fn new(reached: &Reached) -> Self {
        let names = reached.environment.names();
        Self {
            functions: Functions::new(&reached.session),
            processor: names.function(Function::Processor),
            aggregator: names.function(Function::Aggregator),
            reconciler: names.function(Function::Reconciler),
            region: reached.session.region().to_owned(),
        }
    }

    /// Submits records of one shard to the processor, which appends their events.
    pub(super) async fn offer(
        &self,
        shard: &str,
        records: &[StreamRecord],
    ) -> anyhow::Result<Delivered> {
        let mut delivered = Delivered::default();
        for batch in batches(records, |record| record.data.len()) {
            delivered.add(self.offer_batch(shard, batch).await?);
        }
        Ok(delivered)
    }

    async fn offer_batch(&self, shard: &str, batch: &[StreamRecord]) -> anyhow::Result<Delivered> {
        let records = batch.iter();
        let records = records.map(|record| (&*record.sequence_number, self.record(shard, record)));
        let (mut delivered, failed) = self.offer_all(&self.processor, records.collect()).await?;
        delivered.failed = failed.into_iter().map(str::to_owned).collect();
        Ok(delivered)
    }

    /// Submits lines of one log to the reconciler, which appends what they report.
    pub(super) async fn offer_lines(
        &self,
        log: &str,
        lines: &[SetAside],
    ) -> anyhow::Result<Delivered> {
        let mut delivered = Delivered::default();
        // A line is escaped twice.
        for batch in batches(lines, |line| line.payload.len() * 6) {
            let records = batch.iter().map(|line| {
                let id = line.sequence_number.as_str();
                let record = QueueRecord {
                    message_id: id,
                    body: line_message(log, line)?.into(),
                    event_source: "aws:sqs",
                };
                anyhow::Ok((id, record))
            });
            let records = records.collect::<Result<_, _>>()?;
            let (of_batch, failed) = self.offer_all(&self.reconciler, records).await?;
            delivered.add(of_batch);
            delivered
                .failed
                .extend(failed.into_iter().map(str::to_owned));
        }
        Ok(delivered)
    }

    /// Submits the items with these identifiers to a function, and retries those that fail. Returns
    /// the fate of all, and the items that failed at every attempt.
    async fn offer_all<'a, R: Serialize>(
        &self,
        function: &str,
        mut rest: Vec<(&'a str, R)>,
    ) -> anyhow::Result<(Delivered, Vec<&'a str>)> {
        let mut delivered = Delivered::default();
        for attempt in 0..ATTEMPTS {
            pause_before(attempt).await;
            let event = Event {
                records: rest.iter().map(|(_, record)| record).collect(),
                report_outcome: true,
            };
            // A function that died processed some of its records, or none: all are submitted again.
            let answer = self.invoke(function, json(&event)?).await?;
            let Some(mut answer): Option<BatchAnswer> = answer else {
                continue;
            };
            let outcome = answer.outcome.take().with_context(|| {
                Stop::failed(format!(
                    "`{function}` does not report the outcome of records"
                ))
                .hint("it has an earlier version: deploy first")
            })?;
            delivered.appended += outcome.appended;
            delivered.set_aside.extend(outcome.set_aside);
            let failed: BTreeSet<&str> = answer.identifiers().collect();
            rest.retain(|(identifier, _)| failed.contains(identifier));
            if rest.is_empty() {
                break;
            }
        }
        let failed = rest.into_iter().map(|(identifier, _)| identifier);
        Ok((delivered, failed.collect()))
    }

    /// Makes the aggregator fold the hour of `at` again. Returns how many of its minutes have
    /// entries; `None` if the aggregator failed at every attempt.
    pub(super) async fn fold_hour(&self, at: UnixMillis) -> anyhow::Result<Option<u64>> {
        let from = Window::Hour.start(at);
        let to = Window::Hour.end(at).plus_millis(-1);
        let payload = json(&FoldAgain {
            fold: Span { from, to },
        })?;
        for attempt in 0..ATTEMPTS {
            pause_before(attempt).await;
            let answer = self.invoke(&self.aggregator, payload.clone()).await?;
            if let Some(FoldedAgain { minutes }) = answer {
                return Ok(Some(minutes));
            }
        }
        Ok(None)
    }

    /// Sends the reconciler what it gave up: an invocation by the log's subscription, or a message
    /// of its queue. Returns whether it accepted all of it.
    pub(super) async fn reconcile(&self, id: &str, body: &str) -> anyhow::Result<bool> {
        let payload = if serde_json::from_str::<OfLog>(body).is_ok() {
            body.as_bytes().to_vec()
        } else {
            json(&Event {
                records: vec![QueueRecord {
                    message_id: id,
                    body: body.into(),
                    event_source: "aws:sqs",
                }],
                report_outcome: false,
            })?
        };
        self.is_taken(&self.reconciler, payload).await
    }

    /// Whether a function accepts all of an event, in as many attempts as it needs.
    async fn is_taken(&self, function: &str, payload: Vec<u8>) -> anyhow::Result<bool> {
        for attempt in 0..ATTEMPTS {
            pause_before(attempt).await;
            let answer = self.invoke(function, payload.clone()).await?;
            if answer.is_some_and(|answer: BatchAnswer| answer.batch_item_failures.is_empty()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Invokes a function; `None` if it ran without producing a response, or cannot accept so much.
    async fn invoke<A: DeserializeOwned>(
        &self,
        function: &str,
        payload: Vec<u8>,
    ) -> anyhow::Result<Option<A>> {
        let body = match self.functions.invoke(function, payload).await {
            Ok(body) => body,
            Err(Error::FunctionFailed { .. }) => return Ok(None),
            Err(error) if error.code().is_some_and(|code| TRANSIENT.contains(&code)) => {
                return Ok(None);
            }
            Err(error) => return Err(error).context(format!("invoking `{function}`")),
        };
        let answer = serde_json::from_slice(&body);
        let answer = answer.with_context(|| {
            format!("`{function}` answered `{}`", String::from_utf8_lossy(&body))
        })?;
        Ok(Some(answer))
    }

    fn record<'a>(&'a self, shard: &str, record: &'a StreamRecord) -> KinesisRecord<'a> {
        KinesisRecord {
            kinesis: KinesisData {
                kinesis_schema_version: "1.0",
                partition_key: &record.partition_key,
                sequence_number: &record.sequence_number,
                data: STANDARD.encode(&record.data),
                approximate_arrival_timestamp: seconds(record.arrived),
            },
            event_source: "aws:kinesis",
            event_version: "1.0",
            event_id: format!("{shard}:{}", record.sequence_number),
            event_name: "aws:kinesis:record",
            aws_region: &self.region,
        }
    }
}

/// Waits before every attempt but the first.
async fn pause_before(attempt: u32) {
    if let Some(earlier) = attempt.checked_sub(1) {
        tokio::time::sleep(PAUSE * 2_u32.pow(earlier)).await;
    }
}

fn json(event: &impl Serialize) -> anyhow::Result<Vec<u8>> {
    serde_json::to_vec(event).context("writing an event")
}

/// Refusals of an invocation that concern its records, or are transient.
const TRANSIENT: [&str; 4] = [
    "RequestEntityTooLargeException",
    "RequestTooLargeException",
    "ServiceException",
    "TooManyRequestsException",
];

/// A message with one line, in the form of the reconciler's queue: each line fails on its own. For
/// a message without lines, which is kept in place of a log, this is the message itself.
fn line_message(log: &str, line: &SetAside) -> anyhow::Result<String> {
    let message = std::str::from_utf8(&line.payload).context("a line is not text")?;
    let Some((log_group, log_stream)) = log.rsplit_once('/') else {
        return Ok(message.to_owned());
    };
    let data = LogData {
        message_type: "DATA_MESSAGE",
        log_group,
        log_stream,
        log_events: [LogEvent {
            id: &line.sequence_number,
            message,
        }],
    };
    serde_json::to_string(&data).context("writing a line")
}

/// Milliseconds in the form of Lambda's events: seconds with a fraction.
#[expect(clippy::cast_precision_loss, reason = "times fit 53 bits")]
fn seconds(at: UnixMillis) -> f64 {
    at.0 as f64 / 1_000.0
}

/// Consecutive parts that each fit into one invocation.
fn batches<T>(all: &[T], bytes: impl Fn(&T) -> usize) -> Vec<&[T]> {
    let mut batches = Vec::new();
    let (mut from, mut size) = (0, 0);
    for (at, one) in all.iter().enumerate() {
        // Base64 turns three bytes into four.
        let more = bytes(one) / 3 * 4 + AROUND;
        if at > from && (at - from >= MOST_RECORDS || size + more > MOST_BYTES) {
            batches.extend(all.get(from..at));
            (from, size) = (at, 0);
        }
        size += more;
    }
    batches.extend(all.get(from..).filter(|rest| !rest.is_empty()));
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery() -> Delivery {
        let session = deployer::Session::embedded("ap-south-1", "http://127.0.0.1:9");
        Delivery {
            functions: Functions::new(&session),
            processor: "P".into(),
            aggregator: "A".into(),
            reconciler: "R".into(),
            region: "ap-south-1".into(),
        }
    }

    #[test]
    fn a_record_is_handed_over_as_lambda_does() {
        let record = StreamRecord {
            sequence_number: "17".into(),
            partition_key: "ann@example.com".into(),
            arrived: UnixMillis(1_796_083_200_250),
            data: b"abc".to_vec(),
        };
        let delivery = delivery();
        let event = Event {
            records: vec![delivery.record("shardId-000000000001", &record)],
            report_outcome: true,
        };
        assert_eq!(
            serde_json::to_value(&event).unwrap(),
            serde_json::json!({
                "Records": [{
                    "kinesis": {
                        "kinesisSchemaVersion": "1.0", "partitionKey": "ann@example.com",
                        "sequenceNumber": "17", "data": "YWJj",
                        "approximateArrivalTimestamp": 1_796_083_200.25,
                    },
                    "eventSource": "aws:kinesis", "eventVersion": "1.0",
                    "eventID": "shardId-000000000001:17", "eventName": "aws:kinesis:record",
                    "awsRegion": "ap-south-1",
                }],
                "reportOutcome": true,
            })
        );
        assert_eq!(domain::delivery::REPORT_OUTCOME, "reportOutcome");
    }

    #[test]
    fn the_aggregator_is_asked_for_a_whole_hour() {
        let fold = Span {
            from: UnixMillis(1_796_083_200_000),
            to: UnixMillis(1_796_086_799_999),
        };
        assert_eq!(
            serde_json::to_value(FoldAgain { fold }).unwrap(),
            serde_json::json!({"fold": {"from": 1_796_083_200_000_i64, "to": 1_796_086_799_999_i64}})
        );
    }

    #[test]
    fn batches_keep_order_and_both_limits() {
        assert_eq!(batches(&[] as &[u8], |_| 1), Vec::<&[u8]>::new());
        let many: Vec<usize> = (0..450).collect();
        let split = batches(&many, |_| 1);
        assert_eq!(
            split.iter().map(|batch| batch.len()).collect::<Vec<_>>(),
            [200, 200, 50]
        );
        assert_eq!(split.concat(), many);
        let sizes = [2_000_000, 1_500_000, 9_000_000, 1];
        let split = batches(&sizes, |size| *size);
        assert_eq!(
            split,
            [&sizes[0..1], &sizes[1..2], &sizes[2..3], &sizes[3..4]]
        );
    }
}
