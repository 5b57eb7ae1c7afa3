//! The destinations of the functions' output: a file per function, its log group in the local
//! CloudWatch, and, for lines in the embedded metric format, the metrics they describe.
//!
//! Nothing here delays an invocation: lines are queued, and shipped in batches. If the local AWS
//! does not accept them, the file still has them.

mod embedded_metrics;
mod files;
mod lambda_metrics;
mod shipper;

use std::{path::Path, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::{
    sync::{mpsc, oneshot},
    time::{MissedTickBehavior, interval},
};

use crate::{
    HostError,
    emulator::Emulator,
    function::{FunctionSpec, Outcome},
    instance::{Invocation, Origin},
};
use embedded_metrics::Metric;
use files::Files;
use shipper::Batches;

/// The most lines that may be queued; a function that prints faster blocks in its `write`.
const QUEUE: usize = 16_384;
/// How often batches are shipped.
const SHIP_EVERY: Duration = Duration::from_millis(500);

/// A line for a log group.
#[derive(Debug)]
pub(crate) struct Line {
    /// The function whose role writes the line; another service writes it if there is none.
    pub(crate) function: Option<String>,
    pub(crate) group: String,
    pub(crate) stream: String,
    pub(crate) at: Timestamp,
    pub(crate) text: String,
}

#[derive(Debug)]
enum Entry {
    Output {
        spec: Arc<FunctionSpec>,
        stream: String,
        at: Timestamp,
        text: String,
    },
    Report {
        spec: Arc<FunctionSpec>,
        stream: String,
        at: Timestamp,
        request_id: String,
        took: Duration,
        ship: bool,
    },
    Line(Line),
    Metrics(Vec<Metric>),
    Flush(oneshot::Sender<()>),
}

/// The entrance to the logs; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Logs {
    queue: mpsc::Sender<Entry>,
}

impl Logs {
    /// Opens the logs in `folder`.
    pub(crate) fn open(folder: &Path, emulator: Option<Emulator>) -> Result<Self, HostError> {
        std::fs::create_dir_all(folder)
            .map_err(|source| HostError::io("create the folder", folder, source))?;
        let (queue, entries) = mpsc::channel(QUEUE);
        tokio::spawn(run(entries, Files::new(folder), emulator));
        Ok(Self { queue })
    }

    /// Logs a line that a function printed.
    pub(crate) async fn output(&self, spec: &Arc<FunctionSpec>, stream: &str, text: &str) {
        let entry = Entry::Output {
            spec: Arc::clone(spec),
            stream: stream.to_owned(),
            at: Timestamp::now(),
            text: text.to_owned(),
        };
        // A closed queue means that the host is ending.
        drop(self.queue.send(entry).await);
    }

    /// Logs the line that Lambda writes at the end of an invocation; dropped if the queue is full.
    pub(crate) fn report(
        &self,
        spec: &Arc<FunctionSpec>,
        stream: &str,
        invocation: &Invocation,
        took: Duration,
    ) {
        drop(self.queue.try_send(Entry::Report {
            spec: Arc::clone(spec),
            stream: stream.to_owned(),
            at: Timestamp::now(),
            request_id: invocation.request_id.clone(),
            took,
            ship: invocation.origin == Origin::Host,
        }));
    }

    /// Emits Lambda's own metrics for an invocation for which the local AWS has none: one by a
    /// mapping, or behind the gateway. Dropped if the queue is full.
    pub(crate) fn invoked(
        &self,
        function: &str,
        took: Duration,
        outcome: &Outcome,
        iterator_age: Option<Duration>,
    ) {
        let metrics = lambda_metrics::of(function, took, outcome, iterator_age);
        drop(self.queue.try_send(Entry::Metrics(metrics)));
    }

    /// Logs a line for a log group that belongs to no function.
    pub(crate) async fn line(&self, line: Line) {
        drop(self.queue.send(Entry::Line(line)).await);
    }

    /// Waits until everything queued so far is written and shipped.
    pub(crate) async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        if self.queue.send(Entry::Flush(done)).await.is_ok() {
            drop(flushed.await);
        }
    }
}

async fn run(mut entries: mpsc::Receiver<Entry>, mut files: Files, emulator: Option<Emulator>) {
    let mut batches = Batches::default();
    let (full, to_ship) = mpsc::channel(8);
    tokio::spawn(shipper::run(to_ship, emulator));
    let mut tick = interval(SHIP_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            entry = entries.recv() => match entry {
                Some(Entry::Flush(done)) => {
                    files.flush();
                    drop(full.send((std::mem::take(&mut batches), Some(done))).await);
                }
                Some(entry) => {
                    take(entry, &mut files, &mut batches);
                    if batches.is_full() {
                        drop(full.send((std::mem::take(&mut batches), None)).await);
                    }
                }
                None => break,
            },
            _ = tick.tick() => {
                files.flush();
                if !batches.is_empty() {
                    drop(full.send((std::mem::take(&mut batches), None)).await);
                }
            }
        }
    }
    files.flush();
    drop(full.send((batches, None)).await);
}

fn take(entry: Entry, files: &mut Files, batches: &mut Batches) {
    match entry {
        Entry::Output {
            spec,
            stream,
            at,
            text,
        } => {
            files.write(&spec.name, at, &text);
            batches.add_metrics(embedded_metrics::read(&text));
            batches.add_line(Line {
                function: Some(spec.name.clone()),
                group: spec.log_group.clone(),
                stream,
                at,
                text,
            });
        }
        Entry::Report {
            spec,
            stream,
            at,
            request_id,
            took,
            ship,
        } => {
            let text = report(&request_id, took, spec.memory_mb);
            files.write(&spec.name, at, &text);
            if ship {
                batches.add_line(Line {
                    function: Some(spec.name.clone()),
                    group: spec.log_group.clone(),
                    stream,
                    at,
                    text,
                });
            }
        }
        Entry::Line(line) => batches.add_line(line),
        Entry::Metrics(metrics) => batches.add_metrics(metrics),
        Entry::Flush(_) => {}
    }
}

fn report(request_id: &str, took: Duration, memory_mb: u32) -> String {
    let millis = took.as_secs_f64() * 1_000.0;
    format!(
        "REPORT RequestId: {request_id}\tDuration: {millis:.2} ms\tBilled Duration: {} ms\tMemory Size: {memory_mb} MB",
        millis.ceil()
    )
}
