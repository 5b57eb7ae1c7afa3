//! Existing APIs.

use std::collections::BTreeSet;

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

/// The most APIs. Each may invoke the authorizer by a statement of the function's own policy, which
/// Lambda bounds to 20 KB (Lambda Developer Guide, "Lambda quotas").
const MOST: usize = 40;

/// The attached APIs: each stage once, each API of one kind, and no more than the authorizer's
/// policy holds.
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
    let apis: BTreeSet<&str> = attached.iter().map(|one| one.api_id.as_str()).collect();
    if apis.len() > MOST {
        return Err(D::Error::custom(format!(
            "attached: {} APIs are given, {MOST} are allowed: each takes a statement of the authorizer's \
             policy, of which Lambda accepts 20 KB; attach the others to a further environment",
            apis.len()
        )));
    }
    Ok(attached)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lambda's form of a permission, with the longest region, function and id of a resource.
    #[test]
    fn the_most_apis_fit_the_authorizers_policy() {
        let arn = |service: &str, rest: &str| {
            format!("arn:aws-us-gov:{service}:us-gov-west-1:123456789012:{rest}")
        };
        let function = arn("lambda", &format!("function:{}", "f".repeat(64)));
        let source = arn("execute-api", &format!("{}/authorizers/*", "a".repeat(32)));
        let statement = serde_json::json!({
            "Sid": "s".repeat(100),
            "Effect": "Allow",
            "Principal": {"Service": "apigateway.amazonaws.com"},
            "Action": "lambda:InvokeFunction",
            "Resource": function,
            "Condition": {"ArnLike": {"AWS:SourceArn": source}},
        });
        // One more is the API that the stack itself declares.
        let length = (MOST + 1) * (statement.to_string().len() + 1);
        assert!(length < 20_480, "{length}");
    }
}
