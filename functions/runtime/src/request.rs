//! The gateway's request: the event of a REST API's proxy integration
//! (<https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html>).
//!
//! The type of `aws_lambda_events` is unsuitable: it refuses a whole request for one header that is
//! not ASCII, and quotes that header in its error and so in the log. This type reads only the
//! members that this API needs, and headers only by name.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::Value;

/// A request to an API of ours. It has no `Debug`: its headers hold a token.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Request {
    /// The HTTP method.
    pub http_method: String,
    resource: Option<String>,
    path: Option<String>,
    headers: Option<BTreeMap<String, Value>>,
    multi_value_headers: Option<BTreeMap<String, Value>>,
    path_parameters: Option<BTreeMap<String, String>>,
    multi_value_query_string_parameters: Option<BTreeMap<String, Vec<String>>>,
    body: Option<String>,
    is_base64_encoded: bool,
}

impl Request {
    /// The path as the caller wrote it.
    pub fn path(&self) -> &str {
        self.path.as_deref().unwrap_or_default()
    }

    /// The endpoint's path: the gateway's resource, which is independent of the base path, or the
    /// caller's path if the resource is a pattern.
    pub fn route(&self) -> &str {
        let resource = self.resource.as_deref().unwrap_or_default();
        let route = if resource.is_empty() || resource.contains('{') {
            self.path()
        } else {
            resource
        };
        route.strip_suffix('/').unwrap_or(route)
    }

    /// The gateway's resource: a path, in which `{id}` stands for a part that the caller chooses.
    pub fn resource(&self) -> &str {
        self.resource.as_deref().unwrap_or_default()
    }

    /// The part of the path that the caller chose for `{name}`.
    pub fn path_parameter(&self, name: &str) -> Option<&str> {
        self.path_parameters.as_ref()?.get(name).map(String::as_str)
    }

    /// Every value of a header. `name` is in lower case.
    pub fn header(&self, name: &'static str) -> Vec<&str> {
        let all = named(name, self.multi_value_headers.as_ref());
        let all: Vec<&str> = all
            .filter_map(Value::as_array)
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        if all.is_empty() {
            let single = named(name, self.headers.as_ref());
            single.filter_map(Value::as_str).collect()
        } else {
            all
        }
    }

    /// The body, which the gateway encodes where it may be binary; `None` if it is not what the
    /// gateway says.
    pub fn body(&self) -> Option<Cow<'_, [u8]>> {
        let body = self.body.as_deref().unwrap_or_default();
        if self.is_base64_encoded {
            BASE64_STANDARD.decode(body).ok().map(Cow::Owned)
        } else {
            Some(Cow::Borrowed(body.as_bytes()))
        }
    }

    /// The query's parameters by name, each with all of its values.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, &[String])> {
        let all = self.multi_value_query_string_parameters.iter().flatten();
        all.map(|(name, values)| (name.as_str(), values.as_slice()))
    }
}

fn named<'a>(
    name: &'static str,
    headers: Option<&'a BTreeMap<String, Value>>,
) -> impl Iterator<Item = &'a Value> {
    let headers = headers.into_iter().flatten();
    headers
        .filter(move |(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}
