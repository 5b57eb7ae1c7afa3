//! The deployed local system, as suites see it over HTTP.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a test fails by panicking"
)]

use std::collections::{BTreeMap, HashMap};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_lambda::types::Environment;
use domain::access_log;
use domain::event::{EventType, UsageEvent};
use domain::gateway::Gateway;
use domain::id::EventId;
use domain::names::{Function, Names, context};
use domain::sample;
use domain::time::UnixMillis;
use serde_json::Value;

use crate::place::{Ended, Place};
use crate::strict::Strict;

/// How long a count may take to appear.
const PATIENCE: Duration = Duration::from_mins(1);

/// The usage stream.
pub const STREAM: &str = "complical-usage-stream-local";
/// The analytics table.
pub const ANALYTICS_TABLE: &str = "complical-analytics-local";
/// The usage table.
pub const USAGE_TABLE: &str = "complical-api-usage-local";

/// A deployed local system, which ends with the test even if that fails.
pub struct System {
    /// The place it is deployed from.
    pub place: Place,
    /// The output of the last `deploy`.
    pub outputs: Value,
    /// The client for calls of the API.
    pub client: reqwest::Client,
    guard: Guard,
    /// What the functions' calls go through.
    pub strict: Strict,
}

/// Ends a system whose test cannot, because it was interrupted or killed. The process that ends it
/// waits for the end of its standard input, which closes when the test ends in any way.
struct Guard(Child);

impl Guard {
    fn of(place: &Place) -> Self {
        let destroy = place.command("destroy --yes");
        let mut guard = Command::new("sh");
        guard
            .args(["-c", r#"cat; "$@"; rm -rf -- "$0""#])
            .arg(place.dir())
            .arg(destroy.get_program())
            .args(destroy.get_args())
            // Not of the test's group, which the terminal interrupts as a whole.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        for (name, value) in destroy.get_envs() {
            match value {
                Some(value) => guard.env(name, value),
                None => guard.env_remove(name),
            };
        }
        Self(guard.spawn().unwrap())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // If it is killed before its input ends, it does nothing.
        let _killed = self.0.kill();
        let _status = self.0.wait();
    }
}

impl System {
    /// Deploys a system.
    pub fn deploy() -> Self {
        Self::deploy_from(Place::new())
    }

    /// Deploys a system with another file for `local`.
    pub fn deploy_as(environment: &str) -> Self {
        Self::deploy_from(Place::new().with_local(environment))
    }

    /// Deploys a system from a place.
    pub fn deploy_from(mut place: Place) -> Self {
        let strict = Strict::before(&mut place);
        let guard = Guard::of(&place);
        let outputs = deploy(&place);
        Self {
            place,
            outputs,
            client: reqwest::Client::new(),
            guard,
            strict,
        }
    }

    /// Ends the system in the same way as the end of a test that is killed and drops nothing.
    pub fn end_as_if_killed(&mut self) {
        drop(self.guard.0.stdin.take());
        let _status = self.guard.0.wait();
    }

    /// A text of the outputs.
    pub fn text(&self, pointer: &str) -> &str {
        self.outputs.pointer(pointer).unwrap().as_str().unwrap()
    }

    /// The URL of an API path.
    pub fn url(&self, path: &str) -> String {
        format!("{}/v1/{path}", self.text("/apiUrl"))
    }

    /// A new key of a user.
    pub fn key(&self, email: &str) -> Value {
        json_of(&self.place.run(&format!(
            "keys create --email {email} --plan enterprise --json"
        )))
    }

