//! The authorizer's answer to the gateway and its event, for each kind of call.

use std::io;
use std::sync::Mutex;

use domain::address::Blocked;
use domain::dimension::Sources;
use domain::event::{EventType, UsageEvent};
use domain::key::{ApiKey, KeyRecord};
use domain::names::TrackingMode;
use domain::plan::Plan;
use domain::route::{AttachedRoutes, Route, Routes};
use domain::table::ItemKey;
use lambda_runtime::Diagnostic;
use runtime::clock;
use runtime::counters::MemoryCounters;
use runtime::memory::MemoryStore;
use runtime::metrics::Metrics;
use serde_json::{Value, json};

use super::*;
use crate::decision::Why;
use crate::testing::{KeyStore, NOW, State, Stream, Table, key};

mod http;

struct System {
    keys: &'static KeyStore,
    stream: Stream,
    usage: MemoryStore,
    handler: Handler<&'static KeyStore, Stream, MemoryStore, MemoryCounters, fn() -> UnixMillis>,
}

impl System {
    fn new() -> Self {
        let keys: &'static KeyStore = Box::leak(Box::default());
        let stream = Stream::new(State::Up);
        let clock: fn() -> UnixMillis = || NOW;
        let metrics = Metrics::new("CompliCal/API", "test");
        let usage = MemoryStore::default();
        let plan: Plan = serde_json::from_value(json!({"ratePerSecond": 5, "burst": 2})).unwrap();
        Self {
            keys,
            usage: usage.clone(),
            handler: Handler {
                access: Arc::new(Access {
                    keys: Keys::new(keys),
                    blocks: Blocks::new(usage.clone()),
                    limiter: Limiter::new(usage.clone(), MemoryCounters::default()),
                    plans: [("free".to_owned(), plan)].into(),
                }),
                key_prefix: "complical".to_owned(),
                reserved: vec!["x-usage-user".to_owned()],
                origin: Origin {
                    dimensions: Sources::default(),
                    source: "/complical/test/api".to_owned(),
                    mode: TrackingMode::Stream,
                    routes: routes(),
                    attached: attached(),
                },
                tracking: Arc::new(Tracking::new(
                    stream.clone(),
                    Table::new(State::Missing).journal(),
                    metrics,
                    clock,
                )),
                // Without deferral: the work is done before the response, so the test finds it
                // done.
                deferral: Deferral::default(),
                clock,
            },
            stream,
        }
    }

    /// The outcome of a call with these headers: the response, and the event if there is one.
    async fn call(&self, headers: Value) -> (Result<Value, Diagnostic>, Option<UsageEvent>) {
        self.invoke(invocation(&headers)).await
    }

    async fn invoke(
        &self,
        call: LambdaEvent<Request>,
    ) -> (Result<Value, Diagnostic>, Option<UsageEvent>) {
        let before = self.stream.events().len();
        // Boxed, as in `main`.
        let answer = Box::pin(self.handler.handle(call)).await;
        let answer = answer.map(|answer| serde_json::to_value(answer).unwrap());
        let events = self.stream.events().split_off(before);
        let event = events.first().cloned();
        assert!(events.iter().all(|put| Some(put) == event.as_ref()));
        (answer.map_err(Diagnostic::from), event)
    }
}

const METHOD_ARN: &str = "arn:aws:execute-api:ap-south-1:000000000000:api/test/GET/v1/accounts/7";

/// The routes of the API `attached`.
fn attached() -> AttachedRoutes {
    let routes = [("GET /parcels/{id}", 1), ("GET /search", 10)];
    let routes = routes.map(|(text, units)| (Route::parse(text).unwrap(), units));
    AttachedRoutes([("attached".to_owned(), Routes::new(routes, 2).unwrap())].into())
}

fn routes() -> Routes {
    let routes = [("GET /users/{id}", 1), ("GET /users/me", 10)];
    Routes::new(
        routes.map(|(text, units)| (Route::parse(text).unwrap(), units)),
        1,
    )
    .unwrap()
}

fn invocation(headers: &Value) -> LambdaEvent<Request> {
    invocation_of("GET", "/v1/accounts/{id}", "/v1/accounts/7", headers)
}

fn invocation_of(
    method: &str,
    resource: &str,
    path: &str,
    headers: &Value,
) -> LambdaEvent<Request> {
    invocation_with(json!({
        "type": "REQUEST",
        "methodArn": METHOD_ARN,
        "resource": resource,
        "path": path,
        "httpMethod": method,
        "headers": headers,
        "requestContext": {
            "stage": "test",
            "requestId": "chosen-by-the-caller",
            "identity": {"sourceIp": "192.0.2.1"},
        },
    }))
}

