//! The state of an instance, and its possible transitions.
//!
//! Pure state under one short lock: nothing here waits, and nothing here speaks HTTP. The rules
//! are those of the developer guide's "Understanding the Lambda execution environment lifecycle",
//! "Using the Lambda runtime API" and "Using the Lambda Extensions API".

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tokio::sync::{mpsc, oneshot};

use super::{
    event::{Event, Invocation, Refusal, Registration},
    process::Stop,
};
use crate::{
    function::{FunctionSpec, Outcome},
    pool::Pool,
};

type Waiter = oneshot::Sender<Event>;

#[derive(Debug)]
struct Extension {
    id: String,
    registered: Registration,
    waiter: Option<Waiter>,
}

#[derive(Debug)]
struct Work {
    invocation: Arc<Invocation>,
    started: Instant,
    /// Receives the outcome; the response takes it.
    reply: Option<oneshot::Sender<Outcome>>,
}

#[derive(Debug)]
enum Phase {
    Init {
        began: Instant,
        limit: Duration,
        done: Option<oneshot::Sender<Result<(), Outcome>>>,
    },
    Idle,
    Busy(Work),
    Gone,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    runtime: Option<Waiter>,
    extensions: Vec<Extension>,
    frozen: bool,
}

/// An execution environment.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) spec: Arc<FunctionSpec>,
    pub(crate) pid: Pid,
    pub(crate) log_stream: String,
    freeze: bool,
    pool: Weak<Pool>,
    stop: mpsc::Sender<Stop>,
    state: Mutex<State>,
}

