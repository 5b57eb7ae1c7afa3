//! A user's own API behind the gateway, deployed locally: `docs/own-api.md`, sentence by sentence,
//! with popular clients.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::process::Command;

use serde_json::{Value, json};
use tests::place::Place;
use tests::synthesised::root;
use tests::system::{System, json_of};
use tests::tools::Tools;
use tests::upstream::{Got, Upstream};

const DOCUMENT: &str = "
openapi: 3.1.0
info: {title: Shop, version: '1'}
paths:
  /: {get: {}}
  /items/latest: {get: {}}
  /items/{id}:
    parameters: [{name: id, in: path, required: true, example: 7}]
    get: {}
    put: {}
  /status/{code}: {get: {}}
";

/// The local environment of the repository, in front of this upstream.
fn place(upstream: &Upstream, more: &str) -> Place {
    let place = Place::new();
    let file = root().join("stacks/environments/local.yaml");
    let text = std::fs::read_to_string(file).unwrap();
    let url = upstream.url();
    let text = format!("{text}\nupstream:\n  url: {url}\n  openapi: api.yaml\n{more}");
    std::fs::write(place.dir().join("local.yaml"), text).unwrap();
    std::fs::write(place.dir().join("api.yaml"), DOCUMENT).unwrap();
    let folder = place.dir().display().to_string();
    place.with("XTASK_ENVIRONMENTS_DIR", folder)
}

