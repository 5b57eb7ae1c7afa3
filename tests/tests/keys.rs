//! API keys over HTTP, deployed locally, and the commands of `docs/keys.md`.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::AttributeValue;
use domain::names::Function;
use serde_json::{Value, json};
use tests::synthesised::root;
use tests::system::{ANALYTICS_TABLE, System, USAGE_TABLE, json_of};

const KEYS_TABLE: &str = "complical-api-keys-local";

/// A deployed system, and the tokens of an administrator and of two users.
struct Keys {
    system: System,
    admin: String,
    ann: String,
    bob: String,
}

impl Keys {
    fn deploy() -> Self {
        let system = System::deploy();
        let token = |email: &str| {
            let token = json_of(&system.place.run(&format!("token --email {email} --json")));
            token["token"].as_str().unwrap().to_owned()
        };
        Self {
            admin: system.text("/local/adminToken").to_owned(),
            ann: token("ann@example.com"),
            bob: token("bob@example.com"),
            system,
        }
    }

    /// Status and body of the response to a request.
    async fn send(&self, token: &str, method: &str, path: &str, body: Value) -> (u16, Value) {
        self.send_to(token, method, &format!("keys{path}"), body)
            .await
    }

    async fn send_to(&self, token: &str, method: &str, path: &str, body: Value) -> (u16, Value) {
        let url = self.system.url(path);
        let request = self.system.client.request(method.parse().unwrap(), url);
        let request = if body.is_null() {
            request
        } else {
            request.json(&body)
        };
        let answer = request.bearer_auth(token).send().await.unwrap();
        assert_eq!(answer.headers()["cache-control"], "no-store");
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    async fn list(&self, token: &str, query: &str) -> Vec<String> {
        let (status, body) = self.send(token, "GET", query, Value::Null).await;
        assert_eq!(status, 200, "{body}");
        let keys = body["keys"].as_array().unwrap().iter();
        keys.map(|key| text(key, "id").to_owned()).collect()
    }

    async fn calls_with(&self, key: &Value) -> u16 {
        let statuses = self.system.call(key["key"].as_str(), 1).await;
        *statuses.keys().next().unwrap()
    }

    /// Every item of a table, in words.
    async fn content(&self, table: &str) -> String {
        let tables = aws_sdk_dynamodb::Client::new(&self.system.sdk().await);
        let scan = tables.scan().table_name(table).into_paginator();
        let items = scan.items().send().collect::<Result<Vec<_>, _>>().await;
        format!("{:?}", items.unwrap())
    }

    /// The audit log: who, in which role, did what to which key.
    async fn log(&self) -> Vec<[String; 4]> {
        let tables = aws_sdk_dynamodb::Client::new(&self.system.sdk().await);
        let scan = tables.scan().table_name(USAGE_TABLE);
        let scan = scan
            .filter_expression("begins_with(PK, :audit)")
            .expression_attribute_values(":audit", AttributeValue::S("AUDIT#".to_owned()));
        let mut items = scan.send().await.unwrap().items.unwrap();
        items.sort_by_key(|item| item["SK"].as_s().unwrap().clone());
        let of = |item: &std::collections::HashMap<String, AttributeValue>| {
            ["who", "role", "what", "subject"].map(|name| item[name].as_s().unwrap().clone())
        };
        items.iter().map(of).collect()
    }
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    let found = value[name].as_str();
    found.unwrap_or_else(|| panic!("no `{name}` in {value}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_created_used_rotated_and_revoked_over_http() {
    let keys = Keys::deploy();
    let first = an_administrator_creates_the_first_key(&keys).await;
    let second = a_user_rotates_it_and_both_keys_work(&keys, &first).await;
    a_user_sees_nobody_elses_keys(&keys, text(&second, "id")).await;
    a_revoked_key_is_refused(&keys, &first).await;
    a_user_creates_another(&keys).await;
    let fourth = of_concurrent_rotations_one_takes_effect(&keys, &second).await;
    the_command_line_agrees(&keys, text(&fourth, "id")).await;
    everything_is_recorded(&keys, &first, &second).await;
    blocks_take_effect_and_are_recorded(&keys, &fourth).await;
    no_secret_is_kept(&keys, &[&first, &second, &fourth]).await;
    refusals_are_the_analytics_apis(&keys).await;
    the_page_is_followed(&keys);
}

/// The page's `curl` lines, for a user whom no other step knows.
fn the_page_is_followed(keys: &Keys) {
    let page = std::fs::read_to_string(root().join("docs/keys.md")).unwrap();
    let parts = page.split("```").skip(1).step_by(2);
    let lines = parts.filter_map(|part| {
        let part = part.strip_prefix("sh\n")?.trim_start();
        part.starts_with("curl").then(|| part.to_owned())
    });
    let mut id = String::new();
    let mut told = Vec::new();
    for line in lines {
        let line = line
            .replace("http://127.0.0.1:PORT/local", keys.system.text("/apiUrl"))
            .replace("ann@example.com", "dan@example.com")
            .replace("/ID", &format!("/{id}"));
        let ended = std::process::Command::new("sh")
            .args(["-c", &line])
            .env("ADMIN", &keys.admin)
            .env("NO_PROXY", "127.0.0.1")
            .output()
            .unwrap();
        assert!(ended.status.success(), "{ended:?}");
        let said: Value = serde_json::from_slice(&ended.stdout).unwrap();
        if id.is_empty() {
            text(&said, "id").clone_into(&mut id);
        }
        told.push(said);
    }
    assert_eq!(told.len(), 3);
    assert_eq!(text(&told[1], "replaces"), id);
    assert_eq!(
        (text(&told[2], "id"), told[2]["revokedAt"].is_string()),
        (id.as_str(), true)
    );
}

async fn an_administrator_creates_the_first_key(keys: &Keys) -> Value {
    let (status, refused) = keys.send(&keys.ann, "POST", "", json!({})).await;
    assert_eq!((status, text(&refused, "error")), (403, "forbidden"));
    let reason = "a first key needs an administrator: `ann@example.com` has no working key";
    assert_eq!(text(&refused, "message"), reason);
    let order = json!({"email": "Ann@example.com", "plan": "enterprise"});
    let (status, first) = keys.send(&keys.admin, "POST", "", order).await;
    assert_eq!(status, 201, "{first}");
    assert_eq!(keys.calls_with(&first).await, 200);
    first
}

async fn a_user_rotates_it_and_both_keys_work(keys: &Keys, first: &Value) -> Value {
    let id = text(first, "id");
    let path = format!("/{id}/rotate");
    let (status, second) = keys
        .send(&keys.ann, "POST", &path, json!({"grace": "1h"}))
        .await;
    assert_eq!((status, text(&second, "replaces")), (201, id), "{second}");
    assert_eq!(keys.calls_with(&second).await, 200);
    assert_eq!(keys.calls_with(first).await, 200);
    let listed = keys.list(&keys.ann, "").await;
    assert_eq!(listed, [text(&second, "id"), id]);
    second
}

async fn a_user_sees_nobody_elses_keys(keys: &Keys, id: &str) {
    assert_eq!(keys.list(&keys.bob, "").await, Vec::<String>::new());
    let (status, _) = keys
        .send(&keys.bob, "GET", "?email=ann@example.com", Value::Null)
        .await;
    assert_eq!(status, 403);
    for (method, path) in [
        ("DELETE", format!("/{id}")),
        ("POST", format!("/{id}/rotate")),
    ] {
        let (status, said) = keys.send(&keys.bob, method, &path, Value::Null).await;
        assert_eq!((status, text(&said, "error")), (404, "notFound"));
    }
}

async fn a_revoked_key_is_refused(keys: &Keys, key: &Value) {
    let path = format!("/{}", text(key, "id"));
    let (status, revoked) = keys.send(&keys.ann, "DELETE", &path, Value::Null).await;
    assert_eq!(status, 200, "{revoked}");
    let since = Instant::now();
    while keys.calls_with(key).await != 401 {
        assert!(since.elapsed() < Duration::from_secs(30), "it still works");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let again = keys.send(&keys.ann, "DELETE", &path, Value::Null).await;
    assert_eq!(again, (200, revoked));
    let (status, _) = keys
        .send(&keys.ann, "POST", &format!("{path}/rotate"), json!({}))
        .await;
    assert_eq!(status, 409);
}

async fn a_user_creates_another(keys: &Keys) {
    let (status, said) = keys
        .send(&keys.ann, "POST", "", json!({"plan": "free"}))
        .await;
    assert_eq!((status, text(&said, "error")), (403, "forbidden"));
    let (status, third) = keys
        .send(&keys.ann, "POST", "", json!({"expires": "30d"}))
        .await;
    assert_eq!(
        (status, text(&third, "plan")),
        (201, "enterprise"),
        "{third}"
    );
    assert_eq!(keys.calls_with(&third).await, 200);
}

async fn of_concurrent_rotations_one_takes_effect(keys: &Keys, key: &Value) -> Value {
    let path = format!("/{}/rotate", text(key, "id"));
    let rotate = || keys.send(&keys.ann, "POST", &path, json!({}));
    let answers = futures_util::future::join_all((0..3).map(|_| rotate())).await;
    let (done, refused): (Vec<_>, Vec<_>) =
        answers.into_iter().partition(|(status, _)| *status == 201);
    assert_eq!(done.len(), 1, "{refused:?}");
    assert!(
        refused.iter().all(|(status, _)| *status == 409),
        "{refused:?}"
    );
    done.into_iter().next().unwrap().1
}

/// The command line lists the same keys, and follows the same rules.
async fn the_command_line_agrees(keys: &Keys, id: &str) {
    let listed = json_of(&keys.system.place.run("keys list --json"));
    let listed = listed["keys"].as_array().unwrap().iter();
    let by_command: BTreeSet<String> = listed.map(|key| text(key, "id").to_owned()).collect();
    let mut by_pages = BTreeSet::new();
    let mut query = "?limit=2".to_owned();
    loop {
        let (status, page) = keys.send(&keys.admin, "GET", &query, Value::Null).await;
        assert_eq!(status, 200, "{page}");
        let shown = page["keys"].as_array().unwrap();
        assert!(shown.len() <= 2);
        by_pages.extend(shown.iter().map(|key| text(key, "id").to_owned()));
        let Some(next) = page["next"].as_str() else {
            break;
        };
        query = format!("?limit=2&cursor={next}");
    }
    assert_eq!(by_pages, by_command);
    let rotated = json_of(
        &keys
            .system
            .place
            .run(&format!("keys rotate {id} --grace 1h --json")),
    );
    let revoked = format!("keys revoke {} --json", text(&rotated, "id"));
    json_of(&keys.system.place.run(&revoked));
    let own = keys.list(&keys.ann, "").await;
    assert!(own.contains(&text(&rotated, "id").to_owned()), "{own:?}");
}

async fn everything_is_recorded(keys: &Keys, first: &Value, second: &Value) {
    let log = keys.log().await;
    let recorded: Vec<[&str; 3]> = log
        .iter()
        .map(|[who, role, what, _]| [who.as_str(), role.as_str(), what.as_str()])
        .collect();
    let admin = recorded[0][0];
    let expected = [
        [admin, "admin", "keys create"],
        ["ann@example.com", "user", "keys rotate"],
        ["ann@example.com", "user", "keys revoke"],
        ["ann@example.com", "user", "keys create"],
        ["ann@example.com", "user", "keys rotate"],
        ["local", "operator", "keys rotate"],
        ["local", "operator", "keys revoke"],
    ];
    assert_eq!(recorded, expected);
    let subjects = log.iter().map(|[_, _, _, subject]| subject.as_str());
    let subjects: Vec<&str> = subjects.take(5).collect();
    let (first, second) = (text(first, "id"), text(second, "id"));
    assert_eq!(subjects[..3], [first; 3]);
    assert_eq!(subjects[4], second);
}

/// A user and an address are refused within 30 seconds, and called again within as many. The
/// command line does the same, and sees the same.
async fn blocks_take_effect_and_are_recorded(keys: &Keys, key: &Value) {
    let before = keys.log().await.len();
    let until = async |status: u16, whom: &str| {
        let since = Instant::now();
        while keys.calls_with(key).await != status {
            assert!(since.elapsed() < Duration::from_secs(30), "{whom}");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    until(200, "before").await;
    let blocks = async || {
        let (status, body) = keys
            .send_to(&keys.admin, "GET", "blocks", Value::Null)
            .await;
        assert_eq!(status, 200, "{body}");
        let of =
            |list: &str, name: &str| body[list][0][name].as_str().unwrap_or_default().to_owned();
        (of("addresses", "address"), of("users", "email"))
    };
    for (whom, listed) in [
        ("Ann@example.com", ("", "ann@example.com")),
        ("127.0.0.1", ("127.0.0.1", "")),
    ] {
        let order = json!({"whom": whom});
        let (status, refused) = keys
            .send_to(&keys.bob, "POST", "blocks", order.clone())
            .await;
        assert_eq!((status, text(&refused, "error")), (403, "forbidden"));
        let (status, said) = keys.send_to(&keys.admin, "POST", "blocks", order).await;
        assert_eq!((status, &said["blocked"]), (200, &json!(true)), "{said}");
        until(401, whom).await;
        assert_eq!(blocks().await, (listed.0.to_owned(), listed.1.to_owned()));
        let path = format!("blocks?whom={whom}");
        let (status, said) = keys
            .send_to(&keys.admin, "DELETE", &path, Value::Null)
            .await;
        assert_eq!((status, &said["blocked"]), (200, &json!(false)), "{said}");
        until(200, whom).await;
        assert_eq!(blocks().await, (String::new(), String::new()));
    }
    json_of(&keys.system.place.run("block 2001:db8:1:2::9 --yes --json"));
    assert_eq!(blocks().await.0, "2001:db8:1:2::/64");
    let path = "blocks?whom=2001:db8:1:2::%2F64";
    let (status, _) = keys.send_to(&keys.admin, "DELETE", path, Value::Null).await;
    assert_eq!((status, blocks().await.0), (200, String::new()));
    let log = keys.log().await.split_off(before);
    let recorded: Vec<[&str; 3]> = log
        .iter()
        .map(|[_, role, what, subject]| [role.as_str(), what.as_str(), subject.as_str()])
        .collect();
    let network = "2001:db8:1:2::/64";
    let expected = [
        ["admin", "block", "ann@example.com"],
        ["admin", "unblock", "ann@example.com"],
        ["admin", "block", "127.0.0.1"],
        ["admin", "unblock", "127.0.0.1"],
        ["operator", "block", network],
        ["admin", "unblock", network],
    ];
    assert_eq!(recorded, expected);
}

async fn no_secret_is_kept(keys: &Keys, made: &[&Value]) {
    let logs = keys.system.place.run("logs --json");
    let mut kept = vec![logs.stdout, logs.stderr];
    assert!(
        kept[0].contains("KeysApi") || kept[0].contains("keys"),
        "{kept:?}"
    );
    for table in [KEYS_TABLE, USAGE_TABLE, ANALYTICS_TABLE] {
        kept.push(keys.content(table).await);
    }
    assert!(kept[2].contains(text(made[0], "id")));
    for key in made {
        let key = text(key, "key");
        assert!(kept.iter().all(|text| !text.contains(key)), "a key is kept");
    }
    let allowed = keys
        .system
        .strict
        .allowed(&System::function(Function::Keys));
    let expected = [
        "dynamodb:ConditionCheckItem",
        "dynamodb:GetItem",
        "dynamodb:PutItem",
        "dynamodb:Query",
        "dynamodb:Scan",
        "dynamodb:UpdateItem",
    ];
    // A user's own new key depends on a working one.
    let missing = expected.iter().filter(|action| !allowed.contains(**action));
    assert_eq!(missing.collect::<Vec<_>>(), Vec::<&&str>::new());
}

async fn refusals_are_the_analytics_apis(keys: &Keys) {
    let url = keys.system.url("keys");
    let answer = keys.system.client.get(url).send().await.unwrap();
    assert_eq!(answer.status(), 401);
    let headers = answer.headers();
    let challenge = headers
        .get("www-authenticate")
        .or(headers.get("x-amzn-remapped-www-authenticate"));
    assert_eq!(challenge.unwrap(), "Bearer");
    let said: Value = answer.json().await.unwrap();
    assert_eq!(text(&said, "error"), "unauthorized");
    let order = json!({"email": "cid@example.com", "plan": "gold"});
    let (status, said) = keys.send(&keys.admin, "POST", "", order).await;
    let told = (status, text(&said, "error"), text(&said, "parameter"));
    assert_eq!(told, (400, "invalidParameter", "plan"));
}
