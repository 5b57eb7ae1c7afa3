//! Changes that administrators alone make, and the form of errors.

use super::*;

#[tokio::test]
async fn an_administrator_changes_a_keys_plan_and_rate() {
    let world = World::with_keys();
    let admin = world.admin();
    let both = json!({"plan": "pro", "rate": {"ratePerSecond": 5, "burst": 9}});
    let said = world.set(&admin, "key_a", &both).await;
    let expected = json!({
        "id": "key_a", "email": ANN, "plan": "pro", "ratePerSecond": 5, "burst": 9,
    });
    assert_eq!((said.status, said.body), (200, expected));
    // Null removes, and what is absent stays.
    let said = world.set(&admin, "key_a", &json!({"rate": null})).await;
    assert_eq!(said.body["ratePerSecond"], Value::Null);
    assert_eq!(world.table().key("key_a").plan, "pro");
    for (body, code, parameter) in [
        (json!({}), "invalidParameter", None),
        (json!({"plan": "gold"}), "invalidParameter", Some("plan")),
        (
            json!({"rate": {"ratePerSecond": 0, "burst": 1}}),
            "invalidParameter",
            Some("ratePerSecond"),
        ),
        (
            json!({"rate": {"ratePerSecond": 1, "burst": 1_000_001}}),
            "invalidParameter",
            Some("burst"),
        ),
        (json!({"rate": {"ratePerSecond": 1}}), "malformed", None),
        (json!({"quota": 7}), "malformed", None),
    ] {
        let said = world.set(&admin, "key_a", &body).await;
        said.is(400, code);
        assert_eq!(said.body["parameter"].as_str(), parameter, "{body}");
    }
    world
        .set(&admin, "key_z", &json!({"plan": "pro"}))
        .await
        .is(404, "notFound");
    let own = world.token(ANN);
    world
        .set(&own, "key_a", &json!({"plan": "pro"}))
        .await
        .is(403, "forbidden");
    let log = world.table().log();
    let log: Vec<_> = log
        .iter()
        .map(|entry| (entry.what, entry.actor.name.as_str()))
        .collect();
    assert_eq!(log, [("keys set", "root@example.com"); 2]);
}

#[tokio::test]
async fn an_administrator_imports_a_key_by_its_hash() {
    let world = World::with_keys();
    let admin = world.admin();
    let hash = domain::key::hash("a key of another system");
    let order = |hash: &str| json!({"hash": hash, "email": ANN, "plan": "pro", "expires": "30d"});
    let said = world.import(&admin, &order(&hash)).await;
    assert_eq!((said.status, said.body["email"].as_str()), (201, Some(ANN)));
    assert_eq!(said.body["key"], Value::Null);
    let held = world.table().key(said.body["id"].as_str().unwrap());
    assert_eq!(held.key_hash, hash);
    assert_eq!(held.expires_at, Some(NOW.plus_days(30)));
    world
        .import(&admin, &order(&hash))
        .await
        .is(409, "conflict");
    let said = world.import(&admin, &order("complical_secret")).await;
    said.is(400, "invalidParameter");
    assert_eq!(said.body["parameter"], "hash");
    assert!(!said.body.to_string().contains("secret"), "{}", said.body);
    let own = world.token(ANN);
    let other = domain::key::hash("another");
    world
        .import(&own, &order(&other))
        .await
        .is(403, "forbidden");
    assert_eq!(world.table().log().len(), 1);
}

#[tokio::test]
async fn errors_are_problem_details_for_callers_that_ask_for_them() {
    let world = World::with_keys();
    let mut asked = event(
        "POST",
        "/v1/keys",
        &world.admin(),
        &json!({"plan": "gold", "email": ANN}),
    );
    asked["multiValueHeaders"]["Accept"] = json!(["application/problem+json"]);
    let said = world.send(asked).await;
    assert_eq!(said.headers["content-type"], "application/problem+json");
    assert_eq!((said.status, &said.body["status"]), (400, &json!(400)));
    assert_eq!(said.body["error"], "invalidParameter");
    assert_eq!(said.body["parameter"], "plan");
    assert_eq!(said.body["title"], "Bad Request");
}
