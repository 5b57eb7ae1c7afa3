//! A request's way through the front.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, PoisonError, RwLock},
    time::Instant,
};

use axum::{
    body::{Body, Bytes, HttpBody as _, to_bytes},
    extract::{ConnectInfo, Request as HttpRequest},
    http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::TryStreamExt as _;
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::oneshot;

use super::{
    Api, Authorization, Integration, Mock, Proxy, RestApi, Stage,
    context::{Answered, CallContext, Failure, document, error_message},
    event,
    gateway_response::{self, Kind},
    headers, http, path, policy,
    request::{Call, Integrated, Request, Seen},
    routing::{Matched, matching},
    template,
    upstream::{LARGEST_BODY, Unanswered, Upstreams},
};
use crate::{
    function::Outcome,
    functions::Functions,
    ids,
    instance::{Invocation, Origin},
    logs::{Line, Logs},
};

/// The account of the embedded AWS.
pub(super) const ACCOUNT: &str = "000000000000";

/// Stages by name.
type Stages = BTreeMap<String, Arc<Stage>>;

/// The front and the stages that it serves.
#[derive(Debug)]
pub(crate) struct Front {
    functions: Arc<Functions>,
    pub(super) upstreams: Upstreams,
    logs: Logs,
    log_stream: String,
    stages: RwLock<Arc<Stages>>,
}

impl Front {
    pub(crate) fn new(functions: Arc<Functions>, logs: Logs) -> Self {
        Self {
            functions,
            upstreams: Upstreams::default(),
            logs,
            log_stream: uuid::Uuid::new_v4().simple().to_string(),
            stages: RwLock::default(),
        }
    }

    /// Serves exactly these stages from now on.
    pub(crate) fn replace(&self, stages: BTreeMap<String, Stage>) {
        let stages = stages.into_iter();
        let stages: Stages = stages
            .map(|(name, stage)| (name, Arc::new(stage)))
            .collect();
        *self.stages.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(stages);
    }

    pub(crate) fn stages(&self) -> Arc<Stages> {
        Arc::clone(&self.stages.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Handles a request for `/{stage}/…`.
pub(crate) async fn serve(front: &Front, incoming: HttpRequest) -> Response<Body> {
    let (parts, body) = incoming.into_parts();
    let path = parts.uri.path();
    let mut segments = path.trim_start_matches('/').split('/');
    let name = segments.next().unwrap_or_default();
    let stages = front.stages();
    let Some(stage) = stages.get(name) else {
        return forbidden();
    };
    let source = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    let source = source.map_or_else(
        || [127, 0, 0, 1].into(),
        |ConnectInfo(address)| address.ip(),
    );
    let target = (path, parts.uri.query());
    let mut request = Request::new(parts.method, target, source, parts.headers);
    let mut seen = Seen::default();
    let body = to_bytes(body, LARGEST_BODY).await.ok();
    let fits = body.is_some();
    request.body = body.unwrap_or_default();
    let (response, error) = match &stage.api {
        Api::Rest(api) => {
            let answer = if fits {
                answer(front, (stage, api), &request, &mut seen).await
            } else {
                Err(Kind::RequestTooLarge)
            };
            let error = answer.as_ref().err().copied().map(Failure::from);
            let context = CallContext::new(stage, &request, &seen).with_error(error.clone());
            let mut response =
                answer.unwrap_or_else(|kind| gateway_response::respond(api, kind, &context));
            identify(&mut response, "x-amzn-requestid", &request.id);
            identify(&mut response, "x-amz-apigw-id", &request.extended_id);
            (response, error)
        }
        Api::Http(api) => {
            let answer = if fits {
                http::answer(front, (stage, api), &request, &mut seen).await
            } else {
                Err(http::Refusal::TooLarge)
            };
            let error = answer.as_ref().err().copied().map(Failure::from);
            let mut response = answer.unwrap_or_else(http::Refusal::response);
            identify(&mut response, "apigw-requestid", &request.extended_id);
            (response, error)
        }
    };
    let handled = Handled {
        stage: Arc::clone(stage),
        request,
        seen,
        error,
    };
    logged(front, handled, response).await
}

/// The response for a stage that does not exist: API Gateway has no API for it.
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

async fn answer(
    front: &Front,
    (stage, api): (&Stage, &RestApi),
    request: &Request,
    seen: &mut Seen,
) -> Result<Response<Body>, Kind> {
    let method = request.method.as_str();
    let matched = matching(&api.resources, method, request.path_in(&stage.name));
    let matched = matched.ok_or(Kind::MissingAuthenticationToken)?;
    seen.account_id = Some(ACCOUNT.to_owned());
    seen.resource_id = Some(matched.resource.id.clone());
    seen.resource_path = Some(matched.resource.path.clone());
    let authorizer = match &matched.method.authorization {
        Authorization::Open => None,
        Authorization::Function(function) => {
            Some(authorize(front, stage, request, &matched, function, seen).await?)
        }
        Authorization::Unknown => return Err(Kind::AuthorizerConfigurationError),
    };
    match &matched.method.integration {
        Integration::Function(function) => {
            let event = event::of_integration(
                (stage, api),
                request,
                &matched,
                ACCOUNT,
                authorizer.as_ref(),
            );
            let call = invoke(front, request, function, &event).await;
            let response = of_function(api, &call.outcome);
            seen.integration = Some(Integrated::Function(call));
            response.ok_or(Kind::FunctionFailure)
        }
        Integration::Proxy(proxy) => pass_on(front, stage, request, &matched, proxy, seen).await,
        Integration::Mock(mock) => Ok(of_mock(mock, request)),
        Integration::Unknown => Err(Kind::ApiConfigurationError),
    }
}

pub(super) async fn invoke(
    front: &Front,
    request: &Request,
    function: &str,
    event: &Value,
) -> Call {
    let invocation = Invocation {
        request_id: ids::request_id(),
        origin: Origin::Host,
        trace_id: Some(format!("Root={}", request.trace_root)),
        payload: Bytes::from(event.to_string()),
    };
    let request_id = invocation.request_id.clone();
    let started = Instant::now();
    let outcome = front.functions.run(function, invocation).await;
    let took = started.elapsed();
    front.logs.invoked(function, took, &outcome, None);
    Call {
        request_id,
        took,
        outcome,
    }
}

/// The authorizer's output, if it allows the request.
async fn authorize(
    front: &Front,
    stage: &Stage,
    request: &Request,
    matched: &Matched<'_>,
    function: &str,
    seen: &mut Seen,
) -> Result<Value, Kind> {
    let event = event::of_authorizer(stage, request, matched, ACCOUNT);
    let call = invoke(front, request, function, &event).await;
    let answer = document(&call.outcome);
    let error = error_message(&call);
    seen.authorizer = Some(call);
    let Some(answer) = answer else {
        // Exactly "Unauthorized" is how an authorizer requests a 401.
        let unauthorized = error.as_deref() == Some("Unauthorized");
        return Err(if unauthorized {
            Kind::Unauthorized
        } else {
            Kind::AuthorizerFailure
        });
    };
    let arn = event::method_arn(stage, request, ACCOUNT);
    match policy::allows(&answer, &arn) {
        Some(true) => Ok(answer),
        Some(false) => Err(Kind::AccessDenied),
        None => Err(Kind::AuthorizerConfigurationError),
    }
}

/// The response in a function's output; `None` for an invalid output or an error, which must not
/// show to the caller.
fn of_function(api: &RestApi, outcome: &Outcome) -> Option<Response<Body>> {
    let answer = document(outcome)?;
    let status = match answer.get("statusCode")? {
        Value::Number(number) => u16::try_from(number.as_u64()?).ok()?,
        Value::String(text) => text.parse().ok()?,
        _ => return None,
    };
    let body = match answer.get("body") {
        Some(Value::String(text)) => text.clone(),
        None | Some(Value::Null) => String::new(),
        Some(_) => return None,
    };
    let is_encoded = answer.get("isBase64Encoded") == Some(&Value::Bool(true));
    let body = if is_encoded && api.binary {
        Bytes::from(STANDARD.decode(body).ok()?)
    } else {
        Bytes::from(body)
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).ok()?;
    *response.headers_mut() = headers_of_function(&answer);
    Some(response)
}

fn headers_of_function(answer: &Value) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let members = |name: &str| answer.get(name).and_then(Value::as_object);
    let single = members("headers").into_iter().flatten();
    for (name, value) in single {
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), text.try_into()) {
            headers.insert(name, value);
        }
    }
    let multiple = members("multiValueHeaders").into_iter().flatten();
    for (name, values) in multiple {
        let Ok(name) = HeaderName::try_from(name) else {
            continue;
        };
        headers.remove(&name);
        let values = values.as_array().into_iter().flatten();
        for value in values.filter_map(Value::as_str) {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.append(name.clone(), value);
            }
        }
    }
    // The length of the body counts; the caller's header may differ.
    headers.remove(header::CONTENT_LENGTH);
    headers
        .entry(header::CONTENT_TYPE)
        .or_insert(HeaderValue::from_static("application/json"));
    headers
}

