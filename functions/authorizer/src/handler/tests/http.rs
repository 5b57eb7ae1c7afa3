//! The authorizer's answers to calls of an HTTP API.

use super::*;

/// A call to an HTTP API in payload 2.0. `stage_variables` say whether it expects simple answers.
fn payload_2(headers: &Value, stage_variables: &Value) -> LambdaEvent<Request> {
    invocation_with(json!({
        "version": "2.0",
        "type": "REQUEST",
        "routeArn": "arn:aws:execute-api:ap-south-1:000000000000:api/$default/GET/v1/accounts/7",
        "identitySource": null,
        "routeKey": "GET /v1/accounts/{id}",
        "rawPath": "/v1/accounts/7",
        "headers": headers,
        "stageVariables": stage_variables,
        "requestContext": {
            "http": {"method": "GET", "path": "/v1/accounts/7", "sourceIp": "192.0.2.1"},
            "requestId": "JKJaXmPLvHcESHA=",
            "stage": "$default",
        },
    }))
}

/// A call to an HTTP API in payload 1.0.
fn payload_1(headers: &Value) -> LambdaEvent<Request> {
    invocation_with(json!({
        "version": "1.0",
        "type": "REQUEST",
        "methodArn": METHOD_ARN,
        "resource": "/v1/accounts/{id}",
        "path": "/v1/accounts/7",
        "httpMethod": "GET",
        "headers": headers,
        "requestContext": {"stage": "test", "identity": {"sourceIp": "192.0.2.1"}},
    }))
}

#[tokio::test]
async fn an_http_api_is_answered_yes_with_what_is_said_of_the_call() {
    let system = System::new();
    system.keys.hold(record());
    let headers = json!({"x-api-key": api_key().reveal(), "user-agent": "curl/8.1"});
    let (answer, event) = system.invoke(payload_2(&headers, &json!(null))).await;
    let event = event.unwrap();
    assert_eq!(
        answer.unwrap(),
        json!({
            "isAuthorized": true,
            "context": {
                "eventId": event.id.to_string(),
                "keyId": "key_1",
                "email": "ann@example.com",
                "plan": "free",
                "mode": "stream",
                "route": "/v1/accounts/{id}",
                "units": "1",
            },
        })
    );
    assert_eq!(event.event_type, EventType::ApiCall);
    assert_eq!(event.data.endpoint, "/v1/accounts/{id}");
    assert_eq!(
        (event.data.method.as_str(), event.data.ip.as_str()),
        ("GET", "192.0.2.1")
    );
    assert_eq!(event.data.stage.as_deref(), Some("$default"));
}

#[tokio::test]
async fn an_http_api_that_takes_policies_gets_one() {
    let system = System::new();
    system.keys.hold(record());
    let headers = json!({"x-api-key": api_key().reveal()});
    for (call, stage) in [
        (payload_1(&headers), "api/test/*"),
        (
            payload_2(&headers, &json!({"meteringAnswer": "policy"})),
            "api/$default/*",
        ),
    ] {
        let (answer, event) = system.invoke(call).await;
        let answer = answer.unwrap();
        let statement = &answer["policyDocument"]["Statement"][0];
        assert_eq!(statement["Effect"], "Allow");
        let resource = statement["Resource"].as_str().unwrap();
        assert!(resource.ends_with(stage), "{resource}");
        assert_eq!(answer["context"]["eventId"], event.unwrap().id.to_string());
        assert_eq!(answer.get("isAuthorized"), None);
    }
}

/// A failure would be its 500, and its line in the access log must not count the call again.
#[tokio::test]
async fn an_http_api_is_answered_no_where_a_rest_api_gets_a_failure() {
    let system = System::new();
    for headers in [json!({}), json!({"x-api-key": api_key().reveal()})] {
        let (answer, event) = system.invoke(payload_2(&headers, &json!({}))).await;
        assert_eq!(
            answer.unwrap(),
            json!({"isAuthorized": false, "context": {}})
        );
        assert_eq!(event.unwrap().event_type, EventType::AuthFailed);
        let (answer, event) = system.invoke(payload_1(&headers)).await;
        let answer = answer.unwrap();
        assert_eq!(answer["policyDocument"]["Statement"][0]["Effect"], "Deny");
        assert_eq!(answer["context"], json!({}));
        assert_eq!(event.unwrap().event_type, EventType::AuthFailed);
    }
    system.keys.set_down(true);
    let headers = json!({"x-api-key": "hQ1fXm3Zb58aLkW0tYv2PdR9"});
    let (answer, event) = system.invoke(payload_2(&headers, &json!({}))).await;
    assert_eq!(answer.unwrap_err().error_type, "Undecided");
    assert_eq!(event, None);
}

#[tokio::test]
async fn an_http_api_gets_the_reason_for_a_call_over_its_plan() {
    let system = System::new();
    system.keys.hold(record());
    let headers = json!({"x-api-key": api_key().reveal()});
    for _ in 0..2 {
        let _ = system.invoke(payload_2(&headers, &json!({}))).await;
    }
    let (answer, event) = system.invoke(payload_2(&headers, &json!({}))).await;
    let (answer, event) = (answer.unwrap(), event.unwrap());
    assert_eq!(event.event_type, EventType::RateLimited);
    assert_eq!(answer["isAuthorized"], false);
    assert_eq!(answer["context"]["eventId"], event.id.to_string());
    assert_eq!(answer["context"]["limitError"], "rateLimited");
}
