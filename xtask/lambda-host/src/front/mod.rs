//! The API's readable local address, `/{stage}/…`, in front of the emulator's REST API.
//!
//! The front supplies what the emulator's gateway leaves out: request ids that a caller cannot
//! choose, the access log, and the gateway responses of what the authorizer decided (the emulator
//! sees a failed authorizer only as a failure, and cannot render `$context.authorizer.*`). It
//! decides nothing by itself: routing, authorization and integrations are the emulator's.

mod context;
mod forward;
mod gateway_response;
mod request;
mod template;

use std::collections::BTreeMap;

pub(crate) use forward::{Front, serve};
pub(crate) use gateway_response::GatewayResponse;
pub(crate) use request::Call;

/// A deployed stage.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stage {
    pub(crate) api_id: String,
    pub(crate) name: String,
    pub(crate) region: String,
    pub(crate) access_log: Option<AccessLog>,
    /// The customised gateway responses, by response type.
    pub(crate) gateway_responses: BTreeMap<String, GatewayResponse>,
}

/// A stage's `AccessLogSetting`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AccessLog {
    pub(crate) group: String,
    pub(crate) format: String,
}
