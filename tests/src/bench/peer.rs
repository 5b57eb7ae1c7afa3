//! B1 with the AWS SDK: the processor, and one as it is usually written in Node.js, in turns,
//! against the same stub of a table.
//!
//! The stub is a process of its own, so that its CPU time counts for neither. It answers every call
//! at once with an empty result, or after a delay. Both processors handle one batch after another,
//! as one instance does. The best of three rounds counts, for both.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use aws_config::BehaviorVersion;
use aws_lambda_events::event::kinesis::KinesisEventRecord;
use aws_sdk_dynamodb::Client;
use axum::Router;
use axum::http::header::CONTENT_TYPE;
use runtime::dynamo::DynamoStore;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

use super::cpu::{Feed, process, processor};
use super::per_second;
use super::process::CpuClock;

/// Rounds of each comparison.
const ROUNDS: u32 = 3;
/// Events of a round.
const EVENTS: usize = 10_000;
/// Delay of each call to the slow table.
const DELAY: Duration = Duration::from_millis(5);
const TABLE: &str = "complical-analytics-test";

/// The program that measures the peer.
#[derive(Debug)]
pub struct Peer {
    /// Node.js.
    pub node: PathBuf,
    /// `measure.mjs`, beside its packages.
    pub script: PathBuf,
}

/// A rate of ours, and the peer's.
#[derive(Debug, Default, Serialize)]
pub struct Pair {
    ours: u64,
    peer: u64,
}

/// The results.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Compared {
    /// Events per CPU-second in batches of 100.
    batches_of_100: Pair,
    /// In batches of 1,000.
    batches_of_1000: Pair,
    /// Events per second of one instance in batches of 100, against a table that takes 5 ms a call.
    slow_table: Pair,
}

/// Measures both.
///
/// # Errors
/// The stub or the peer does not run.
pub fn measure(peer: &Peer) -> anyhow::Result<Compared> {
    let at_once = Stub::start(Duration::ZERO)?;
    let slow = Stub::start(DELAY)?;
    let per_cpu_second = |used: Used| per_second(used.events, used.cpu);
    let per_wall_second = |used: Used| per_second(used.events, used.time);
    Ok(Compared {
        batches_of_100: in_turns(peer, &at_once, 100, per_cpu_second)?,
        batches_of_1000: in_turns(peer, &at_once, 1_000, per_cpu_second)?,
        slow_table: in_turns(peer, &slow, 100, per_wall_second)?,
    })
}

/// What some events took.
#[derive(Debug, Clone, Copy)]
struct Used {
    events: u64,
    time: Duration,
    cpu: Duration,
}

fn in_turns(peer: &Peer, stub: &Stub, size: usize, rate: fn(Used) -> u64) -> anyhow::Result<Pair> {
    let mut feed = Feed::new();
    let batches: Vec<_> = (0..EVENTS / size).map(|_| feed.batch(size)).collect();
    let file = written(&batches)?;
    let mut pair = Pair::default();
    for _ in 0..ROUNDS {
        pair.ours = pair.ours.max(rate(ours(stub, &batches)?));
        pair.peer = pair.peer.max(rate(peers(peer, stub, file.path())?));
    }
    Ok(pair)
}

/// The batches as Lambda passes them.
fn written(batches: &[Vec<KinesisEventRecord>]) -> anyhow::Result<tempfile::NamedTempFile> {
    let events: Vec<_> = batches
        .iter()
        .map(|records| json!({"Records": records}))
        .collect();
    let file = tempfile::NamedTempFile::new()?;
    serde_json::to_writer(&file, &events)?;
    Ok(file)
}

fn ours(stub: &Stub, batches: &[Vec<KinesisEventRecord>]) -> anyhow::Result<Used> {
    io()?.block_on(async {
        let config = aws_config::defaults(BehaviorVersion::latest())
            .endpoint_url(&stub.endpoint)
            .region("ap-south-1")
            .test_credentials()
            .load()
            .await;
        let processor = processor(DynamoStore::new(Client::new(&config), TABLE));
        // Connected, as an instance that has served before.
        process(&processor, &batches[0]).await;
        let (began, clock) = (Instant::now(), CpuClock::start());
        let mut events = 0;
        for batch in batches {
            process(&processor, batch).await;
            events += batch.len() as u64;
        }
        Ok(Used {
            events,
            time: began.elapsed(),
            cpu: clock.used(),
        })
    })
}

/// The output of `measure.mjs`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Measured {
    events: u64,
    milliseconds: f64,
    cpu_milliseconds: f64,
}

fn peers(peer: &Peer, stub: &Stub, batches: &std::path::Path) -> anyhow::Result<Used> {
    let mut node = Command::new(&peer.node);
    node.arg(&peer.script).arg(&stub.endpoint).arg(batches);
    let output = node.output().context("starting Node.js")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the peer failed: {said}");
    let measured: Measured = serde_json::from_slice(&output.stdout)?;
    Ok(Used {
        events: measured.events,
        time: Duration::from_secs_f64(measured.milliseconds / 1_000.0),
        cpu: Duration::from_secs_f64(measured.cpu_milliseconds / 1_000.0),
    })
}

/// A running stub. It ends with its standard input.
struct Stub {
    process: Child,
    endpoint: String,
    _input: Option<ChildStdin>,
}

impl Stub {
    fn start(delay: Duration) -> anyhow::Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg(format!("--stub={}", delay.as_millis()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting the stub of a table")?;
        let input = process.stdin.take();
        let output = process.stdout.take().context("reading from the stub")?;
        let mut endpoint = String::new();
        BufReader::new(output).read_line(&mut endpoint)?;
        Ok(Self {
            process,
            endpoint: endpoint.trim().to_owned(),
            _input: input,
        })
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        // It keeps nothing.
        let _killed = self.process.kill();
        let _ended = self.process.wait();
    }
}

/// Serves the stub until standard input ends. Prints its URL first.
///
/// # Errors
/// No port of the loopback interface is free.
pub fn serve_stub(delay: Duration) -> anyhow::Result<()> {
    io()?.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        writeln!(std::io::stdout(), "http://{}", listener.local_addr()?)?;
        let empty = move || async move {
            tokio::time::sleep(delay).await;
            ([(CONTENT_TYPE, "application/x-amz-json-1.0")], "{}")
        };
        let end = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new()));
        let ended = async {
            let _read = end.await;
        };
        axum::serve(listener, Router::new().fallback(empty))
            .with_graceful_shutdown(ended)
            .await?;
        Ok(())
    })
}

fn io() -> anyhow::Result<Runtime> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}
