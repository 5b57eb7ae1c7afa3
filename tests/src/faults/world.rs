//! The system that a schedule runs: the functions' own code over tables and a stream in memory, in
//! virtual time, on one thread.

mod batches;
mod calls;
mod decisions;
mod lines;
mod measure;
mod notices;
mod questions;
mod rest;
mod tables;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use aggregator::everybody::Retention;
use aggregator::handler::{Aggregator, Memory};
use aggregator::thresholds::{LookMemory, Thresholds};
use collector::collect::Collector;
use domain::mark::BEGIN_AFTER_MILLIS;
use domain::names::TrackingMode;
use domain::table::{ItemKey, JOURNAL_PREFIX, JournalKey, attribute};
use domain::time::{UnixMillis, Window};
use processor::handler::Processor;
use reconciler::handler::Reconciler;
use runtime::counters::MemoryCounters;
use runtime::journal::Journal;
use runtime::memory::{Backup, MemoryStore, Pace};
use runtime::metrics::Metrics;
use runtime::store::{Document, Value};

use batches::{failed, finished};
use notices::Notices;

use super::feed::Feed;
use super::limits::{Limits, ModelCounters, ModelLimiter};
use super::log::{Line, Log, ModelQueue};
use super::oracle::Oracle;
use super::questions::{Answer, Question};
use super::random::Random;
use super::schedule::{Action, Failure, Place, Schedule, Side, Step};
use super::task::{Doing, Done, ModelAggregator, ModelClock, ModelTracking, Polled, Task};
use super::traffic::{POISON, SOURCE, plans};
use super::weather::{ModelStream, Weather};

/// Retention of everything that expires: the shortest that an environment file allows.
pub(super) const KEPT_DAYS: i64 = 12;
/// The longest that a pause of an authorizer's stream lasts.
const LONGEST_PAUSE: i64 = 6_000;
/// The most messages that the reconciler receives at once.
const MESSAGES: usize = 10;

/// The content of a record of the stream.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) payload: Vec<u8>,
    /// The number of the event; `None` for poison.
    pub(super) event: Option<usize>,
}

struct Authorizer {
    tracking: Arc<ModelTracking>,
    limiter: Arc<ModelLimiter>,
    mode: TrackingMode,
    ahead: i64,
}

/// A change that the table's stream reports.
struct Changed {
    key: ItemKey,
    name: &'static str,
    at: UnixMillis,
}

/// A backup of the usage table.
struct Saved {
    at: UnixMillis,
    backup: Backup,
    /// The items in it that the release deployed at the time could not read.
    unreadable: Vec<(ItemKey, u8)>,
}

/// The system.
pub(super) struct World {
    clock: Arc<AtomicI64>,
    pace: Pace,
    weather: Weather,
    pub(super) analytics: MemoryStore,
    pub(super) usage: MemoryStore,
    stream: ModelStream,
    authorizers: Vec<Authorizer>,
    others: [i64; 4],
    processor: Arc<Processor<MemoryStore>>,
    /// Warm instances: each remembers what it wrote.
    aggregators: [Arc<ModelAggregator>; 2],
    reconciler: Arc<Reconciler<MemoryStore, ModelQueue>>,
    queue: ModelQueue,
    /// What was sent to the notifier.
    pub(super) notices: Notices,
    pub(super) limits: Limits,
    start: UnixMillis,
    seed: u64,
    collector: Arc<Collector<MemoryStore>>,
    pub(super) log: Log,
    pub(super) records: Feed,
    pub(super) sent: Vec<Sent>,
    changes: Feed,
    changed: Vec<Changed>,
    tasks: Vec<Task>,
    pub(super) oracle: Oracle,
    saved: Option<Saved>,
    /// Something happened that only the closing of a day repairs.
    pub(super) is_owed: bool,
    /// Nothing happened that may make a response go backwards.
    is_steady: bool,
    /// Items that the deployed release cannot read, and the first byte of each.
    unreadable: Vec<(ItemKey, u8)>,
    /// How often an older release was deployed.
    downgrades: u64,
    /// The number of readings of the clock after which an aggregator runs out of time.
    patience: Option<u32>,
    /// The last answer to each question.
    answers: BTreeMap<Question, Answer>,
    wrong: Option<String>,
}

