//! Responses to the gateway: the headers that all of our APIs send, and the form of errors.

use aws_lambda_events::apigw::ApiGatewayProxyResponse;
use aws_lambda_events::encodings::Body;
use aws_lambda_events::http::{HeaderMap, HeaderName, HeaderValue};
use domain::problem::{self, Problem};
use serde::Serialize;

use crate::request::Request;

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

/// A refused or failed request, as every API of ours answers it: problem details for a caller that
/// prefers them, plain JSON for all others.
pub fn failure(
    request: &Request,
    status: u16,
    body: &ErrorBody,
    header: Option<(&'static str, String)>,
) -> ApiGatewayProxyResponse {
    if !problem::is_preferred(request.header("accept")) {
        return json(status, body, header);
    }
    let problem = Problem {
        parameter: body.parameter.as_deref(),
        ..Problem::new(Some(status), body.error, &body.message)
    };
    let problem = serde_json::to_string(&problem).unwrap_or_default();
    text(status, (problem::MEDIA_TYPE, NO_STORE), problem, header)
}

/// A response that nobody keeps, in JSON.
pub fn json(
    status: u16,
    body: &impl Serialize,
    header: Option<(&'static str, String)>,
) -> ApiGatewayProxyResponse {
    let body = serde_json::to_string(body).unwrap_or_default();
    text(status, (problem::JSON, NO_STORE), body, header)
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

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lambda_events::http::StatusCode;
    use serde_json::{Value, json};

    fn failed(accept: &str) -> (Value, String) {
        let request = json!({"headers": {"Accept": accept}});
        let request: Request = serde_json::from_value(request).unwrap();
        let body = ErrorBody {
            error: "unauthorized",
            message: "expected a bearer token".to_owned(),
            parameter: None,
        };
        let header = Some(("www-authenticate", "Bearer".to_owned()));
        let response = failure(&request, 401, &body, header);
        assert_eq!(response.status_code, 401);
        assert_eq!(response.headers["www-authenticate"], "Bearer");
        assert_eq!(response.headers["cache-control"], NO_STORE);
        let Some(Body::Text(text)) = response.body else {
            panic!("{:?}", response.body);
        };
        let media_type = response.headers["content-type"].to_str().unwrap();
        (serde_json::from_str(&text).unwrap(), media_type.to_owned())
    }

    #[test]
    fn a_caller_that_asks_for_problem_details_gets_them() {
        let (body, media_type) = failed("application/problem+json");
        assert_eq!(media_type, "application/problem+json");
        let expected = json!({
            "title": "Unauthorized",
            "status": 401,
            "detail": "expected a bearer token",
            "error": "unauthorized",
        });
        assert_eq!(body, expected);
        let (body, media_type) = failed("*/*");
        assert_eq!(media_type, "application/json");
        let expected = json!({"error": "unauthorized", "message": "expected a bearer token"});
        assert_eq!(body, expected);
    }

    #[test]
    fn titles_are_the_phrases_of_their_status() {
        for status in 100..600 {
            let Some(title) = problem::title(status) else {
                continue;
            };
            let phrase = StatusCode::from_u16(status).unwrap().canonical_reason();
            // RFC 9110 renamed 413; the crate keeps the phrase of RFC 7231.
            if status != 413 {
                assert_eq!(Some(title), phrase, "{status}");
            }
        }
    }
}
