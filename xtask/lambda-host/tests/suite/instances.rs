//! The behaviour of an execution environment, seen through real processes.
//!
//! The function is the example `probe`; each test has its own state directory, and its processes
//! end with it.
use std::{
    collections::{BTreeMap, HashMap},
    fs,
    os::unix::fs::symlink,
    path::PathBuf,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use lambda_host::{FunctionSpec, Functions, HostConfig, Outcome, reap};
use serde_json::{Value, json};

use crate::example;

const NAME: &str = "probe";

pub(crate) struct Setup {
    folder: tempfile::TempDir,
    config: HostConfig,
    spec: FunctionSpec,
}

impl Setup {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let task_root = folder.path().join("code");
        fs::create_dir(&task_root).unwrap();
        symlink(example("probe"), task_root.join("bootstrap")).unwrap();
        let config = HostConfig {
            environment: "test".to_owned(),
            region: "ap-south-1".to_owned(),
            aws_endpoint: "http://127.0.0.1:9".to_owned(),
            port: 0,
            state_dir: folder.path().join("state"),
            log_dir: folder.path().join("logs"),
            freeze: true,
            concurrency: 1,
            idle_seconds: 300,
        };
        let spec = FunctionSpec {
            name: NAME.to_owned(),
            arn: format!("arn:aws:lambda:ap-south-1:000000000000:function:{NAME}"),
            handler: "bootstrap".to_owned(),
            timeout: Duration::from_secs(10),
            memory_mb: 256,
            environment: BTreeMap::new(),
            code_sha256: "first".to_owned(),
            task_root,
            log_group: format!("/aws/lambda/{NAME}"),
            reserved_concurrency: None,
        };
        Self {
            folder,
            config,
            spec,
        }
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.spec
            .environment
            .insert(name.to_owned(), value.to_owned());
        self
    }

    pub(crate) fn start(&self) -> Arc<Functions> {
        let functions = Functions::standalone(&self.config).unwrap();
        functions.replace(vec![self.spec.clone()]);
        Arc::new(functions)
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) async fn call(&self, functions: &Functions, event: Value) -> Outcome {
        functions.call(NAME, event.to_string().into()).await
    }

    fn log(&self) -> String {
        fs::read_to_string(self.config.log_dir.join(format!("{NAME}.log"))).unwrap_or_default()
    }

    /// Number of processes that the host has recorded as its own.
    fn processes(&self) -> usize {
        fs::read_dir(self.config.state_dir.join("processes"))
            .unwrap()
            .count()
    }
}

async fn call(functions: &Functions, event: Value) -> Outcome {
    functions.call(NAME, event.to_string().into()).await
}

pub(crate) fn success(outcome: Outcome) -> Value {
    match outcome {
        Outcome::Success(body) => serde_json::from_slice(&body).unwrap(),
        other => panic!("not a success: {other:?}"),
    }
}

pub(crate) fn error(outcome: Outcome) -> Value {
    match outcome {
        Outcome::FunctionError(body) => serde_json::from_slice(&body).unwrap(),
        other => panic!("not a function error: {other:?}"),
    }
}

#[tokio::test]
async fn a_warm_instance_is_used_again() {
    let setup = Setup::new();
    let functions = setup.start();
    let first = success(call(&functions, json!({"id": "a"})).await);
    let second = success(call(&functions, json!({"id": "b"})).await);
    assert_eq!(first["pid"], second["pid"]);
    assert_eq!(second["id"], "b");
    functions.shut_down().await;
    assert_eq!(setup.processes(), 0);
}