impl World {
    pub(super) fn new(schedule: &Schedule) -> Self {
        Self::over(schedule, Pace::default(), false)
    }

    /// A world whose tables record the calls to them.
    pub(super) fn traced(schedule: &Schedule) -> Self {
        Self::over(schedule, Pace::default(), true)
    }

    fn over(schedule: &Schedule, pace: Pace, traced: bool) -> Self {
        let pipeline = &schedule.pipeline;
        let weather = Weather::default();
        let analytics = MemoryStore::paced(pace.clone(), Some(JOURNAL_PREFIX));
        let usage = MemoryStore::paced(pace.clone(), None);
        for (table, place) in [(&analytics, Place::Analytics), (&usage, Place::Usage)] {
            weather.over(table, place);
            table.page_by(pipeline.page);
            if traced {
                table.trace();
            }
        }
        tables::close_before(&usage, schedule.start, pipeline.past);
        let now = schedule.start;
        if schedule.with_quotas {
            notices::give_quota(&usage);
        }
        let queue = ModelQueue::new(Place::Queue, weather.clone(), pace.clone());
        let notices = ModelQueue::new(Place::Notices, weather.clone(), pace.clone());
        let notices = Notices::new(notices, schedule.with_quotas);
        let aggregator = || aggregator((&analytics, &usage), &notices);
        let journal = || Journal {
            store: analytics.clone(),
            retention_days: KEPT_DAYS,
        };
        let counters = ModelCounters {
            weather: weather.clone(),
            pace: pace.clone(),
            held: MemoryCounters::default(),
        };
        let mut world = Self {
            limits: Limits::new(schedule.with_limits, schedule.with_quotas, counters),
            clock: Arc::new(AtomicI64::new(now.0)),
            stream: ModelStream::new(weather.clone(), pace.clone()),
            authorizers: Vec::new(),
            others: pipeline.others,
            processor: Arc::new(Processor { journal: journal() }),
            aggregators: [aggregator(), aggregator()],
            reconciler: Arc::new(Reconciler {
                journal: journal(),
                queue: queue.clone(),
                source: SOURCE.to_owned(),
                window_seconds: pipeline.window,
            }),
            queue,
            notices,
            start: now,
            seed: schedule.seed,
            collector: Arc::new(Collector { journal: journal() }),
            log: Log::default(),
            records: Feed::new(pipeline.shards, pipeline.records, now.0),
            sent: Vec::new(),
            changes: Feed::new(pipeline.table_shards, pipeline.changes, now.0),
            changed: Vec::new(),
            tasks: Vec::new(),
            oracle: Oracle::default(),
            saved: None,
            is_owed: false,
            is_steady: pipeline.clocks_agree(),
            unreadable: Vec::new(),
            downgrades: 0,
            patience: None,
            answers: BTreeMap::new(),
            wrong: None,
            pace,
            weather,
            analytics,
            usage,
        };
        for ahead in &pipeline.clocks {
            let authorizer = world.authorizer(TrackingMode::Stream, *ahead);
            world.authorizers.push(authorizer);
        }
        world
    }

    pub(super) fn now(&self) -> UnixMillis {
        UnixMillis(self.clock.load(Ordering::Relaxed))
    }

    fn aggregator(&self) -> Arc<ModelAggregator> {
        let tables = (&self.analytics, &self.usage);
        aggregator(tables, &self.notices)
    }

    fn start_aggregators(&mut self) {
        self.aggregators = [0; 2].map(|_| self.aggregator());
    }

    fn wait(&self, millis: i64) {
        self.clock.fetch_add(millis, Ordering::Relaxed);
    }

