//! What the reconciler does with lines of the access log.

use std::collections::{BTreeMap, BTreeSet};

use domain::delivery::{Answer, Outcome, QUEUE_POSITION};
use domain::event::{EventType, Reason, Rejection, UsageEvent};
use domain::id::EventId;
use domain::leaf::{Leaf, LeafKey};
use domain::names::{AUTHORIZER_SECONDS, TrackingMode};
use domain::time::UnixMillis;
use runtime::counting::{Told, Unheld, told_rows};
use runtime::errors::{self, Position};
use runtime::log::Chain;
use runtime::queue::{Queue, SendError};
use runtime::raw;
use runtime::rolling::{LeafAt, Rolling};
use runtime::spill::Limits;
use runtime::store::{Store, StoreError, Updated};

use crate::invocation::{Invocation, LogData, LogEvent, Message, MessageType, Unreadable};
use crate::line::{self, Reported};

/// The reconciler over its tables and its queue.
#[derive(Debug)]
pub struct Reconciler<S, Q> {
    /// Where events of the stream are counted.
    pub analytics: S,
    /// Where synchronous ones are, and months and all time.
    pub usage: S,
    /// Where lines wait for the stream.
    pub queue: Q,
    /// `source` of the events.
    pub source: String,
    /// How the authorizer reports now.
    pub mode: TrackingMode,
    /// How long raw events are kept.
    pub raw_retention_days: i64,
    /// How much one item of the analytics table takes.
    pub limits: Limits,
}

/// What was done with lines, for the metrics.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Events counted, by type: only this log knew of them.
    pub counted: BTreeMap<EventType, u64>,
    /// Events that had been counted before.
    pub duplicates: u64,
    /// Ids of the lines set aside, and of messages that hold none.
    pub set_aside: Vec<String>,
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

/// Lines that must come again.
#[derive(Debug, thiserror::Error)]
pub enum Undone {
    /// There are none: the invocation itself cannot be read.
    #[error("the invocation holds no lines")]
    Unreadable(#[from] Unreadable),
    /// A table did not do what it must.
    #[error("a table does not take the lines")]
    Table(#[from] StoreError),
    /// The queue did not, and an authorizer may still be at work on a call.
    #[error("the queue does not take lines that must wait")]
    Queue(#[from] SendError),
}

/// A line that reports a call, of which it is open whether it is counted.
struct Open<'a> {
    log: &'a LogEvent,
    reported: Reported,
}

impl Open<'_> {
    const fn event(&self) -> &UsageEvent {
        &self.reported.event
    }

    const fn told(&self) -> Told<'_> {
        Told {
            event: &self.reported.event,
            response: self.reported.response,
        }
    }

    /// Whether the authorizer has ended, so that only the stream can still bring the event. Before
    /// that the authorizer may count it as synchronous, where it finds neither stream nor table.
    fn is_settled(&self, now: UnixMillis) -> bool {
        now.since(self.reported.requested_at) > i64::from(AUTHORIZER_SECONDS) * 1_000
    }
}

/// Lines that a table said nothing about, and why.
#[derive(Default)]
struct Undecided<'a> {
    open: Vec<Open<'a>>,
    error: Option<StoreError>,
}

impl<'a> Undecided<'a> {
    fn add(&mut self, open: impl IntoIterator<Item = Open<'a>>, error: StoreError) {
        self.open.extend(open);
        self.note(error);
    }

    fn note(&mut self, error: StoreError) {
        tracing::warn!(error = %Chain(&error), "lines are not decided");
        self.error.get_or_insert(error);
    }

    fn merge(&mut self, other: Self) {
        self.open.extend(other.open);
        self.error = self.error.take().or(other.error);
    }
}

/// Lines that cannot be read and that no table has set aside, and why not.
#[derive(Default)]
struct Unread<'a> {
    logs: Vec<&'a LogEvent>,
    error: Option<StoreError>,
}

impl Unread<'_> {
    fn done(self) -> Result<(), StoreError> {
        self.error.map_or(Ok(()), Err)
    }
}

