//! Handles one batch of the stream: one pass over its records, one append.

use std::convert::Infallible;
use std::error::Error;

use aws_lambda_events::event::kinesis::KinesisEventRecord;
use domain::delivery::{BatchAnswer, Outcome};
use domain::entry::Packer;
use domain::event::{EventRef, Rejection};
use domain::time::UnixMillis;
use runtime::clock::Clock;
use runtime::errors::{self, Position};
use runtime::journal::Journal;
use runtime::metrics::Metric;
use runtime::store::{Store, StoreError};
use runtime::together::together;
use serde::Deserialize;

use crate::metrics;

/// The event of an invocation, from Lambda or from an operator.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Delivery {
    /// The records.
    #[serde(rename = "Records")]
    pub records: Vec<KinesisEventRecord>,
    /// Whether the response reports the outcome; Lambda never asks for it.
    #[serde(default)]
    pub report_outcome: bool,
}

/// The result of a batch.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Records finished: appended or set aside.
    pub processed: u64,
    /// Events appended to the journal.
    pub appended: u64,
    /// Sequence numbers of the records set aside.
    pub set_aside: Vec<String>,
    /// Milliseconds from the time of each appended event until it was stored.
    pub latencies: Vec<i64>,
}

impl From<Report> for Outcome {
    fn from(report: Report) -> Self {
        Self {
            appended: report.appended,
            set_aside: report.set_aside,
        }
    }
}

/// The processor over the journal. Records that are set aside go into the journal's table.
#[derive(Debug)]
pub struct Processor<S> {
    /// The journal.
    pub journal: Journal<S>,
}

/// The parsed records of a batch.
struct Batch<'a> {
    events: Vec<EventRef<'a>>,
    /// The records of the events.
    sequence_numbers: Vec<&'a str>,
    refused: Vec<(&'a KinesisEventRecord, Rejection)>,
}

impl<S: Store> Processor<S> {
    /// Processes a delivery and returns the response and the metrics.
    ///
    /// An operator who submits records again gets the outcome instead of metrics: these records
    /// passed through the stream long ago.
    pub async fn handle(
        &self,
        delivery: &Delivery,
        clock: &impl Clock,
    ) -> (BatchAnswer, Vec<Metric>) {
        let (mut answer, report) = self.process(&delivery.records, clock).await;
        if delivery.report_outcome {
            answer.outcome = Some(report.into());
            return (answer, Vec::new());
        }
        (answer, metrics::of_batch(report))
    }

    /// Appends the events of a batch to the journal, sets its other records aside, and returns the
    /// records to redeliver.
    pub async fn process(
        &self,
        records: &[KinesisEventRecord],
        clock: &impl Clock,
    ) -> (BatchAnswer, Report) {
        let now = clock.now();
        let batch = Batch::read(records, now);
        let (appended, set_aside) = tokio::join!(
            self.append(&batch.events, clock),
            self.set_aside(&batch.refused, now),
        );
        let mut report = Report::default();
        let mut failed = Vec::new();
        match appended {
            Ok(stored_at) => {
                report.appended = count(batch.events.len());
                let times = batch.events.iter().map(EventRef::time);
                report.latencies = times.map(|time| stored_at.since(time).max(0)).collect();
            }
            Err(error) => {
                tracing::warn!(error = &error as &dyn Error, "events will be redelivered");
                failed = batch.sequence_numbers;
            }
        }
        for ((record, _), done) in batch.refused.iter().zip(set_aside) {
            let sequence_number = &record.kinesis.sequence_number;
            match done {
                Ok(()) => report.set_aside.push(sequence_number.clone()),
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn Error,
                        sequence_number,
                        "a record will be redelivered"
                    );
                    failed.push(sequence_number);
                }
            }
        }
        report.processed = count(records.len() - failed.len());
        (BatchAnswer::failed(failed), report)
    }

    /// Appends all events or fails; returns the time at which they were stored.
    async fn append(
        &self,
        events: &[EventRef<'_>],
        clock: &impl Clock,
    ) -> Result<UnixMillis, StoreError> {
        let mut packer = Packer::default();
        for event in events {
            packer.report(event);
        }
        self.journal.append(packer, clock.now()).await?;
        Ok(clock.now())
    }

    async fn set_aside(
        &self,
        refused: &[(&KinesisEventRecord, Rejection)],
        now: UnixMillis,
    ) -> Vec<Result<(), StoreError>> {
        let each = refused.iter().map(async |(record, rejection)| {
            let position = position(record);
            tracing::warn!(
                shard = position.shard_id,
                sequence_number = position.sequence_number,
                reason = rejection.reason.as_str(),
                message = %rejection.message,
                "record set aside"
            );
            let payload = &record.kinesis.data.0;
            let done = errors::set_aside(&self.journal.store, position, payload, rejection, now);
            Ok::<_, Infallible>(done.await)
        });
        let Ok(done) = together(each.collect()).await;
        done
    }
}

impl<'a> Batch<'a> {
    fn read(records: &'a [KinesisEventRecord], now: UnixMillis) -> Self {
        let mut batch = Self {
            events: Vec::with_capacity(records.len()),
            sequence_numbers: Vec::with_capacity(records.len()),
            refused: Vec::new(),
        };
        for record in records {
            let event = EventRef::decode(&record.kinesis.data.0);
            match event.and_then(|event| event.check_time(now).map(|()| event)) {
                Ok(event) => {
                    batch.events.push(event);
                    batch.sequence_numbers.push(&record.kinesis.sequence_number);
                }
                Err(rejection) => batch.refused.push((record, rejection)),
            }
        }
        batch
    }
}

/// A record's `eventID` is `{shard id}:{sequence number}`.
fn position(record: &KinesisEventRecord) -> Position<'_> {
    let event_id = record.event_id.as_deref().unwrap_or_default();
    Position {
        shard_id: event_id
            .split_once(':')
            .map_or("", |(shard_id, _)| shard_id),
        sequence_number: &record.kinesis.sequence_number,
    }
}

fn count(records: usize) -> u64 {
    u64::try_from(records).unwrap_or(u64::MAX)
}
