//! A scenario, step by step: gateway, authorizers, stream, processors, journal, access log, fold.

use std::collections::VecDeque;

use authorizer::spread::Spread;
use domain::event::Subject;
use domain::time::UnixMillis;
use lambda_host::mapping::model::{Finished, Millis};

use super::aws::{Bucket, CALLS_AN_INSTANCE, Instances, KEY_WRITES};
use super::folding::{Folding, HOUR_WRITES};
use super::report::{Report, SAMPLE_SECONDS, Sample};
use super::scenario::{Scenario, is_down};
use super::stream::Stream;
use crate::faults::random::Random;

const STEP: u64 = 100;
/// Milliseconds that an authorizer is busy with a call, and with a call whose put a shard refuses
/// three times before it is appended.
const BUSY: u64 = 9;
const BUSY_WHEN_REFUSED: u64 = 330;
/// Attempts at a put, and how long an instance leaves the stream alone after the last one.
const ATTEMPTS: u64 = 3;
const PAUSE: Millis = 5_000;
/// Milliseconds of an invocation of the processor besides its events, and if no table responds.
const PROCESSING: u64 = 10;
const WITHOUT_TABLES: u64 = 5_000;
const EVENTS_A_MILLI: u64 = 80;
/// Bytes of a report and of a line in the journal.
const REPORT_BYTES: u64 = 14;
const LINE_BYTES: u64 = 17;
/// Seconds that lines wait in the queue, and lines that two reconcilers append per step.
const LINES_WAIT: u64 = 900;
const LINES_A_STEP: u64 = 2 * 8_000 * STEP / 152;
/// Instances that other functions use.
const OTHERS: u64 = 10;
/// How long a scenario continues after its last call.
const AFTERWARDS: u64 = 2_100;
/// Lags at which records wait only for their windows.
const CALM_STREAM: Millis = 13_000;
const CALM_FOLD: Millis = 130_000;

struct World {
    scenario: Scenario,
    now: Millis,
    random: Random,
    gateway: Bucket,
    authorizers: Instances,
    /// Instances of the authorizer that the account counts at present.
    occupied: u64,
    /// Milliseconds that the calls of the last step occupied an authorizer, on average.
    busy: u64,
    /// Thousandths of a call that are due, and served calls that are not in a record yet.
    due: u64,
    unrecorded: u64,
    spread: Spread,
    keys: u64,
    /// Instances that leave the stream alone, and until when.
    paused: VecDeque<(Millis, u64)>,
    stream: Stream,
    table: Bucket,
    key: Bucket,
    folding: Folding,
    /// Lines that wait for their window, and lines that are due.
    lines: u64,
    due_lines: u64,
    /// Events that only the access log reports.
    unreported: u64,
    writes: u64,
    refused_at_sample: u64,
    report: Report,
}

/// Runs a scenario to its end.
pub(super) fn run(scenario: Scenario) -> Report {
    let mut world = World::new(scenario);
    let steps = (scenario.seconds + AFTERWARDS) * 1_000 / STEP;
    for _ in 0..steps {
        world.step();
    }
    world.finish()
}

impl World {
    fn new(scenario: Scenario) -> Self {
        let quotas = scenario.quotas;
        let bucket = |rate| Bucket::new(rate, rate);
        Self {
            now: 0,
            random: Random::new(10),
            gateway: Bucket::new(quotas.gateway_rate, quotas.gateway_burst),
            authorizers: Instances::new(),
            occupied: 0,
            busy: BUSY,
            due: 0,
            unrecorded: 0,
            spread: Spread::default(),
            keys: 1,
            paused: VecDeque::new(),
            stream: Stream::new(&scenario),
            table: bucket(quotas.table_writes),
            key: bucket(KEY_WRITES),
            folding: Folding::default(),
            lines: 0,
            due_lines: 0,
            unreported: 0,
            writes: 0,
            refused_at_sample: 0,
            report: Report {
                name: scenario.name,
                ..Report::default()
            },
            scenario,
        }
    }

    fn second(&self) -> u64 {
        u64::try_from(self.now / 1_000).unwrap_or(0)
    }

    fn tables_answer(&self) -> bool {
        !is_down(self.scenario.tables_down, self.second())
    }

    fn step(&mut self) {
        self.gateway.refill(STEP);
        self.table.refill(STEP);
        self.key.refill(STEP);
        self.stream.refill(STEP);
        if self.now % 1_000 == 0 {
            self.every_second();
        }
        let served = self.serve();
        self.report_calls(served);
        self.process();
        self.append_lines();
        self.fold();
        self.now += Millis::try_from(STEP).unwrap_or(0);
    }

