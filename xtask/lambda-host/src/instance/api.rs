//! The Runtime API (2018-06-01) and the Extensions API (2020-01-01) of one instance.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    event::{Event, Refusal, Registration},
    lifecycle::Instance,
};
use crate::{function::Outcome, ids};

/// A synchronous response is at most 6 MB (Lambda quotas).
pub(crate) const MAX_RESPONSE_BYTES: usize = 6 * 1024 * 1024;

pub(super) fn router(instance: Arc<Instance>) -> Router {
    Router::new()
        .route("/2018-06-01/runtime/invocation/next", get(runtime_next))
        .route(
            "/2018-06-01/runtime/invocation/{id}/response",
            post(response),
        )
        .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
        .route("/2018-06-01/runtime/init/error", post(init_error))
        .route("/2020-01-01/extension/register", post(register))
        .route("/2020-01-01/extension/event/next", get(extension_next))
        .route("/2020-01-01/extension/init/error", post(init_error))
        .route("/2020-01-01/extension/exit/error", post(exit_error))
        .layer(DefaultBodyLimit::disable())
        .with_state(instance)
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, kind, message) = match self {
            Self::InvalidTransition => (
                StatusCode::FORBIDDEN,
                "InvalidStateTransition",
                "the request does not fit what the environment is doing",
            ),
            Self::InvalidRequestId => (
                StatusCode::BAD_REQUEST,
                "InvalidRequestID",
                "the request id is not the one of the current invocation",
            ),
            Self::RegistrationClosed => (
                StatusCode::FORBIDDEN,
                "Extension.RegistrationClosed",
                "extensions register before the runtime's first `next`",
            ),
            Self::UnknownExtension => (
                StatusCode::FORBIDDEN,
                "Extension.UnknownExtensionIdentifier",
                "the extension is not registered",
            ),
            Self::Gone => (
                StatusCode::GONE,
                "Runtime.Gone",
                "the environment is shutting down",
            ),
        };
        (
            status,
            Json(json!({"errorType": kind, "errorMessage": message})),
        )
            .into_response()
    }
}

fn accepted() -> Response {
    (StatusCode::ACCEPTED, Json(json!({"status": "OK"}))).into_response()
}

async fn runtime_next(State(instance): State<Arc<Instance>>) -> Result<Response, Refusal> {
    let event = instance.runtime_next()?.await;
    let Ok(Event::Invoke {
        invocation,
        deadline_ms,
    }) = event
    else {
        return Err(Refusal::Gone);
    };
    let mut response = Response::new(Body::from(invocation.payload.clone()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    insert(
        headers,
        "lambda-runtime-aws-request-id",
        &invocation.request_id,
    );
    insert(
        headers,
        "lambda-runtime-deadline-ms",
        &deadline_ms.to_string(),
    );
    insert(
        headers,
        "lambda-runtime-invoked-function-arn",
        &instance.spec.arn,
    );
    if let Some(trace_id) = &invocation.trace_id {
        insert(headers, "lambda-runtime-trace-id", trace_id);
    }
    Ok(response)
}

fn insert(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

async fn response(
    State(instance): State<Arc<Instance>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, Refusal> {
    if body.len() > MAX_RESPONSE_BYTES {
        let message = format!(
            "Response payload size ({} bytes) exceeded maximum allowed payload size ({MAX_RESPONSE_BYTES} bytes).",
            body.len()
        );
        instance.respond(
            &id,
            Outcome::error("Function.ResponseSizeTooLarge", &message),
        )?;
        let error = json!({"errorType": "RequestEntityTooLarge", "errorMessage": message});
        return Ok((StatusCode::PAYLOAD_TOO_LARGE, Json(error)).into_response());
    }
    instance.respond(&id, Outcome::Success(body))?;
    Ok(accepted())
}

async fn error(
    State(instance): State<Arc<Instance>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    instance.respond(&id, reported(&headers, body))?;
    Ok(accepted())
}

/// The error document as the runtime reported it; without a body, it gets the header's type.
fn reported(headers: &HeaderMap, body: Bytes) -> Outcome {
    if serde_json::from_slice::<Value>(&body).is_ok_and(|value| value.is_object()) {
        return Outcome::FunctionError(body);
    }
    let kind = headers
        .get("lambda-runtime-function-error-type")
        .and_then(|value| value.to_str().ok())
        .unwrap_or("Runtime.Unknown");
    Outcome::error(kind, &String::from_utf8_lossy(&body))
}

async fn init_error(
    State(instance): State<Arc<Instance>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    instance.init_failed(reported(&headers, body))?;
    Ok(accepted())
}

/// An extension reports before it exits; the exit itself decides what follows.
async fn exit_error(State(instance): State<Arc<Instance>>, body: Bytes) -> Response {
    tracing::warn!(
        function = instance.spec.name,
        report = %String::from_utf8_lossy(&body),
        "an extension reports that it exits"
    );
    accepted()
}

#[derive(Deserialize)]
struct RegisterRequest {
    #[serde(default)]
    events: Vec<String>,
}

async fn register(
    State(instance): State<Arc<Instance>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let invalid = |message: &str| {
        let error = json!({"errorType": "Extension.InvalidRequest", "errorMessage": message});
        (StatusCode::BAD_REQUEST, Json(error)).into_response()
    };
    if !headers.contains_key("lambda-extension-name") {
        return invalid("the header `Lambda-Extension-Name` is missing");
    }
    let Ok(request) = serde_json::from_slice::<RegisterRequest>(&body) else {
        return invalid("the body is not `{\"events\": [...]}`");
    };
    let mut registered = Registration::default();
    for event in &request.events {
        match event.as_str() {
            "INVOKE" => registered.invoke = true,
            "SHUTDOWN" => registered.shutdown = true,
            _ => return invalid("an event is neither `INVOKE` nor `SHUTDOWN`"),
        }
    }
    if registered.shutdown {
        // The host starts no external extensions, and Lambda denies this to internal ones.
        tracing::warn!(
            function = instance.spec.name,
            "an extension registers for SHUTDOWN, which Lambda allows to external extensions only"
        );
    }
    match instance.register(registered) {
        Err(refusal) => refusal.into_response(),
        Ok(id) => {
            let spec = &instance.spec;
            let body = json!({
                "functionName": spec.name,
                "functionVersion": "$LATEST",
                "handler": spec.handler,
                "accountId": ids::account_of(&spec.arn),
            });
            let mut response = Json(body).into_response();
            insert(response.headers_mut(), "lambda-extension-identifier", &id);
            response
        }
    }
}

async fn extension_next(
    State(instance): State<Arc<Instance>>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let id = headers
        .get("lambda-extension-identifier")
        .and_then(|value| value.to_str().ok())
        .ok_or(Refusal::UnknownExtension)?;
    let body = match instance.extension_next(id)?.await {
        Ok(Event::Invoke {
            invocation,
            deadline_ms,
        }) => json!({
            "eventType": "INVOKE",
            "deadlineMs": u64::try_from(deadline_ms).unwrap_or(u64::MAX),
            "requestId": invocation.request_id,
            "invokedFunctionArn": instance.spec.arn,
            "tracing": {
                "type": "X-Amzn-Trace-Id",
                "value": invocation.trace_id.as_deref().unwrap_or_default(),
            },
        }),
        Ok(Event::Shutdown {
            reason,
            deadline_ms,
        }) => json!({
            "eventType": "SHUTDOWN",
            "shutdownReason": reason,
            "deadlineMs": u64::try_from(deadline_ms).unwrap_or(u64::MAX),
        }),
        Err(_) => return Err(Refusal::Gone),
    };
    Ok(Json(body).into_response())
}
