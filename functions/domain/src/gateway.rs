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
}
