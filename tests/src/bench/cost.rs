//! B4: the write and read units that DynamoDB bills for a thousand calls.
//!
//! The functions' own code runs in virtual time over tables in memory that bill by item size: a
//! write costs the larger of the item before and after, per KB, plus index copies; a consistent
//! read costs each page, per 4 KB. The system is in a steady state: it is day 15 of a month, every
//! user has a history of eleven months, and the functions' instances are warm.
//!
//! Both tracks are on. The authorizer's reports reach the journal in batches of the stream's
//! window, or one by one in synchronous mode. The access log contains a line for each accepted
//! call: lines collect in 20 log streams, are delivered every five seconds, wait in the queue until
//! its window of 15 minutes ends, and are appended in invocations as large as Lambda allows. The
//! journal's changes come through four shards of the table stream, each with its own aggregator
//! that folds at the end of its window; another aggregator ticks each minute. After an hour without
//! calls, the day is closed and sealed. All of that counts.

use std::ops::{Add, AddAssign, Sub};

use aggregator::everybody::Retention;
use aggregator::handler::{Aggregator, Memory};
use aws_lambda_events::event::dynamodb::EventRecord;
use domain::entry::Packer;
use domain::event::{EventType, UsageEvent};
use domain::mark::{DayMark, Round};
use domain::response::Response;
use domain::state;
use domain::table::{ItemKey, JOURNAL_PREFIX};
use domain::time::{UnixMillis, Window};
use runtime::journal::Journal;
use runtime::memory::MemoryStore;
use serde::Serialize;

use super::callers::Callers;
use super::runtime;
use crate::faults::event_record;
use crate::faults::random::Random;

mod access_log;
mod past;
mod works;

use access_log::{AccessLog, Line};
use works::{WORKS, Work};

/// Start of the day of all calls, in milliseconds since the epoch: 2026-11-15T00:00:00Z.
const DAY: UnixMillis = UnixMillis(1_794_700_800_000);
/// The step of virtual time.
const STEP_MILLIS: i64 = 100;
const MINUTE_MILLIS: i64 = 60_000;
const HOUR_MILLIS: i64 = 60 * MINUTE_MILLIS;
/// Shards of the table stream.
const SHARDS: u32 = 4;
/// The most records per invocation of an aggregator.
const LARGEST_BATCH: usize = 10_000;
/// The most messages per invocation of the reconciler, the size of a line in bytes, and the size
/// limit of an invocation.
const MOST_MESSAGES: usize = 1_000;
const LINE_BYTES: usize = 650;
const LARGEST_INVOCATION: usize = 5_500_000;
/// One accepted call in this many gets a 404.
const NOT_FOUND_ONCE_IN: u64 = 50;
/// Milliseconds that calls take.
const LATENCY: (u64, u64) = (30, 800);
/// How long after its minute a call must be reported.
const REPORTED_WITHIN_MILLIS: i64 = 16 * MINUTE_MILLIS;
const RETENTION: Retention = Retention {
    raw: 90,
    minutes: 7,
    hours: 90,
};

/// The cost of a workload.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cost {
    /// The workload, see benchmark B4.
    name: &'static str,
    /// Number of calls.
    calls: u64,
    /// Units per 1,000 calls in total.
    total: Units,
    /// Of these: appending reports and lines.
    journal: Units,
    /// Folding.
    fold: Units,
    /// The ticks of the minutes.
    ticks: Units,
    /// Closing the day and sealing it.
    closing: Units,
}

/// Write and read units.
#[derive(Debug, Clone, Copy, Default, Serialize)]
struct Units {
    writes: u64,
    reads: u64,
}

/// Measures all workloads, in their order.
pub fn measure() -> Vec<Cost> {
    let cost = |work: &Work| runtime().block_on(Simulation::new(*work).run());
    WORKS.iter().map(cost).collect()
}

impl Units {
    fn of(table: &MemoryStore) -> Self {
        let units = table.units();
        Self {
            writes: units.writes,
            reads: units.reads,
        }
    }

    /// Rounded.
    fn per_thousand(self, calls: u64) -> Self {
        let per = |units: u64| (units * 1_000 + calls / 2) / calls;
        Self {
            writes: per(self.writes),
            reads: per(self.reads),
        }
    }
}

