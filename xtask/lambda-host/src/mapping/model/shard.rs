//! A shard: its read position, its lanes, and its progress.

use std::collections::VecDeque;

use serde::Serialize;

use super::{
    Action, Checkpoint, Millis, Position, Record, Settings,
    batch::Entry,
    earlier,
    lane::{Lane, LaneReport},
    response::Finished,
};

/// Minimum delay before a failed read is repeated.
const FAILED_POLL_DELAY: Millis = 1_000;
/// The most records that a shard holds before it is read again, in batches of all lanes.
const BATCHES_AHEAD: usize = 2;

/// A shard as the stream lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardInfo {
    /// Shard id.
    pub id: String,
    /// The shards it came from: one for a split, two for a merge.
    pub parents: Vec<String>,
    /// Whether it accepts no more records.
    pub closed: bool,
}

/// A shard's state, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShardStatus {
    /// Shard id.
    pub shard: String,
    /// Its progress.
    pub checkpoint: Option<Checkpoint>,
    /// Records that were read but are not done.
    pub waiting: usize,
    /// Invocations in flight.
    pub in_flight: usize,
    /// Age of the oldest record that is not done; 0 if there is none.
    pub iterator_age_ms: Millis,
}

#[derive(Debug)]
struct Undone {
    sequence: String,
    arrived: Millis,
    bytes: usize,
    done: bool,
}

#[derive(Debug)]
pub(super) struct Shard<P> {
    id: String,
    parents: Vec<String>,
    lanes: Vec<Lane<P>>,
    /// Where the next read resumes.
    read: Position,
    polling: bool,
    next_poll: Millis,
    /// The shard is closed and read to its end.
    ended: bool,
    finished: bool,
    /// Every record read, starting with the first that is not done; `first` is its ordinal.
    order: VecDeque<Undone>,
    first: u64,
    bytes: usize,
    checkpoints: Vec<Checkpoint>,
}

impl<P: Clone> Shard<P> {
    pub(super) fn new(
        info: &ShardInfo,
        start: Checkpoint,
        settings: &Settings,
        now: Millis,
    ) -> Self {
        let (read, finished) = match start {
            Checkpoint::At(position) => (position, false),
            Checkpoint::Finished => (Position::TrimHorizon, true),
        };
        Self {
            id: info.id.clone(),
            parents: info.parents.clone(),
            lanes: (0..settings.parallelization.max(1))
                .map(|_| Lane::default())
                .collect(),
            read,
            polling: false,
            next_poll: now,
            ended: finished,
            finished,
            order: VecDeque::new(),
            first: 0,
            bytes: 0,
            checkpoints: Vec::new(),
        }
    }

    pub(super) fn parents(&self) -> impl Iterator<Item = &String> {
        self.parents.iter()
    }

    pub(super) const fn is_finished(&self) -> bool {
        self.finished
    }

    pub(super) fn in_flight(&self) -> usize {
        self.lanes
            .iter()
            .filter(|lane| lane.in_flight().is_some())
            .count()
    }

    pub(super) fn take_checkpoints(&mut self) -> Vec<Checkpoint> {
        std::mem::take(&mut self.checkpoints)
    }

    pub(super) fn polled(
        &mut self,
        settings: &Settings,
        now: Millis,
        records: Vec<Record<P>>,
        behind: bool,
        end: bool,
    ) {
        self.polling = false;
        self.ended |= end;
        // "When more records are available, Lambda keeps processing batches until the function
        // catches up with the stream."
        self.next_poll = if behind {
            now
        } else {
            now + settings.poll_every
        };
        for record in records {
            self.read = Position::After(record.sequence.clone());
            let ordinal = self.first + self.order.len() as u64;
            self.order.push_back(Undone {
                sequence: record.sequence.clone(),
                arrived: record.arrived,
                bytes: record.bytes,
                done: !record.matches,
            });
            self.bytes += record.bytes;
            if record.matches {
                let entry = Entry {
                    ordinal,
                    sequence: record.sequence,
                    arrived: record.arrived,
                    bytes: record.bytes,
                    payload: record.payload,
                };
                let lane = lane_of(&record.partition_key, self.lanes.len());
                if let Some(lane) = self.lanes.get_mut(lane) {
                    lane.push(now, entry);
                }
            }
        }
        self.checkpoint();
    }

