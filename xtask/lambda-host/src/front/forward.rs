//! A request's way through the front.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::{ConnectInfo, Request as HttpRequest},
    http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header},
};
use jiff::Timestamp;

use super::{
    Stage,
    context::{Answered, Context, Failure, error_message},
    gateway_response::{self, Kind},
    request::{Request, Requests},
    template,
};
use crate::{
    emulator::Emulator,
    function::Outcome,
    logs::{Line, Logs},
};

/// API Gateway's payload limit, 10 MB.
const MAX_BODY_BYTES: usize = 10 * 1024 * 1024;
/// API Gateway's integration timeout, 29 seconds, and a second for the emulator.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Headers of one connection, not of the request.
const HOP_BY_HOP: [HeaderName; 6] = [
    header::CONNECTION,
    header::HOST,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// The front and what it serves.
#[derive(Debug)]
pub(crate) struct Front {
    emulator: Emulator,
    logs: Logs,
    log_stream: String,
    pub(crate) requests: Requests,
    stages: RwLock<Arc<BTreeMap<String, Stage>>>,
}

impl Front {
    pub(crate) fn new(emulator: Emulator, logs: Logs) -> Self {
        Self {
            emulator,
            logs,
            log_stream: uuid::Uuid::new_v4().simple().to_string(),
            requests: Requests::default(),
            stages: RwLock::default(),
        }
    }

    /// Serves exactly these stages from now on.
    pub(crate) fn replace(&self, stages: BTreeMap<String, Stage>) {
        *self.stages.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(stages);
    }

    pub(crate) fn stages(&self) -> Arc<BTreeMap<String, Stage>> {
        Arc::clone(&self.stages.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Answers a request for `/{stage}/…`.
pub(crate) async fn serve(front: &Front, incoming: HttpRequest) -> Response<Body> {
    let path = incoming.uri().path().to_owned();
    let name = path
        .trim_start_matches('/')
        .split('/')
        .next()
        .unwrap_or_default();
    let stages = front.stages();
    let Some(stage) = stages.get(name) else {
        return forbidden();
    };
    let source = incoming
        .extensions()
        .get::<ConnectInfo<SocketAddr>>()
        .map_or_else(
            || [127, 0, 0, 1].into(),
            |ConnectInfo(address)| address.ip(),
        );
    let (parts, body) = incoming.into_parts();
    let request = Request::new(parts.method, &path, source, parts.headers);
    let request = front.requests.begin(request);
    let query = parts.uri.query();
    let answer = answer(front, stage, &request, query, body).await;
    front.requests.end(&request);
    finish(front, stage, &request, answer).await
}

/// A stage that does not exist: API Gateway has no API to answer for.
fn forbidden() -> Response<Body> {
    let mut response = Response::new(Body::from("{\"message\":\"Forbidden\"}"));
    *response.status_mut() = StatusCode::FORBIDDEN;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(
        "x-amzn-errortype",
        HeaderValue::from_static("ForbiddenException"),
    );
    response
}

/// An answer, and the gateway error that it stands for.
struct Answer {
    response: Response<Body>,
    error: Option<Failure>,
}

impl Answer {
    fn gateway(stage: &Stage, request: &Request, kind: Kind) -> Self {
        let error = Some(Failure::from(kind));
        let context = Context::new(stage, request).with_error(error.clone());
        Self {
            response: gateway_response::respond(stage, kind, &context),
            error,
        }
    }
}

async fn answer(
    front: &Front,
    stage: &Stage,
    request: &Request,
    query: Option<&str>,
    body: Body,
) -> Answer {
    let Ok(body) = to_bytes(body, MAX_BODY_BYTES).await else {
        return Answer::gateway(stage, request, Kind::RequestTooLarge);
    };
    match forward(front, stage, request, query, body).await {
        Ok((status, headers, body)) => {
            if let Some(kind) = refused(request, &headers) {
                return Answer::gateway(stage, request, kind);
            }
            let error = emulators_error(&headers, &body);
            let mut response = Response::new(Body::from(body));
            *response.status_mut() = status;
            *response.headers_mut() = headers;
            Answer { response, error }
        }
        Err(error) => {
            tracing::warn!(path = request.path, %error, "the local AWS did not answer a request");
            let kind = if error.is_timeout() {
                Kind::IntegrationTimeout
            } else {
                Kind::IntegrationFailure
            };
            Answer::gateway(stage, request, kind)
        }
    }
}

async fn forward(
    front: &Front,
    stage: &Stage,
    request: &Request,
    query: Option<&str>,
    body: Bytes,
) -> Result<(StatusCode, HeaderMap, Bytes), reqwest::Error> {
    let rest = request
        .path
        .trim_start_matches('/')
        .strip_prefix(stage.name.as_str())
        .unwrap_or_default();
    let mut url = format!(
        "{}/restapis/{}/{}/_user_request_{}",
        front.emulator.endpoint(),
        stage.api_id,
        stage.name,
        if rest.is_empty() { "/" } else { rest },
    );
    if let Some(query) = query {
        url.push('?');
        url.push_str(query);
    }
    let response = front
        .emulator
        .http()
        .request(request.method.clone(), url)
        .timeout(TIMEOUT)
        .headers(forwarded_headers(request))
        .body(body)
        .send()
        .await?;
    let status = response.status();
    let mut headers = response.headers().clone();
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
    // The body may be answered by another writer; hyper counts it again.
    headers.remove(header::CONTENT_LENGTH);
    Ok((status, headers, response.bytes().await?))
}

/// The caller's headers and those that API Gateway adds.
fn forwarded_headers(request: &Request) -> HeaderMap {
    let mut headers = request.headers.clone();
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
    headers.remove(header::CONTENT_LENGTH);
    let earlier = headers
        .get("x-forwarded-for")
        .and_then(|value| value.to_str().ok())
        .map_or_else(String::new, |earlier| format!("{earlier}, "));
    for (name, value) in [
        ("x-forwarded-for", format!("{earlier}{}", request.source_ip)),
        ("x-forwarded-proto", "http".to_owned()),
        ("x-amzn-trace-id", format!("Root={}", request.trace_root)),
    ] {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
    headers
}

/// What the authorizer or the integration decided, where the emulator's answer does not show it.
fn refused(request: &Request, headers: &HeaderMap) -> Option<Kind> {
    let seen = request.seen();
    if let Some(authorizer) = &seen.authorizer
        && !matches!(authorizer.outcome, Outcome::Success(_))
    {
        // "Unauthorized", exactly, is how an authorizer asks for a 401.
        let unauthorized = error_message(authorizer).as_deref() == Some("Unauthorized");
        return Some(if unauthorized {
            Kind::Unauthorized
        } else {
            Kind::AuthorizerFailure
        });
    }
    let denied = headers
        .get("x-amzn-errortype")
        .is_some_and(|kind| kind == "AccessDeniedException");
    if denied && seen.integration.is_none() {
        return Some(Kind::AccessDenied);
    }
    // A failed function must not show its error to the caller.
    let failed = seen
        .integration
        .as_ref()
        .is_some_and(|call| !matches!(call.outcome, Outcome::Success(_)));
    failed.then_some(Kind::IntegrationFailure)
}

/// The gateway error in an answer of the emulator's own gateway.
fn emulators_error(headers: &HeaderMap, body: &[u8]) -> Option<Failure> {
    let response_type = match headers.get("x-amzn-errortype")?.to_str().ok()? {
        "MissingAuthenticationTokenException" => "MISSING_AUTHENTICATION_TOKEN",
        "UnauthorizedException" => "UNAUTHORIZED",
        "AccessDeniedException" => "ACCESS_DENIED",
        "AuthorizerConfigurationException" => "AUTHORIZER_CONFIGURATION_ERROR",
        "BadRequestException" => "BAD_REQUEST_PARAMETERS",
        "TooManyRequestsException" => "THROTTLED",
        "InternalServerErrorException" => "DEFAULT_5XX",
        _ => return None,
    };
    let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let message = body.get("message").or_else(|| body.get("Message"));
    Some(Failure {
        response_type: response_type.to_owned(),
        message: message
            .and_then(serde_json::Value::as_str)
            .map(str::to_owned),
    })
}

/// Gives the answer its ids and writes its line of the access log.
async fn finish(front: &Front, stage: &Stage, request: &Request, answer: Answer) -> Response<Body> {
    let Answer {
        mut response,
        error,
    } = answer;
    let headers = response.headers_mut();
    for (name, value) in [
        ("x-amzn-requestid", request.id.as_str()),
        ("x-amz-apigw-id", request.extended_id.as_str()),
    ] {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    }
    if let Some(log) = &stage.access_log {
        let length = axum::body::HttpBody::size_hint(response.body())
            .exact()
            .unwrap_or_default();
        let answered = Answered {
            status: response.status().as_u16(),
            length: usize::try_from(length).unwrap_or(usize::MAX),
            took: request.started.elapsed(),
        };
        let context = Context::new(stage, request)
            .with_error(error)
            .with_response(answered);
        let text = template::render(&log.format, "-", |name| context.value(name));
        front
            .logs
            .line(Line {
                group: log.group.clone(),
                stream: front.log_stream.clone(),
                at: Timestamp::now(),
                text,
            })
            .await;
    }
    response
}
