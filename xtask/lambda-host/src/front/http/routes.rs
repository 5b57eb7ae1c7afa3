//! The routes of an HTTP API, and the selection of a request's
//! (<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-routes.html>): a
//! full match precedes a match with a greedy variable, and that precedes `$default`.

use std::collections::BTreeMap;

use super::passage::Passed;
use crate::front::{Authorization, path};

/// The methods of `$context.httpMethod`
/// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-logging-variables.html>).
const METHODS: [&str; 7] = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"];
/// The route of every request that no other one matches.
const DEFAULT: &str = "$default";

/// A route.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Route {
    /// `GET /pets/{id}`, or `$default`.
    pub(crate) key: String,
    pub(crate) authorization: Authorization,
    pub(crate) target: Target,
}

/// The integration of a route.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Target {
    /// A function that receives the whole request.
    Function(String),
    /// Another API.
    Upstream(Passed),
    /// An integration that the front does not support.
    Unknown,
}

/// The route of a request.
#[derive(Debug)]
pub(super) struct Matched<'a> {
    pub(super) route: &'a Route,
    /// The path's variables as they were sent.
    pub(super) parameters: BTreeMap<String, String>,
}

/// The route of a request for `path`, without the stage, with `method`.
pub(super) fn matching<'a>(routes: &'a [Route], method: &str, path: &str) -> Option<Matched<'a>> {
    if !METHODS.contains(&method) {
        return None;
    }
    let path = if path.is_empty() { "/" } else { path };
    let fitting = routes.iter().filter_map(|route| {
        let (of, template) = route.key.split_once(' ')?;
        let exact = of == method;
        if !exact && of != "ANY" {
            return None;
        }
        let parameters = parameters(template, path)?;
        Some((order(template, exact), Matched { route, parameters }))
    });
    let best = fitting.min_by_key(|(order, _)| order.clone());
    best.map(|(_, matched)| matched).or_else(|| {
        let route = routes.iter().find(|route| route.key == DEFAULT)?;
        let parameters = BTreeMap::new();
        Some(Matched { route, parameters })
    })
}

/// A key that sorts the more specific route first.
fn order(template: &str, exact: bool) -> (bool, Vec<bool>, bool) {
    let is_greedy = template.ends_with("+}");
    let parts = template.split('/').skip(1);
    let variables = parts.map(|part| part.starts_with('{')).collect();
    (is_greedy, variables, !exact)
}

/// The variables of a path that matches a template. A trailing slash counts, unlike for a REST API:
/// AWS does not document it, <https://github.com/aws-powertools/powertools-lambda-python/pull/1609> and
/// <https://github.com/storacha/w3infra/pull/166> report it, and that a greedy variable accepts nothing
/// after a slash.
fn parameters(template: &str, path: &str) -> Option<BTreeMap<String, String>> {
    let mut parameters = BTreeMap::new();
    let mut rest = path.strip_prefix('/')?;
    let mut parts = template.strip_prefix('/')?.split('/').peekable();
    while let Some(part) = parts.next() {
        let name = part
            .strip_prefix('{')
            .and_then(|part| part.strip_suffix('}'));
        if let Some(name) = name.and_then(|name| name.strip_suffix('+')) {
            parameters.insert(name.to_owned(), rest.to_owned());
            return Some(parameters);
        }
        let (segment, after) = match rest.split_once('/') {
            Some((segment, after)) => (segment, Some(after)),
            None => (rest, None),
        };
        match name {
            Some(_) if segment.is_empty() => return None,
            Some(name) => {
                parameters.insert(name.to_owned(), segment.to_owned());
            }
            None if path::decoded(segment) != part.as_bytes() => return None,
            None => {}
        }
        match (after, parts.peek()) {
            (Some(after), Some(_)) => rest = after,
            (None, None) => return Some(parameters),
            (Some(_), None) | (None, Some(_)) => return None,
        }
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn routes(keys: &[&str]) -> Vec<Route> {
        let route = |key: &&str| Route {
            key: (*key).to_owned(),
            authorization: Authorization::Open,
            target: Target::Function("f".to_owned()),
        };
        keys.iter().map(route).collect()
    }

    /// The table of AWS's page.
    #[test]
    fn the_most_specific_route_is_taken() {
        let routes = routes(&[
            "$default",
            "ANY /{proxy+}",
            "GET /pets/{proxy+}",
            "GET /pets/dog/{id}",
            "GET /pets/dog/1",
        ]);
        for (method, path, key) in [
            ("GET", "/pets/dog/1", "GET /pets/dog/1"),
            ("GET", "/pets/dog/2", "GET /pets/dog/{id}"),
            ("GET", "/pets/cat/1", "GET /pets/{proxy+}"),
            ("POST", "/test/5", "ANY /{proxy+}"),
        ] {
            let matched = matching(&routes, method, path).unwrap();
            assert_eq!(matched.route.key, key, "{method} {path}");
        }
        assert!(matching(&routes, "BREW", "/pets").is_none());
    }

    #[test]
    fn a_trailing_slash_counts_and_a_variable_is_never_empty() {
        let routes = routes(&[
            "GET /",
            "GET /v1/keys/{id}",
            "GET /v1/page",
            "GET /v1/page/{proxy+}",
        ]);
        let key = |path| matching(&routes, "GET", path).map(|matched| matched.route.key.clone());
        assert_eq!(key("").as_deref(), Some("GET /"));
        assert_eq!(key("/").as_deref(), Some("GET /"));
        assert_eq!(key("/v1/page").as_deref(), Some("GET /v1/page"));
        assert_eq!(key("/v1/page/").as_deref(), Some("GET /v1/page/{proxy+}"));
        assert_eq!(key("/v1/keys/a%20b").as_deref(), Some("GET /v1/keys/{id}"));
        for path in ["/v1/keys/", "/v1/keys", "/v1/keys/a/", "/v1", "/v2/page"] {
            assert_eq!(key(path), None, "{path}");
        }
    }

    #[test]
    fn a_method_of_its_own_precedes_any_and_default_takes_the_rest() {
        let both = routes(&["ANY /{proxy+}", "OPTIONS /{proxy+}", "$default"]);
        let matched = matching(&both, "OPTIONS", "/a//b").unwrap();
        assert_eq!(matched.route.key, "OPTIONS /{proxy+}");
        assert_eq!(matched.parameters["proxy"], "a//b");
        let only = routes(&["$default", "GET /pets"]);
        assert_eq!(
            matching(&only, "PUT", "/pets").unwrap().route.key,
            "$default"
        );
    }
}
