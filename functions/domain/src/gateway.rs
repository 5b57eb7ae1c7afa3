//! The two kinds of API of API Gateway, and the template within their names of a route.

use serde::{Deserialize, Serialize};

/// A kind of API.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Gateway {
    /// A REST API.
    #[default]
    Rest,
    /// An HTTP API, API Gateway's version 2.
    Http,
}

impl Gateway {
    /// Its name in files and commands.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rest => "rest",
            Self::Http => "http",
        }
    }
}

/// The method with which a browser asks whether a page may call (Fetch Standard, "CORS-preflight
/// fetch").
pub const PREFLIGHT: &str = "OPTIONS";

/// The route of an HTTP API that accepts every call.
pub const DEFAULT_ROUTE: &str = "$default";

/// The stage variable of an HTTP API whose authorizer reads payload 2.0 without simple answers: its
/// value is [`POLICY`].
pub const ANSWER: &str = "meteringAnswer";
/// The value of [`ANSWER`] that asks for a policy.
pub const POLICY: &str = "policy";

/// The template of an HTTP API's route: `/pets/{id}` of `GET /pets/{id}`, and `$default` of itself.
pub fn template(route_key: &str) -> &str {
    match route_key.split_once(' ') {
        Some((_, template)) => template,
        None => route_key,
    }
}

/// The path below the stage: an HTTP API puts the name of a stage other than `$default` before it.
pub fn below_stage<'a>(path: &'a str, stage: Option<&str>) -> &'a str {
    let below = stage.and_then(|stage| path.strip_prefix('/')?.strip_prefix(stage));
    match below {
        Some("") => "/",
        Some(below) if below.starts_with('/') => below,
        _ => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_counts_under_its_template() {
        assert_eq!(template("GET /pets/{id}"), "/pets/{id}");
        assert_eq!(template("ANY /{proxy+}"), "/{proxy+}");
        assert_eq!(template("$default"), "$default");
        assert_eq!(template(""), "");
    }

    #[test]
    fn a_path_begins_below_its_stage() {
        for (path, stage, below) in [
            ("/test/pets", Some("test"), "/pets"),
            ("/test/", Some("test"), "/"),
            ("/test", Some("test"), "/"),
            ("/pets", Some("$default"), "/pets"),
            ("/tests/pets", Some("test"), "/tests/pets"),
            ("/pets", None, "/pets"),
        ] {
            assert_eq!(below_stage(path, stage), below);
        }
    }
}
