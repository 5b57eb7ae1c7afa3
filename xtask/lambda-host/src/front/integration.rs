//! What answers a method, as it is deployed.

use std::collections::BTreeMap;
use std::time::Duration;

/// What answers a method.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Integration {
    /// A function, given the whole request.
    Function(String),
    /// Another API.
    Proxy(Proxy),
    /// The gateway itself.
    Mock(Mock),
    /// Something that the front cannot do.
    Unknown,
}

/// Another API.
#[derive(Clone, PartialEq)]
pub(crate) struct Proxy {
    /// With the names of path parameters in braces.
    pub(crate) uri: String,
    /// Headers to a quoted literal, `context.…` or `method.request.header.…`.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) timeout: Duration,
}

/// Values may be secret.
impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Proxy");
        let names: Vec<_> = self.headers.keys().collect();
        shown.field("uri", &self.uri).field("headers", &names);
        shown.finish_non_exhaustive()
    }
}

/// An answer that is the same for every request, but for the origin that it may name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mock {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    /// The origins of which the one that asks is named in `Access-Control-Allow-Origin`.
    pub(crate) origins: Vec<String>,
}

impl Mock {
    /// The origins that a response template compares `$origin` with, where it names the one that
    /// asks. The front runs no templates: it knows this one.
    pub(crate) fn origins_of(template: &str) -> Vec<String> {
        const NAMED: &str =
            "#set($context.responseOverride.header.Access-Control-Allow-Origin=$origin)";
        if !template.contains(NAMED) {
            return Vec::new();
        }
        let compared = template.split("$origin==\"").skip(1);
        compared
            .filter_map(|rest| rest.split_once('"'))
            .map(|(origin, _)| origin.to_owned())
            .collect()
    }
}
