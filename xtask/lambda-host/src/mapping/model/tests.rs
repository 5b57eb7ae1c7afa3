//! Each test checks the model against a statement of AWS's documentation, quoted above it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod batching;
mod failures;
mod schedules;
mod shards;

use std::collections::{BTreeMap, BTreeSet};

use super::*;

const SHARD: &str = "shardId-000000000000";

fn settings() -> Settings {
    Settings {
        starting_position: Position::TrimHorizon,
        batch_size: 10,
        window: 0,
        parallelization: 1,
        max_retries: None,
        max_age: None,
        bisect: false,
        report_item_failures: true,
        poll_every: 1_000,
        max_payload: MAX_PAYLOAD_BYTES,
    }
}

/// A shard's content, the read position, and the clock.
struct Stream {
    mapping: Mapping<String>,
    now: Millis,
    shards: BTreeMap<String, (Vec<Record<String>>, usize, bool)>,
    listing: Vec<ShardInfo>,
    invoked: Vec<Invocation<String>>,
    discarded: Vec<Discarded>,
    checkpoints: BTreeMap<String, Checkpoint>,
    polls: Vec<(Millis, String, Position)>,
    wake: Option<Millis>,
}

impl Stream {
    fn new(settings: Settings, records: Vec<Record<String>>) -> Self {
        let shards = BTreeMap::from([(SHARD.to_owned(), (records, 0, false))]);
        let listing = vec![shard(SHARD, &[])];
        Self::of(settings, shards, listing)
    }

    fn of(
        settings: Settings,
        shards: BTreeMap<String, (Vec<Record<String>>, usize, bool)>,
        listing: Vec<ShardInfo>,
    ) -> Self {
        let mut stream = Self {
            mapping: Mapping::new(settings, BTreeMap::new()),
            now: 100_000,
            shards,
            listing,
            invoked: Vec::new(),
            discarded: Vec::new(),
            checkpoints: BTreeMap::new(),
            polls: Vec::new(),
            wake: None,
        };
        stream.event(Event::Tick);
        stream
    }

    /// Handles an event, and the reads that follow from it.
    fn event(&mut self, event: Event<String>) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            self.wake = None;
            for action in self.mapping.handle(self.now, event) {
                match action {
                    Action::List => events.push(Event::Listed(self.listing.clone())),
                    Action::Poll { shard, from } => events.push(self.read(shard, from)),
                    Action::Invoke(invocation) => self.invoked.push(invocation),
                    Action::Discard(discarded) => self.discarded.push(discarded),
                    Action::Checkpoint { shard, checkpoint } => {
                        self.checkpoints.insert(shard, checkpoint);
                    }
                    Action::Wake(at) => self.wake = Some(at),
                }
            }
        }
    }

    fn read(&mut self, shard: String, from: Position) -> Event<String> {
        let (records, read, closed) = self.shards.get_mut(&shard).unwrap();
        let page = records[*read..].to_vec();
        *read = records.len();
        let end = *closed;
        self.polls.push((self.now, shard.clone(), from));
        Event::Polled {
            shard,
            records: page,
            behind: false,
            end,
        }
    }

    fn put(&mut self, records: Vec<Record<String>>) {
        self.shards.get_mut(SHARD).unwrap().0.extend(records);
    }

    fn advance(&mut self, millis: Millis) {
        self.now += millis;
        self.event(Event::Tick);
    }

    fn last(&self) -> &Invocation<String> {
        self.invoked.last().unwrap()
    }

    fn finish(&mut self, outcome: Finished) {
        let id = self.last().id;
        self.event(Event::Finished { id, outcome });
    }

    /// Ends the last invocation and waits until the next begins.
    fn finish_and_wait(&mut self, outcome: Finished) {
        let before = self.invoked.len();
        self.finish(outcome);
        for _ in 0..1_000 {
            if self.invoked.len() > before {
                return;
            }
            self.advance(100);
        }
        panic!("nothing was invoked");
    }

    fn is_done_to(&self, sequence: &str) -> bool {
        self.checkpoints[SHARD] == Checkpoint::At(Position::After(sequence.to_owned()))
    }
}

fn shard(id: &str, parents: &[&str]) -> ShardInfo {
    ShardInfo {
        id: id.to_owned(),
        parents: parents.iter().map(|&parent| parent.to_owned()).collect(),
        closed: false,
    }
}

fn record(sequence: &str) -> Record<String> {
    keyed(sequence, "key")
}

fn keyed(sequence: &str, key: &str) -> Record<String> {
    Record {
        sequence: sequence.to_owned(),
        partition_key: key.to_owned(),
        arrived: 100_000,
        bytes: 100,
        matches: true,
        payload: sequence.to_owned(),
    }
}

fn records(range: std::ops::Range<u32>) -> Vec<Record<String>> {
    range.map(|number| record(&number.to_string())).collect()
}

fn failures(sequences: &[&str]) -> Finished {
    Finished::ItemFailures(
        sequences
            .iter()
            .map(|&sequence| sequence.to_owned())
            .collect(),
    )
}
