//! Traffic and the system's metrics under it.

use domain::names::StackKind;
use stacks::{Environment, Function};

use super::series::Series;
use crate::faults::random::Random;

/// Milliseconds of a minute.
const MINUTE: i64 = 60_000;

/// The component that fails from some minute on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing fails.
    None,
    /// The processor is not invoked.
    Processor(usize),
    /// Nothing accepts the authorizer's events.
    Tracking(usize),
    /// The aggregator's mapping is disabled.
    Mapping(usize),
    /// The aggregator's tick stops.
    Tick(usize),
    /// Records take ten seconds longer.
    Slow(usize),
    /// The access log's subscription is gone.
    Log(usize),
    /// The mapping of the access log's queue is disabled.
    Queue(usize),
    /// The scaler's tick stops.
    Scaler(usize),
    /// Half of the calls get a 5xx.
    Upstream(usize),
}

/// How late CloudWatch makes a minute visible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lateness {
    /// At its end or a minute later, at random.
    Usual,
    /// Causes are visible at once, effects two minutes late.
    EffectsLate,
}

/// A system under some traffic.
#[derive(Debug)]
pub struct World<'a> {
    /// The deployed environment.
    pub environment: &'a Environment,
    /// The length of the observation, in minutes.
    pub minutes: usize,
    /// The fault.
    pub fault: Fault,
    /// The lateness of metrics.
    pub lateness: Lateness,
}

/// Random times of calls over `minutes` minutes, in milliseconds, at `millihertz` calls per 1,000
/// seconds.
pub fn calls(millihertz: u64, minutes: usize, seed: u64) -> Vec<i64> {
    let mut random = Random::new(seed);
    let end = i64::try_from(minutes).unwrap() * MINUTE;
    let mut at = 0.0;
    let mut calls = Vec::new();
    loop {
        // Intervals between independent calls are exponential.
        let uniform = (random.below(1 << 32) + 1) as f64 / (1_u64 << 32) as f64;
        at += -uniform.ln() * 1_000_000.0 / millihertz as f64;
        if at as i64 >= end {
            return calls;
        }
        calls.push(at as i64);
    }
}

/// Values of a metric by minute.
struct ByMinute(Vec<Vec<f64>>);

impl ByMinute {
    fn new(minutes: usize) -> Self {
        Self(vec![Vec::new(); minutes])
    }

    fn add(&mut self, at: i64, value: f64) {
        let minute = usize::try_from(at / MINUTE).unwrap();
        if let Some(values) = self.0.get_mut(minute) {
            values.push(value);
        }
    }
}

/// Items that are processed together: the first one waits for a window.
struct Batches {
    window: i64,
    due: i64,
}

impl Batches {
    fn of(window_seconds: u32) -> Self {
        Self {
            window: i64::from(window_seconds) * 1_000,
            due: i64::MIN,
        }
    }

    /// When an item that arrives at `at` is processed, and whether it is the first of its batch.
    fn due(&mut self, at: i64) -> (i64, bool) {
        let first = at > self.due;
        if first {
            self.due = at + self.window;
        }
        (self.due, first)
    }
}

