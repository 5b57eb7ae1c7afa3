//! The gateway's request: the event of a proxy integration, as a REST API sends it
//! (<https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html>),
//! or an HTTP API in payload 2.0
//! (<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>).
//!
//! The types of `aws_lambda_events` are unsuitable: they refuse a whole request for one header that is
//! not ASCII, and quote that header in their error and so in the log. This type reads only the
//! members that this API needs, and headers only by name.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use domain::gateway;
use serde::Deserialize;
use serde_json::Value;

/// The version of an HTTP API's payload.
const OF_HTTP_API: &str = "2.0";

/// A request to an API of ours. It has no `Debug`: its headers hold a token.
#[derive(Default, Deserialize)]
#[serde(from = "Event")]
pub struct Request {
    /// The HTTP method.
    pub http_method: String,
    resource: String,
    path: String,
    headers: BTreeMap<String, Value>,
    /// Absent from an HTTP API's payload, which joins the values of a header.
    multi_value_headers: BTreeMap<String, Value>,
    path_parameters: BTreeMap<String, String>,
    parameters: BTreeMap<String, Vec<String>>,
    body: String,
    is_base64_encoded: bool,
}

/// The event of either kind of gateway.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Event {
    /// Only HTTP APIs send this.
    version: Option<String>,
    http_method: String,
    resource: Option<String>,
    path: Option<String>,
    headers: Option<BTreeMap<String, Value>>,
    multi_value_headers: Option<BTreeMap<String, Value>>,
    path_parameters: Option<BTreeMap<String, String>>,
    multi_value_query_string_parameters: Option<BTreeMap<String, Vec<String>>>,
    body: Option<String>,
    is_base64_encoded: bool,
    route_key: String,
    raw_path: String,
    raw_query_string: String,
    request_context: Option<RequestContext>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RequestContext {
    stage: Option<String>,
    http: Http,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Http {
    method: String,
}

impl From<Event> for Request {
    fn from(mut event: Event) -> Self {
        let common = Self {
            headers: event.headers.take().unwrap_or_default(),
            path_parameters: event.path_parameters.take().unwrap_or_default(),
            body: event.body.take().unwrap_or_default(),
            is_base64_encoded: event.is_base64_encoded,
            ..Self::default()
        };
        if event.version.as_deref() == Some(OF_HTTP_API) {
            let context = event.request_context.unwrap_or_default();
            let path = gateway::below_stage(&event.raw_path, context.stage.as_deref());
            return Self {
                http_method: context.http.method,
                resource: gateway::template(&event.route_key).to_owned(),
                path: path.to_owned(),
                parameters: parameters(&event.raw_query_string),
                ..common
            };
        }
        Self {
            http_method: event.http_method,
            resource: event.resource.unwrap_or_default(),
            path: event.path.unwrap_or_default(),
            multi_value_headers: event.multi_value_headers.unwrap_or_default(),
            parameters: event
                .multi_value_query_string_parameters
                .unwrap_or_default(),
            ..common
        }
    }
}

/// The parameters of a query as it was sent, decoded; a plus counts as a space.
fn parameters(query: &str) -> BTreeMap<String, Vec<String>> {
    let mut all = BTreeMap::<String, Vec<String>>::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        all.entry(name.into_owned())
            .or_default()
            .push(value.into_owned());
    }
    all
}

impl Request {
    /// The path as the caller wrote it.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The endpoint's path: the gateway's resource, which is independent of the base path, or the
    /// caller's path if the resource is a pattern.
    pub fn route(&self) -> &str {
        let resource = self.resource.as_str();
        let route = if resource.is_empty() || resource.contains('{') {
            self.path()
        } else {
            resource
        };
        route.strip_suffix('/').unwrap_or(route)
    }

    /// The gateway's resource: a path, in which `{id}` stands for a part that the caller chooses.
    pub fn resource(&self) -> &str {
        &self.resource
    }

    /// The part of the path that the caller chose for `{name}`.
    pub fn path_parameter(&self, name: &str) -> Option<&str> {
        self.path_parameters.get(name).map(String::as_str)
    }

