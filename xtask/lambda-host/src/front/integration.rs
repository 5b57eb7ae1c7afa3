//! The integration of a method, as it is deployed.

use std::collections::BTreeMap;
use std::time::Duration;

/// The integration of a method.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Integration {
    /// A function that receives the whole request.
    Function(String),
    /// Another API.
    Proxy(Proxy),
    /// The gateway itself.
    Mock(Mock),
    /// An integration that the front does not support.
    Unknown,
}

/// Another API.
#[derive(Clone, PartialEq)]
pub(crate) struct Proxy {
    /// With the names of path parameters in braces.
    pub(crate) uri: String,
    /// Header names mapped to a quoted literal, `context.…` or `method.request.header.…`.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) transfer: Transfer,
}

/// How a response reaches the caller: `ResponseTransferMode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transfer {
    /// Whole, once all of it is there.
    Buffered {
        /// The longest that the response may take.
        timeout: Duration,
    },
    /// Part by part.
    Stream {
        /// The longest that the response may take.
        timeout: Duration,
        /// The longest that a part may be waited for.
        idle: Duration,
    },
}

impl Transfer {
    /// How long a stream of a regional API may pause.
    const IDLE: Duration = Duration::from_mins(5);

    /// A streamed response.
    pub(crate) const fn stream(timeout: Duration) -> Self {
        Self::Stream {
            timeout,
            idle: Self::IDLE,
        }
    }

    pub(super) const fn timeout(self) -> Duration {
        match self {
            Self::Buffered { timeout } | Self::Stream { timeout, .. } => timeout,
        }
    }
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

/// A response that is the same for every request, except for the origin that it may name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mock {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    /// The origins that `Access-Control-Allow-Origin` may name, if the request comes from one of
    /// them.
    pub(crate) origins: Vec<String>,
}

impl Mock {
    /// The origins that a response template compares `$origin` with, if it names the request's
    /// origin. The front does not run templates: it knows this one.
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
