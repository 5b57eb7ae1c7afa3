//! Reads the gateway's events, and never reveals a caller's header.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn request(headers: &Value) -> Request {
    let event = json!({
        "type": "REQUEST",
        "methodArn": "arn:aws:execute-api:ap-south-1:000000000000:api/test/GET/v1/deadlines",
        "resource": "/v1/deadlines",
        "path": "/v1/deadlines",
        "httpMethod": "GET",
        "headers": headers,
        "queryStringParameters": null,
        "requestContext": {
            "stage": "test", "requestId": "r-1", "identity": {"sourceIp": "192.0.2.1"},
        },
    });
    serde_json::from_value(event).unwrap()
}

#[test]
fn the_key_is_found_under_any_case_of_its_header_and_only_its_hash_is_exposed() {
    let key = ApiKey::mint("complical", [7; 24]);
    for name in ["x-api-key", "X-Api-Key", "X-API-KEY"] {
        let request = request(&json!({"Host": "a", name: key.reveal()}));
        let credential = request.credential("complical");
        assert_eq!(credential, Credential::WellFormed { hash: key.hash() });
        assert!(!format!("{credential:?}").contains(key.shown()));
    }
}

#[test]
fn a_malformed_key_is_distinguished_from_a_missing_one() {
    for headers in [
        json!(null),
        json!({}),
        json!({"x-api-key": ""}),
        json!({"x-api-key": null}),
    ] {
        assert_eq!(
            request(&headers).credential("complical"),
            Credential::Missing,
            "{headers}"
        );
    }
    let key = ApiKey::mint("complical", [7; 24]);
    let mistyped = key.reveal().replace('b', "B");
    let longer = format!("{}0", key.reveal());
    let long = "a".repeat(129);
    for presented in [
        "abc",
        "complical_",
        "ключ\u{1}, a long one",
        &long,
        &mistyped,
        &longer,
    ] {
        let credential = request(&json!({"x-api-key": presented})).credential("complical");
        let hash = key::hash(presented);
        assert_eq!(credential, Credential::Malformed { hash }, "{presented}");
    }
    // Made by another system, and perhaps imported.
    let imported = "hQ1fXm3Zb58aLkW0tYv2PdR9";
    let credential = request(&json!({"x-api-key": imported})).credential("complical");
    let hash = key::hash(imported);
    assert_eq!(credential, Credential::WellFormed { hash });
}

#[test]
fn a_user_agent_is_cut_between_characters() {
    let agent = |text: &str| {
        let request = request(&json!({"User-Agent": text}));
        request.user_agent().map(str::len)
    };
    assert_eq!(agent("curl/8.1"), Some(8));
    assert_eq!(agent(&"é".repeat(200)), Some(256));
    assert_eq!(agent(&format!("a{}", "é".repeat(200))), Some(255));
    assert_eq!(request(&json!({})).user_agent(), None);
}

#[test]
fn the_error_for_an_unreadable_request_quotes_no_header() {
    let event = json!({"headers": {"x-api-key": "secret"}, "methodArn": 1});
    let error = serde_json::from_value::<Request>(event).err().unwrap();
    assert!(!error.to_string().contains("secret"), "{error}");
}

/// The example of an HTTP API's payload 2.0 (API Gateway Developer Guide, "Control access to HTTP APIs with
/// AWS Lambda authorizers").
fn payload_2() -> Value {
    json!({
        "version": "2.0",
        "type": "REQUEST",
        "routeArn": "arn:aws:execute-api:us-east-1:123456789012:abcdef123/test/GET/request",
        "identitySource": ["user1", "123"],
        "routeKey": "$default",
        "rawPath": "/my/path",
        "rawQueryString": "parameter1=value1&parameter1=value2&parameter2=value",
        "cookies": ["cookie1", "cookie2"],
        "headers": {"header1": "value1", "header2": "value2"},
        "queryStringParameters": {"parameter1": "value1,value2", "parameter2": "value"},
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "api-id",
            "authentication": {"clientCert": {"clientCertPem": "CERT_CONTENT"}},
            "domainName": "id.execute-api.us-east-1.amazonaws.com",
            "domainPrefix": "id",
            "http": {
                "method": "POST",
                "path": "/my/path",
                "protocol": "HTTP/1.1",
                "sourceIp": "IP",
                "userAgent": "agent",
            },
            "requestId": "id",
            "routeKey": "$default",
            "stage": "$default",
            "time": "12/Mar/2020:19:03:58 +0000",
            "timeEpoch": 1_583_348_638_390_u64,
        },
        "pathParameters": {"parameter1": "value1"},
        "stageVariables": {"stageVariable1": "value1", "stageVariable2": "value2"},
    })
}

