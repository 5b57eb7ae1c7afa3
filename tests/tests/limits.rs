//! Keys, plans, limits and alerts of the deployed system: three plans over HTTP, and an endpoint
//! that verifies its deliveries with the reference library of Standard Webhooks, in another
//! language; and what is exported and reported of months that are over.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::{Value, json};
use tests::system::{System, json_of};
use tests::tools::Tools;

mod history;

/// How long a change may take to appear.
const PATIENCE: Duration = Duration::from_mins(1);
/// The time within which a change of a key or a block takes effect everywhere.
const EFFECTIVE: Duration = Duration::from_secs(30);

const PLANS: &str = "
plans:
  tight: {ratePerSecond: 2, burst: 4, timezone: Asia/Kolkata}
  metered: {ratePerSecond: 4, burst: 40, monthlyQuota: 20, alertsPercent: [50, 100]}
  exact: {ratePerSecond: 100, burst: 200, monthlyQuota: 15, alertsPercent: [100], limitMode: hard}
  enterprise: {ratePerSecond: 1000, burst: 2000}
";

/// A delivery as an endpoint receives it.
#[derive(Debug, Clone)]
struct Delivery {
    headers: BTreeMap<String, String>,
    body: String,
}

/// An endpoint that refuses its first delivery.
#[derive(Clone, Default)]
struct Endpoint {
    tries: Arc<Mutex<u32>>,
    got: Arc<Mutex<Vec<Delivery>>>,
}