#[tokio::test]
async fn a_function_sees_only_what_lambda_would_show_it() {
    let setup = Setup::new().variable("DEPLOYED", "yes");
    let functions = setup.start();
    let seen = success(call(&functions, json!({"do": "environment"})).await);
    let mut names: Vec<&String> = seen.as_object().unwrap().keys().collect();
    names.sort();
    assert_eq!(
        names,
        [
            "AWS_ACCESS_KEY_ID",
            "AWS_DEFAULT_REGION",
            "AWS_ENDPOINT_URL",
            "AWS_EXECUTION_ENV",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
            "AWS_LAMBDA_FUNCTION_NAME",
            "AWS_LAMBDA_FUNCTION_VERSION",
            "AWS_LAMBDA_INITIALIZATION_TYPE",
            "AWS_LAMBDA_LOG_GROUP_NAME",
            "AWS_LAMBDA_LOG_STREAM_NAME",
            "AWS_LAMBDA_RUNTIME_API",
            "AWS_REGION",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
            "DEPLOYED",
            "LAMBDA_TASK_ROOT",
            "LANG",
            "PATH",
            "TZ",
            "_HANDLER",
        ]
    );
    assert_eq!(seen["AWS_ACCESS_KEY_ID"], NAME, "whose role it has");
    functions.shut_down().await;
}

#[tokio::test]
async fn a_handler_error_leaves_the_instance_in_use() {
    let setup = Setup::new();
    let functions = setup.start();
    let failed = error(call(&functions, json!({"do": "error"})).await);
    assert_eq!(failed["errorMessage"], "asked to fail");
    success(call(&functions, json!({})).await);
    assert_eq!(functions.status()[NAME].cold_starts, 1);
    functions.shut_down().await;
}

#[tokio::test]
async fn an_exit_is_an_error_and_the_instance_is_replaced() {
    let setup = Setup::new();
    let functions = setup.start();
    let failed = error(call(&functions, json!({"do": "exit"})).await);
    assert_eq!(failed["errorType"], "Runtime.ExitError");
    let message = failed["errorMessage"].as_str().unwrap();
    assert!(
        message.ends_with("Error: Runtime exited with error: exit status 7"),
        "{message}"
    );
    success(call(&functions, json!({})).await);
    assert_eq!(functions.status()[NAME].cold_starts, 2);
    functions.shut_down().await;
    assert_eq!(setup.processes(), 0);
}

#[tokio::test]
async fn a_timeout_kills_the_instance_and_says_so() {
    let mut setup = Setup::new();
    setup.spec.timeout = Duration::from_secs(1);
    let functions = setup.start();
    let begun = Instant::now();
    let failed = error(call(&functions, json!({"ms": 60_000})).await);
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert_eq!(failed["errorType"], "Sandbox.Timedout");
    let message = failed["errorMessage"].as_str().unwrap();
    assert!(
        message.ends_with("Task timed out after 1.00 seconds"),
        "{message}"
    );
    success(call(&functions, json!({})).await);
    functions.shut_down().await;
    assert_eq!(setup.processes(), 0);
    assert!(setup.log().contains("Task timed out after 1.00 seconds"));
}

#[tokio::test]
async fn a_failing_initialisation_reaches_the_caller() {
    let setup = Setup::new().variable("FAIL_INIT", "always");
    let functions = setup.start();
    for _ in 0..3 {
        let failed = error(call(&functions, json!({})).await);
        assert_eq!(failed["errorType"], "Runtime.ExitError");
    }
    functions.shut_down().await;
    assert_eq!(setup.processes(), 0);
}

// A failed initialisation is repeated as part of the invocation ("Init phase", execution
// environment lifecycle).
#[tokio::test]
async fn an_initialisation_that_fails_once_is_tried_again() {
    let mut setup = Setup::new();
    let marker = setup.file("failed");
    setup = setup.variable("FAIL_INIT", marker.to_str().unwrap());
    let functions = setup.start();
    success(call(&functions, json!({})).await);
    assert!(marker.exists());
    functions.shut_down().await;
    assert_eq!(setup.processes(), 0);
}

#[tokio::test]
async fn the_caller_has_the_response_before_the_work_after_it_ends() {
    let mut setup = Setup::new();
    let file = setup.file("posts");
    setup = setup
        .variable("POST_RESPONSE_FILE", file.to_str().unwrap())
        .variable("POST_RESPONSE_MS", "300");
    let functions = setup.start();
    success(call(&functions, json!({"id": "warm"})).await);
    let begun = Instant::now();
    success(call(&functions, json!({"id": "a"})).await);
    assert!(
        begun.elapsed() >= Duration::from_millis(300),
        "the instance was still busy"
    );
    assert_eq!(
        fs::read_to_string(&file).unwrap(),
        "warm\n",
        "`a` is answered, not yet reported"
    );
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(fs::read_to_string(&file).unwrap(), "warm\na\n");
    functions.shut_down().await;
}

