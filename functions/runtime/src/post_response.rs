//! Work that a function does after its response is posted, so that no caller waits for it.
//!
//! Lambda freezes a function as soon as the runtime and every extension have requested their next
//! event. The function therefore registers itself as an internal extension, does the deferred work
//! once the response is posted, and lets the extension request its next event only after that
//! (<https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html>). Without an
//! Extensions API it does the work before the response: late, but done.
//!
//! Nothing carries over from one invocation to the next: even if an invocation fails, its deferred
//! work is done before the next one begins.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{self, Poll};
use std::time::Duration;

use domain::time::UnixMillis;
use lambda_runtime::{Context, Error, LambdaInvocation, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout, timeout_at};
use tower::{Layer, Service};

use crate::clock;
use crate::log::Chain;
use crate::settings::Variables;

mod extension;
#[cfg(test)]
mod tests;

use extension::{Event, Extension};

/// The address of the Lambda runtime API for this process.
const RUNTIME_API_VARIABLE: &str = "AWS_LAMBDA_RUNTIME_API";
/// Time for the current work once the process is asked to shut down. Lambda waits 500 ms for a
/// function with an internal extension:
/// <https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html#runtimes-lifecycle-shutdown>.
const LAST_WORK: Duration = Duration::from_millis(400);

/// Time for work without a known deadline.
const WITHOUT_DEADLINE: Duration = Duration::from_secs(10);

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;
type Outbox = Arc<Mutex<Vec<Work>>>;

/// The end of an invocation, with or without a response; its work may begin.
struct Answered {
    request_id: String,
    work: Vec<Work>,
}

/// The instant by which the invocation of `context` must end, `margin` before its deadline.
pub fn deadline(context: &Context, margin: Duration) -> Instant {
    let at = UnixMillis(i64::try_from(context.deadline).unwrap_or(i64::MAX));
    let at = deadline_of(at);
    at.checked_sub(margin).unwrap_or(at)
}

/// The timer's reading at a deadline. A deadline in the past counts as none, because Lambda ends
/// the process at a real one; `cargo lambda watch` passes a constant of 1970.
fn deadline_of(at: UnixMillis) -> Instant {
    let now = clock::now();
    if at > now {
        clock::instant_of(at, now)
    } else {
        Instant::now() + WITHOUT_DEADLINE
    }
}

/// Lets a handler defer its work.
#[derive(Clone, Default)]
pub struct Deferral {
    /// `None` if no extension keeps the function awake.
    outbox: Option<Outbox>,
}

impl Deferral {
    /// Defers `work` until the invocation of `context` has its response; if that is impossible,
    /// does it now. The work is cut off at the invocation's deadline.
    pub async fn defer(&self, context: &Context, work: impl Future<Output = ()> + Send + 'static) {
        let until = deadline(context, Duration::ZERO);
        let bounded = async move {
            if timeout_at(until, work).await.is_err() {
                tracing::error!("work after the answer was cut off at the deadline");
            }
        };
        match &self.outbox {
            Some(outbox) => push(outbox, Box::pin(bounded)),
            None => bounded.await,
        }
    }
}

fn push(outbox: &Outbox, work: Work) {
    outbox
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(work);
}

fn take(outbox: &Outbox) -> Vec<Work> {
    std::mem::take(&mut *outbox.lock().unwrap_or_else(PoisonError::into_inner))
}

/// The function's side of the Extensions API.
pub struct PostResponse {
    extension: Option<Extension>,
    deferral: Deferral,
}

impl PostResponse {
    /// Registers the function as an internal extension named `name`. Call it before the runtime
    /// runs: after that Lambda refuses.
    pub async fn register(variables: &Variables, name: &str) -> Self {
        let endpoint = variables.get(RUNTIME_API_VARIABLE).unwrap_or_default();
        match Extension::register(endpoint, name).await {
            Ok(extension) => Self {
                extension: Some(extension),
                deferral: Deferral {
                    outbox: Some(Outbox::default()),
                },
            },
            Err(error) => {
                tracing::warn!(error = %Chain(&error), "work is done before the answer");
                Self {
                    extension: None,
                    deferral: Deferral::default(),
                }
            }
        }
    }

    /// The handle with which handlers defer work.
    pub fn deferral(&self) -> Deferral {
        self.deferral.clone()
    }

