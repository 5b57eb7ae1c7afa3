//! A request in transit through an HTTP proxy integration of an HTTP API, which passes the entire
//! request and response
//! (<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-http.html>),
//! except for mapped parameters
//! (<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-parameter-mapping.html>).

use std::collections::BTreeMap;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::front::context::CallContext;
use crate::front::path;
use crate::front::request::Request;

/// Another API.
#[derive(Clone, PartialEq)]
pub(crate) struct Passed {
    /// With the names of path variables in braces.
    pub(crate) uri: String,
    pub(crate) mappings: Vec<Mapping>,
    pub(crate) timeout: Duration,
}

/// A mapped header of the request.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Mapping {
    Append(String, String),
    Overwrite(String, String),
    Remove(String),
}

/// Values may be secret.
impl std::fmt::Debug for Passed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Passed");
        shown.field("uri", &self.uri).finish_non_exhaustive()
    }
}

/// Headers that concern one connection only (RFC 9110, section 7.6.1), the host and the length.
const OF_CONNECTION: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

impl Mapping {
    /// The mapping of a request parameter; `None` for one that the front does not support.
    pub(crate) fn parse(key: &str, value: String) -> Option<Self> {
        let (how, place) = key.split_once(':')?;
        let name = place.strip_prefix("header.")?.to_owned();
        match how {
            "append" => Some(Self::Append(name, value)),
            "overwrite" => Some(Self::Overwrite(name, value)),
            "remove" => Some(Self::Remove(name)),
            _ => None,
        }
    }

    fn apply(&self, headers: &mut HeaderMap, context: &CallContext<'_>) {
        let (Self::Append(name, _) | Self::Overwrite(name, _) | Self::Remove(name)) = self;
        let Ok(name) = HeaderName::try_from(name) else {
            return;
        };
        let value = |source: &str| {
            let value = match source.strip_prefix("$context.") {
                Some(variable) => context.value(variable)?,
                None => source.to_owned(),
            };
            HeaderValue::try_from(value).ok()
        };
        match self {
            Self::Remove(_) => {
                headers.remove(name);
            }
            Self::Append(_, source) => {
                if let Some(value) = value(source) {
                    headers.append(name, value);
                }
            }
            Self::Overwrite(_, source) => {
                headers.remove(&name);
                if let Some(value) = value(source) {
                    headers.insert(name, value);
                }
            }
        }
    }
}

impl Passed {
    /// The headers that the other API receives.
    pub(super) fn headers(&self, request: &Request, context: &CallContext<'_>) -> HeaderMap {
        let mut headers = request.headers.clone();
        for name in OF_CONNECTION {
            headers.remove(name);
        }
        let forwarded = forwarded(request);
        headers.remove(header::HOST);
        headers.remove(header::CONTENT_LENGTH);
        let names: Vec<_> = headers.keys().cloned().collect();
        let translated = |name: &&HeaderName| name.as_str().starts_with("x-forwarded-");
        for name in names.iter().filter(translated) {
            headers.remove(name);
        }
        if let Ok(forwarded) = HeaderValue::try_from(forwarded) {
            headers.insert(header::FORWARDED, forwarded);
        }
        for mapping in &self.mappings {
            mapping.apply(&mut headers, context);
        }
        headers
    }

    /// The URL, with the path's variables and the query as it was sent. AWS does not document how a
    /// variable is encoded; an API that decodes its path sees the same.
    pub(super) fn uri(&self, parameters: &BTreeMap<String, String>, query: Option<&str>) -> String {
        let mut uri = self.uri.clone();
        for (name, value) in parameters {
            uri = uri.replace(&format!("{{{name}}}"), &path::passed(value));
        }
        match query {
            Some(query) => format!("{uri}?{query}"),
            None => uri,
        }
    }
}

/// An HTTP API translates `X-Forwarded-*` into the standard's header, and appends the address, the host
/// and the protocol
/// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-known-issues.html#api-gateway-known-issues-http-apis>).
fn forwarded(request: &Request) -> String {
    let text = |name: &str| {
        request
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    let mut hops: Vec<String> = text("forwarded").map(str::to_owned).into_iter().collect();
    let earlier = text("x-forwarded-for")
        .into_iter()
        .flat_map(|list| list.split(','));
    hops.extend(earlier.map(|address| format!("for={}", address.trim())));
    let host = text("host").unwrap_or_default();
    hops.push(format!("for={};host={host};proto=http", request.source_ip));
    hops.join(", ")
}

/// The headers of another API's response as a caller receives them.
pub(super) fn from_upstream(headers: &HeaderMap) -> HeaderMap {
    let mut passed = headers.clone();
    for name in OF_CONNECTION {
        passed.remove(name);
    }
    passed
}