    /// Calls the API `calls` times, some concurrently. Returns how often each status occurred.
    pub async fn call(&self, key: Option<&str>, calls: usize) -> BTreeMap<u16, usize> {
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

    /// The analytics API's response to an admin.
    pub async fn analytics(&self, question: &str) -> Value {
        let (status, body) = self.ask(question).await;
        assert_eq!(status, 200, "{question}: {body}");
        body
    }

    /// Status and body of the analytics API's response to an admin.
    pub async fn ask(&self, question: &str) -> (u16, Value) {
        let request = self.client.get(self.url(&format!("analytics/{question}")));
        let answer = request
            .bearer_auth(self.text("/local/adminToken"))
            .send()
            .await
            .unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// Queries until the response has `expected` at `pointer`.
    pub async fn until(&self, question: &str, pointer: &str, expected: u64) -> Value {
        let start = Instant::now();
        loop {
            let body = self.analytics(question).await;
            // A list may still be empty.
            let value = body.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
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

    /// Queries until the points of a time series add up to `expected`.
    pub async fn until_sum(&self, question: &str, member: &str, expected: u64) {
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

    /// The configuration of clients of the embedded AWS.
    pub async fn sdk(&self) -> aws_config::SdkConfig {
        aws_config::defaults(aws_config::BehaviorVersion::latest())
            .endpoint_url(self.text("/local/awsEndpoint"))
            .region("ap-south-1")
            .test_credentials()
            .load()
            .await
    }

    /// Puts records onto the stream.
    pub async fn put(&self, records: &[Vec<u8>]) {
        let stream = aws_sdk_kinesis::Client::new(&self.sdk().await);
        for record in records {
            let put = stream.put_record().stream_name(STREAM);
            let put = put
                .partition_key("somebody")
                .data(Blob::new(record.clone()));
            put.send().await.unwrap();
        }
    }

    /// A user's hours in the usage table, added up.
    pub async fn hours(&self, email: &str) -> Hours {
        let mut sum = Hours::default();
        for item in self.hour_items(email).await {
            let number = |name: &str| item[name].as_n().unwrap().parse::<u64>().unwrap();
            sum.total_calls += number("totalCalls");
            sum.auth_failures += number("authFailures");
            sum.rate_limited += number("rateLimited");
            sum.units += number("units");
        }
        sum
    }

    /// A user's hours in the usage table.
    pub async fn hour_items(&self, email: &str) -> Vec<HashMap<String, AttributeValue>> {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let tables = aws_sdk_dynamodb::Client::new(&self.sdk().await);
        let query = tables.query().table_name(USAGE_TABLE).consistent_read(true);
        let query = query.key_condition_expression("PK = :user AND begins_with(SK, :hour)");
        let query = query
            .expression_attribute_values(":user", text(&format!("USER#{email}")))
            .expression_attribute_values(":hour", text("HOUR#"));
        let pages = query.into_paginator().items().send();
        pages.collect::<Result<Vec<_>, _>>().await.unwrap()
    }

    /// Every event of the journal, as `events` prints them.
    pub fn events(&self, options: &str) -> Vec<Value> {
        let printed = json_of(&self.place.run(&format!("events --json {options}")));
        printed["events"].as_array().unwrap().clone()
    }

    /// The payloads under `PK = ERRORS`.
    pub async fn set_aside(&self) -> Vec<Vec<u8>> {
        let tables = aws_sdk_dynamodb::Client::new(&self.sdk().await);
        let query = tables.query().table_name(ANALYTICS_TABLE);
        let query = query.key_condition_expression("PK = :pk");
        let query = query.expression_attribute_values(":pk", AttributeValue::S("ERRORS".into()));
        let items = query.send().await.unwrap().items.unwrap();
        let payload = |item: &std::collections::HashMap<String, AttributeValue>| {
            item["payload"].as_b().unwrap().as_ref().to_vec()
        };
        items.iter().map(payload).collect()
    }
}

/// The attributes of a user's hours in the usage table.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Hours {
    /// Accepted calls.
    pub total_calls: u64,
    /// Authentication failures.
    pub auth_failures: u64,
    /// Rate-limited calls.
    pub rate_limited: u64,
    /// Units of accepted calls.
    pub units: u64,
}

/// Changes of a deployed system without the deployer.
impl System {
    /// Deployed name of a function.
    pub fn function(function: Function) -> String {
        Names::new("complical", "CompliCal", "local").function(function)
    }

    /// Sets variables of a function, as its deployment would. Returns the previous ones.
    pub async fn set_variables(
        &self,
        function: Function,
        set: &[(&str, &str)],
    ) -> HashMap<String, String> {
        let functions = aws_sdk_lambda::Client::new(&self.sdk().await);
        let name = Self::function(function);
        let described = functions.get_function_configuration().function_name(&name);
        let before = described.send().await.unwrap().environment.unwrap();
        let before = before.variables.unwrap();
        let mut variables = before.clone();
        variables.extend(
            set.iter()
                .map(|(name, value)| ((*name).into(), (*value).into())),
        );
        self.replace_variables(function, variables).await;
        before
    }

    /// Gives a function exactly these variables.
    pub async fn replace_variables(&self, function: Function, all: HashMap<String, String>) {
        let functions = aws_sdk_lambda::Client::new(&self.sdk().await);
        functions
            .update_function_configuration()
            .function_name(Self::function(function))
            .environment(Environment::builder().set_variables(Some(all)).build())
            .send()
            .await
            .unwrap();
        self.refresh().await;
    }

    /// Makes a function's mapping give records up after this many retries; -1 for never.
    pub async fn set_retries(&self, function: Function, retries: i32) {
        let functions = aws_sdk_lambda::Client::new(&self.sdk().await);
        let listed = functions.list_event_source_mappings();
        let listed = listed.function_name(Self::function(function));
        let mappings = listed.send().await.unwrap().event_source_mappings.unwrap();
        let uuid = mappings[0].uuid.clone().unwrap();
        let update = functions.update_event_source_mapping().uuid(uuid);
        update.maximum_retry_attempts(retries).send().await.unwrap();
        self.refresh().await;
    }

    /// Address of the host of functions.
    pub fn host(&self) -> &str {
        self.text("/apiUrl").strip_suffix("/local").unwrap()
    }

    /// Makes the host read the deployment again.
    pub async fn refresh(&self) {
        let url = format!("{}/_host/refresh", self.host());
        let answer = self.client.post(url).send().await.unwrap();
        assert!(
            answer.status().is_success(),
            "{}",
            answer.text().await.unwrap()
        );
    }

    /// The host's status of a function's mapping.
    pub async fn mapping(&self, function: Function) -> Value {
        let url = format!("{}/_host/status", self.host());
        let status: Value = self
            .client
            .get(url)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        let name = Self::function(function);
        let mut mappings = status["mappings"].as_array().unwrap().iter();
        mappings
            .find(|mapping| mapping["function"] == name.as_str())
            .unwrap()
            .clone()
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

/// Deploys from a place and returns the outputs.
pub fn deploy(place: &Place) -> Value {
    json_of(&place.run("deploy --yes --json"))
}

/// The JSON of a command that succeeded.
#[track_caller]
pub fn json_of(ended: &Ended) -> Value {
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    serde_json::from_str(&ended.stdout).unwrap()
}

/// A current event of `ann@example.com` without a call.
pub fn event(number: u64) -> UsageEvent {
    let now = UnixMillis::from(jiff::Timestamp::now());
    let mut event = sample::event(number, "ann@example.com", EventType::ApiCall, now);
    let mut random = [7; 10];
    random[9] = u8::try_from(number).unwrap();
    event.id = EventId::mint(now.0.unsigned_abs(), random);
    event
}

/// The gateway's line of a call that got 200 after 40 ms.
pub fn log_line(event: &UsageEvent) -> String {
    let data = &event.data;
    access_log::write(Gateway::Rest, |member| match member {
        access_log::REQUEST_TIME => event.time.0.to_string(),
        access_log::IP => data.ip.clone(),
        access_log::METHOD => data.method.clone(),
        access_log::RESOURCE_PATH => data.endpoint.clone(),
        access_log::STATUS | access_log::AUTHORIZER_STATUS => "200".to_owned(),
        access_log::RESPONSE_LATENCY => "40".to_owned(),
        context::EVENT_ID => event.id.to_string(),
        context::MODE => data.mode.to_string(),
        context::EMAIL => event.subject.to_string(),
        _ => access_log::ABSENT.to_owned(),
    })
}