    /// Every value of a header. `name` is in lower case.
    pub fn header(&self, name: &'static str) -> Vec<&str> {
        let all = named(name, &self.multi_value_headers);
        let all: Vec<&str> = all
            .filter_map(Value::as_array)
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        if all.is_empty() {
            let single = named(name, &self.headers);
            single.filter_map(Value::as_str).collect()
        } else {
            all
        }
    }

    /// The body, which the gateway encodes where it may be binary; `None` if it is not what the
    /// gateway says.
    pub fn body(&self) -> Option<Cow<'_, [u8]>> {
        if self.is_base64_encoded {
            BASE64_STANDARD.decode(&self.body).ok().map(Cow::Owned)
        } else {
            Some(Cow::Borrowed(self.body.as_bytes()))
        }
    }

    /// The query's parameters by name, each with all of its values.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, &[String])> {
        let all = self.parameters.iter();
        all.map(|(name, values)| (name.as_str(), values.as_slice()))
    }
}

fn named<'a>(
    name: &'static str,
    headers: &'a BTreeMap<String, Value>,
) -> impl Iterator<Item = &'a Value> {
    headers
        .iter()
        .filter(move |(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use serde_json::json;

    use super::*;

    /// AWS's own example of payload 2.0, with the parts that this API reads.
    fn of_http_api(more: &Value) -> Request {
        let mut event = json!({
            "version": "2.0",
            "routeKey": "POST /v1/keys/{id}/rotate",
            "rawPath": "/test/v1/keys/key_1/rotate",
            "rawQueryString": "",
            "cookies": ["cookie1", "cookie2"],
            "headers": {"authorization": "Bearer t", "header2": "value1,value2"},
            "requestContext": {
                "accountId": "123456789012",
                "apiId": "api-id",
                "http": {"method": "POST", "path": "/test/v1/keys/key_1/rotate", "sourceIp": "192.0.2.1"},
                "stage": "test",
            },
            "pathParameters": {"id": "key_1"},
            "isBase64Encoded": false,
        });
        let more = more.as_object().unwrap().clone();
        event.as_object_mut().unwrap().extend(more);
        serde_json::from_value(event).unwrap()
    }

    #[test]
    fn an_http_apis_request_says_what_a_rest_apis_says() {
        let request = of_http_api(&json!({"body": "{}"}));
        assert_eq!(request.http_method, "POST");
        assert_eq!(request.resource(), "/v1/keys/{id}/rotate");
        assert_eq!(request.path(), "/v1/keys/key_1/rotate");
        assert_eq!(request.path_parameter("id"), Some("key_1"));
        assert_eq!(request.header("authorization"), ["Bearer t"]);
        assert_eq!(request.body().unwrap().as_ref(), b"{}");
        assert_eq!(request.parameters().count(), 0);
        let encoded = of_http_api(&json!({"body": "e30=", "isBase64Encoded": true}));
        assert_eq!(encoded.body().unwrap().as_ref(), b"{}");
    }

    #[test]
    fn an_http_apis_page_is_found_with_and_without_a_slash() {
        for (key, path, route) in [
            ("GET /v1/analytics", "/test/v1/analytics", "/v1/analytics"),
            (
                "GET /v1/analytics/{proxy+}",
                "/test/v1/analytics/",
                "/v1/analytics",
            ),
            (
                "GET /v1/analytics/{proxy+}",
                "/test/v1/analytics/realtime",
                "/v1/analytics/realtime",
            ),
        ] {
            let request = of_http_api(&json!({"routeKey": key, "rawPath": path}));
            assert_eq!(request.route(), route, "{path}");
        }
    }

    /// The payload joins the values of a repeated parameter; the query as it was sent does not.
    #[test]
    fn a_repeated_parameter_of_an_http_api_has_all_of_its_values() {
        let request = of_http_api(&json!({
            "rawQueryString": "a=1&a=2,3&b=x%20y+z&flag",
            "queryStringParameters": {"a": "1,2,3", "b": "x y z", "flag": ""},
        }));
        let found: Vec<(&str, Vec<&str>)> = request
            .parameters()
            .map(|(name, values)| (name, values.iter().map(String::as_str).collect()))
            .collect();
        let expected = [
            ("a", vec!["1", "2,3"]),
            ("b", vec!["x y z"]),
            ("flag", vec![""]),
        ];
        assert_eq!(found, expected);
    }
}
