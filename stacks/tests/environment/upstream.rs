//! One's own API: addresses, routes, units and meters.

use std::path::Path;

use stacks::Environment;

use super::{folder, refused_at_the_end, with};

#[test]
fn an_upstream_is_an_address_or_an_address_with_routes() {
    let plain = with("upstream: https://api.example.com").unwrap();
    let upstream = plain.upstream.unwrap();
    assert_eq!(upstream.url.as_str(), "https://api.example.com");
    assert_eq!(
        upstream.reserved_headers(),
        ["x-usage-user", "x-usage-plan", "x-usage-event-id"]
    );
    assert!(!upstream.pass_key);
    let full = with("upstream:\n  url: https://api.example.com\n  routes: [GET /a, 'GET /{id}']");
    let upstream = full.unwrap().upstream.unwrap();
    let routes: Vec<String> = upstream.routes.iter().map(ToString::to_string).collect();
    assert_eq!(routes, ["GET /a", "GET /{id}"]);
    assert_eq!(upstream.examples, ["/a"]);
}

#[test]
fn the_routes_are_read_from_an_openapi_document_beside_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(self::folder().join("test.yaml")).unwrap();
    let more = "upstream:\n  url: https://api.example.com\n  openapi: api.yaml\n";
    let file = folder.path().join("test.yaml");
    std::fs::write(&file, format!("{text}{more}")).unwrap();
    let error = Environment::load(&file).unwrap_err().to_string();
    assert!(
        error.contains(":61:12: upstream.openapi: cannot read `"),
        "{error}"
    );
    let document = "openapi: 3.1.0\npaths: {'/users/{id}': {get: {}, delete: {}}}\n";
    std::fs::write(folder.path().join("api.yaml"), document).unwrap();
    let upstream = Environment::load(&file).unwrap().upstream.unwrap();
    let routes: Vec<String> = upstream.routes.iter().map(ToString::to_string).collect();
    assert_eq!(routes, ["DELETE /users/{id}", "GET /users/{id}"]);
}

#[test]
fn the_sample_document_has_routes_and_calls() {
    let more = "upstream: {url: 'https://shop.example', openapi: ../examples/shop/openapi.yaml}";
    let upstream = with(more).unwrap().upstream.unwrap();
    let routes: Vec<String> = upstream.routes.iter().map(ToString::to_string).collect();
    assert_eq!(
        routes,
        [
            "GET /health",
            "GET /items",
            "POST /items",
            "DELETE /items/{id}",
            "GET /items/{id}",
            "GET /search"
        ]
    );
    assert_eq!(
        upstream.examples,
        ["/health", "/items", "/items/1", "/search?q=tea"]
    );
}

#[test]
fn an_upstream_that_cannot_be_is_refused() {
    for (more, expected) in [
        (
            "upstream: api.example.com",
            "upstream: `api.example.com` is not an address",
        ),
        ("upstream: https://a.example/x?y=1", "holds a query"),
        (
            "upstream:\n  url: https://a.example\n  routes: [GET users]",
            "`GET users` is not a route: the template begins with `/`",
        ),
        (
            "upstream:\n  url: https://a.example\n  routes: ['GET /{a}', 'GET /{b}']",
            "upstream.routes: the routes `GET /{a}` and `GET /{b}` match the same calls",
        ),
        (
            "upstream:\n  url: https://a.example\n  routes: []\n  openapi: a.yaml",
            "upstream.routes: conflicts with `openapi`; give one of them",
        ),
        (
            "upstream:\n  url: https://a.example\n  identity: {user: authorization}",
            "`authorization` cannot be a header of the gateway's",
        ),
        (
            "upstream:\n  url: https://a.example\n  identity: {user: x-a, plan: x-a}",
            "two members name the header `x-a`",
        ),
        (
            "upstream:\n  url: https://a.example\n  secret: {secretsManager: 'arn:aws:x'}",
            "the name, not its ARN",
        ),
        (
            "upstream:\n  url: https://a.example\n  paths: []",
            "unknown key `paths`",
        ),
    ] {
        refused_at_the_end(more, expected);
    }
}

