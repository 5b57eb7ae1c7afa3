//! The part of `cargo xtask bench` that measures the host and the authorizer under it: `bench PROBE
//! AUTHORIZER NODE BENCHMARK…`, where the first two are binaries and the third is the program that
//! runs JavaScript. Prints one JSON document of nanoseconds and rates.
//!
//! Everything that is compared is measured alternately, round by round, so that other load on the
//! machine affects all of it alike. The best round counts.

#[allow(dead_code, reason = "the tests use the rest")]
mod cloud;

use std::{
    collections::BTreeMap,
    env,
    error::Error,
    ffi::OsString,
    fs,
    io::Write as _,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use axum::body::Bytes;
use lambda_host::{FunctionSpec, Functions, HostConfig, Outcome};
use serde::Serialize;
use tokio::time::{MissedTickBehavior, interval, sleep};

use cloud::Cloud;

type Failure = Box<dyn Error + Send + Sync>;

const ROUNDS: usize = 5;
/// Calls per round, one right after the other.
const WARM: usize = 4_000;
/// Calls per round, from [`CALLERS`] concurrent callers.
const TOGETHER: usize = 40_000;
const CALLERS: usize = 16;
/// Calls per round at [`PACE`]: four instances suffice even for a slow stream.
const PACED: usize = 150;
const PACE: Duration = Duration::from_millis(20);
const SLOW: Duration = Duration::from_millis(50);
/// First calls of new instances.
const COLD: usize = 40;
const TIMEOUT: Duration = Duration::from_secs(10);
/// An address on which nothing listens.
const NOBODY: &str = "http://127.0.0.1:9";

/// A function that returns its event, as bare as JavaScript can be: no SDK, no module except HTTP.
const BARE_NODE: &str = r"
const http = require('http');
const [host, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(':');
const agent = new http.Agent({keepAlive: true});
const base = '/2018-06-01/runtime/invocation/';
function call(method, path, body, then) {
  const request = http.request({host, port, agent, method, path: base + path}, answer => {
    const parts = [];
    answer.on('data', part => parts.push(part));
    answer.on('end', () => then(answer, Buffer.concat(parts)));
  });
  request.end(body);
}
function next() {
  call('GET', 'next', undefined, (answer, body) => {
    const id = answer.headers['lambda-runtime-aws-request-id'];
    call('POST', id + '/response', body, next);
  });
}
next();
";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    #[serde(rename = "B2")]
    answers: Option<Answers>,
    #[serde(rename = "B3")]
    cold: Option<Cold>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answers {
    /// A trivial function, one instance, one call right after the other.
    warm: Spread,
    /// The same, each instance frozen between its calls.
    warm_frozen: Spread,
    /// Calls per second of a trivial function with four instances.
    rate: u64,
    /// A call every 20 ms.
    paced: Paced,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Paced {
    one_floor: Spread,
    one_authorizer: Spread,
    floor: Spread,
    authorizer: Spread,
    slow_stream: Spread,
    dead_stream: Spread,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Cold {
    trivial: Spread,
    authorizer: Spread,
    bare_node: Spread,
}

/// Nanoseconds.
#[derive(Clone, Copy, Serialize)]
struct Spread {
    p50: u64,
    p99: u64,
}

impl Spread {
    fn of(mut took: Vec<Duration>) -> Self {
        took.sort_unstable();
        let at = |percent: usize| {
            let found = took.get(took.len() * percent / 100);
            found.map_or(0, |took| u64::try_from(took.as_nanos()).unwrap_or(u64::MAX))
        };
        Self {
            p50: at(50),
            p99: at(99),
        }
    }

    fn better(self, other: Option<Self>) -> Self {
        match other {
            Some(other) if other.p50 < self.p50 => other,
            _ => self,
        }
    }
}

/// A function on a host of its own.
struct Subject {
    functions: Arc<Functions>,
    name: String,
    event: Bytes,
    best: Option<Spread>,
}

impl Subject {
    fn start(
        folder: &Path,
        (instances, freeze): (u16, bool),
        spec: FunctionSpec,
        event: impl Into<Bytes>,
    ) -> Result<Self, Failure> {
        let functions = Functions::standalone(&HostConfig {
            environment: "bench".to_owned(),
            region: "ap-south-1".to_owned(),
            aws_endpoint: NOBODY.to_owned(),
            port: 0,
            state_dir: folder.join("state"),
            log_dir: folder.join("logs"),
            freeze,
            concurrency: instances,
            idle_seconds: 300,
        })?;
        let name = spec.name.clone();
        functions.replace(vec![spec]);
        Ok(Self {
            functions: Arc::new(functions),
            name,
            event: event.into(),
            best: None,
        })
    }

    async fn call(&self) -> Result<Duration, Failure> {
        let begun = Instant::now();
        match self.functions.call(&self.name, self.event.clone()).await {
            Outcome::Success(_) => Ok(begun.elapsed()),
            other => Err(format!("`{}` does not answer: {other:?}", self.name).into()),
        }
    }

    async fn back_to_back(&mut self) -> Result<(), Failure> {
        let mut took = Vec::with_capacity(WARM);
        for _ in 0..WARM {
            took.push(self.call().await?);
        }
        self.take(took);
        Ok(())
    }

    async fn paced(&mut self) -> Result<(), Failure> {
        let mut took = Vec::with_capacity(PACED);
        let mut tick = interval(PACE);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for _ in 0..PACED {
            tick.tick().await;
            took.push(self.call().await?);
        }
        self.take(took);
        Ok(())
    }

    fn take(&mut self, took: Vec<Duration>) {
        self.best = Some(Spread::of(took).better(self.best));
    }

    /// Calls per second, from many concurrent callers.
    async fn together(&self) -> Result<u64, Failure> {
        let begun = Instant::now();
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| {
                let (functions, name) = (Arc::clone(&self.functions), self.name.clone());
                let event = self.event.clone();
                tokio::spawn(async move {
                    for _ in 0..TOGETHER / CALLERS {
                        functions.call(&name, event.clone()).await;
                    }
                })
            })
            .collect();
        for caller in callers {
            caller.await?;
        }
        let micros = begun.elapsed().as_micros().max(1);
        Ok(u64::try_from(TOGETHER as u128 * 1_000_000 / micros)?)
    }

    /// Ends every instance; the next call starts one.
    async fn cool_down(&self) {
        self.functions.reap_idle(Duration::ZERO);
        while self.instances() > 0 {
            sleep(Duration::from_millis(5)).await;
            self.functions.reap_idle(Duration::ZERO);
        }
    }

    fn instances(&self) -> usize {
        let status = self.functions.status();
        status.get(&self.name).map_or(0, |pool| pool.instances)
    }

    async fn end(self) -> Result<Spread, Failure> {
        self.functions.shut_down().await;
        self.best.ok_or_else(|| "nothing was measured".into())
    }
}

/// The place of the subjects, and their binaries.
struct Bench {
    folder: PathBuf,
    probe: PathBuf,
    authorizer: PathBuf,
    node: PathBuf,
    cloud: Cloud,
    wanted: Vec<OsString>,
}

impl Bench {
    async fn new(folder: &Path) -> Result<Self, Failure> {
        let mut given = env::args_os().skip(1);
        let mut next = || {
            let path = given
                .next()
                .ok_or("usage: bench PROBE AUTHORIZER NODE BENCHMARK…")?;
            Ok::<_, Failure>(fs::canonicalize(path)?)
        };
        let (probe, authorizer, node) = (next()?, next()?, next()?);
        Ok(Self {
            folder: folder.to_owned(),
            probe,
            authorizer,
            node,
            cloud: Cloud::start().await?.0,
            wanted: given.collect(),
        })
    }

    /// A folder for one subject, with the code below its state folder, so that processes left
    /// behind are found.
    fn folder(&self, name: &str) -> Result<(PathBuf, PathBuf), Failure> {
        let folder = self.folder.join(name);
        let code = folder.join("state/code/f/1");
        fs::create_dir_all(&code)?;
        Ok((folder, code))
    }

    fn trivial(&self, name: &str, run: (u16, bool)) -> Result<Subject, Failure> {
        let (folder, code) = self.folder(name)?;
        symlink(&self.probe, code.join("bootstrap"))?;
        let spec = cloud::function("trivial", &code, TIMEOUT, BTreeMap::new());
        Subject::start(&folder, run, spec, r#"{"id":"x"}"#)
    }

    fn authorizer(
        &self,
        name: &str,
        instances: u16,
        stream: Option<&str>,
    ) -> Result<Subject, Failure> {
        let (folder, code) = self.folder(name)?;
        symlink(&self.authorizer, code.join("bootstrap"))?;
        let mut spec = self.cloud.authorizer(&code, TIMEOUT);
        if let Some(stream) = stream {
            let variable = "AWS_ENDPOINT_URL_KINESIS".to_owned();
            spec.environment.insert(variable, stream.to_owned());
        }
        let event = cloud::request(&cloud::known(), "bench").to_string();
        Subject::start(&folder, (instances, false), spec, event)
    }

    fn bare_node(&self) -> Result<Subject, Failure> {
        let (folder, code) = self.folder("node")?;
        let bootstrap = code.join("bootstrap");
        fs::write(&bootstrap, format!("#!{}{BARE_NODE}", self.node.display()))?;
        fs::set_permissions(&bootstrap, fs::Permissions::from_mode(0o755))?;
        let spec = cloud::function("bare-node", &code, TIMEOUT, BTreeMap::new());
        Subject::start(&folder, (1, false), spec, "{}")
    }

    fn wants(&self, id: &str) -> bool {
        self.wanted.iter().any(|wanted| wanted == id)
    }

    async fn answers(&self) -> Result<Answers, Failure> {
        let mut awake = self.trivial("warm", (1, false))?;
        let mut frozen = self.trivial("warm-frozen", (1, true))?;
        let four = self.trivial("together", (4, false))?;
        let mut rate = 0;
        for _ in 0..ROUNDS {
            awake.back_to_back().await?;
            frozen.back_to_back().await?;
            rate = four.together().await?.max(rate);
        }
        four.functions.shut_down().await;
        Ok(Answers {
            warm: awake.end().await?,
            warm_frozen: frozen.end().await?,
            rate,
            paced: self.paced().await?,
        })
    }

    async fn paced(&self) -> Result<Paced, Failure> {
        let mut one_floor = self.trivial("one-floor", (1, false))?;
        let mut one_authorizer = self.authorizer("one", 1, None)?;
        let mut floor = self.trivial("floor", (4, false))?;
        let mut authorizer = self.authorizer("four", 4, None)?;
        let mut slow_stream = self.authorizer("slow", 4, None)?;
        let mut dead_stream = self.authorizer("dead", 4, Some(NOBODY))?;
        for round in 0..=ROUNDS {
            for subject in [
                &mut one_floor,
                &mut one_authorizer,
                &mut floor,
                &mut authorizer,
                &mut dead_stream,
            ] {
                subject.paced().await?;
            }
            self.cloud.set_put_takes(SLOW);
            slow_stream.paced().await?;
            self.cloud.set_put_takes(Duration::ZERO);
            if round == 0 {
                // The first round warms up: it starts instances and fills their caches.
                for subject in [
                    &mut one_floor,
                    &mut one_authorizer,
                    &mut floor,
                    &mut authorizer,
                    &mut dead_stream,
                    &mut slow_stream,
                ] {
                    subject.best = None;
                }
            }
        }
        Ok(Paced {
            one_floor: one_floor.end().await?,
            one_authorizer: one_authorizer.end().await?,
            floor: floor.end().await?,
            authorizer: authorizer.end().await?,
            slow_stream: slow_stream.end().await?,
            dead_stream: dead_stream.end().await?,
        })
    }

    async fn cold(&self) -> Result<Cold, Failure> {
        let mut subjects = [
            self.trivial("cold-trivial", (1, false))?,
            self.authorizer("cold-authorizer", 1, None)?,
            self.bare_node()?,
        ];
        let mut took: [Vec<Duration>; 3] = Default::default();
        for _ in 0..COLD {
            for (subject, took) in subjects.iter().zip(&mut took) {
                subject.cool_down().await;
                took.push(subject.call().await?);
            }
        }
        for (subject, took) in subjects.iter_mut().zip(took) {
            subject.take(took);
        }
        let [trivial, authorizer, bare_node] = subjects;
        Ok(Cold {
            trivial: trivial.end().await?,
            authorizer: authorizer.end().await?,
            bare_node: bare_node.end().await?,
        })
    }
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let bench = Bench::new(folder.path()).await?;
    let mut report = Report {
        answers: None,
        cold: None,
    };
    if bench.wants("B2") {
        report.answers = Some(bench.answers().await?);
    }
    if bench.wants("B3") {
        report.cold = Some(bench.cold().await?);
    }
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, &report)?;
    writeln!(out)?;
    Ok(())
}