/// The output of a client.
fn client(program: impl AsRef<OsStr>, args: &[&str]) -> String {
    let program = program.as_ref();
    let mut command = Command::new(program);
    let command = command
        .args(args)
        .env("NO_PROXY", "127.0.0.1")
        .env("no_proxy", "127.0.0.1");
    let output = command.output();
    let output = output.unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    assert!(output.status.success(), "{}: {output:?}", program.display());
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn counts(list: &Value, key: &str, count: &str) -> BTreeMap<String, u64> {
    let rows = list.as_array().unwrap().iter();
    rows.map(|row| {
        let name = row[key]
            .as_str()
            .map_or_else(|| row[key].to_string(), str::to_owned);
        (name, row[count].as_u64().unwrap())
    })
    .collect()
}

/// A deployed system in front of an upstream, and a user of it.
struct Metered {
    system: System,
    upstream: Upstream,
    api: String,
    key: String,
    /// The user's calls so far, by route.
    due: BTreeMap<String, u64>,
}

impl Metered {
    async fn deploy(more: &str) -> Self {
        let upstream = Upstream::start().await;
        let system = System::deploy_from(place(&upstream, more));
        let made = system.key("ann@example.com");
        Self {
            api: system.text("/apiUrl").to_owned(),
            key: made["key"].as_str().unwrap().to_owned(),
            due: BTreeMap::new(),
            system,
            upstream,
        }
    }

    fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let url = format!("{}{path}", self.api);
        self.system.client.request(method.parse().unwrap(), url)
    }

    /// Calls with the user's key and returns the status.
    async fn call(&self, method: &str, path: &str) -> u16 {
        let request = self.request(method, path).header("x-api-key", &self.key);
        request.send().await.unwrap().status().as_u16()
    }

    fn is_due(&mut self, endpoint: &str) {
        *self.due.entry(endpoint.to_owned()).or_default() += 1;
    }

    /// Waits until exactly the expected calls are counted, each under its route.
    async fn counted(&self) {
        let total = self.due.values().sum();
        let question = "user-stats?email=ann@example.com";
        let stats = self.system.until(question, "/totalCalls", total).await;
        let endpoints = counts(&stats["endpoints"], "endpoint", "totalCalls");
        assert_eq!(endpoints, self.due);
        let methods = counts(&stats["methods"], "method", "totalCalls");
        let known = ["GET", "HEAD", "POST", "PUT"];
        assert!(
            methods
                .keys()
                .all(|method| known.contains(&method.as_str()))
        );
        let weigh = |(endpoint, calls): (&String, &u64)| match endpoint.as_str() {
            "/items/latest" => 10 * calls,
            "other" => 0,
            _ => *calls,
        };
        let units: u64 = self.due.iter().map(weigh).sum();
        assert_eq!(stats["totalUnits"], units);
        assert_eq!(stats["currentPeriod"]["units"], units);
        assert_eq!(stats["authFailures"], 0, "forgeries are not the user's");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_is_metered_under_its_routes() {
    let page = page().await;
    let mut metered = Metered::deploy(&format!(
        "units: {{GET /items/latest: 10, other: 0}}\n\
         cors: {{origins: ['https://app.example.com', '{page}']}}\n"
    ))
    .await;
    every_call_reaches_the_api_and_says_who_calls(&mut metered).await;
    a_request_that_is_not_a_call_reaches_nobody(&metered).await;
    clients(&mut metered);
    in_a_browser(&page, &mut metered);
    metered.counted().await;
    traffic_compares_what_was_let_through(&metered);

    metered.upstream = Upstream::start().await;
    assert_eq!(metered.call("GET", "/items/7").await, 502);
    metered.is_due("/items/{id}");
    metered.counted().await;
}

async fn every_call_reaches_the_api_and_says_who_calls(metered: &mut Metered) {
    for (method, path, status, endpoint) in [
        ("GET", "", 200, "/"),
        ("GET", "/", 200, "/"),
        ("GET", "/items/7?full=true", 200, "/items/{id}"),
        ("HEAD", "/items/8", 200, "/items/{id}"),
        ("PUT", "/items/a%20b", 200, "/items/{id}"),
        ("GET", "/items/latest/", 200, "/items/latest"),
        ("GET", "/status/503", 503, "/status/{code}"),
        ("GET", "/status/401", 401, "/status/{code}"),
        ("POST", "/items", 200, "other"),
        ("GET", "/wp-login.php", 200, "other"),
        ("GET", "/caf%C3%A9", 200, "other"),
    ] {
        let answered = metered.call(method, path).await;
        assert_eq!(answered, status, "{method} {path}");
        metered.is_due(endpoint);
    }
    let target = |got: Got| {
        assert_eq!(got.header("x-usage-user"), Some("ann@example.com"));
        assert_eq!(got.header("x-usage-plan"), Some("enterprise"));
        assert_eq!(got.header("x-usage-event-id").unwrap().len(), 36);
        assert_eq!(got.header("x-api-key"), Some("withheld"));
        format!("{} {}", got.method, got.target)
    };
    let targets: Vec<String> = metered.upstream.take().into_iter().map(target).collect();
    assert_eq!(
        targets,
        [
            "GET /",
            "GET /",
            "GET /items/7?full=true",
            "HEAD /items/8",
            "PUT /items/a%20b",
            "GET /items/latest/",
            "GET /status/503",
            "GET /status/401",
            "POST /items",
            "GET /wp-login.php",
            "GET /caf%C3%A9",
        ]
    );
}

/// Refusals, preflights, and methods that the gateway does not support.
async fn a_request_that_is_not_a_call_reaches_nobody(metered: &Metered) {
    let origin = "https://app.example.com";
    let refused = metered.request("GET", "/items/7").header("origin", origin);
    let refused = refused.send().await.unwrap();
    assert_eq!(refused.status(), 401);
    assert_eq!(allowed(&refused, "origin"), Some(origin));

    let forged = metered.request("GET", "/items/7");
    let forged = forged.header("x-api-key", &metered.key);
    let forged = forged.header("x-usage-user", "admin@example.com").send();
    assert_eq!(forged.await.unwrap().status(), 401);
    assert_eq!(metered.call("BREW", "/items/7").await, 404);

    let preflight = metered.request("OPTIONS", "/items/7");
    let preflight = preflight
        .header("origin", origin)
        .header("access-control-request-method", "GET");
    let preflight = preflight.send().await.unwrap();
    assert_eq!(preflight.status(), 204);
    assert_eq!(allowed(&preflight, "origin"), Some(origin));
    assert_eq!(
        allowed(&preflight, "headers"),
        Some("x-api-key,content-type")
    );
    assert_eq!(metered.upstream.take().len(), 0);
}

fn allowed<'a>(answer: &'a reqwest::Response, name: &str) -> Option<&'a str> {
    let value = answer.headers().get(format!("access-control-allow-{name}"));
    value.map(|value| value.to_str().unwrap())
}

