#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;

use super::*;
use aws_lambda_events::encodings::Body;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bearer::signing::{Signer, claims, verifier};
use domain::id::EventId;
use domain::meter::Meter;
use domain::names::WRITE_SCOPE;
use runtime::journal::Journal;
use runtime::memory::MemoryStore;
use serde_json::json;

const NOW: UnixMillis = UnixMillis(1_795_363_445_007);

struct World {
    api: Api<MemoryStore>,
    table: MemoryStore,
    signer: Signer,
}

impl World {
    fn new() -> Self {
        let signer = Signer::es256("1");
        let table = MemoryStore::default();
        let tokens = Meter {
            counts_to_quota: true,
        };
        let api = Api {
            collector: Collector {
                journal: Journal {
                    store: table.clone(),
                    retention_days: 90,
                },
            },
            meters: Meters(BTreeMap::from([("tokens".to_owned(), tokens)])),
            verifier: verifier(&[signer.jwk()]),
        };
        Self { api, table, signer }
    }

    fn token(&self, scope: &str) -> String {
        let mut claims = claims("api@example.com", NOW);
        claims["scope"] = json!(scope);
        format!("Bearer {}", self.signer.sign(&claims))
    }

    /// The status and the body of a response.
    async fn post(&self, media_type: &str, body: &str) -> (i64, Value) {
        self.respond(event(&self.token(WRITE_SCOPE), media_type, body))
            .await
    }

    async fn respond(&self, event: Value) -> (i64, Value) {
        let request = serde_json::from_value(event).unwrap();
        let response = self.api.respond(&request, NOW).await;
        let Some(Body::Text(body)) = response.body else {
            panic!("no text");
        };
        (response.status_code, serde_json::from_str(&body).unwrap())
    }
}

fn event(authorization: &str, media_type: &str, body: &str) -> Value {
    json!({
        "resource": "/v1/usage/events",
        "path": "/v1/usage/events",
        "httpMethod": "POST",
        "multiValueHeaders": {
            "Authorization": [authorization],
            "Content-Type": [media_type],
        },
        "body": BASE64_STANDARD.encode(body),
        "isBase64Encoded": true,
    })
}

fn report(number: u8, amount: &Value) -> Value {
    let call = EventId::mint(NOW.0.unsigned_abs() - 1_000, [number; 10]);
    json!({
        "specversion": "1.0", "id": format!("r{number}"), "source": "/my/api",
        "type": "API_USAGE",
        "data": {"call": call, "meter": "tokens", "amount": amount},
    })
}

#[tokio::test]
async fn single_and_batched_events_are_accepted() {
    let world = World::new();
    let one = report(1, &json!(70)).to_string();
    let all = json!({"accepted": 1, "refused": []});
    assert_eq!(world.post(SINGLE, &one).await, (202, all));
    let two = json!([report(1, &json!(70)), report(2, &json!(0))]).to_string();
    let media_type = format!("{BATCH}; charset=utf-8");
    let all = json!({"accepted": 2, "refused": []});
    assert_eq!(world.post(&media_type, &two).await, (202, all));
    let none = json!({"accepted": 0, "refused": []});
    assert_eq!(world.post(BATCH, "[]").await, (202, none));
    assert_eq!(world.table.keys().len(), 2);
}

#[tokio::test]
async fn a_bad_event_is_reported_and_its_neighbours_are_kept() {
    let world = World::new();
    let given = [json!(70), json!(-1), json!(8)];
    let batch: Vec<Value> = (1..).zip(&given).map(|(n, of)| report(n, of)).collect();
    let (status, body) = world.post(BATCH, &json!(batch).to_string()).await;
    assert_eq!((status, &body["accepted"]), (207, &json!(2)));
    let refused = json!({
        "index": 1, "id": "r2", "error": "malformed",
        "message": "`data.amount`: expected a whole number from 0 to 1000000000000, found `-1`",
    });
    assert_eq!(body["refused"], json!([refused]));
    let (status, body) = world.post(SINGLE, &batch[1].to_string()).await;
    assert_eq!((status, &body["accepted"]), (400, &json!(0)));
    let documented: Value =
        serde_json::from_str(include_str!("../../../analytics/openapi.json")).unwrap();
    let schemas = &documented["components"]["schemas"];
    for (schema, told) in [("Collected", &body), ("Refused", &body["refused"][0])] {
        let names = |value: &Value| {
            value
                .as_object()
                .unwrap()
                .keys()
                .cloned()
                .collect::<Vec<_>>()
        };
        assert_eq!(
            names(&schemas[schema]["properties"]),
            names(told),
            "{schema}"
        );
    }
}

#[tokio::test]
async fn only_a_token_that_may_write_reports() {
    let world = World::new();
    let body = report(1, &json!(70)).to_string();
    for (authorization, status, code) in [
        (String::new(), 401, "unauthorized"),
        (world.token("metering:admin"), 403, "forbidden"),
        (world.token(""), 403, "forbidden"),
    ] {
        let told = world.respond(event(&authorization, SINGLE, &body)).await;
        assert_eq!((told.0, &told.1["error"]), (status, &json!(code)));
    }
    assert_eq!(world.table.keys().len(), 0);
}

#[tokio::test]
async fn a_malformed_request_is_refused_whole() {
    let world = World::new();
    let one = report(1, &json!(70));
    let many = json!(vec![&one; MOST_EVENTS + 1]).to_string();
    let long = format!("{one}{}", " ".repeat(MOST_BYTES));
    let listed = json!([one]).to_string();
    for (media_type, body, status, code) in [
        (
            "application/json",
            one.to_string(),
            415,
            "unsupportedMediaType",
        ),
        (SINGLE, "{".to_owned(), 400, "malformed"),
        (SINGLE, listed, 400, "malformed"),
        (BATCH, one.to_string(), 400, "malformed"),
        (BATCH, many, 400, "tooLarge"),
        (SINGLE, long, 413, "tooLarge"),
    ] {
        let told = world.post(media_type, &body).await;
        assert_eq!((told.0, &told.1["error"]), (status, &json!(code)));
    }
    let mut asked = event(&world.token(WRITE_SCOPE), SINGLE, "");
    asked["httpMethod"] = json!("GET");
    assert_eq!(world.respond(asked).await.0, 405);
    let mut broken = event(&world.token(WRITE_SCOPE), SINGLE, "");
    broken["body"] = json!("%");
    assert_eq!(world.respond(broken).await.0, 400);
    assert_eq!(world.table.keys().len(), 0);
}
