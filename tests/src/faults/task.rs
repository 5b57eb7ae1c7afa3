//! Invocations in flight, each polled by hand: between two calls to a table or the stream any other
//! may continue, and one that waits for a response that never comes dies there.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use aggregator::handler::Aggregator;
use aggregator::thresholds::Thresholds;
use authorizer::tracking::Tracking;
use aws_lambda_events::event::dynamodb::EventRecord;
use aws_lambda_events::event::kinesis::KinesisEventRecord;
use collector::body::Collected;
use collector::collect::Collector;
use domain::event::UsageEvent;
use domain::key::KeyRecord;
use domain::limit::Over;
use domain::meter::decode;
use domain::plan::Plan;
use domain::time::UnixMillis;
use processor::handler::Processor;
use reconciler::handler::Reconciler;
use reconciler::invocation::{LogData, Message as QueueMessage};
use runtime::clock::Clock;
use runtime::memory::{MemoryStore, Pace};
use tokio::time::Instant;

use super::amounts::{self, Sending};
use super::feed::InvocationId;
use super::limits::ModelLimiter;
use super::log::{Message, ModelQueue};
use super::questions::{Answer, Question};
use super::weather::{ModelStream, Weather};

/// Time that an authorizer has for one event.
const TO_REPORT: Duration = Duration::from_secs(4);
/// How long the gateway waits for a response.
const GATEWAY_MILLIS: i64 = 29_000;
/// Longer than any pause before a further attempt.
const PAUSE: Duration = Duration::from_millis(250);

/// A clock that is ahead of the model's, or behind.
#[derive(Debug, Clone)]
pub(super) struct ModelClock {
    now: Arc<AtomicI64>,
    ahead: i64,
}

impl ModelClock {
    pub(super) const fn new(now: Arc<AtomicI64>, ahead: i64) -> Self {
        Self { now, ahead }
    }
}

impl Clock for ModelClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.now.load(Ordering::Relaxed)).plus_millis(self.ahead)
    }
}

pub(super) type ModelTracking = Tracking<ModelStream, MemoryStore, ModelClock>;

/// A warm instance of the aggregator: it remembers what it wrote.
pub(super) struct ModelAggregator {
    pub(super) folds: Aggregator<MemoryStore>,
    /// Knows the plans, and the queue that takes the ids of alerts and bills.
    pub(super) thresholds: Thresholds<MemoryStore, ModelQueue>,
}

/// An invocation in flight.
pub(super) struct Task {
    pub(super) doing: Doing,
    future: Pin<Box<dyn Future<Output = Done> + Send>>,
}

/// The work of a task.
#[derive(Debug, Clone)]
pub(super) enum Doing {
    /// An authorizer reports an event.
    Report {
        event: usize,
        instance: usize,
        /// When Lambda ends it.
        until: UnixMillis,
    },
    /// The processor appends records.
    Process {
        records: Vec<usize>,
        at: UnixMillis,
        of: Option<InvocationId>,
    },
    /// The aggregator folds changes.
    Fold {
        instance: usize,
        of: Option<InvocationId>,
    },
    /// The aggregator does the work that no change triggers.
    Tick,
    /// The reconciler forwards lines; `again` states whether they are redelivered if it fails.
    Forward { lines: Vec<usize>, again: bool },
    /// The reconciler appends lines.
    Append { messages: Vec<Message> },
    /// The analytics API is queried.
    Ask {
        question: Question,
        /// When the gateway gives up.
        until: UnixMillis,
    },
    /// The collector appends amounts.
    Collect { sending: Sending },
    /// An authorizer decides a call by its limits.
    Decide {
        /// The decision.
        number: usize,
        instance: usize,
        /// When Lambda ends it.
        until: UnixMillis,
    },
    /// An authorizer shares what it let through.
    KeepUp { instance: usize, until: UnixMillis },
}

/// The result of a task.
#[derive(Debug)]
pub(super) enum Done {
    /// Whether the event was accepted.
    Reported(bool),
    /// The sequence numbers to redeliver.
    Batch(Vec<String>),
    Ticked,
    /// Whether the lines were accepted.
    Forwarded(bool),
    /// `None` if there was no response.
    Answered(Option<Answer>),
    /// What became of amounts; `None` if the upstream has to send them again.
    Collected(Option<Collected>),
    /// The limit that the call exceeds, if any.
    Decided(Option<Over>),
    KeptUp,
}

/// The state of a task after a poll.
pub(super) enum Polled {
    /// It continues.
    Pending,
    /// It ended.
    Done(Done),
    /// It died.
    Died,
}

impl Task {
    fn new(doing: Doing, future: impl Future<Output = Done> + Send + 'static) -> Self {
        Self {
            doing,
            future: Box::pin(future),
        }
    }

    pub(super) fn report(
        tracking: &Arc<ModelTracking>,
        event: UsageEvent,
        number: usize,
        (instance, until): (usize, UnixMillis),
    ) -> Self {
        let tracking = Arc::clone(tracking);
        let doing = Doing::Report {
            event: number,
            instance,
            until,
        };
        Self::new(doing, async move {
            let until = Instant::now() + TO_REPORT;
            Done::Reported(tracking.hand_over(&event, until).await.is_ok())
        })
    }

