//! The gateway's request: what a REST API sends its authorizer of type `REQUEST`
//! (<https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-lambda-authorizer-input.html>),
//! and an HTTP API in payload 1.0 or 2.0
//! (<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-lambda-authorizer.html>).
//!
//! Not the types of `aws_lambda_events`, which quote a header that they cannot read in their error and
//! so would write the caller's key to the log. This type prints no value of a header or a parameter,
//! and exposes only the hash of the key.

use domain::event;
use domain::gateway;
use domain::key::{self, ApiKey};
use serde::Deserialize;
use serde_json::{Map, Value};

const KEY_HEADER: &str = "x-api-key";
const USER_AGENT_HEADER: &str = "user-agent";
/// Length in bytes of a key that another system made and that was imported by its hash: API Gateway's
/// own keys have 20 to 128.
const IMPORTED_BYTES: std::ops::RangeInclusive<usize> = 16..=128;

/// A call to be authorized.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Event")]
pub struct Request {
    /// The form of answer that the gateway expects.
    pub form: Form,
    /// ARN of the called method or route.
    pub method_arn: String,
    /// The gateway's template, such as `/v1/deadlines` or `/{proxy+}`; `$default` for the route of an
    /// HTTP API that accepts every call.
    pub resource: String,
    /// The path as it was sent, still encoded.
    pub path: String,
    /// HTTP method.
    pub http_method: String,
    headers: Named,
    query: Named,
    path_parameters: Named,
    stage: Option<String>,
    id: Option<String>,
    source_ip: Option<String>,
}

/// The form of answer that a gateway expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A policy. The REST API answers a denial with 429, and the error `Unauthorized` with 401.
    Rest,
    /// A policy. The HTTP API answers a denial with 403.
    HttpPolicy,
    /// Yes or no. The HTTP API answers a no with 403.
    HttpSimple,
}

/// Headers or parameters by their names. Callers choose the values, so only names are printed.
struct Named(Map<String, Value>);

impl std::fmt::Debug for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// A request that the gateway does not send.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// A member is not there.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// A payload of an HTTP API that this release does not know.
    #[error("payload version `{0}` is unknown: expected `1.0` or `2.0`")]
    Version(String),
}