    /// The time according to processor, reconciler, aggregator or tick.
    fn now_of(&self, function: usize) -> UnixMillis {
        self.now().plus_millis(self.others[function])
    }

    fn authorizer(&self, mode: TrackingMode, ahead: i64) -> Authorizer {
        let journal = Journal {
            store: self.analytics.clone(),
            retention_days: KEPT_DAYS,
        };
        let metrics = Metrics::new("CompliCal/API", "test");
        let clock = ModelClock::new(Arc::clone(&self.clock), ahead);
        let tracking = ModelTracking::new(self.stream.clone(), journal, metrics, clock);
        let limiter = ModelLimiter::new(self.usage.clone(), self.limits.counters.clone());
        Authorizer {
            tracking: Arc::new(tracking),
            limiter: Arc::new(limiter),
            mode,
            ahead,
        }
    }

    /// Runs the schedule, and then everything that is still in flight to its end.
    pub(super) async fn run(&mut self, schedule: &Schedule) -> Result<(), String> {
        for step in &schedule.steps {
            let mut random = Random::new(step.seed);
            match step.action {
                Action::Pass(days) => self.pass(days, &mut random).await?,
                _ => self.act(step, &mut random),
            }
            if schedule.is_watched && random.once_in(2) {
                self.ask(random.next());
            }
            for _ in 0..step.turns {
                self.begin_lines(&mut random);
                self.turn(&mut random).await;
            }
            if let Some(wrong) = self.wrong.take() {
                return Err(wrong);
            }
        }
        self.finish(schedule.end).await?;
        self.wrong.take().map_or(Ok(()), Err)
    }

    fn act(&mut self, step: &Step, random: &mut Random) {
        match step.action {
            Action::Call(call) => self.call(call, random),
            Action::PutAgain(choice) => self.put_again(choice),
            Action::Late(ago) => self.late(ago, random),
            Action::Forge(choice) => self.forge(choice),
            Action::Poison => {
                let payload = random.pick(&POISON).to_vec();
                self.put(&random.below(1 << 20).to_string(), payload);
            }
            Action::Fail(failure) => self.plan(failure),
            Action::Mode(instance, mode) => self.authorizers[instance].mode = mode,
            Action::Wait(millis) => {
                self.wait(millis);
                self.trim();
            }
            Action::Split(side, choice) => self.feed(side).split(choice),
            Action::Merge(side, choice) => self.feed(side).merge(choice),
            Action::Redrive(choice, length) => {
                let numbers = self.records.some(choice, length);
                self.process(numbers, None);
            }
            Action::Repeat(choice, length) => self.repeat(choice, length),
            Action::Restart(side) => self.restart(side, false),
            Action::Replay(side) => self.restart(side, true),
            Action::GiveUp => {
                let given_up = self.changes.forget(self.now().0);
                self.is_owed |= !given_up.is_empty();
                self.is_steady &= given_up.is_empty();
            }
            Action::Toggle(side) => {
                let feed = self.feed(side);
                feed.down = !feed.down;
            }
            Action::Tick => self.tick(),
            Action::Pass(_) => unreachable!("it takes time"),
            Action::Expire(choice, most) => self.expire(choice, most),
            Action::DropStream => {
                let dropped = self.records.forget(self.now().0);
                self.oracle.dropped.extend(dropped);
            }
            Action::Refusal => self.refuse(random),
            Action::PoisonLine => self.log.write(Line {
                text: String::from_utf8_lossy(random.pick(&POISON)).into_owned(),
                told: None,
                poison: true,
            }),
            Action::RepeatLines(choice, length) => {
                let lines = self.log.again(choice, length);
                self.forward(lines, false);
            }
            Action::Backup => {
                self.saved = Some(Saved {
                    at: self.now(),
                    backup: self.usage.backup(),
                    unreadable: self.unreadable.clone(),
                });
            }
            Action::Restore => self.restore(),
            Action::Downgrade(choice) => self.downgrade(choice),
            Action::Upgrade => self.upgrade(),
            Action::Hurry(looks) => self.patience = Some(looks),
            Action::Ask(choice) => self.ask(choice),
            Action::Close => self.close(),
            Action::Skew(function, ahead) => self.others[function] = ahead,
            Action::Measure(choice) => self.measure(choice),
        }
    }