    pub(super) fn process(
        processor: &Arc<Processor<MemoryStore>>,
        batch: Vec<KinesisEventRecord>,
        records: Vec<usize>,
        at: UnixMillis,
        of: Option<InvocationId>,
    ) -> Self {
        let processor = Arc::clone(processor);
        Self::new(Doing::Process { records, at, of }, async move {
            let (answer, _) = processor.process(&batch, &(move || at)).await;
            Done::Batch(answer.identifiers().map(str::to_owned).collect())
        })
    }

    pub(super) fn fold(
        aggregator: &Arc<ModelAggregator>,
        batch: Vec<EventRecord>,
        at: UnixMillis,
        patience: Option<u32>,
        (instance, of): (usize, Option<InvocationId>),
    ) -> Self {
        let aggregator = Arc::clone(aggregator);
        Self::new(Doing::Fold { instance, of }, async move {
            let looks = AtomicU32::new(0);
            let over =
                || patience.is_some_and(|most| looks.fetch_add(1, Ordering::Relaxed) >= most);
            let (answer, folded) = aggregator.folds.batch(&batch, at, &over).await;
            aggregator.thresholds.look(&folded.counted, at, &over).await;
            Done::Batch(answer.identifiers().map(str::to_owned).collect())
        })
    }

    pub(super) fn tick(aggregator: &Arc<ModelAggregator>, at: UnixMillis) -> Self {
        let aggregator = Arc::clone(aggregator);
        Self::new(Doing::Tick, async move {
            let never = || false;
            let thresholds = &aggregator.thresholds;
            let periods = thresholds.periods();
            // A tick that failed is not repeated: the next one continues.
            if periods.begin(at).await.is_ok()
                && let Ok(ticked) = aggregator.folds.tick(at, &never).await
            {
                thresholds.look(&ticked.folded.counted, at, &never).await;
                let _ = thresholds.look_at_closed(&ticked.closed, at, &never).await;
                let _ = periods.hand_over(at, &never).await;
            }
            Done::Ticked
        })
    }

    pub(super) fn forward(
        reconciler: &Arc<Reconciler<MemoryStore, ModelQueue>>,
        data: LogData,
        at: UnixMillis,
        (lines, again): (Vec<usize>, bool),
    ) -> Self {
        let reconciler = Arc::clone(reconciler);
        Self::new(Doing::Forward { lines, again }, async move {
            Done::Forwarded(reconciler.forward(&data, at).await.is_ok())
        })
    }

    pub(super) fn append(
        reconciler: &Arc<Reconciler<MemoryStore, ModelQueue>>,
        messages: Vec<Message>,
        at: UnixMillis,
    ) -> Self {
        let reconciler = Arc::clone(reconciler);
        let record = |message: &Message| QueueMessage {
            message_id: message.id.to_string(),
            body: message.body.clone(),
        };
        let records: Vec<QueueMessage> = messages.iter().map(record).collect();
        Self::new(Doing::Append { messages }, async move {
            let (answer, _) = reconciler.append(&records, at).await;
            Done::Batch(answer.identifiers().map(str::to_owned).collect())
        })
    }

    pub(super) fn ask(
        tables: (MemoryStore, MemoryStore),
        question: Question,
        at: UnixMillis,
    ) -> Self {
        let until = at.plus_millis(GATEWAY_MILLIS);
        Self::new(Doing::Ask { question, until }, async move {
            Done::Answered(question.ask(&tables, at).await)
        })
    }

    pub(super) fn collect(
        collector: &Arc<Collector<MemoryStore>>,
        sending: Sending,
        at: UnixMillis,
    ) -> Self {
        let collector = Arc::clone(collector);
        let events = sending.events();
        Self::new(Doing::Collect { sending }, async move {
            let meters = amounts::meters();
            let reports = events.iter().map(|event| decode(event, &meters, at));
            let collected = collector.collect(reports.collect(), at).await;
            Done::Collected(collected.ok())
        })
    }

    pub(super) fn decide(
        limiter: &Arc<ModelLimiter>,
        key: KeyRecord,
        plan: Plan,
        (units, at, number): (u32, UnixMillis, usize),
        (instance, until): (usize, UnixMillis),
    ) -> Self {
        let limiter = Arc::clone(limiter);
        let doing = Doing::Decide {
            number,
            instance,
            until,
        };
        Self::new(doing, async move {
            let admitted = limiter.admit(&key, &plan, units, at).await;
            Done::Decided(admitted.err().map(|limited| limited.over))
        })
    }

    pub(super) fn keep_up(
        limiter: &Arc<ModelLimiter>,
        key: KeyRecord,
        plan: Plan,
        at: UnixMillis,
        (instance, until): (usize, UnixMillis),
    ) -> Self {
        let limiter = Arc::clone(limiter);
        Self::new(Doing::KeepUp { instance, until }, async move {
            limiter.keep_up(&key, &plan, at).await;
            Done::KeptUp
        })
    }

    /// Lets the task continue until it pauses, ends or dies.
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
                // It pauses before a further attempt.
                Poll::Pending => tokio::time::advance(PAUSE).await,
            }
        }
    }
}
