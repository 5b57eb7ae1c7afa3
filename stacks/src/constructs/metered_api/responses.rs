//! The gateway's own responses: always JSON, never a stack trace, never the key.

use crate::cfn::apigateway::GatewayResponseResponseType as To;
use crate::constructs::rest_api::GatewayResponse;

const JSON: (&str, &str) = ("Content-Type", "'application/json'");

/// The responses by logical id.
pub(crate) const GATEWAY_RESPONSES: [(&str, GatewayResponse<'_>); 9] = [
    (
        "AnswerUnauthorized",
        GatewayResponse {
            to: To::Unauthorized,
            status: Some(401),
            headers: &[JSON],
            body: r#"{"error":"unauthorized","message":"a valid API key is needed in the header x-api-key"}"#,
        },
    ),
    (
        // The authorizer denies only calls that are over their plan: everything else fails with 401
        // or 500.
        "AnswerAccessDenied",
        GatewayResponse {
            to: To::AccessDenied,
            status: Some(429),
            headers: &[
                JSON,
                ("Retry-After", "context.authorizer.retryAfter"),
                ("RateLimit", "context.authorizer.rateLimit"),
                ("RateLimit-Policy", "context.authorizer.rateLimitPolicy"),
            ],
            body: r#"{"error":"$context.authorizer.limitError","message":"$context.authorizer.limitMessage"}"#,
        },
    ),
    (
        "AnswerAuthorizerFailure",
        GatewayResponse {
            to: To::AuthorizerFailure,
            status: Some(500),
            headers: &[JSON],
            body: r#"{"error":"internal","message":"the API key could not be checked, try again"}"#,
        },
    ),
    (
        // The stage or the account throttled the call. The authorizer is not called, and nothing
        // counts.
        "AnswerThrottled",
        GatewayResponse {
            to: To::Throttled,
            status: Some(429),
            headers: &[JSON, ("Retry-After", "'1'")],
            body: r#"{"error":"rateLimited","message":"the API takes no more calls at the moment, try again after the seconds in Retry-After"}"#,
        },
    ),
    (
        // The gateway reports a path or a method without a route as a missing token.
        "AnswerNoRoute",
        GatewayResponse {
            to: To::MissingAuthenticationToken,
            status: Some(404),
            headers: &[JSON],
            body: r#"{"error":"notFound","message":"there is no such endpoint"}"#,
        },
    ),
    (
        "AnswerUnreachable",
        GatewayResponse {
            to: To::IntegrationFailure,
            status: Some(502),
            headers: &[JSON],
            body: r#"{"error":"badGateway","message":"the API cannot be reached, try again"}"#,
        },
    ),
    (
        "AnswerTimeout",
        GatewayResponse {
            to: To::IntegrationTimeout,
            status: Some(504),
            headers: &[JSON],
            body: r#"{"error":"gatewayTimeout","message":"the API did not answer in time"}"#,
        },
    ),
    (
        "AnswerDefault4xx",
        GatewayResponse {
            to: To::Default4xx,
            status: None,
            headers: &[JSON],
            body: r#"{"error":"badRequest","message":$context.error.messageString}"#,
        },
    ),
    (
        "AnswerDefault5xx",
        GatewayResponse {
            to: To::Default5xx,
            status: None,
            headers: &[JSON],
            body: r#"{"error":"internal","message":"the API did not answer, try again"}"#,
        },
    ),
];
