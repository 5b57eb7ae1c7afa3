//! A request's way through an HTTP API.
//!
//! Source: the chapter "API Gateway HTTP APIs" of the API Gateway developer guide, page by page where
//! a rule is applied. Where AWS documents nothing, the comment says where the behaviour is reported.

mod cors;
mod event;
mod passage;
mod response;
mod routes;

use axum::body::Body;
use axum::http::Response;

pub(crate) use cors::Cors;
pub(crate) use passage::{Mapping, Passed};
pub(super) use response::Refusal;
pub(crate) use routes::{Route, Target};

use super::context::{CallContext, document};
use super::integration::Transfer;
use super::request::{Integrated, Request, Seen};
use super::serve::{ACCOUNT, Front, invoke};
use super::upstream::Unanswered;
use super::{Authorization, Stage};
use routes::Matched;

/// An HTTP API.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct HttpApi {
    pub(crate) routes: Vec<Route>,
    /// Which pages may call it; the gateway then answers preflights.
    pub(crate) cors: Option<Cors>,
}

/// The response, or the refusal of the gateway itself.
pub(super) async fn answer(
    front: &Front,
    (stage, api): (&Stage, &HttpApi),
    request: &Request,
    seen: &mut Seen,
) -> Result<Response<Body>, Refusal> {
    if let Some(cors) = &api.cors
        && cors::is_preflight(request)
    {
        return Ok(cors.preflight(request));
    }
    let mut response = integrated(front, (stage, api), request, seen).await?;
    if let Some(cors) = &api.cors {
        cors.replace(request, response.headers_mut());
    }
    Ok(response)
}

/// The response of the route's integration.
async fn integrated(
    front: &Front,
    (stage, api): (&Stage, &HttpApi),
    request: &Request,
    seen: &mut Seen,
) -> Result<Response<Body>, Refusal> {
    let method = request.method.as_str();
    let matched = routes::matching(&api.routes, method, request.path_in(&stage.name));
    let matched = matched.ok_or(Refusal::NotFound)?;
    seen.account_id = Some(ACCOUNT.to_owned());
    seen.route_key = Some(matched.route.key.clone());
    match &matched.route.authorization {
        Authorization::Open => {}
        Authorization::Function(function) => {
            authorize(front, stage, request, &matched, function, seen).await?;
        }
        Authorization::Unknown => return Err(Refusal::Internal),
    }
    match &matched.route.target {
        Target::Function(function) => {
            let authorizer = CallContext::new(stage, request, seen).authorizer_context();
            let event = event::of_integration(stage, request, &matched, authorizer);
            let call = invoke(front, request, function, &event).await;
            let response = response::of_function(&call.outcome);
            seen.integration = Some(Integrated::Function(call));
            response.ok_or(Refusal::Internal)
        }
        Target::Upstream(passed) => pass_on(front, stage, request, &matched, passed, seen).await,
        Target::Unknown => Err(Refusal::Internal),
    }
}

/// Asks the authorizer, which answers with `isAuthorized`
/// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-lambda-authorizer.html>): a
/// no is a 403; a failure, or an answer in another form, a 500.
async fn authorize(
    front: &Front,
    stage: &Stage,
    request: &Request,
    matched: &Matched<'_>,
    function: &str,
    seen: &mut Seen,
) -> Result<(), Refusal> {
    let event = event::of_authorizer(stage, request, matched);
    let call = invoke(front, request, function, &event).await;
    let answer = document(&call.outcome);
    seen.authorizer = Some(call);
    let allowed = answer.and_then(|answer| answer.get("isAuthorized")?.as_bool());
    match allowed {
        Some(true) => Ok(()),
        Some(false) => Err(Refusal::Forbidden),
        None => Err(Refusal::Internal),
    }
}

/// Forwards the request to another API: the method, the query as it was sent and the body unchanged.
async fn pass_on(
    front: &Front,
    stage: &Stage,
    request: &Request,
    matched: &Matched<'_>,
    passed: &Passed,
    seen: &mut Seen,
) -> Result<Response<Body>, Refusal> {
    let context = CallContext::new(stage, request, seen);
    let headers = passed.headers(request, &context);
    let uri = passed.uri(&matched.parameters, request.query.as_deref());
    let forwarded = (uri.as_str(), headers);
    let transfer = Transfer::Buffered {
        timeout: passed.timeout,
    };
    let answer = front
        .upstreams
        .forward(request, forwarded, transfer, seen)
        .await
        .map_err(|error| match error {
            Unanswered::Late | Unanswered::Unreachable(_) => Refusal::Unavailable,
            Unanswered::TooLarge => Refusal::Internal,
        })?;
    let headers = passage::from_upstream(&answer.headers);
    Ok(answer.respond(request, headers))
}
