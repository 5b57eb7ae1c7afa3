//! The instances of one function: warm ones are used first, new ones start up to the limit, and
//! further invocations wait.
//!
//! The lock is held only to move instances and waiters between queues, never across an await.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use crate::{
    function::{FunctionSpec, Outcome},
    instance::{self, Environment, Instance, Invocation, Stop},
};

/// The instances of one deployed function.
#[derive(Debug)]
pub(crate) struct Pool {
    spec: Arc<FunctionSpec>,
    environment: Environment,
    limit: usize,
    state: Mutex<State>,
    counters: Counters,
}

#[derive(Debug, Default)]
struct State {
    /// Warm instances, the most recently used at the end: it is used first, so the others may idle
    /// out.
    idle: Vec<(Arc<Instance>, Instant)>,
    all: Vec<Arc<Instance>>,
    waiting: VecDeque<oneshot::Sender<Option<Arc<Instance>>>>,
    /// Instances that exist or are starting.
    live: usize,
    /// Running and waiting invocations.
    running: usize,
    closed: bool,
}

#[derive(Debug, Default)]
struct Counters {
    invocations: AtomicU64,
    errors: AtomicU64,
    throttles: AtomicU64,
    cold_starts: AtomicU64,
}

/// The state and the counters of a pool.
#[derive(Debug, Clone, Copy, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PoolStatus {
    /// Running and starting processes.
    pub instances: usize,
    /// Instances that are waiting for work.
    pub idle: usize,
    /// Invocations that are waiting for an instance.
    pub waiting: usize,
    /// Completed invocations, including errors.
    pub invocations: u64,
    /// Invocations that failed.
    pub errors: u64,
    /// Invocations refused because of the reserved concurrency.
    pub throttles: u64,
    /// Instances started.
    pub cold_starts: u64,
}

/// An instance to use now, or the way to get one.
enum Turn {
    Warm(Arc<Instance>),
    Start,
    Wait(oneshot::Receiver<Option<Arc<Instance>>>),
    Closed,
}

