#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use super::*;
use aws_lambda_events::encodings::Body;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bearer::signing::{Signer, claims, verifier};
use domain::key::{ApiKey, KeyDetails, KeyRecord};
use domain::names::ADMIN_SCOPE;
use keyring::memory::MemoryKeys;
use serde_json::{Value, json};

mod managed;

const NOW: UnixMillis = UnixMillis(1_795_363_445_007);
const ANN: &str = "ann@example.com";
const BOB: &str = "bob@example.com";

struct World {
    api: Api<MemoryKeys>,
    signer: Signer,
}

struct Answer {
    status: i64,
    headers: aws_lambda_events::http::HeaderMap,
    body: Value,
}

impl Answer {
    #[track_caller]
    fn is(&self, status: i64, code: &str) {
        let found = (self.status, self.body["error"].as_str());
        assert_eq!(found, (status, Some(code)), "{}", self.body);
    }
}

impl World {
    fn new() -> Self {
        let signer = Signer::es256("1");
        let api = Api {
            keyring: Keyring {
                table: MemoryKeys::default(),
                prefix: "complical".to_owned(),
                plans: ["free", "pro"].map(str::to_owned).into(),
            },
            verifier: verifier(&[signer.jwk()]),
        };
        Self { api, signer }
    }

    /// The same with a working key of Ann's and one of Bob's, both on the plan `free`.
    fn with_keys() -> Self {
        let world = Self::new();
        world.hold("key_a", ANN, |_| {});
        world.hold("key_b", BOB, |_| {});
        world
    }

    fn hold(&self, id: &str, email: &str, change: impl FnOnce(&mut KeyRecord)) {
        let mut key = KeyRecord {
            key_hash: domain::key::hash(id),
            id: id.to_owned(),
            prefix: "complical_abcd".to_owned(),
            email: email.to_owned(),
            plan: "free".to_owned(),
            created_at: NOW.plus_millis(-90 * 86_400_000),
            expires_at: None,
            revoked_at: None,
            more: KeyDetails::default(),
        };
        change(&mut key);
        self.table().hold(key);
    }

    fn table(&self) -> &MemoryKeys {
        &self.api.keyring.table
    }

    fn token(&self, email: &str) -> String {
        format!("Bearer {}", self.signer.sign(&claims(email, NOW)))
    }

    fn admin(&self) -> String {
        let mut claims = claims("root@example.com", NOW);
        claims["scope"] = json!(ADMIN_SCOPE);
        format!("Bearer {}", self.signer.sign(&claims))
    }

    async fn send(&self, event: Value) -> Answer {
        let request = serde_json::from_value(event).unwrap();
        let response = self.api.respond(&request, NOW).await;
        let Some(Body::Text(body)) = response.body else {
            panic!("no text");
        };
        assert_eq!(response.headers["cache-control"], "no-store");
        Answer {
            status: response.status_code,
            headers: response.headers,
            body: serde_json::from_str(&body).unwrap(),
        }
    }

    async fn create(&self, token: &str, body: &Value) -> Answer {
        self.send(event("POST", "/v1/keys", token, body)).await
    }

    async fn rotate(&self, token: &str, id: &str) -> Answer {
        let path = "/v1/keys/{id}/rotate";
        self.send(with_id(event("POST", path, token, &json!({})), id))
            .await
    }

    async fn revoke(&self, token: &str, id: &str) -> Answer {
        let path = "/v1/keys/{id}";
        self.send(with_id(event("DELETE", path, token, &Value::Null), id))
            .await
    }

    async fn set(&self, token: &str, id: &str, body: &Value) -> Answer {
        let path = "/v1/keys/{id}";
        self.send(with_id(event("PATCH", path, token, body), id))
            .await
    }

    async fn import(&self, token: &str, body: &Value) -> Answer {
        self.send(event("POST", "/v1/keys/import", token, body))
            .await
    }

    async fn list(&self, token: &str, query: &[(&str, &str)]) -> Answer {
        let asked = event("GET", "/v1/keys", token, &Value::Null);
        self.send(with_query(asked, query)).await
    }

