//! The system behind an HTTP API (`gateway: http`), deployed locally: what the table in
//! `docs/existing-api.md` says of it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use domain::names::{Function, env};
use serde_json::{Value, json};
use tests::place::Place;
use tests::synthesised::root;
use tests::system::{System, json_of};
use tests::upstream::Upstream;

const PATIENCE: Duration = Duration::from_mins(1);
const USER: &str = "user-stats?email=ann@example.com";
const PAGE: &str = "https://app.example.com";

/// The local environment of the repository with more lines, behind an HTTP API.
fn place(more: &str) -> Place {
    let file = root().join("stacks/environments/local.yaml");
    let text = std::fs::read_to_string(file).unwrap();
    Place::new().with_local(&format!("{text}\ngateway: http\n{more}"))
}

/// Queries until the calls of a user and their statuses are exactly these: the authorizer reports
/// calls, the access log statuses.
async fn until_answered(system: &System, question: &str, expected: &BTreeMap<u64, u64>) -> Value {
    let start = Instant::now();
    let number = |of: &Value, member: &str| of[member].as_u64().unwrap();
    let calls: u64 = expected.values().sum();
    loop {
        let body = system.analytics(question).await;
        let statuses = body["statuses"].as_array().unwrap().iter();
        let statuses: BTreeMap<u64, u64> = statuses
            .map(|of| (number(of, "status"), number(of, "count")))
            .collect();
        if number(&body, "totalCalls") == calls && statuses == *expected {
            return body;
        }
        assert!(
            number(&body, "totalCalls") <= calls && start.elapsed() < PATIENCE,
            "expected {expected:?}: {body}"
        );
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// A deployed system, and the user's calls so far.
struct Metered {
    system: System,
    key: String,
    statuses: BTreeMap<u64, u64>,
    endpoints: BTreeMap<String, u64>,
}

impl Metered {
    fn deploy(more: &str) -> Self {
        let system = System::deploy_from(place(more));
        let key = system.key("ann@example.com")["key"]
            .as_str()
            .unwrap()
            .to_owned();
        Self {
            system,
            key,
            statuses: BTreeMap::new(),
            endpoints: BTreeMap::new(),
        }
    }

    fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let url = format!("{}{path}", self.system.text("/apiUrl"));
        self.system.client.request(method.parse().unwrap(), url)
    }

    /// Makes a call that is let through, and expects its status.
    async fn call(&mut self, method: &str, path: &str, status: u16, endpoint: &str) -> String {
        let request = self.request(method, path).header("x-api-key", &self.key);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), status, "{method} {path}");
        *self.statuses.entry(status.into()).or_default() += 1;
        *self.endpoints.entry(endpoint.to_owned()).or_default() += 1;
        answer.text().await.unwrap()
    }

    /// Waits until exactly the calls so far are counted, by both tracks.
    async fn counted(&self) -> Value {
        let stats = until_answered(&self.system, USER, &self.statuses).await;
        let endpoints = stats["endpoints"].as_array().unwrap().iter();
        let endpoints: BTreeMap<String, u64> = endpoints
            .map(|of| {
                let name = of["endpoint"].as_str().unwrap().to_owned();
                (name, of["totalCalls"].as_u64().unwrap())
            })
            .collect();
        assert_eq!(endpoints, self.endpoints);
        stats
    }
}

