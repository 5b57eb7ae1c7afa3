//! Dimensions of calls, deployed locally: the section of `docs/own-api.md`, sentence by sentence.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tests::place::Place;
use tests::synthesised::root;
use tests::system::System;
use tests::upstream::Upstream;

/// The page's YAML that declares dimensions.
fn declared() -> String {
    let page = std::fs::read_to_string(root().join("docs/own-api.md")).unwrap();
    let mut parts = page.split("```").skip(1).step_by(2);
    let part = parts.find_map(|part| part.strip_prefix("yaml\ndimensions:"));
    format!("dimensions:{}", part.unwrap())
}

/// A deployed system in front of an upstream, and a user of it.
struct Metered {
    system: System,
    _upstream: Upstream,
    key: String,
}

impl Metered {
    async fn deploy() -> Self {
        let upstream = Upstream::start().await;
        let place = Place::new();
        let file = root().join("stacks/environments/local.yaml");
        let text = std::fs::read_to_string(file).unwrap();
        let url = upstream.url();
        let routes = "routes: ['GET /accounts/{id}', GET /search]";
        let dimensions = declared();
        let text = format!(
            "{text}\nupstream:\n  url: {url}\n  {routes}\nunits: {{'GET /accounts/{{id}}': 10}}\n{dimensions}"
        );
        std::fs::write(place.dir().join("local.yaml"), text).unwrap();
        let folder = place.dir().display().to_string();
        let system = System::deploy_from(place.with("XTASK_ENVIRONMENTS_DIR", folder));
        let key = system.key("ann@example.com")["key"]
            .as_str()
            .unwrap()
            .to_owned();
        Self {
            system,
            _upstream: upstream,
            key,
        }
    }

    /// Calls once, with a tenant if one is given.
    async fn call(&self, path: &str, tenant: Option<&str>) {
        let url = format!("{}{path}", self.system.text("/apiUrl"));
        let mut request = self.system.client.get(url).header("x-api-key", &self.key);
        if let Some(tenant) = tenant {
            request = request.header("X-Tenant", tenant);
        }
        assert_eq!(request.send().await.unwrap().status(), 200);
    }

    /// The sums of a series by group, and those of its points.
    async fn grouped(&self, by: &str) -> BTreeMap<String, u64> {
        let question = format!("timeseries?email=ann@example.com&duration=2h&groupBy={by}");
        let series = self.system.analytics(&question).await;
        let mut sums = BTreeMap::new();
        let points = series["points"].as_array().unwrap().iter();
        for group in points.flat_map(|point| point["groups"].as_array().unwrap()) {
            let key = group["key"].as_str().unwrap().to_owned();
            *sums.entry(key).or_default() += group["totalCalls"].as_u64().unwrap();
        }
        sums
    }
}

fn named(sums: &[(&str, u64)]) -> BTreeMap<String, u64> {
    let sums = sums.iter();
    sums.map(|(name, calls)| ((*name).to_owned(), *calls))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_grouped_by_path_query_and_header_and_invented_values_are_other() {
    let metered = Metered::deploy().await;
    for tenant in ["acme", "acme", "acme", "=1+1", "=1+1", "initech", "initech"] {
        metered.call("/accounts/7?region=eu", Some(tenant)).await;
    }
    // Six invented values, one that is too long, and the caller's own key.
    for number in 0..6 {
        let tenant = format!("z-invented-{number}");
        metered.call("/search?region=us", Some(&tenant)).await;
    }
    metered.call("/search", Some(&"z".repeat(65))).await;
    metered.call("/accounts/a%20b", Some(&metered.key)).await;
    metered.call("/search?region=", None).await;
    the_user_sees_every_call_once(&metered).await;
    series_are_grouped(&metered).await;
    events_carry_their_values(&metered);
}

async fn the_user_sees_every_call_once(metered: &Metered) {
    let question = "user-stats?email=ann@example.com";
    let stats = metered
        .system
        .until(question, "/totalCalls", 7 + 6 + 3)
        .await;
    assert_eq!(
        stats["dimensions"],
        json!({
            "account": [
                {"value": "7", "calls": 7, "units": 70},
                {"value": "a b", "calls": 1, "units": 10},
            ],
            "region": [
                {"value": "eu", "calls": 7, "units": 70},
                {"value": "us", "calls": 6, "units": 6},
            ],
            // The last call has no tenant.
            "tenant": [
                {"value": "other", "calls": 8, "units": 17},
                {"value": "acme", "calls": 3, "units": 30},
                {"value": "=1+1", "calls": 2, "units": 20},
                {"value": "initech", "calls": 2, "units": 20},
            ],
        })
    );
}

async fn series_are_grouped(metered: &Metered) {
    let tenants = named(&[("acme", 3), ("=1+1", 2), ("initech", 2), ("other", 8)]);
    assert_eq!(metered.grouped("tenant").await, tenants);
    assert_eq!(
        metered.grouped("account").await,
        named(&[("7", 7), ("a b", 1)])
    );
    assert_eq!(
        metered.grouped("region").await,
        named(&[("eu", 7), ("us", 6)])
    );
    let question = "timeseries?email=ann@example.com&duration=2h&groupBy=tenants";
    let (status, refused) = metered.system.ask(question).await;
    assert_eq!((status, &refused["parameter"]), (400, &json!("groupBy")));

    let question = "timeseries?email=ann@example.com&duration=2h&groupBy=tenant&format=csv";
    let request = metered
        .system
        .client
        .get(metered.system.url(&format!("analytics/{question}")));
    let request = request.bearer_auth(metered.system.text("/local/adminToken"));
    let table = request.send().await.unwrap().text().await.unwrap();
    assert!(table.contains(",'=1+1,"), "{table}");
}

/// Each call says what it counts by, and never the key.
fn events_carry_their_values(metered: &Metered) {
    let printed = metered.system.events("--from 1h --user ann@example.com");
    let of = |event: &Value, name: &str| -> Option<String> {
        let dimensions = event["data"]["dimensions"].as_array()?.iter();
        let mut its = dimensions.filter(|of| of["name"] == name);
        Some(its.next()?["value"].as_str()?.to_owned())
    };
    let mut tenants: BTreeMap<String, u64> = BTreeMap::new();
    for event in &printed {
        assert!(!event.to_string().contains(&metered.key), "{event}");
        *tenants
            .entry(of(event, "tenant").unwrap_or_default())
            .or_default() += 1;
    }
    assert_eq!(tenants["acme"], 3);
    // Too long, and the key.
    assert_eq!(tenants["other"], 2);
    assert_eq!(tenants[""], 1);
    assert_eq!(printed.len(), 16);
}
