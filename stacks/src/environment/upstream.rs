//! `upstream`: the API to meter, the routes under which its calls are counted, and what it learns
//! about a caller.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};

use domain::route::{Route, Routes};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

#[cfg(doc)]
use super::Environment;
use super::address::UpstreamAddress;
use super::openapi;
use super::text::{HeaderName, SecretKey, SecretName};

/// The API to meter.
#[derive(Clone, Debug, PartialEq, JsonSchema)]
#[schemars(with = "Form")]
pub struct Upstream {
    /// Its URL: the first part of every path.
    pub url: UpstreamAddress,
    /// The routes under which calls are counted. If there are none, all calls count as one
    /// endpoint.
    pub routes: Vec<Route>,
    /// The `OpenAPI` document with the routes.
    pub openapi: Option<PathBuf>,
    /// `GET` routes that can be called as they are: paths without variables, or with examples.
    pub examples: Vec<String>,
    /// The headers about the caller.
    pub identity: Identity,
    /// Whether it receives the caller's key.
    pub pass_key: bool,
    /// The secret by which it recognises calls through the gateway.
    pub secret: Option<Secret>,
    /// How its responses reach callers.
    pub response_transfer_mode: ResponseTransferMode,
}

/// How an upstream's responses reach callers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ResponseTransferMode {
    /// Whole, once the gateway has all of it: up to 10 MB within 29 seconds.
    #[default]
    Buffered,
    /// Part by part, for up to 15 minutes: server-sent events, tokens of a language model, large
    /// files. REST APIs only.
    Stream,
}

/// `upstream` in the form of the file.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "read by the schema alone")]
enum Form {
    /// The URL alone.
    Address(UpstreamAddress),
    /// The URL and more.
    Section(Box<Section>),
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "UpstreamSection")]
struct Section {
    /// Its URL: the first part of every path.
    url: UpstreamAddress,
    /// The routes under which calls are counted, such as `GET /users/{id}`; not together with
    /// `openapi`.
    routes: Option<Vec<RouteText>>,
    /// The `OpenAPI` document (3.0 or 3.1, JSON or YAML) whose paths are the routes: a path
    /// relative to this file's folder; not together with `routes`.
    openapi: Option<PathBuf>,
    /// The headers that identify the caller to it.
    #[serde(default)]
    identity: Identity,
    /// Whether it receives the caller's key in `x-api-key`.
    #[serde(default)]
    pass_key: bool,
    /// A header by which it recognises calls through the gateway.
    secret: Option<Secret>,
    /// How its responses reach callers.
    #[serde(default)]
    response_transfer_mode: ResponseTransferMode,
}

/// The headers that identify the caller to the upstream. A call that carries one of them is
/// refused.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Identity {
    /// The user's email.
    pub user: HeaderName,
    /// The user's plan.
    pub plan: HeaderName,
    /// The id of the call's usage event.
    pub event_id: HeaderName,
}

impl Default for Identity {
    fn default() -> Self {
        Self {
            user: HeaderName::fixed("x-usage-user"),
            plan: HeaderName::fixed("x-usage-plan"),
            event_id: HeaderName::fixed("x-usage-event-id"),
        }
    }
}

/// A secret that only the gateway and the upstream know. It is stored in AWS Secrets Manager, and
/// read when the API is deployed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Secret {
    /// The header that carries it.
    #[serde(default = "Secret::header")]
    pub header: HeaderName,
    /// Its name in Secrets Manager.
    pub secrets_manager: SecretName,
    /// Its key, if it is a JSON object.
    pub key: Option<SecretKey>,
    /// Its version. This is detected, not read: see [`Environment::with_upstream_secret`]. Without
    /// it, a rotated secret would change nothing in the template, and CloudFormation would not read
    /// it again.
    #[serde(skip)]
    pub version: Option<String>,
}

impl Secret {
    fn header() -> HeaderName {
        HeaderName::fixed("x-usage-secret")
    }
}

impl Upstream {
    fn at(url: UpstreamAddress) -> Self {
        Self {
            url,
            routes: Vec::new(),
            openapi: None,
            examples: Vec::new(),
            identity: Identity::default(),
            pass_key: false,
            secret: None,
            response_transfer_mode: ResponseTransferMode::default(),
        }
    }

