//! The host as a process, beside a stand-in for the local AWS.
use std::{
    collections::BTreeSet,
    fs,
    net::SocketAddr,
    path::Path,
    process::{Child, Command},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use lambda_host::{HostConfig, reap};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};

use crate::{
    aws::{Aws, Deployed},
    example,
};

pub(crate) struct Running {
    pub(crate) aws: Aws,
    folder: tempfile::TempDir,
    pub(crate) address: SocketAddr,
    child: Child,
    http: reqwest::Client,
}

impl Running {
    pub(crate) async fn start(deployed: Deployed) -> Self {
        let aws = Aws::start(deployed).await;
        Self::beside(aws, tempfile::tempdir().unwrap()).await
    }

    async fn beside(aws: Aws, folder: tempfile::TempDir) -> Self {
        let port = std::net::TcpListener::bind(("127.0.0.1", 0))
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let config = HostConfig {
            environment: "local".to_owned(),
            region: "ap-south-1".to_owned(),
            aws_endpoint: format!("http://{}", aws.address),
            port,
            state_dir: folder.path().join("state"),
            log_dir: folder.path().join("logs"),
            freeze: true,
            concurrency: 4,
            idle_seconds: 300,
        };
        let settings = folder.path().join("host.json");
        fs::write(&settings, serde_json::to_vec(&config).unwrap()).unwrap();
        let child = Command::new(example("host"))
            .arg(&settings)
            .spawn()
            .unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let running = Self {
            aws,
            folder,
            address,
            child,
            http: reqwest::Client::new(),
        };
        running
            .eventually("the host answers", async |host| {
                host.get("/_host/health").await.is_some()
            })
            .await;
        running
    }

    async fn get(&self, path: &str) -> Option<(u16, reqwest::header::HeaderMap, Value)> {
        self.get_as(path, "*/*").await
    }

    async fn get_as(
        &self,
        path: &str,
        accept: &str,
    ) -> Option<(u16, reqwest::header::HeaderMap, Value)> {
        let response = self
            .http
            .get(format!("http://{}{path}", self.address))
            .header("accept", accept)
            .send()
            .await
            .ok()?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = serde_json::from_slice(&response.bytes().await.ok()?).unwrap_or_default();
        Some((status, headers, body))
    }