    fn plan(&mut self, failure: Failure) {
        self.limits.is_disturbed |= matches!(failure.place, Place::Usage | Place::Counters);
        self.weather.plan(failure);
    }

    fn feed(&mut self, side: Side) -> &mut Feed {
        match side {
            Side::Records => &mut self.records,
            Side::Changes => &mut self.changes,
        }
    }

    fn restart(&mut self, side: Side, forget: bool) {
        let now = self.now().0;
        self.feed(side).restart(now, forget);
    }

    fn tick(&mut self) {
        let task = Task::tick(&self.aggregators[0], self.now_of(3));
        self.tasks.push(task);
    }

    /// A tick begins to close the last day that is over, as soon as it may.
    fn close(&mut self) {
        let due = |day: UnixMillis| day.plus_millis(BEGIN_AFTER_MILLIS);
        let today = Window::Day.start(self.now_of(3));
        let due = match due(today) {
            due if due >= self.now_of(3) => due,
            _ => due(Window::Day.end(today)),
        };
        self.wait(due.since(self.now_of(3)));
        self.tick();
    }

    /// Collects what the stream accepted, what was handed over, and what the tables changed.
    fn collect(&mut self) {
        for (body, _) in self.notices.queue.take() {
            if let Err(wrong) = self.take_notice(&body) {
                self.wrong.get_or_insert(wrong);
            }
        }
        for (key, payload) in self.stream.take() {
            self.put(&key, payload);
        }
        let now = self.now();
        self.log.queue(self.queue.take(), now);
        for change in self.analytics.take_changes() {
            if let Some(JournalKey::Entry(..)) = JournalKey::parse(&change.key.pk, &change.key.sk) {
                let document = self.analytics.peek_document(&change.key);
                let noted = self.oracle.journal(facts_of(document.as_ref()));
                if let Err(wrong) = noted {
                    self.wrong.get_or_insert(wrong);
                }
            }
            let name = if change.is_update { "MODIFY" } else { "INSERT" };
            self.hear(change.key, name);
        }
    }

    fn hear(&mut self, key: ItemKey, name: &'static str) {
        let at = self.now();
        self.changes.put(&key.pk, key.sk.len(), at.0);
        self.changed.push(Changed { key, name, at });
    }

    /// One of the tasks continues, or time does.
    async fn turn(&mut self, random: &mut Random) {
        self.begin();
        if self.tasks.is_empty() || random.once_in(12) {
            self.pass_time().await;
        } else {
            let place = random.place(self.tasks.len());
            self.go_on(place).await;
        }
    }

    /// Begins the invocations that the mappings want.
    fn begin(&mut self) {
        let now = self.now().0;
        self.records.tick(now);
        self.changes.tick(now);
        for (of, numbers) in self.records.begin(now) {
            self.process(numbers, Some(of));
        }
        for (of, numbers) in self.changes.begin(now) {
            self.fold(&numbers, Some(of));
        }
    }

    async fn pass_time(&mut self) {
        let mut next = self.records.wake().min(self.changes.wake());
        if self.records.is_done() && self.changes.is_done() {
            // Only the queue has anything left to deliver.
            next = self.log.wake().map_or(next, |at| at.0.max(next));
        }
        let span = next.saturating_sub(self.now().0).clamp(1, 60_000);
        self.wait(span);
        let span = u64::try_from(span.min(LONGEST_PAUSE)).unwrap_or(0);
        tokio::time::advance(Duration::from_millis(span)).await;
    }

    /// A task continues until it pauses, ends or dies.
    async fn go_on(&mut self, place: usize) {
        let polled = self.poll(place).await;
        self.collect();
        self.conclude(place, polled);
    }