    /// Runs `runtime` until it fails or the process is asked to shut down, and does the deferred
    /// work.
    pub async fn serve<S>(self, runtime: Runtime<S>) -> Result<(), Error>
    where
        S: Service<LambdaInvocation, Response = (), Error = Error>,
        S::Future: 'static,
    {
        self.alongside(|layer| runtime.layer(layer).run()).await
    }

    async fn alongside<R>(self, run: impl FnOnce(AfterAnswer) -> R) -> Result<(), Error>
    where
        R: Future<Output = Result<(), Error>>,
    {
        let (answered, answers) = mpsc::unbounded_channel();
        let (finishing, finished) = watch::channel(String::new());
        let worker = tokio::spawn(work_off(answers, finishing));
        let layer = AfterAnswer {
            outbox: self.deferral.outbox.unwrap_or_default(),
            answered,
        };
        let mut terminated = signal(SignalKind::terminate())?;
        let ended = tokio::select! {
            ended = run(layer) => ended,
            error = attend(self.extension, finished) => Err(error.into()),
            _ = terminated.recv() => Ok(()),
        };
        // The runtime is gone, and with it the last sender: the worker ends when its work is done.
        if timeout(LAST_WORK, worker).await.is_err() {
            tracing::error!("the process ends before its work is done");
        }
        ended
    }
}

/// Does the work of each invocation, in the order of the responses.
async fn work_off(mut answers: mpsc::UnboundedReceiver<Answered>, finished: watch::Sender<String>) {
    while let Some(Answered { request_id, work }) = answers.recv().await {
        for work in work {
            // On a task of its own: where panics unwind, as in tests, one ends that work and not the
            // worker. Release builds abort: a panic ends the process, and Lambda starts another one.
            if let Err(error) = tokio::spawn(work).await {
                tracing::error!(%error, "work after the answer failed");
            }
        }
        finished.send_replace(request_id);
    }
}

/// Requests event after event, each only when the previous invocation's work is finished.
async fn attend(
    extension: Option<Extension>,
    mut finished: watch::Receiver<String>,
) -> extension::ExtensionError {
    let Some(extension) = extension else {
        return std::future::pending().await;
    };
    loop {
        match extension.next().await {
            Ok(Event::Invoke {
                request_id,
                deadline_ms,
            }) => {
                let until = deadline_of(UnixMillis(deadline_ms));
                let done = finished.wait_for(|done| *done == request_id);
                if timeout_at(until, done).await.is_err() {
                    tracing::warn!(request_id, "the invocation was not answered in time");
                }
            }
            Ok(Event::Other) => {}
            Err(error) => return error,
        }
    }
}

/// Layer around the whole handling of an invocation, including the posting of its response.
struct AfterAnswer {
    outbox: Outbox,
    answered: mpsc::UnboundedSender<Answered>,
}

impl<S> Layer<S> for AfterAnswer {
    type Service = AfterAnswerService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        AfterAnswerService {
            inner,
            outbox: Arc::clone(&self.outbox),
            answered: self.answered.clone(),
        }
    }
}

struct AfterAnswerService<S> {
    inner: S,
    outbox: Outbox,
    answered: mpsc::UnboundedSender<Answered>,
}

impl<S> Service<LambdaInvocation> for AfterAnswerService<S>
where
    S: Service<LambdaInvocation, Response = (), Error = Error>,
    S::Future: 'static,
{
    type Response = ();
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<(), Error>>>>;

    fn poll_ready(&mut self, context: &mut task::Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, invocation: LambdaInvocation) -> Self::Future {
        let outcome = Outcome {
            request_id: invocation.context.request_id.clone(),
            outbox: Arc::clone(&self.outbox),
            answered: self.answered.clone(),
        };
        let handling = self.inner.call(invocation);
        Box::pin(async move {
            let _outcome = outcome;
            handling.await
        })
    }
}

/// Hands the work over when it is dropped, whether the handling of the invocation ends with a
/// response, with an error, with a panic that unwinds, or because the process shuts down.
struct Outcome {
    request_id: String,
    outbox: Outbox,
    answered: mpsc::UnboundedSender<Answered>,
}

impl Drop for Outcome {
    fn drop(&mut self) {
        let answered = Answered {
            request_id: std::mem::take(&mut self.request_id),
            work: take(&self.outbox),
        };
        // The worker outlives every sender.
        let _ = self.answered.send(answered);
    }
}