fn invocation_with(request: Value) -> LambdaEvent<Request> {
    let mut context = Context::default();
    context.deadline = u64::try_from(clock::now().plus_millis(60_000).0).unwrap();
    LambdaEvent::new(serde_json::from_value(request).unwrap(), context)
}

fn api_key() -> ApiKey {
    ApiKey::mint("complical", [7; 24])
}

fn record() -> KeyRecord {
    KeyRecord {
        key_hash: api_key().hash(),
        email: "ann@example.com".to_owned(),
        ..key()
    }
}

fn unauthorized() -> Diagnostic {
    Diagnostic {
        error_type: "Unauthorized".to_owned(),
        error_message: "Unauthorized".to_owned(),
    }
}

#[tokio::test]
async fn an_active_key_is_let_through_to_the_stage_and_the_call_is_reported() {
    let system = System::new();
    system.keys.hold(record());
    let headers = json!({"X-Api-Key": api_key().reveal(), "User-Agent": "curl/8.1"});
    let (answer, event) = system.call(headers).await;
    let event = event.unwrap();
    assert_eq!(
        answer.unwrap(),
        json!({
            "principalId": "key_1",
            "policyDocument": {
                "Version": "2012-10-17",
                "Statement": [{
                    "Effect": "Allow",
                    "Action": "execute-api:Invoke",
                    "Resource": "arn:aws:execute-api:ap-south-1:000000000000:api/test/*",
                }],
            },
            "context": {
                "eventId": event.id.to_string(),
                "keyId": "key_1",
                "email": "ann@example.com",
                "plan": "free",
                "mode": "stream",
                "route": "/v1/accounts/{id}",
                "units": "1",
            },
        })
    );
    assert_eq!(event.event_type, EventType::ApiCall);
    assert_eq!(event.time, NOW);
    assert_eq!(event.subject.as_str(), "ann@example.com");
    assert_eq!(
        serde_json::to_value(&event.data).unwrap(),
        json!({
            "keyId": "key_1",
            "plan": "free",
            "method": "GET",
            "endpoint": "/v1/accounts/{id}",
            "ip": "192.0.2.1",
            "userAgent": "curl/8.1",
            "requestId": "chosen-by-the-caller",
            "stage": "test",
        })
    );
    assert_eq!(UsageEvent::decode(&event.to_json()), Ok(event));
}

#[tokio::test]
async fn a_call_to_an_upstream_counts_under_the_template_that_fits_it() {
    let system = System::new();
    system.keys.hold(record());
    let headers = json!({"x-api-key": api_key().reveal()});
    for (method, resource, path, endpoint) in [
        ("GET", "/{proxy+}", "/users/7", "/users/{id}"),
        ("GET", "/{proxy+}", "/users/me", "/users/me"),
        ("POST", "/{proxy+}", "/users/7", "other"),
        ("GET", "/{proxy+}", "/wp-login.php", "other"),
        ("GET", "/", "/", "other"),
    ] {
        let call = invocation_of(method, resource, path, &headers);
        let (answer, event) = system.invoke(call).await;
        assert_eq!(answer.unwrap()["context"]["route"], endpoint, "{path}");
        let data = event.unwrap().data;
        assert_eq!(
            (data.method.as_str(), data.endpoint.as_str()),
            (method, endpoint)
        );
    }
}

/// The access log's line gets route and units from the answer, so that both reports agree.
#[tokio::test]
async fn a_call_of_an_attached_api_counts_under_its_own_routes_in_both_reports() {
    let system = System::new();
    system.keys.hold(record());
    let headers = json!({"x-api-key": api_key().reveal()});
    for (api, resource, path, endpoint, units) in [
        ("attached", "/{proxy+}", "/parcels/7", "/parcels/{id}", 1),
        ("attached", "/{proxy+}", "/search", "/search", 10),
        ("attached", "$default", "/search/", "/search", 10),
        ("attached", "/{proxy+}", "/users/7", "other", 2),
        // Resources that the gateway tells apart keep their names.
        ("attached", "/search", "/search", "/search", 10),
        ("attached", "/labels/{id}", "/labels/7", "/labels/{id}", 2),
        ("another", "/{proxy+}", "/search", "other", 1),
        ("another", "$default", "/search", "$default", 1),
        ("another", "/search", "/search", "/search", 1),
    ] {
        let arn = METHOD_ARN.replace(":api/", &format!(":{api}/"));
        let call = invocation_with(json!({
            "methodArn": arn, "resource": resource, "path": path, "httpMethod": "GET",
            "headers": headers,
        }));
        let (answer, event) = system.invoke(call).await;
        let context = &answer.unwrap()["context"];
        let of_line = (&context["route"], &context["units"]);
        let expected = (&json!(endpoint), &json!(units.to_string()));
        assert_eq!(of_line, expected, "{api} {resource} {path}");
        let data = event.unwrap().data;
        assert_eq!((data.endpoint.as_str(), data.units), (endpoint, units));
    }
}

