//! The stream, its mapping, and the processor's invocations.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use lambda_host::mapping::model::{
    Action, Event, Finished, Invocation, MAX_PAYLOAD_BYTES, Mapping, Millis, Position, Record,
    Settings, ShardInfo,
};

use super::aws::{Bucket, SHARD_RECORDS};
use super::scenario::Scenario;

/// Bytes of an event in an invocation.
const EVENT_BYTES: usize = 1_000;
/// The most records that one read returns.
const PAGE: usize = 10_000;
const BATCH_SIZE: u64 = 100;
const WINDOW: Millis = 10_000;
const PARALLELIZATION: usize = 10;
/// Six days: `MaximumRecordAgeInSeconds` of the deployed mapping.
const MOST_AGE: Millis = 518_400_000;

struct Shard {
    bucket: Bucket,
    records: Vec<Record<Millis>>,
    /// How far the mapping has read; records that were read are dropped now and then.
    read: usize,
    first: u64,
}

/// The stream and its mapping.
pub(super) struct Stream {
    shards: Vec<Shard>,
    mapping: Mapping<Millis>,
    weight: u64,
    /// Invocations in flight: when each ends, and its number.
    ends: BinaryHeap<Reverse<(Millis, u64)>>,
    running: BTreeMap<u64, Invocation<Millis>>,
    waiting: Vec<Invocation<Millis>>,
    pub(super) lost: u64,
}

impl Stream {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let settings = Settings {
            starting_position: Position::TrimHorizon,
            batch_size: usize::try_from((BATCH_SIZE / scenario.weight).max(1)).unwrap_or(1),
            window: WINDOW,
            parallelization: PARALLELIZATION,
            max_retries: None,
            max_age: Some(MOST_AGE),
            bisect: true,
            report_item_failures: true,
            poll_every: 1_000,
            max_payload: MAX_PAYLOAD_BYTES,
        };
        let shard = |_| Shard {
            bucket: Bucket::new(SHARD_RECORDS, SHARD_RECORDS),
            records: Vec::new(),
            read: 0,
            first: 0,
        };
        Self {
            shards: (0..scenario.shards).map(shard).collect(),
            mapping: Mapping::new(settings, BTreeMap::new()),
            weight: scenario.weight,
            ends: BinaryHeap::new(),
            running: BTreeMap::new(),
            waiting: Vec::new(),
            lost: 0,
        }
    }

    pub(super) fn refill(&mut self, millis: u64) {
        for shard in &mut self.shards {
            shard.bucket.refill(millis);
        }
    }

    /// Puts a record; returns false if the key's shard is full.
    pub(super) fn put(&mut self, key: u64, now: Millis) -> bool {
        // Kinesis places a key by its MD5, which is uniform.
        let place = key.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31)
            % self.shards.len().max(1) as u64;
        let Some(shard) = usize::try_from(place)
            .ok()
            .and_then(|place| self.shards.get_mut(place))
        else {
            return false;
        };
        if !shard.bucket.take_all(self.weight) {
            return false;
        }
        let number = shard.first + shard.records.len() as u64;
        shard.records.push(Record {
            sequence: number.to_string(),
            partition_key: key.to_string(),
            arrived: now,
            bytes: EVENT_BYTES,
            matches: true,
            payload: now,
        });
        true
    }

    /// Lets the mapping work, and returns the invocations to make.
    pub(super) fn advance(&mut self, now: Millis) -> Vec<Invocation<Millis>> {
        self.handle(now, Event::Tick);
        std::mem::take(&mut self.waiting)
    }

    /// The invocations that have ended by now.
    pub(super) fn ended(&mut self, now: Millis) -> Vec<Invocation<Millis>> {
        let mut ended = Vec::new();
        while self.ends.peek().is_some_and(|Reverse((at, _))| *at <= now) {
            if let Some(Reverse((_, id))) = self.ends.pop() {
                ended.extend(self.running.remove(&id));
            }
        }
        ended
    }

    /// Runs an invocation until `until`.
    pub(super) fn run(&mut self, invocation: Invocation<Millis>, until: Millis) {
        self.ends.push(Reverse((until, invocation.id)));
        self.running.insert(invocation.id, invocation);
    }

    pub(super) fn running(&self) -> u64 {
        self.running.len() as u64
    }

    pub(super) fn finish(&mut self, now: Millis, id: u64, outcome: Finished) {
        self.handle(now, Event::Finished { id, outcome });
    }

    /// The age of the oldest record that is not done.
    pub(super) fn lag(&self, now: Millis) -> Millis {
        let unread = self
            .shards
            .iter()
            .filter_map(|shard| shard.records.get(shard.read));
        let unread = unread.map(|record| now - record.arrived).max();
        let read = self
            .mapping
            .status(now)
            .iter()
            .map(|shard| shard.iterator_age_ms)
            .max();
        unread.unwrap_or(0).max(read.unwrap_or(0))
    }

    fn handle(&mut self, now: Millis, event: Event<Millis>) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            for action in self.mapping.handle(now, event) {
                match action {
                    Action::List => events.push(Event::Listed(self.list())),
                    Action::Poll { shard, .. } => events.extend(self.read(shard)),
                    Action::Invoke(invocation) => self.waiting.push(invocation),
                    Action::Discard(discarded) => {
                        self.lost += discarded.records as u64 * self.weight;
                    }
                    Action::Checkpoint { .. } | Action::Wake(_) => {}
                }
            }
        }
    }

    fn list(&self) -> Vec<ShardInfo> {
        let info = |place| ShardInfo {
            id: format!("{place:05}"),
            parents: Vec::new(),
            closed: false,
        };
        (0..self.shards.len()).map(info).collect()
    }

    fn read(&mut self, id: String) -> Option<Event<Millis>> {
        let place: usize = id.parse().ok()?;
        let shard = self.shards.get_mut(place)?;
        let most = (PAGE as u64 / self.weight).max(1);
        let end = (shard.read + usize::try_from(most).ok()?).min(shard.records.len());
        let records = shard.records.get(shard.read..end)?.to_vec();
        shard.read = end;
        let behind = end < shard.records.len();
        if shard.read > PAGE {
            shard.records.drain(..shard.read);
            shard.first += shard.read as u64;
            shard.read = 0;
        }
        Some(Event::Polled {
            shard: id,
            records,
            behind,
            end: false,
        })
    }
}
