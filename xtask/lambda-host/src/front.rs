//! The API's readable local address, `/{stage}/…`: a gateway that takes the place of API Gateway.
//!
//! The deployment in the local AWS determines which resource goes where. The front treats a request
//! as API Gateway documents it: it finds the resource, calls the authorizer, forwards the request
//! to a function or to another API, responds by itself if that fails, and writes the access log.
//! The local AWS's own gateway is not used: it follows redirects, drops headers, and reads bodies
//! as text.

mod context;
mod event;
mod gateway_response;
mod headers;
mod http;
mod integration;
mod path;
mod policy;
mod request;
mod routing;
mod serve;
mod template;
mod upstream;

use std::collections::BTreeMap;

pub(crate) use gateway_response::GatewayResponse;
pub(crate) use http::{Cors, HttpApi, Mapping, Passed, Route, Target};
pub(crate) use integration::{Integration, Mock, Proxy, Transfer};
pub(crate) use routing::{Authorization, Method, Resource};
pub(crate) use serve::{Front, serve};

/// A deployed stage.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stage {
    pub(crate) api_id: String,
    pub(crate) name: String,
    pub(crate) region: String,
    pub(crate) access_log: Option<AccessLog>,
    pub(crate) api: Api,
}

/// What a stage serves.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Api {
    Rest(RestApi),
    Http(HttpApi),
}

/// A REST API.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RestApi {
    /// The customised gateway responses, by response type.
    pub(crate) gateway_responses: BTreeMap<String, GatewayResponse>,
    /// The resources that have a method.
    pub(crate) resources: Vec<Resource>,
    /// Whether bodies are bytes: `*/*` is a binary media type.
    pub(crate) binary: bool,
}

/// A stage's `AccessLogSetting`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AccessLog {
    pub(crate) group: String,
    pub(crate) format: String,
}
