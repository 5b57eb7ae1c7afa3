//! Finds the resource and method of a request.
//!
//! Of the resources whose path matches, the most specific one with the method wins: a literal
//! precedes `{name}`, which precedes `{name+}`. A resource without the method does not hide a less
//! specific one that has it.

use std::collections::BTreeMap;

use super::{Integration, path};

/// The methods that `ANY` stands for
/// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-method-settings-method-request.html>).
const METHODS: [&str; 7] = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"];

/// A resource of the API.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Resource {
    pub(crate) id: String,
    pub(crate) path: String,
    /// The methods by HTTP method, or `ANY`.
    pub(crate) methods: BTreeMap<String, Method>,
}

/// A method of a resource.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Method {
    pub(crate) authorization: Authorization,
    pub(crate) integration: Integration,
}

/// The authorization of a method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Authorization {
    /// Every caller is accepted.
    Open,
    /// This function decides.
    Function(String),
    /// Something decides that the front cannot call.
    Unknown,
}

/// The resource and method of a request.
#[derive(Debug)]
pub(crate) struct Matched<'a> {
    pub(crate) resource: &'a Resource,
    pub(crate) method: &'a Method,
    /// The path's parameters as they were sent.
    pub(crate) parameters: BTreeMap<String, String>,
}

/// The resource and method of a request for `path`, without the stage, with `method`.
pub(crate) fn matching<'a>(
    resources: &'a [Resource],
    method: &str,
    path: &str,
) -> Option<Matched<'a>> {
    if !METHODS.contains(&method) {
        return None;
    }
    let fitting = resources.iter().filter_map(|resource| {
        let served = resource.methods.get(method);
        let served = served.or_else(|| resource.methods.get("ANY"))?;
        Some(Matched {
            method: served,
            parameters: parameters(&resource.path, path)?,
            resource,
        })
    });
    fitting.min_by_key(|matched| order(&matched.resource.path))
}

/// A key that sorts the more specific path first.
fn order(path: &str) -> Vec<u8> {
    let parts = path.split('/').filter(|part| !part.is_empty());
    parts
        .map(|part| match variable(part) {
            None => 0,
            Some((_, false)) => 1,
            Some((_, true)) => 2,
        })
        .collect()
}

/// The name of a variable, and whether it matches the rest of the path.
fn variable(part: &str) -> Option<(&str, bool)> {
    let name = part.strip_prefix('{')?.strip_suffix('}')?;
    Some(match name.strip_suffix('+') {
        Some(name) => (name, true),
        None => (name, false),
    })
}

/// The parameters of a path that matches a resource's. A trailing slash only changes the value of a
/// parameter that matches the rest.
fn parameters(resource: &str, path: &str) -> Option<BTreeMap<String, String>> {
    let mut parameters = BTreeMap::new();
    let mut rest = path;
    for part in resource.split('/').filter(|part| !part.is_empty()) {
        if rest.trim_start_matches('/').is_empty() {
            return None;
        }
        if let Some((name, true)) = variable(part) {
            let value = rest.strip_prefix('/').unwrap_or(rest);
            parameters.insert(name.to_owned(), value.to_owned());
            return Some(parameters);
        }
        let from = rest.trim_start_matches('/');
        let end = from.find('/').unwrap_or(from.len());
        let (segment, after) = from.split_at(end);
        match variable(part) {
            Some((name, _)) => {
                parameters.insert(name.to_owned(), segment.to_owned());
            }
            None if path::decoded(segment) != part.as_bytes() => return None,
            None => {}
        }
        rest = after;
    }
    rest.chars().all(|sign| sign == '/').then_some(parameters)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn resource(path: &str, methods: &[&str]) -> Resource {
        let method = Method {
            authorization: Authorization::Open,
            integration: Integration::Function(path.to_owned()),
        };
        let methods = methods.iter();
        Resource {
            id: path.to_owned(),
            path: path.to_owned(),
            methods: methods
                .map(|name| ((*name).to_owned(), method.clone()))
                .collect(),
        }
    }

    fn resources() -> Vec<Resource> {
        vec![
            resource("/{proxy+}", &["ANY", "OPTIONS"]),
            resource("/", &["ANY"]),
            resource("/v1/analytics/realtime", &["GET"]),
            resource("/v1/{what}", &["GET"]),
        ]
    }

    #[test]
    fn the_most_specific_resource_that_has_the_method_is_taken() {
        let resources = resources();
        for (method, path, resource, parameter) in [
            ("GET", "/", "/", None),
            ("GET", "", "/", None),
            (
                "GET",
                "/v1/analytics/realtime",
                "/v1/analytics/realtime",
                None,
            ),
            (
                "GET",
                "/v1/analytics/realtime/",
                "/v1/analytics/realtime",
                None,
            ),
            (
                "POST",
                "/v1/analytics/realtime",
                "/{proxy+}",
                Some("v1/analytics/realtime"),
            ),
            ("GET", "/v1/a%20b", "/v1/{what}", Some("a%20b")),
            ("GET", "/v1/a/b/", "/{proxy+}", Some("v1/a/b/")),
            ("PUT", "//a", "/{proxy+}", Some("/a")),
            ("OPTIONS", "/x", "/{proxy+}", Some("x")),
        ] {
            let matched = matching(&resources, method, path).unwrap();
            assert_eq!(matched.resource.path, resource, "{method} {path}");
            let value = matched.parameters.values().next().map(String::as_str);
            assert_eq!(value, parameter, "{method} {path}");
        }
    }

    #[test]
    fn any_is_the_seven_methods_of_the_gateway() {
        let resources = resources();
        for method in ["TRACE", "CONNECT", "BREW", "get", "ANY"] {
            assert!(matching(&resources, method, "/x").is_none(), "{method}");
        }
    }
}