    pub(crate) async fn eventually(&self, what: &str, holds: impl AsyncFn(&Self) -> bool) {
        let until = Instant::now() + Duration::from_secs(20);
        while !holds(self).await {
            assert!(
                Instant::now() < until,
                "{what}: not within 20 s; the host says {:?}",
                self.get("/_host/status").await
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn signal(&self, signal: Signal) {
        kill(
            Pid::from_raw(i32::try_from(self.child.id()).unwrap()),
            signal,
        )
        .unwrap();
    }

    /// Stops the host and returns what must outlive it.
    pub(crate) fn stop(mut self) -> (Aws, tempfile::TempDir) {
        self.signal(Signal::SIGTERM);
        assert!(self.child.wait().unwrap().success());
        (self.aws, self.folder)
    }
}

fn processes(folder: &Path) -> Vec<String> {
    fs::read_dir(folder.join("state/processes"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

pub(crate) fn format() -> String {
    json!({
        "requestId": "$context.requestId", "status": "$context.status",
        "eventId": "$context.authorizer.eventId", "type": "$context.error.responseType",
        "resource": "$context.resourcePath", "ip": "$context.identity.sourceIp",
        "asked": "$context.authorizer.status $context.authorizer.integrationStatus",
        "askedId": "$context.authorizer.requestId", "took": "$context.authorizer.latency",
        "askedError": "$context.authorizer.error", "length": "$context.responseLength"
    })
    .to_string()
}

fn denied() -> Value {
    json!({
        "responseType": "ACCESS_DENIED", "statusCode": "429", "defaultResponse": false,
        "responseParameters": {"gatewayresponse.header.Retry-After": "context.authorizer.retryAfter"},
        "responseTemplates": {
            "application/json": "{\"error\":\"$context.authorizer.code\"}",
            "application/problem+json": "{\"detail\":\"$context.authorizer.code\"}"
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_front_answers_for_the_authorizer_and_logs_every_request() {
    let host = Running::start(Deployed {
        access_log_format: format(),
        gateway_responses: vec![denied()],
        ..Deployed::default()
    })
    .await;

    let (status, headers, body) = host.get("/local/v1/x?decide=allow").await.unwrap();
    assert_eq!(status, 200);
    let request_id = headers["x-amzn-requestid"].to_str().unwrap();
    assert_eq!(body["requestContext"]["requestId"], request_id);
    assert_eq!(body["requestContext"]["identity"]["sourceIp"], "127.0.0.1");

    let (status, headers, body) = host.get("/local/v1/x?decide=deny").await.unwrap();
    assert_eq!(
        (status, headers["retry-after"].to_str().unwrap()),
        (429, "7")
    );
    assert_eq!(body, json!({"error": "rateLimited"}));
    assert_eq!(headers["content-type"], "application/json");
    let problem = "application/problem+json";
    let (status, headers, body) = host
        .get_as("/local/v1/x?decide=deny", problem)
        .await
        .unwrap();
    assert_eq!((status, body), (429, json!({"detail": "rateLimited"})));
    assert_eq!(headers["content-type"], problem);
    assert_eq!(headers["retry-after"], "7");

    let (status, _, body) = host.get("/local/v1/x?decide=unauthorized").await.unwrap();
    assert_eq!((status, body), (401, json!({"message": "Unauthorized"})));

    let (status, _, body) = host.get("/local/v1/x?decide=fail").await.unwrap();
    assert_eq!((status, body), (500, json!({"message": null})));

    let (status, _, body) = host.get("/local/v1/x?decide=allow&do=error").await.unwrap();
    assert_eq!(
        (status, body),
        (502, json!({"message": "Internal server error"}))
    );

    let (status, ..) = host.get("/absent/v1/x").await.unwrap();
    assert_eq!(status, 403);

    let logged = async |host: &Running| {
        host.aws
            .with(|aws| aws.log_lines.get("/access").map_or(0, Vec::len))
            == 6
    };
    host.eventually("each request of the stage is logged", logged)
        .await;
    let lines = host.aws.with(|aws| aws.log_lines["/access"].clone());
    let lines: Vec<Value> = lines
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let columns = |name: &str| {
        lines
            .iter()
            .map(|line| line[name].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        columns("status"),
        ["200", "429", "429", "401", "500", "502"]
    );
    assert_eq!(columns("eventId"), ["e-1", "e-1", "e-1", "-", "-", "e-1"]);
    assert_eq!(
        columns("type"),
        [
            "-",
            "ACCESS_DENIED",
            "ACCESS_DENIED",
            "UNAUTHORIZED",
            "AUTHORIZER_FAILURE",
            "INTEGRATION_FAILURE"
        ]
    );
    assert_eq!(columns("resource"), vec!["/v1/x"; 6]);
    assert_eq!(
        columns("asked"),
        [
            "200 200", "403 200", "403 200", "401 200", "500 200", "200 200"
        ]
    );
    let failures = columns("askedError");
    assert_eq!(
        failures[..4],
        [json!("-"), json!("-"), json!("-"), json!("Unauthorized")]
    );
    assert_ne!(failures[4], "-");
    assert_eq!(failures[5], "-");
    let ids: BTreeSet<_> = columns("askedId")
        .iter()
        .map(|id| id.as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids.len(), 6, "one invocation each: {ids:?}");
    assert!(ids.iter().all(|id| id.len() == 36), "{ids:?}");
    let numbers = columns("took");
    let is_number = |value: &Value| value.as_str().unwrap().parse::<u32>().is_ok();
    assert!(numbers.iter().all(is_number), "{numbers:?}");
    assert_eq!(columns("ip"), vec!["127.0.0.1"; 6]);
    host.stop();
}

fn record(number: u32, event: &Value) -> Value {
    json!({
        "SequenceNumber": format!("{number:020}"), "PartitionKey": "k",
        "ApproximateArrivalTimestamp": 1_700_000_000.5 + f64::from(number),
        "Data": STANDARD.encode(event.to_string())
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_reach_the_function_in_lambdas_form_and_checkpoints_survive() {
    let host = Running::start(Deployed {
        mapping: json!({"BatchSize": 2}),
        records: (0..3).map(|number| record(number, &json!({}))).collect(),
        ..Deployed::default()
    })
    .await;
    let records = async |host: &Running| {
        host.get("/_host/status").await.unwrap().2["mappings"][0]["records"].clone()
    };
    host.eventually("three records are processed", async |host| {
        records(host).await == 3
    })
    .await;
    let (_, _, status) = host.get("/_host/status").await.unwrap();
    assert_eq!(status["mappings"][0]["invocations"], 2);
    assert_eq!(
        host.aws.with(|aws| aws.updates.clone()),
        [json!({"Enabled": false})],
        "the emulator's own poller is off"
    );

    host.eventually("Lambda's metrics are put", async |host| {
        host.aws.with(|aws| {
            aws.metrics
                .iter()
                .any(|put| put.to_string().contains("IteratorAge"))
        })
    })
    .await;

    let (aws, folder) = host.stop();
    assert!(processes(folder.path()).is_empty());
    aws.with(|aws| aws.records.push(record(3, &json!({}))));
    let again = Running::beside(aws, folder).await;
    again
        .eventually("the new record is processed", async |host| {
            records(host).await == 1
        })
        .await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(
        records(&again).await,
        1,
        "what was done before the restart is not done again"
    );
    again.stop();
}

// The local AWS was restarted, or records have expired: the remaining ones are read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_that_the_stream_no_longer_has_is_left_behind() {
    let host = Running::start(Deployed {
        records: (0..3).map(|number| record(number, &json!({}))).collect(),
        ..Deployed::default()
    })
    .await;
    let records = async |host: &Running| {
        host.get("/_host/status").await.unwrap().2["mappings"][0]["records"].clone()
    };
    host.eventually("the records are processed", async |host| {
        records(host).await == 3
    })
    .await;
    let (aws, folder) = host.stop();
    aws.with(|aws| aws.records = vec![record(7, &json!({})), record(8, &json!({}))]);
    let again = Running::beside(aws, folder).await;
    again
        .eventually("the new records are processed", async |host| {
            records(host).await == 2
        })
        .await;
    again.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_always_fails_is_reported_to_the_destination() {
    let host = Running::start(Deployed {
        mapping: json!({
            "BatchSize": 10, "MaximumRetryAttempts": 1, "BisectBatchOnFunctionError": true,
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
            "DestinationConfig": {"OnFailure": {"Destination": "arn:aws:sqs:ap-south-1:000000000000:dlq"}}
        }),
        records: (0..4).map(|number| record(number, &json!({"fail": number == 2}))).collect(),
        ..Deployed::default()
    })
    .await;
    host.eventually("a message is sent", async |host| {
        !host.aws.with(|aws| aws.messages.is_empty())
    })
    .await;
    let messages = host.aws.with(|aws| aws.messages.clone());
    assert_eq!(messages.len(), 1);
    assert_eq!(
        messages[0]["requestContext"]["condition"],
        "RetryAttemptsExhausted"
    );
    let info = &messages[0]["KinesisBatchInfo"];
    assert_eq!(
        (&info["startSequenceNumber"], &info["batchSize"]),
        (&json!("00000000000000000002"), &json!(1))
    );
    host.stop();
}

/// Makes the function print a line.
async fn print(host: &Running, line: &str) {
    let event = json!({"do": "print", "line": line});
    let url = format!("http://{}/invoke/f", host.address);
    let response = host.http.post(url).body(event.to_string()).send().await;
    assert_eq!(response.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_group_that_went_with_its_stack_is_not_made_again() {
    const GROUP: &str = "/aws/lambda/f";
    let host = Running::start(Deployed {
        deleted_groups: BTreeSet::from([GROUP.to_owned()]),
        ..Deployed::default()
    })
    .await;
    print(&host, "lost").await;
    // Lines are put half a second later. The next line arrives after the stack is deployed again.
    tokio::time::sleep(Duration::from_secs(2)).await;
    host.aws.with(|aws| aws.deleted_groups.clear());
    print(&host, "kept").await;
    let shipped = async |host: &Running| {
        host.aws.with(|aws| {
            let lines = aws.log_lines.get(GROUP);
            lines.is_some_and(|lines| lines.iter().any(|line| line.contains("kept")))
        })
    };
    host.eventually("the line after the next deploy is put", shipped)
        .await;
    let (made, lines) = host
        .aws
        .with(|aws| (aws.made_groups.clone(), aws.log_lines[GROUP].clone()));
    assert_eq!(made, [""; 0]);
    assert!(!lines.iter().any(|line| line.contains("lost")), "{lines:?}");
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_in_the_embedded_metric_format_becomes_a_metric() {
    let host = Running::start(Deployed::default()).await;
    let line = json!({
        "_aws": {"Timestamp": 1_700_000_000_000_i64, "CloudWatchMetrics": [{
            "Namespace": "N", "Dimensions": [["Environment"]], "Metrics": [{"Name": "Calls", "Unit": "Count"}]
        }]},
        "Environment": "local", "Calls": 3
    });
    let event = json!({"do": "print", "line": line.to_string()});
    let url = format!("http://{}/invoke/f", host.address);
    let response = host
        .http
        .post(url)
        .body(event.to_string())
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    host.eventually("the metric is put", async |host| {
        !host.aws.with(|aws| aws.metrics.is_empty())
    })
    .await;
    let put = host.aws.with(|aws| aws.metrics[0].clone());
    assert_eq!(put["Namespace"], "N");
    assert_eq!(put["MetricData"][0]["Values"], json!([3.0]));
    let printed = host.aws.with(|aws| aws.log_lines["/aws/lambda/f"].clone());
    assert_eq!(printed, [line.to_string()]);
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_was_killed_leaves_nothing_after_reap() {
    let mut host = Running::start(Deployed::default()).await;
    let url = format!("http://{}/invoke/f", host.address);
    let body = host
        .http
        .post(url)
        .body("{}")
        .send()
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    let pid = serde_json::from_slice::<Value>(&body).unwrap()["pid"].to_string();
    // Its runtime requests the next event, and it is stopped.
    tokio::time::sleep(Duration::from_millis(100)).await;
    host.signal(Signal::SIGKILL);
    host.child.wait().unwrap();
    assert_eq!(processes(host.folder.path()), std::slice::from_ref(&pid));
    assert!(
        Path::new(&format!("/proc/{pid}")).exists(),
        "it outlives the host"
    );

    assert_eq!(reap(&host.folder.path().join("state")).unwrap(), 1);
    let until = Instant::now() + Duration::from_secs(5);
    while is_running(&pid) {
        assert!(Instant::now() < until, "process {pid} is still there");
    }
}

// At any point of the host's work: while it starts a process, before it has recorded it, while it
// freezes it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_is_killed_at_any_moment_leaves_nothing_after_reap() {
    const ROUNDS: u64 = 30;
    let mut aws = Aws::start(Deployed::default()).await;
    let mut folder = tempfile::tempdir().unwrap();
    let (mut left_behind, mut unrecorded) = (0, 0);
    for round in 0..ROUNDS {
        let mut host = Running::beside(aws, folder).await;
        let caller = Caller(
            host.http.clone(),
            format!("http://{}/invoke/f", host.address),
        );
        // Two instances are busy and outlive the host; the others come and go.
        let busy = [(); 2].map(|()| {
            let caller = caller.clone();
            tokio::spawn(async move { while caller.invoke(r#"{"ms": 60000}"#).await {} })
        });
        let churn = [(); 2].map(|()| tokio::spawn(churn(caller.clone())));
        tokio::time::sleep(Duration::from_millis(40 + round * 37 % 120)).await;
        host.signal(Signal::SIGKILL);
        host.child.wait().unwrap();
        for task in busy.into_iter().chain(churn) {
            task.abort();
        }
        (aws, folder) = (host.aws, host.folder);

        if round % 2 == 1 {
            // As if the host had been killed between the start and the record of each.
            for pid in processes(folder.path()) {
                fs::remove_file(folder.path().join("state/processes").join(pid)).unwrap();
            }
        }
        let recorded = processes(folder.path());
        let left = functions_of(folder.path());
        left_behind += left.len();
        unrecorded += left.iter().filter(|pid| !recorded.contains(pid)).count();
        reap(&folder.path().join("state")).unwrap();
        assert_eq!(functions_of(folder.path()), [] as [String; 0], "{round}");
    }
    assert!(left_behind > 0, "no host left anything behind");
    println!("{left_behind} processes left behind, {unrecorded} of them not recorded");
}

/// A client, and the URL that invokes the function.
#[derive(Clone)]
struct Caller(reqwest::Client, String);

impl Caller {
    /// Whether the host responded.
    async fn invoke(&self, event: &'static str) -> bool {
        self.0.post(&self.1).body(event).send().await.is_ok()
    }
}

/// Invokes the function in a loop; every other call ends its instance.
async fn churn(caller: Caller) {
    for event in ["{}", r#"{"do": "exit"}"#].into_iter().cycle() {
        if !caller.invoke(event).await {
            return;
        }
    }
}

/// The processes that run a function's code below `folder`, including frozen ones.
fn functions_of(folder: &Path) -> Vec<String> {
    let root = format!(
        "LAMBDA_TASK_ROOT={}",
        fs::canonicalize(folder).unwrap().display()
    );
    let pids = fs::read_dir("/proc").unwrap().flatten();
    pids.filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|pid| is_running(pid))
        .filter(|pid| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            String::from_utf8_lossy(&environment).contains(&root)
        })
        .collect()
}

fn is_running(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit_once(')').unwrap().1.trim().starts_with('Z'))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_taken_port_is_named() {
    let host = Running::start(Deployed::default()).await;
    let settings = host.folder.path().join("host.json");
    let mut config = HostConfig::read(&settings).unwrap();
    config.state_dir = host.folder.path().join("other");
    let error = lambda_host::serve(config).await.unwrap_err();
    let expected = format!("cannot listen on 127.0.0.1 port `{}`", host.address.port());
    assert_eq!(error.to_string(), expected);
    host.stop();
}
