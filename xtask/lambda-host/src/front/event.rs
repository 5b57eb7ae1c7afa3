//! The events that functions receive for a request: the event of an authorizer
//! (<https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-lambda-authorizer-input.html>)
//! and that of a proxy integration
//! (<https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html>),
//! of a REST API.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, HeaderValue};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use super::{RestApi, Stage, path, request::Request, routing::Matched};

/// Values by name; several values of one name keep their order.
type Multiple = BTreeMap<String, Vec<String>>;

/// The ARN of the method that a request is for.
pub(super) fn method_arn(stage: &Stage, request: &Request, account: &str) -> String {
    format!(
        "arn:aws:execute-api:{}:{account}:{}/{}/{}{}",
        stage.region,
        stage.api_id,
        stage.name,
        request.method,
        request.path_in(&stage.name)
    )
}

/// The event of an authorizer.
pub(super) fn of_authorizer(
    stage: &Stage,
    request: &Request,
    matched: &Matched<'_>,
    account: &str,
) -> Value {
    let mut event = common(stage, request, matched, account);
    event.insert("type".to_owned(), json!("REQUEST"));
    let arn = method_arn(stage, request, account);
    event.insert("methodArn".to_owned(), json!(arn));
    Value::Object(event)
}

/// The event of a proxy integration; `authorizer` is the authorizer's output.
pub(super) fn of_integration(
    (stage, api): (&Stage, &RestApi),
    request: &Request,
    matched: &Matched<'_>,
    account: &str,
    authorizer: Option<&Value>,
) -> Value {
    let mut event = common(stage, request, matched, account);
    let body = match (request.body.is_empty(), api.binary) {
        (true, _) => (Value::Null, false),
        (false, true) => (json!(STANDARD.encode(&request.body)), true),
        (false, false) => (json!(String::from_utf8_lossy(&request.body)), false),
    };
    event.insert("body".to_owned(), body.0);
    event.insert("isBase64Encoded".to_owned(), json!(body.1));
    let context = event
        .get_mut("requestContext")
        .and_then(Value::as_object_mut);
    if let (Some(context), Some(answer)) = (context, authorizer) {
        let mut members = answer.get("context").and_then(Value::as_object).cloned();
        let members = members.get_or_insert_default();
        if let Some(principal) = answer.get("principalId") {
            members.insert("principalId".to_owned(), principal.clone());
        }
        context.insert("authorizer".to_owned(), Value::Object(members.clone()));
    }
    Value::Object(event)
}

fn common(
    stage: &Stage,
    request: &Request,
    matched: &Matched<'_>,
    account: &str,
) -> Map<String, Value> {
    let headers = headers(&request.passed_headers());
    let query = query(request.query.as_deref().unwrap_or_default());
    let parameters: BTreeMap<_, _> = matched
        .parameters
        .iter()
        .map(|(name, value)| (name, text(&path::decoded(value))))
        .collect();
    let resource = matched.resource;
    let members = json!({
        "resource": resource.path,
        "path": request.path_in(&stage.name),
        "httpMethod": request.method.as_str(),
        "headers": last(&headers),
        "multiValueHeaders": headers,
        "queryStringParameters": optional(last(&query)),
        "multiValueQueryStringParameters": optional(&query),
        "pathParameters": optional(parameters),
        "stageVariables": null,
        "requestContext": {
            "accountId": account,
            "apiId": stage.api_id,
            "resourceId": resource.id,
            "resourcePath": resource.path,
            "httpMethod": request.method.as_str(),
            "stage": stage.name,
            "path": request.path,
            "protocol": "HTTP/1.1",
            "requestId": request.id,
            "extendedRequestId": request.extended_id,
            "requestTime": request.common_log_time(),
            "requestTimeEpoch": request.at.as_millisecond(),
            "identity": {
                // The address of the connection: callers can choose `X-Forwarded-For`.
                "sourceIp": request.source_ip.to_string(),
                "userAgent": last(&headers).get("user-agent"),
            },
        },
    });
    match members {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn headers(headers: &HeaderMap) -> Multiple {
    let mut all = Multiple::new();
    for (name, value) in headers {
        let value = text(HeaderValue::as_bytes(value));
        all.entry(name.as_str().to_owned()).or_default().push(value);
    }
    all
}

/// Decoded; a plus counts as a space.
fn query(query: &str) -> Multiple {
    let mut all = Multiple::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        all.entry(name.into_owned())
            .or_default()
            .push(value.into_owned());
    }
    all
}

/// The last value of each name, for members with room for one.
fn last(all: &Multiple) -> BTreeMap<&str, &str> {
    let pairs = all.iter();
    let pairs = pairs.filter_map(|(name, values)| Some((name.as_str(), values.last()?.as_str())));
    pairs.collect()
}

/// `null` for an empty map.
fn optional(map: impl serde::Serialize) -> Value {
    let value = json!(map);
    if value.as_object().is_some_and(Map::is_empty) {
        Value::Null
    } else {
        value
    }
}
