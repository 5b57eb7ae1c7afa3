//! A minimal client of the Lambda Extensions API for an internal extension.
//!
//! The crate `lambda-extension` is unsuitable: it reads its endpoint from the environment only,
//! prints to standard output, and reports an event that failed as a failed start.

use std::time::Duration;

use http::{Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use lambda_runtime_api_client::body::Body;
use lambda_runtime_api_client::{BoxError, PooledClient, build_request};
use serde::Deserialize;
use tokio::time::timeout;

const ID_HEADER: &str = "Lambda-Extension-Identifier";
const NAME_HEADER: &str = "Lambda-Extension-Name";
/// Timeout for the registration: the API runs on the same machine.
const REGISTRATION: Duration = Duration::from_secs(2);

/// Why the Extensions API is unavailable.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExtensionError {
    /// The variable that names the API is missing or wrong.
    #[error("`{given}` is not the address of a Runtime API, expected `host:port`")]
    Endpoint { given: String },
    /// It does not respond.
    #[error("`{path}` of the Extensions API does not answer")]
    Unreachable {
        path: &'static str,
        source: BoxError,
    },
    /// It refuses.
    #[error("`{path}` of the Extensions API returned status {status}")]
    Refused {
        path: &'static str,
        status: StatusCode,
    },
    /// Its response is invalid.
    #[error("`{path}` of the Extensions API returned something other than an event")]
    Unreadable {
        path: &'static str,
        source: BoxError,
    },
}

/// An event of the function's life cycle.
#[derive(Debug, Deserialize)]
#[serde(tag = "eventType", rename_all_fields = "camelCase")]
pub(super) enum Event {
    /// An invocation, with its deadline in milliseconds since the epoch.
    #[serde(rename = "INVOKE")]
    Invoke {
        request_id: String,
        deadline_ms: i64,
    },
    /// An event that this extension did not register for.
    #[serde(other)]
    Other,
}

/// This process, registered.
pub(super) struct Extension {
    client: PooledClient,
    id: String,
}

impl Extension {
    const REGISTER: &str = "/2020-01-01/extension/register";
    const NEXT: &str = "/2020-01-01/extension/event/next";

    /// Registers under `name` at the API of `endpoint`, for invocations: internal extensions
    /// receive no other events.
    pub(super) async fn register(endpoint: &str, name: &str) -> Result<Self, ExtensionError> {
        let uri: http::Uri = endpoint
            .parse()
            .ok()
            .filter(|uri: &http::Uri| uri.authority().is_some())
            .ok_or_else(|| ExtensionError::Endpoint {
                given: endpoint.to_owned(),
            })?;
        let client = PooledClient::builder().with_endpoint(uri).build();
        let request = build_request()
            .method(Method::POST)
            .uri(Self::REGISTER)
            .header(NAME_HEADER, name)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(r#"{"events":["INVOKE"]}"#));
        let call = call(&client, Self::REGISTER, request);
        let (parts, _) = timeout(REGISTRATION, call).await.map_err(|elapsed| {
            ExtensionError::Unreachable {
                path: Self::REGISTER,
                source: elapsed.into(),
            }
        })??;
        let id = parts.headers.get(ID_HEADER).and_then(|id| id.to_str().ok());
        match id {
            Some(id) => Ok(Self {
                id: id.to_owned(),
                client,
            }),
            None => Err(ExtensionError::Unreadable {
                path: Self::REGISTER,
                source: "an answer without an identifier".into(),
            }),
        }
    }

    /// Reports that this extension is done with the previous event, and waits for the next one.
    pub(super) async fn next(&self) -> Result<Event, ExtensionError> {
        let request = build_request()
            .method(Method::GET)
            .uri(Self::NEXT)
            .header(ID_HEADER, &self.id)
            .body(Body::empty());
        let (_, body) = call(&self.client, Self::NEXT, request).await?;
        serde_json::from_slice(&body).map_err(|error| ExtensionError::Unreadable {
            path: Self::NEXT,
            source: error.into(),
        })
    }
}

async fn call(
    client: &PooledClient,
    path: &'static str,
    request: http::Result<Request<Body>>,
) -> Result<(http::response::Parts, Vec<u8>), ExtensionError> {
    let unreachable = |source: BoxError| ExtensionError::Unreachable { path, source };
    let request = request.map_err(|error| unreachable(error.into()))?;
    let response: Response<_> = client.call(request).await.map_err(unreachable)?;
    let (parts, body) = response.into_parts();
    if !parts.status.is_success() {
        return Err(ExtensionError::Refused {
            path,
            status: parts.status,
        });
    }
    let body = body
        .collect()
        .await
        .map_err(|error| unreachable(error.into()))?;
    Ok((parts, body.to_bytes().to_vec()))
}
