//! Requests as API Gateway passes them to a function.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use runtime::request::Request;

/// The parameters of `a=1&b=2`, verbatim: nothing is decoded.
pub(crate) fn parameters(query: &str) -> Vec<(&str, &str)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap()).collect()
}

/// The event of a request in the gateway's form 1.0.
pub(crate) fn event(path: &str, query: &[(&str, &str)], authorization: Option<&str>) -> Value {
    let mut parameters: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, value) in query {
        parameters.entry(name).or_default().push(value);
    }
    let mut headers = json!({ "Accept": "*/*" });
    let mut multi_value_headers = json!({ "Accept": ["*/*"] });
    if let Some(authorization) = authorization {
        headers["Authorization"] = json!(authorization);
        multi_value_headers["Authorization"] = json!([authorization]);
    }
    let last: BTreeMap<_, _> = parameters
        .iter()
        .map(|(name, values)| (name, values.last()))
        .collect();
    let given = |value: Value| if query.is_empty() { Value::Null } else { value };
    json!({
        "resource": path,
        "path": path,
        "httpMethod": "GET",
        "headers": headers,
        "multiValueHeaders": multi_value_headers,
        "queryStringParameters": given(json!(last)),
        "multiValueQueryStringParameters": given(json!(parameters)),
        "pathParameters": null,
        "stageVariables": null,
        "requestContext": {
            "accountId": "000000000000",
            "resourceId": "a1b2c3",
            "stage": "test",
            "requestId": "0ad1f1a8-4c2b-4a0e-9d3e-1c5a2f5f9b11",
            "extendedRequestId": "AbCdEfGhIjKlMn=",
            "requestTimeEpoch": 1_795_363_445_000_i64,
            "path": format!("/test{path}"),
            "protocol": "HTTP/1.1",
            "identity": { "sourceIp": "192.0.2.1", "userAgent": "curl" },
            "resourcePath": path,
            "httpMethod": "GET",
            "apiId": "abc123",
        },
        "body": null,
        "isBase64Encoded": false,
    })
}

/// The request of that event.
pub(crate) fn request(path: &str, query: &[(&str, &str)], authorization: Option<&str>) -> Request {
    serde_json::from_value(event(path, query, authorization)).unwrap()
}