#[tokio::test]
async fn a_call_that_brings_a_header_of_the_gateways_is_refused() {
    let system = System::new();
    system.keys.hold(record());
    for name in ["x-usage-user", "X-Usage-User", "X-USAGE-USER"] {
        let headers = json!({"x-api-key": api_key().reveal(), name: "admin@example.com"});
        let (answer, event) = system.call(headers).await;
        assert_eq!(answer.unwrap_err(), unauthorized());
        let event = event.unwrap();
        assert_eq!(event.event_type, EventType::AuthFailed);
        assert_eq!(event.subject.as_str(), "ip:192.0.2.1");
    }
}

#[tokio::test]
async fn a_method_that_the_gateway_does_not_accept_is_refused_and_makes_no_label() {
    let system = System::new();
    system.keys.hold(record());
    let headers = json!({"x-api-key": api_key().reveal()});
    for method in ["BREW", "get", "TRACE", "ANY"] {
        let call = invocation_of(method, "/{proxy+}", "/users/7", &headers);
        let (answer, event) = system.invoke(call).await;
        assert_eq!(answer.unwrap_err(), unauthorized());
        assert_eq!(event.unwrap().data.method, "other");
    }
}

#[tokio::test]
async fn a_preflight_is_refused_and_is_nobodys_failure() {
    let system = System::new();
    let asks = json!({"Origin": "https://a.example", "Access-Control-Request-Method": "GET"});
    let call = invocation_of("OPTIONS", "/{proxy+}", "/users/7", &asks);
    let (answer, event) = system.invoke(call).await;
    assert_eq!(answer.unwrap_err(), unauthorized());
    assert_eq!(event, None);

    // A key, or the lack of either header, makes it a call.
    let mut with_key = asks.clone();
    with_key["x-api-key"] = json!("nonsense");
    let origin = json!({"Origin": "https://a.example"});
    for (method, headers) in [("OPTIONS", &with_key), ("OPTIONS", &origin), ("GET", &asks)] {
        let call = invocation_of(method, "/{proxy+}", "/users/7", headers);
        let (answer, event) = system.invoke(call).await;
        assert_eq!(answer.unwrap_err(), unauthorized());
        assert_eq!(event.unwrap().event_type, EventType::AuthFailed, "{method}");
    }
}

#[tokio::test]
async fn every_call_has_an_id_of_its_own_even_within_one_millisecond() {
    let system = System::new();
    system.keys.hold(record());
    let headers = json!({"x-api-key": api_key().reveal()});
    let (_, first) = system.call(headers.clone()).await;
    let (_, second) = system.call(headers).await;
    assert_ne!(first.unwrap().id, second.unwrap().id);
}

#[tokio::test]
async fn a_call_without_a_known_key_is_reported_under_its_address() {
    let system = System::new();
    let presented = api_key();
    for (headers, key_id) in [
        (json!({}), None),
        (json!({"x-api-key": "abc"}), Some("ba7816bf".to_owned())),
        (
            json!({"x-api-key": presented.reveal()}),
            presented.hash().get(..8).map(str::to_owned),
        ),
    ] {
        let (answer, event) = system.call(headers).await;
        assert_eq!(answer.unwrap_err(), unauthorized());
        let event = event.unwrap();
        assert_eq!(event.event_type, EventType::AuthFailed);
        assert_eq!(event.subject.as_str(), "ip:192.0.2.1");
        assert_eq!(event.data.key_id, key_id);
        assert_eq!(event.data.plan, None);
    }
}

#[tokio::test]
async fn a_call_with_a_key_that_was_good_once_is_reported_under_its_user() {
    let system = System::new();
    let expired = KeyRecord {
        expires_at: Some(NOW),
        ..record()
    };
    system.keys.hold(expired);
    let (answer, event) = system.call(json!({"x-api-key": api_key().reveal()})).await;
    assert_eq!(answer.unwrap_err(), unauthorized());
    let event = event.unwrap();
    assert_eq!(event.event_type, EventType::AuthFailed);
    assert_eq!(event.subject.as_str(), "ann@example.com");
    assert_eq!(event.data.key_id.as_deref(), Some("key_1"));
}

