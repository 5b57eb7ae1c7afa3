//! The deployed system over HTTP: every call of every user counted once, in both modes, and
//! nothing left behind.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_kinesis::primitives::Blob;
use domain::event::{EventType, UsageEvent};
use domain::id::EventId;
use domain::sample;
use domain::time::UnixMillis;
use serde_json::{Value, json};
use tests::place::{Ended, Place};

/// How long a count may take to be seen.
const PATIENCE: Duration = Duration::from_mins(1);

/// A deployed local system, ended with the test however that goes.
struct System {
    place: Place,
    outputs: Value,
    client: reqwest::Client,
}

impl System {
    fn deploy() -> Self {
        let place = Place::new();
        let outputs = deploy(&place);
        Self {
            place,
            outputs,
            client: reqwest::Client::new(),
        }
    }

    fn text(&self, pointer: &str) -> &str {
        self.outputs.pointer(pointer).unwrap().as_str().unwrap()
    }

    fn url(&self, path: &str) -> String {
        format!("{}/v1/{path}", self.text("/apiUrl"))
    }

    /// A new key of a user.
    fn key(&self, email: &str) -> Value {
        json_of(&self.place.run(&format!(
            "keys create --email {email} --plan enterprise --json"
        )))
    }

    /// Calls the API `calls` times, a few at once; says how often each status was answered.
    async fn call(&self, key: Option<&str>, calls: usize) -> BTreeMap<u16, usize> {
        let mut statuses = BTreeMap::new();
        let mut rest = calls;
        while rest > 0 {
            let together = rest.min(4);
            let answers = (0..together).map(|_| {
                let request = self.client.get(self.url("deadlines?country=AU"));
                match key {
                    Some(key) => request.header("x-api-key", key).send(),
                    None => request.send(),
                }
            });
            for answer in futures_util::future::join_all(answers).await {
                *statuses
                    .entry(answer.unwrap().status().as_u16())
                    .or_default() += 1;
            }
            rest -= together;
        }
        statuses
    }

    async fn analytics(&self, question: &str) -> Value {
        let request = self.client.get(self.url(&format!("analytics/{question}")));
        let answer = request
            .bearer_auth(self.text("/local/adminToken"))
            .send()
            .await
            .unwrap();
        let status = answer.status();
        let body: Value = answer.json().await.unwrap();
        assert_eq!(status, 200, "{question}: {body}");
        body
    }

