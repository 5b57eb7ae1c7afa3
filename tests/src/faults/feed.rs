//! A stream with its shards, and the mapping that feeds it to a function: the host's own model of
//! Lambda's event source mapping in virtual time.

use std::collections::BTreeMap;

use lambda_host::mapping::model::{
    Action, Checkpoint, Event, Finished, Invocation, MAX_PAYLOAD_BYTES, Mapping, Position, Record,
    Settings, ShardInfo,
};

use super::schedule::Batching;

/// The most records that one read of a shard returns.
const READ_AT_A_TIME: usize = 8;
/// Number of slots over which keys are spread; a shard owns a range of them.
const SLOTS: u64 = 1 << 16;

/// A stream and its mapping. The owner defines the content of a record: here it is a number.
#[derive(Debug)]
pub(super) struct Feed {
    settings: Settings,
    mapping: Mapping<usize>,
    checkpoints: BTreeMap<String, Checkpoint>,
    shards: Vec<Shard>,
    entries: Vec<Entry>,
    wake: i64,
    begun: Vec<Invocation<usize>>,
    /// The first record that the stream still holds.
    oldest: usize,
    /// Incremented when the mapping restarts: earlier invocations then have no owner.
    life: u32,
    /// Whether the function cannot be invoked.
    pub(super) down: bool,
}

#[derive(Debug)]
struct Shard {
    id: String,
    parents: Vec<String>,
    closed: bool,
    from: u64,
    to: u64,
    entries: Vec<usize>,
}

#[derive(Debug)]
struct Entry {
    shard: usize,
    sequence: String,
    key: String,
    arrived: i64,
    bytes: usize,
}

/// An invocation of one life of the mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct InvocationId {
    life: u32,
    id: u64,
}

impl Feed {
    pub(super) fn new(shards: usize, batching: Batching, now: i64) -> Self {
        let settings = Settings {
            starting_position: Position::TrimHorizon,
            batch_size: batching.size,
            window: 0,
            parallelization: batching.parallel,
            // As deployed: a record is retried until it expires from the stream, and no schedule is
            // long enough for that.
            max_retries: None,
            max_age: None,
            bisect: batching.bisect,
            report_item_failures: true,
            poll_every: 1_000,
            max_payload: MAX_PAYLOAD_BYTES,
        };
        let each = SLOTS / shards as u64;
        let shards = (0..shards as u64).map(|number| Shard {
            id: shard_id(number),
            parents: Vec::new(),
            closed: false,
            from: number * each,
            to: if number + 1 == shards as u64 {
                SLOTS
            } else {
                (number + 1) * each
            },
            entries: Vec::new(),
        });
        Self {
            mapping: Mapping::new(settings.clone(), BTreeMap::new()),
            settings,
            checkpoints: BTreeMap::new(),
            shards: shards.collect(),
            entries: Vec::new(),
            wake: now,
            begun: Vec::new(),
            oldest: 0,
            life: 0,
            down: false,
        }
    }

    /// Adds a record, whose number is the number of records before it.
    pub(super) fn put(&mut self, key: &str, bytes: usize, now: i64) {
        let slot = slot(key);
        let number = self.entries.len();
        let shard = self
            .shards
            .iter()
            .position(|shard| !shard.closed && (shard.from..shard.to).contains(&slot))
            .expect("open shards cover every slot");
        self.shards[shard].entries.push(number);
        self.entries.push(Entry {
            shard,
            sequence: format!("{:056}", number + 1),
            key: key.to_owned(),
            arrived: now,
            bytes,
        });
    }

    pub(super) fn sequence(&self, number: usize) -> &str {
        &self.entries[number].sequence
    }

    pub(super) fn key(&self, number: usize) -> &str {
        &self.entries[number].key
    }

    pub(super) fn shard_of(&self, number: usize) -> &str {
        &self.shards[self.entries[number].shard].id
    }

    /// Forgets everything: it was given up, or the stream was recreated.
    pub(super) fn forget(&mut self, now: i64) -> Vec<usize> {
        let pending = self.pending();
        self.oldest = self.entries.len();
        self.restart(now, false);
        pending
    }

    /// Records that may not be done.
    pub(super) fn pending(&self) -> Vec<usize> {
        let of_shard = |shard: &Shard| {
            let done = match self.checkpoints.get(&shard.id) {
                Some(Checkpoint::Finished) => usize::MAX,
                Some(Checkpoint::At(Position::After(sequence))) => shard
                    .entries
                    .partition_point(|number| self.entries[*number].sequence <= *sequence),
                _ => 0,
            };
            let pending = shard.entries.iter().skip(done).copied();
            pending
                .filter(|number| *number >= self.oldest)
                .collect::<Vec<_>>()
        };
        self.shards.iter().flat_map(of_shard).collect()
    }

    /// Drops records that arrived before `since`. Returns those that may not be done.
    pub(super) fn trim(&mut self, since: i64) -> Vec<usize> {
        let oldest = self.entries.partition_point(|entry| entry.arrived < since);
        let mut dropped = Vec::new();
        if oldest > self.oldest {
            dropped = self.pending();
            dropped.retain(|number| *number < oldest);
            self.oldest = oldest;
        }
        dropped
    }

    /// Some consecutive records that the stream still holds.
    pub(super) fn some(&self, choice: u64, length: usize) -> Vec<usize> {
        let end = self.entries.len();
        if self.oldest >= end {
            return Vec::new();
        }
        let from = self.oldest + place(choice, end - self.oldest);
        (from..(from + length).min(end)).collect()
    }

    /// When the mapping needs the next event.
    pub(super) const fn wake(&self) -> i64 {
        self.wake
    }

