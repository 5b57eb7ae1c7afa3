//! The operating-system process of an instance: its environment, its output, its end.

use std::{
    collections::BTreeMap,
    io,
    process::Stdio,
    sync::{Arc, Weak},
    time::Duration,
};

use axum::serve::ListenerExt as _;
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, BufReader},
    net::TcpListener,
    process::{Child, Command},
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::{Instant, sleep_until, timeout},
};

use super::{api, lifecycle::Instance};
use crate::{
    function::{FunctionSpec, Outcome},
    ids,
    logs::Logs,
    pool::Pool,
    processes::{ProcessRecords, TASK_ROOT, kill_group},
};

/// On-demand functions have 10 seconds to initialise.
const INIT_LIMIT: Duration = Duration::from_secs(10);
/// Time for the shutdown of an environment whose extensions are part of the runtime's process.
const INTERNAL_EXTENSION_LIMIT: Duration = Duration::from_millis(500);
/// Time for the shutdown of an environment with extensions that registered for `SHUTDOWN`.
const SHUTDOWN_EXTENSION_LIMIT: Duration = Duration::from_secs(2);
/// Time to read output that is still in the pipes when a process has ended.
const LAST_OUTPUT_WITHIN: Duration = Duration::from_millis(500);

/// The settings that all instances of the host share.
#[derive(Debug, Clone)]
pub(crate) struct Environment {
    pub(crate) region: String,
    pub(crate) aws_endpoint: String,
    pub(crate) freeze: bool,
    pub(crate) records: ProcessRecords,
    pub(crate) logs: Logs,
}

/// How to end an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// As Lambda does it: SHUTDOWN events, SIGTERM, SIGKILL.
    Gracefully,
    /// At once.
    Kill,
}

/// Starts an instance and waits until it is initialised. If that fails, Lambda tries once more as
/// part of the invocation, within the function's timeout.
pub(crate) async fn start(
    environment: &Environment,
    spec: &Arc<FunctionSpec>,
    pool: &Weak<Pool>,
) -> Result<Arc<Instance>, Outcome> {
    match initialise(environment, spec, pool.clone(), INIT_LIMIT).await {
        Err(Outcome::FunctionError(_)) => {
            initialise(environment, spec, pool.clone(), spec.timeout).await
        }
        first => first,
    }
}

async fn initialise(
    environment: &Environment,
    spec: &Arc<FunctionSpec>,
    pool: Weak<Pool>,
    limit: Duration,
) -> Result<Arc<Instance>, Outcome> {
    let unavailable = |error: io::Error| {
        Outcome::Unavailable(format!("cannot start function `{}`: {error}", spec.name))
    };
    let listener = TcpListener::bind(("127.0.0.1", 0))
        .await
        .map_err(unavailable)?;
    let address = listener.local_addr().map_err(unavailable)?;
    let log_stream = ids::log_stream();

    let variables = variables(environment, spec, &address.to_string(), &log_stream);
    let starting = environment.records.starting().map_err(unavailable)?;
    let mut child = spawn(spec, variables).map_err(unavailable)?;
    let pid = child
        .id()
        .and_then(|pid| i32::try_from(pid).ok())
        .map(Pid::from_raw)
        .ok_or_else(|| unavailable(io::Error::other("it ended at once")))?;
    if let Err(error) = environment.records.add(pid) {
        tracing::warn!(function = spec.name, %pid, %error, "cannot record a process");
    }
    drop(starting);

    let (stop_sender, stop) = mpsc::channel(1);
    let (done, initialised) = oneshot::channel();
    let instance = Arc::new(Instance::new(
        Arc::clone(spec),
        pid,
        log_stream,
        environment.freeze,
        pool.clone(),
        stop_sender,
        (limit, done),
    ));
    let output = [
        capture(environment, &instance, child.stdout.take()),
        capture(environment, &instance, child.stderr.take()),
    ];
    let api = serve_api(listener, Arc::clone(&instance));
    let supervised = Supervised {
        instance: Arc::clone(&instance),
        child,
        stop,
        output,
        api,
        records: environment.records.clone(),
        logs: environment.logs.clone(),
        pool,
    };
    tokio::spawn(supervised.run());
    match initialised.await {
        Ok(Ok(())) => Ok(instance),
        Ok(Err(outcome)) => Err(outcome),
        Err(_) => Err(Outcome::error(
            "Runtime.ExitError",
            "Error: the runtime ended during initialisation",
        )),
    }
}

fn spawn(spec: &FunctionSpec, variables: BTreeMap<String, String>) -> io::Result<Child> {
    Command::new(spec.task_root.join("bootstrap"))
        .current_dir(&spec.task_root)
        .env_clear()
        .envs(variables)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
}