    /// Asks until the answer has `expected` at `pointer`.
    async fn until(&self, question: &str, pointer: &str, expected: u64) -> Value {
        let start = Instant::now();
        loop {
            let body = self.analytics(question).await;
            let value = body.pointer(pointer).and_then(Value::as_u64).unwrap();
            if value == expected {
                return body;
            }
            assert!(
                value < expected,
                "{question}: {value} counted of {expected}: {body}"
            );
            assert!(
                start.elapsed() < PATIENCE,
                "{question}: {value} counted of {expected}: {body}"
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Asks until the points of a time series add up to `expected`.
    async fn until_sum(&self, question: &str, member: &str, expected: u64) {
        let start = Instant::now();
        loop {
            let body = self.analytics(question).await;
            let points = body["points"].as_array().unwrap();
            let sum: u64 = points
                .iter()
                .map(|point| point[member].as_u64().unwrap())
                .sum();
            if sum == expected {
                return;
            }
            let waits = sum < expected && start.elapsed() < PATIENCE;
            assert!(
                waits,
                "{question}: {member} add up to {sum}, expected {expected}: {body}"
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn sdk(&self) -> aws_config::SdkConfig {
        aws_config::defaults(aws_config::BehaviorVersion::latest())
            .endpoint_url(self.text("/local/awsEndpoint"))
            .region("ap-south-1")
            .test_credentials()
            .load()
            .await
    }

    async fn put(&self, records: &[Vec<u8>]) {
        let stream = aws_sdk_kinesis::Client::new(&self.sdk().await);
        for record in records {
            let put = stream
                .put_record()
                .stream_name("complical-usage-stream-local");
            let put = put
                .partition_key("somebody")
                .data(Blob::new(record.clone()));
            put.send().await.unwrap();
        }
    }

    async fn set_aside(&self) -> Vec<Vec<u8>> {
        let tables = aws_sdk_dynamodb::Client::new(&self.sdk().await);
        let query = tables.query().table_name("complical-analytics-local");
        let query = query.key_condition_expression("PK = :pk");
        let query = query.expression_attribute_values(":pk", AttributeValue::S("ERRORS".into()));
        let items = query.send().await.unwrap().items.unwrap();
        let payload = |item: &std::collections::HashMap<String, AttributeValue>| {
            item["payload"].as_b().unwrap().as_ref().to_vec()
        };
        items.iter().map(payload).collect()
    }
}

impl Drop for System {
    fn drop(&mut self) {
        let ended = self.place.run("destroy --yes");
        if !std::thread::panicking() {
            assert_eq!(ended.code, Some(0), "{ended:#?}");
        }
    }
}

fn deploy(place: &Place) -> Value {
    json_of(&place.run("deploy --yes --json"))
}

fn json_of(ended: &Ended) -> Value {
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    serde_json::from_str(&ended.stdout).unwrap()
}

/// A present event of `ann@example.com` that no call made.
fn event(number: u64) -> UsageEvent {
    let now = UnixMillis::from(jiff::Timestamp::now());
    let mut event = sample::event(number, "ann@example.com", EventType::ApiCall, now);
    let mut random = [7; 10];
    random[9] = u8::try_from(number).unwrap();
    event.id = EventId::mint(now.0.unsigned_abs(), random);
    event
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_of_every_user_is_counted_once() {
    let system = System::deploy();
    assert_eq!(system.text("/mode"), "stream");
    let calls: BTreeMap<&str, usize> = BTreeMap::from([
        ("ann@example.com", 240),
        ("bob+sales@example.com", 120),
        ("cem@example.com", 90),
        ("dee@example.com", 49),
        ("eve@example.com", 1),
    ]);
    for (email, calls) in &calls {
        let key = system.key(email);
        let statuses = system.call(key["key"].as_str(), *calls).await;
        assert_eq!(statuses, BTreeMap::from([(200, *calls)]));
    }
    let refused = [None, Some("complical_nonsense"), Some("nonsense")];
    for key in refused {
        assert_eq!(system.call(key, 3).await, BTreeMap::from([(401, 3)]));
    }

    let total: usize = calls.values().sum();
    assert_eq!(total, 500);
    for (email, calls) in &calls {
        let question = format!("user-stats?email={}", email.replace('+', "%2B"));
        let stats = system.until(&question, "/totalCalls", *calls as u64).await;
        assert_eq!(
            stats["methods"],
            json!([{"method": "GET", "totalCalls": calls}])
        );
        assert_eq!(
            stats["endpoints"],
            json!([{"endpoint": "/v1/deadlines", "totalCalls": calls}])
        );
        assert_eq!(stats["currentPeriod"]["calls"], json!(calls));
    }
    system
        .until_sum(
            "timeseries?granularity=minute&duration=1h",
            "totalCalls",
            500,
        )
        .await;
    system
        .until_sum("timeseries?granularity=hour&duration=1h", "totalCalls", 500)
        .await;
    system
        .until_sum("timeseries?granularity=day&duration=1d", "totalCalls", 500)
        .await;
    system
        .until_sum(
            "timeseries?granularity=minute&duration=1h",
            "authFailures",
            9,
        )
        .await;
    let realtime = system.analytics("realtime").await;
    assert_eq!(
        realtime["suspiciousIps"][0]["authFailures"], 9,
        "{realtime}"
    );

    // What a producer puts twice counts once; what is no event is kept as it came.
    let extra = event(1).to_json();
    let poison = b"\xffnot an event".to_vec();
    system
        .put(&[extra.clone(), poison.clone(), extra, event(2).to_json()])
        .await;
    system
        .until("user-stats?email=ann@example.com", "/totalCalls", 242)
        .await;
    assert_eq!(system.set_aside().await, [poison]);

    let again = system.place.run("deploy");
    assert_eq!(again.code, Some(0), "{again:#?}");
    assert!(again.stderr.contains("nothing changed"), "{again:#?}");
    system
        .until("user-stats?email=ann@example.com", "/totalCalls", 242)
        .await;

    let traffic = json_of(&system.place.run("traffic --rps 40 --duration 5s --json"));
    assert_eq!(traffic["sent"], 200, "{traffic}");
    assert_eq!(
        (&traffic["counted"], &traffic["missing"], &traffic["extra"]),
        (&json!(200), &json!(0), &json!(0))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn modes_change_and_counts_stay() {
    let mut system = System::deploy();
    let key = system.key("ann@example.com");
    let question = "user-stats?email=ann@example.com";
    let secret = key["key"].as_str().unwrap().to_owned();
    let mut calls = 0;
    for (enabled, mode) in [
        ("true", "stream"),
        ("false", "synchronous"),
        ("true", "stream"),
    ] {
        system.place.set("ENABLE_KINESIS_ANALYTICS", enabled);
        system.outputs = deploy(&system.place);
        assert_eq!(system.text("/mode"), mode);
        assert_eq!(
            system.call(Some(&secret), 30).await,
            BTreeMap::from([(200, 30)])
        );
        calls += 30;
        system.until(question, "/totalCalls", calls).await;
    }
    // Series are made of what the stream brought; the 30 calls between were counted without it.
    let days = "timeseries?granularity=day&duration=1d&email=ann@example.com";
    system.until_sum(days, "totalCalls", calls - 30).await;

    let id = key["id"].as_str().unwrap();
    json_of(&system.place.run(&format!("keys revoke {id} --yes --json")));
    let revoked = Instant::now();
    while system.call(Some(&secret), 1).await.contains_key(&200) {
        assert!(
            revoked.elapsed() < Duration::from_secs(30),
            "a revoked key is let through"
        );
        tokio::time::sleep(Duration::from_secs(1)).await;
    }

    let kept = json_of(&system.place.run("status --json"));
    assert_eq!(kept["mode"], "stream", "{kept}");
    let ended = system.place.run("destroy --yes");
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let endpoint = system.text("/local/awsEndpoint");
    assert!(
        system.client.get(endpoint).send().await.is_err(),
        "the local AWS still answers"
    );
    assert!(
        system
            .client
            .get(system.url("deadlines"))
            .send()
            .await
            .is_err()
    );
    let again = system.place.run("destroy --yes");
    assert_eq!(again.code, Some(0), "{again:#?}");
    assert!(again.stderr.contains("nothing is deployed"), "{again:#?}");
}
