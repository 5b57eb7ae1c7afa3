//! The gateway's own responses: never a stack trace, never the key. Each has a template per media
//! type: plain JSON, and problem details for callers that accept those.

use crate::cfn::apigateway::GatewayResponseResponseType as To;
use crate::constructs::rest_api::GatewayResponse;

/// The responses by logical id.
pub(crate) const GATEWAY_RESPONSES: [(&str, GatewayResponse<'_>); 9] = [
    (
        "AnswerUnauthorized",
        GatewayResponse {
            to: To::Unauthorized,
            status: Some(401),
            headers: &[],
            error: "unauthorized",
            message: "\"a valid API key is needed in the header x-api-key\"",
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
                ("Retry-After", "context.authorizer.retryAfter"),
                ("RateLimit", "context.authorizer.rateLimit"),
                ("RateLimit-Policy", "context.authorizer.rateLimitPolicy"),
            ],
            error: "$context.authorizer.limitError",
            message: "\"$context.authorizer.limitMessage\"",
        },
    ),
    (
        "AnswerAuthorizerFailure",
        GatewayResponse {
            to: To::AuthorizerFailure,
            status: Some(500),
            headers: &[],
            error: "internal",
            message: "\"the API key could not be checked, try again\"",
        },
    ),
    (
        // The stage or the account throttled the call. The authorizer is not called, and nothing
        // counts.
        "AnswerThrottled",
        GatewayResponse {
            to: To::Throttled,
            status: Some(429),
            headers: &[("Retry-After", "'1'")],
            error: "rateLimited",
            message: "\"the API takes no more calls at the moment, try again after the seconds in Retry-After\"",
        },
    ),
    (
        // The gateway reports a path or a method without a route as a missing token.
        "AnswerNoRoute",
        GatewayResponse {
            to: To::MissingAuthenticationToken,
            status: Some(404),
            headers: &[],
            error: "notFound",
            message: "\"this endpoint does not exist\"",
        },
    ),
    (
        "AnswerUnreachable",
        GatewayResponse {
            to: To::IntegrationFailure,
            status: Some(502),
            headers: &[],
            error: "badGateway",
            message: "\"the API cannot be reached, try again\"",
        },
    ),
    (
        "AnswerTimeout",
        GatewayResponse {
            to: To::IntegrationTimeout,
            status: Some(504),
            headers: &[],
            error: "gatewayTimeout",
            message: "\"the API did not answer in time\"",
        },
    ),
    (
        "AnswerDefault4xx",
        GatewayResponse {
            to: To::Default4xx,
            status: None,
            headers: &[],
            error: "badRequest",
            message: "$context.error.messageString",
        },
    ),
    (
        "AnswerDefault5xx",
        GatewayResponse {
            to: To::Default5xx,
            status: None,
            headers: &[],
            error: "internal",
            message: "\"the API did not answer, try again\"",
        },
    ),
];
