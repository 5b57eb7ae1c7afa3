//! Reports a decision where it will be counted, after the caller has its answer.
//!
//! With the stream: to the stream; where that does not take the event, into the analytics table,
//! kept raw there before it is counted, as the processor does; where both are gone, into the usage
//! table. In synchronous mode: into the usage table, which keeps no raw events. Whoever may have
//! taken an event without saying so is no danger: the event's id is counted once. What nobody takes
//! goes to the log, whole, and the gateway's access log brings it back.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use domain::event::UsageEvent;
use domain::names::{TrackingMode, api_metric};
use runtime::clock;
use runtime::counting;
use runtime::log::Chain;
use runtime::metrics::{Metric, Metrics};
use runtime::raw;
use runtime::rolling::{LeafAt, Rolling};
use runtime::spill::Limits;
use runtime::store::{Store, StoreError};
use runtime::stream::{EventStream, PutError, Retries, put_with_retries};
use tokio::time::{Instant, error::Elapsed, timeout_at};

/// How long the stream is left alone after it did not take an event: each call would else hold its
/// instance for all the retries, and a busy API run out of instances.
const PAUSE: Duration = Duration::from_secs(5);
/// Longest that one event may hold the instance.
const LONGEST_REPORT: Duration = Duration::from_secs(4);

/// The table that takes what the stream does not.
#[derive(Debug)]
pub struct Analytics<S> {
    /// The analytics table.
    pub store: S,
    /// How long raw events are kept in it.
    pub raw_retention_days: i64,
    /// How much one item of it takes.
    pub limits: Limits,
}

/// Where decisions are reported.
#[derive(Debug)]
pub struct Tracking<P, S> {
    stream: P,
    analytics: Analytics<S>,
    usage: S,
    metrics: Metrics,
    /// Until when the stream is left alone.
    paused_until: Mutex<Option<Instant>>,
}

/// An event that nobody took.
#[derive(Debug, thiserror::Error)]
pub enum Untaken {
    /// In synchronous mode there is only the usage table.
    #[error("the table did not take the event")]
    Table(#[from] StoreError),
    /// The stream did not, and then the table did not either.
    #[error(
        "neither stream nor table took the event; the stream: {}",
        Chain(stream)
    )]
    StreamAndTable {
        /// What the stream said.
        stream: PutError,
        /// What the table said.
        #[source]
        table: StoreError,
    },
    /// There was no more time.
    #[error("nobody took the event in time")]
    OutOfTime(#[from] Elapsed),
}

impl<P: EventStream, S: Store> Tracking<P, S> {
    /// Reports to `stream`, `analytics` and `usage`, and says how that goes in `metrics`.
    pub fn new(stream: P, analytics: Analytics<S>, usage: S, metrics: Metrics) -> Self {
        Self {
            stream,
            analytics,
            usage,
            metrics,
            paused_until: Mutex::new(None),
        }
    }

    /// Reports `event` before `until`, to whom its mode says.
    pub async fn report(&self, event: UsageEvent, until: Instant) {
        let until = until.min(Instant::now() + LONGEST_REPORT);
        let metric = match self.hand_over(&event, until).await {
            Ok(()) => api_metric::USAGE_TRACKING_SUCCESS,
            Err(error) => {
                let json = String::from_utf8_lossy(&event.to_json()).into_owned();
                tracing::error!(event = json, error = %Chain(&error), "uncounted event");
                api_metric::USAGE_TRACKING_FAILURE
            }
        };
        self.metrics.emit(clock::now(), &[Metric::count(metric, 1)]);
    }

    /// Hands `event` over before `until`, to whom its mode says.
    pub async fn hand_over(&self, event: &UsageEvent, until: Instant) -> Result<(), Untaken> {
        let handed_over = async {
            match event.data.mode {
                TrackingMode::Stream => self.to_stream_or_table(event).await,
                TrackingMode::Synchronous => Ok(self.count_synchronous(event).await?),
            }
        };
        timeout_at(until, handed_over).await?
    }

    async fn to_stream_or_table(&self, event: &UsageEvent) -> Result<(), Untaken> {
        let refused = if self.is_paused() {
            None
        } else {
            match self.put(event, Retries::BRIEF).await {
                Ok(()) => return Ok(()),
                Err(error) => Some(error),
            }
        };
        let table = match self.keep_and_count(event).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let stream = match refused {
            Some(error) => error,
            // The stream was left alone; now it is wanted.
            None => match self.put(event, Retries::NONE).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            },
        };
        let gone = matches!(
            (&stream, &table),
            (
                PutError::StreamMissing { .. },
                StoreError::TableMissing { .. }
            )
        );
        if gone {
            return Ok(self.count_as_synchronous(event).await?);
        }
        Err(Untaken::StreamAndTable { stream, table })
    }

    async fn put(&self, event: &UsageEvent, retries: Retries) -> Result<(), PutError> {
        let put = put_with_retries(&self.stream, event, retries).await;
        let paused_until = match &put {
            Ok(()) => None,
            Err(error) => {
                tracing::warn!(error = %Chain(error), "the stream did not take an event");
                Some(Instant::now() + PAUSE)
            }
        };
        *self
            .paused_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = paused_until;
        put
    }

    fn is_paused(&self) -> bool {
        let paused_until = self
            .paused_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        paused_until.is_some_and(|until| Instant::now() < until)
    }

    async fn keep_and_count(&self, event: &UsageEvent) -> Result<(), StoreError> {
        let Analytics {
            store,
            raw_retention_days,
            limits,
        } = &self.analytics;
        raw::keep(store, &[(event, &event.to_json())], *raw_retention_days).await?;
        self.count(store, *limits, event).await
    }

    /// The stream's stack is gone and its table with it: what is counted now is counted as if in
    /// synchronous mode, the month being the sum of both.
    async fn count_as_synchronous(&self, event: &UsageEvent) -> Result<(), StoreError> {
        let mut event = event.clone();
        event.data.mode = TrackingMode::Synchronous;
        self.count_synchronous(&event).await
    }

    async fn count_synchronous(&self, event: &UsageEvent) -> Result<(), StoreError> {
        self.count(&self.usage, Limits::default(), event).await
    }

    /// Counts into a leaf of `leaves` and rolls it up. The event is taken once it is in the leaf.
    async fn count(
        &self,
        leaves: &S,
        limits: Limits,
        event: &UsageEvent,
    ) -> Result<(), StoreError> {
        let rolling = Rolling {
            leaves,
            usage: &self.usage,
            mode: event.data.mode,
            limits,
        };
        for (first, row) in counting::rows([event]) {
            let counted = row.count(leaves, first).await?;
            let leaves: Vec<LeafAt<'_>> = counted
                .leaves
                .iter()
                .map(|(key, updated)| LeafAt {
                    key,
                    version: updated.version,
                    leaf: &updated.state,
                })
                .collect();
            if let Err(error) = rolling.roll_up(&leaves).await {
                tracing::warn!(error = %Chain(&error), "an event is counted and not rolled up");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
