//! Reports each decision after the caller has its response.
//!
//! In stream mode the event goes to the stream. If the stream does not accept it, it is appended to
//! the journal directly, as the processor would do. In synchronous mode it is appended to the
//! journal at once. A stream that accepted an event without acknowledging it does no harm: the
//! event's id makes it count once. An event that nothing accepted goes to the log in full, and the
//! access log reports the call a second time.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::entry::Packer;
use domain::event::UsageEvent;
use domain::names::{TrackingMode, api_metric};
use runtime::clock::Clock;
use runtime::journal::Journal;
use runtime::log::Chain;
use runtime::metrics::{Metric, Metrics};
use runtime::store::{Store, StoreError};
use runtime::stream::{EventStream, PutError, Retries, put_with_retries};
use tokio::time::{Instant, error::Elapsed, timeout_at};

use crate::spread::Spread;

/// How long an instance leaves a stream alone that failed. Otherwise each call would hold its
/// instance for all the retries, and a busy API would run out of instances.
const PAUSE: Duration = Duration::from_secs(5);
/// The longest that one event may hold the instance.
const LONGEST_REPORT: Duration = Duration::from_secs(4);

/// Reports decisions to the stream and to the journal.
#[derive(Debug)]
pub struct Tracking<P, S, C> {
    stream: P,
    journal: Journal<S>,
    metrics: Metrics,
    clock: C,
    /// Until when the stream is left alone.
    paused_until: Mutex<Option<Instant>>,
    spread: Mutex<Spread>,
}

/// An event that nothing accepted.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// Synchronous mode has no stream.
    #[error("the journal did not accept the event")]
    Journal(#[from] StoreError),
    /// The stream and the journal failed.
    #[error(
        "neither the stream nor the journal accepted the event; the stream: {}",
        Chain(stream)
    )]
    StreamAndJournal {
        /// Why the stream failed.
        stream: PutError,
        /// Why the journal failed.
        #[source]
        journal: StoreError,
    },
    /// Time ran out.
    #[error("neither the stream nor the journal accepted the event in time")]
    OutOfTime(#[from] Elapsed),
}

impl<P: EventStream, S: Store, C: Clock> Tracking<P, S, C> {
    /// Reports to `stream` and `journal`, and counts successes and failures in `metrics`.
    pub fn new(stream: P, journal: Journal<S>, metrics: Metrics, clock: C) -> Self {
        Self {
            stream,
            journal,
            metrics,
            clock,
            paused_until: Mutex::default(),
            spread: Mutex::default(),
        }
    }

    /// Reports `event` before `until`. An event that nothing accepts goes to the log.
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
        let count = Metric::count(metric, 1);
        self.metrics.emit(self.clock.now(), &[count]);
    }

    /// Counts a call without an event: its caller cannot be identified.
    pub fn undecided(&self) {
        let count = Metric::count(api_metric::UNDECIDED_CALLS, 1);
        self.metrics.emit(self.clock.now(), &[count]);
    }

    /// Delivers `event` before `until`, to the stream or to the journal as its mode requires.
    pub async fn hand_over(&self, event: &UsageEvent, until: Instant) -> Result<(), ReportError> {
        let handed_over = async {
            match event.data.mode {
                TrackingMode::Stream => self.to_stream_or_journal(event).await,
                TrackingMode::Synchronous => Ok(self.append(event).await?),
            }
        };
        timeout_at(until, handed_over).await?
    }

    async fn to_stream_or_journal(&self, event: &UsageEvent) -> Result<(), ReportError> {
        let refused = if self.is_paused() {
            None
        } else {
            match self.put(event, Retries::BRIEF).await {
                Ok(()) => return Ok(()),
                Err(error) => Some(error),
            }
        };
        let Err(journal) = self.append(event).await else {
            return Ok(());
        };
        let stream = match refused {
            Some(error) => error,
            // The stream was left alone; now it is the last resort.
            None => match self.put(event, Retries::NONE).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            },
        };
        Err(ReportError::StreamAndJournal { stream, journal })
    }

    async fn put(&self, event: &UsageEvent, retries: Retries) -> Result<(), PutError> {
        let keys = lock(&self.spread).of(&event.subject, event.time);
        let partition_key = event.partition_key(keys);
        let put = put_with_retries(&self.stream, event, &partition_key, retries).await;
        *lock(&self.paused_until) = match &put {
            Ok(()) => None,
            Err(error) => {
                tracing::warn!(error = %Chain(error), "the stream did not accept an event");
                Some(Instant::now() + PAUSE)
            }
        };
        put
    }

    fn is_paused(&self) -> bool {
        lock(&self.paused_until).is_some_and(|until| Instant::now() < until)
    }

    async fn append(&self, event: &UsageEvent) -> Result<(), StoreError> {
        let event = event.borrowed();
        let mut packer = Packer::default();
        packer.report(&event);
        self.journal.append(packer, self.clock.now()).await
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