impl<S: Store, Q: Queue> Reconciler<S, Q> {
    /// Does what an invocation asks for.
    pub async fn handle(
        &self,
        invocation: &Invocation,
        now: UnixMillis,
    ) -> Result<(Answer, Report), Undone> {
        match invocation {
            Invocation::Logs { awslogs } => {
                let report = self.deliver(&awslogs.unpack()?, now).await?;
                Ok((Answer::default(), report))
            }
            Invocation::Queue { records, .. } => Ok(self.messages(records, now).await),
        }
    }

    /// Takes lines as the log brings them. Calls that a leaf holds get their responses; the lines
    /// of all others wait, and come back to [`Self::settle`].
    pub async fn deliver(&self, data: &LogData, now: UnixMillis) -> Result<Report, Undone> {
        let mut report = Report::default();
        let (open, unread) = self.read(data, now, &mut report).await;
        let (absent, undecided) = self.look(open, &mut report).await;
        // No stream brings what the gateway refused by itself.
        let (refused, mut later): (Vec<_>, Vec<_>) = absent
            .into_iter()
            .partition(|open| open.reported.gateway_only);
        later.extend(undecided.open);
        later.extend(self.finish(data, refused, now, &mut report).await.open);
        let waiting = later.iter().map(|open| open.log);
        let waiting = waiting.chain(unread.logs.iter().copied());
        let Err(refused) = self.wait(data, waiting).await else {
            return Ok(report);
        };
        tracing::warn!(error = %Chain(&refused), "lines cannot wait");
        let (settled, young): (Vec<_>, Vec<_>) =
            later.into_iter().partition(|open| open.is_settled(now));
        self.decide(data, settled, now, &mut report).await?;
        unread.done()?;
        if young.is_empty() {
            Ok(report)
        } else {
            Err(refused.into())
        }
    }

    /// Takes lines that have waited: what no leaf holds is counted now.
    pub async fn settle(&self, data: &LogData, now: UnixMillis) -> Result<Report, Undone> {
        let mut report = Report::default();
        let (open, unread) = self.read(data, now, &mut report).await;
        self.decide(data, open, now, &mut report).await?;
        unread.done()?;
        Ok(report)
    }

    async fn messages(&self, messages: &[Message], now: UnixMillis) -> (Answer, Report) {
        let mut sum = Report::default();
        let mut failed = Vec::new();
        for message in messages {
            match self.message(message, now).await {
                Ok(report) => sum.add(report),
                Err(error) => {
                    tracing::warn!(error = %Chain(&error), "a message will come again");
                    failed.push(message.message_id.as_str());
                }
            }
        }
        (Answer::failed(failed), sum)
    }

    async fn message(&self, message: &Message, now: UnixMillis) -> Result<Report, Undone> {
        match LogData::read(&message.body) {
            Ok(data) => self.settle(&data, now).await,
            Err(error) => {
                let position = Position {
                    shard_id: QUEUE_POSITION,
                    sequence_number: &message.message_id,
                };
                let rejection = Rejection::new(Reason::Malformed, Chain(&error).to_string());
                self.set_aside(position, &message.body, &rejection, now)
                    .await?;
                Ok(Report {
                    set_aside: vec![message.message_id.clone()],
                    ..Report::default()
                })
            }
        }
    }