impl Add for Units {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            writes: self.writes + other.writes,
            reads: self.reads + other.reads,
        }
    }
}

impl AddAssign for Units {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for Units {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            writes: self.writes - other.writes,
            reads: self.reads - other.reads,
        }
    }
}

/// A shard of the table stream: changes with their times, and the aggregator that folds them.
struct Shard {
    changes: Vec<(EventRecord, UnixMillis)>,
    aggregator: Aggregator<MemoryStore>,
}

struct Simulation {
    work: Work,
    random: Random,
    callers: Callers,
    analytics: MemoryStore,
    usage: MemoryStore,
    journal: Journal<MemoryStore>,
    shards: Vec<Shard>,
    ticker: Aggregator<MemoryStore>,
    log: AccessLog,
    batch: Vec<UsageEvent>,
    batch_since: UnixMillis,
    now: UnixMillis,
    calls: u64,
    /// Millionths of a call that are due.
    due: i64,
    /// Changes of the table stream so far.
    changes: u64,
}

impl Simulation {
    fn new(work: Work) -> Self {
        let callers = Callers::new(work.users, work.spread);
        let analytics = MemoryStore::journalled(Some(JOURNAL_PREFIX));
        let usage = MemoryStore::default();
        past::plant(&usage, &callers.users, DAY);
        let aggregator = || Aggregator {
            analytics: analytics.clone(),
            usage: usage.clone(),
            retention: RETENTION,
            reported_within: REPORTED_WITHIN_MILLIS,
            cache: Memory::default(),
        };
        let shard = |_| Shard {
            changes: Vec::new(),
            aggregator: aggregator(),
        };
        Self {
            work,
            random: Random::new(7),
            journal: Journal {
                store: analytics.clone(),
                retention_days: RETENTION.raw,
            },
            shards: (0..SHARDS).map(shard).collect(),
            ticker: aggregator(),
            log: AccessLog::new(),
            callers,
            analytics,
            usage,
            batch: Vec::new(),
            batch_since: DAY,
            now: DAY,
            calls: 0,
            due: 0,
            changes: 0,
        }
    }

    async fn run(mut self) -> Cost {
        let last_call = DAY.plus_millis(self.work.seconds * 1_000);
        let (mut journal, mut fold) = (Units::default(), Units::default());
        let mut ticks = Units::default();
        for shard in &self.shards {
            shard.fold(&[], DAY.plus_millis(-1)).await;
        }
        let began = self.units();
        while self.now < last_call.plus_millis(HOUR_MILLIS) {
            self.now = self.now.plus_millis(STEP_MILLIS);
            let before = self.units();
            if self.now <= last_call {
                self.call().await;
            }
            self.report().await;
            self.log.deliver(self.now);
            self.reconcile().await;
            let appended = self.units();
            journal += appended - before;
            self.fold().await;
            let folded = self.units();
            fold += folded - appended;
            if self.now.0 % MINUTE_MILLIS == 0 {
                tick(&self.ticker, self.now).await;
                ticks += self.units() - folded;
            }
        }
        let before = self.units();
        self.close().await;
        let per = |units: Units| units.per_thousand(self.calls);
        Cost {
            name: self.work.name,
            calls: self.calls,
            total: per(self.units() - began),
            journal: per(journal),
            fold: per(fold),
            ticks: per(ticks),
            closing: per(self.units() - before),
        }
    }

    fn units(&self) -> Units {
        Units::of(&self.analytics) + Units::of(&self.usage)
    }

    /// Makes the calls of all users that are due.
    async fn call(&mut self) {
        const MILLIONTHS: i64 = 1_000_000;
        self.due += self.work.calls_in_1000_s * STEP_MILLIS;
        while self.due >= MILLIONTHS {
            self.due -= MILLIONTHS;
            self.calls += 1;
            let event = self.callers.call(&mut self.random, self.now);
            if event.event_type == EventType::ApiCall {
                let response = self.response();
                let event = event.clone();
                self.log.write(Line { event, response }, &mut self.random);
            }
            if self.work.batch_millis.is_some() {
                self.batch.push(event);
            } else {
                self.append_reports(&[event]).await;
            }
        }
    }