/// Forwards the request to another API.
async fn pass_on(
    front: &Front,
    stage: &Stage,
    request: &Request,
    matched: &Matched<'_>,
    proxy: &Proxy,
    seen: &mut Seen,
) -> Result<Response<Body>, Kind> {
    let passed = mapped_headers(stage, request, proxy, seen);
    let mut uri = proxy.uri.clone();
    for (name, value) in &matched.parameters {
        uri = uri.replace(&format!("{{{name}}}"), &path::passed(value));
    }
    if let Some(query) = &request.query {
        uri.push('?');
        uri.push_str(&path::passed_query(query));
    }
    let answer = front
        .upstreams
        .forward(request, (&uri, passed), proxy.transfer, seen)
        .await
        .map_err(|error| match error {
            Unanswered::Late => Kind::IntegrationTimeout,
            Unanswered::Unreachable(_) | Unanswered::TooLarge => Kind::IntegrationFailure,
        })?;
    let headers = headers::from_upstream(&answer.headers);
    Ok(answer.respond(request, headers))
}

/// The caller's headers, replaced by the method's mapped headers of the same names.
fn mapped_headers(stage: &Stage, request: &Request, proxy: &Proxy, seen: &Seen) -> HeaderMap {
    let mut passed = headers::to_upstream(request.passed_headers());
    let context = CallContext::new(stage, request, seen);
    for (name, source) in &proxy.headers {
        let Ok(name) = HeaderName::try_from(name) else {
            continue;
        };
        passed.remove(&name);
        let value = gateway_response::parameter(source, &context);
        if let Some(Ok(value)) = value.map(HeaderValue::try_from) {
            passed.insert(name, value);
        }
    }
    passed
}

