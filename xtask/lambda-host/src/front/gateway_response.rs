//! Responses by API Gateway itself, by type, as the deployed API customises them.
//!
//! Source: "Gateway response types for API Gateway", API Gateway developer guide.

use std::collections::BTreeMap;

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, Response, StatusCode, header::CONTENT_TYPE},
};

use super::{RestApi, context::CallContext, template};

/// A customised gateway response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GatewayResponse {
    pub(crate) status: Option<u16>,
    /// `gatewayresponse.header.NAME` → a quoted literal, `context.…` or `method.request.header.…`.
    pub(crate) parameters: BTreeMap<String, String>,
    /// The bodies by media type.
    pub(crate) templates: BTreeMap<String, String>,
}

/// The media type of a response whose caller accepts none of its templates.
const JSON: &str = "application/json";

impl GatewayResponse {
    /// The template for a request's `Accept`, with its media type: that of the first media type which
    /// has one, else that of JSON.
    ///
    /// AWS documents this for mapping templates of integrations, and that it compares media types without
    /// their parameters. It documents no rule for gateway responses.
    fn template(&self, accept: &str) -> Option<(&str, &str)> {
        let accepted = accept
            .split(',')
            .filter_map(|range| range.split(';').next());
        let known = accepted.map(|media_type| media_type.trim().to_ascii_lowercase());
        known
            .chain([JSON.to_owned()])
            .find_map(|media_type| self.templates.get_key_value(&media_type))
            .map(|(media_type, template)| (media_type.as_str(), template.as_str()))
    }
}

/// The response types that the front uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Unauthorized,
    AccessDenied,
    AuthorizerFailure,
    AuthorizerConfigurationError,
    ApiConfigurationError,
    /// No resource has this method.
    MissingAuthenticationToken,
    /// An endpoint that cannot be reached.
    IntegrationFailure,
    /// A function that fails behind a proxy integration.
    FunctionFailure,
    IntegrationTimeout,
    RequestTooLarge,
}

/// Response type, status, error type and message of a kind.
type Described = (&'static str, u16, &'static str, Option<&'static str>);

impl Kind {
    const fn described(self) -> Described {
        const INTERNAL: &str = "InternalServerErrorException";
        const ERROR: Option<&str> = Some("Internal server error");
        match self {
            Self::Unauthorized => (
                "UNAUTHORIZED",
                401,
                "UnauthorizedException",
                Some("Unauthorized"),
            ),
            Self::AccessDenied => (
                "ACCESS_DENIED",
                403,
                "AccessDeniedException",
                Some("User is not authorized to access this resource with an explicit deny"),
            ),
            Self::AuthorizerFailure => (
                "AUTHORIZER_FAILURE",
                500,
                "AuthorizerConfigurationException",
                None,
            ),
            Self::AuthorizerConfigurationError => (
                "AUTHORIZER_CONFIGURATION_ERROR",
                500,
                "AuthorizerConfigurationException",
                ERROR,
            ),
            Self::ApiConfigurationError => ("API_CONFIGURATION_ERROR", 500, INTERNAL, ERROR),
            Self::MissingAuthenticationToken => (
                "MISSING_AUTHENTICATION_TOKEN",
                403,
                "MissingAuthenticationTokenException",
                Some("Missing Authentication Token"),
            ),
            Self::IntegrationFailure => (
                "INTEGRATION_FAILURE",
                504,
                INTERNAL,
                Some("Network error communicating with endpoint"),
            ),
            Self::FunctionFailure => ("INTEGRATION_FAILURE", 502, INTERNAL, ERROR),
            Self::IntegrationTimeout => (
                "INTEGRATION_TIMEOUT",
                504,
                INTERNAL,
                Some("Endpoint request timed out"),
            ),
            Self::RequestTooLarge => (
                "REQUEST_TOO_LARGE",
                413,
                "RequestTooLargeException",
                Some("Request Too Long"),
            ),
        }
    }

    /// `$context.error.responseType`.
    pub(crate) const fn name(self) -> &'static str {
        self.described().0
    }

    const fn status(self) -> u16 {
        self.described().1
    }

    const fn error_type(self) -> &'static str {
        self.described().2
    }

    /// `$context.error.message`.
    pub(crate) const fn message(self) -> Option<&'static str> {
        self.described().3
    }
}

/// The response of a type, or the default of its class, or API Gateway's own.
pub(crate) fn respond(api: &RestApi, kind: Kind, context: &CallContext<'_>) -> Response<Body> {
    let class = if kind.status() < 500 {
        "DEFAULT_4XX"
    } else {
        "DEFAULT_5XX"
    };
    let customised = api
        .gateway_responses
        .get(kind.name())
        .or_else(|| api.gateway_responses.get(class));
    let accept = context.request_header("accept").unwrap_or_default();
    let (media_type, body) = customised
        .and_then(|response| response.template(&accept))
        .unwrap_or((JSON, "{\"message\":$context.error.messageString}"));
    let media_type = HeaderValue::try_from(media_type);
    let body = template::render(body, "", |name| context.value(name));
    let status = customised
        .and_then(|response| response.status)
        .unwrap_or(kind.status());

    let mut response = Response::new(Body::from(body));
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        media_type.unwrap_or(HeaderValue::from_static(JSON)),
    );
    headers.insert(
        "x-amzn-errortype",
        HeaderValue::from_static(kind.error_type()),
    );
    for (target, source) in customised
        .map(|response| &response.parameters)
        .into_iter()
        .flatten()
    {
        let name = target
            .strip_prefix("gatewayresponse.header.")
            .and_then(|name| HeaderName::try_from(name).ok());
        let value = parameter(source, context).and_then(|value| HeaderValue::try_from(value).ok());
        if let (Some(name), Some(value)) = (name, value) {
            headers.insert(name, value);
        }
    }
    response
}

/// Evaluates a mapping expression; if it has no value, the header is omitted.
pub(crate) fn parameter(source: &str, context: &CallContext<'_>) -> Option<String> {
    if let Some(literal) = source.strip_prefix('\'') {
        return Some(literal.trim_end_matches('\'').to_owned());
    }
    if let Some(name) = source.strip_prefix("method.request.header.") {
        return context.request_header(name);
    }
    context.value(source.strip_prefix("context.")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROBLEM: &str = "application/problem+json";

    #[test]
    fn accept_selects_among_the_templates_and_json_is_the_rest() {
        let response = GatewayResponse {
            status: None,
            parameters: BTreeMap::new(),
            templates: [JSON, PROBLEM]
                .map(|media_type| (media_type.to_owned(), format!("of {media_type}")))
                .into(),
        };
        for (accept, expected) in [
            ("", JSON),
            ("*/*", JSON),
            ("text/html", JSON),
            (PROBLEM, PROBLEM),
            ("text/html, Application/Problem+JSON;q=0.5", PROBLEM),
            ("application/problem+json, application/json", PROBLEM),
            ("application/json, application/problem+json", JSON),
        ] {
            let (media_type, template) = response.template(accept).unwrap();
            assert_eq!(media_type, expected, "{accept}");
            assert_eq!(template, format!("of {expected}"));
        }
        let untouched = GatewayResponse {
            templates: BTreeMap::new(),
            ..response
        };
        assert_eq!(untouched.template(PROBLEM), None);
    }
}
