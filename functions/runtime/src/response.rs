//! Responses to the gateway: the headers that all of our APIs send, and the form of errors.

use aws_lambda_events::apigw::ApiGatewayProxyResponse;
use aws_lambda_events::encodings::Body;
use aws_lambda_events::http::{HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;

/// The value of `Cache-Control` with which nobody keeps a response.
pub const NO_STORE: &str = "no-store";

/// An error, as every API of ours reports it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorBody {
    /// Code, for programs.
    pub error: &'static str,
    /// The problem, for people.
    pub message: String,
    /// The parameter at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameter: Option<String>,
}

/// A response that nobody keeps, in JSON.
pub fn json(
    status: u16,
    body: &impl Serialize,
    header: Option<(&'static str, String)>,
) -> ApiGatewayProxyResponse {
    let body = serde_json::to_string(body).unwrap_or_default();
    text(status, ("application/json", NO_STORE), body, header)
}

/// A response with a media type and a `Cache-Control`.
pub fn text(
    status: u16,
    (media_type, caching): (&'static str, &'static str),
    body: String,
    header: Option<(&'static str, String)>,
) -> ApiGatewayProxyResponse {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("content-type", media_type),
        ("cache-control", caching),
        ("x-content-type-options", "nosniff"),
    ] {
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    if let Some((name, value)) = header
        && let Ok(value) = HeaderValue::from_str(&value)
    {
        headers.insert(HeaderName::from_static(name), value);
    }
    let mut response = ApiGatewayProxyResponse::default();
    response.status_code = status.into();
    response.headers = headers;
    response.body = Some(Body::Text(body));
    response
}
