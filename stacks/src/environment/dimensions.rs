//! The dimensions of the environment file: values of calls by which usage is grouped.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use domain::dimension::{
    self, Declared, MOST_DIMENSIONS, MOST_VALUES, RESERVED, Source, Sources, USUAL_VALUES,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, Error};

use super::text::{Bounded, Text, texts};

texts! {
    /// The name of a dimension: a letter, then letters, digits, `-` or `_`, at most 32.
    DimensionName: dimension_name, format!("^(?!({})$)[A-Za-z][A-Za-z0-9_-]{{0,31}}$", RESERVED.join("|"));
    /// A variable of a template, such as `id` of `GET /users/{id}`.
    PathVariable: path_variable, "^[^{}/+\\s]{1,64}$".to_owned();
    /// A parameter of the query that is not a credential.
    QueryName: query_name, format!("^(?!({})$)[!-~]{{1,64}}$", CREDENTIAL_PARAMETERS.join("|"));
    /// A header, in lower case, that is not a credential.
    SourceHeader: source_header, format!("^(?!({})$)[a-z0-9-]{{1,64}}$", CREDENTIALS.join("|"));
}

/// Headers that carry credentials: their values must not be stored.
const CREDENTIALS: [&str; 8] = [
    "authorization",
    "cookie",
    "proxy-authorization",
    "set-cookie",
    "x-amz-security-token",
    "x-api-key",
    "x-auth-token",
    "x-csrf-token",
];
/// Parameters that carry credentials, in lower case.
const CREDENTIAL_PARAMETERS: [&str; 12] = [
    "access_token",
    "api-key",
    "api_key",
    "apikey",
    "client_secret",
    "id_token",
    "password",
    "refresh_token",
    "token",
    "x-amz-security-token",
    "x-amz-signature",
    "x-api-key",
];

/// A value of calls by which usage is grouped.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Dimension {
    /// Its name, by which the analytics API groups.
    pub name: DimensionName,
    /// The variable of routes that holds the value; not together with `query` or `header`.
    pub path: Option<PathVariable>,
    /// The parameter of the query that holds it; not together with `path` or `header`.
    pub query: Option<QueryName>,
    /// The header that holds it; not together with `path` or `query`.
    pub header: Option<SourceHeader>,
    /// How many values each count keeps apart: those with most calls. All others count as `other`.
    #[serde(default)]
    #[schemars(with = "Bounded<1, { MOST_VALUES as u32 }>")]
    pub values: Values,
}

/// How many values are counted apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Values(Bounded<1, { MOST_VALUES as u32 }>);

impl Default for Values {
    fn default() -> Self {
        Self(Bounded::clamped(USUAL_VALUES.into()))
    }
}

impl Dimension {
    /// The source, if exactly one is given.
    fn source(&self) -> Option<Source> {
        let path = self.path.as_ref().map(PathVariable::as_str);
        let query = self.query.as_ref().map(QueryName::as_str);
        let header = self.header.as_ref().map(SourceHeader::as_str);
        match (path, query, header) {
            (Some(name), None, None) => Some(Source::Path(name.to_owned())),
            (None, Some(name), None) => Some(Source::Query(name.to_owned())),
            (None, None, Some(name)) => Some(Source::Header(name.to_owned())),
            _ => None,
        }
    }
}

/// The dimensions in the form of the functions.
pub(crate) fn sources(dimensions: &[Dimension]) -> Sources {
    let sources = dimensions.iter().filter_map(|dimension| {
        let declared = Declared {
            source: dimension.source()?,
            values: u8::try_from(dimension.values.0.get()).unwrap_or(MOST_VALUES),
        };
        Some((dimension.name.to_string(), declared))
    });
    Sources(sources.collect::<BTreeMap<_, _>>())
}

/// A few dimensions, each with a name and a source of its own.
pub(super) fn dimensions<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<Dimension>, D::Error> {
    let dimensions = Vec::<Dimension>::deserialize(deserializer)?;
    let refused = |problem: String| D::Error::custom(format!("dimensions: {problem}"));
    if dimensions.len() > MOST_DIMENSIONS {
        return Err(refused(format!(
            "{} are declared, expected at most {MOST_DIMENSIONS}",
            dimensions.len()
        )));
    }
    for (place, one) in dimensions.iter().enumerate() {
        let name = &one.name;
        let Some(source) = one.source() else {
            return Err(refused(format!(
                "`{name}` needs exactly one of `path`, `query` and `header`"
            )));
        };
        for other in dimensions.iter().take(place) {
            if other.name == *name {
                return Err(refused(format!("`{name}` occurs twice")));
            }
            if other.source().as_ref() == Some(&source) {
                let other = &other.name;
                return Err(refused(format!(
                    "`{other}` and `{name}` have the same source"
                )));
            }
        }
    }
    Ok(dimensions)
}

fn dimension_name(text: &str) -> Result<(), String> {
    if dimension::is_name(text) {
        return Ok(());
    }
    let reserved = RESERVED.map(|name| format!("`{name}`")).join(", ");
    Err(format!(
        "`{text}` cannot name a dimension: 1 to 32 letters, digits, hyphens and underscores, a letter \
         first, and none of {reserved}"
    ))
}

fn path_variable(text: &str) -> Result<(), String> {
    let is_plain = |c: char| !c.is_whitespace() && !"{}/+".contains(c);
    ((1..=64).contains(&text.len()) && text.chars().all(is_plain))
        .then_some(())
        .ok_or_else(|| {
            format!("`{text}` is not a variable of a route: give `id` for `GET /users/{{id}}`")
        })
}

fn query_name(text: &str) -> Result<(), String> {
    if CREDENTIAL_PARAMETERS.contains(&text.to_ascii_lowercase().as_str()) {
        return Err(credential("parameter", text));
    }
    ((1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()))
        .then_some(())
        .ok_or_else(|| {
            format!("`{text}` is not a parameter's name: 1 to 64 printable ASCII characters")
        })
}

fn source_header(text: &str) -> Result<(), String> {
    if CREDENTIALS.contains(&text) {
        return Err(credential("header", text));
    }
    super::text::field_name(text)
}

fn credential(kind: &str, name: &str) -> String {
    format!("the {kind} `{name}` carries a credential, whose value must not be stored")
}
