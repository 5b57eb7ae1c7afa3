//! Invocations under way, each polled by hand: between two calls to a table or the stream anybody
//! else may go on, and whoever waits for an answer that never comes dies there.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use aggregator::handler::Aggregator;
use authorizer::tracking::Tracking;
use aws_lambda_events::event::dynamodb::EventRecord;
use aws_lambda_events::event::kinesis::KinesisEvent;
use domain::event::UsageEvent;
use domain::time::UnixMillis;
use processor::handler::Processor;
use reconciler::handler::Reconciler;
use reconciler::invocation::{Invocation, LogData, Message as QueueMessage};
use runtime::memory::{MemoryStore, Pace};
use tokio::time::Instant;

use super::feed::InvocationId;
use super::log::{Message, ModelQueue};
use super::weather::{ModelStream, Weather};

/// Time that an authorizer has for one event.
const TO_REPORT: Duration = Duration::from_secs(4);
/// Longer than any pause before another attempt.
const PAUSE: Duration = Duration::from_millis(250);

/// An invocation under way.
pub(super) struct Task {
    pub(super) doing: Doing,
    /// Whether an aggregator hears of what it changes.
    pub(super) heard: bool,
    future: Pin<Box<dyn Future<Output = Done> + Send>>,
}

/// What is under way.
#[derive(Debug, Clone)]
pub(super) enum Doing {
    /// An authorizer reports an event.
    Report {
        event: usize,
        instance: usize,
        /// When Lambda ends it.
        until: UnixMillis,
    },
    /// The processor counts records.
    Count {
        records: Vec<usize>,
        at: UnixMillis,
        of: Option<InvocationId>,
    },
    /// The aggregator rolls changes up.
    RollUp { of: Option<InvocationId> },
    /// The aggregator mends the last minutes.
    Tick,
    /// The reconciler takes lines; whether they come again where it fails.
    Deliver { lines: Vec<usize>, again: bool },
    /// The reconciler takes lines that have waited.
    Settle { messages: Vec<Message> },
}

/// How it ended.
#[derive(Debug)]
pub(super) enum Done {
    /// Whether somebody took the event.
    Reported(bool),
    /// The sequence numbers that must come again.
    Batch(Vec<String>),
    Ticked,
    /// Whether the lines were taken.
    Delivered(bool),
}

/// What became of a task that was polled.
pub(super) enum Polled {
    /// It goes on.
    Pending,
    /// It ended.
    Done(Done),
    /// It died.
    Died,
}

impl Task {
    pub(super) fn report(
        tracking: &Arc<Tracking<ModelStream, MemoryStore>>,
        event: UsageEvent,
        number: usize,
        (instance, until): (usize, UnixMillis),
    ) -> Self {
        let tracking = Arc::clone(tracking);
        Self {
            doing: Doing::Report {
                event: number,
                instance,
                until,
            },
            heard: true,
            future: Box::pin(async move {
                let until = Instant::now() + TO_REPORT;
                Done::Reported(tracking.hand_over(&event, until).await.is_ok())
            }),
        }
    }

    pub(super) fn count(
        processor: &Arc<Processor<MemoryStore>>,
        batch: KinesisEvent,
        records: Vec<usize>,
        at: UnixMillis,
        of: Option<InvocationId>,
    ) -> Self {
        let processor = Arc::clone(processor);
        Self {
            doing: Doing::Count { records, at, of },
            heard: true,
            future: Box::pin(async move {
                let (answer, _) = processor.process(&batch, at, || at).await;
                let failed = answer.batch_item_failures.into_iter();
                Done::Batch(failed.map(|item| item.item_identifier).collect())
            }),
        }
    }

    pub(super) fn roll_up(
        aggregator: &Arc<Aggregator<MemoryStore>>,
        batch: Vec<EventRecord>,
        of: Option<InvocationId>,
    ) -> Self {
        let aggregator = Arc::clone(aggregator);
        Self {
            doing: Doing::RollUp { of },
            heard: true,
            future: Box::pin(async move {
                let answer = aggregator.batch(&batch).await;
                let failed = answer.batch_item_failures.into_iter();
                Done::Batch(failed.map(|item| item.item_identifier).collect())
            }),
        }
    }

    pub(super) fn tick(aggregator: &Arc<Aggregator<MemoryStore>>, at: UnixMillis) -> Self {
        let aggregator = Arc::clone(aggregator);
        Self {
            doing: Doing::Tick,
            heard: true,
            future: Box::pin(async move {
                // A tick that failed is not repeated: the next one mends.
                let _ = aggregator.tick(at).await;
                Done::Ticked
            }),
        }
    }

    pub(super) fn deliver(
        reconciler: &Arc<Reconciler<MemoryStore, ModelQueue>>,
        data: LogData,
        at: UnixMillis,
        (lines, again): (Vec<usize>, bool),
    ) -> Self {
        let reconciler = Arc::clone(reconciler);
        Self {
            doing: Doing::Deliver { lines, again },
            heard: true,
            future: Box::pin(async move {
                Done::Delivered(reconciler.deliver(&data, at).await.is_ok())
            }),
        }
    }

    pub(super) fn settle(
        reconciler: &Arc<Reconciler<MemoryStore, ModelQueue>>,
        messages: Vec<Message>,
        at: UnixMillis,
    ) -> Self {
        let reconciler = Arc::clone(reconciler);
        let record = |message: &Message| QueueMessage {
            message_id: message.id.to_string(),
            body: message.body.clone(),
        };
        let records = messages.iter().map(record).collect();
        Self {
            doing: Doing::Settle { messages },
            heard: true,
            future: Box::pin(async move {
                let invocation = Invocation::Queue {
                    records,
                    report_outcome: false,
                };
                let answered = reconciler.handle(&invocation, at).await;
                let (answer, _) = answered.expect("messages fail one by one");
                let failed = answer.batch_item_failures.into_iter();
                Done::Batch(failed.map(|item| item.item_identifier).collect())
            }),
        }
    }

    /// Whether a reconciler of stream mode is at work, for as long as which there is an aggregator.
    pub(super) const fn is_waited_for(&self) -> bool {
        self.heard && matches!(self.doing, Doing::Deliver { .. } | Doing::Settle { .. })
    }

    /// Lets the task go on until it stands still, ends or dies.
    pub(super) async fn poll(&mut self, pace: &Pace, weather: &Weather) -> Polled {
        loop {
            let stops = pace.stops();
            let mut context = Context::from_waker(Waker::noop());
            let polled = self.future.as_mut().poll(&mut context);
            if weather.take_hung() {
                return Polled::Died;
            }
            match polled {
                Poll::Ready(done) => return Polled::Done(done),
                Poll::Pending if pace.stops() > stops => return Polled::Pending,
                // It pauses before another attempt.
                Poll::Pending => tokio::time::advance(PAUSE).await,
            }
        }
    }
}
