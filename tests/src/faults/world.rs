//! The system that a schedule runs through: the functions' own code over tables and a stream in
//! memory, in virtual time, on one thread.

mod rest;

use std::sync::Arc;
use std::time::Duration;

use aggregator::global::Retention;
use aggregator::handler::Aggregator;
use authorizer::lanes::Lanes;
use authorizer::tracking::{Analytics, Tracking};
use aws_lambda_events::event::dynamodb::EventRecord;
use aws_lambda_events::event::kinesis::{KinesisEvent, KinesisEventRecord};
use domain::event::{EventType, Subject, UsageEvent};
use domain::names::{AUTHORIZER_SECONDS, TrackingMode};
use domain::response::Response;
use domain::table::{ItemKey, LEAF_PREFIX};
use domain::time::UnixMillis;
use lambda_host::mapping::model::Finished;
use processor::handler::Processor;
use reconciler::handler::Reconciler;
use runtime::memory::{Change, Fault, MemoryStore, Pace};
use runtime::metrics::Metrics;
use runtime::spill::Limits;
use runtime::store::Stored;

use super::feed::{Feed, InvocationId};
use super::log::{self, Line, Log, ModelQueue};
use super::oracle::Oracle;
use super::random::Random;
use super::schedule::{Action, Call, Failure, Place, Schedule, Side, Step};
use super::task::{Doing, Done, Polled, Task};
use super::traffic::{CALLERS, POISON, ROUTES, SOURCE, event, event_record};
use super::weather::{ModelStream, Weather};

/// Days that raw events are kept, beyond any schedule.
const RAW_DAYS: i64 = 90;
/// Longest that a pause of an authorizer's stream matters.
const LONGEST_PAUSE: i64 = 6_000;
/// Messages that the reconciler gets at most at once.
const MESSAGES: usize = 10;

/// What a record of the stream holds.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) payload: Vec<u8>,
    /// The number of the event; `None` for poison.
    pub(super) event: Option<usize>,
}

struct Authorizer {
    tracking: Arc<Tracking<ModelStream, MemoryStore>>,
    lanes: Lanes,
    mode: TrackingMode,
    ahead: i64,
}

/// The system.
pub(super) struct World {
    now: UnixMillis,
    pace: Pace,
    weather: Weather,
    pub(super) analytics: MemoryStore,
    pub(super) usage: MemoryStore,
    stream: ModelStream,
    authorizers: Vec<Authorizer>,
    processor: Arc<Processor<MemoryStore>>,
    aggregator: Arc<Aggregator<MemoryStore>>,
    /// The environment's.
    mode: TrackingMode,
    /// As deployed in stream mode, and in synchronous mode.
    reconcilers: [Arc<Reconciler<MemoryStore, ModelQueue>>; 2],
    queue: ModelQueue,
    pub(super) log: Log,
    pub(super) records: Feed,
    pub(super) sent: Vec<Sent>,
    changes: Feed,
    changed: Vec<EventRecord>,
    unheard: Vec<Change>,
    tasks: Vec<Task>,
    pub(super) oracle: Oracle,
    /// Until when what may go is deleted.
    pub(super) expired_at: UnixMillis,
    /// What was deleted, from the analytics and from the usage table.
    pub(super) expired: [Vec<(ItemKey, Stored)>; 2],
    pub(super) minute_days: i64,
    limits: Limits,
}

impl World {
    pub(super) fn new(schedule: &Schedule) -> Self {
        let pace = Pace::default();
        let analytics = MemoryStore::paced(pace.clone(), Some(LEAF_PREFIX));
        let usage = MemoryStore::paced(pace.clone(), None);
        Self::over(schedule, pace, analytics, usage)
    }

    /// With tables that remember what is asked of them.
    pub(super) fn traced(schedule: &Schedule) -> Self {
        let pace = Pace::default();
        let analytics = MemoryStore::paced(pace.clone(), Some(LEAF_PREFIX));
        let usage = MemoryStore::paced(pace.clone(), None);
        analytics.trace();
        usage.trace();
        Self::over(schedule, pace, analytics, usage)
    }

