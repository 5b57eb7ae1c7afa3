//! The access log's line: the gateway's own report of every call, which the reconciler compares
//! with what the stream said.

use domain::names::context;

/// Members that the authorizer's context fills; empty for calls that it refused.
const FROM_AUTHORIZER: [&str; 6] = [
    context::EVENT_ID,
    context::KEY_ID,
    context::EMAIL,
    context::PLAN,
    context::MODE,
    context::LANES,
];

/// Members that the gateway fills. Numbers stand in quotes too: an absent one is `-`.
const FROM_GATEWAY: [(&str, &str); 17] = [
    ("requestId", "requestId"),
    ("extendedRequestId", "extendedRequestId"),
    ("requestTimeEpoch", "requestTimeEpoch"),
    ("ip", "identity.sourceIp"),
    ("userAgent", "identity.userAgent"),
    ("method", "httpMethod"),
    ("resourcePath", "resourcePath"),
    ("stage", "stage"),
    ("status", "status"),
    ("responseLatency", "responseLatency"),
    ("responseLength", "responseLength"),
    ("integrationLatency", "integrationLatency"),
    ("integrationStatus", "integration.status"),
    ("integrationError", "integration.error"),
    ("authorizerStatus", "authorizer.status"),
    ("authorizerError", "authorizer.error"),
    ("responseType", "error.responseType"),
];

/// The format, one JSON object without line breaks.
pub(super) fn json() -> String {
    let authorizer = FROM_AUTHORIZER
        .iter()
        .map(|member| format!(r#""{member}":"$context.authorizer.{member}""#));
    let gateway = FROM_GATEWAY
        .iter()
        .map(|(member, variable)| format!(r#""{member}":"$context.{variable}""#));
    let members: Vec<String> = gateway.chain(authorizer).collect();
    format!("{{{}}}", members.join(","))
}
