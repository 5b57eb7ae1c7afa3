//! A proxy between the functions and the embedded AWS: it forwards every call, and makes some of
//! the calls to the tables and the stream fail.
//!
//! It remembers each event that the stream accepted, and puts every tenth record again, as a
//! producer does that lost the response.
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Response, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::event::UsageEvent;
use domain::id::EventId;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::call::{Answer, Call};
use crate::faults::random::Random;

/// One call in this many fails.
const FAILS: u64 = 20;
/// One record in this many is put again.
const AGAIN: u64 = 10;

/// The fate of a failing call.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// It is refused before it takes effect.
    Refused,
    /// It is throttled before it takes effect.
    Throttled,
    /// It takes effect, and its response is lost.
    AnswerLost,
}

/// The traffic through the proxy.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Calls to the tables and the stream.
    pub calls: AtomicU64,
    /// Calls that were refused.
    pub refused: AtomicU64,
    /// Calls that took effect and lost their response.
    pub lost: AtomicU64,
    /// Records that the stream accepted once more.
    pub again: AtomicU64,
}

/// An event that the stream accepted.
#[derive(Debug, Clone)]
pub struct Taken {
    /// The event.
    pub event: UsageEvent,
    /// The shard that it entered first.
    pub shard: String,
    /// Its position there.
    pub sequence_number: String,
}

struct Between {
    aws: String,
    stream: Option<String>,
    client: reqwest::Client,
    random: Mutex<Random>,
    fails: AtomicBool,
    records: AtomicU64,
    traffic: Traffic,
    taken: Mutex<BTreeMap<EventId, Taken>>,
}

/// The proxy, which ends when dropped.
pub struct Proxy {
    address: String,
    between: Arc<Between>,
    serving: JoinHandle<()>,
}

impl Proxy {
    /// A proxy in front of `aws`, and in front of `stream` for the stream alone if that is
    /// elsewhere.
    pub async fn start(aws: &str, stream: Option<String>, seed: u64) -> Self {
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_mins(1))
            .build();
        let between = Arc::new(Between {
            aws: aws.trim_end_matches('/').to_owned(),
            stream,
            client: client.unwrap(),
            random: Mutex::new(Random::new(seed)),
            fails: AtomicBool::new(false),
            records: AtomicU64::new(0),
            traffic: Traffic::default(),
            taken: Mutex::default(),
        });
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new()
            .fallback(serve)
            .with_state(Arc::clone(&between));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            address,
            between,
            serving,
        }
    }

    /// The address of the proxy.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Switches failures on or off.
    pub fn fail(&self, fails: bool) {
        self.between.fails.store(fails, Ordering::Relaxed);
    }

    /// The traffic through the proxy.
    pub fn traffic(&self) -> &Traffic {
        &self.between.traffic
    }

    /// Every event that the stream accepted.
    pub fn taken(&self) -> Vec<Taken> {
        let taken = self.between.taken.lock().unwrap();
        taken.values().cloned().collect()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(State(between): State<Arc<Between>>, request: Request) -> Response<Body> {
    let mut call = Call::read(request).await;
    let target = call.header("x-amz-target").to_owned();
    let upstream = match &between.stream {
        Some(stream) if target.starts_with("Kinesis_") => stream,
        _ => &between.aws,
    };
    // A signed call has a date, and even a service that checks no signature may require it.
    call.headers
        .entry("x-amz-date")
        .or_insert(HeaderValue::from_static("20260101T000000Z"));
    let is_put = target.ends_with(".PutRecord");
    let fault = if is_put || target.starts_with("DynamoDB_20120810.") {
        between.decide()
    } else {
        None
    };
    let traffic = &between.traffic;
    match fault {
        Some(Fault::Refused) => {
            traffic.refused.fetch_add(1, Ordering::Relaxed);
            return error(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError");
        }
        Some(Fault::Throttled) => {
            traffic.refused.fetch_add(1, Ordering::Relaxed);
            let code = "ProvisionedThroughputExceededException";
            return error(StatusCode::BAD_REQUEST, code);
        }
        Some(Fault::AnswerLost) | None => {}
    }
    let Some(answer) = call.forward(&between.client, upstream).await else {
        return error(StatusCode::BAD_GATEWAY, "Unreachable");
    };
    if is_put && answer.status.is_success() {
        between.took(&call, &answer, upstream).await;
    }
    if matches!(fault, Some(Fault::AnswerLost)) {
        traffic.lost.fetch_add(1, Ordering::Relaxed);
        return error(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable");
    }
    answer.into()
}

impl Between {
    fn decide(&self) -> Option<Fault> {
        if !self.fails.load(Ordering::Relaxed) {
            return None;
        }
        self.traffic.calls.fetch_add(1, Ordering::Relaxed);
        let mut random = self.random.lock().unwrap();
        random.once_in(FAILS).then(|| {
            random.pick(&[
                Fault::Refused,
                Fault::Throttled,
                Fault::AnswerLost,
                Fault::AnswerLost,
            ])
        })
    }

    /// Remembers the event, and puts every tenth record again.
    async fn took(&self, call: &Call, answer: &Answer, upstream: &str) {
        let (answered, put) = (answer.json(), call.input());
        let text = |of: &Value, name: &str| of.get(name).and_then(Value::as_str).map(str::to_owned);
        let data = STANDARD.decode(text(&put, "Data").unwrap()).unwrap();
        if let Ok(event) = UsageEvent::decode(&data) {
            let taken = Taken {
                shard: text(&answered, "ShardId").unwrap(),
                sequence_number: text(&answered, "SequenceNumber").unwrap(),
                event,
            };
            let mut all = self.taken.lock().unwrap();
            all.entry(taken.event.id).or_insert(taken);
        }
        let number = self.records.fetch_add(1, Ordering::Relaxed);
        if !number.is_multiple_of(AGAIN) {
            return;
        }
        let again = call.forward(&self.client, upstream).await;
        if again.is_some_and(|again| again.status.is_success()) {
            self.traffic.again.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn error(status: StatusCode, code: &str) -> Response<Body> {
    let body = format!(r#"{{"__type":"{code}","message":"injected"}}"#);
    Response::builder()
        .status(status)
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amzn-errortype", code)
        .body(Body::from(body))
        .unwrap()
}
