//! `cors`: which pages may call the API from a browser (<https://fetch.spec.whatwg.org/#http-cors-protocol>).

use schemars::JsonSchema;
use serde::Deserialize;

use super::text::{Bounded, CorsMethod, FieldName, PageOrigin};

/// Which pages may call the API from a browser.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "Section")]
#[schemars(with = "Section")]
pub struct Cors {
    /// The origins of pages.
    pub origins: Origins,
    /// The headers that they may send, including `x-api-key`.
    pub headers: Vec<String>,
    /// The methods that they may use.
    pub methods: Vec<String>,
    /// Whether requests carry cookies and other credentials.
    pub credentials: bool,
    /// How long a browser caches the response.
    pub max_age_seconds: u32,
}

/// The origins of pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origins {
    /// Any origin.
    Any,
    /// These origins.
    Listed(Vec<String>),
}

/// `cors` in the form of the file.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Cors")]
struct Section {
    /// The origins of pages: `https://app.example.com`, or `*` alone for any origin.
    #[schemars(length(min = 1))]
    origins: Vec<PageOrigin>,
    /// The headers that pages may send in addition to `x-api-key`; by default `content-type`.
    #[serde(default = "content_type")]
    headers: Vec<FieldName>,
    /// The methods that pages may use; all by default.
    #[serde(default = "CorsMethod::all")]
    methods: Vec<CorsMethod>,
    /// Whether requests carry cookies and other credentials; not with the origin `*`.
    #[serde(default)]
    credentials: bool,
    /// How long a browser caches the response, in seconds.
    #[serde(default = "ten_minutes")]
    max_age_seconds: Bounded<0, 86_400>,
}

fn content_type() -> Vec<FieldName> {
    vec![FieldName::fixed("content-type")]
}

const fn ten_minutes() -> Bounded<0, 86_400> {
    Bounded::clamped(600)
}

impl TryFrom<Section> for Cors {
    type Error = &'static str;

    fn try_from(section: Section) -> Result<Self, Self::Error> {
        let origins: Vec<String> = section
            .origins
            .iter()
            .map(|origin| origin.as_str().to_owned())
            .collect();
        let origins = match origins.as_slice() {
            [] => return Err("cors.origins: no page may call; leave `cors` out"),
            [any] if any == "*" => Origins::Any,
            all if all.iter().any(|origin| origin == "*") => {
                return Err("cors.origins: `*` includes all others; give it alone");
            }
            _ => Origins::Listed(origins),
        };
        if section.credentials && origins == Origins::Any {
            return Err(
                "cors.credentials: browsers send none to an API that any page may call; list the origins",
            );
        }
        let mut headers = vec!["x-api-key".to_owned()];
        let given = section.headers.iter().map(FieldName::as_str);
        headers.extend(given.filter(|name| *name != "x-api-key").map(str::to_owned));
        let methods = section.methods.iter();
        Ok(Self {
            origins,
            headers,
            methods: methods.map(|method| method.as_str().to_owned()).collect(),
            credentials: section.credentials,
            max_age_seconds: section.max_age_seconds.get(),
        })
    }
}