#[test]
fn units_are_given_for_routes_that_are_there() {
    let upstream = "upstream: {url: 'https://a.example', routes: [GET /search, GET /]}";
    let environment = with(&format!("{upstream}\nunits: {{GET /search: 10, other: 0}}")).unwrap();
    let units: Vec<u32> = environment
        .routes()
        .iter()
        .map(|route| environment.units_of(Some(route)))
        .collect();
    assert_eq!(units, [10, 1]);
    assert_eq!(environment.units_of(None), 0);
    assert!(with("units: {GET /v1/deadlines: 3}").is_ok(), "the sample");
    for (units, expected) in [
        (
            "{GET /find: 3}",
            "units: `GET /find` is not a route of this API",
        ),
        ("{/search: 3}", "`/search` is not a route"),
        (
            "{GET /search: 1.5}",
            "expected a whole number from 0 to 1000000",
        ),
        ("{GET /search: -1}", "`-1` is out of range"),
    ] {
        refused_at_the_end(&format!("{upstream}\nunits: {units}"), expected);
    }
}

#[test]
fn meters_are_declared_by_name_and_are_few() {
    let meters = "meters:\n  tokens: {countsToQuota: true}\n  rows: {}\n  gpu_ms:";
    let meters = with(meters).unwrap().meters;
    let counted: Vec<_> = meters
        .iter()
        .map(|(name, meter)| (name.as_str(), meter.counts_to_quota))
        .collect();
    assert_eq!(
        counted,
        [("gpu_ms", false), ("rows", false), ("tokens", true)]
    );
    let eleven = (0..11).map(|number| format!("\n  m{number}: {{}}"));
    let eleven = eleven.collect::<Vec<_>>().concat();
    for (more, expected) in [
        ("meters:\n  2d: {}".to_owned(), "`2d` cannot name a meter"),
        (
            "meters:\n  tokens: {unit: token}".to_owned(),
            "unknown key `unit`, expected `countsToQuota`",
        ),
        (
            "meters:\n  tokens: {countsToQuota: 2}".to_owned(),
            "invalid type: integer `2`, expected a boolean",
        ),
        (
            format!("meters:{eleven}"),
            "`m10` is one meter too many: expected at most 10",
        ),
        ("meters: [tokens]".to_owned(), "expected meters by name"),
        (
            "concurrency: {collector: 2}".to_owned(),
            "the collector needs `meters`",
        ),
    ] {
        refused_at_the_end(&more, expected);
    }
}

/// An amount is known only after its call was let through.
#[test]
fn no_hard_quota_counts_amounts() {
    let parse = |limits: &str, meter: &str| {
        let text = std::fs::read_to_string(folder().join("test.yaml")).unwrap();
        let text = text.replacen("limitMode: soft", limits, 1);
        let text = format!("{text}meters:\n  tokens: {meter}\n");
        Environment::parse("test", Path::new("test.yaml"), &text)
    };
    let counts = "{countsToQuota: true}";
    let error = parse("limitMode: hard", counts).unwrap_err().to_string();
    let expected = "meters: `tokens` counts to the quota, and the quota of plan `free` is hard";
    assert!(error.contains(expected), "{error}");
    let lines = std::fs::read_to_string(folder().join("test.yaml")).unwrap();
    let line = lines.lines().count() + 1;
    assert!(
        error.starts_with(&format!("test.yaml:{line}:1: ")),
        "{error}"
    );
    assert!(parse("limitMode: hard", "{}").is_ok());
    assert!(parse("limitMode: soft", counts).is_ok());
}

#[test]
fn a_route_whose_calls_the_gateway_answers_is_refused() {
    let with_route = |route: &str, more: &str| {
        let upstream = "upstream:\n  url: https://api.example.com";
        format!("{upstream}\n  routes: ['GET /a', '{route}']{more}")
    };
    for route in [
        "GET /v1/keys",
        "GET /v1/keys/{id}",
        "POST /v1/analytics/x",
        "OPTIONS /a",
    ] {
        let problem =
            format!("test.yaml:61:11: upstream: calls of `{route}` would not reach the API");
        refused_at_the_end(&with_route(route, ""), &problem);
    }
    let reports = "POST /v1/usage/events";
    refused_at_the_end(
        &with_route(reports, "\nmeters: {tokens: {}}"),
        &format!("upstream: calls of `{reports}` would not reach the API"),
    );
    for route in [reports, "GET /v1/keyspaces", "GET /ping"] {
        assert!(with(&with_route(route, "")).is_ok(), "{route}");
    }
}