#[tokio::test]
async fn a_call_that_cannot_be_decided_is_not_a_refusal_and_is_not_reported() {
    let system = System::new();
    system.keys.set_down(true);
    let (answer, event) = system.call(json!({"x-api-key": api_key().reveal()})).await;
    assert_eq!(answer.unwrap_err().error_type, "Undecided");
    assert_eq!(event, None);
    let (answer, event) = system.call(json!({})).await;
    assert_eq!(answer.unwrap_err(), unauthorized());
    assert!(event.is_some());
}

#[tokio::test]
async fn metering_never_fails_a_call() {
    let system = System::new();
    system.keys.hold(KeyRecord {
        plan: "abolished".to_owned(),
        ..record()
    });
    system.stream.set(State::Missing);
    let (answer, _) = system.call(json!({"x-api-key": api_key().reveal()})).await;
    assert_eq!(answer.unwrap()["context"]["plan"], "abolished");
}

#[tokio::test]
async fn a_call_over_its_rate_is_denied_with_retry_after_and_is_not_usage() {
    let system = System::new();
    system.keys.hold(record());
    let headers = json!({"x-api-key": api_key().reveal()});
    for _ in 0..2 {
        let (_, event) = system.call(headers.clone()).await;
        assert_eq!(event.unwrap().event_type, EventType::ApiCall);
    }
    let (answer, event) = system.call(headers.clone()).await;
    let (answer, event) = (answer.unwrap(), event.unwrap());
    assert_eq!(event.event_type, EventType::RateLimited);
    assert_eq!(event.subject.as_str(), "ann@example.com");
    assert_eq!(event.data.reason, Some(Why::Rate));
    assert_eq!(answer["policyDocument"]["Statement"][0]["Effect"], "Deny");
    let context = &answer["context"];
    assert_eq!(context["eventId"], event.id.to_string());
    assert_eq!(context["email"], "ann@example.com");
    assert_eq!(context["retryAfter"], "1");
    assert_eq!(context["rateLimit"], "\"rate\";r=0;t=1");
    assert_eq!(context["rateLimitPolicy"], "\"rate\";q=2;w=1");
    assert_eq!(context["limitError"], "rateLimited");
    assert_eq!(UsageEvent::decode(&event.to_json()), Ok(event));
}

#[tokio::test]
async fn a_call_from_a_blocked_address_is_refused_with_whatever_key() {
    let system = System::new();
    system.keys.hold(record());
    let list = Blocked {
        since: [("192.0.2.1".to_owned(), NOW)].into(),
    };
    let list = domain::state::encode(&list).unwrap();
    system.usage.plant(&ItemKey::blocked_addresses(), 1, list);
    let (answer, event) = system.call(json!({"x-api-key": api_key().reveal()})).await;
    assert_eq!(answer.unwrap_err(), unauthorized());
    let event = event.unwrap();
    assert_eq!(event.event_type, EventType::AuthFailed);
    assert_eq!(event.subject.as_str(), "ip:192.0.2.1");
    assert_eq!(event.data.reason, Some(Why::Blocked));
}

/// Everything that was logged.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<Vec<u8>>>);

impl io::Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_log_answer_or_event_says_the_key() {
    let logged = Logged::default();
    let writer = logged.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let mut said = Vec::new();
    for setup in ["unknown", "active", "revoked", "down", "unreported"] {
        let system = System::new();
        match setup {
            "active" => system.keys.hold(record()),
            "revoked" => system.keys.hold(KeyRecord {
                revoked_at: Some(NOW),
                ..record()
            }),
            "down" => system.keys.set_down(true),
            "unreported" => {
                system.keys.hold(record());
                system.stream.set(State::Down);
            }
            _ => {}
        }
        let (answer, event) = system.call(json!({"x-api-key": api_key().reveal()})).await;
        said.push(format!("{answer:?} {event:?}"));
    }
    said.push(String::from_utf8(logged.0.lock().unwrap().clone()).unwrap());
    let said = said.concat();
    let key = api_key();
    let (_, secret) = key.reveal().split_once('_').unwrap();
    assert!(!said.contains(secret), "{said}");
    // The lines exist: an event that nothing accepted, in full, and calls refused and undecided.
    assert!(said.contains("uncounted event"), "{said}");
    assert!(said.contains("a call is refused"), "{said}");
    assert!(said.contains("a key was not looked up"), "{said}");
}
