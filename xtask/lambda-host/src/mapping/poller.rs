//! Runs one mapping: performs the actions of the model.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::body::Bytes;
use jiff::Timestamp;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};

use super::{
    checkpoint::Checkpoints,
    destination,
    model::{
        Action, Discarded, Event, Finished, Invocation, Mapping, Millis, Position, read_response,
    },
    source::{Payload, Source},
    spec::{MappingSpec, SourceKind},
};
use crate::{
    emulator::{Emulator, EmulatorError},
    function::Outcome,
    functions::Functions,
    instance::Origin,
};

/// Minimum time between writes of checkpoints.
const SAVE_EVERY: Duration = Duration::from_millis(200);
/// How often to try a destination that does not accept a message.
const SEND_ATTEMPTS: u32 = 5;

/// The part of a mapping that its observers share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) spec: MappingSpec,
    pub(super) model: Mutex<Mapping<Payload>>,
    pub(super) invocations: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) records: AtomicU64,
    pub(super) discarded: AtomicU64,
}

impl Shared {
    pub(super) fn model(&self) -> MutexGuard<'_, Mapping<Payload>> {
        self.model.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) struct Poller {
    pub(super) shared: Arc<Shared>,
    pub(super) emulator: Emulator,
    pub(super) functions: Arc<Functions>,
    pub(super) source: Source,
    pub(super) checkpoints: Checkpoints,
    pub(super) stop: watch::Receiver<bool>,
}

/// Results of I/O.
enum Done {
    Event(Event<Payload>),
    Read {
        shard: String,
        next: Option<String>,
        event: Event<Payload>,
    },
}

impl Poller {
    /// Runs until it is asked to stop, then lets invocations in flight end.
    pub(super) async fn run(mut self) {
        let (sender, mut done) = mpsc::unbounded_channel();
        let mut iterators: HashMap<String, String> = HashMap::new();
        let mut event = Event::Tick;
        let mut save_at: Option<Instant> = None;
        let mut stopping = *self.stop.borrow();
        loop {
            let now = Timestamp::now().as_millisecond();
            let actions = self.shared.model().handle(now, event);
            let mut wake = Instant::now() + Duration::from_secs(1);
            for action in actions {
                if let Action::Wake(at) = action {
                    let wait = u64::try_from(at - now).unwrap_or(0);
                    wake = Instant::now() + Duration::from_millis(wait);
                } else {
                    self.act(action, stopping, &sender, &mut iterators).await;
                }
            }
            if self.checkpoints.is_changed() {
                let at = *save_at.get_or_insert_with(|| Instant::now() + SAVE_EVERY);
                if Instant::now() >= at || stopping {
                    self.save();
                    save_at = None;
                } else {
                    wake = wake.min(at);
                }
            }
            if stopping && self.shared.model().in_flight() == 0 {
                return self.save();
            }
            event = tokio::select! {
                Some(done) = done.recv() => match done {
                    Done::Event(event) => event,
                    Done::Read { shard, next, event } => {
                        match next {
                            Some(next) => drop(iterators.insert(shard, next)),
                            None => drop(iterators.remove(&shard)),
                        }
                        event
                    }
                },
                () = sleep_until(wake) => Event::Tick,
                _ = self.stop.changed(), if !stopping => {
                    stopping = true;
                    Event::Tick
                }
            };
        }
    }

    async fn act(
        &mut self,
        action: Action<Payload>,
        stopping: bool,
        done: &mpsc::UnboundedSender<Done>,
        iterators: &mut HashMap<String, String>,
    ) {
        match action {
            Action::Wake(_) => {}
            Action::Checkpoint { shard, checkpoint } => self.checkpoints.set(shard, checkpoint),
            Action::Discard(discarded) => self.discard(&discarded).await,
            // Actions skipped now happen after the restart.
            Action::List | Action::Poll { .. } if stopping => {}
            Action::Invoke(invocation) if stopping => {
                let event = Event::Finished {
                    id: invocation.id,
                    outcome: Finished::NotInvoked,
                };
                drop(done.send(Done::Event(event)));
            }
            Action::List => self.list(done.clone()),
            Action::Poll { shard, from } => {
                let iterator = iterators.remove(&shard);
                self.poll(shard, from, iterator, done.clone());
            }
            Action::Invoke(invocation) => self.invoke(invocation, done.clone()),
        }
    }

    fn save(&mut self) {
        if let Err(error) = self.checkpoints.save() {
            tracing::error!(mapping = self.shared.spec.uuid, %error, "cannot write checkpoints");
        }
    }

