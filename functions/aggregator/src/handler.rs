//! What the aggregator does with an event: a batch of the table's stream, or the minute tick.

use aws_lambda_events::event::dynamodb::EventRecord;
use domain::delivery::Answer;
use domain::names::TrackingMode;
use domain::time::{UnixMillis, Window};
use runtime::rolling::{LeafAt, Rolling};
use runtime::spill::Limits;
use runtime::store::{Store, StoreError};
use serde::Deserialize;

use crate::change::{self, Change};
use crate::global::{Global, Retention};

/// Minutes that a tick hands on again.
const MENDED_MINUTES: i64 = 5;

/// An event for the aggregator.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Event {
    /// A batch of the analytics table's stream.
    Batch {
        /// The stream's records.
        #[serde(rename = "Records")]
        records: Vec<EventRecord>,
    },
    /// The minute tick, an `EventBridge` event.
    Tick {
        /// `Scheduled Event`.
        #[serde(rename = "detail-type")]
        detail_type: ScheduledEvent,
    },
}

/// The one detail type that a tick has.
#[derive(Debug, Deserialize)]
pub enum ScheduledEvent {
    /// From a schedule rule.
    #[serde(rename = "Scheduled Event")]
    ScheduledEvent,
}

/// The aggregator over its two tables.
#[derive(Debug)]
pub struct Aggregator<S> {
    /// The analytics table.
    pub analytics: S,
    /// The usage table.
    pub usage: S,
    /// How long aggregates are kept.
    pub retention: Retention,
    /// How much one item takes.
    pub limits: Limits,
}

impl<S: Store> Aggregator<S> {
    /// Rolls up what a batch of stream records changed. A batch that failed is delivered again from
    /// its first record, whole, since every write of it may be repeated.
    pub async fn batch(&self, records: &[EventRecord]) -> Answer {
        let (changes, bad) = change::collect(records);
        for error in bad {
            // Counted all the same in its leaf; delivering it again would not help, and would
            // hold up every other user of the shard.
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "leaf change skipped"
            );
        }
        match self.roll_up(&changes).await {
            Ok(()) => Answer::default(),
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "batch will come again"
                );
                let first = records
                    .first()
                    .and_then(|record| record.change.sequence_number.as_deref());
                Answer::failed([first.unwrap_or_default()])
            }
        }
    }

    /// Mends the counts of the last minutes; says how many users the current hour has.
    pub async fn tick(&self, now: UnixMillis) -> Result<u64, StoreError> {
        let global = self.global();
        let from = Window::Minute
            .start(now)
            .plus_millis(-MENDED_MINUTES * 60_000);
        global.mend(from, now).await?;
        global.users_of_hour(now).await
    }

    async fn roll_up(&self, changes: &[Change]) -> Result<(), StoreError> {
        let leaves: Vec<LeafAt<'_>> = changes
            .iter()
            .map(
                |Change {
                     key, version, leaf, ..
                 }| LeafAt {
                    key,
                    version: *version,
                    leaf,
                },
            )
            .collect();
        let rolling = Rolling {
            leaves: &self.analytics,
            usage: &self.usage,
            mode: TrackingMode::Stream,
            limits: self.limits,
        };
        let busy = rolling.roll_up(&leaves).await?;
        self.global().take(changes, &busy).await
    }

    fn global(&self) -> Global<'_, S> {
        Global {
            store: &self.analytics,
            retention: self.retention,
            limits: self.limits,
        }
    }
}