    /// The first task continues until it ends or dies. Nothing else moves in the meantime, so
    /// neither the mappings nor the log are polled between its calls.
    async fn complete_first(&mut self) {
        let mut polled = self.poll(0).await;
        while matches!(polled, Polled::Pending) {
            polled = self.poll(0).await;
        }
        self.collect();
        self.conclude(0, polled);
    }

    /// Polls a task; a report and a question die when their time is over.
    async fn poll(&mut self, place: usize) -> Polled {
        let now = self.now();
        let task = &mut self.tasks[place];
        let polled = task.poll(&self.pace, &self.weather).await;
        match (&polled, &task.doing) {
            (
                Polled::Pending,
                Doing::Report { until, .. }
                | Doing::Ask { until, .. }
                | Doing::Decide { until, .. }
                | Doing::KeepUp { until, .. },
            ) if *until < now => Polled::Died,
            _ => polled,
        }
    }

    fn conclude(&mut self, place: usize, polled: Polled) {
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
            (Doing::Report { event, .. }, Some(Done::Reported(true))) => {
                self.oracle.accepted(*event);
            }
            (
                Doing::Report { instance, .. }
                | Doing::Decide { instance, .. }
                | Doing::KeepUp { instance, .. },
                None,
            ) => self.replace_authorizer(*instance),
            (Doing::Decide { number, .. }, Some(Done::Decided(over))) => {
                self.decided(*number, over);
            }
            (Doing::Process { records, at, of }, done) => {
                let failed = failed(done);
                let sequences = records.iter().map(|number| self.records.sequence(*number));
                let failed_at = failed.as_ref().map(|failed| {
                    sequences
                        .map(|sequence| failed.iter().any(|of| of == sequence))
                        .collect()
                });
                self.oracle.delivered(&self.sent, records, *at, failed_at);
                if let Some(of) = of {
                    self.records.finish(self.now().0, *of, finished(failed));
                }
            }
            (Doing::Forward { lines, again: true }, done)
                if !matches!(done, Some(Done::Forwarded(true))) =>
            {
                self.log.put_back(lines);
            }
            (Doing::Append { messages }, done) => {
                self.end_messages(messages, failed(done).as_deref());
            }
            (Doing::Fold { instance, of }, done) => {
                if done.is_none() {
                    self.aggregators[*instance] = self.aggregator();
                }
                if let Some(of) = of {
                    self.changes
                        .finish(self.now().0, *of, finished(failed(done)));
                }
            }
            (Doing::Tick, None) => self.aggregators[0] = self.aggregator(),
            (Doing::Collect { sending }, done) => self.collected(sending, done),
            (Doing::Ask { question, .. }, Some(Done::Answered(Some(answer)))) => {
                self.answered(*question, &answer);
            }
            _ => {}
        }
    }
}

fn aggregator(
    (analytics, usage): (&MemoryStore, &MemoryStore),
    notices: &Notices,
) -> Arc<ModelAggregator> {
    let folds = Aggregator {
        analytics: analytics.clone(),
        usage: usage.clone(),
        retention: Retention {
            raw: KEPT_DAYS,
            minutes: KEPT_DAYS,
            hours: KEPT_DAYS,
        },
        reported_within: 60_000,
        cache: Memory::default(),
    };
    let thresholds = Thresholds {
        usage: usage.clone(),
        alerts: notices.queue.clone(),
        plans: plans(notices.with_quotas),
        memory: LookMemory::default(),
    };
    Arc::new(ModelAggregator { folds, thresholds })
}

fn facts_of(document: Option<&Document>) -> &[u8] {
    let attributes = document.map(|document| document.attributes.as_slice());
    let mut attributes = attributes.unwrap_or_default().iter();
    match attributes.find(|(name, _)| *name == attribute::FACTS) {
        Some((_, Value::Bytes(bytes))) => bytes,
        _ => &[],
    }
}