fn of_mock(mock: &Mock, request: &Request) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::from_u16(mock.status).unwrap_or(StatusCode::OK);
    let headers = response.headers_mut();
    for (name, value) in &mock.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), value.try_into()) {
            headers.insert(name, value);
        }
    }
    let asking = request.headers.get(header::ORIGIN);
    let named = asking.filter(|asking| mock.origins.iter().any(|origin| origin == *asking));
    if let Some(origin) = named {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    }
    response
}

/// Names the request in its response.
fn identify(response: &mut Response<Body>, header: &'static str, id: &str) {
    if let Ok(id) = HeaderValue::from_str(id) {
        response.headers_mut().insert(header, id);
    }
}

/// A request that has its response.
struct Handled {
    stage: Arc<Stage>,
    request: Request,
    seen: Seen,
    error: Option<Failure>,
}

impl Handled {
    /// The line of the stage's access log, if it has one, once the caller has the response.
    fn line(&self, stream: &str, status: StatusCode, length: u64) -> Option<Line> {
        let log = self.stage.access_log.as_ref()?;
        let context = CallContext::new(&self.stage, &self.request, &self.seen)
            .with_error(self.error.clone())
            .with_response(Answered {
                status: status.as_u16(),
                length: usize::try_from(length).unwrap_or(usize::MAX),
                took: self.request.started.elapsed(),
            });
        Some(Line {
            function: None,
            group: log.group.clone(),
            stream: stream.to_owned(),
            at: Timestamp::now(),
            text: template::render(&log.format, "-", |name| context.value(name)),
        })
    }
}

/// Writes the response's line of the access log: at once for a response that is there, at its end
/// for one that is streamed.
async fn logged(front: &Front, handled: Handled, response: Response<Body>) -> Response<Body> {
    let status = response.status();
    if let Some(length) = response.body().size_hint().exact() {
        if let Some(line) = handled.line(&front.log_stream, status, length) {
            front.logs.line(line).await;
        }
        return response;
    }
    let (ended, length) = oneshot::channel();
    let (logs, stream) = (front.logs.clone(), front.log_stream.clone());
    tokio::spawn(async move {
        let length = length.await.unwrap_or_default();
        if let Some(line) = handled.line(&stream, status, length) {
            logs.line(line).await;
        }
    });
    response.map(|body| measured(body, ended))
}

/// The bytes of a body so far. It reports them when it is dropped: at the body's end, or when the
/// caller has gone.
struct Meter {
    bytes: u64,
    ended: Option<oneshot::Sender<u64>>,
}

impl Meter {
    const fn add(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        // Nobody waits once the host shuts down.
        let _sent = self.ended.take().map(|ended| ended.send(self.bytes));
    }
}

/// The body; `ended` learns how many of its bytes were sent.
fn measured(body: Body, ended: oneshot::Sender<u64>) -> Body {
    let mut meter = Meter {
        bytes: 0,
        ended: Some(ended),
    };
    let parts = body.into_data_stream();
    Body::from_stream(parts.inspect_ok(move |part| meter.add(part.len())))
}