impl Instance {
    pub(crate) fn new(
        spec: Arc<FunctionSpec>,
        pid: Pid,
        log_stream: String,
        freeze: bool,
        pool: Weak<Pool>,
        stop: mpsc::Sender<Stop>,
        (init_limit, done): (Duration, oneshot::Sender<Result<(), Outcome>>),
    ) -> Self {
        Self {
            spec,
            pid,
            log_stream,
            freeze,
            pool,
            stop,
            state: Mutex::new(State {
                phase: Phase::Init {
                    began: Instant::now(),
                    limit: init_limit,
                    done: Some(done),
                },
                runtime: None,
                extensions: Vec::new(),
                frozen: false,
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands an invocation to a waiting instance. If the instance is gone, returns the reply
    /// channel.
    pub(crate) fn begin(
        &self,
        invocation: &Arc<Invocation>,
        reply: oneshot::Sender<Outcome>,
    ) -> Result<(), oneshot::Sender<Outcome>> {
        let mut state = self.state();
        if !matches!(state.phase, Phase::Idle) {
            return Err(reply);
        }
        if mem::take(&mut state.frozen) {
            self.signal(Signal::SIGCONT);
        }
        let deadline_ms = unix_millis() + self.spec.timeout.as_millis();
        state.phase = Phase::Busy(Work {
            invocation: Arc::clone(invocation),
            started: Instant::now(),
            reply: Some(reply),
        });
        let event = || Event::Invoke {
            invocation: Arc::clone(invocation),
            deadline_ms,
        };
        let waiters = state
            .extensions
            .iter_mut()
            .filter(|extension| extension.registered.invoke)
            .filter_map(|extension| extension.waiter.take());
        for waiter in waiters {
            // If the connection broke while waiting, the process requests again; otherwise the
            // deadline ends it.
            drop(waiter.send(event()));
        }
        if let Some(waiter) = state.runtime.take() {
            drop(waiter.send(event()));
        }
        Ok(())
    }

    /// The runtime requests its next event.
    pub(crate) fn runtime_next(self: &Arc<Self>) -> Result<oneshot::Receiver<Event>, Refusal> {
        let mut state = self.state();
        match &state.phase {
            Phase::Gone => return Err(Refusal::Gone),
            Phase::Busy(work) if work.reply.is_some() => return Err(Refusal::InvalidTransition),
            Phase::Init { .. } | Phase::Idle | Phase::Busy(_) => {}
        }
        let (sender, receiver) = oneshot::channel();
        state.runtime = Some(sender);
        self.settle(state);
        Ok(receiver)
    }

    /// An extension requests its next event.
    pub(crate) fn extension_next(
        self: &Arc<Self>,
        id: &str,
    ) -> Result<oneshot::Receiver<Event>, Refusal> {
        let mut state = self.state();
        if matches!(state.phase, Phase::Gone) {
            return Err(Refusal::Gone);
        }
        let extension = state
            .extensions
            .iter_mut()
            .find(|extension| extension.id == id)
            .ok_or(Refusal::UnknownExtension)?;
        let (sender, receiver) = oneshot::channel();
        extension.waiter = Some(sender);
        self.settle(state);
        Ok(receiver)
    }

    /// Registers an extension and returns its identifier.
    pub(crate) fn register(&self, registered: Registration) -> Result<String, Refusal> {
        let mut state = self.state();
        if !matches!(state.phase, Phase::Init { .. }) || state.runtime.is_some() {
            return Err(Refusal::RegistrationClosed);
        }
        let id = uuid::Uuid::new_v4().to_string();
        state.extensions.push(Extension {
            id: id.clone(),
            registered,
            waiter: None,
        });
        Ok(id)
    }

    /// The runtime's response to the invocation; the caller receives it at once.
    pub(crate) fn respond(&self, request_id: &str, outcome: Outcome) -> Result<(), Refusal> {
        let mut state = self.state();
        match &mut state.phase {
            Phase::Busy(work) if work.invocation.request_id != request_id => {
                Err(Refusal::InvalidRequestId)
            }
            Phase::Busy(work) => {
                let reply = work.reply.take().ok_or(Refusal::InvalidTransition)?;
                // A caller that no longer waits misses only the response.
                drop(reply.send(outcome));
                Ok(())
            }
            Phase::Init { .. } | Phase::Idle => Err(Refusal::InvalidRequestId),
            Phase::Gone => Err(Refusal::Gone),
        }
    }

    /// The runtime or an extension reports that initialisation failed.
    pub(crate) fn init_failed(&self, outcome: Outcome) -> Result<(), Refusal> {
        let mut state = self.state();
        let Phase::Init { done, .. } = &mut state.phase else {
            return Err(Refusal::InvalidTransition);
        };
        let done = done.take();
        state.phase = Phase::Gone;
        drop(state);
        if let Some(done) = done {
            drop(done.send(Err(outcome)));
        }
        self.stop(Stop::Kill);
        Ok(())
    }

    /// Once everyone waits, initialisation or the invocation is over.
    fn settle(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        let all_wait = state.runtime.is_some()
            && state.extensions.iter().all(|extension| {
                extension.waiter.is_some()
                    || (!extension.registered.invoke && !matches!(state.phase, Phase::Init { .. }))
            });
        if !all_wait {
            return;
        }
        match &mut state.phase {
            Phase::Init { done, .. } => {
                let done = done.take();
                state.phase = Phase::Idle;
                drop(state);
                if let Some(done) = done {
                    drop(done.send(Ok(())));
                }
            }
            Phase::Busy(_) => {
                let Phase::Busy(work) = mem::replace(&mut state.phase, Phase::Idle) else {
                    return;
                };
                if self.freeze {
                    self.signal(Signal::SIGSTOP);
                    state.frozen = true;
                }
                drop(state);
                if let Some(pool) = self.pool.upgrade() {
                    pool.ready(self, &work.invocation, work.started.elapsed());
                }
            }
            Phase::Idle | Phase::Gone => {}
        }
    }

    /// When the supervisor must check the deadline again. An invocation that begins after this
    /// check is due no earlier than one timeout from now, so no invocation needs to wake the
    /// supervisor.
    pub(crate) fn next_check(&self) -> Instant {
        let in_one_timeout = Instant::now() + self.spec.timeout;
        match &self.state().phase {
            Phase::Init { began, limit, .. } => in_one_timeout.min(*began + *limit),
            Phase::Busy(work) => work.started + self.spec.timeout,
            Phase::Idle | Phase::Gone => in_one_timeout,
        }
    }

    /// The message to log if initialisation or the invocation has taken too long; the instance is
    /// then gone and its caller, if one still waits, has the error.
    pub(crate) fn time_out(&self) -> Option<String> {
        let mut state = self.state();
        let now = Instant::now();
        let overdue = match &state.phase {
            Phase::Init { began, limit, .. } => now >= *began + *limit,
            Phase::Busy(work) => now >= work.started + self.spec.timeout,
            Phase::Idle | Phase::Gone => false,
        };
        if !overdue {
            return None;
        }
        let (limit, request_id) = match &state.phase {
            Phase::Busy(work) => (self.spec.timeout, work.invocation.request_id.clone()),
            Phase::Init { limit, .. } => (*limit, "INIT".to_owned()),
            Phase::Idle | Phase::Gone => return None,
        };
        let what = format!("Task timed out after {:.2} seconds", limit.as_secs_f64());
        end(&mut state, "Sandbox.Timedout", &what);
        Some(format!("{request_id} {what}"))
    }

    /// Whether the instance can no longer be used.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self.state().phase, Phase::Gone)
    }

    /// The process has ended. Everyone who waits for it learns why.
    pub(crate) fn exited(&self, status: &str) {
        let what = format!("Runtime exited with error: {status}");
        end(&mut self.state(), "Runtime.ExitError", &what);
    }

    /// Takes the instance out of use, for its shutdown. Returns what its extensions registered for,
    /// or nothing if it has ended already.
    pub(crate) fn shut_down(&self, reason: &'static str, limit: Duration) -> Vec<Registration> {
        let mut state = self.state();
        if mem::take(&mut state.frozen) {
            self.signal(Signal::SIGCONT);
        }
        end(
            &mut state,
            "Runtime.ExitError",
            "the execution environment was shut down",
        );
        let deadline_ms = unix_millis() + limit.as_millis();
        let registered = state
            .extensions
            .iter()
            .map(|extension| extension.registered)
            .collect();
        for extension in &mut state.extensions {
            if extension.registered.shutdown
                && let Some(waiter) = extension.waiter.take()
            {
                drop(waiter.send(Event::Shutdown {
                    reason,
                    deadline_ms,
                }));
            }
        }
        registered
    }

    /// What extensions registered for, before the shutdown begins.
    pub(crate) fn registrations(&self) -> Vec<Registration> {
        let state = self.state();
        state
            .extensions
            .iter()
            .map(|extension| extension.registered)
            .collect()
    }

    /// Asks the supervisor to end the process.
    pub(crate) fn stop(&self, stop: Stop) {
        // A full queue means that a stop was requested already; a closed one that the process has
        // ended.
        let _ = self.stop.try_send(stop);
    }

    fn signal(&self, signal: Signal) {
        // The process may just have ended; the supervisor sees that.
        let _ = killpg(self.pid, signal);
    }
}

/// Ends the phase for good. Pending requests of the process itself stay open until it is killed.
fn end(state: &mut State, error_type: &str, what: &str) {
    match mem::replace(&mut state.phase, Phase::Gone) {
        Phase::Init {
            done: Some(done), ..
        } => {
            drop(done.send(Err(Outcome::error(error_type, &format!("Error: {what}")))));
        }
        Phase::Busy(Work {
            invocation,
            reply: Some(reply),
            ..
        }) => {
            let message = format!("RequestId: {} Error: {what}", invocation.request_id);
            drop(reply.send(Outcome::error(error_type, &message)));
        }
        Phase::Init { .. } | Phase::Busy(_) | Phase::Idle | Phase::Gone => {}
    }
}

fn unix_millis() -> u128 {
    u128::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or_default()
}
