//! B1: the CPU time of the processor and the fold, and the throughput of one processor instance
//! against a slow table.
//!
//! The processor receives records of the stream with the JSON that the authorizer writes, generated
//! before the clock starts, and appends to a table in memory that responds at once. The fold
//! receives a minute's entries as that table would return them. The calls are those of 100 users on
//! five routes; one in fifty is a failure with a new key. Every event has its own id.
//!
//! CPU time is that of the whole process, which does nothing else in the meantime. `/proc` reports
//! it in hundredths of a second, so each measurement takes several passes over the same work.

use std::time::{Duration, Instant};

use aws_lambda_events::event::kinesis::KinesisEventRecord;
use domain::entry::Packer;
use domain::event::UsageEvent;
use domain::fold::MinuteFold;
use domain::time::UnixMillis;
use processor::handler::Processor;
use runtime::journal::Journal;
use runtime::memory::MemoryStore;
use runtime::store::Store;
use serde::Serialize;

use super::callers::{Callers, Spread};
use super::delayed::Delayed;
use super::process::CpuClock;
use super::{per_second, process as own, runtime};
use crate::faults::random::Random;

const USERS: u32 = 100;
/// The minute of all calls, in milliseconds since the epoch: 2026-11-15T12:00:00Z.
const MINUTE: UnixMillis = UnixMillis(1_794_744_000_000);
/// Events that the processor receives per pass.
const EVENTS: usize = 100_000;
/// Events of the folded minute.
const EVENTS_OF_MINUTE: usize = 600_000;
/// Passes of a measurement.
const PASSES: u32 = 5;
/// Delay of each call to the slow table.
const DELAY: Duration = Duration::from_millis(5);
/// Batches for the slow table.
const DELAYED_BATCHES: usize = 500;
/// Batches after which the processor's memory is measured, and the events of each.
const BATCHES_IN_MEMORY: (usize, usize) = (200, 1_000);
const RETENTION_DAYS: i64 = 90;

/// The results.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cpu {
    /// Events per CPU-second that the processor appends in batches of 100.
    batches_of_100: u64,
    /// In batches of 1,000.
    batches_of_1000: u64,
    /// Events per second of one instance in batches of 100, against a table that takes 5 ms per
    /// call.
    slow_table: u64,
    /// Peak memory of the processor with batches of 1,000, in KB.
    processor_kilobytes: u64,
    /// Events per CPU-second folded from entries of 1,000.
    entries_of_1000: u64,
    /// From entries of 100.
    entries_of_100: u64,
    /// Peak memory of folding a minute of 600,000 events, in KB, including its entries.
    fold_kilobytes: u64,
}

/// Measures everything. Work that needs little memory comes first: a process's peak never falls.
pub fn measure() -> Cpu {
    let mut feed = Feed::new();
    let processor_kilobytes = processor_memory(&mut feed);
    let slow_table = slow_table(&mut feed);
    let entries_of_1000 = folded(&mut feed, 1_000);
    let fold_kilobytes = own::peak_kilobytes();
    Cpu {
        batches_of_100: processed(&mut feed, 100),
        batches_of_1000: processed(&mut feed, 1_000),
        slow_table,
        processor_kilobytes,
        entries_of_1000,
        entries_of_100: folded(&mut feed, 100),
        fold_kilobytes,
    }
}

/// The source of events.
pub(super) struct Feed {
    random: Random,
    callers: Callers,
    /// Number of events so far.
    number: u32,
}

impl Feed {
    pub(super) fn new() -> Self {
        Self {
            random: Random::new(1),
            callers: Callers::new(USERS, Spread::Even),
            number: 0,
        }
    }

    fn event(&mut self) -> UsageEvent {
        self.number += 1;
        let into = i64::from(self.number % 60_000);
        self.callers
            .call(&mut self.random, MINUTE.plus_millis(into))
    }

    pub(super) fn batch(&mut self, events: usize) -> Vec<KinesisEventRecord> {
        (0..events).map(|_| self.record()).collect()
    }

    fn record(&mut self) -> KinesisEventRecord {
        let json = self.event().to_json();
        let mut record = KinesisEventRecord::default();
        record.event_id = Some(format!("shardId-000000000000:{}", self.number));
        record.kinesis.sequence_number = self.number.to_string();
        record.kinesis.data.0 = json;
        record
    }

    /// A minute's entries of `each` events.
    fn entries(&mut self, events: usize, each: usize) -> Vec<Vec<u8>> {
        let mut entries = Vec::new();
        for _ in 0..events / each {
            let events: Vec<_> = (0..each).map(|_| self.event()).collect();
            let events: Vec<_> = events.iter().map(UsageEvent::borrowed).collect();
            let mut packer = Packer::default();
            for event in &events {
                packer.report(event);
            }
            entries.extend(packer.pack().into_iter().map(|entry| entry.facts));
        }
        entries
    }
}

pub(super) const fn processor<S>(store: S) -> Processor<S> {
    Processor {
        journal: Journal {
            store,
            retention_days: RETENTION_DAYS,
        },
    }
}

/// Gives the processor a batch, which it appends whole.
pub(super) async fn process<S: Store>(processor: &Processor<S>, batch: &[KinesisEventRecord]) {
    let clock = || MINUTE.plus_millis(60_000);
    let (_, report) = processor.process(batch, &clock).await;
    assert_eq!(report.appended, batch.len() as u64, "every event is taken");
}

/// Batches arrive one by one, as at an instance.
fn processor_memory(feed: &mut Feed) -> u64 {
    let (batches, events) = BATCHES_IN_MEMORY;
    let processor = processor(MemoryStore::default());
    runtime().block_on(async {
        for _ in 0..batches {
            process(&processor, &feed.batch(events)).await;
        }
    });
    own::peak_kilobytes()
}

fn processed(feed: &mut Feed, events: usize) -> u64 {
    let batches: Vec<_> = (0..EVENTS / events).map(|_| feed.batch(events)).collect();
    per_cpu_second(EVENTS, || {
        // An empty table each time, so that its content costs nothing.
        let processor = processor(MemoryStore::default());
        runtime().block_on(async {
            for batch in &batches {
                process(&processor, batch).await;
            }
        });
    })
}

fn slow_table(feed: &mut Feed) -> u64 {
    const EVENTS: usize = 100;
    let batches: Vec<_> = (0..DELAYED_BATCHES).map(|_| feed.batch(EVENTS)).collect();
    let processor = processor(Delayed {
        table: MemoryStore::default(),
        delay: DELAY,
    });
    let began = Instant::now();
    runtime().block_on(async {
        for batch in &batches {
            process(&processor, batch).await;
        }
    });
    per_second((DELAYED_BATCHES * EVENTS) as u64, began.elapsed())
}

fn folded(feed: &mut Feed, each: usize) -> u64 {
    let entries = feed.entries(EVENTS_OF_MINUTE, each);
    per_cpu_second(EVENTS_OF_MINUTE, || {
        let mut fold = MinuteFold::new(MINUTE);
        for entry in &entries {
            fold.add(entry, true).expect("this release wrote it");
        }
        assert_eq!(fold.facts(), EVENTS_OF_MINUTE as u64, "each event is one");
        assert_eq!(fold.finish().everybody.rank, EVENTS_OF_MINUTE as u64);
    })
}

fn per_cpu_second(events: usize, pass: impl Fn()) -> u64 {
    let clock = CpuClock::start();
    for _ in 0..PASSES {
        pass();
    }
    per_second(events as u64 * u64::from(PASSES), clock.used())
}
