//! Requests to another API. Redirects are not followed, and nothing is decompressed or retried.
//!
//! A response is collected before any of it is passed on, or streamed
//! (<https://docs.aws.amazon.com/apigateway/latest/developerguide/response-transfer-mode.html>).

use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, HttpBody as _};
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::time::timeout_at;

use super::integration::Transfer;
use super::request::{Integrated, Request, Seen};
use crate::error::describe;

/// API Gateway's limit for a payload in either direction, 10 MB
/// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-execution-service-limits-table.html>).
pub(super) const LARGEST_BODY: usize = 10 * 1024 * 1024;

/// Clients of other APIs.
#[derive(Debug)]
pub(super) struct Upstreams {
    plain: Client<HttpConnector, Full<Bytes>>,
    /// `None` if this machine has no root certificates.
    secure: Option<Client<HttpsConnector<HttpConnector>, Full<Bytes>>>,
}

/// An upstream's response.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Body,
}

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unanswered {
    #[error("the endpoint cannot be reached")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the endpoint did not answer in time")]
    Late,
    #[error("the endpoint's answer is larger than 10 MB")]
    TooLarge,
}

impl Default for Upstreams {
    fn default() -> Self {
        let secure = HttpsConnectorBuilder::new().with_native_roots();
        let secure = secure
            .inspect_err(|error| tracing::warn!(%error, "no upstream can be reached over https"))
            .ok();
        Self {
            plain: Client::builder(TokioExecutor::new()).build_http(),
            secure: secure.map(|builder| {
                let connector = builder.https_or_http().enable_http1().build();
                Client::builder(TokioExecutor::new()).build(connector)
            }),
        }
    }
}

impl Answered {
    /// The response to the caller, with the headers that the gateway passes on.
    pub(super) fn respond(self, request: &Request, mut headers: HeaderMap) -> Response<Body> {
        // A response to `HEAD`, or without a body, keeps the length of the body that it does not carry.
        let is_bodiless = request.method == Method::HEAD || self.status == StatusCode::NOT_MODIFIED;
        let is_collected = self.body.size_hint().exact().is_some();
        if is_collected && !is_bodiless {
            headers.remove(header::CONTENT_LENGTH);
        }
        let mut response = Response::new(self.body);
        *response.status_mut() = self.status;
        *response.headers_mut() = headers;
        response
    }
}

impl Upstreams {
    /// Forwards a caller's request, and notes for the access log what came of it.
    pub(super) async fn forward(
        &self,
        request: &Request,
        (uri, headers): (&str, HeaderMap),
        transfer: Transfer,
        seen: &mut Seen,
    ) -> Result<Answered, Unanswered> {
        let started = Instant::now();
        let (method, body) = (request.method.clone(), request.body.clone());
        let called = self.call(method, (uri, headers), body, transfer).await;
        seen.integration = Some(Integrated::Proxy {
            took: started.elapsed(),
            status: called.as_ref().ok().map(|answer| answer.status.as_u16()),
            error: called.as_ref().err().map(ToString::to_string),
        });
        called.inspect_err(|error| {
            let error = describe(error);
            tracing::warn!(path = request.path, error, "the upstream gave no answer");
        })
    }

    async fn call(
        &self,
        method: Method,
        (uri, headers): (&str, HeaderMap),
        body: Bytes,
        transfer: Transfer,
    ) -> Result<Answered, Unanswered> {
        let deadline = Instant::now() + transfer.timeout();
        let responded = self.responded(method, uri, headers, body);
        let (parts, body) = until(deadline, responded).await?.into_parts();
        let body = match transfer {
            Transfer::Buffered { .. } => until(deadline, collected(body)).await?.into(),
            Transfer::Stream { idle, .. } => streamed(body, deadline, idle),
        };
        Ok(Answered {
            status: parts.status,
            headers: parts.headers,
            body,
        })
    }

    /// The response, once all its headers are there.
    async fn responded(
        &self,
        method: Method,
        uri: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response<Body>, Unanswered> {
        let uri: Uri = uri.parse().map_err(unreachable)?;
        let is_secure = uri.scheme_str() == Some("https");
        let mut request = axum::http::Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        let response = match &self.secure {
            Some(client) if is_secure => client.request(request).await,
            _ => self.plain.request(request).await,
        };
        Ok(response.map_err(unreachable)?.map(Body::new))
    }
}

async fn until<T>(
    deadline: Instant,
    answering: impl Future<Output = Result<T, Unanswered>>,
) -> Result<T, Unanswered> {
    timeout_at(deadline.into(), answering)
        .await
        .unwrap_or(Err(Unanswered::Late))
}

/// The whole body.
async fn collected(body: Body) -> Result<Bytes, Unanswered> {
    let collected = Limited::new(body, LARGEST_BODY).collect().await;
    let collected = collected.map_err(|error| {
        if error.is::<LengthLimitError>() {
            Unanswered::TooLarge
        } else {
            Unanswered::Unreachable(error)
        }
    })?;
    Ok(collected.to_bytes())
}

/// A body whose parts are passed on as they come. A late part breaks the connection off: the status
/// has been sent.
fn streamed(body: Body, deadline: Instant, idle: Duration) -> Body {
    let parts = futures_util::stream::try_unfold(body, move |mut body| async move {
        loop {
            let until_then = deadline.min(Instant::now() + idle);
            let frame = until(until_then, async { Ok(body.frame().await) }).await?;
            let Some(frame) = frame else {
                return Ok(None);
            };
            if let Ok(data) = frame.map_err(unreachable)?.into_data() {
                return Ok::<_, Unanswered>(Some((data, body)));
            }
        }
    });
    Body::from_stream(parts)
}

fn unreachable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Unanswered {
    Unanswered::Unreachable(error.into())
}
