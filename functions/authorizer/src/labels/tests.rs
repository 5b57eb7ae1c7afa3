#![allow(clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use domain::dimension::{Declared, Sources};
use domain::key::ApiKey;
use domain::names::TrackingMode;
use domain::route::{AttachedRoutes, Route, Routes};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn origin() -> Origin {
    let sources = [
        ("account", Source::Path("id".to_owned()), 20),
        ("region", Source::Query("region".to_owned()), 5),
        ("tenant", Source::Header("x-tenant".to_owned()), 50),
    ];
    let sources =
        sources.map(|(name, source, values)| (name.to_owned(), Declared { source, values }));
    let route = Route::parse("GET /accounts/{id}").unwrap();
    let parcel = Route::parse("GET /parcels/{id}").unwrap();
    Origin {
        source: "/complical/test/api".to_owned(),
        mode: TrackingMode::Stream,
        routes: Routes::new([(route, 1)], 1).unwrap(),
        attached: AttachedRoutes(
            [(
                "attached".to_owned(),
                Routes::new([(parcel, 1)], 1).unwrap(),
            )]
            .into(),
        ),
        dimensions: Sources(BTreeMap::from(sources)),
    }
}

/// What another system's key looks like.
const IMPORTED: &str = "hQ1fXm3Zb58aLkW0tYv2PdR9";

fn rest(path: &str, query: &Value, tenant: &Value) -> Value {
    json!({
        "methodArn": "arn", "resource": "/{proxy+}", "path": path, "httpMethod": "GET",
        "headers": {"X-Tenant": tenant, "X-Api-Key": IMPORTED},
        "queryStringParameters": {"region": query},
        "pathParameters": {"proxy": path, "id": "the gateway's"},
    })
}

fn labels(event: Value) -> Vec<(String, String, u8)> {
    let request = serde_json::from_value::<Request>(event).unwrap();
    let labels = origin().labels(&request).into_iter();
    labels
        .map(|of| (of.name.into_owned(), of.value.into_owned(), of.values))
        .collect()
}

fn expected(labels: &[(&str, &str, u8)]) -> Vec<(String, String, u8)> {
    let labels = labels.iter();
    labels
        .map(|(name, value, values)| ((*name).to_owned(), (*value).to_owned(), *values))
        .collect()
}

#[test]
fn each_kind_of_gateway_gives_the_values_of_path_query_and_header() {
    let all = expected(&[
        ("account", "7", 20),
        ("region", "eu", 5),
        ("tenant", "acme", 50),
    ]);
    let rest = rest("/accounts/7", &json!("eu"), &json!("acme"));
    assert_eq!(labels(rest.clone()), all);
    let mut http_1 = rest;
    http_1["version"] = json!("1.0");
    assert_eq!(labels(http_1.clone()), all);
    // An attached API has templates of its own.
    http_1["resource"] = json!("/v2/accounts/{id}");
    http_1["pathParameters"] = json!({"id": "9"});
    assert_eq!(labels(http_1)[0].1, "9");
    let http_2 = json!({
        "version": "2.0", "routeArn": "arn", "routeKey": "ANY /{proxy+}", "rawPath": "/accounts/7",
        "headers": {"x-tenant": "acme"}, "queryStringParameters": {"region": "eu"},
        "requestContext": {"http": {"method": "GET"}},
    });
    assert_eq!(labels(http_2), all);
}

#[test]
fn what_is_missing_has_no_value_and_what_no_label_can_carry_is_other() {
    let null = Value::Null;
    assert_eq!(labels(rest("/elsewhere", &null, &null)), []);
    assert_eq!(labels(rest("/elsewhere", &json!(""), &json!(7))), []);
    let key = ApiKey::mint("complical", [7; 24]);
    let long = "a".repeat(65);
    for value in [long.as_str(), "a\nb", "\u{1b}[31m", key.reveal(), IMPORTED] {
        let tenant = labels(rest("/elsewhere", &null, &json!(value)));
        assert_eq!(tenant, expected(&[("tenant", "other", 50)]), "{value}");
    }
    let account = labels(rest("/accounts/%ff", &null, &null));
    assert_eq!(account, expected(&[("account", "other", 20)]));
}

#[test]
fn a_request_prints_no_value_that_a_caller_chose() {
    let event = rest("/accounts/7", &json!("of-query"), &json!("of-header"));
    let request = serde_json::from_value::<Request>(event).unwrap();
    let printed = format!("{request:?}");
    for value in ["of-query", "of-header", "the gateway's", IMPORTED] {
        assert!(!printed.contains(value), "{printed}");
    }
}

proptest! {
    /// Every request yields labels that an event can carry.
    #[test]
    fn every_label_is_sound(path: String, query: String, tenant: String) {
        let path = format!("/accounts/{path}");
        let event = rest(&path, &json!(query), &json!(tenant));
        let request = serde_json::from_value::<Request>(event).unwrap();
        for label in origin().labels(&request) {
            prop_assert!(label.is_sound(), "{:?}", label);
        }
    }
}

#[test]
fn an_attached_apis_catch_all_gives_the_variables_of_its_own_routes() {
    let of = |api: &str, resource: &str| {
        let mut event = rest("/parcels/7", &Value::Null, &Value::Null);
        event["methodArn"] = json!(format!(
            "arn:aws:execute-api:eu-west-1:123456789012:{api}/v1/GET/x"
        ));
        event["resource"] = json!(resource);
        labels(event)
    };
    let account = |value| expected(&[("account", value, 20)]);
    for catch_all in ["/{proxy+}", "/parcels/{rest+}", "$default"] {
        assert_eq!(of("attached", catch_all), account("7"), "{catch_all}");
    }
    // Its other resources have variables of the gateway, as those of an API without routes.
    assert_eq!(of("attached", "/parcels/{id}"), account("the gateway's"));
    assert_eq!(of("another", "/parcels/{rest+}"), account("the gateway's"));
    assert_eq!(of("another", "/{proxy+}"), expected(&[]));
}