impl World<'_> {
    /// The system's metrics under these calls.
    pub fn under(&self, calls: &[i64], seed: u64) -> Series {
        let mut random = Random::new(seed);
        let mut series = Series::new(self.minutes);
        self.lines(calls, &mut series, &mut random);
        self.scaler(&mut series, &mut random);
        let mut written = self.calls(calls, &mut series, &mut random);
        let ticks: Vec<i64> = (0..i64::try_from(self.minutes).unwrap())
            .map(|minute| minute * MINUTE + 7_000)
            .filter(|at| self.works(*at, |fault| matches!(fault, Fault::Tick(_))))
            .collect();
        written.extend(&ticks);
        written.sort_unstable();
        self.folds(&written, &ticks, &mut series, &mut random);
        series
    }

    /// The metrics of the authorizer and the processor. Returns the times of writes to the journal.
    fn calls(&self, calls: &[i64], series: &mut Series, random: &mut Random) -> Vec<i64> {
        let names = self.environment.names();
        let window = self.environment.processor.batching_window_seconds.get();
        let mut batches = Batches::of(window);
        let [
            mut invoked,
            mut tracked,
            mut put,
            mut processed,
            mut latency,
        ] = [(); 5].map(|()| ByMinute::new(self.minutes));
        let mut written = Vec::new();
        for &call in calls {
            invoked.add(call, 1.0);
            if !self.works(call, |fault| matches!(fault, Fault::Tracking(_))) {
                continue;
            }
            tracked.add(call + 30, 1.0);
            put.add(call + 20, 1.0);
            // Lambda polls a shard once a second.
            let (due, _) = batches.due(call + 20 + random.between(0, 1_000));
            let slow = !self.works(due, |fault| matches!(fault, Fault::Slow(_)));
            let starts = if random.once_in(500) { 400 } else { 0 };
            let done = due + random.between(30, 150) + starts + i64::from(slow) * 10_000;
            if self.works(done, |fault| matches!(fault, Fault::Processor(_))) {
                processed.add(done, 1.0);
                latency.add(done, (done - call) as f64);
                written.push(done);
            }
        }
        let environment = &self.environment.name;
        let authorizer = names.function(Function::Authorizer);
        let own = names.kinesis_namespace();
        let stream = names.usage_stream();
        self.show(
            series,
            random,
            &format!("AWS/Lambda Invocations {authorizer}"),
            invoked,
            false,
        );
        self.show(
            series,
            random,
            &format!("AWS/Kinesis IncomingRecords {stream}"),
            put,
            false,
        );
        let tracking = format!(
            "{} UsageTrackingSuccess {environment}",
            names.api_namespace()
        );
        self.show(series, random, &tracking, tracked, true);
        self.show(
            series,
            random,
            &format!("{own} ProcessedRecords {environment}"),
            processed,
            true,
        );
        self.show(
            series,
            random,
            &format!("{own} ProcessingLatency {environment}"),
            latency,
            true,
        );
        written
    }

    /// The metrics of the stage, and of the queue of the access log's lines.
    fn lines(&self, calls: &[i64], series: &mut Series, random: &mut Random) {
        let names = self.environment.names();
        let window = i64::from(self.environment.reconciler.window_seconds.get()) * 1_000;
        let [mut counted, mut errors, mut sent, mut waiting, mut received] =
            [(); 5].map(|()| ByMinute::new(self.minutes));
        for (place, &call) in calls.iter().enumerate() {
            counted.add(call, 1.0);
            // One call in a thousand fails in any case.
            let fails = !self.works(call, |fault| matches!(fault, Fault::Upstream(_)));
            let fails = (fails && place % 2 == 0) || random.once_in(1_000);
            errors.add(call, f64::from(u8::from(fails)));
            let line = call + random.between(1_000, 40_000);
            if !self.works(line, |fault| matches!(fault, Fault::Log(_))) {
                continue;
            }
            sent.add(line, 1.0);
            let due = line + (window - line.rem_euclid(window.max(1))) % window.max(1);
            let taken = due + random.between(0, 20_000);
            if self.works(taken, |fault| matches!(fault, Fault::Queue(_))) {
                received.add(taken, 1.0);
                // SQS takes a sample a minute: it sees a message that waits across its end.
                if due / MINUTE < taken / MINUTE {
                    waiting.add(due, 1.0);
                }
            } else {
                let end = i64::try_from(self.minutes).unwrap();
                (due / MINUTE..end).for_each(|minute| waiting.add(minute * MINUTE, 1.0));
            }
        }
        let stage = format!("{} {}", names.stack(StackKind::Api), self.environment.name);
        let queue = names.reconcile_queue();
        for (key, values, effect) in [
            (format!("AWS/ApiGateway Count {stage}"), counted, false),
            (format!("AWS/ApiGateway 5XXError {stage}"), errors, true),
            (format!("AWS/SQS NumberOfMessagesSent {queue}"), sent, true),
            (
                format!("AWS/SQS ApproximateNumberOfMessagesVisible {queue}"),
                waiting,
                false,
            ),
            (
                format!("AWS/SQS NumberOfMessagesReceived {queue}"),
                received,
                true,
            ),
        ] {
            self.show(series, random, &key, values, effect);
        }
    }

    /// The scaler's invocations: one every two minutes.
    fn scaler(&self, series: &mut Series, random: &mut Random) {
        let mut invoked = ByMinute::new(self.minutes);
        for minute in (0..i64::try_from(self.minutes).unwrap()).step_by(2) {
            let at = minute * MINUTE + 20_000;
            if self.works(at, |fault| matches!(fault, Fault::Scaler(_))) {
                invoked.add(at, 1.0);
            }
        }
        let scaler = self.environment.names().function(Function::Scaler);
        let key = format!("AWS/Lambda Invocations {scaler}");
        self.show(series, random, &key, invoked, true);
    }

    /// The metrics of the aggregator, which the writes in `written` trigger.
    fn folds(&self, written: &[i64], ticks: &[i64], series: &mut Series, random: &mut Random) {
        let names = self.environment.names();
        let mut batches = Batches::of(self.environment.aggregator.window_seconds.get());
        let [mut units, mut invoked, mut age] = [(); 3].map(|()| ByMinute::new(self.minutes));
        for &at in ticks {
            invoked.add(at, 1.0);
        }
        for &at in written {
            units.add(at, 1.0);
            let (due, first) = batches.due(at + random.between(100, 1_000));
            if first && self.works(due, |fault| matches!(fault, Fault::Mapping(_))) {
                invoked.add(due, 1.0);
                age.add(due, (due - at) as f64);
            }
        }
        let aggregator = names.function(Function::Aggregator);
        let table = names.analytics_table();
        let key = format!("AWS/DynamoDB ConsumedWriteCapacityUnits {table}");
        self.show(series, random, &key, units, false);
        self.show(
            series,
            random,
            &format!("AWS/Lambda Invocations {aggregator}"),
            invoked,
            true,
        );
        self.show(
            series,
            random,
            &format!("AWS/Lambda IteratorAge {aggregator}"),
            age,
            true,
        );
    }

    fn show(
        &self,
        series: &mut Series,
        random: &mut Random,
        key: &str,
        values: ByMinute,
        effect: bool,
    ) {
        let late = self.lateness;
        series.add(key, values.0, || match late {
            Lateness::Usual => random.place(2),
            Lateness::EffectsLate => 2 * usize::from(effect),
        });
    }

    /// Whether the matching fault is absent, or has not begun.
    fn works(&self, at: i64, meant: impl Fn(&Fault) -> bool) -> bool {
        let from = match self.fault {
            Fault::None => return true,
            Fault::Processor(minute)
            | Fault::Tracking(minute)
            | Fault::Mapping(minute)
            | Fault::Tick(minute)
            | Fault::Slow(minute)
            | Fault::Log(minute)
            | Fault::Queue(minute)
            | Fault::Scaler(minute)
            | Fault::Upstream(minute) => i64::try_from(minute).unwrap() * MINUTE,
        };
        !meant(&self.fault) || at < from
    }
}
