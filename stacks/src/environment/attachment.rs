//! Existing APIs.

use domain::gateway::Gateway;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{Deserializer, Error};

use super::text::{ApiId, StageName};

/// An existing API.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Attached {
    /// Its id, the first part of its address at AWS.
    pub api_id: ApiId,
    /// The stage that `cargo xtask attach --check` checks.
    pub stage: Option<StageName>,
    /// The kind of API.
    #[serde(default)]
    pub kind: ApiKind,
}

/// A kind of API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ApiKind {
    /// A REST API.
    #[default]
    Rest,
    /// An HTTP API.
    Http,
}

impl From<ApiKind> for Gateway {
    fn from(kind: ApiKind) -> Self {
        match kind {
            ApiKind::Rest => Self::Rest,
            ApiKind::Http => Self::Http,
        }
    }
}

/// The attached APIs: each stage once, and each API of one kind.
pub(super) fn attached<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<Attached>, D::Error> {
    let attached = Vec::<Attached>::deserialize(deserializer)?;
    for (place, one) in attached.iter().enumerate() {
        let api = one.api_id.as_str();
        let mut before = attached.iter().take(place);
        if let Some(other) = before.find(|other| other.api_id == one.api_id) {
            let problem = if other.kind == one.kind {
                if other.stage != one.stage {
                    continue;
                }
                "is listed twice"
            } else {
                "is of two kinds"
            };
            return Err(D::Error::custom(format!(
                "attached: the API `{api}` {problem}"
            )));
        }
    }
    Ok(attached)
}
