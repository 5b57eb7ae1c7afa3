//! What the processor does with one batch of the stream.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;

use aws_lambda_events::event::kinesis::{KinesisEvent, KinesisEventRecord};
use domain::delivery::{Answer, Outcome};
use domain::event::{EventType, Reason, Rejection, UsageEvent};
use domain::leaf::LeafKey;
use domain::time::UnixMillis;
use runtime::errors::{self, Position};
use runtime::store::{Store, StoreError};
use runtime::{counting, raw};
use serde::Deserialize;

/// What the processor is invoked with: by Lambda, or by an operator in its place.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Delivery {
    /// The records, as in [`KinesisEvent`].
    #[serde(rename = "Records")]
    pub records: Vec<KinesisEventRecord>,
    /// Whether to say what became of them; Lambda never asks.
    #[serde(default)]
    pub report_outcome: bool,
}

/// What was done with a batch, for the metrics.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Records finished: counted, known already, or set aside.
    pub processed: u64,
    /// Events counted, by type.
    pub counted: BTreeMap<EventType, u64>,
    /// Events that had been counted before.
    pub duplicates: u64,
    /// Sequence numbers of the records set aside.
    pub set_aside: Vec<String>,
    /// Milliseconds from the time of each counted event until now.
    pub latencies: Vec<i64>,
}

impl From<Report> for Outcome {
    fn from(report: Report) -> Self {
        Self {
            counted: report.counted.values().sum(),
            duplicates: report.duplicates,
            set_aside: report.set_aside,
        }
    }
}

/// The processor over the analytics table.
#[derive(Debug)]
pub struct Processor<S> {
    /// The analytics table.
    pub store: S,
    /// How long raw events are kept.
    pub raw_retention_days: i64,
}

/// A record that holds an event.
struct Received<'a> {
    event: UsageEvent,
    payload: &'a [u8],
    sequence_number: &'a str,
}

impl<S: Store> Processor<S> {
    /// Counts the events of a batch; says which records must come again.
    ///
    /// `now` is when the batch came, `clock` tells the time when its events are stored.
    pub async fn process(
        &self,
        batch: &KinesisEvent,
        now: UnixMillis,
        clock: impl Fn() -> UnixMillis + Send,
    ) -> (Answer, Report) {
        let mut report = Report::default();
        let mut failed = BTreeSet::new();
        let mut received = Vec::new();
        for record in &batch.records {
            let refused = match read(record, now) {
                Ok(event) => {
                    received.push(event);
                    continue;
                }
                Err(refused) => refused,
            };
            match self.refuse(record, &refused, now).await {
                Ok(Refusal::SetAside) => {
                    let sequence_number = &record.kinesis.sequence_number;
                    report.set_aside.push(sequence_number.clone());
                }
                Ok(Refusal::CountedBefore) => report.duplicates += 1,
                Err(error) => again(
                    &mut failed,
                    &error,
                    [record.kinesis.sequence_number.as_str()],
                ),
            }
        }
        let raw: Vec<(&UsageEvent, &[u8])> = received
            .iter()
            .map(|received| (&received.event, received.payload))
            .collect();
        match raw::keep(&self.store, &raw, self.raw_retention_days).await {
            Ok(()) => {
                self.count(&received, &clock, &mut failed, &mut report)
                    .await;
            }
            Err(error) => {
                again(
                    &mut failed,
                    &error,
                    received.iter().map(|received| received.sequence_number),
                );
            }
        }
        let records = u64::try_from(batch.records.len()).unwrap_or(u64::MAX);
        report.processed = records.saturating_sub(u64::try_from(failed.len()).unwrap_or(0));
        (answer(batch, &failed), report)
    }

    async fn count(
        &self,
        received: &[Received<'_>],
        clock: &(impl Fn() -> UnixMillis + Send),
        failed: &mut BTreeSet<String>,
        report: &mut Report,
    ) {
        for (first, row) in counting::rows(received.iter().map(|received| &received.event)) {
            match row.count(&self.store, first.clone()).await {
                Ok(done) => {
                    let stored_at = clock();
                    for event in done.counted {
                        *report.counted.entry(event.event_type).or_default() += 1;
                        report.latencies.push(stored_at.since(event.time).max(0));
                    }
                    report.duplicates += u64::try_from(done.duplicates.len()).unwrap_or(u64::MAX);
                }
                Err(error) => {
                    let of_row = received
                        .iter()
                        .filter(|received| LeafKey::of(&received.event) == first)
                        .map(|received| received.sequence_number);
                    again(failed, &error, of_row);
                }
            }
        }
    }

    /// Sets a record aside, unless it holds an event that was counted while it was young enough:
    /// a replay from the oldest record meets such, and nothing is wrong with them.
    async fn refuse(
        &self,
        record: &KinesisEventRecord,
        refused: &Refused,
        now: UnixMillis,
    ) -> Result<Refusal, StoreError> {
        if let Some(event) = &refused.too_old
            && counting::is_counted(&self.store, event).await?
        {
            return Ok(Refusal::CountedBefore);
        }
        self.set_aside(record, &refused.rejection, now).await?;
        Ok(Refusal::SetAside)
    }

    async fn set_aside(
        &self,
        record: &KinesisEventRecord,
        rejection: &Rejection,
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        let position = position(record);
        tracing::warn!(
            shard = position.shard_id,
            sequence_number = position.sequence_number,
            reason = rejection.reason.as_str(),
            message = %rejection.message,
            "record set aside"
        );
        errors::set_aside(
            &self.store,
            position,
            &record.kinesis.data.0,
            rejection,
            now,
        )
        .await
    }
}

/// A record that cannot be counted.
struct Refused {
    rejection: Rejection,
    /// The event that it holds, where its age is all that is wrong with it.
    too_old: Option<Box<UsageEvent>>,
}

/// What became of a record that cannot be counted.
enum Refusal {
    SetAside,
    CountedBefore,
}

fn read(record: &KinesisEventRecord, now: UnixMillis) -> Result<Received<'_>, Refused> {
    let payload = record.kinesis.data.0.as_slice();
    let event = UsageEvent::decode(payload).map_err(|rejection| Refused {
        rejection,
        too_old: None,
    })?;
    match event.check_time(now) {
        Ok(()) => Ok(Received {
            event,
            payload,
            sequence_number: &record.kinesis.sequence_number,
        }),
        Err(rejection) => {
            let too_old = (rejection.reason == Reason::TooOld).then(|| Box::new(event));
            Err(Refused { rejection, too_old })
        }
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

fn again<'a>(
    failed: &mut BTreeSet<String>,
    error: &StoreError,
    sequence_numbers: impl IntoIterator<Item = &'a str>,
) {
    tracing::warn!(error = error as &dyn Error, "records will come again");
    failed.extend(sequence_numbers.into_iter().map(str::to_owned));
}

/// Failed records in the order of the batch.
fn answer(batch: &KinesisEvent, failed: &BTreeSet<String>) -> Answer {
    let records = batch.records.iter();
    let positions = records.map(|record| record.kinesis.sequence_number.as_str());
    Answer::failed(positions.filter(|position| failed.contains(*position)))
}
