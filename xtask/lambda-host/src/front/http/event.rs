//! The events that functions receive for a request of an HTTP API, in payload 2.0: the event of an
//! authorizer
//! (<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-lambda-authorizer.html>)
//! and that of a proxy integration
//! (<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>).

use std::collections::BTreeMap;

use axum::http::header;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use super::routes::Matched;
use crate::front::request::Request;
use crate::front::serve::ACCOUNT;
use crate::front::{Stage, path};

/// The event of an authorizer without an identity source.
pub(super) fn of_authorizer(stage: &Stage, request: &Request, matched: &Matched<'_>) -> Value {
    let mut event = common(stage, request, matched);
    event.insert("type".to_owned(), json!("REQUEST"));
    let arn = format!(
        "arn:aws:execute-api:{}:{ACCOUNT}:{}/{}/{}{}",
        stage.region,
        stage.api_id,
        stage.name,
        request.method,
        request.path_in(&stage.name)
    );
    event.insert("routeArn".to_owned(), json!(arn));
    event.insert("identitySource".to_owned(), Value::Null);
    Value::Object(event)
}

/// The event of a proxy integration; `authorizer` is the context that the authorizer returned.
pub(super) fn of_integration(
    stage: &Stage,
    request: &Request,
    matched: &Matched<'_>,
    authorizer: Option<Value>,
) -> Value {
    let mut event = common(stage, request, matched);
    let is_text = is_text(request);
    if !request.body.is_empty() {
        let body = if is_text {
            String::from_utf8_lossy(&request.body).into_owned()
        } else {
            STANDARD.encode(&request.body)
        };
        event.insert("body".to_owned(), json!(body));
    }
    let is_encoded = !request.body.is_empty() && !is_text;
    event.insert("isBase64Encoded".to_owned(), json!(is_encoded));
    let context = event
        .get_mut("requestContext")
        .and_then(Value::as_object_mut);
    if let (Some(context), Some(authorizer)) = (context, authorizer) {
        context.insert("authorizer".to_owned(), json!({ "lambda": authorizer }));
    }
    Value::Object(event)
}

/// Whether a body is passed as text. AWS does not document which are; these are what the local AWS
/// (MiniStack 1.5.33, `services/apigateway.py`) found by trying.
fn is_text(request: &Request) -> bool {
    let kind = request.headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let kind = kind.to_ascii_lowercase();
    let texts = [
        "application/json",
        "application/xml",
        "application/javascript",
    ];
    kind.starts_with("text/") || texts.contains(&kind.as_str())
}

fn common(stage: &Stage, request: &Request, matched: &Matched<'_>) -> Map<String, Value> {
    let (headers, cookies) = headers(request);
    let host = headers.get("host").cloned().unwrap_or_default();
    let domain = host.split(':').next().unwrap_or_default().to_owned();
    let prefix = domain.split('.').next().unwrap_or_default().to_owned();
    let path = raw_path(&request.path);
    let query = request.query.as_deref().unwrap_or_default();
    let parameters: BTreeMap<_, _> = matched
        .parameters
        .iter()
        .map(|(name, value)| (name, text(&path::decoded(value))))
        .collect();
    let key = &matched.route.key;
    let members = json!({
        "version": "2.0",
        "routeKey": key,
        "rawPath": path,
        "rawQueryString": query,
        "cookies": cookies,
        "headers": headers,
        "queryStringParameters": joined(query),
        "requestContext": {
            "accountId": ACCOUNT,
            "apiId": stage.api_id,
            "domainName": domain,
            "domainPrefix": prefix,
            "http": {
                "method": request.method.as_str(),
                "path": path,
                "protocol": "HTTP/1.1",
                // The address of the connection: callers can choose `X-Forwarded-For`.
                "sourceIp": request.source_ip.to_string(),
                "userAgent": headers.get("user-agent"),
            },
            "requestId": request.extended_id,
            "routeKey": key,
            "stage": stage.name,
            "time": request.common_log_time(),
            "timeEpoch": request.at.as_millisecond(),
        },
        "pathParameters": parameters,
    });
    let mut members = match members {
        Value::Object(members) => members,
        _ => Map::new(),
    };
    // Absent, not empty, as the local AWS found by trying: AWS does not document it.
    for optional in ["cookies", "queryStringParameters", "pathParameters"] {
        let is_empty = match members.get(optional) {
            Some(Value::Array(values)) => values.is_empty(),
            Some(Value::Object(values)) => values.is_empty(),
            _ => false,
        };
        if is_empty {
            members.remove(optional);
        }
    }
    members
}

/// The path with its stage, decoded except for percent signs. AWS does not document it; the local AWS
/// (MiniStack 1.5.33, `decode_http_api_path`) found it by trying.
fn raw_path(sent: &str) -> String {
    let kept = sent.replace("%25", "%2525");
    text(&path::decoded(&kept))
}

/// Names in lower case, the values of one name joined by commas; cookies are apart.
fn headers(request: &Request) -> (BTreeMap<String, String>, Vec<String>) {
    let mut all = BTreeMap::<String, String>::new();
    let mut cookies = Vec::new();
    for (name, value) in &request.passed_headers() {
        let value = text(value.as_bytes());
        if name == header::COOKIE {
            cookies.extend(value.split(';').map(|cookie| cookie.trim().to_owned()));
            continue;
        }
        all.entry(name.as_str().to_owned())
            .and_modify(|known| *known = format!("{known},{value}"))
            .or_insert(value);
    }
    (all, cookies)
}

/// The parameters of a query, decoded, the values of one name joined by commas.
fn joined(query: &str) -> BTreeMap<String, String> {
    let mut all = BTreeMap::<String, String>::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        all.entry(name.into_owned())
            .and_modify(|known| *known = format!("{known},{value}"))
            .or_insert_with(|| value.into_owned());
    }
    all
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_raw_path_is_decoded_once() {
        for (sent, raw) in [
            ("/local/items/a%20b", "/local/items/a b"),
            ("/local/caf%C3%A9", "/local/café"),
            ("/local/a%252Fb", "/local/a%252Fb"),
            ("/local/100%25", "/local/100%25"),
        ] {
            assert_eq!(raw_path(sent), raw);
        }
    }

    #[test]
    fn repeated_parameters_are_joined() {
        let joined = joined("parameter1=value1&parameter1=value2&parameter2=a+b%2C");
        assert_eq!(joined["parameter1"], "value1,value2");
        assert_eq!(joined["parameter2"], "a b,");
    }
}
