//! The authorizer as it is deployed, run by this host: the event of every call that it responds to
//! arrives, even if calls before, beside or after it fail.

use std::{
    collections::BTreeSet,
    fs,
    net::SocketAddr,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use domain::key::ApiKey;
use lambda_host::{Functions, HostConfig, Outcome};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::cloud::{self, Cloud};
use crate::instances::{error, success};
use crate::target;

const CALLS: usize = 10_000;
const WORKERS: usize = 8;
const TIMEOUT: Duration = Duration::from_secs(3);

/// The binary that `cargo xtask build` produces for `local`, and `cargo xtask test` before any
/// test.
fn binary() -> PathBuf {
    let path = target().join("functions/local/authorizer/bootstrap");
    assert!(
        path.exists(),
        "`{}` is not built: `cargo xtask build` does that",
        path.display()
    );
    path
}

fn config(folder: &Path) -> HostConfig {
    HostConfig {
        environment: "test".to_owned(),
        region: "ap-south-1".to_owned(),
        aws_endpoint: "http://127.0.0.1:9".to_owned(),
        port: 0,
        state_dir: folder.join("state"),
        log_dir: folder.join("logs"),
        freeze: true,
        concurrency: 4,
        idle_seconds: 300,
    }
}

async fn call(functions: &Functions, key: &ApiKey, request_id: &str) -> Outcome {
    let event = cloud::request(key, request_id);
    functions.call("authorizer", event.to_string().into()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_authorizers_event_arrives_for_every_call_that_it_answers() {
    let (cloud, stuck) = Cloud::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let task_root = folder.path().join("code");
    fs::create_dir(&task_root).unwrap();
    symlink(binary(), task_root.join("bootstrap")).unwrap();
    let config = config(folder.path());
    let functions = Arc::new(Functions::standalone(&config).unwrap());
    functions.replace(vec![cloud.authorizer(&task_root, TIMEOUT)]);

    let workers: Vec<_> = (0..WORKERS)
        .map(|worker| tokio::spawn(answered(Arc::clone(&functions), worker)))
        .collect();
    let processes = config.state_dir.join("processes");
    let unanswered = tokio::spawn(unanswered(Arc::clone(&functions), processes, stuck));
    for worker in workers {
        worker.await.unwrap();
    }
    unanswered.await.unwrap();
    all_idle(&functions).await;
    // Before the shutdown, which would wake everything that sleeps on an event.
    let arrived = cloud.events();
    functions.shut_down().await;
    for number in 0..CALLS {
        let events = arrived.get(&number.to_string());
        assert_eq!(events.map_or(0, BTreeSet::len), 1, "call {number}");
    }
    assert_eq!(
        arrived.len(),
        CALLS,
        "calls that were not answered are not reported"
    );
    let status = functions.status()["authorizer"];
    assert!(status.cold_starts >= 4, "{status:?}");
}

async fn all_idle(functions: &Functions) {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let status = functions.status()["authorizer"];
        if status.idle == status.instances {
            return;
        }
        assert!(Instant::now() < until, "{status:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Every [`WORKERS`]th call. One call in ten is refused: to Lambda that is an error of the handler.
async fn answered(functions: Arc<Functions>, worker: usize) {
    let known = cloud::known();
    let unknown = ApiKey::mint("complical", [9; 24]);
    for number in (worker..CALLS).step_by(WORKERS) {
        let id = number.to_string();
        if number % 10 == 1 {
            let failed = error(call(&functions, &unknown, &id).await);
            assert_eq!(failed["errorMessage"], "Unauthorized");
        } else {
            let leave: Value = success(call(&functions, &known, &id).await);
            assert_eq!(leave["principalId"], "key_1");
        }
    }
}

/// Calls in which the function ends before it responds. Built as for Lambda, a panic aborts it; a
/// hanging function is stopped here, because otherwise it would respond in time.
async fn unanswered(
    functions: Arc<Functions>,
    processes: PathBuf,
    mut stuck: mpsc::UnboundedReceiver<SocketAddr>,
) {
    for round in 0..6 {
        let calling = {
            let functions = Arc::clone(&functions);
            let id = format!("unanswered {round}");
            tokio::spawn(async move { call(&functions, &cloud::sticking(), &id).await })
        };
        let pid = stuck_process(&processes, &mut stuck).await;
        let panics = round % 3 > 0;
        let signal = if panics {
            Signal::SIGABRT
        } else {
            Signal::SIGSTOP
        };
        kill(pid, signal).unwrap();
        let failed = error(calling.await.unwrap());
        let (kind, message) = if panics {
            (
                "Runtime.ExitError",
                "Runtime exited with error: signal: aborted",
            )
        } else {
            ("Sandbox.Timedout", "Task timed out after 3.00 seconds")
        };
        assert_eq!(failed["errorType"], kind);
        let said = failed["errorMessage"].as_str().unwrap();
        assert!(said.ends_with(message), "{said}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// The next process that looks up the sticking key. Requests from a process that has ended, or over
/// a connection that the SDK has given up, are skipped.
async fn stuck_process(processes: &Path, stuck: &mut mpsc::UnboundedReceiver<SocketAddr>) -> Pid {
    loop {
        let from = tokio::time::timeout(TIMEOUT * 4, stuck.recv()).await;
        let from = from.expect("nothing is stuck").unwrap();
        if let Some(pid) = owner(processes, from) {
            return pid;
        }
    }
}

/// The recorded process at the other end of a connection.
fn owner(processes: &Path, from: SocketAddr) -> Option<Pid> {
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    let local = format!("0100007F:{:04X}", from.port());
    let line = table
        .lines()
        .find(|line| line.split_whitespace().nth(1) == Some(&local))?;
    let socket = format!("socket:[{}]", line.split_whitespace().nth(9)?);
    let pids = fs::read_dir(processes).ok()?.flatten();
    let pid = pids
        .filter_map(|entry| entry.file_name().into_string().ok())
        .find(|pid| {
            let files = fs::read_dir(format!("/proc/{pid}/fd"));
            files.into_iter().flatten().flatten().any(|file| {
                fs::read_link(file.path()).is_ok_and(|link| link.as_os_str() == socket.as_str())
            })
        })?;
    Some(Pid::from_raw(pid.parse().ok()?))
}