    fn every_second(&mut self) {
        let second = self.second();
        self.spread_caller();
        if second.is_multiple_of(LINES_WAIT) {
            if self.due_lines > 0 {
                self.gives("two reconcilers: the access log falls behind");
            }
            self.due_lines += std::mem::take(&mut self.lines);
        }
        if second.is_multiple_of(SAMPLE_SECONDS) {
            self.sample(second);
        }
    }

    /// Whether the instance that reports now leaves the stream alone because a put failed there.
    fn is_paused(&mut self) -> bool {
        let now = self.now;
        while self.paused.front().is_some_and(|(until, _)| *until <= now) {
            self.paused.pop_front();
        }
        let paused: u64 = self.paused.iter().map(|(_, instances)| instances).sum();
        self.random.below(self.authorizers.running.max(1)) < paused
    }

    /// The number of keys over which an instance spreads the busiest caller: the authorizer's own
    /// code, given the calls that one of the instances sees in a second.
    fn spread_caller(&mut self) {
        if self.scenario.one_caller == 0 || self.second() >= self.scenario.seconds {
            return;
        }
        let subject = Subject::user("busy@example.com");
        let calls = self
            .scenario
            .one_caller
            .div_ceil(self.authorizers.running.max(1));
        let at = UnixMillis(self.now);
        for _ in 0..calls {
            self.keys = self.spread.of(&subject, at).into();
        }
    }

    /// Serves incoming calls; returns the number that an authorizer handled.
    fn serve(&mut self) -> u64 {
        self.due += self.scenario.rate_at(self.second()) * STEP;
        let calls = self.due / 1_000;
        self.due %= 1_000;
        self.report.calls += calls;
        let admitted = self.gateway.take(calls);
        if admitted < calls {
            self.gives("the gateway's requests a second: callers are refused");
        }
        let by_rate = (admitted * 1_000 / STEP).div_ceil(CALLS_AN_INSTANCE);
        let by_time = (admitted * self.busy).div_ceil(STEP);
        let elsewhere = self.stream.running() + OTHERS;
        let room = self.scenario.quotas.concurrency.saturating_sub(elsewhere);
        self.authorizers.grow(by_rate.max(by_time), room, STEP);
        self.occupied = by_rate.max(by_time).min(self.authorizers.running);
        let capacity = self.authorizers.running * STEP / self.busy.max(1_000 / CALLS_AN_INSTANCE);
        let served = admitted.min(capacity);
        if served < admitted {
            self.gives("instances of the authorizer: callers are refused");
        }
        let instances = self.occupied + elsewhere;
        self.report.most_instances = self.report.most_instances.max(instances);
        self.report.refused += calls - served;
        self.lines += served;
        served
    }

    /// The authorizers report the calls that they handled.
    fn report_calls(&mut self, served: u64) {
        self.unrecorded += served;
        let weight = self.scenario.weight;
        let (mut records, mut busy) = (0, 0);
        while self.unrecorded >= weight {
            self.unrecorded -= weight;
            records += 1;
            busy += self.report_record(weight);
        }
        self.busy = busy.checked_div(records).unwrap_or(self.busy);
        // The last calls are fewer than a record represents.
        if self.second() >= self.scenario.seconds && self.unrecorded > 0 {
            let rest = std::mem::take(&mut self.unrecorded);
            self.append_directly(rest);
        }
    }

    /// Puts a record, or appends it if the stream does not accept it. Returns the milliseconds that
    /// this occupies an authorizer.
    fn report_record(&mut self, calls: u64) -> u64 {
        if is_down(self.scenario.stream_down, self.second()) || self.is_paused() {
            self.append_directly(calls);
            return BUSY;
        }
        let key = self.partition_key();
        if self.stream.put(key, self.now) {
            return BUSY;
        }
        self.gives("shards: their calls are appended directly");
        self.report.shard_throttles += ATTEMPTS * calls;
        self.paused.push_back((self.now + PAUSE, calls));
        self.append_directly(calls);
        BUSY_WHEN_REFUSED
    }

    fn partition_key(&mut self) -> u64 {
        let rate = self.scenario.rate_at(self.second()).max(1);
        if self.random.below(rate) < self.scenario.one_caller {
            self.scenario.users + self.random.below(self.keys)
        } else {
            self.random.below(self.scenario.users)
        }
    }

    /// Each call is a separate entry.
    fn append_directly(&mut self, calls: u64) {
        if self.append(calls, calls) {
            self.report.directly += calls;
        } else {
            self.gives("appending directly: the access log brings the call");
            self.unreported += calls;
        }
    }