    fn over(schedule: &Schedule, pace: Pace, analytics: MemoryStore, usage: MemoryStore) -> Self {
        let weather = Weather::default();
        weather.over(&analytics, Place::Analytics);
        weather.over(&usage, Place::Usage);
        let pipeline = &schedule.pipeline;
        let now = schedule.start;
        let queue = ModelQueue::new(weather.clone(), pace.clone());
        let reconciler = |mode| {
            Arc::new(Reconciler {
                analytics: analytics.clone(),
                usage: usage.clone(),
                queue: queue.clone(),
                source: SOURCE.to_owned(),
                mode,
                raw_retention_days: RAW_DAYS,
                limits: pipeline.limits,
            })
        };
        let mut world = Self {
            now,
            stream: ModelStream::new(weather.clone(), pace.clone()),
            authorizers: Vec::new(),
            processor: Arc::new(Processor {
                store: analytics.clone(),
                raw_retention_days: RAW_DAYS,
            }),
            aggregator: Arc::new(Aggregator {
                analytics: analytics.clone(),
                usage: usage.clone(),
                retention: Retention {
                    minutes: pipeline.minute_days,
                    hours: 90,
                },
                limits: pipeline.limits,
            }),
            mode: TrackingMode::Stream,
            reconcilers: [TrackingMode::Stream, TrackingMode::Synchronous].map(reconciler),
            queue,
            log: Log::new(pipeline.delay),
            records: Feed::new(pipeline.shards, pipeline.records, now.0),
            sent: Vec::new(),
            changes: Feed::new(1, pipeline.changes, now.0),
            changed: Vec::new(),
            unheard: Vec::new(),
            tasks: Vec::new(),
            oracle: Oracle::default(),
            expired_at: UnixMillis(0),
            expired: [Vec::new(), Vec::new()],
            minute_days: pipeline.minute_days,
            limits: pipeline.limits,
            pace,
            weather,
            analytics,
            usage,
        };
        for ahead in &pipeline.clocks {
            let authorizer = world.authorizer(TrackingMode::Stream, *ahead);
            world.authorizers.push(authorizer);
        }
        if let Some(before) = pipeline.counted_before {
            let subject = Subject::as_carried(CALLERS[0]);
            world
                .oracle
                .count_before(&world.analytics, &subject, now, before);
            world.collect(true);
        }
        world
    }

    fn authorizer(&self, mode: TrackingMode, ahead: i64) -> Authorizer {
        let analytics = Analytics {
            store: self.analytics.clone(),
            raw_retention_days: RAW_DAYS,
            limits: self.limits,
        };
        let metrics = Metrics::new("CompliCal/API", "test");
        let tracking = Tracking::new(self.stream.clone(), analytics, self.usage.clone(), metrics);
        Authorizer {
            tracking: Arc::new(tracking),
            lanes: Lanes::default(),
            mode,
            ahead,
        }
    }

    /// Runs the schedule, and then everything that is still under way to its end.
    pub(super) async fn run(&mut self, schedule: &Schedule) -> Result<(), String> {
        for step in &schedule.steps {
            let mut random = Random::new(step.seed);
            match step.action {
                Action::Pass(days) => self.pass(days).await?,
                _ => self.act(step, &mut random),
            }
            for _ in 0..step.turns {
                self.begin_lines(&mut random);
                self.turn(&mut random).await;
            }
        }
        self.come_to_rest().await
    }

