//! Lambda and AWS as the function under test sees them, and a record of its requests.

use std::collections::HashMap;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{any, get, post};
use axum::{Json, Router};
use base64::Engine as _;
use domain::event::UsageEvent;
use domain::key::KeyRecord;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use runtime::clock;
use serde_json::{Value, json};
use tokio::process::{Child, Command};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{sleep, timeout};

const PATIENCE: Duration = Duration::from_secs(20);
const KEYS: &str = "complical-api-keys-test";
const USAGE: &str = "complical-api-usage-test";

/// A request by the function, or the response to it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Happened {
    /// It looked a key up.
    LookedUp,
    /// It responded to an invocation.
    Answered(Value),
    /// It failed an invocation.
    Failed(Value),
    /// It put an event into the stream.
    Put(Box<UsageEvent>),
    /// The stream accepted the event.
    PutAnswered,
    /// It wrote an item.
    Written {
        /// The table.
        table: String,
        /// The item.
        item: Value,
    },
    /// It changed an item.
    Updated {
        /// The table.
        table: String,
    },
    /// The extension requested its next event.
    ExtensionDone,
    /// The runtime requested its next invocation.
    RuntimeDone,
}

/// How Lambda and AWS behave.
pub(crate) struct Behaviour {
    pub(crate) key: Option<KeyRecord>,
    pub(crate) extensions: bool,
    pub(crate) put_takes: Duration,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            key: None,
            extensions: true,
            put_takes: Duration::from_millis(30),
        }
    }
}

struct World {
    behaviour: Behaviour,
    down: Mutex<bool>,
    happened: UnboundedSender<Happened>,
    invocations: tokio::sync::Mutex<UnboundedReceiver<(String, String)>>,
    extension_events: tokio::sync::Mutex<UnboundedReceiver<String>>,
}

impl World {
    fn record(&self, happened: Happened) {
        // The test may be over.
        let _ = self.happened.send(happened);
    }

    fn is_down(&self) -> bool {
        *self.down.lock().unwrap()
    }
}

/// One instance of the function.
pub(crate) struct Lambda {
    function: Child,
    world: Arc<World>,
    happened: UnboundedReceiver<Happened>,
    invoke_runtime: UnboundedSender<(String, String)>,
    invoke_extension: UnboundedSender<String>,
    invocations: u32,
}

/// The outcome of an instance.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) happened: Vec<Happened>,
}