    pub(super) fn poll_failed(&mut self, settings: &Settings, now: Millis) {
        self.polling = false;
        self.next_poll = now + settings.poll_every.max(FAILED_POLL_DELAY);
    }

    /// Handles the end of an invocation, if it belongs to this shard.
    pub(super) fn finished(
        &mut self,
        settings: &Settings,
        now: Millis,
        id: u64,
        outcome: &Finished,
        actions: &mut Vec<Action<P>>,
    ) -> bool {
        let Some(lane) = self
            .lanes
            .iter_mut()
            .find(|lane| lane.in_flight() == Some(id))
        else {
            return false;
        };
        let mut done = Vec::new();
        let mut report = LaneReport {
            shard: &self.id,
            done: &mut done,
            actions,
        };
        lane.finished(settings, now, outcome, &mut report);
        self.done(&done);
        true
    }

    pub(super) fn advance(
        &mut self,
        settings: &Settings,
        now: Millis,
        next_invocation: &mut u64,
        actions: &mut Vec<Action<P>>,
        wake: &mut Option<Millis>,
    ) {
        let mut done = Vec::new();
        for lane in &mut self.lanes {
            let mut report = LaneReport {
                shard: &self.id,
                done: &mut done,
                actions,
            };
            lane.advance(
                settings,
                now,
                self.ended,
                next_invocation,
                &mut report,
                wake,
            );
        }
        self.done(&done);
        if self.ended && self.order.is_empty() {
            self.finished = true;
            self.checkpoints.push(Checkpoint::Finished);
            return;
        }
        if self.polling || self.ended || self.is_ahead(settings) {
            return;
        }
        if now >= self.next_poll {
            self.polling = true;
            actions.push(Action::Poll {
                shard: self.id.clone(),
                from: self.read.clone(),
            });
        } else {
            earlier(wake, self.next_poll);
        }
    }

    /// Whether enough records are read for now.
    fn is_ahead(&self, settings: &Settings) -> bool {
        let lanes = self.lanes.len() * BATCHES_AHEAD;
        self.order.len() >= settings.batch_size.saturating_mul(lanes)
            || self.bytes >= settings.max_payload.saturating_mul(lanes)
    }

    fn done(&mut self, ordinals: &[u64]) {
        for ordinal in ordinals {
            let place = usize::try_from(ordinal - self.first).unwrap_or(usize::MAX);
            if let Some(record) = self.order.get_mut(place) {
                record.done = true;
            }
        }
        self.checkpoint();
    }

    /// Advances the checkpoint to the last record up to which all are done.
    fn checkpoint(&mut self) {
        let mut last = None;
        while self.order.front().is_some_and(|record| record.done) {
            last = self.order.pop_front();
            self.first += 1;
            self.bytes -= last.as_ref().map_or(0, |record| record.bytes);
        }
        if let Some(record) = last {
            self.checkpoints
                .push(Checkpoint::At(Position::After(record.sequence)));
        }
    }

    pub(super) fn status(
        &self,
        id: &str,
        checkpoint: Option<&Checkpoint>,
        now: Millis,
    ) -> ShardStatus {
        ShardStatus {
            shard: id.to_owned(),
            checkpoint: checkpoint.cloned(),
            waiting: self.order.iter().filter(|record| !record.done).count(),
            in_flight: self.in_flight(),
            iterator_age_ms: self
                .order
                .front()
                .map_or(0, |oldest| (now - oldest.arrived).max(0)),
        }
    }
}

/// FNV-1a of the key: equal keys share a lane, in every run.
pub(super) fn lane_of(partition_key: &str, lanes: usize) -> usize {
    let hash = partition_key
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    usize::try_from(hash % lanes as u64).unwrap_or(0)
}