    fn act(&mut self, step: &Step, random: &mut Random) {
        match step.action {
            Action::Call(call) => self.call(call, random),
            Action::PutAgain(choice) => self.put_again(choice),
            Action::Late(ago) => self.late(ago, random),
            Action::Poison => {
                let payload = random.pick(&POISON).to_vec();
                self.put(&random.below(1 << 20).to_string(), payload);
            }
            Action::Fail(failure) => self.weather.plan(failure),
            Action::Mode(instance, mode) => {
                self.authorizers[instance].mode = mode;
                self.switch(mode);
            }
            Action::Wait(millis) => self.now = self.now.plus_millis(millis),
            Action::Split(choice) => self.records.split(choice),
            Action::Merge(choice) => self.records.merge(choice),
            Action::Redrive(choice, length) => {
                let numbers = self.records.some(choice, length);
                self.count(numbers, None);
            }
            Action::Repeat(choice, length) => {
                let numbers = self.changes.some(choice, length);
                self.roll_up(&numbers, None);
            }
            Action::Restart(side) => self.restart(side, false),
            Action::Replay(side) => self.restart(side, true),
            Action::Toggle(side) => {
                let feed = self.feed(side);
                feed.down = !feed.down;
            }
            Action::Tick => self.tasks.push(Task::tick(&self.aggregator, self.now)),
            Action::Pass(_) => unreachable!("it takes time"),
            Action::Refusal => self.refuse(random),
            Action::PoisonLine => self.log.write(Line {
                text: String::from_utf8_lossy(random.pick(&POISON)).into_owned(),
                event: None,
                response: None,
                poison: true,
            }),
            Action::RepeatLines(choice, length) => {
                let lines = self.log.again(choice, length);
                self.deliver(lines, false);
            }
            Action::Gone(times) => {
                for place in [Place::Stream, Place::Analytics, Place::Queue] {
                    self.weather.plan(Failure {
                        place,
                        after: 1,
                        times,
                        fault: Fault::Missing,
                    });
                }
            }
        }
    }

    /// The environment is deployed in a mode; authorizers of before live on for a while.
    fn switch(&mut self, mode: TrackingMode) {
        self.mode = mode;
        self.weather.keep_analytics();
        if mode == TrackingMode::Stream {
            self.hear_all();
        }
    }

    fn reconciler(&self) -> &Arc<Reconciler<MemoryStore, ModelQueue>> {
        let [stream, synchronous] = &self.reconcilers;
        match self.mode {
            TrackingMode::Stream => stream,
            TrackingMode::Synchronous => synchronous,
        }
    }

    fn feed(&mut self, side: Side) -> &mut Feed {
        match side {
            Side::Records => &mut self.records,
            Side::Changes => &mut self.changes,
        }
    }

    fn restart(&mut self, side: Side, forget: bool) {
        let now = self.now.0;
        self.feed(side).restart(now, forget);
    }

    fn call(&mut self, call: Call, random: &mut Random) {
        let subject = Subject::as_carried(CALLERS[call.caller]);
        let authorizer = &mut self.authorizers[call.instance];
        let time = self.now.plus_millis(authorizer.ahead);
        for _ in 0..call.busy {
            authorizer.lanes.of(&subject, time);
        }
        let mut event = event(subject, call.event_type, call.route, time, random);
        event.data.lanes = authorizer.lanes.of(&event.subject, time);
        event.data.mode = authorizer.mode;
        let number = self.report(event.clone(), call.instance);
        if call.answer.logged {
            let response = Response {
                status: call.answer.status,
                latency: call.answer.latency,
            };
            self.log
                .write(log::of_call(&event, number, response, self.now));
        }
    }

    fn report(&mut self, event: UsageEvent, instance: usize) -> usize {
        let number = self.oracle.learn(event.clone());
        let tracking = &self.authorizers[instance].tracking;
        let until = self.now.plus_millis(i64::from(AUTHORIZER_SECONDS) * 1_000);
        self.tasks
            .push(Task::report(tracking, event, number, (instance, until)));
        number
    }

    /// The gateway refuses a call by itself.
    fn refuse(&mut self, random: &mut Random) {
        let subject = Subject::as_carried(random.pick(&CALLERS));
        let route = random.place(ROUTES.len());
        let event = event(subject, EventType::AuthFailed, route, self.now, random);
        let (event, text) = log::refusal(event, random);
        let number = self.oracle.learn(event);
        self.log.write(Line {
            text,
            event: Some(number),
            response: None,
            poison: false,
        });
    }

    /// The subscription delivers some lines, and the queue some messages.
    fn begin_lines(&mut self, random: &mut Random) {
        if random.once_in(4) {
            let lines = self.log.some(random);
            self.deliver(lines, true);
        }
        if random.once_in(3) {
            let most = 1 + random.place(MESSAGES);
            self.settle_messages(most);
        }
    }

    /// Everything that can be delivered is.
    fn begin_all_lines(&mut self) {
        let lines = self.log.all();
        self.deliver(lines, true);
        self.settle_messages(MESSAGES);
    }