fn header<'a>(answer: &'a reqwest::Response, name: &str) -> Option<&'a str> {
    answer
        .headers()
        .get(name)
        .map(|value| value.to_str().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_behind_an_http_api_is_metered_under_its_routes() {
    let upstream = Upstream::start().await;
    let mut metered = Metered::deploy(&format!(
        "upstream:\n  url: {}\n  routes: [GET /, GET /items/latest, 'GET /items/{{id}}', 'PUT /items/{{id}}', 'GET /status/{{code}}']\n\
         cors: {{origins: ['{PAGE}']}}\n",
        upstream.url()
    ));
    every_call_reaches_the_api(&mut metered, &upstream).await;
    a_request_that_is_not_a_call_reaches_nobody(&metered, &upstream).await;
    pages_get_the_gateways_headers(&mut metered, &upstream).await;
    metered.counted().await;

    let answer = metered
        .system
        .place
        .run("traffic --rps 20 --duration 3s --users 2 --json");
    let answer = json_of(&answer);
    assert_eq!(
        (&answer["sent"], &answer["counted"]),
        (&json!(60), &json!(60)),
        "{answer}"
    );

    drop(upstream);
    let said = metered.call("GET", "/items/7", 503, "/items/{id}").await;
    assert_eq!(said, r#"{"message":"Service Unavailable"}"#);
    metered.counted().await;
}

async fn every_call_reaches_the_api(metered: &mut Metered, upstream: &Upstream) {
    for (method, path, status, endpoint) in [
        ("GET", "", 200, "/"),
        ("GET", "/", 200, "/"),
        ("GET", "/items/7?full=true&full=no", 200, "/items/{id}"),
        ("HEAD", "/items/8", 200, "/items/{id}"),
        ("PUT", "/items/a%20b", 200, "/items/{id}"),
        ("GET", "/items/latest/", 200, "/items/latest"),
        ("GET", "/status/503", 503, "/status/{code}"),
        ("GET", "/status/403", 403, "/status/{code}"),
        ("POST", "/items", 200, "other"),
        ("GET", "/caf%C3%A9/100%25", 200, "other"),
    ] {
        metered.call(method, path, status, endpoint).await;
    }
    let got = upstream.take();
    let targets: Vec<String> = got
        .iter()
        .map(|got| {
            assert_eq!(got.header("x-usage-user"), Some("ann@example.com"));
            assert_eq!(got.header("x-usage-plan"), Some("enterprise"));
            assert_eq!(got.header("x-usage-event-id").unwrap().len(), 36);
            assert_eq!(got.header("x-api-key"), None, "an HTTP API removes it");
            assert!(got.header("forwarded").unwrap().contains("for=127.0.0.1"));
            format!("{} {}", got.method, got.target)
        })
        .collect();
    assert_eq!(
        targets,
        [
            "GET /",
            "GET /",
            "GET /items/7?full=true&full=no",
            "HEAD /items/8",
            "PUT /items/a%20b",
            "GET /items/latest/",
            "GET /status/503",
            "GET /status/403",
            "POST /items",
            "GET /caf%C3%A9/100%25",
        ]
    );
}

async fn a_request_that_is_not_a_call_reaches_nobody(metered: &Metered, upstream: &Upstream) {
    let forged = metered
        .request("GET", "/items/7")
        .header("x-api-key", &metered.key);
    let forged = forged.header("x-usage-user", "admin@example.com");
    for refused in [metered.request("GET", "/items/7"), forged] {
        let refused = refused.send().await.unwrap();
        assert_eq!(refused.status(), 403);
        assert_eq!(header(&refused, "retry-after"), None);
        assert!(header(&refused, "apigw-requestid").is_some());
        assert_eq!(refused.text().await.unwrap(), r#"{"message":"Forbidden"}"#);
    }
    let odd = metered
        .request("BREW", "/items/7")
        .header("x-api-key", &metered.key);
    let odd = odd.send().await.unwrap();
    assert_eq!(odd.status(), 404);
    assert_eq!(odd.text().await.unwrap(), r#"{"message":"Not Found"}"#);
    assert_eq!(upstream.take().len(), 0);
    // Both refusals are failures of the address, and of no user.
    let question = "timeseries?granularity=hour&duration=2h";
    metered.system.until_sum(question, "authFailures", 2).await;
}

/// Preflights are answered without a key and counted as nothing; the upstream's own headers about
/// origins are replaced.
async fn pages_get_the_gateways_headers(metered: &mut Metered, upstream: &Upstream) {
    let preflight = |origin: &str| {
        let asked = metered
            .request("OPTIONS", "/items/7")
            .header("origin", origin);
        asked.header("access-control-request-method", "GET").send()
    };
    let known = preflight(PAGE).await.unwrap();
    assert_eq!(known.status(), 204);
    assert_eq!(header(&known, "access-control-allow-origin"), Some(PAGE));
    assert_eq!(
        header(&known, "access-control-allow-headers"),
        Some("x-api-key,content-type")
    );
    let unknown = preflight("https://other.example.com").await.unwrap();
    assert_eq!(header(&unknown, "access-control-allow-origin"), None);
    assert_eq!(upstream.take().len(), 0);

    for (origin, allowed) in [(PAGE, Some(PAGE)), ("https://other.example.com", None)] {
        let called = metered
            .request("GET", "/items/7")
            .header("x-api-key", &metered.key);
        let called = called.header("origin", origin).send().await.unwrap();
        assert_eq!(called.status(), 200);
        // The upstream names every origin.
        assert_eq!(header(&called, "access-control-allow-origin"), allowed);
        *metered.statuses.entry(200).or_default() += 1;
        *metered
            .endpoints
            .entry("/items/{id}".to_owned())
            .or_default() += 1;
    }
    upstream.take();
    // An `OPTIONS` request that is not a preflight reaches the upstream. It needs no key and is not metered.
    let options = metered.request("OPTIONS", "/items/7").send().await.unwrap();
    assert_eq!(options.status(), 200);
    let [got] = &upstream.take()[..] else {
        panic!("one request");
    };
    assert_eq!(got.header("x-usage-user"), Some("none"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sample_behind_an_http_api_is_counted_by_either_track() {
    let mut metered = Metered::deploy("");
    let deployed = metered.system.place.run("deploy --json");
    assert!(deployed.stderr.contains("nothing changed"), "{deployed:#?}");
    for _ in 0..20 {
        let path = "/v1/deadlines?country=AU";
        metered.call("GET", path, 200, "/v1/deadlines").await;
    }
    let bad = "/v1/deadlines?country=XX";
    metered.call("GET", bad, 400, "/v1/deadlines").await;
    metered.counted().await;
    our_own_apis_answer(&metered).await;
    let verified = metered.system.place.run("verify --json");
    let checks: Value = serde_json::from_str(&verified.stdout).unwrap();
    let failed = checks["checks"].as_array().unwrap().iter();
    let failed = failed.filter(|check| check["ok"] == false);
    // How long a call takes depends on the machine.
    let failed: Vec<&Value> = failed.filter(|check| check["name"] != "latency").collect();
    assert!(failed.is_empty(), "{failed:#?}");

    // Neither the stream nor the journal takes anything: the access log alone reports.
    let nowhere = [
        (env::USAGE_STREAM, "nowhere"),
        (env::ANALYTICS_TABLE, "nowhere"),
    ];
    metered.system.strict.expect_refusals_on("nowhere");
    let before = metered
        .system
        .set_variables(Function::Authorizer, &nowhere)
        .await;
    for _ in 0..5 {
        let path = "/v1/deadlines?country=AU";
        metered.call("GET", path, 200, "/v1/deadlines").await;
    }
    metered.counted().await;
    metered
        .system
        .replace_variables(Function::Authorizer, before)
        .await;

    a_call_over_its_plan_is_refused_and_counted_apart(&metered).await;
}

/// The analytics API and the keys receive payload 2.0.
async fn our_own_apis_answer(metered: &Metered) {
    let status = |path: &str| {
        let request = metered.request("GET", path).send();
        async { request.await.unwrap().status().as_u16() }
    };
    for (path, expected) in [
        ("/v1/analytics", 200),
        ("/v1/analytics/", 200),
        ("/v1/analytics/openapi.json", 200),
        ("/v1/analytics/nowhere", 404),
        ("/v1/analytics/user-stats", 401),
        ("/v1/keys", 401),
        ("/v1/deadlines/", 404),
        ("/", 404),
    ] {
        assert_eq!(status(path).await, expected, "{path}");
    }
    let (status, body) = metered
        .system
        .ask("timeseries?granularity=hour&granularity=day")
        .await;
    assert_eq!(
        (status, &body["parameter"]),
        (400, &json!("granularity")),
        "{body}"
    );

    let token = metered.system.text("/local/adminToken");
    let made = metered.request("POST", "/v1/keys").bearer_auth(token);
    let made = made.json(&json!({"email": "bob@example.com", "plan": "free"}));
    let made: Value = made.send().await.unwrap().json().await.unwrap();
    let id = made["id"].as_str().unwrap();
    let gone = metered
        .request("DELETE", &format!("/v1/keys/{id}"))
        .bearer_auth(token);
    assert!(gone.send().await.unwrap().status().is_success());
}

/// An HTTP API cannot answer 429: it says 403, and the call counts as rate limited all the same.
async fn a_call_over_its_plan_is_refused_and_counted_apart(metered: &Metered) {
    let made = metered
        .system
        .place
        .run("keys create --email eve@example.com --plan free --json");
    let made = json_of(&made);
    let key = made["key"].as_str().unwrap();
    let slow = "users set eve@example.com --rate 1 --burst 2 --json";
    json_of(&metered.system.place.run(slow));
    let statuses = metered.system.call(Some(key), 60).await;
    let accepted = *statuses.get(&200).unwrap();
    let refused = statuses.get(&403).copied().unwrap_or_default();
    assert!(refused > 0 && accepted + refused == 60, "{statuses:?}");
    let accepted = BTreeMap::from([(200, accepted as u64)]);
    let question = "user-stats?email=eve@example.com";
    let stats = until_answered(&metered.system, question, &accepted).await;
    assert_eq!(stats["rateLimited"], refused);
}