    /// Reads lines; sets those aside that cannot be read. A table that does not take those holds up
    /// no other line.
    async fn read<'a>(
        &self,
        data: &'a LogData,
        now: UnixMillis,
        report: &mut Report,
    ) -> (Vec<Open<'a>>, Unread<'a>) {
        let (mut open, mut unread) = (Vec::new(), Unread::default());
        if data.message_type == MessageType::ControlMessage {
            return (open, unread);
        }
        for log in &data.log_events {
            match line::read(&log.message, &self.source) {
                Ok(None) => {}
                Ok(Some(reported)) => open.push(Open { log, reported }),
                Err(rejection) => match self.refuse(data, log, &rejection, now).await {
                    Ok(()) => report.set_aside.push(log.id.clone()),
                    Err(error) => {
                        unread.logs.push(log);
                        unread.error.get_or_insert(error);
                    }
                },
            }
        }
        (open, unread)
    }

    /// Hands lines to the queue.
    async fn wait<'a>(
        &self,
        data: &LogData,
        lines: impl Iterator<Item = &'a LogEvent> + Send,
    ) -> Result<(), SendError> {
        for message in data.pack(lines) {
            self.queue.send(message).await?;
        }
        Ok(())
    }

    /// Counts what no leaf holds.
    async fn decide(
        &self,
        data: &LogData,
        open: Vec<Open<'_>>,
        now: UnixMillis,
        report: &mut Report,
    ) -> Result<(), StoreError> {
        let (absent, mut undecided) = self.look(open, report).await;
        undecided.merge(self.finish(data, absent, now, report).await);
        undecided.error.map_or(Ok(()), Err)
    }

    /// Gives calls that leaves hold their responses; says which no leaf holds.
    ///
    /// An event of the stream may have been counted as synchronous, where the authorizer found
    /// neither stream nor table.
    async fn look<'a>(
        &self,
        open: Vec<Open<'a>>,
        report: &mut Report,
    ) -> (Vec<Open<'a>>, Undecided<'a>) {
        let (streamed, mut rest): (Vec<_>, Vec<_>) = open
            .into_iter()
            .partition(|open| open.event().data.mode == TrackingMode::Stream);
        let (absent, mut undecided) = self
            .walk(TrackingMode::Stream, streamed, Unheld::Leave, report)
            .await;
        rest.extend(absent);
        let (absent, further) = self
            .walk(TrackingMode::Synchronous, rest, Unheld::Leave, report)
            .await;
        undecided.merge(further);
        (absent, undecided)
    }

    /// Counts calls, and keeps them raw before where the stream's are; sets those aside whose time
    /// is outside what can be counted exactly.
    ///
    /// A refusal has no mode: its line may come again in another. Wherever there is an analytics
    /// table, that takes it.
    async fn finish<'a>(
        &self,
        data: &LogData,
        open: Vec<Open<'a>>,
        now: UnixMillis,
        report: &mut Report,
    ) -> Undecided<'a> {
        let mut undecided = Undecided::default();
        let (mut streamed, mut synchronous) = (Vec::new(), Vec::new());
        for open in open {
            match open.event().check_time(now) {
                Ok(()) if open.event().data.mode == TrackingMode::Stream => streamed.push(open),
                Ok(()) => synchronous.push(open),
                Err(rejection) => match self.refuse(data, open.log, &rejection, now).await {
                    Ok(()) => report.set_aside.push(open.log.id.clone()),
                    Err(error) => undecided.add([open], error),
                },
            }
        }
        match self.keep(&streamed).await {
            Ok(()) => {
                let walked = self
                    .walk(TrackingMode::Stream, streamed, Unheld::Count, report)
                    .await;
                undecided.merge(walked.1);
            }
            Err(error) => {
                let (refused, calls): (Vec<_>, Vec<_>) = streamed
                    .into_iter()
                    .partition(|open| open.reported.gateway_only && self.has_no_analytics(&error));
                synchronous.extend(refused);
                if !calls.is_empty() {
                    undecided.add(calls, error);
                }
            }
        }
        let walked = self
            .walk(
                TrackingMode::Synchronous,
                synchronous,
                Unheld::Count,
                report,
            )
            .await;
        undecided.merge(walked.1);
        undecided
    }

    /// Keeps events raw, as the authorizer does that counts by itself.
    async fn keep(&self, open: &[Open<'_>]) -> Result<(), StoreError> {
        let json: Vec<Vec<u8>> = open.iter().map(|open| open.event().to_json()).collect();
        let events: Vec<(&UsageEvent, &[u8])> = open
            .iter()
            .zip(&json)
            .map(|(open, json)| (open.event(), json.as_slice()))
            .collect();
        raw::keep(&self.analytics, &events, self.raw_retention_days).await
    }

    /// Takes lines into the leaves of one mode; says which no leaf holds.
    async fn walk<'a>(
        &self,
        mode: TrackingMode,
        open: Vec<Open<'a>>,
        unheld: Unheld,
        report: &mut Report,
    ) -> (Vec<Open<'a>>, Undecided<'a>) {
        let mut absent: BTreeSet<EventId> = BTreeSet::new();
        let mut failed: BTreeSet<LeafKey> = BTreeSet::new();
        let mut undecided = Undecided::default();
        for (first, row) in told_rows(open.iter().map(Open::told)) {
            let done = match row.walk(self.leaves(mode), first.clone(), unheld).await {
                Ok(done) => done,
                Err(error)
                    if unheld == Unheld::Leave
                        && mode == TrackingMode::Stream
                        && self.has_no_analytics(&error) =>
                {
                    let of_row = open.iter().map(Open::event);
                    let of_row = of_row.filter(|event| LeafKey::of(event) == first);
                    absent.extend(of_row.map(|event| event.id));
                    continue;
                }
                Err(error) => {
                    undecided.note(error);
                    failed.insert(first);
                    continue;
                }
            };
            absent.extend(done.absent.iter().map(|event| event.id));
            report.duplicates += u64::try_from(done.duplicates.len()).unwrap_or(u64::MAX);
            for event in done.counted {
                *report.counted.entry(event.event_type).or_default() += 1;
            }
            if let Err(error) = self.roll_up(mode, &done.leaves).await {
                undecided.note(error);
                failed.insert(first);
            }
        }
        let mut left = Vec::new();
        for open in open {
            if failed.contains(&LeafKey::of(open.event())) {
                undecided.open.push(open);
            } else if absent.contains(&open.event().id) {
                left.push(open);
            }
        }
        (left, undecided)
    }

    /// Whether there is no analytics table: in synchronous mode there need not be one.
    const fn has_no_analytics(&self, error: &StoreError) -> bool {
        matches!(error, StoreError::TableMissing { .. })
            && matches!(self.mode, TrackingMode::Synchronous)
    }

    const fn leaves(&self, mode: TrackingMode) -> &S {
        match mode {
            TrackingMode::Stream => &self.analytics,
            TrackingMode::Synchronous => &self.usage,
        }
    }

    /// The analytics table's stream tells the aggregator, which synchronous mode has none of; of
    /// synchronous leaves nobody is told.
    async fn roll_up(
        &self,
        mode: TrackingMode,
        leaves: &[(LeafKey, Updated<Leaf>)],
    ) -> Result<(), StoreError> {
        if mode == TrackingMode::Stream && self.mode == TrackingMode::Stream {
            return Ok(());
        }
        let rolling = Rolling {
            leaves: self.leaves(mode),
            usage: &self.usage,
            mode,
            limits: match mode {
                TrackingMode::Stream => self.limits,
                TrackingMode::Synchronous => Limits::default(),
            },
        };
        let leaves: Vec<LeafAt<'_>> = leaves
            .iter()
            .map(|(key, updated)| LeafAt {
                key,
                version: updated.version,
                leaf: &updated.state,
            })
            .collect();
        rolling.roll_up(&leaves).await?;
        Ok(())
    }

    /// Sets a line aside: one item a line, however often it comes.
    async fn refuse(
        &self,
        data: &LogData,
        log: &LogEvent,
        rejection: &Rejection,
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        let source = format!("{}/{}", data.log_group, data.log_stream);
        let position = Position {
            shard_id: &source,
            sequence_number: &log.id,
        };
        self.set_aside(position, &log.message, rejection, now).await
    }

    /// Into the table that is counted in now: in synchronous mode there may be no other.
    async fn set_aside(
        &self,
        position: Position<'_>,
        payload: &str,
        rejection: &Rejection,
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        tracing::warn!(
            source = position.shard_id,
            line = position.sequence_number,
            reason = rejection.reason.as_str(),
            message = %rejection.message,
            "line set aside"
        );
        let table = self.leaves(self.mode);
        errors::set_aside(table, position, payload.as_bytes(), rejection, now).await
    }
}

impl Report {
    fn add(&mut self, other: Self) {
        for (event_type, count) in other.counted {
            *self.counted.entry(event_type).or_default() += count;
        }
        self.duplicates += other.duplicates;
        self.set_aside.extend(other.set_aside);
    }
}

#[cfg(test)]
mod tests;