    fn deliver(&mut self, lines: Vec<usize>, again: bool) {
        if lines.is_empty() {
            return;
        }
        self.oracle.lines_offered(&self.log.lines, &lines, self.now);
        let data = self.log.data(&lines);
        let task = Task::deliver(self.reconciler(), data, self.now, (lines, again));
        self.begin_of_reconciler(task);
    }

    fn settle_messages(&mut self, most: usize) {
        let messages = self.log.due(self.now, most);
        if messages.is_empty() {
            return;
        }
        for message in &messages {
            let lines = log::lines_of(&message.body);
            self.oracle.lines_offered(&self.log.lines, &lines, self.now);
        }
        let task = Task::settle(self.reconciler(), messages, self.now);
        self.begin_of_reconciler(task);
    }

    /// In synchronous mode there is no aggregator. Whatever was begun before is waited for before it goes;
    /// lines come later.
    fn begin_of_reconciler(&mut self, mut task: Task) {
        task.heard = self.mode == TrackingMode::Stream;
        self.tasks.push(task);
    }

    fn late(&mut self, ago: i64, random: &mut Random) {
        let subject = Subject::as_carried(random.pick(&CALLERS));
        let event_type = if subject.email().is_some() {
            EventType::ApiCall
        } else {
            EventType::AuthFailed
        };
        let time = self.now.plus_millis(-ago);
        let event = event(
            subject,
            event_type,
            random.place(ROUTES.len()),
            time,
            random,
        );
        self.oracle.learn(event.clone());
        self.put(&event.partition_key(), event.to_json());
    }

    /// What the stream took before comes once more, at its end.
    fn put_again(&mut self, choice: u64) {
        if let Some(number) = self.records.some(choice, 1).first() {
            let key = self.records.key(*number).to_owned();
            self.put(&key, self.sent[*number].payload.clone());
        }
    }

    fn put(&mut self, key: &str, payload: Vec<u8>) {
        self.records.put(key, payload.len(), self.now.0);
        let event = self.oracle.number_of(&payload);
        self.sent.push(Sent { payload, event });
    }

    /// Takes over what the stream took and what the table changed, whether an aggregator hears of that
    /// now or once there is one again.
    fn collect(&mut self, heard: bool) {
        for (key, payload) in self.stream.take() {
            self.put(&key, payload);
        }
        self.log.queue(self.queue.take(), self.now);
        let changes = self.analytics.take_changes();
        if heard || self.mode == TrackingMode::Stream || self.tasks.iter().any(Task::is_waited_for)
        {
            self.hear(changes);
        } else {
            self.unheard.extend(changes);
        }
    }

    fn hear(&mut self, changes: Vec<Change>) {
        for change in changes {
            let number = self.changed.len();
            let key = format!("{}/{}", change.key.pk, change.key.sk);
            self.changes.put(&key, change.new.state.len(), self.now.0);
            self.changed
                .push(event_record(&change, self.changes.sequence(number)));
        }
    }

    /// An aggregator hears of everything that it has not heard of.
    fn hear_all(&mut self) {
        let unheard = std::mem::take(&mut self.unheard);
        self.hear(unheard);
    }

    /// One of those under way goes on, or time does.
    async fn turn(&mut self, random: &mut Random) {
        self.begin();
        if self.tasks.is_empty() || random.once_in(12) {
            self.pass_time().await;
        } else {
            let place = random.place(self.tasks.len());
            self.go_on(place).await;
        }
    }

    /// Begins what the mappings want to be invoked.
    fn begin(&mut self) {
        let now = self.now.0;
        self.records.tick(now);
        self.changes.tick(now);
        for (of, numbers) in self.records.begin(now) {
            self.count(numbers, Some(of));
        }
        for (of, numbers) in self.changes.begin(now) {
            self.roll_up(&numbers, Some(of));
        }
    }