fn traffic_compares_what_was_let_through(metered: &Metered) {
    metered.upstream.take();
    let run = |args: &str| json_of(&metered.system.place.run(&format!("traffic {args} --json")));
    let both = |answer: &Value| (answer["sent"].clone(), answer["counted"].clone());
    let answer = run("--rps 20 --duration 3s --users 2");
    assert_eq!(both(&answer), (json!(60), json!(60)), "{answer}");
    let called = metered.upstream.take().into_iter().map(|got| got.target);
    let called: BTreeSet<String> = called.collect();
    let expected = ["/", "/items/7", "/items/latest"].map(str::to_owned);
    assert_eq!(called, BTreeSet::from(expected));
    let answer = run("--rps 20 --duration 2s --path /status/503 --path /items/1");
    assert_eq!(both(&answer), (json!(40), json!(40)), "{answer}");
}

/// Popular clients: text and bytes pass. curl is the system's, the others are pinned.
fn clients(metered: &mut Metered) {
    let url = format!("{}/items/7", metered.api);
    let key = metered.key.clone();
    let header = format!("x-api-key: {key}");
    let curl = [
        "-sS",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        "-H",
        &header,
        &url,
    ];
    let python = "import sys, requests; url, key = sys.argv[1:]; \
                  body = bytes(range(256)); \
                  got = requests.put(url, data=body, headers={'x-api-key': key, 'content-type': 'application/octet-stream'}); \
                  assert got.content == body, got.content; print(got.status_code)";
    let node = "const [url, key] = process.argv.slice(1); \
                fetch(url, {method: 'PUT', body: 'é'.repeat(9), headers: {'x-api-key': key, 'content-type': 'text/plain'}}) \
                .then(async got => { if (await got.text() !== 'é'.repeat(9)) throw 'changed'; console.log(got.status); })";
    let tools = Tools::ensure();
    // moto brings `requests` into the same environment.
    let with_requests = tools.moto_server.with_file_name("python");
    let answers = [
        client("curl", &curl),
        client(&with_requests, &["-c", python, &url, &key]),
        client(&tools.node, &["-e", node, &url, &key]),
    ];
    for status in answers {
        assert_eq!(status, "200");
        metered.is_due("/items/{id}");
    }
    metered.upstream.take();
}

/// A page of another origin: it calls with a key that the gateway knows and with one that it does
/// not know, and shows both responses.
const PAGE: &str = "<body>waits<script>
    const asked = new URLSearchParams(location.search);
    const call = key => fetch(asked.get('api') + '/items/7', {headers: {'x-api-key': key}});
    Promise.all([call(asked.get('key')), call('nonsense')])
      .then(answers => { document.body.textContent = answers.map(answer => answer.status).join(' and '); })
      .catch(error => { document.body.textContent = error; });
    </script>";

/// Serves the page and returns its origin.
async fn page() -> String {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let router = axum::Router::new().fallback(async || axum::response::Html(PAGE));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    origin
}

/// The page in Chromium.
fn in_a_browser(page: &str, metered: &mut Metered) {
    let profile = tempfile::tempdir().unwrap();
    let profile = format!("--user-data-dir={}", profile.path().display());
    let url = format!("{page}/?api={}&key={}", metered.api, metered.key);
    let args = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--dump-dom",
        "--virtual-time-budget=20000",
        &profile,
        &url,
    ];
    let shown = client("chromium", &args);
    assert!(shown.contains("200 and 401"), "{shown}");
    let methods: Vec<String> = metered
        .upstream
        .take()
        .into_iter()
        .map(|got| got.method)
        .collect();
    assert_eq!(
        methods,
        ["GET"],
        "the gateway answers preflights and refusals"
    );
    metered.is_due("/items/{id}");
}