/// The request of either kind of gateway. Headers are read as plain JSON: the error of a stricter
/// type would quote a value that the caller chose.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    /// Only HTTP APIs send this.
    version: Option<String>,
    method_arn: Option<String>,
    route_arn: Option<String>,
    resource: Option<String>,
    path: Option<String>,
    raw_path: Option<String>,
    http_method: Option<String>,
    route_key: Option<String>,
    #[serde(default)]
    headers: Value,
    #[serde(default)]
    query_string_parameters: Value,
    #[serde(default)]
    path_parameters: Value,
    #[serde(default)]
    stage_variables: Value,
    request_context: Option<RequestContext>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RequestContext {
    stage: Option<String>,
    request_id: Option<String>,
    identity: Option<Identity>,
    http: Option<Http>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Identity {
    source_ip: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Http {
    method: Option<String>,
    source_ip: Option<String>,
}

impl TryFrom<Event> for Request {
    type Error = Unreadable;

    fn try_from(event: Event) -> Result<Self, Unreadable> {
        match event.version.as_deref() {
            None => event.of_payload_1(Form::Rest),
            Some("1.0") => event.of_payload_1(Form::HttpPolicy),
            Some("2.0") => event.of_payload_2(),
            Some(other) => Err(Unreadable::Version(event::cut(other).to_owned())),
        }
    }
}

impl Event {
    /// The form of REST APIs, and of HTTP APIs with payload 1.0.
    fn of_payload_1(self, form: Form) -> Result<Request, Unreadable> {
        let context = self.request_context.unwrap_or_default();
        Ok(Request {
            form,
            method_arn: self.method_arn.ok_or(Unreadable::Missing("methodArn"))?,
            resource: self.resource.ok_or(Unreadable::Missing("resource"))?,
            path: self.path.unwrap_or_default(),
            http_method: self.http_method.ok_or(Unreadable::Missing("httpMethod"))?,
            headers: Named::of(self.headers),
            query: Named::of(self.query_string_parameters),
            path_parameters: Named::of(self.path_parameters),
            stage: context.stage,
            id: context.request_id,
            source_ip: context.identity.and_then(|identity| identity.source_ip),
        })
    }

    fn of_payload_2(self) -> Result<Request, Unreadable> {
        let answer = self.stage_variables.get(gateway::ANSWER);
        let form = match answer.and_then(Value::as_str) {
            Some(gateway::POLICY) => Form::HttpPolicy,
            _ => Form::HttpSimple,
        };
        let context = self.request_context.unwrap_or_default();
        let http = context
            .http
            .ok_or(Unreadable::Missing("requestContext.http"))?;
        let route_key = self.route_key.ok_or(Unreadable::Missing("routeKey"))?;
        let path = self.raw_path.unwrap_or_default();
        Ok(Request {
            form,
            method_arn: self.route_arn.ok_or(Unreadable::Missing("routeArn"))?,
            resource: gateway::template(&route_key).to_owned(),
            path: gateway::below_stage(&path, context.stage.as_deref()).to_owned(),
            http_method: http
                .method
                .ok_or(Unreadable::Missing("requestContext.http.method"))?,
            headers: Named::of(self.headers),
            query: Named::of(self.query_string_parameters),
            path_parameters: Named::of(self.path_parameters),
            stage: context.stage,
            id: context.request_id,
            source_ip: http.source_ip,
        })
    }
}

impl Named {
    fn of(value: Value) -> Self {
        match value {
            Value::Object(values) => Self(values),
            _ => Self(Map::new()),
        }
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }
}

/// The caller's credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// Nothing.
    Missing,
    /// Not in the form of a key.
    Malformed {
        /// Its SHA-256.
        hash: String,
    },
    /// In the form of a key, with a correct checksum; or in a form in which one may have been imported.
    WellFormed {
        /// Its SHA-256.
        hash: String,
    },
}

impl Request {
    /// The caller's credential. A text that begins like a key of `prefix` must have the checksum of
    /// one, so that a typo is refused without a look-up.
    pub fn credential(&self, prefix: &str) -> Credential {
        let Some(presented) = self.header(KEY_HEADER).filter(|text| !text.is_empty()) else {
            return Credential::Missing;
        };
        let is_ours = presented
            .strip_prefix(prefix)
            .is_some_and(|rest| rest.starts_with('_'));
        let may_be_imported = !is_ours
            && IMPORTED_BYTES.contains(&presented.len())
            && presented.bytes().all(|byte| byte.is_ascii_graphic());
        let hash = key::hash(presented);
        if may_be_imported || ApiKey::parse(presented).is_some() {
            Credential::WellFormed { hash }
        } else {
            Credential::Malformed { hash }
        }
    }

    /// The caller's address; `unknown` if the gateway reports none.
    pub fn ip(&self) -> &str {
        self.source_ip.as_deref().unwrap_or("unknown")
    }

    /// The caller's `User-Agent`, cut to the length that an event carries.
    pub fn user_agent(&self) -> Option<&str> {
        self.header(USER_AGENT_HEADER).map(event::cut)
    }

    /// The gateway's id of the request, which callers can choose, cut like the user agent.
    pub fn request_id(&self) -> Option<&str> {
        self.id.as_deref().map(event::cut)
    }

    /// Whether this is a browser's preflight, which never carries a key: nobody tries to get in.
    pub(crate) fn is_preflight(&self) -> bool {
        self.http_method == gateway::PREFLIGHT
            && self.brings("origin")
            && self.brings("access-control-request-method")
            && !self.brings(KEY_HEADER)
    }

    /// Whether the call brings one of these headers, in any case.
    pub fn brings_any(&self, headers: &[String]) -> bool {
        headers.iter().any(|name| self.brings(name))
    }

    fn brings(&self, name: &str) -> bool {
        let mut names = self.headers.0.keys();
        names.any(|known| known.eq_ignore_ascii_case(name))
    }

    /// The id of the called API, from the ARN of its method or route; empty if the ARN has none.
    pub(crate) fn api_id(&self) -> &str {
        let resource = self.method_arn.splitn(6, ':').nth(5).unwrap_or_default();
        resource.split('/').next().unwrap_or_default()
    }

    /// The gateway's stage.
    pub fn stage(&self) -> Option<&str> {
        self.stage.as_deref()
    }

    /// A parameter of the query, decoded. Of a repeated one a REST API gives the last value, and an
    /// HTTP API in payload 2.0 all of them with commas between.
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.query.get(name)
    }

    /// A variable of the gateway's own template.
    pub(crate) fn path_parameter(&self, name: &str) -> Option<&str> {
        self.path_parameters.get(name)
    }

    /// Whether a text is the caller's key, or has the form of one.
    pub(crate) fn is_key(&self, text: &str) -> bool {
        ApiKey::parse(text).is_some() || self.header(KEY_HEADER) == Some(text)
    }

    /// A header, its name in any case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.0.iter();
        let (_, value) = headers.find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        value.as_str()
    }
}

#[cfg(test)]
mod tests;
