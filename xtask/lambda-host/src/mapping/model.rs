//! The event source mapping of a stream as a state machine over virtual time.
//!
//! [`Mapping::handle`] takes an event and returns the actions to perform. It reads no clock, does
//! no I/O and uses no randomness, so that thousands of schedules a second can run through the same
//! code that the host runs. Its behaviour follows the developer guide's pages "How Lambda processes
//! records from stream and queue-based event sources", "Polling and batching streams", "Configuring
//! partial batch response with Kinesis Data Streams and Lambda" and "Retain discarded batch records
//! for a Kinesis Data Streams event source in Lambda"; each test quotes its statement.

mod batch;
mod lane;
mod response;
mod shard;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use batch::{Condition, Discarded, Invocation};
pub use response::{Finished, read_response};
pub use shard::{ShardInfo, ShardStatus};

use shard::Shard;

/// Milliseconds since the Unix epoch, virtual or real.
pub type Millis = i64;

/// The synchronous invocation payload limit, 6 MB.
pub const MAX_PAYLOAD_BYTES: usize = 6 * 1024 * 1024;

/// The part of a mapping's configuration that decides about invocations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where a mapping without checkpoints begins.
    pub starting_position: Position,
    /// `BatchSize`: the most records per invocation.
    pub batch_size: usize,
    /// `MaximumBatchingWindowInSeconds`, in milliseconds.
    pub window: Millis,
    /// `ParallelizationFactor`: concurrent batches per shard.
    pub parallelization: usize,
    /// `MaximumRetryAttempts`; `None` retries without limit.
    pub max_retries: Option<u32>,
    /// `MaximumRecordAgeInSeconds`, in milliseconds; `None` has no limit.
    pub max_age: Option<Millis>,
    /// `BisectBatchOnFunctionError`.
    pub bisect: bool,
    /// `FunctionResponseTypes` holds `ReportBatchItemFailures`.
    pub report_item_failures: bool,
    /// Milliseconds between reads of a shard that has no more records: Lambda's base rate is one
    /// read per second for Kinesis, four for table streams.
    pub poll_every: Millis,
    /// The largest payload of one invocation.
    pub max_payload: usize,
}

/// A place in a shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Position {
    /// The oldest record.
    TrimHorizon,
    /// Only records that arrive from now on.
    Latest,
    /// The first record that arrived then or later.
    AtTimestamp(Millis),
    /// The record after this sequence number.
    After(String),
}

/// The progress of a shard, which survives a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Checkpoint {
    /// Everything up to this position is done.
    At(Position),
    /// The shard was closed, and all of it is done.
    Finished,
}

/// A record of a shard, with the data that the driver needs to build the event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record<P> {
    /// Sequence number.
    pub sequence: String,
    /// Records with equal keys are processed in order.
    pub partition_key: String,
    /// Approximate arrival.
    pub arrived: Millis,
    /// Size in the event's JSON.
    pub bytes: usize,
    /// Whether it matches the mapping's filter criteria.
    pub matches: bool,
    /// The driver's own data.
    pub payload: P,
}

/// An event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<P> {
    /// The stream's shards.
    Listed(Vec<ShardInfo>),
    /// A read of a shard ended.
    Polled {
        /// The shard.
        shard: String,
        /// The records, oldest first.
        records: Vec<Record<P>>,
        /// Whether more records are known to wait.
        behind: bool,
        /// Whether the shard is closed and was read to its end.
        end: bool,
    },
    /// A read of a shard failed and must be repeated.
    PollFailed {
        /// The shard.
        shard: String,
    },
    /// An invocation ended.
    Finished {
        /// The invocation.
        id: u64,
        /// Its result.
        outcome: Finished,
    },
    /// Time has passed.
    Tick,
}

/// An action. Actions are performed in the order given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action<P> {
    /// List the stream's shards.
    List,
    /// Read a shard.
    Poll {
        /// The shard.
        shard: String,
        /// The last record read, or where to begin.
        from: Position,
    },
    /// Invoke the function.
    Invoke(Invocation<P>),
    /// Records are given up; notify the on-failure destination.
    Discard(Discarded),
    /// Store the progress of a shard.
    Checkpoint {
        /// The shard.
        shard: String,
        /// The progress.
        checkpoint: Checkpoint,
    },
    /// Send an [`Event::Tick`] at this time or earlier.
    Wake(Millis),
}

/// The mapping.
#[derive(Debug)]
pub struct Mapping<P> {
    settings: Settings,
    shards: BTreeMap<String, Shard<P>>,
    checkpoints: BTreeMap<String, Checkpoint>,
    listed: bool,
    listing: bool,
    next_list: Millis,
    next_invocation: u64,
}

/// How often to look for new shards.
const LIST_EVERY: Millis = 10_000;

