//! Headers in transit through an HTTP proxy integration.
//!
//! Source: the table of headers in "Amazon API Gateway important notes for REST APIs", API Gateway
//! Developer Guide, column `http_proxy`
//! (<https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-known-issues.html>).
//! API Gateway passes `Connection` on; the front drops it because it concerns one connection only.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

/// Dropped from requests to an upstream.
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

/// Dropped from responses.
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

/// In responses, `NAME` becomes `x-amzn-remapped-NAME`.
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

/// The headers of a request as an upstream receives them.
pub(super) fn to_upstream(mut headers: HeaderMap) -> HeaderMap {
    for name in DROPPED_FROM_REQUEST {
        headers.remove(name);
    }
    // Dropped if it holds an AWS signature.
    let signed = headers
        .get(header::AUTHORIZATION)
        .is_some_and(|value| value.as_bytes().starts_with(b"AWS4-"));
    if signed {
        headers.remove(header::AUTHORIZATION);
    }
    headers
}

/// The headers of an upstream's response as a caller receives them.
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