    async fn block(&self, token: &str, whom: &str) -> Answer {
        let body = json!({"whom": whom});
        self.send(event("POST", "/v1/blocks", token, &body)).await
    }

    async fn unblock(&self, token: &str, query: &[(&str, &str)]) -> Answer {
        let asked = event("DELETE", "/v1/blocks", token, &Value::Null);
        self.send(with_query(asked, query)).await
    }

    async fn blocks(&self, token: &str, query: &[(&str, &str)]) -> Answer {
        let asked = event("GET", "/v1/blocks", token, &Value::Null);
        self.send(with_query(asked, query)).await
    }
}

fn event(method: &str, resource: &str, token: &str, body: &Value) -> Value {
    let mut event = json!({
        "resource": resource,
        "path": resource,
        "httpMethod": method,
        "multiValueHeaders": {
            "Authorization": [token],
            "Content-Type": ["application/json; charset=utf-8"],
        },
    });
    if !body.is_null() {
        event["body"] = json!(BASE64_STANDARD.encode(body.to_string()));
        event["isBase64Encoded"] = json!(true);
    }
    event
}

fn with_id(mut event: Value, id: &str) -> Value {
    event["pathParameters"] = json!({"id": id});
    event
}

fn with_query(mut event: Value, query: &[(&str, &str)]) -> Value {
    for (name, value) in query {
        event["multiValueQueryStringParameters"][name] = json!([value]);
    }
    event
}