    pub(super) fn tick(&mut self, now: i64) {
        if now >= self.wake {
            self.handle(now, Event::Tick);
        }
    }

    /// The invocations to make now.
    pub(super) fn begin(&mut self, now: i64) -> Vec<(InvocationId, Vec<usize>)> {
        let begun = std::mem::take(&mut self.begun);
        let life = self.life;
        let begun: Vec<_> = begun
            .into_iter()
            .map(|invocation| {
                (
                    InvocationId {
                        life,
                        id: invocation.id,
                    },
                    invocation.records,
                )
            })
            .collect();
        if !self.down {
            return begun;
        }
        for (id, _) in begun {
            self.finish(now, id, Finished::NotInvoked);
        }
        Vec::new()
    }

    /// Handles the end of an invocation.
    pub(super) fn finish(&mut self, now: i64, of: InvocationId, outcome: Finished) {
        if of.life == self.life {
            self.handle(now, Event::Finished { id: of.id, outcome });
        }
    }

    /// Restarts the mapping, from its checkpoints or from the oldest record.
    pub(super) fn restart(&mut self, now: i64, forget: bool) {
        if forget {
            self.checkpoints.clear();
        }
        self.mapping = Mapping::new(self.settings.clone(), self.checkpoints.clone());
        self.begun.clear();
        self.life += 1;
        self.wake = now;
    }

    /// Splits the open shard that `choice` selects.
    pub(super) fn split(&mut self, choice: u64) {
        let open = self.open();
        let parent = open[place(choice, open.len())];
        let (from, to) = (self.shards[parent].from, self.shards[parent].to);
        let middle = u64::midpoint(from, to);
        if middle > from {
            self.replace(&[parent], &[(from, middle), (middle, to)]);
        }
    }

    /// Merges the open shard that `choice` selects with its neighbour.
    pub(super) fn merge(&mut self, choice: u64) {
        let open = self.open();
        let one = open[place(choice, open.len())];
        let end = self.shards[one].to;
        let neighbour = open.iter().find(|other| self.shards[**other].from == end);
        if let Some(other) = neighbour.copied() {
            let whole = (self.shards[one].from, self.shards[other].to);
            self.replace(&[one, other], &[whole]);
        }
    }

    fn open(&self) -> Vec<usize> {
        let open = (0..self.shards.len()).filter(|shard| !self.shards[*shard].closed);
        open.collect()
    }

    fn replace(&mut self, parents: &[usize], children: &[(u64, u64)]) {
        let ids: Vec<String> = parents
            .iter()
            .map(|parent| self.shards[*parent].id.clone())
            .collect();
        for parent in parents {
            self.shards[*parent].closed = true;
        }
        for (from, to) in children {
            self.shards.push(Shard {
                id: shard_id(self.shards.len() as u64),
                parents: ids.clone(),
                closed: false,
                from: *from,
                to: *to,
                entries: Vec::new(),
            });
        }
    }

    /// Whether every record was done since the mapping started.
    pub(super) fn is_done(&self) -> bool {
        self.shards.iter().all(|shard| {
            let Some(last) = shard.entries.last().filter(|last| **last >= self.oldest) else {
                return true;
            };
            match self.checkpoints.get(&shard.id) {
                Some(Checkpoint::Finished) => true,
                Some(Checkpoint::At(Position::After(sequence))) => {
                    *sequence == self.entries[*last].sequence
                }
                _ => false,
            }
        })
    }

    fn handle(&mut self, now: i64, event: Event<usize>) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            self.wake = i64::MAX;
            for action in self.mapping.handle(now, event) {
                match action {
                    Action::List => events.push(Event::Listed(self.list())),
                    Action::Poll { shard, from } => events.push(self.read(shard, &from)),
                    Action::Invoke(invocation) => self.begun.push(invocation),
                    Action::Discard(discarded) => panic!("given up: {discarded:?}"),
                    Action::Checkpoint { shard, checkpoint } => {
                        self.checkpoints.insert(shard, checkpoint);
                    }
                    Action::Wake(at) => self.wake = at,
                }
            }
        }
    }

    fn list(&self) -> Vec<ShardInfo> {
        let shards = self.shards.iter().map(|shard| ShardInfo {
            id: shard.id.clone(),
            parents: shard.parents.clone(),
            closed: shard.closed,
        });
        shards.collect()
    }

    fn read(&self, id: String, from: &Position) -> Event<usize> {
        let shard = self.shards.iter().find(|shard| shard.id == id);
        let shard = shard.expect("only listed shards are read");
        let read = match from {
            Position::After(sequence) => shard
                .entries
                .partition_point(|number| self.entries[*number].sequence <= *sequence),
            _ => 0,
        };
        let oldest = shard
            .entries
            .partition_point(|number| *number < self.oldest);
        let read = read.max(oldest);
        let rest = &shard.entries[read..];
        let page = &rest[..rest.len().min(READ_AT_A_TIME)];
        let records = page.iter().map(|number| {
            let entry = &self.entries[*number];
            Record {
                sequence: entry.sequence.clone(),
                partition_key: entry.key.clone(),
                arrived: entry.arrived,
                bytes: entry.bytes,
                matches: true,
                payload: *number,
            }
        });
        let behind = page.len() < rest.len();
        Event::Polled {
            shard: id,
            records: records.collect(),
            behind,
            end: shard.closed && !behind,
        }
    }
}

fn shard_id(number: u64) -> String {
    format!("shardId-{number:012}")
}

fn slot(key: &str) -> u64 {
    u64::from(crc32fast::hash(key.as_bytes())) % SLOTS
}

fn place(choice: u64, length: usize) -> usize {
    usize::try_from(choice % length as u64).unwrap_or(0)
}
