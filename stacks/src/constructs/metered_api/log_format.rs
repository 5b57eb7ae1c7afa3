//! The access log's format: the gateway's own report of every call, which the reconciler appends to
//! the journal. `domain::access_log` defines its members and their order.

use domain::access_log as log;
use domain::gateway::Gateway;
use domain::names::context;

/// The gateway's variable of a member: of a REST API
/// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-variables-for-access-logging.html>)
/// or of an HTTP API
/// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-logging-variables.html>),
/// which uses the same names for variables of both. A member with the variable's own name needs no
/// arm.
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
        said if context::LOGGED.contains(&said) => return format!("$context.authorizer.{said}"),
        same => same,
    };
    format!("$context.{variable}")
}

/// The format, one JSON object without line breaks. Numbers are quoted too: the gateway writes `-`
/// for an absent one.
pub(crate) fn log_format(gateway: Gateway) -> String {
    log::write(gateway, variable)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The variables that AWS documents for both kinds, as far as formats use them.
    const OF_BOTH: [&str; 14] = [
        "authorizer.error",
        "error.responseType",
        "httpMethod",
        "identity.sourceIp",
        "identity.userAgent",
        "integration.error",
        "integration.status",
        "integrationLatency",
        "requestId",
        "requestTimeEpoch",
        "responseLatency",
        "responseLength",
        "stage",
        "status",
    ];
    const OF_REST: [&str; 6] = [
        "authorizer.integrationStatus",
        "authorizer.latency",
        "authorizer.requestId",
        "authorizer.status",
        "extendedRequestId",
        "resourcePath",
    ];
    const OF_HTTP: [&str; 1] = ["routeKey"];

    /// The gateway accepts an unknown variable, and writes `-` for it at every call.
    #[test]
    fn every_variable_of_a_format_is_one_that_the_gateway_or_the_authorizer_sets() {
        for (gateway, own) in [
            (Gateway::Rest, OF_REST.as_slice()),
            (Gateway::Http, OF_HTTP.as_slice()),
        ] {
            let format = log_format(gateway);
            let mut variables = format.split("\"$context.").skip(1);
            let unknown = variables.find(|rest| {
                let name = rest.split('"').next().unwrap_or_default();
                let said = name.strip_prefix("authorizer.");
                !said.is_some_and(|said| context::LOGGED.contains(&said))
                    && !OF_BOTH.contains(&name)
                    && !own.contains(&name)
            });
            assert_eq!(unknown, None, "{gateway:?}");
            for said in [context::EVENT_ID, context::ROUTE, context::UNITS] {
                assert!(format.contains(&format!("\"$context.authorizer.{said}\"")));
            }
        }
    }
}
