//! Routes: the template under which a call is counted, and the units of the call.
//!
//! Templates are those of `OpenAPI` (<https://spec.openapis.org/oas/v3.1.1.html#paths-object>):
//! `/users/{id}`. Of the templates that match a call, the most specific counts: segment by segment
//! from the left, a literal precedes a partial one, which precedes a variable, which precedes
//! `{name+}`, which matches the rest of the path. A call that no route matches counts as [`OTHER`]:
//! callers cannot invent endpoints.
//!
//! Paths are compared as the upstream sees them. The gateway decodes a path before it forwards it,
//! so a call cannot evade its route by encoding it. Empty segments, a trailing slash and dot
//! segments change nothing either.

use std::fmt;

use serde::{Deserialize, Serialize};

pub use crate::counts::OTHER;

mod attached;
mod table;
mod template;

pub use attached::{AttachedRoutes, is_catch_all};
pub use table::{Counted, Routes, RoutesError, is_method};
use template::Template;

/// The methods that the gateway supports
/// (<https://docs.aws.amazon.com/apigateway/latest/api/API_PutMethod.html>).
pub const METHODS: [&str; 7] = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"];
/// The method of a route that matches every method.
pub const ANY: &str = "ANY";
/// The resources of an API whose paths the gateway does not distinguish.
pub const GREEDY: [&str; 2] = ["/", "/{proxy+}"];
/// Longest template in bytes.
pub const LONGEST_TEMPLATE: usize = 256;

/// A text that is not a route.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not a route: {problem}")]
pub struct BadRoute {
    given: String,
    problem: &'static str,
}

/// A method and a path template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Route {
    method: &'static str,
    template: Template,
}

impl Route {
    /// The route of `method`, in any case, and `template`.
    ///
    /// # Errors
    ///
    /// If the gateway does not support the method, or the template is invalid.
    pub fn new(method: &str, template: &str) -> Result<Self, BadRoute> {
        let bad = |problem| BadRoute {
            given: format!("{method} {template}"),
            problem,
        };
        let mut methods = METHODS.into_iter().chain([ANY]);
        let method = methods
            .find(|known| known.eq_ignore_ascii_case(method))
            .ok_or_else(|| {
                bad("the method is `DELETE`, `GET`, `HEAD`, `OPTIONS`, `PATCH`, `POST`, `PUT` or `ANY`")
            })?;
        Ok(Self {
            method,
            template: Template::parse(template).map_err(bad)?,
        })
    }

    /// Parses a route such as `GET /users/{id}`.
    ///
    /// # Errors
    ///
    /// As [`Route::new`], and if there is no method.
    pub fn parse(text: &str) -> Result<Self, BadRoute> {
        match text.trim().split_once(char::is_whitespace) {
            Some((method, template)) => Self::new(method, template.trim_start()),
            None => Err(BadRoute {
                given: text.to_owned(),
                problem: "expected a method and a template, such as `GET /users/{id}`",
            }),
        }
    }

    /// The method, or [`ANY`].
    pub const fn method(&self) -> &'static str {
        self.method
    }

    /// The template under which calls are counted.
    pub fn template(&self) -> &str {
        self.template.text()
    }

    /// The names of the template's variables.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.template.variables()
    }

    /// Whether this route covers the method. `HEAD` is answered like `GET`, without the body (RFC
    /// 9110, section 9.3.2), and counts as `GET`.
    fn is_of(&self, method: &str) -> bool {
        self.method == method || self.method == ANY || (self.method == "GET" && method == "HEAD")
    }

    /// Whether both match the same calls.
    fn fits_as(&self, other: &Self) -> bool {
        self.method == other.method && self.template.fits_as(&other.template)
    }

    /// A key that sorts the more specific route first.
    fn order(&self) -> impl Ord + use<'_> {
        let by_method = match self.method {
            ANY => 2,
            "GET" => 1,
            _ => 0_u8,
        };
        (self.template.order(), by_method, self.template.text())
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.template.text())
    }
}

impl TryFrom<String> for Route {
    type Error = BadRoute;

    fn try_from(text: String) -> Result<Self, BadRoute> {
        Self::parse(&text)
    }
}

impl From<Route> for String {
    fn from(route: Route) -> Self {
        route.to_string()
    }
}

#[cfg(test)]
mod tests;
