//! `cargo xtask deploy --demo`, as `docs/own-api.md` describes it.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::place::Place;
use tests::synthesised::root;
use tests::system::{System, json_of};

/// The routes of the shop's document that `traffic` calls.
const CALLED: [&str; 4] = ["/health", "/items", "/items/{id}", "/search"];

/// The commands of the page that begin with these words.
fn commands_of_the_page(beginning: &str) -> Vec<String> {
    let page = std::fs::read_to_string(root().join("docs/own-api.md")).unwrap();
    let lines = page.lines().map(str::trim);
    let lines = lines.filter_map(|line| line.strip_prefix("cargo xtask "));
    let lines = lines.filter(|line| line.starts_with(beginning));
    let commands = lines.map(|line| line.split('#').next().unwrap().trim().replace('\'', ""));
    commands.collect()
}

/// Calls of the demo's user by endpoint.
async fn endpoints(system: &System, user: &str) -> BTreeMap<String, u64> {
    let stats = system.analytics(&format!("user-stats?email={user}")).await;
    let endpoints = stats["endpoints"].as_array().unwrap().iter();
    endpoints
        .map(|of| {
            let name = of["endpoint"].as_str().unwrap().to_owned();
            (name, of["totalCalls"].as_u64().unwrap())
        })
        .collect()
}

/// The shop's port, if it is recorded.
fn port(place: &Place) -> Option<u64> {
    let state = std::fs::read_to_string(place.dir().join("local/state.json")).ok()?;
    let state: Value = serde_json::from_str(&state).unwrap();
    state["demo"]["port"].as_u64()
}

fn answers(port: u64) -> bool {
    std::net::TcpStream::connect(("127.0.0.1", u16::try_from(port).unwrap())).is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_is_an_api_of_several_routes_that_is_metered_at_once() {
    assert_eq!(commands_of_the_page("deploy --demo"), ["deploy --demo"]);
    let mut system = System::deploy();
    let shown = system.place.run("deploy --demo --yes");
    assert_eq!(shown.code, Some(0), "{shown:#?}");
    the_printed_line_works(&shown.stderr);
    system.outputs = json_of(&system.place.run("outputs --json"));
    let shop = port(&system.place).unwrap();

    for path in ["/items/2", "/items/3", "/search?q=coffee", "/nowhere"] {
        let url = format!("{}{path}", system.text("/apiUrl"));
        let request = system.client.get(url);
        let request = request.header("x-api-key", system.text("/local/demoKey"));
        let answer = request.send().await.unwrap();
        let expected = if path == "/nowhere" { 404 } else { 200 };
        assert_eq!(answer.status(), expected, "{path}");
        assert_eq!(answer.headers()["x-served-for"], "demo@example.com");
    }
    let expected = [
        ("/health", 1),
        ("/items/{id}", 2),
        ("/search", 1),
        ("other", 1),
    ];
    let expected = BTreeMap::from(expected.map(|(name, calls)| (name.to_owned(), calls)));
    let start = Instant::now();
    while endpoints(&system, "demo@example.com").await != expected {
        assert!(start.elapsed() < Duration::from_mins(1), "{expected:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    traffic_calls_the_documents_routes(&system);

    // Again with nothing changed: the same shop goes on.
    let again = system.place.run("deploy --demo --json");
    assert!(again.stderr.contains("nothing changed"), "{again:#?}");
    assert_eq!(json_of(&again)["apiUrl"], system.outputs["apiUrl"]);
    assert_eq!(port(&system.place), Some(shop));

    // Without the option, the deploy follows the file and ends the shop.
    let back = json_of(&system.place.run("deploy --yes --json"));
    assert_eq!(back["apiUrl"], system.outputs["apiUrl"]);
    assert_eq!((port(&system.place), answers(shop)), (None, false));
    let url = format!("{}/v1/deadlines?country=AU", system.text("/apiUrl"));
    let sample = system
        .client
        .get(url)
        .header("x-api-key", system.text("/local/demoKey"));
    assert_eq!(sample.send().await.unwrap().status(), 200);

    json_of(&system.place.run("deploy --demo --yes --json"));
    let shop = port(&system.place).unwrap();
    assert!(answers(shop));
    let destroyed = system.place.run("destroy --yes");
    assert_eq!(destroyed.code, Some(0), "{destroyed:#?}");
    assert!(!answers(shop), "`destroy` ends the shop");
}

/// Runs the `curl` line that `deploy` printed, if this machine has `curl`.
fn the_printed_line_works(printed: &str) {
    let line = printed
        .lines()
        .find(|line| line.trim().starts_with("curl "));
    let line = line.unwrap_or_else(|| panic!("no `curl` line in {printed}"));
    let mut sh = Command::new("sh");
    let sh = sh.env("NO_PROXY", "127.0.0.1").env("no_proxy", "127.0.0.1");
    let ran = sh.args(["-c", &format!("{line} -sSf")]).output().unwrap();
    assert!(ran.status.success(), "{line}: {ran:?}");
    let body: Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!(body, json!({"open": true}));
}

fn traffic_calls_the_documents_routes(system: &System) {
    let lines = commands_of_the_page("traffic");
    assert_eq!(lines.len(), 2, "{lines:?}");
    for line in lines {
        let line = line.replace("10s", "3s");
        let answer = json_of(&system.place.run(&format!("{line} --json")));
        assert_eq!(
            (&answer["sent"], &answer["counted"]),
            (&json!(60), &json!(60)),
            "{answer}"
        );
    }
    let called = json_of(&system.place.run("events --json --from 1h"));
    let called = called["events"].as_array().unwrap().iter();
    let called = called.filter(|event| event["subject"].as_str().unwrap().starts_with("traffic-"));
    let endpoint = |event: &Value| event["data"]["endpoint"].as_str().unwrap().to_owned();
    let called: std::collections::BTreeSet<String> = called.map(endpoint).collect();
    assert_eq!(called, CALLED.map(str::to_owned).into());
}

#[test]
fn only_local_has_a_demo_and_only_without_an_upstream_of_its_own() {
    Place::new()
        .run("deploy --demo --env test --dry-run")
        .fails(2, &["`--demo`", "only `local`"]);
    let file = root().join("stacks/environments/local.yaml");
    let text = std::fs::read_to_string(file).unwrap();
    let place = Place::new().with_local(&format!("{text}\nupstream: https://api.example.com\n"));
    place
        .run("deploy --demo --dry-run")
        .fails(2, &["`--demo`", "an `upstream` of its own"]);
}
