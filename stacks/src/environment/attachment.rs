//! Existing APIs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use domain::gateway::Gateway;
use domain::route::{OTHER, Route, Routes, RoutesError};
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{Deserializer, Error};

use super::openapi;
use super::text::{ApiId, Bounded, StageName, Weighed};
use super::upstream::{RouteText, check_routes};

/// An existing API.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Attached {
    /// Its id, the first part of its address at AWS.
    pub api_id: ApiId,
    /// The stage that `cargo xtask attach --check` checks.
    pub stage: Option<StageName>,
    /// The kind of API.
    #[serde(default)]
    pub kind: ApiKind,
    /// The routes under which calls count that its gateway does not tell apart, such as those to
    /// `/{proxy+}` or `$default`; not together with `openapi`. They hold for all its stages.
    #[serde(default, deserialize_with = "routes")]
    #[schemars(with = "Vec<RouteText>")]
    pub routes: Vec<Route>,
    /// The `OpenAPI` document (3.0 or 3.1, JSON or YAML) whose paths are these routes: a path
    /// relative to this file's folder; not together with `routes`.
    pub openapi: Option<PathBuf>,
    /// The units of its calls by route, if not one, as under `units`. Without `routes` and `openapi`
    /// these are its routes.
    #[serde(default)]
    pub units: BTreeMap<Weighed, Bounded<0, 1_000_000>>,
}

impl Attached {
    /// What is wrong with two entries of the same API.
    fn conflict(&self, other: &Self) -> Option<&'static str> {
        if self.kind != other.kind {
            Some("is of two kinds")
        } else if self.stage == other.stage {
            Some("is listed twice")
        } else if self.is_routed() && other.is_routed() {
            Some("has routes or units twice; those of one stage hold for all")
        } else {
            None
        }
    }

    fn is_routed(&self) -> bool {
        !self.routes.is_empty() || self.openapi.is_some() || !self.units.is_empty()
    }

    /// Its routes with their units; `None` if the file gives it none.
    pub(crate) fn table(&self) -> Option<Result<Routes, RoutesError>> {
        self.is_routed().then(|| {
            let routes = self.routes.iter();
            let routes = routes.map(|route| (route.clone(), self.units_of(&route.to_string())));
            Routes::new(routes, self.units_of(OTHER))
        })
    }

    fn units_of(&self, name: &str) -> u32 {
        let mut given = self.units.iter();
        let given = given.find(|(weighed, _)| weighed.as_str() == name);
        given.map_or(1, |(_, units)| units.get())
    }

    /// Reads the routes of the `OpenAPI` document, relative to the folder of the environment's file,
    /// and checks all routes.
    pub(super) fn read_routes(&mut self, file: &Path) -> Result<(), String> {
        let api = self.api_id.clone();
        let problem = |text: String| format!("attached: the API `{api}`: {text}");
        if let Some(named) = &self.openapi {
            if !self.routes.is_empty() {
                let text = "`routes` conflicts with `openapi`; give one of them";
                return Err(problem(text.to_owned()));
            }
            let path = file.parent().unwrap_or(file).join(named);
            let document = openapi::read(&path).map_err(|error| problem(error.to_string()))?;
            self.routes = document.routes;
        } else if self.routes.is_empty() {
            let named = self.units.keys().filter(|name| name.as_str() != OTHER);
            let routes = named.map(|name| Route::parse(name.as_str()));
            let routes: Result<_, _> = routes.collect();
            self.routes = routes.map_err(|error| problem(error.to_string()))?;
        }
        check_routes(&self.routes).map_err(problem)?;
        let routes: BTreeSet<String> = self.routes.iter().map(ToString::to_string).collect();
        let mut weighed = self.units.keys().map(Weighed::as_str);
        match weighed.find(|name| *name != OTHER && !routes.contains(*name)) {
            Some(unknown) => Err(problem(format!(
                "`{unknown}` has units and is not one of its routes, as they are written there"
            ))),
            None => Ok(()),
        }
    }
}

fn routes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Route>, D::Error> {
    let routes = Vec::<RouteText>::deserialize(deserializer)?;
    Ok(routes.into_iter().map(|text| text.0).collect())
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
        let before = attached.iter().take(place);
        let mut same = before.filter(|other| other.api_id == one.api_id);
        if let Some(problem) = same.find_map(|other| one.conflict(other)) {
            let api = one.api_id.as_str();
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