impl Pool {
    pub(crate) fn new(spec: FunctionSpec, environment: Environment, limit: u16) -> Arc<Self> {
        Arc::new(Self {
            spec: Arc::new(spec),
            environment,
            limit: usize::from(limit.max(1)),
            state: Mutex::default(),
            counters: Counters::default(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn spec(&self) -> &FunctionSpec {
        &self.spec
    }

    /// Runs one invocation. `None` if the pool was closed for newer code before it began.
    pub(crate) async fn invoke(self: &Arc<Self>, invocation: &Arc<Invocation>) -> Option<Outcome> {
        if !self.admit() {
            self.counters.throttles.fetch_add(1, Ordering::Relaxed);
            return Some(Outcome::Throttled);
        }
        let _running = Running(self);
        let outcome = self.run(invocation).await?;
        self.counters.invocations.fetch_add(1, Ordering::Relaxed);
        if !matches!(outcome, Outcome::Success(_)) {
            self.counters.errors.fetch_add(1, Ordering::Relaxed);
        }
        Some(outcome)
    }

    fn admit(&self) -> bool {
        let mut state = self.state();
        let admitted = self
            .spec
            .reserved_concurrency
            .is_none_or(|reserved| state.running < reserved);
        state.running += usize::from(admitted);
        admitted
    }

    async fn run(self: &Arc<Self>, invocation: &Arc<Invocation>) -> Option<Outcome> {
        loop {
            let instance = match self.acquire().await? {
                Ok(instance) => instance,
                Err(outcome) => return Some(outcome),
            };
            let (reply, outcome) = oneshot::channel();
            if instance.begin(invocation, reply).is_ok() {
                let lost = || Outcome::error("Runtime.ExitError", "Error: the instance was lost");
                return Some(outcome.await.unwrap_or_else(|_| lost()));
            }
        }
    }

    async fn acquire(self: &Arc<Self>) -> Option<Result<Arc<Instance>, Outcome>> {
        match self.turn() {
            Turn::Warm(instance) => Some(Ok(instance)),
            Turn::Start => Some(self.start().await),
            Turn::Wait(turn) => match turn.await {
                Ok(Some(instance)) => Some(Ok(instance)),
                Ok(None) => Some(self.start().await),
                Err(_) => None,
            },
            Turn::Closed => None,
        }
    }

    fn turn(&self) -> Turn {
        let mut state = self.state();
        if state.closed {
            return Turn::Closed;
        }
        if let Some((instance, _)) = state.idle.pop() {
            return Turn::Warm(instance);
        }
        if state.live < self.limit {
            state.live += 1;
            return Turn::Start;
        }
        let (sender, receiver) = oneshot::channel();
        state.waiting.push_back(sender);
        Turn::Wait(receiver)
    }

    /// Starts an instance in a slot that `live` already counts.
    async fn start(self: &Arc<Self>) -> Result<Arc<Instance>, Outcome> {
        // The slot is released even if the caller goes away while the process starts.
        let pool = Arc::clone(self);
        let started = tokio::spawn(async move {
            let started =
                instance::start(&pool.environment, &pool.spec, &Arc::downgrade(&pool)).await;
            match &started {
                Ok(instance) => pool.took_place(instance),
                Err(_) => pool.give_place(),
            }
            started
        });
        started
            .await
            .unwrap_or_else(|error| Err(Outcome::Unavailable(error.to_string())))
    }

    /// Puts a new instance to work; [`gone`](Self::gone) did not know one that has ended already.
    fn took_place(&self, instance: &Arc<Instance>) {
        self.counters.cold_starts.fetch_add(1, Ordering::Relaxed);
        let mut state = self.state();
        if instance.is_gone() {
            drop(state);
            self.give_place();
        } else {
            state.all.push(Arc::clone(instance));
        }
    }

    /// A slot for an instance is free: the first waiter may start one.
    fn give_place(&self) {
        let mut state = self.state();
        while let Some(waiter) = state.waiting.pop_front() {
            if waiter.send(None).is_ok() {
                return;
            }
        }
        state.live = state.live.saturating_sub(1);
    }

    /// An instance has finished an invocation, including work after the response.
    pub(crate) fn ready(&self, instance: &Arc<Instance>, invocation: &Invocation, took: Duration) {
        self.environment
            .logs
            .report(&self.spec, &instance.log_stream, invocation, took);
        let mut state = self.state();
        if state.closed {
            drop(state);
            instance.stop(Stop::Gracefully);
            return;
        }
        let mut instance = Arc::clone(instance);
        while let Some(waiter) = state.waiting.pop_front() {
            match waiter.send(Some(instance)) {
                Err(Some(returned)) => instance = returned,
                Ok(()) | Err(None) => return,
            }
        }
        state.idle.push((instance, Instant::now()));
    }

    /// An instance has ended.
    pub(crate) fn gone(&self, instance: &Arc<Instance>) {
        let mut state = self.state();
        state.idle.retain(|(idle, _)| !Arc::ptr_eq(idle, instance));
        let before = state.all.len();
        state.all.retain(|other| !Arc::ptr_eq(other, instance));
        let initialised = state.all.len() < before;
        drop(state);
        // An instance that never finished its initialisation released its slot where it was
        // started.
        if initialised {
            self.give_place();
        }
    }

    /// Shuts down instances that have been idle for `unused`.
    pub(crate) fn reap_idle(&self, unused: Duration) {
        let mut state = self.state();
        let now = Instant::now();
        let unused_now: Vec<_> = state
            .idle
            .extract_if(.., |(_, since)| now.duration_since(*since) >= unused)
            .collect();
        drop(state);
        for (instance, _) in unused_now {
            instance.stop(Stop::Gracefully);
        }
    }

    /// Takes the pool out of use: idle instances are shut down now, busy ones when they are done.
    pub(crate) fn close(&self) {
        let (idle, waiting) = {
            let mut state = self.state();
            state.closed = true;
            (
                std::mem::take(&mut state.idle),
                std::mem::take(&mut state.waiting),
            )
        };
        drop(waiting);
        for (instance, _) in idle {
            instance.stop(Stop::Gracefully);
        }
    }

    /// Closes the pool and waits until every instance has ended; instances that are busy for longer
    /// than `grace` are killed.
    pub(crate) async fn shut_down(&self, grace: Duration) {
        self.close();
        let until = Instant::now() + grace;
        while !self.state().all.is_empty() && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let left: Vec<_> = self.state().all.clone();
        for instance in &left {
            instance.stop(Stop::Kill);
        }
        while !self.state().all.is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) fn status(&self) -> PoolStatus {
        let state = self.state();
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        PoolStatus {
            instances: state.live,
            idle: state.idle.len(),
            waiting: state.waiting.len(),
            invocations: read(&self.counters.invocations),
            errors: read(&self.counters.errors),
            throttles: read(&self.counters.throttles),
            cold_starts: read(&self.counters.cold_starts),
        }
    }
}

struct Running<'a>(&'a Pool);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.running = state.running.saturating_sub(1);
    }
}