#[tokio::test]
async fn a_frozen_instance_does_nothing_until_its_next_event() {
    let setup = Setup::new();
    let functions = setup.start();
    let pid = success(call(&functions, json!({})).await)["pid"]
        .as_u64()
        .unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let state = stat.rsplit_once(')').unwrap().1.trim().chars().next();
    assert_eq!(state, Some('T'), "stopped");
    assert_eq!(success(call(&functions, json!({})).await)["pid"], pid);
    functions.shut_down().await;
}

#[tokio::test]
async fn invocations_beyond_the_limit_wait_for_an_instance() {
    let mut setup = Setup::new();
    setup.config.concurrency = 2;
    let functions = setup.start();
    let calls: Vec<_> = (0..20)
        .map(|_| {
            let functions = Arc::clone(&functions);
            tokio::spawn(async move { call(&functions, json!({"ms": 20})).await })
        })
        .collect();
    for call in calls {
        success(call.await.unwrap());
    }
    assert_eq!(functions.status()[NAME].cold_starts, 2);
    functions.shut_down().await;
}

#[tokio::test]
async fn reserved_concurrency_throttles() {
    let mut setup = Setup::new();
    setup.spec.reserved_concurrency = Some(1);
    let functions = setup.start();
    let slow = {
        let functions = Arc::clone(&functions);
        tokio::spawn(async move { call(&functions, json!({"ms": 500})).await })
    };
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(call(&functions, json!({})).await, Outcome::Throttled);
    success(slow.await.unwrap());
    success(call(&functions, json!({})).await);
    functions.shut_down().await;
}

#[tokio::test]
async fn new_code_is_used_at_once_and_old_instances_finish_their_work() {
    let setup = Setup::new();
    let functions = setup.start();
    let old = {
        let functions = Arc::clone(&functions);
        tokio::spawn(async move { call(&functions, json!({"ms": 400})).await })
    };
    tokio::time::sleep(Duration::from_millis(200)).await;
    let mut new = setup.spec.clone();
    new.code_sha256 = "second".to_owned();
    functions.replace(vec![new]);
    let of_new = success(call(&functions, json!({})).await);
    let of_old = success(old.await.unwrap());
    assert_ne!(of_new["pid"], of_old["pid"]);
    functions.shut_down().await;
    assert_eq!(setup.processes(), 0);
}

#[tokio::test]
async fn an_unused_instance_is_shut_down() {
    let setup = Setup::new();
    let functions = setup.start();
    success(call(&functions, json!({})).await);
    tokio::time::sleep(Duration::from_millis(50)).await;
    functions.reap_idle(Duration::from_millis(10));
    let until = Instant::now() + Duration::from_secs(5);
    while setup.processes() > 0 && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(setup.processes(), 0);
    assert_eq!(functions.status()[NAME].instances, 0);
    functions.shut_down().await;
}

#[tokio::test]
async fn an_extension_receives_the_shutdown() {
    let mut setup = Setup::new();
    let file = setup.file("posts");
    setup = setup.variable("POST_RESPONSE_FILE", file.to_str().unwrap());
    let functions = setup.start();
    success(call(&functions, json!({"id": "a"})).await);
    functions.shut_down().await;
    assert_eq!(fs::read_to_string(&file).unwrap(), "a\nshutdown spindown\n");
    assert_eq!(setup.processes(), 0);
}

