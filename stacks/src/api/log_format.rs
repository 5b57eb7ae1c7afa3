//! The access log's format: the gateway's own report of every call, which the reconciler appends to
//! the journal. `domain::access_log` defines its members and their order.

use domain::access_log as log;
use domain::names::context;

/// The gateway's variable for a member
/// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-variables-for-access-logging.html>).
/// A member with the same name as its variable has no arm of its own.
fn variable(member: &'static str) -> String {
    let variable = match member {
        log::IP => "identity.sourceIp",
        log::METHOD => "httpMethod",
        log::INTEGRATION_STATUS => "integration.status",
        log::INTEGRATION_ERROR => "integration.error",
        log::AUTHORIZER_STATUS => "authorizer.status",
        log::AUTHORIZER_LATENCY => "authorizer.latency",
        log::AUTHORIZER_REQUEST_ID => "authorizer.requestId",
        log::AUTHORIZER_INTEGRATION_STATUS => "authorizer.integrationStatus",
        log::AUTHORIZER_ERROR => "authorizer.error",
        log::RESPONSE_TYPE => "error.responseType",
        log::USER_AGENT => "identity.userAgent",
        context::EVENT_ID | context::KEY_ID | context::PLAN | context::MODE | context::EMAIL => {
            return format!("$context.authorizer.{member}");
        }
        same => same,
    };
    format!("$context.{variable}")
}

/// The format, one JSON object without line breaks. Numbers are quoted too: the gateway writes `-`
/// for an absent one.
pub(crate) fn json() -> String {
    log::write(variable)
}
