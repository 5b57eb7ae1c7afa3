//! Headers on their way through an HTTP proxy integration.
//!
//! Source: the table of headers in "Amazon API Gateway important notes for REST APIs", API Gateway
//! Developer Guide, column `http_proxy`
//! (<https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-known-issues.html>).
//! `Connection` is passed on there and dropped here: it is of one connection.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

/// Dropped on the way to an upstream.
const DROPPED_FROM_REQUEST: [&str; 16] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-md5",
    "expect",
    "host",
    "keep-alive",
    "max-forwards",
    "proxy-authenticate",
    "server",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "www-authenticate",
];

/// Dropped on the way back.
const DROPPED_FROM_RESPONSE: [&str; 9] = [
    "expect",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];

/// On the way back, `NAME` becomes `x-amzn-remapped-NAME`.
const REMAPPED_IN_RESPONSE: [&str; 8] = [
    "authorization",
    "connection",
    "content-md5",
    "date",
    "max-forwards",
    "server",
    "user-agent",
    "www-authenticate",
];

/// The headers that an upstream gets of a request.
pub(super) fn to_upstream(mut headers: HeaderMap) -> HeaderMap {
    for name in DROPPED_FROM_REQUEST {
        headers.remove(name);
    }
    // Dropped if it holds a signature of AWS's.
    let signed = headers
        .get(header::AUTHORIZATION)
        .is_some_and(|value| value.as_bytes().starts_with(b"AWS4-"));
    if signed {
        headers.remove(header::AUTHORIZATION);
    }
    headers
}

/// The headers that a caller gets of an upstream's response.
pub(super) fn from_upstream(headers: &HeaderMap) -> HeaderMap {
    let mut passed = HeaderMap::with_capacity(headers.len() + 1);
    for (name, value) in headers {
        if DROPPED_FROM_RESPONSE.contains(&name.as_str()) {
            continue;
        }
        let is_remapped = REMAPPED_IN_RESPONSE.contains(&name.as_str());
        let remapped = format!("x-amzn-remapped-{name}");
        let remapped = HeaderName::try_from(remapped).ok();
        match remapped.filter(|_| is_remapped) {
            Some(remapped) => passed.append(remapped, value.clone()),
            None => passed.append(name.clone(), value.clone()),
        };
    }
    passed
        .entry(header::CONTENT_TYPE)
        .or_insert(HeaderValue::from_static("application/json"));
    passed
}