impl Output {
    /// The values of a metric, in order.
    pub(crate) fn metrics(&self, name: &str) -> Vec<u64> {
        let lines = self.stdout.lines().map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            assert_eq!(line["Environment"], "test");
            line
        });
        lines.filter_map(|line| line[name].as_u64()).collect()
    }

    /// The log line with this message.
    pub(crate) fn line(&self, message: &str) -> Value {
        let mut lines = self
            .stderr
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        let line = lines.find(|line| line["message"] == message);
        line.unwrap_or_else(|| panic!("no line `{message}`: {}", self.stderr))
    }

    /// The log lines of level error.
    pub(crate) fn errors(&self) -> Vec<&str> {
        let lines = self.stderr.lines();
        lines.filter(|line| line.contains(r#""ERROR""#)).collect()
    }
}

impl Lambda {
    /// Starts the function with its usual variables, then `variables`.
    pub(crate) async fn start(behaviour: Behaviour, variables: &[(&str, &str)]) -> Self {
        let (recorder, happened) = unbounded_channel();
        let (invoke_runtime, invocations) = unbounded_channel();
        let (invoke_extension, extension_events) = unbounded_channel();
        let world = Arc::new(World {
            behaviour,
            down: Mutex::new(false),
            happened: recorder,
            invocations: invocations.into(),
            extension_events: extension_events.into(),
        });
        let address = serve(Arc::clone(&world)).await;
        let function = Command::new(env!("CARGO_BIN_EXE_authorizer"))
            .env_clear()
            .envs(usual_variables(&address))
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self {
            function,
            world,
            happened,
            invoke_runtime,
            invoke_extension,
            invocations: 0,
        }
    }

    /// From now on no table and no stream responds.
    pub(crate) fn set_down(&self) {
        *self.world.down.lock().unwrap() = true;
    }

    /// Invokes the function with a request that presents `key`.
    pub(crate) fn begin(&mut self, key: &str) {
        self.invocations += 1;
        let id = format!("invocation-{}", self.invocations);
        self.invoke_extension.send(id.clone()).unwrap();
        self.invoke_runtime.send((id, request(key))).unwrap();
    }

    /// Invokes the function and waits until Lambda would freeze it. Returns what happened in the
    /// meantime.
    pub(crate) async fn invoke(&mut self, key: &str) -> Vec<Happened> {
        if self.invocations == 0 {
            self.idle().await;
        }
        self.begin(key);
        self.idle().await
    }

    /// Waits until runtime and extension request their next event.
    async fn idle(&mut self) -> Vec<Happened> {
        let mut happened = self.until(|it| *it == Happened::RuntimeDone).await;
        let done = happened.contains(&Happened::ExtensionDone);
        if self.world.behaviour.extensions && !done {
            happened.extend(self.until(|it| *it == Happened::ExtensionDone).await);
        }
        happened
    }

    /// Waits until the wanted thing happens. Returns everything up to it.
    pub(crate) async fn until(&mut self, wanted: impl Fn(&Happened) -> bool) -> Vec<Happened> {
        let mut all = Vec::new();
        loop {
            let Ok(Some(happened)) = timeout(PATIENCE, self.happened.recv()).await else {
                panic!("it does not happen, only: {all:#?}");
            };
            all.push(happened);
            if all.last().is_some_and(&wanted) {
                return all;
            }
        }
    }

    /// Asks the function to shut down.
    pub(crate) async fn terminate(self) -> Output {
        let id = i32::try_from(self.function.id().unwrap()).unwrap();
        kill(Pid::from_raw(id), Signal::SIGTERM).unwrap();
        self.ended().await
    }

    /// Waits until the function ends.
    pub(crate) async fn ended(mut self) -> Output {
        let output = timeout(PATIENCE, self.function.wait_with_output()).await;
        let output = output.unwrap().unwrap();
        let mut happened = Vec::new();
        while let Ok(it) = self.happened.try_recv() {
            happened.push(it);
        }
        Output {
            status: output.status,
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
            happened,
        }
    }
}

fn usual_variables(address: &str) -> HashMap<&'static str, String> {
    let endpoint = format!("http://{address}");
    let pairs = [
        ("AWS_LAMBDA_RUNTIME_API", address),
        ("AWS_LAMBDA_FUNCTION_NAME", "authorizer"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ("AWS_ENDPOINT_URL", &endpoint),
        ("AWS_REGION", "ap-south-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("ENVIRONMENT", "test"),
        ("EVENT_SOURCE", "/complical/test/api"),
        ("KEY_PREFIX", "complical"),
        ("API_USAGE_TABLE", USAGE),
        ("TRACKING_MODE", "stream"),
        ("USAGE_STREAM", "complical-usage-stream-test"),
        ("API_KEYS_TABLE", KEYS),
        ("RAW_RETENTION_DAYS", "90"),
        ("ANALYTICS_TABLE", "complical-analytics-test"),
        ("METRICS_NAMESPACE", "CompliCal/API"),
        ("ROUTES", "1 GET /users/{id} 1"),
        ("ATTACHED_ROUTES", ""),
        ("RESERVED_HEADERS", ""),
        ("DIMENSIONS", ""),
        ("PLANS", r#"{"free": {"ratePerSecond": 5, "burst": 10}}"#),
    ];
    pairs.map(|(name, value)| (name, value.to_owned())).into()
}

fn request(key: &str) -> String {
    json!({
        "type": "REQUEST",
        "methodArn": "arn:aws:execute-api:ap-south-1:000000000000:api/test/GET/v1/deadlines",
        "resource": "/v1/deadlines",
        "path": "/v1/deadlines",
        "httpMethod": "GET",
        "headers": {"x-api-key": key, "User-Agent": "curl/8.1"},
        "queryStringParameters": {"country": "AU"},
        "requestContext": {"stage": "test", "identity": {"sourceIp": "192.0.2.1"}},
    })
    .to_string()
}

async fn serve(world: Arc<World>) -> String {
    let router = Router::new()
        .route("/2018-06-01/runtime/invocation/next", get(next_invocation))
        .route("/2018-06-01/runtime/invocation/{id}/response", post(answer))
        .route("/2018-06-01/runtime/invocation/{id}/error", post(failure))
        .route("/2020-01-01/extension/register", post(register))
        .route("/2020-01-01/extension/event/next", get(next_event))
        .route("/", any(aws))
        .with_state(world);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}

fn deadline() -> i64 {
    clock::now().plus_millis(10_000).0
}

async fn next_invocation(State(world): State<Arc<World>>) -> impl IntoResponse {
    world.record(Happened::RuntimeDone);
    let invocation = world.invocations.lock().await.recv().await;
    let (id, body) = invocation.unwrap_or_default();
    let arn = "arn:aws:lambda:ap-south-1:000000000000:function:authorizer";
    let headers = [
        ("Lambda-Runtime-Aws-Request-Id", id),
        ("Lambda-Runtime-Deadline-Ms", deadline().to_string()),
        ("Lambda-Runtime-Invoked-Function-Arn", arn.to_owned()),
    ];
    (headers, body)
}

async fn answer(
    State(world): State<Arc<World>>,
    Path(_id): Path<String>,
    body: String,
) -> StatusCode {
    world.record(Happened::Answered(serde_json::from_str(&body).unwrap()));
    StatusCode::ACCEPTED
}

async fn failure(
    State(world): State<Arc<World>>,
    Path(_id): Path<String>,
    body: String,
) -> StatusCode {
    world.record(Happened::Failed(serde_json::from_str(&body).unwrap()));
    StatusCode::ACCEPTED
}

async fn register(State(world): State<Arc<World>>) -> impl IntoResponse {
    let status = if world.behaviour.extensions {
        StatusCode::OK
    } else {
        StatusCode::NOT_FOUND
    };
    (status, [("Lambda-Extension-Identifier", "ext-1")], "{}")
}

async fn next_event(State(world): State<Arc<World>>) -> Json<Value> {
    world.record(Happened::ExtensionDone);
    let id = world.extension_events.lock().await.recv().await;
    Json(json!({"eventType": "INVOKE", "requestId": id, "deadlineMs": deadline()}))
}

/// Kinesis and DynamoDB, distinguished by the target that a request names.
async fn aws(
    State(world): State<Arc<World>>,
    headers: HeaderMap,
    body: String,
) -> (StatusCode, Json<Value>) {
    if world.is_down() {
        let refusal = json!({"__type": "InternalServerError"});
        return (StatusCode::INTERNAL_SERVER_ERROR, Json(refusal));
    }
    let request: Value = serde_json::from_str(&body).unwrap();
    let target = headers["x-amz-target"].to_str().unwrap();
    let answer = match target {
        "Kinesis_20131202.PutRecord" => {
            let data = base64::engine::general_purpose::STANDARD
                .decode(request["Data"].as_str().unwrap())
                .unwrap();
            let event = UsageEvent::decode(&data).unwrap();
            world.record(Happened::Put(Box::new(event)));
            sleep(world.behaviour.put_takes).await;
            world.record(Happened::PutAnswered);
            json!({"ShardId": "shardId-000000000000", "SequenceNumber": "1"})
        }
        "DynamoDB_20120810.GetItem" if request["TableName"] == KEYS => {
            let hash = request["Key"]["keyHash"]["S"].as_str().unwrap();
            let key = world.behaviour.key.as_ref();
            let key = key.filter(|key| key.key_hash == hash);
            if key.is_some() {
                world.record(Happened::LookedUp);
            }
            key.map_or_else(|| json!({}), |key| json!({"Item": item(key)}))
        }
        "DynamoDB_20120810.GetItem" if request["TableName"] == USAGE => json!({}),
        "DynamoDB_20120810.UpdateItem" => {
            world.record(Happened::Updated {
                table: request["TableName"].as_str().unwrap().to_owned(),
            });
            json!({"Attributes": {}})
        }
        "DynamoDB_20120810.PutItem" => {
            world.record(Happened::Written {
                table: request["TableName"].as_str().unwrap().to_owned(),
                item: request["Item"].clone(),
            });
            json!({})
        }
        other => panic!("the function calls `{other}`"),
    };
    (StatusCode::OK, Json(answer))
}

fn item(key: &KeyRecord) -> Value {
    let attributes = key.attributes().into_iter();
    attributes
        .map(|(name, value)| (name.to_owned(), json!({"S": value})))
        .collect::<serde_json::Map<_, _>>()
        .into()
}