    fn list(&self, done: mpsc::UnboundedSender<Done>) {
        let source = self.source.clone();
        tokio::spawn(async move {
            let shards = loop {
                match source.shards().await {
                    Ok(shards) => break shards,
                    Err(error) => tracing::warn!(source = source.arn, %error, "cannot list shards"),
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
                if done.is_closed() {
                    return;
                }
            };
            drop(done.send(Done::Event(Event::Listed(shards))));
        });
    }

    fn poll(
        &self,
        shard: String,
        from: Position,
        iterator: Option<String>,
        done: mpsc::UnboundedSender<Done>,
    ) {
        let source = self.source.clone();
        tokio::spawn(async move {
            let read = read(&source, &shard, &from, iterator).await;
            let (next, event) = match read {
                Ok(page) => {
                    let end = page.next.is_none();
                    let event = Event::Polled {
                        shard: shard.clone(),
                        records: page.records,
                        behind: page.behind && !end,
                        end,
                    };
                    (page.next, event)
                }
                Err(error) if shard_is_gone(&error) => {
                    let event = Event::Polled {
                        shard: shard.clone(),
                        records: Vec::new(),
                        behind: false,
                        end: true,
                    };
                    (None, event)
                }
                Err(error) => {
                    if error.code() != Some("ExpiredIteratorException") {
                        tracing::warn!(source = source.arn, shard, %error, "cannot read a shard");
                    }
                    (
                        None,
                        Event::PollFailed {
                            shard: shard.clone(),
                        },
                    )
                }
            };
            drop(done.send(Done::Read { shard, next, event }));
        });
    }

    fn invoke(&self, invocation: Invocation<Payload>, done: mpsc::UnboundedSender<Done>) {
        let shared = Arc::clone(&self.shared);
        let functions = Arc::clone(&self.functions);
        tokio::spawn(async move {
            let payload = payload(&invocation.records);
            let name = &shared.spec.function_name;
            let begun = Instant::now();
            let outcome = functions.invoke(name, payload, None, Origin::Host).await;
            let age = Timestamp::now().as_millisecond() - invocation.last_arrived;
            let age = Duration::from_millis(u64::try_from(age).unwrap_or(0));
            functions
                .logs()
                .invoked(name, begun.elapsed(), &outcome, Some(age));
            let records = invocation.records.len() as u64;
            let outcome = shared.finished(records, &outcome);
            let event = Event::Finished {
                id: invocation.id,
                outcome,
            };
            drop(done.send(Done::Event(event)));
        });
    }

    async fn discard(&self, discarded: &Discarded) {
        self.shared
            .discarded
            .fetch_add(discarded.records as u64, Ordering::Relaxed);
        let mapping = &self.shared.spec;
        tracing::warn!(
            mapping = mapping.uuid,
            shard = discarded.shard,
            first = discarded.first,
            last = discarded.last,
            records = discarded.records,
            condition = ?discarded.condition,
            "records were given up"
        );
        let Some(destination) = &mapping.on_failure else {
            return;
        };
        let message = destination::message(mapping, discarded, Timestamp::now());
        for attempt in 1..=SEND_ATTEMPTS {
            let sent = destination::send(
                &self.emulator,
                &mapping.function_name,
                destination,
                &message,
            );
            match sent.await {
                Ok(()) => return,
                Err(error) => {
                    tracing::warn!(destination, attempt, %error, "the on-failure destination refused a message");
                }
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        tracing::error!(destination, %message, "an on-failure message is lost");
    }
}

impl Shared {
    fn finished(&self, records: u64, outcome: &Outcome) -> Finished {
        let finished = match outcome {
            Outcome::Success(body) if self.spec.settings.report_item_failures => {
                read_response(body)
            }
            Outcome::Success(_) => Finished::Success,
            Outcome::FunctionError(_) => Finished::Failure,
            Outcome::Throttled => Finished::NotInvoked,
            Outcome::Unavailable(why) => {
                tracing::warn!(
                    mapping = self.spec.uuid,
                    why,
                    "the function cannot be invoked"
                );
                Finished::NotInvoked
            }
        };
        if finished != Finished::NotInvoked {
            self.invocations.fetch_add(1, Ordering::Relaxed);
            self.records.fetch_add(records, Ordering::Relaxed);
        }
        if matches!(finished, Finished::Failure | Finished::ItemFailures(_)) {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
        finished
    }
}

async fn read(
    source: &Source,
    shard: &str,
    from: &Position,
    iterator: Option<String>,
) -> Result<super::source::Page, EmulatorError> {
    let iterator = match iterator {
        Some(iterator) => iterator,
        None => source.iterator(shard, from).await?,
    };
    let not_before: Option<Millis> = match (source.kind, from) {
        (SourceKind::TableStream, Position::AtTimestamp(at)) => Some(*at),
        _ => None,
    };
    source.read(shard, &iterator, not_before).await
}

/// The emulator removes a shard that was split or merged, and a deleted stream with its shards.
fn shard_is_gone(error: &EmulatorError) -> bool {
    error.code() == Some("ResourceNotFoundException")
}

/// The event of an invocation: the records already have their final form.
fn payload(records: &[Payload]) -> Bytes {
    let length: usize = records.iter().map(|record| record.len() + 1).sum();
    let mut event = String::with_capacity(length + 16);
    event.push_str("{\"Records\":[");
    for (index, record) in records.iter().enumerate() {
        if index > 0 {
            event.push(',');
        }
        event.push_str(record);
    }
    event.push_str("]}");
    Bytes::from(event)
}