    fn response(&mut self) -> Response {
        let (shortest, longest) = LATENCY;
        let latency = shortest + self.random.below(longest - shortest + 1);
        let is_not_found = self.random.once_in(NOT_FOUND_ONCE_IN);
        Response {
            status: if is_not_found { 404 } else { 200 },
            latency: u32::try_from(latency).ok(),
        }
    }

    /// The stream delivers its batch if the window is over.
    async fn report(&mut self) {
        let window = self.work.batch_millis.unwrap_or(0);
        if !self.batch.is_empty() && self.now.since(self.batch_since) >= window {
            let batch = std::mem::take(&mut self.batch);
            self.append_reports(&batch).await;
        }
        if self.batch.is_empty() {
            self.batch_since = self.now;
        }
    }

    async fn append_reports(&self, events: &[UsageEvent]) {
        let events: Vec<_> = events.iter().map(UsageEvent::borrowed).collect();
        let mut packer = Packer::default();
        for event in &events {
            packer.report(event);
        }
        self.append(packer).await;
    }

    async fn append_lines(&self, lines: &[&Line]) {
        let events: Vec<_> = lines.iter().map(|line| line.event.borrowed()).collect();
        let mut packer = Packer::default();
        for (event, line) in events.iter().zip(lines) {
            packer.line(event, Some(line.response));
        }
        self.append(packer).await;
    }

    async fn append(&self, packer: Packer<'_>) {
        let done = self.journal.append(packer, self.now).await;
        done.expect("the table in memory takes everything");
    }

    /// The queue delivers the messages whose window is over.
    async fn reconcile(&mut self) {
        while let Some(messages) = self.log.take(self.now) {
            let (mut lines, mut count) = (Vec::new(), 0);
            for message in &messages {
                lines.extend(message);
                count += 1;
                if count >= MOST_MESSAGES || lines.len() * LINE_BYTES >= LARGEST_INVOCATION {
                    self.append_lines(&lines).await;
                    (lines, count) = (Vec::new(), 0);
                }
            }
            if !lines.is_empty() {
                self.append_lines(&lines).await;
            }
        }
    }

    /// The journal's changes reach their shards, and those whose window is over are folded.
    async fn fold(&mut self) {
        for change in self.analytics.take_changes() {
            self.changes += 1;
            let shard = crc32fast::hash(change.key.pk.as_bytes()) % SHARDS;
            let sequence = self.changes.to_string();
            let record = event_record(&change.key, "INSERT", &sequence, self.now);
            let shard = &mut self.shards[usize::try_from(shard).unwrap_or(0)];
            shard.changes.push((record, self.now));
        }
        for shard in &mut self.shards {
            let oldest = shard.changes.first();
            let is_over =
                oldest.is_some_and(|(_, at)| self.now.since(*at) >= self.work.fold_millis);
            if is_over || shard.changes.len() >= LARGEST_BATCH {
                let changes = std::mem::take(&mut shard.changes);
                let records: Vec<_> = changes.into_iter().map(|(record, _)| record).collect();
                shard.fold(&records, self.now).await;
            }
        }
    }

    /// Closes the day, and seals it nine days later.
    async fn close(&self) {
        let end = Window::Day.end(DAY);
        for at in [
            end.plus_millis(HOUR_MILLIS + 100_000),
            end.plus_millis(3 * HOUR_MILLIS),
            end.plus_days(9).plus_millis(1),
        ] {
            past::seal_around(&self.usage, DAY);
            tick(&self.ticker, at).await;
        }
        let mark = self.usage.peek(&ItemKey::day_mark(DAY));
        let mark = mark.expect("the day is begun");
        let mark: DayMark = state::decode(&mark.state).expect("this release wrote it");
        assert_eq!(mark.round, Round::Sealed, "the day is sealed");
    }
}

impl Shard {
    async fn fold(&self, records: &[EventRecord], now: UnixMillis) {
        let (answer, _) = self.aggregator.batch(records, now, &|| false).await;
        assert_eq!(answer.identifiers().count(), 0, "no record is redelivered");
    }
}

async fn tick(ticker: &Aggregator<MemoryStore>, now: UnixMillis) {
    let done = ticker.tick(now, &|| false).await;
    done.expect("the tables in memory take everything");
}