impl Endpoint {
    async fn listen(&self) -> String {
        let endpoint = self.clone();
        let take = move |headers: HeaderMap, body: String| {
            let endpoint = endpoint.clone();
            async move { endpoint.take(&headers, body) }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let router = Router::new().route("/hook", post(take));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        url
    }

    fn take(&self, headers: &HeaderMap, body: String) -> StatusCode {
        let mut tries = self.tries.lock().unwrap();
        *tries += 1;
        if *tries == 1 {
            return StatusCode::SERVICE_UNAVAILABLE;
        }
        let text = |value: &axum::http::HeaderValue| value.to_str().unwrap().to_owned();
        let headers = headers
            .iter()
            .map(|(name, value)| (name.to_string(), text(value)));
        let headers = headers.collect();
        self.got.lock().unwrap().push(Delivery { headers, body });
        StatusCode::OK
    }

    fn got(&self) -> Vec<Delivery> {
        self.got.lock().unwrap().clone()
    }
}

fn environment(webhook: &str) -> String {
    let root = tests::synthesised::root();
    let usual = std::fs::read_to_string(root.join("stacks/environments/local.yaml")).unwrap();
    let (before, rest) = usual.split_once("\nplans:\n").unwrap();
    let (_, after) = rest.split_once("\nauth:\n").unwrap();
    format!(
        "{before}\n{PLANS}\nwebhooks:\n  - {{name: billing, url: '{webhook}', allowPrivate: true}}\nreports: {{monthly: true}}\nauth:\n{after}"
    )
}

/// A new key of a user, on a plan.
fn key(system: &System, email: &str, plan: &str) -> Value {
    json_of(
        &system
            .place
            .run(&format!("keys create --email {email} --plan {plan} --json")),
    )
}

/// Makes one call and returns the status, the headers and the body.
async fn call(system: &System, key: &str) -> (u16, HeaderMap, Value) {
    let request = system.client.get(system.url("deadlines?country=AU"));
    let answer = request.header("x-api-key", key).send().await.unwrap();
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    (status, headers, answer.json().await.unwrap())
}

/// Calls until a status occurs. Returns how long that took.
async fn until(system: &System, key: &str, expected: u16) -> Duration {
    let start = Instant::now();
    loop {
        let (status, ..) = call(system, key).await;
        if status == expected {
            return start.elapsed();
        }
        assert!(
            start.elapsed() < PATIENCE,
            "{status} is answered, not {expected}"
        );
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn plans_limit_alert_and_bill_over_http() {
    let endpoint = Endpoint::default();
    let url = endpoint.listen().await;
    let system = System::deploy_as(&environment(&url));
    rates(&system).await;
    problems(&system).await;
    quotas(&system).await;
    alerts(&system, &endpoint).await;
    keys(&system).await;
    blocks(&system).await;
    a_plan_is_drawn(&system).await;
    history::reports(&system).await;
    history::scheduled_reports(&system, &endpoint).await;
}

async fn rates(system: &System) {
    let ann = key(system, "ann@example.com", "tight");
    let mut statuses: BTreeMap<u16, u64> = BTreeMap::new();
    let mut retry_after = 0;
    for _ in 0..20 {
        let (status, headers, body) = call(system, text(&ann, "key")).await;
        *statuses.entry(status).or_default() += 1;
        if status == 429 {
            assert_eq!(body["error"], "rateLimited", "{body}");
            retry_after = headers["retry-after"].to_str().unwrap().parse().unwrap();
            // Three other instances may have accepted one call each, and may report another one
            // late.
            assert!((1..=5).contains(&retry_after), "{retry_after}");
            assert_eq!(
                headers["ratelimit"],
                format!("\"rate\";r=0;t={retry_after}")
            );
            assert_eq!(headers["ratelimit-policy"], "\"rate\";q=4;w=2");
        }
    }
    let (accepted, refused) = (statuses[&200], statuses[&429]);
    assert!(accepted >= 4 && refused >= 1, "{statuses:?}");
    tokio::time::sleep(Duration::from_secs(retry_after)).await;
    assert_eq!(
        call(system, text(&ann, "key")).await.0,
        200,
        "Retry-After is true"
    );
    let stats = "user-stats?email=ann@example.com";
    let counted = system.until(stats, "/totalCalls", accepted + 1).await;
    assert_eq!(counted["rateLimited"], refused, "{counted}");
    let events = system.events("--from 10m --user ann@example.com");
    let limited: Vec<&Value> = events
        .iter()
        .filter(|event| event["type"] == "API_RATE_LIMITED")
        .collect();
    assert_eq!(limited.len() as u64, refused);
    assert!(
        limited
            .iter()
            .all(|event| event["data"]["reason"] == "rate"),
        "{limited:?}"
    );
}

/// Every kind of refusal, as problem details: of the gateway, of the authorizer, of a function.
async fn problems(system: &System) {
    let bob = key(system, "problem@example.com", "tight");
    for (path, key, status, error) in [
        ("deadlines?country=AU", "unknown", 401, "unauthorized"),
        ("nothing/here", "unknown", 404, "notFound"),
        ("keys", "unknown", 401, "unauthorized"),
        ("analytics/user-stats", "unknown", 401, "unauthorized"),
        (
            "deadlines?country=AU",
            text(&bob, "key"),
            429,
            "rateLimited",
        ),
    ] {
        let (mut headers, mut body) = (HeaderMap::new(), Value::Null);
        // More calls than the plan's rate and burst allow in the meantime.
        for _ in 0..40 {
            let request = system.client.get(system.url(path)).header("x-api-key", key);
            let asked = request.header("accept", "application/problem+json");
            let answer = asked.send().await.unwrap();
            headers = answer.headers().clone();
            let found = answer.status().as_u16();
            body = answer.json().await.unwrap();
            if found == status {
                break;
            }
            assert_eq!(found, 200, "{path}: {body}");
        }
        assert_eq!(
            headers["content-type"], "application/problem+json",
            "{path}"
        );
        assert_eq!(body["status"], status, "{path}: {body}");
        assert_eq!(body["error"], error, "{path}: {body}");
        assert!(
            body["detail"].is_string() && body["title"].is_string(),
            "{body}"
        );
        assert_eq!(body["message"], Value::Null, "{path}");
    }
}

async fn quotas(system: &System) {
    let exact = key(system, "exact@example.com", "exact");
    let other = key(system, "exact@example.com", "exact");
    let mut accepted = 0;
    for number in 0..24 {
        let key = if number % 2 == 0 { &exact } else { &other };
        let (status, headers, body) = call(system, text(key, "key")).await;
        accepted += u32::from(status == 200);
        if status == 429 {
            assert_eq!(body["error"], "quotaExceeded", "{body}");
            let retry_after: u64 = headers["retry-after"].to_str().unwrap().parse().unwrap();
            assert!((1..=31 * 86_400).contains(&retry_after));
        }
    }
    assert_eq!(accepted, 15, "a hard quota is exact, over both keys");
    let metered = key(system, "metered@example.com", "metered");
    let statuses = system.call(Some(text(&metered, "key")), 60).await;
    let accepted = statuses[&200];
    assert!((20..=20 + 5 * 4).contains(&accepted), "{statuses:?}");
}

/// The dashboard of a plan shows the calls of its users, and of no others.
async fn a_plan_is_drawn(system: &System) {
    let file = system.place.dir().join("plan.html");
    let command = format!(
        "dashboard --name plan-exact --json --out {}",
        file.display()
    );
    let start = Instant::now();
    loop {
        let drawn = json_of(&system.place.run(&command));
        let widgets = drawn["widgets"].as_array().unwrap();
        let sum = |title: &str| {
            let mut widgets = widgets.iter();
            let widget = widgets.find(|widget| widget["title"] == title).unwrap();
            widget["lines"][0]["sum"]
                .as_f64()
                .unwrap()
                .round()
                .to_string()
        };
        let figures = [
            sum("How many calls do its users make?"),
            sum("Do its limits refuse calls?"),
        ];
        if figures == ["15", "9"] {
            break;
        }
        assert!(start.elapsed() < PATIENCE, "{figures:?}");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let page = std::fs::read_to_string(&file).unwrap();
    assert!(page.contains("SOURCE '/aws/apigateway/"), "{page}");
    let unknown = system.place.run("dashboard --name exact");
    unknown.fails(2, &["unknown dashboard `exact`", "`plan-exact`"]);
}

async fn alerts(system: &System, endpoint: &Endpoint) {
    let start = Instant::now();
    while endpoint.got().len() < 3 {
        assert!(start.elapsed() < PATIENCE, "{:?}", endpoint.got());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // Nothing arrives twice.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let got = endpoint.got();
    let events: Vec<Value> = got
        .iter()
        .map(|delivery| serde_json::from_str(&delivery.body).unwrap())
        .collect();
    let crossed: BTreeSet<(String, u64)> = events
        .iter()
        .map(|event| {
            let percent = event["data"]["percent"].as_u64().unwrap();
            (text(event, "subject").to_owned(), percent)
        })
        .collect();
    let expected = [
        ("exact@example.com".to_owned(), 100),
        ("metered@example.com".to_owned(), 50),
        ("metered@example.com".to_owned(), 100),
    ];
    assert_eq!(crossed, expected.into());
    assert_eq!(got.len(), 3, "each crossing is one alert: {events:?}");
    let ids: BTreeSet<&str> = events.iter().map(|event| text(event, "id")).collect();
    let secret = json_of(&system.place.run("webhooks secret billing --json"));
    for (delivery, event) in got.iter().zip(&events) {
        assert_eq!(delivery.headers["webhook-id"], text(event, "id"));
        assert!(verifies(text(&secret, "secret"), delivery), "{delivery:?}");
        let forged = Delivery {
            body: delivery.body.replace("percent", "Percent"),
            ..delivery.clone()
        };
        assert!(
            !verifies(text(&secret, "secret"), &forged),
            "a forged body is accepted"
        );
    }
    let listed = json_of(&system.place.run("webhooks list --json"));
    let deliveries = listed["webhooks"][0]["deliveries"].as_array().unwrap();
    let listed: BTreeSet<&str> = deliveries
        .iter()
        .map(|delivery| text(delivery, "id"))
        .collect();
    assert_eq!(listed, ids);
    assert!(
        deliveries
            .iter()
            .all(|delivery| delivery["status"] == "delivered")
    );
    assert!(
        deliveries.iter().any(|delivery| delivery["failures"] == 1),
        "the refused one came again"
    );
    let rotated = json_of(
        &system
            .place
            .run("webhooks secret billing --rotate --yes --json"),
    );
    assert_ne!(rotated["secret"], secret["secret"]);
    let shown = json_of(&system.place.run("webhooks secret billing --json"));
    assert_eq!(shown["secret"], rotated["secret"]);
}

/// Whether the reference library accepts a delivery.
fn verifies(secret: &str, delivery: &Delivery) -> bool {
    const SCRIPT: &str = "
import json, sys
from standardwebhooks import Webhook
given = json.load(sys.stdin)
Webhook(given['secret']).verify(given['body'], given['headers'])
";
    let python = Tools::ensure().moto_server.with_file_name("python");
    let mut script = Command::new(python)
        .args(["-c", SCRIPT])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let given = json!({"secret": secret, "body": delivery.body, "headers": delivery.headers});
    let mut stdin = script.stdin.take().unwrap();
    stdin.write_all(given.to_string().as_bytes()).unwrap();
    drop(stdin);
    script.wait().unwrap().success()
}

async fn keys(system: &System) {
    let old = key(system, "rotate@example.com", "enterprise");
    assert_eq!(call(system, text(&old, "key")).await.0, 200);
    let id = text(&old, "id");
    let new = json_of(
        &system
            .place
            .run(&format!("keys rotate {id} --grace 2s --yes --json")),
    );
    assert_eq!(new["replaces"], old["id"]);
    assert_eq!(call(system, text(&new, "key")).await.0, 200);
    assert!(until(system, text(&old, "key"), 401).await < EFFECTIVE);
    let listed = json_of(&system.place.run("keys list --json"));
    let keys = listed["keys"].as_array().unwrap();
    let of = |id: &Value| keys.iter().find(|key| key["id"] == *id).unwrap();
    assert_eq!(of(&old["id"])["status"], "expired");
    assert_eq!(of(&new["id"])["status"], "active");
    assert!(
        of(&new["id"])["lastUsedAt"].is_string(),
        "{}",
        of(&new["id"])
    );
    let set = format!(
        "keys set {} --rate 1 --burst 1 --yes --json",
        text(&new, "id")
    );
    assert_eq!(json_of(&system.place.run(&set))["ratePerSecond"], 1);
    until(system, text(&new, "key"), 429).await;
    let revoked = format!("keys revoke {} --yes --json", text(&new, "id"));
    json_of(&system.place.run(&revoked));
    assert!(until(system, text(&new, "key"), 401).await < EFFECTIVE);
    // A key of another system, by its hash.
    let theirs = "hQ1fXm3Zb58aLkW0tYv2PdR9";
    let import = format!(
        "keys import --hash {} --email theirs@example.com --plan enterprise --json",
        domain::key::hash(theirs)
    );
    json_of(&system.place.run(&import));
    until(system, theirs, 200).await;
    keys_of_api_gateway(system).await;
}

async fn keys_of_api_gateway(system: &System) {
    let gateway = aws_sdk_apigateway::Client::new(&system.sdk().await);
    let theirs = "tU7wq0LzR4bX9nYv2KcJ5mDs";
    for (name, value, enabled) in [
        ("moved@example.com", theirs, true),
        ("off@example.com", "pQ3eH8gVb1TzK6yWx0RfN4uC", false),
        ("a key of nobody", "aZ5sX2dC8fV1gB7hN4jM0kLq", true),
    ] {
        let made = gateway.create_api_key().name(name).value(value);
        made.enabled(enabled).send().await.unwrap();
    }
    let import = "keys import --from-api-gateway --plan enterprise --yes --json";
    let first = system.place.run(import);
    assert_eq!(first.code, Some(1), "{first:?}");
    assert!(first.stderr.contains("names no email"), "{first:?}");
    assert!(!format!("{first:?}").contains(theirs), "{first:?}");
    until(system, theirs, 200).await;
    // Once more: nothing is imported twice.
    let again = system.place.run(import);
    let again: Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!(again["imported"], json!([]));
    let count = |list: &str| again[list].as_array().unwrap().len();
    assert_eq!(
        (count("known"), count("disabled"), count("nameless")),
        (1, 1, 1)
    );
}

async fn blocks(system: &System) {
    let bob = key(system, "bob@example.com", "enterprise");
    until(system, text(&bob, "key"), 200).await;
    for whom in ["bob@example.com", "127.0.0.1"] {
        json_of(&system.place.run(&format!("block {whom} --yes --json")));
        assert!(
            until(system, text(&bob, "key"), 401).await < EFFECTIVE,
            "{whom}"
        );
        json_of(&system.place.run(&format!("unblock {whom} --yes --json")));
        assert!(
            until(system, text(&bob, "key"), 200).await < EFFECTIVE,
            "{whom}"
        );
    }
    let refused = system.place.run("usage export --month 2026-01");
    refused.fails(1, &["month `2026-01` is not closed"]);
}