// "If the runtime or an extension does not respond to the Shutdown event within the limit, Lambda
// ends the process using a SIGKILL signal." (Shutdown phase, execution environment lifecycle)
#[tokio::test]
async fn a_process_that_ignores_sigterm_is_killed_when_its_time_is_over() {
    let mut setup = Setup::new();
    let file = setup.file("posts");
    setup = setup
        .variable("POST_RESPONSE_FILE", file.to_str().unwrap())
        .variable("IGNORE_SIGTERM", "yes");
    let functions = setup.start();
    success(call(&functions, json!({"id": "a"})).await);
    let begun = Instant::now();
    functions.shut_down().await;
    assert!(
        begun.elapsed() >= Duration::from_secs(2),
        "it was not given its time"
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), "a\nshutdown spindown\n");
    assert_eq!(setup.processes(), 0);
}

#[tokio::test]
async fn output_is_in_the_functions_log() {
    let setup = Setup::new();
    let functions = setup.start();
    success(
        call(
            &functions,
            json!({"do": "print", "line": "seen by the log"}),
        )
        .await,
    );
    functions.shut_down().await;
    let log = setup.log();
    assert!(log.contains("seen by the log"), "{log}");
    assert!(log.contains("REPORT RequestId: "), "{log}");
}

// The same with the authorizer itself, which neither panics nor hangs: `authorizer.rs`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_after_the_response_is_done_for_every_call() {
    const CALLS: usize = 10_000;
    let mut setup = Setup::new();
    let file = setup.file("posts");
    setup = setup.variable("POST_RESPONSE_FILE", file.to_str().unwrap());
    setup.spec.timeout = Duration::from_secs(2);
    setup.config.concurrency = 4;
    let functions = setup.start();

    let workers: Vec<_> = (0..8)
        .map(|worker| {
            let functions = Arc::clone(&functions);
            tokio::spawn(async move {
                let mut lost = Vec::new();
                for number in (worker..CALLS).step_by(8) {
                    lost.extend(one_of_many(&functions, number).await);
                }
                lost
            })
        })
        .collect();
    let mut lost = Vec::new();
    for worker in workers {
        lost.extend(worker.await.unwrap());
    }
    functions.shut_down().await;

    let mut arrived: HashMap<String, usize> = HashMap::new();
    for line in fs::read_to_string(&file).unwrap().lines() {
        *arrived.entry(line.to_owned()).or_default() += 1;
    }
    for id in (0..CALLS).map(|number| number.to_string()) {
        let expected = usize::from(!lost.contains(&id));
        assert_eq!(
            arrived.get(&id).copied().unwrap_or(0),
            expected,
            "call {id}"
        );
    }
    assert_eq!(setup.processes(), 0);
}

/// Makes a call. Returns its id if the call ended the environment, and with it the report.
async fn one_of_many(functions: &Functions, number: usize) -> Option<String> {
    let id = number.to_string();
    match number % 2_500 {
        7 => {
            let failed = error(call(functions, json!({"id": id, "ms": 60_000})).await);
            assert_eq!(failed["errorType"], "Sandbox.Timedout");
            return Some(id);
        }
        8 => {
            let failed = error(call(functions, json!({"id": id, "do": "exit"})).await);
            assert_eq!(failed["errorType"], "Runtime.ExitError");
            return Some(id);
        }
        _ => {}
    }
    match number % 10 {
        1 => drop(error(
            call(functions, json!({"id": id, "do": "error"})).await,
        )),
        2 => drop(error(
            call(functions, json!({"id": id, "do": "panic"})).await,
        )),
        _ => drop(success(call(functions, json!({"id": id})).await)),
    }
    None
}

#[tokio::test]
async fn a_killed_host_leaves_only_what_reap_kills() {
    let setup = Setup::new();
    let functions = setup.start();
    let pid = success(call(&functions, json!({})).await)["pid"]
        .as_u64()
        .unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    // A process never hears from a killed host again: the instance stays stopped.
    assert!(is_running(pid));
    assert_eq!(reap(&setup.config.state_dir).unwrap(), 1);
    assert!(!is_running(pid));
    functions.shut_down().await;
}

fn is_running(pid: u64) -> bool {
    let stat = Command::new("cat")
        .arg(format!("/proc/{pid}/stat"))
        .output()
        .unwrap();
    let stat = String::from_utf8(stat.stdout).unwrap();
    stat.rsplit_once(')')
        .is_some_and(|(_, rest)| !rest.trim().starts_with('Z'))
}
