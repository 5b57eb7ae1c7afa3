//! The access log's format: the gateway's own report of every call, which the reconciler compares
//! with what the stream said. Its members and their order are [`MEMBERS`].

use domain::access_log::{self as log, MEMBERS};
use domain::names::context;

/// The gateway's variable of a member
/// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-variables-for-access-logging.html>).
/// What is named like its member has no arm of its own.
fn variable(member: &'static str) -> String {
    let variable = match member {
        log::IP => "identity.sourceIp",
        log::METHOD => "httpMethod",
        log::INTEGRATION_STATUS => "integration.status",
        log::INTEGRATION_ERROR => "integration.error",
        log::AUTHORIZER_STATUS => "authorizer.status",
        log::AUTHORIZER_ERROR => "authorizer.error",
        log::RESPONSE_TYPE => "error.responseType",
        log::USER_AGENT => "identity.userAgent",
        context::EVENT_ID
        | context::KEY_ID
        | context::PLAN
        | context::MODE
        | context::LANES
        | context::EMAIL => return format!("$context.authorizer.{member}"),
        same => same,
    };
    format!("$context.{variable}")
}

/// The format, one JSON object without line breaks. Numbers stand in quotes too: an absent one is
/// `-`.
pub(super) fn json() -> String {
    let members = MEMBERS.map(|member| format!(r#""{member}":"{}""#, variable(member)));
    format!("{{{}}}", members.join(","))
}