    /// Appends facts in `units` write units, to spread keys if the hour's own is full.
    fn append(&mut self, facts: u64, units: u64) -> bool {
        if !self.tables_answer() {
            return false;
        }
        if !self.table.take_all(units) {
            self.gives("write units of the analytics table");
            return false;
        }
        if !self.key.take_all(units) {
            self.gives("write units of one key: entries go to spread keys");
            self.report.spread_appends += 1;
        }
        self.writes += units;
        self.report.journalled += facts;
        self.folding.add(facts, self.now);
        true
    }

    fn process(&mut self) {
        for invocation in self.stream.ended(self.now) {
            let events = invocation.records.len() as u64 * self.scenario.weight;
            let units = (events * REPORT_BYTES).div_ceil(1_024).max(1);
            let outcome = if self.append(events, units) {
                Finished::Success
            } else {
                self.report.retries += 1;
                Finished::Failure
            };
            self.stream.finish(self.now, invocation.id, outcome);
        }
        for invocation in self.stream.advance(self.now) {
            let instances = self.occupied + self.stream.running() + OTHERS;
            if instances >= self.scenario.quotas.concurrency {
                self.gives("instances of the processor: counts are late");
                self.stream
                    .finish(self.now, invocation.id, Finished::NotInvoked);
                continue;
            }
            let events = invocation.records.len() as u64 * self.scenario.weight;
            let millis = if self.tables_answer() {
                PROCESSING + events / EVENTS_A_MILLI
            } else {
                WITHOUT_TABLES
            };
            let until = self.now + Millis::try_from(millis).unwrap_or(0);
            self.stream.run(invocation, until);
        }
    }

    /// The reconcilers append the lines that are due.
    fn append_lines(&mut self) {
        let lines = self.due_lines.min(LINES_A_STEP);
        let units = (lines * LINE_BYTES).div_ceil(1_024) + 1;
        if lines == 0 || !self.tables_answer() || !self.table.take_all(units) {
            return;
        }
        self.writes += units;
        self.due_lines -= lines;
        self.folding.add_lines(lines, self.now);
        if self.due_lines == 0 {
            self.report.journalled += std::mem::take(&mut self.unreported);
        }
    }

    fn fold(&mut self) {
        let tables_answer = self.tables_answer();
        if let Some(fold) = self.folding.end(self.now, tables_answer) {
            if fold.is_cut_off() {
                self.gives("the five minutes of a fold: the usage table is late");
            }
            if tables_answer {
                self.writes += fold.users * HOUR_WRITES;
            }
        }
        if self.folding.outgrows_memory() && self.second() < self.scenario.seconds {
            self.gives("the aggregator's memory for a minute's facts");
        }
        let quotas = self.scenario.quotas;
        self.folding
            .begin(self.now, self.scenario.users, quotas.table_writes);
    }

    fn gives(&mut self, what: &str) {
        let second = self.second();
        self.report.gives(second, what);
    }

    fn sample(&mut self, second: u64) {
        let (stream, fold) = (self.stream.lag(self.now), self.folding.lag(self.now));
        let seconds = |millis: Millis| u64::try_from(millis / 1_000).unwrap_or(0);
        let report = &mut self.report;
        report.longest_stream_lag_seconds = report.longest_stream_lag_seconds.max(seconds(stream));
        report.longest_fold_lag_seconds = report.longest_fold_lag_seconds.max(seconds(fold));
        let refused = report.refused - self.refused_at_sample;
        self.refused_at_sample = report.refused;
        report.samples.push(Sample {
            second,
            calls_per_second: self.scenario.rate_at(second),
            refused_per_second: refused / SAMPLE_SECONDS,
            stream_lag_seconds: seconds(stream),
            fold_lag_seconds: seconds(fold),
            instances: self.occupied + self.stream.running() + OTHERS,
        });
        let is_calm = stream <= CALM_STREAM && fold <= CALM_FOLD;
        let ended = self.scenario.trouble_ends();
        if !is_calm && second < ended + AFTERWARDS {
            self.report.caught_up_after_seconds = None;
        } else if second >= ended && self.report.caught_up_after_seconds.is_none() {
            self.report.caught_up_after_seconds = Some(second - ended);
        }
    }

    fn finish(mut self) -> Report {
        self.report.lost = self.stream.lost;
        let thousands = (self.report.calls / 1_000).max(1);
        self.report.writes_per_thousand = self.writes / thousands;
        self.report
    }
}