/// Lambda's documented variables, the deployed ones, and the address of the local AWS: nothing from
/// the host's own environment.
fn variables(
    environment: &Environment,
    spec: &FunctionSpec,
    runtime_api: &str,
    log_stream: &str,
) -> BTreeMap<String, String> {
    let memory = spec.memory_mb.to_string();
    let task_root = spec.task_root.to_string_lossy();
    let access_key_id = ids::access_key_id(&spec.name);
    let reserved = [
        ("_HANDLER", spec.handler.as_str()),
        ("AWS_ACCESS_KEY_ID", &access_key_id),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_SESSION_TOKEN", "test"),
        ("AWS_DEFAULT_REGION", &environment.region),
        ("AWS_REGION", &environment.region),
        ("AWS_EXECUTION_ENV", "AWS_Lambda_provided.al2023"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", &memory),
        ("AWS_LAMBDA_FUNCTION_NAME", &spec.name),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
        ("AWS_LAMBDA_LOG_GROUP_NAME", &spec.log_group),
        ("AWS_LAMBDA_LOG_STREAM_NAME", log_stream),
        ("AWS_LAMBDA_RUNTIME_API", runtime_api),
        (TASK_ROOT, &task_root),
        ("LANG", "en_US.UTF-8"),
        ("PATH", "/usr/local/bin:/usr/bin:/bin:/opt/bin"),
        ("TZ", ":UTC"),
    ];
    let mut variables = spec.environment.clone();
    variables
        .entry("AWS_ENDPOINT_URL".to_owned())
        .or_insert_with(|| environment.aws_endpoint.clone());
    variables.extend(reserved.map(|(name, value)| (name.to_owned(), value.to_owned())));
    variables
}

fn serve_api(listener: TcpListener, instance: Arc<Instance>) -> JoinHandle<()> {
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, api::router(instance)).await {
            tracing::warn!(%error, "the runtime API of an instance stopped");
        }
    })
}

/// Sends each line of the process's output to its log.
fn capture(
    environment: &Environment,
    instance: &Arc<Instance>,
    pipe: Option<impl AsyncRead + Send + Unpin + 'static>,
) -> JoinHandle<()> {
    let logs = environment.logs.clone();
    let instance = Arc::clone(instance);
    tokio::spawn(async move {
        let Some(pipe) = pipe else { return };
        let mut reader = BufReader::new(pipe);
        let mut line = Vec::new();
        loop {
            line.clear();
            match reader.read_until(b'\n', &mut line).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {
                    let text = String::from_utf8_lossy(&line);
                    logs.output(&instance.spec, &instance.log_stream, text.trim_end())
                        .await;
                }
            }
        }
    })
}

struct Supervised {
    instance: Arc<Instance>,
    child: Child,
    stop: mpsc::Receiver<Stop>,
    output: [JoinHandle<()>; 2],
    api: JoinHandle<()>,
    records: ProcessRecords,
    logs: Logs,
    pool: Weak<Pool>,
}

impl Supervised {
    /// Watches the process until it has ended, and leaves none of its children behind.
    async fn run(mut self) {
        loop {
            let check = Instant::from_std(self.instance.next_check());
            tokio::select! {
                status = self.child.wait() => {
                    self.instance.exited(&describe(status));
                    break;
                }
                Some(stop) = self.stop.recv() => {
                    self.end(stop).await;
                    break;
                }
                () = sleep_until(check) => if let Some(what) = self.instance.time_out() {
                    self.logs.output(&self.instance.spec, &self.instance.log_stream, &what).await;
                    self.end(Stop::Kill).await;
                    break;
                }
            }
        }
        // Processes that it started itself end with it.
        let _ = kill_group(self.instance.pid);
        for reader in &mut self.output {
            if timeout(LAST_OUTPUT_WITHIN, &mut *reader).await.is_err() {
                reader.abort();
            }
        }
        self.api.abort();
        self.records.remove(self.instance.pid);
        if let Some(pool) = self.pool.upgrade() {
            pool.gone(&self.instance);
        }
    }

    /// Ends the process. An environment without extensions has no time at all, one with internal
    /// extensions 500 ms, one whose extensions take part in the shutdown 2,000 ms.
    async fn end(&mut self, stop: Stop) {
        let registered = self.instance.registrations();
        let limit = if registered.iter().any(|registration| registration.shutdown) {
            SHUTDOWN_EXTENSION_LIMIT
        } else if registered.is_empty() {
            Duration::ZERO
        } else {
            INTERNAL_EXTENSION_LIMIT
        };
        self.instance.shut_down("spindown", limit);
        if stop == Stop::Gracefully && !limit.is_zero() {
            let _ = killpg(self.instance.pid, Signal::SIGTERM);
            if timeout(limit, self.child.wait()).await.is_ok() {
                return;
            }
        }
        if let Err(error) = kill_group(self.instance.pid) {
            tracing::error!(pid = %self.instance.pid, %error, "cannot kill a function's process");
        }
        drop(self.child.wait().await);
    }
}

/// The end of a process, worded as in Lambda's error documents.
fn describe(status: io::Result<std::process::ExitStatus>) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match status {
        Err(error) => error.to_string(),
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => format!("exit status {code}"),
            (None, Some(signal)) => format!("signal: {}", name_of(signal)),
            (None, None) => "unknown".to_owned(),
        },
    }
}

/// A signal, worded as in Lambda's supervisor: by the names of Go's `syscall.Signal`.
fn name_of(signal: i32) -> String {
    let name = match Signal::try_from(signal) {
        Ok(Signal::SIGABRT) => "aborted",
        Ok(Signal::SIGBUS) => "bus error",
        Ok(Signal::SIGFPE) => "floating point exception",
        Ok(Signal::SIGILL) => "illegal instruction",
        Ok(Signal::SIGKILL) => "killed",
        Ok(Signal::SIGSEGV) => "segmentation fault",
        Ok(Signal::SIGTERM) => "terminated",
        Ok(Signal::SIGTRAP) => "trace/breakpoint trap",
        _ => return format!("signal {signal}"),
    };
    name.to_owned()
}
