//! The authorizer's surroundings: the table of keys and the stream, simulated by one server that
//! responds at once unless the benchmark sets a delay.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{ConnectInfo, State},
    http::HeaderMap,
    routing::post,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use domain::{
    key::{ApiKey, KeyRecord},
    time::UnixMillis,
};
use lambda_host::FunctionSpec;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::mpsc};

const KEYS: &str = "keys";

/// The key that is in the table.
pub(crate) fn known() -> ApiKey {
    ApiKey::mint("complical", [7; 24])
}

/// The key whose look-up never gets a response: [`Cloud::stuck`] reports it.
pub(crate) fn sticking() -> ApiKey {
    ApiKey::mint("complical", [8; 24])
}

/// Key table and stream.
#[derive(Clone)]
pub(crate) struct Cloud {
    address: SocketAddr,
    held: Arc<Mutex<Held>>,
}

struct Held {
    put_takes: Duration,
    /// Ids of the events put, by the gateway's request ids.
    events: BTreeMap<String, BTreeSet<String>>,
    stuck: mpsc::UnboundedSender<SocketAddr>,
}

impl Cloud {
    /// Starts a cloud; the channel returns the addresses from which the sticking key is looked up.
    pub(crate) async fn start() -> io::Result<(Self, mpsc::UnboundedReceiver<SocketAddr>)> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let (sender, stuck) = mpsc::unbounded_channel();
        let cloud = Self {
            address: listener.local_addr()?,
            held: Arc::new(Mutex::new(Held {
                put_takes: Duration::ZERO,
                events: BTreeMap::new(),
                stuck: sender,
            })),
        };
        let router = Router::new()
            .route("/", post(serve))
            .with_state(cloud.clone());
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await });
        Ok((cloud, stuck))
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Delays the stream's responses from now on.
    pub(crate) fn set_put_takes(&self, put_takes: Duration) {
        self.held().put_takes = put_takes;
    }

    /// Ids of the events that were put, by the gateway's request ids.
    pub(crate) fn events(&self) -> BTreeMap<String, BTreeSet<String>> {
        self.held().events.clone()
    }

    /// The authorizer, with its code in `task_root` and this cloud around it.
    pub(crate) fn authorizer(&self, task_root: &Path, timeout: Duration) -> FunctionSpec {
        let variables = [
            ("AWS_ENDPOINT_URL", format!("http://{}", self.address)),
            ("ENVIRONMENT", "test".to_owned()),
            ("EVENT_SOURCE", "/complical/test/api".to_owned()),
            ("KEY_PREFIX", "complical".to_owned()),
            ("TRACKING_MODE", "stream".to_owned()),
            ("USAGE_STREAM", "stream".to_owned()),
            ("API_KEYS_TABLE", KEYS.to_owned()),
            ("RAW_RETENTION_DAYS", "90".to_owned()),
            ("API_USAGE_TABLE", "usage".to_owned()),
            ("ANALYTICS_TABLE", "analytics".to_owned()),
            ("METRICS_NAMESPACE", "CompliCal/API".to_owned()),
            ("ROUTES", String::new()),
            ("ATTACHED_ROUTES", String::new()),
            ("RESERVED_HEADERS", String::new()),
            ("DIMENSIONS", String::new()),
            (
                "PLANS",
                r#"{"free": {"ratePerSecond": 100000, "burst": 1000000}}"#.to_owned(),
            ),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value));
        function("authorizer", task_root, timeout, variables.into())
    }
}

/// A function with its code in `task_root`.
pub(crate) fn function(
    name: &str,
    task_root: &Path,
    timeout: Duration,
    environment: BTreeMap<String, String>,
) -> FunctionSpec {
    FunctionSpec {
        name: name.to_owned(),
        arn: format!("arn:aws:lambda:ap-south-1:000000000000:function:{name}"),
        handler: "bootstrap".to_owned(),
        timeout,
        memory_mb: 256,
        environment,
        code_sha256: String::new(),
        task_root: task_root.to_owned(),
        log_group: format!("/aws/lambda/{name}"),
        reserved_concurrency: None,
    }
}

/// The gateway's request to the authorizer for a call with `key`.
pub(crate) fn request(key: &ApiKey, request_id: &str) -> Value {
    json!({
        "type": "REQUEST",
        "methodArn": "arn:aws:execute-api:ap-south-1:000000000000:api/test/GET/v1/deadlines",
        "resource": "/v1/deadlines",
        "path": "/v1/deadlines",
        "httpMethod": "GET",
        "headers": {"x-api-key": key.reveal(), "User-Agent": "curl/8.1"},
        "queryStringParameters": {"country": "AU"},
        "requestContext": {
            "stage": "test", "requestId": request_id, "identity": {"sourceIp": "192.0.2.1"}
        },
    })
}

/// DynamoDB and Kinesis, distinguished by the target that a request names.
async fn serve(
    State(cloud): State<Cloud>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Bytes,
) -> Json<Value> {
    let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
    let target = headers.get("x-amz-target");
    let answer = match target.and_then(|target| target.to_str().ok()) {
        Some("Kinesis_20131202.PutRecord") => {
            let takes = cloud.held().put_takes;
            if !takes.is_zero() {
                tokio::time::sleep(takes).await;
            }
            cloud.held().put(&asked);
            json!({"ShardId": "shardId-000000000000", "SequenceNumber": "1"})
        }
        Some("DynamoDB_20120810.GetItem") if asked.get("TableName") == Some(&KEYS.into()) => {
            let hash = asked.pointer("/Key/keyHash/S").and_then(Value::as_str);
            if hash == Some(&sticking().hash()) {
                // The program that started this may no longer be listening.
                let _ = cloud.held().stuck.send(from);
                std::future::pending::<()>().await;
            }
            if hash == Some(&known().hash()) {
                json!({"Item": item()})
            } else {
                json!({})
            }
        }
        // The tables that accept what the stream does not.
        _ => json!({}),
    };
    Json(answer)
}

impl Held {
    fn put(&mut self, asked: &Value) {
        let data = asked.get("Data").and_then(Value::as_str);
        let event: Value = data
            .and_then(|data| STANDARD.decode(data).ok())
            .and_then(|data| serde_json::from_slice(&data).ok())
            .unwrap_or_default();
        let text = |pointer: &str| {
            let value = event.pointer(pointer).and_then(Value::as_str);
            value.unwrap_or_default().to_owned()
        };
        self.events
            .entry(text("/data/requestId"))
            .or_default()
            .insert(text("/id"));
    }
}

fn item() -> Value {
    let record = KeyRecord {
        key_hash: known().hash(),
        id: "key_1".to_owned(),
        prefix: known().shown().to_owned(),
        email: "ann@example.com".to_owned(),
        plan: "free".to_owned(),
        created_at: UnixMillis(1_795_363_445_000),
        expires_at: None,
        revoked_at: None,
        more: domain::key::KeyDetails::default(),
    };
    let attributes = record.attributes().into_iter();
    attributes
        .map(|(name, value)| (name.to_owned(), json!({"S": value})))
        .collect::<serde_json::Map<_, _>>()
        .into()
}