/// The example of its payload 1.0, of the same page.
fn payload_1() -> Value {
    json!({
        "version": "1.0",
        "type": "REQUEST",
        "methodArn": "arn:aws:execute-api:us-east-1:123456789012:abcdef123/test/GET/request",
        "identitySource": "user1,123",
        "authorizationToken": "user1,123",
        "resource": "/request",
        "path": "/request",
        "httpMethod": "GET",
        "headers": {
            "X-AMZ-Date": "20170718T062915Z",
            "Accept": "*/*",
            "HeaderAuth1": "headerValue1",
            "User-Agent": "...",
        },
        "queryStringParameters": {"QueryString1": "queryValue1"},
        "pathParameters": {},
        "stageVariables": {"StageVar1": "stageValue1"},
        "requestContext": {
            "path": "/request",
            "accountId": "123456789012",
            "resourceId": "05c7jb",
            "stage": "test",
            "requestId": "...",
            "identity": {"apiKey": "...", "sourceIp": "..."},
            "resourcePath": "/request",
            "httpMethod": "GET",
            "apiId": "abcdef123",
        },
    })
}

fn read(event: Value) -> Request {
    serde_json::from_value(event).unwrap()
}

#[test]
fn the_documented_events_of_an_http_api_are_read() {
    let request = read(payload_2());
    assert_eq!(request.form, Form::HttpSimple);
    assert!(request.method_arn.ends_with("/test/GET/request"));
    assert_eq!(
        (request.resource.as_str(), request.path.as_str()),
        ("$default", "/my/path")
    );
    assert_eq!(request.http_method, "POST");
    assert_eq!((request.ip(), request.stage()), ("IP", Some("$default")));
    assert_eq!(request.request_id(), Some("id"));
    assert_eq!(request.credential("complical"), Credential::Missing);

    let request = read(payload_1());
    assert_eq!(request.form, Form::HttpPolicy);
    assert_eq!(
        (request.resource.as_str(), request.path.as_str()),
        ("/request", "/request")
    );
    assert_eq!((request.http_method.as_str(), request.ip()), ("GET", "..."));
    assert_eq!(
        (request.stage(), request.user_agent()),
        (Some("test"), Some("..."))
    );
}

#[test]
fn a_stage_variable_asks_for_a_policy() {
    for (value, form) in [
        (json!("policy"), Form::HttpPolicy),
        (json!("simple"), Form::HttpSimple),
        (json!(null), Form::HttpSimple),
        (json!(["policy"]), Form::HttpSimple),
    ] {
        let mut event = payload_2();
        event["stageVariables"] = json!({gateway::ANSWER: value});
        assert_eq!(read(event).form, form);
    }
    let mut event = payload_2();
    event["stageVariables"] = json!(null);
    assert_eq!(read(event).form, Form::HttpSimple);
}

#[test]
fn the_path_of_a_named_stage_is_read_below_it() {
    for (stage, sent, path) in [
        ("test", "/test/users/7", "/users/7"),
        ("test", "/tests/users/7", "/tests/users/7"),
        ("test", "/users/7", "/users/7"),
        ("test", "/test", "/"),
        ("$default", "/users/7", "/users/7"),
        ("é", "/é/7", "/7"),
    ] {
        let mut event = payload_2();
        event["requestContext"]["stage"] = json!(stage);
        event["rawPath"] = json!(sent);
        assert_eq!(read(event).path, path, "{stage} {sent}");
    }
}

#[test]
fn an_http_api_counts_under_the_template_of_its_route() {
    for (key, resource) in [
        ("GET /users/{id}", "/users/{id}"),
        ("ANY /{proxy+}", "/{proxy+}"),
        ("$default", "$default"),
    ] {
        let mut event = payload_2();
        event["routeKey"] = json!(key);
        assert_eq!(read(event).resource, resource);
    }
}

#[test]
fn an_unknown_payload_is_refused_by_its_version() {
    for version in ["3.0", "", "2"] {
        let mut event = payload_2();
        event["version"] = json!(version);
        let error = serde_json::from_value::<Request>(event).unwrap_err();
        let expected = format!("payload version `{version}` is unknown: expected `1.0` or `2.0`");
        assert_eq!(error.to_string(), expected);
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        Just(json!("secret-of-a-caller")),
    ];
    scalar.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("[a-zA-Z.-]{0,12}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    /// An undocumented request gets an error or an answer, never a panic.
    #[test]
    fn whatever_stands_in_a_member_is_read_or_refused(
        value in any_value(), member in 0_usize..16, second in any::<bool>(),
    ) {
        let mut event = if second { payload_2() } else { payload_1() };
        let members = event.as_object_mut().unwrap();
        let name = members.keys().nth(member % members.len()).unwrap().clone();
        members.insert(name, value);
        if let Ok(request) = serde_json::from_value::<Request>(event) {
            let _ = (request.credential("complical"), request.user_agent(), request.ip());
            let _ = request.brings_any(&["x-usage-user".to_owned()]);
        }
    }

    #[test]
    fn no_error_quotes_a_header_whatever_stands_there(value in any_value(), drop in 0_usize..4) {
        for mut event in [payload_1(), payload_2()] {
            event["headers"] = json!({"x-api-key": "secret-of-a-caller", "other": value.clone()});
            let gone = ["methodArn", "routeArn", "routeKey", "requestContext"][drop];
            event.as_object_mut().unwrap().remove(gone);
            if let Err(error) = serde_json::from_value::<Request>(event) {
                prop_assert!(!error.to_string().contains("secret"), "{}", error);
            }
            let mut event = payload_2();
            event["headers"] = value.clone();
            prop_assert!(serde_json::from_value::<Request>(event).is_ok());
        }
    }
}