fn ids(answer: &Answer) -> Vec<&str> {
    let keys = answer.body["keys"].as_array().unwrap().iter();
    keys.map(|key| key["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn an_administrator_creates_rotates_and_revokes_any_key() {
    let world = World::new();
    let order = json!({"email": "Ann@Example.com", "plan": "pro", "expires": "30d"});
    let new = world.create(&world.admin(), &order).await;
    assert_eq!(new.status, 201, "{}", new.body);
    assert_eq!(
        (&new.body["email"], &new.body["plan"]),
        (&json!(ANN), &json!("pro"))
    );
    let key = new.body["key"].as_str().unwrap();
    let id = new.body["id"].as_str().unwrap();
    assert!(ApiKey::parse(key).is_some() && !id.contains(&domain::key::hash(key)));
    let rotated = world.rotate(&world.admin(), id).await;
    assert_eq!(
        (rotated.status, &rotated.body["replaces"]),
        (201, &json!(id))
    );
    assert_ne!(rotated.body["key"], new.body["key"]);
    assert_eq!(rotated.body["graceUntil"], NOW.plus_days(1).to_string());
    let revoked = world.revoke(&world.admin(), id).await;
    let told = json!({"id": id, "revokedAt": NOW.to_string()});
    assert_eq!((revoked.status, revoked.body), (200, told));
    let log = world.table().log();
    let whats: Vec<&str> = log.iter().map(|entry| entry.what).collect();
    assert_eq!(whats, ["keys create", "keys rotate", "keys revoke"]);
    assert!(
        log.iter()
            .all(|entry| entry.actor.name == "root@example.com")
    );
    let kept = format!("{:?}{log:?}", world.table().keys());
    assert!(!kept.contains(key), "{kept}");
}

#[tokio::test]
async fn a_user_manages_their_own_keys_on_their_own_plan() {
    let world = World::with_keys();
    let ann = world.token(ANN);
    let new = world.create(&ann, &json!({})).await;
    assert_eq!((new.status, &new.body["plan"]), (201, &json!("free")));
    let id = new.body["id"].as_str().unwrap();
    assert_eq!(ids(&world.list(&ann, &[]).await), [id, "key_a"]);
    assert_eq!(world.rotate(&ann, "key_a").await.status, 201);
    assert_eq!(world.revoke(&ann, "key_a").await.status, 200);
    let other_plan = world.create(&ann, &json!({"plan": "pro"})).await;
    other_plan.is(403, "forbidden");
    assert_eq!(world.list(&ann, &[]).await.body["plans"], json!(["free"]));
    let roles: Vec<_> = world
        .table()
        .log()
        .into_iter()
        .map(|entry| entry.actor)
        .collect();
    assert!(
        roles
            .iter()
            .all(|actor| actor.role == Role::User && actor.name == ANN)
    );
}

#[tokio::test]
async fn another_users_keys_are_as_good_as_unknown() {
    let world = World::with_keys();
    let ann = world.token(ANN);
    for id in [
        "key_b",
        "key_nobody",
        "",
        &"k".repeat(2_000),
        "complical_0bPE",
    ] {
        let unknown = json!({"error": "notFound", "message": "unknown key"});
        for answer in [world.rotate(&ann, id).await, world.revoke(&ann, id).await] {
            assert_eq!((answer.status, &answer.body), (404, &unknown), "{id}");
        }
    }
    world
        .list(&ann, &[("email", BOB)])
        .await
        .is(403, "forbidden");
    world
        .create(&ann, &json!({"email": BOB}))
        .await
        .is(403, "forbidden");
    world
        .list(&ann, &[("cursor", "key_b")])
        .await
        .is(400, "invalidParameter");
    assert_eq!(ids(&world.list(&ann, &[]).await), ["key_a"]);
    assert_eq!(world.table().keys().len(), 2);
}

#[tokio::test]
async fn a_user_without_a_working_key_gets_the_reason() {
    let world = World::new();
    world.hold("key_a", ANN, |key| key.revoked_at = Some(NOW));
    let refused = world.create(&world.token(ANN), &json!({})).await;
    refused.is(403, "forbidden");
    let reason = refused.body["message"].as_str().unwrap();
    assert!(reason.contains("no working key"), "{reason}");
    assert_eq!(
        world.list(&world.token(ANN), &[]).await.body["plans"],
        json!([])
    );
    world
        .rotate(&world.token(ANN), "key_a")
        .await
        .is(409, "conflict");
    world
        .rotate(&world.admin(), "key_a")
        .await
        .is(409, "conflict");
}

#[tokio::test]
async fn nobody_without_a_valid_token_learns_or_changes_anything() {
    let world = World::with_keys();
    let mut expired = claims(ANN, NOW);
    expired["exp"] = json!(NOW.seconds());
    let expired = format!("Bearer {}", world.signer.sign(&expired));
    let stranger = Signer::es256("1").sign(&claims(ANN, NOW));
    for token in [
        "",
        "Bearer nonsense",
        &expired,
        &format!("Bearer {stranger}"),
    ] {
        for answer in [
            world.list(token, &[("wrong", "1")]).await,
            world.create(token, &json!(7)).await,
            world.rotate(token, "key_a").await,
            world.revoke(token, "key_a").await,
        ] {
            answer.is(401, "unauthorized");
            let challenge = answer.headers["www-authenticate"].to_str().unwrap();
            assert!(challenge.starts_with("Bearer"), "{challenge}");
        }
    }
    assert!(world.table().log().is_empty());
}

#[tokio::test]
async fn a_token_that_names_nobody_changes_nothing() {
    let world = World::with_keys();
    let mut unverified = claims(ANN, NOW);
    unverified["email_verified"] = json!(false);
    let user = format!("Bearer {}", world.signer.sign(&unverified));
    world.list(&user, &[]).await.is(400, "invalidParameter");
    unverified["scope"] = json!(ADMIN_SCOPE);
    unverified["sub"] = json!("signup-service");
    let service = format!("Bearer {}", world.signer.sign(&unverified));
    assert_eq!(world.revoke(&service, "key_a").await.status, 200);
    assert_eq!(world.table().log()[0].actor.name, "signup-service");
    unverified["sub"] = json!(7);
    let nobody = format!("Bearer {}", world.signer.sign(&unverified));
    world.revoke(&nobody, "key_b").await.is(403, "forbidden");
}

#[tokio::test]
async fn a_malformed_request_is_refused() {
    let world = World::with_keys();
    let (ann, admin) = (world.token(ANN), world.admin());
    for (body, parameter) in [
        (json!({"email": ANN, "plan": "gold"}), "plan"),
        (json!({"email": ANN}), "plan"),
        (json!({"plan": "free"}), "email"),
        (json!({"email": "ann", "plan": "free"}), "email"),
        (
            json!({"email": ANN, "plan": "free", "expires": "soon"}),
            "expires",
        ),
        (
            json!({"email": ANN, "plan": "free", "expires": "2020-01-01T00:00:00Z"}),
            "expires",
        ),
    ] {
        let answer = world.create(&admin, &body).await;
        answer.is(400, "invalidParameter");
        assert_eq!(answer.body["parameter"], parameter, "{body}");
    }
    for body in [
        json!([]),
        json!(7),
        json!({"email": 7}),
        json!({"mail": ANN}),
    ] {
        world.create(&admin, &body).await.is(400, "malformed");
    }
    let long = json!({"plan": "f".repeat(body::MOST_BYTES)});
    world.create(&ann, &long).await.is(413, "tooLarge");
    let mut broken = event("POST", "/v1/keys", &ann, &json!({}));
    broken["body"] = json!("%");
    world.send(broken.clone()).await.is(400, "malformed");
    broken["body"] = json!(BASE64_STANDARD.encode("{}"));
    broken["multiValueHeaders"]["Content-Type"] = json!(["text/plain"]);
    world.send(broken).await.is(415, "unsupportedMediaType");
    let wrong = event("PUT", "/v1/keys", &ann, &json!({}));
    let answer = world.send(wrong).await;
    answer.is(405, "methodNotAllowed");
    assert_eq!(answer.headers["allow"], "GET, POST");
    world
        .send(event("GET", "/v1/other", &ann, &Value::Null))
        .await
        .is(404, "notFound");
    for query in [
        ("limit", "0"),
        ("limit", "1001"),
        ("limit", "x"),
        ("cursor", "x"),
        ("page", "1"),
    ] {
        let answer = world.list(&ann, &[query]).await;
        answer.is(400, "invalidParameter");
        assert_eq!(answer.body["parameter"], query.0);
    }
    let mut grace = with_id(
        event(
            "POST",
            "/v1/keys/{id}/rotate",
            &ann,
            &json!({"grace": "5w"}),
        ),
        "key_a",
    );
    let answer = world.send(grace.clone()).await;
    assert_eq!(
        (answer.status, &answer.body["parameter"]),
        (400, &json!("grace"))
    );
    grace["multiValueQueryStringParameters"] = json!({"grace": ["1h"]});
    world.send(grace).await.is(400, "invalidParameter");
    assert!(world.table().log().is_empty());
}

#[tokio::test]
async fn lists_are_paged_and_filtered() {
    let world = World::with_keys();
    for number in 0..5 {
        world.hold(&format!("key_{number}"), ANN, |key| {
            key.created_at = key.created_at.plus_millis(number);
        });
    }
    for (query, total) in [(Some(("email", ANN)), 6), (None, 7)] {
        let (mut seen, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let mut asked = vec![("limit", "2")];
            asked.extend(query);
            asked.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
            let page = world.list(&world.admin(), &asked).await;
            assert!(ids(&page).len() <= 2);
            seen.extend(ids(&page).into_iter().map(str::to_owned));
            let Some(next) = page.body["next"].as_str() else {
                break;
            };
            cursor = Some(next.to_owned());
        }
        let distinct: std::collections::BTreeSet<_> = seen.iter().collect();
        assert_eq!((seen.len(), distinct.len()), (total, total));
    }
    let all = world.list(&world.admin(), &[]).await;
    assert_eq!(all.body["plans"], json!(["free", "pro"]));
    assert!(!all.body.to_string().contains(&domain::key::hash("key_a")));
}

#[tokio::test]
async fn an_administrator_blocks_lists_and_unblocks() {
    let world = World::with_keys();
    let admin = world.admin();
    for (given, whom) in [
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("Ann@Example.com", ANN),
    ] {
        let answer = world.block(&admin, given).await;
        let told = json!({"whom": whom, "blocked": true});
        assert_eq!((answer.status, answer.body), (200, told));
    }
    let blocks = world.blocks(&admin, &[]).await;
    let since = NOW.to_string();
    let expected = json!({
        "addresses": [{"address": "2001:db8:1:2::/64", "since": since}],
        "users": [{"email": ANN, "since": since}],
        "next": null,
    });
    assert_eq!((blocks.status, blocks.body), (200, expected));
    world
        .create(&world.token(ANN), &json!({}))
        .await
        .is(403, "forbidden");
    for whom in ["2001:db8:1:2::/64", ANN] {
        let answer = world.unblock(&admin, &[("whom", whom)]).await;
        let told = json!({"whom": whom, "blocked": false});
        assert_eq!((answer.status, answer.body), (200, told));
    }
    let blocks = world.blocks(&admin, &[]).await.body;
    assert_eq!(
        (&blocks["addresses"], &blocks["users"]),
        (&json!([]), &json!([]))
    );
    let log = world.table().log();
    let log: Vec<_> = log
        .iter()
        .map(|entry| (entry.what, entry.subject.as_str()))
        .collect();
    let network = "2001:db8:1:2::/64";
    let expected = [
        ("block", network),
        ("block", ANN),
        ("unblock", network),
        ("unblock", ANN),
    ];
    assert_eq!(log, expected);
}

#[tokio::test]
async fn blocks_are_administrators_and_checked() {
    let world = World::with_keys();
    let (ann, admin) = (world.token(ANN), world.admin());
    for answer in [
        world.block(&ann, BOB).await,
        world.unblock(&ann, &[("whom", BOB)]).await,
        world.blocks(&ann, &[]).await,
    ] {
        answer.is(403, "forbidden");
    }
    for answer in [
        world.block(&admin, "192.0.2").await,
        world.block(&admin, "").await,
        world.unblock(&admin, &[]).await,
        world.unblock(&admin, &[("whom", "a@b@c")]).await,
        world.unblock(&admin, &[("email", ANN)]).await,
        world.blocks(&admin, &[("cursor", "x")]).await,
    ] {
        answer.is(400, "invalidParameter");
    }
    world
        .block(&admin, "dan@example.com")
        .await
        .is(404, "notFound");
    world.block("", ANN).await.is(401, "unauthorized");
    assert!(world.table().log().is_empty());
}

#[tokio::test]
async fn an_unavailable_table_is_reported_without_its_words() {
    let world = World::with_keys();
    world.table().set_down(true);
    for answer in [
        world.list(&world.token(ANN), &[]).await,
        world.create(&world.token(ANN), &json!({})).await,
        world.revoke(&world.admin(), "key_a").await,
    ] {
        answer.is(503, "unavailable");
        assert_eq!(answer.body["message"], "the table of keys is unavailable");
        assert_eq!(answer.headers["retry-after"], "1");
    }
}

#[tokio::test]
async fn responses_have_the_documented_members() {
    let world = World::with_keys();
    let documented: Value =
        serde_json::from_str(include_str!("../../../analytics/openapi.json")).unwrap();
    let schemas = &documented["components"]["schemas"];
    let names =
        |value: &Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
    let listed = world.list(&world.admin(), &[]).await.body;
    let created = world.create(&world.token(ANN), &json!({})).await.body;
    let rotated = world.rotate(&world.token(ANN), "key_a").await.body;
    let revoked = world.revoke(&world.token(ANN), "key_a").await.body;
    world.block(&world.admin(), "192.0.2.1").await;
    let blocked = world.block(&world.admin(), ANN).await.body;
    let blocks = world.blocks(&world.admin(), &[]).await.body;
    for (schema, told) in [
        ("KeyList", &listed),
        ("ListedKey", &listed["keys"][0]),
        ("NewKey", &created),
        ("RotatedKey", &rotated),
        ("RevokedKey", &revoked),
        ("BlockResult", &blocked),
        ("BlockList", &blocks),
        ("BlockedAddress", &blocks["addresses"][0]),
        ("BlockedUser", &blocks["users"][0]),
    ] {
        assert_eq!(
            names(&schemas[schema]["properties"]),
            names(told),
            "{schema}"
        );
    }
}
