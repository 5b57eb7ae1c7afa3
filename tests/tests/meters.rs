//! Usage that only the upstream knows, deployed locally: `docs/meters.md`, sentence by sentence.

use serde_json::{Value, json};
use tests::place::Place;
use tests::synthesised::root;
use tests::system::{System, json_of};
use tests::upstream::Upstream;

const SINGLE: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json";

/// The parts of the page between fences of a language.
fn fenced(language: &str) -> Vec<String> {
    let page = std::fs::read_to_string(root().join("docs/meters.md")).unwrap();
    let parts = page.split("```").skip(1).step_by(2);
    let fenced = parts.filter_map(|part| part.strip_prefix(language)?.strip_prefix('\n'));
    let fenced = fenced.map(|part| {
        let indent = part.len() - part.trim_start().len();
        let lines = part.lines().map(|line| line.get(indent..).unwrap_or(""));
        lines.collect::<Vec<_>>().join("\n")
    });
    fenced.collect()
}

/// A deployed system in front of an upstream that reports what its calls used.
struct Metered {
    system: System,
    upstream: Upstream,
    key: String,
    token: String,
}

impl Metered {
    async fn deploy() -> Self {
        let upstream = Upstream::start().await;
        let place = Place::new();
        let file = root().join("stacks/environments/local.yaml");
        let text = std::fs::read_to_string(file).unwrap();
        let meters = fenced("yaml").remove(0);
        let text = format!("{text}\nupstream: {}\n{meters}\n", upstream.url());
        std::fs::write(place.dir().join("local.yaml"), text).unwrap();
        let folder = place.dir().display().to_string();
        let system = System::deploy_from(place.with("XTASK_ENVIRONMENTS_DIR", folder));
        let key = system.key("ann@example.com")["key"]
            .as_str()
            .unwrap()
            .to_owned();
        let token = "token --email my-api@example.com --write --json";
        let token = json_of(&system.place.run(token));
        assert_eq!(token["scopes"], json!(["metering:write"]));
        Self {
            token: token["token"].as_str().unwrap().to_owned(),
            key,
            upstream,
            system,
        }
    }

    /// Calls, and returns the id that the upstream got with the call.
    async fn call(&self) -> String {
        let url = format!("{}/complete", self.system.text("/apiUrl"));
        let request = self.system.client.get(url).header("x-api-key", &self.key);
        assert_eq!(request.send().await.unwrap().status(), 200);
        let got = self.upstream.take().remove(0);
        got.header("x-usage-event-id").unwrap().to_owned()
    }

    async fn report(&self, token: &str, media_type: &str, body: &Value) -> (u16, Value) {
        let url = self.system.url("usage/events");
        let request = self.system.client.post(url).bearer_auth(token);
        let request = request.header("content-type", media_type);
        let answer = request.body(body.to_string()).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }
}

fn event(call: &str, meter: &str, amount: &Value) -> Value {
    json!({
        "specversion": "1.0", "id": "1", "source": "/my-api", "type": "API_USAGE",
        "data": {"call": call, "meter": meter, "amount": amount},
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_upstream_reports_of_a_call_counts_once() {
    let metered = Metered::deploy().await;
    let call = metered.call().await;
    the_page_is_followed(&metered, &call);
    a_batch_keeps_the_neighbours_of_a_bad_event(&metered).await;
    only_a_service_reports(&metered, &call).await;
    everything_is_shown(&metered, &call).await;
}

/// The page's `curl` line, twice: its amount counts once.
fn the_page_is_followed(metered: &Metered, call: &str) {
    let commands = fenced("sh");
    let line = commands
        .iter()
        .find(|part| part.starts_with("curl -X POST"));
    let line = line.unwrap();
    let api = metered.system.text("/apiUrl");
    let line = line
        .replace("http://127.0.0.1:PORT/local", api)
        .replace("CALL", call);
    let expected: Value = serde_json::from_str(&fenced("json")[0]).unwrap();
    for _ in 0..2 {
        let ended = std::process::Command::new("sh")
            .args(["-c", &line])
            .env("WRITE", &metered.token)
            .env("NO_PROXY", "127.0.0.1")
            .output()
            .unwrap();
        assert!(ended.status.success(), "{ended:?}");
        let said: Value = serde_json::from_slice(&ended.stdout).unwrap();
        assert_eq!(said, expected);
    }
}

async fn a_batch_keeps_the_neighbours_of_a_bad_event(metered: &Metered) {
    let call = metered.call().await;
    let old = "019a0000-0000-7000-8000-000000000000";
    let batch = json!([
        event(&call, "rows", &json!(3)),
        event(&call, "rows", &json!(1.5)),
        event(&call, "bytes", &json!(1)),
        event(old, "rows", &json!(1)),
        event("me", "rows", &json!(1)),
        event(&call, "tokens", &json!(6)),
    ]);
    for _ in 0..2 {
        let (status, said) = metered.report(&metered.token, BATCH, &batch).await;
        assert_eq!((status, &said["accepted"]), (207, &json!(2)), "{said}");
        let refused = said["refused"].as_array().unwrap().iter();
        let refused: Vec<_> = refused
            .map(|of| (of["index"].as_u64().unwrap(), of["error"].as_str().unwrap()))
            .collect();
        assert_eq!(
            refused,
            [
                (1, "malformed"),
                (2, "unknownMeter"),
                (3, "tooOld"),
                (4, "unknownCall")
            ]
        );
    }
}

async fn only_a_service_reports(metered: &Metered, call: &str) {
    let body = event(call, "tokens", &json!(9_999));
    let admin = metered.system.text("/local/adminToken");
    let (status, said) = metered.report(admin, SINGLE, &body).await;
    assert_eq!((status, &said["error"]), (403, &json!("forbidden")));
    let (status, said) = metered.report("nonsense", SINGLE, &body).await;
    assert_eq!((status, &said["error"]), (401, &json!("unauthorized")));
}

async fn everything_is_shown(metered: &Metered, call: &str) {
    let system = &metered.system;
    let question = "user-stats?email=ann@example.com";
    // Two calls, each of one unit; tokens count towards the quota, rows do not.
    let stats = system.until(question, "/totalUnits", 2 + 1_234 + 6).await;
    let meters = json!([
        {"meter": "rows", "amount": 3},
        {"meter": "tokens", "amount": 1_240},
    ]);
    assert_eq!(stats["totalCalls"], 2);
    assert_eq!(stats["meters"], meters);
    assert_eq!(stats["currentPeriod"]["meters"], meters);
    assert_eq!(stats["currentPeriod"]["units"], 1_242);

    let series = "timeseries?email=ann@example.com&granularity=day&duration=1d";
    let series = system.analytics(series).await;
    let points = series["points"].as_array().unwrap().iter();
    let told: Vec<_> = points
        .map(|point| point["meters"].clone())
        .filter(|meters| *meters != json!([]))
        .collect();
    assert_eq!(told, [meters]);

    let explained = system.place.run(&format!("explain {call}"));
    assert!(
        explained.stdout.contains("used         1234 tokens"),
        "{explained:?}"
    );
    assert!(
        explained.stdout.contains("by the upstream"),
        "{explained:?}"
    );
    let printed = system.events("--from 1h --user ann@example.com");
    let its = printed.iter().find(|event| event["id"] == call).unwrap();
    assert_eq!(its["data"]["meters"], json!({"tokens": 1_234}));

    // Once folded, the usage table holds the same.
    let start = std::time::Instant::now();
    while system.hours("ann@example.com").await.units != 1_242 {
        assert!(start.elapsed().as_secs() < 30, "the hour lacks units");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}
