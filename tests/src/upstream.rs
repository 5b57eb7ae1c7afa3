//! A user's own API that records its requests.
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a test fails by panicking"
)]

use std::future::IntoFuture as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Response};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// A request as the API received it.
#[derive(Debug, Clone)]
pub struct Got {
    /// Its method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Got {
    /// The single value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next();
        assert!(values.next().is_none(), "`{name}` is there twice");
        value.map(|value| value.to_str().unwrap())
    }
}

/// The API, which ends when dropped, including its connections. `/status/N` responds N, everything
/// else responds 200 with the request's body.
pub struct Upstream {
    address: SocketAddr,
    got: Arc<Mutex<Vec<Got>>>,
    stop: Option<oneshot::Sender<()>>,
    serving: Option<std::thread::JoinHandle<()>>,
}

impl Upstream {
    /// Starts an API.
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let got = Arc::<Mutex<Vec<Got>>>::default();
        let router = Router::new().fallback(answer).with_state(Arc::clone(&got));
        let listener = listener.into_std().unwrap();
        let (stop, stopped) = oneshot::channel();
        // A separate runtime: connections that are kept open end with it.
        let serving = std::thread::spawn(move || {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::from_std(listener).unwrap();
                tokio::select! {
                    served = axum::serve(listener, router).into_future() => served.unwrap(),
                    _ = stopped => {}
                }
            });
        });
        Self {
            address,
            got,
            stop: Some(stop),
            serving: Some(serving),
        }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Takes all requests so far.
    pub fn take(&self) -> Vec<Got> {
        std::mem::take(&mut *self.got.lock().unwrap())
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        let _asked = self.stop.take().map(|stop| stop.send(()));
        let _ended = self.serving.take().map(std::thread::JoinHandle::join);
    }
}

async fn answer(State(got): State<Arc<Mutex<Vec<Got>>>>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let status = parts.uri.path().strip_prefix("/status/");
    let status = status.and_then(|status| status.parse::<u16>().ok());
    let status = status.unwrap_or(200);
    let mut response = Response::builder().status(status);
    // Its own responses carry its own headers: a gateway passes them on.
    if let Some(origin) = parts.headers.get("origin") {
        response = response.header("access-control-allow-origin", origin);
    }
    if let Some(kind) = parts.headers.get("content-type") {
        response = response.header("content-type", kind);
    }
    got.lock().unwrap().push(Got {
        method: parts.method.to_string(),
        target: parts.uri.path_and_query().unwrap().to_string(),
        headers: parts.headers,
        body: body.clone(),
    });
    response.body(Body::from(body)).unwrap()
}