    /// The API at `url`, with the routes of a document.
    pub(super) fn described(url: &str, openapi: &Path) -> Result<Self, String> {
        let mut upstream = Self::at(UpstreamAddress::parse(url)?);
        upstream.openapi = Some(openapi.to_owned());
        upstream.read_openapi(openapi)?;
        Ok(upstream)
    }

    /// The headers that the gateway sets, and that no caller may send.
    pub fn reserved_headers(&self) -> Vec<&str> {
        let Identity {
            user,
            plan,
            event_id,
        } = &self.identity;
        let secret = self.secret.as_ref().map(|secret| &secret.header);
        let all = [user, plan, event_id].into_iter().chain(secret);
        all.map(HeaderName::as_str).collect()
    }

    /// Reads the routes of the `OpenAPI` document, relative to the folder of the environment's
    /// file.
    pub(super) fn read_openapi(&mut self, file: &Path) -> Result<(), String> {
        let Some(named) = &self.openapi else {
            return Ok(());
        };
        let path = file.parent().unwrap_or(file).join(named);
        let document =
            openapi::read(&path).map_err(|error| format!("upstream.openapi: {error}"))?;
        self.routes = document.routes;
        self.examples = document.examples;
        check_routes(&self.routes).map_err(|error| format!("upstream.openapi: {error}"))
    }
}

/// Checks that every call has a single best route.
pub(super) fn check_routes(routes: &[Route]) -> Result<(), String> {
    let routes = routes.iter().map(|route| (route.clone(), 1));
    Routes::new(routes, 1)
        .map(|_| ())
        .map_err(|error| error.to_string())
}

impl TryFrom<Section> for Upstream {
    type Error = String;

    fn try_from(section: Section) -> Result<Self, String> {
        if section.routes.is_some() && section.openapi.is_some() {
            return Err("upstream.routes: conflicts with `openapi`; give one of them".to_owned());
        }
        let routes = section.routes.unwrap_or_default();
        let routes: Vec<Route> = routes.into_iter().map(|route| route.0).collect();
        check_routes(&routes).map_err(|error| format!("upstream.routes: {error}"))?;
        let upstream = Self {
            examples: examples(&routes),
            routes,
            openapi: section.openapi,
            identity: section.identity,
            pass_key: section.pass_key,
            secret: section.secret,
            response_transfer_mode: section.response_transfer_mode,
            ..Self::at(section.url)
        };
        let mut names: Vec<&str> = upstream.reserved_headers();
        names.sort_unstable();
        if let Some([name, _]) = names.array_windows().find(|[one, other]| one == other) {
            return Err(format!(
                "upstream.identity: two members name the header `{name}`"
            ));
        }
        Ok(upstream)
    }
}

/// `GET` routes without variables.
fn examples(routes: &[Route]) -> Vec<String> {
    let plain = routes
        .iter()
        .filter(|route| route.method() == "GET" && !route.template().contains('{'));
    plain.map(|route| route.template().to_owned()).collect()
}

impl<'de> Deserialize<'de> for Upstream {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UpstreamVisitor)
    }
}

struct UpstreamVisitor;

impl<'de> Visitor<'de> for UpstreamVisitor {
    type Value = Upstream;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an address, or a section with `url`")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Upstream, E> {
        UpstreamAddress::parse(text)
            .map(Upstream::at)
            .map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Upstream, A::Error> {
        let section = Section::deserialize(MapAccessDeserializer::new(map))?;
        Upstream::try_from(section).map_err(A::Error::custom)
    }
}

/// A route in the form of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RouteText(pub(super) Route);

impl<'de> Deserialize<'de> for RouteText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Route::parse(&text).map(Self).map_err(D::Error::custom)
    }
}

impl JsonSchema for RouteText {
    fn schema_name() -> Cow<'static, str> {
        "Route".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^(ANY|DELETE|GET|HEAD|OPTIONS|PATCH|POST|PUT) /[^ ]*$",
        })
    }
}