impl<P: Clone> Mapping<P> {
    /// A mapping that resumes at `checkpoints`, or begins at its starting position if there are
    /// none.
    pub fn new(settings: Settings, checkpoints: BTreeMap<String, Checkpoint>) -> Self {
        Self {
            settings,
            shards: BTreeMap::new(),
            listed: !checkpoints.is_empty(),
            checkpoints,
            listing: false,
            next_list: Millis::MIN,
            next_invocation: 0,
        }
    }

    /// Handles an event at `now` and returns the actions to perform.
    pub fn handle(&mut self, now: Millis, event: Event<P>) -> Vec<Action<P>> {
        let mut actions = Vec::new();
        match event {
            Event::Listed(shards) => self.listed(now, shards, &mut actions),
            Event::Polled {
                shard,
                records,
                behind,
                end,
            } => {
                if let Some(shard) = self.shards.get_mut(&shard) {
                    shard.polled(&self.settings, now, records, behind, end);
                }
            }
            Event::PollFailed { shard } => {
                if let Some(shard) = self.shards.get_mut(&shard) {
                    shard.poll_failed(&self.settings, now);
                }
            }
            Event::Finished { id, outcome } => {
                for shard in self.shards.values_mut() {
                    if shard.finished(&self.settings, now, id, &outcome, &mut actions) {
                        break;
                    }
                }
            }
            Event::Tick => {}
        }
        self.advance(now, &mut actions);
        actions
    }

    /// Opens new shards. Those of the first listing begin at the starting position; later ones come
    /// from resharding, and none of their records may be missed.
    fn listed(&mut self, now: Millis, shards: Vec<ShardInfo>, actions: &mut Vec<Action<P>>) {
        self.listing = false;
        self.next_list = now + LIST_EVERY;
        let listed: BTreeSet<String> = shards.iter().map(|shard| shard.id.clone()).collect();
        for info in shards {
            if self.shards.contains_key(&info.id) {
                continue;
            }
            let start = match self.checkpoints.get(&info.id) {
                Some(checkpoint) => checkpoint.clone(),
                None if self.listed => Checkpoint::At(Position::TrimHorizon),
                None => first_position(&self.settings.starting_position, &info),
            };
            // After a restart, `LATEST` means now as well.
            let kept = match &start {
                Checkpoint::At(Position::Latest) => Checkpoint::At(Position::AtTimestamp(now)),
                other => other.clone(),
            };
            self.checkpoints.insert(info.id.clone(), kept.clone());
            actions.push(Action::Checkpoint {
                shard: info.id.clone(),
                checkpoint: kept,
            });
            let shard = Shard::new(&info, start, &self.settings, now);
            self.shards.insert(info.id, shard);
        }
        self.listed = true;
        // Shards that the stream no longer has are forgotten once they are done.
        self.shards
            .retain(|id, shard| listed.contains(id) || !shard.is_finished());
    }

    fn advance(&mut self, now: Millis, actions: &mut Vec<Action<P>>) {
        let mut wake = None;
        if !self.listing {
            if now >= self.next_list {
                self.listing = true;
                actions.push(Action::List);
            } else {
                earlier(&mut wake, self.next_list);
            }
        }
        let open: Vec<bool> = self
            .shards
            .values()
            .map(|shard| !shard.is_finished() && self.parents_are_done(shard))
            .collect();
        for ((id, shard), open) in self.shards.iter_mut().zip(open) {
            if !open {
                continue;
            }
            shard.advance(
                &self.settings,
                now,
                &mut self.next_invocation,
                actions,
                &mut wake,
            );
            for checkpoint in shard.take_checkpoints() {
                if checkpoint == Checkpoint::Finished {
                    // Its children may be open now, or not listed yet.
                    self.next_list = now;
                    earlier(&mut wake, now);
                }
                self.checkpoints.insert(id.clone(), checkpoint.clone());
                actions.push(Action::Checkpoint {
                    shard: id.clone(),
                    checkpoint,
                });
            }
        }
        actions.extend(wake.map(Action::Wake));
    }

    /// A parent that no longer exists has expired with all its records.
    fn parents_are_done(&self, shard: &Shard<P>) -> bool {
        shard
            .parents()
            .all(|parent| self.shards.get(parent).is_none_or(Shard::is_finished))
    }

    /// Invocations that have not ended.
    pub fn in_flight(&self) -> usize {
        self.shards.values().map(Shard::in_flight).sum()
    }

    /// Every shard's state at `now`.
    pub fn status(&self, now: Millis) -> Vec<ShardStatus> {
        self.shards
            .iter()
            .map(|(id, shard)| shard.status(id, self.checkpoints.get(id), now))
            .collect()
    }
}

/// Where to begin a shard of the first listing: `LATEST` of a closed shard is its end.
fn first_position(starting: &Position, info: &ShardInfo) -> Checkpoint {
    match starting {
        Position::Latest if info.closed => Checkpoint::Finished,
        position => Checkpoint::At(position.clone()),
    }
}

/// Lowers `wake` to `at`.
fn earlier(wake: &mut Option<Millis>, at: Millis) {
    *wake = Some(wake.map_or(at, |wake| wake.min(at)));
}
