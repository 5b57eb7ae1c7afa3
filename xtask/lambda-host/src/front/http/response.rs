//! The responses of an HTTP API itself, which nobody can change, and those of functions.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

use crate::front::context::{Failure, document};
use crate::function::Outcome;

/// Why the gateway answers by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// No route has the method and path
    /// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-routes.html>).
    NotFound,
    /// The authorizer says no.
    Forbidden,
    /// The authorizer or a function fails, or answers in another form than AWS documents
    /// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-troubleshooting-lambda.html>).
    Internal,
    /// The integration does not answer. AWS does not document the status; 503 is reported
    /// (<https://github.com/cortexlabs/cortex/issues/1225>).
    Unavailable,
    /// The body is larger than 10 MB
    /// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html>).
    TooLarge,
}

impl Refusal {
    /// Status, message, and `$context.error.responseType`, for which AWS refers to the types of a REST
    /// API's gateway responses.
    const fn described(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::NotFound => (
                StatusCode::NOT_FOUND,
                "Not Found",
                "MISSING_AUTHENTICATION_TOKEN",
            ),
            Self::Forbidden => (StatusCode::FORBIDDEN, "Forbidden", "ACCESS_DENIED"),
            Self::Internal => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "Internal Server Error",
                "INTEGRATION_FAILURE",
            ),
            Self::Unavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Service Unavailable",
                "INTEGRATION_FAILURE",
            ),
            Self::TooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "Request Entity Too Large",
                "REQUEST_TOO_LARGE",
            ),
        }
    }

    pub(in crate::front) fn response(self) -> Response<Body> {
        let (status, message, _) = self.described();
        let mut response = Response::new(Body::from(format!("{{\"message\":\"{message}\"}}")));
        *response.status_mut() = status;
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        response
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let (_, message, response_type) = refusal.described();
        Self {
            response_type: response_type.to_owned(),
            message: Some(message.to_owned()),
        }
    }
}

/// The response in a function's output in format 2.0
/// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>):
/// an output without a status is the body of a 200. `None` for an output that is not JSON.
pub(super) fn of_function(outcome: &Outcome) -> Option<Response<Body>> {
    let answer = document(outcome)?;
    let Some(status) = answer.get("statusCode") else {
        let text = match &answer {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let mut response = Response::new(Body::from(text));
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        return Some(response);
    };
    let status = match status {
        Value::Number(number) => u16::try_from(number.as_u64()?).ok()?,
        Value::String(text) => text.parse().ok()?,
        _ => return None,
    };
    let body = answer
        .get("body")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let is_encoded = answer.get("isBase64Encoded") == Some(&Value::Bool(true));
    let body = if is_encoded {
        Bytes::from(STANDARD.decode(body).ok()?)
    } else {
        Bytes::from(body.to_owned())
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).ok()?;
    *response.headers_mut() = headers(&answer);
    Some(response)
}

/// `headers`, and each of `cookies` as a `set-cookie`. The format has no `multiValueHeaders`.
fn headers(answer: &Value) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let named = answer.get("headers").and_then(Value::as_object);
    for (name, value) in named.into_iter().flatten() {
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(text)) {
            headers.insert(name, value);
        }
    }
    let cookies = answer.get("cookies").and_then(Value::as_array);
    for cookie in cookies.into_iter().flatten().filter_map(Value::as_str) {
        if let Ok(cookie) = HeaderValue::try_from(cookie) {
            headers.append(header::SET_COOKIE, cookie);
        }
    }
    // The length of the body counts; the function's header may differ.
    headers.remove(header::CONTENT_LENGTH);
    headers
        .entry(header::CONTENT_TYPE)
        .or_insert(HeaderValue::from_static("application/json"));
    headers
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use serde_json::json;

    use super::*;

    fn answered(output: &Value) -> Option<Response<Body>> {
        of_function(&Outcome::Success(Bytes::from(output.to_string())))
    }

    #[test]
    fn an_output_without_a_status_is_the_body_of_a_200() {
        for output in [json!("Hello from Lambda!"), json!({"message": "Hello"})] {
            let response = answered(&output).unwrap();
            assert_eq!(response.status(), 200);
            assert_eq!(response.headers()["content-type"], "application/json");
        }
        assert!(answered(&json!({"statusCode": true})).is_none());
        let failed = Outcome::FunctionError(Bytes::from("{}"));
        assert!(of_function(&failed).is_none());
    }

    #[test]
    fn cookies_become_headers_and_only_single_headers_count() {
        let response = answered(&json!({
            "statusCode": 201,
            "headers": {"content-type": "text/plain", "x-one": 1, "content-length": "99"},
            "multiValueHeaders": {"x-many": ["a"]},
            "cookies": ["a=1", "b=2"],
        }))
        .unwrap();
        assert_eq!(response.status(), 201);
        let headers = response.headers();
        assert_eq!(headers["content-type"], "text/plain");
        assert_eq!(headers["x-one"], "1");
        assert_eq!(headers.get_all("set-cookie").iter().count(), 2);
        assert!(!headers.contains_key("x-many") && !headers.contains_key("content-length"));
    }
}
