//! A request in transit through the gateway, and what becomes known about it.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use axum::{
    body::Bytes,
    http::{HeaderMap, Method},
};
use jiff::Timestamp;

use crate::{function::Outcome, ids};

/// A request, as the gateway knows it.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) id: String,
    pub(crate) extended_id: String,
    pub(crate) trace_root: String,
    pub(crate) method: Method,
    /// The path as it was sent, with the stage, without the query.
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    pub(crate) source_ip: IpAddr,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) at: Timestamp,
    pub(crate) started: Instant,
}

/// Everything learned about a request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    pub(crate) account_id: Option<String>,
    pub(crate) resource_id: Option<String>,
    pub(crate) resource_path: Option<String>,
    pub(crate) route_key: Option<String>,
    pub(crate) authorizer: Option<Call>,
    pub(crate) integration: Option<Integrated>,
}

/// The response of a request's integration.
#[derive(Debug, Clone)]
pub(crate) enum Integrated {
    /// A function.
    Function(Call),
    /// Another API.
    Proxy {
        took: Duration,
        status: Option<u16>,
        error: Option<String>,
    },
}

/// A function's part in a request.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// Lambda's id of the invocation.
    pub(crate) request_id: String,
    pub(crate) took: Duration,
    pub(crate) outcome: Outcome,
}

impl Request {
    pub(crate) fn new(
        method: Method,
        (path, query): (&str, Option<&str>),
        source_ip: IpAddr,
        headers: HeaderMap,
    ) -> Self {
        let at = Timestamp::now();
        Self {
            id: ids::request_id(),
            extended_id: ids::extended_request_id(),
            trace_root: ids::trace_root(at.as_second()),
            method,
            path: path.to_owned(),
            query: query.map(str::to_owned),
            source_ip,
            headers,
            body: Bytes::new(),
            at,
            started: Instant::now(),
        }
    }

    /// The path after the stage.
    pub(crate) fn path_in(&self, stage: &str) -> &str {
        let rest = self.path.trim_start_matches('/');
        rest.strip_prefix(stage).unwrap_or_default()
    }

    /// The headers that an integration receives: the caller's, and those that API Gateway adds.
    pub(crate) fn passed_headers(&self) -> HeaderMap {
        let mut headers = self.headers.clone();
        let earlier = headers
            .get("x-forwarded-for")
            .and_then(|value| value.to_str().ok())
            .map_or_else(String::new, |earlier| format!("{earlier}, "));
        for (name, value) in [
            ("x-forwarded-for", format!("{earlier}{}", self.source_ip)),
            ("x-forwarded-proto", "http".to_owned()),
            ("x-amzn-trace-id", format!("Root={}", self.trace_root)),
        ] {
            if let Ok(value) = value.try_into() {
                headers.insert(name, value);
            }
        }
        headers
    }

    /// `$context.requestTime`: the time in common log format.
    pub(crate) fn common_log_time(&self) -> String {
        self.at.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string()
    }
}