    async fn pass_time(&mut self) {
        let mut next = self.records.wake().min(self.changes.wake());
        if self.records.is_done() && self.changes.is_done() {
            // Nobody but the queue has anything to hand out.
            next = self.log.wake().map_or(next, |at| at.0.max(next));
        }
        let span = next.saturating_sub(self.now.0).clamp(1, 60_000);
        self.now = self.now.plus_millis(span);
        let span = u64::try_from(span.min(LONGEST_PAUSE)).unwrap_or(0);
        tokio::time::advance(Duration::from_millis(span)).await;
    }

    async fn go_on(&mut self, place: usize) {
        if let Doing::Report { until, .. } = self.tasks[place].doing
            && self.now >= until
        {
            let task = self.tasks.swap_remove(place);
            self.end(&task.doing, None);
            return;
        }
        let polled = self.tasks[place].poll(&self.pace, &self.weather).await;
        self.collect(self.tasks[place].heard);
        let done = match polled {
            Polled::Pending => return,
            Polled::Done(done) => Some(done),
            Polled::Died => None,
        };
        let task = self.tasks.swap_remove(place);
        self.end(&task.doing, done);
    }

    fn end(&mut self, doing: &Doing, done: Option<Done>) {
        match (doing, done) {
            (Doing::Report { event, .. }, Some(Done::Reported(true))) => self.oracle.taken(*event),
            (Doing::Report { instance, .. }, None) => {
                let old = &self.authorizers[*instance];
                self.authorizers[*instance] = self.authorizer(old.mode, old.ahead);
            }
            (Doing::Count { records, at, of }, done) => {
                let failed = failed(done);
                let sequences = records.iter().map(|number| self.records.sequence(*number));
                let failed_at = failed.as_ref().map(|failed| {
                    sequences
                        .map(|sequence| failed.iter().any(|of| of == sequence))
                        .collect()
                });
                self.oracle.delivered(&self.sent, records, *at, failed_at);
                if let Some(of) = of {
                    self.records.finish(self.now.0, *of, finished(failed));
                }
            }
            (Doing::Deliver { lines, again: true }, done)
                if !matches!(done, Some(Done::Delivered(true))) =>
            {
                self.log.put_back(lines);
            }
            (Doing::Settle { messages }, done) => {
                let failed = failed(done);
                for message in messages {
                    let id = message.id.to_string();
                    let is_failed = failed.as_ref().is_none_or(|failed| failed.contains(&id));
                    // The queue hands one in eight out again although it was finished.
                    let repeated = message.body.len() % 8 == 0 && message.first();
                    if is_failed || repeated {
                        self.log
                            .hand_out_again(message.clone(), self.now, !is_failed);
                    }
                }
            }
            (Doing::RollUp { of: Some(of) }, done) => {
                self.changes.finish(self.now.0, *of, finished(failed(done)));
            }
            _ => {}
        }
    }

    fn count(&mut self, numbers: Vec<usize>, of: Option<InvocationId>) {
        let mut batch = KinesisEvent::default();
        batch.records = numbers.iter().map(|number| self.record(*number)).collect();
        self.oracle.offered(&self.sent, &numbers, self.now);
        let task = Task::count(&self.processor, batch, numbers, self.now, of);
        self.tasks.push(task);
    }

    fn record(&self, number: usize) -> KinesisEventRecord {
        let sequence = self.records.sequence(number);
        let mut record = KinesisEventRecord::default();
        sequence.clone_into(&mut record.kinesis.sequence_number);
        record.kinesis.data.0.clone_from(&self.sent[number].payload);
        record.event_id = Some(format!("{}:{sequence}", self.records.shard_of(number)));
        record
    }

    fn roll_up(&mut self, numbers: &[usize], of: Option<InvocationId>) {
        let batch = numbers.iter().map(|number| self.changed[*number].clone());
        let task = Task::roll_up(&self.aggregator, batch.collect(), of);
        self.tasks.push(task);
    }
}

/// What must come again; `None` where the function died.
fn failed(done: Option<Done>) -> Option<Vec<String>> {
    match done {
        Some(Done::Batch(failed)) => Some(failed),
        _ => None,
    }
}

fn finished(failed: Option<Vec<String>>) -> Finished {
    match failed {
        None => Finished::Failure,
        Some(failed) if failed.is_empty() => Finished::Success,
        Some(failed) => Finished::ItemFailures(failed),
    }
}
