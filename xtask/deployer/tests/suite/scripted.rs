//! The scripted AWS.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Method, Response};
use deployer::{Progress, ResourceEvent, Session};
use serde_json::{Value, json};

/// A request.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    /// The operation of a service that passes it in a header: `DeleteTable`.
    pub(crate) target: String,
    /// The account that must own the bucket.
    pub(crate) expected_owner: Option<String>,
    pub(crate) body: String,
}

impl Call {
    /// The call in a word or two: `PUT ?policy`, `DeleteTable`.
    pub(crate) fn name(&self) -> String {
        if !self.target.is_empty() {
            return self.target.clone();
        }
        let query = self.query.split('=').next().unwrap_or_default();
        let mark = if query.is_empty() { "" } else { "?" };
        format!("{} {mark}{query}", self.method).trim().to_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// A response.
#[derive(Debug)]
pub(crate) struct ScriptedAnswer(u16, String);

impl ScriptedAnswer {
    /// Success with an empty response.
    pub(crate) fn done() -> Self {
        Self(200, String::new())
    }

    pub(crate) fn text(text: &str) -> Self {
        Self(200, text.to_owned())
    }

    pub(crate) fn json(value: &Value) -> Self {
        Self(200, value.to_string())
    }

    pub(crate) const fn status(status: u16) -> Self {
        Self(status, String::new())
    }

    /// S3's form of an error.
    pub(crate) fn xml_error(status: u16, code: &str) -> Self {
        let body = format!("<Error><Code>{code}</Code><Message>scripted</Message></Error>");
        Self(status, body)
    }

    /// The form of services with a JSON protocol.
    pub(crate) fn json_error(code: &str) -> Self {
        let body = json!({"__type": format!("com.amazonaws#{code}"), "message": "scripted"});
        Self(400, body.to_string())
    }
}

type Script = dyn FnMut(&Call) -> ScriptedAnswer + Send;

struct Stage {
    script: Mutex<Box<Script>>,
    calls: Mutex<Vec<Call>>,
}

/// A scripted AWS.
#[derive(Clone)]
pub(crate) struct Scripted {
    endpoint: String,
    stage: Arc<Stage>,
}

impl Scripted {
    pub(crate) async fn start(
        script: impl FnMut(&Call) -> ScriptedAnswer + Send + 'static,
    ) -> Self {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
            .await
            .unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let stage = Arc::new(Stage {
            script: Mutex::new(Box::new(script)),
            calls: Mutex::default(),
        });
        let router = Router::new().fallback(serve).with_state(Arc::clone(&stage));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { endpoint, stage }
    }

    pub(crate) fn session(&self) -> Session {
        Session::embedded("ap-south-1", &self.endpoint)
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.stage.calls.lock().unwrap().clone()
    }

    /// The names of the requests, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        self.calls().iter().map(Call::name).collect()
    }
}

async fn serve(State(stage): State<Arc<Stage>>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let header = |name: &str| {
        let value = parts.headers.get(name)?;
        Some(value.to_str().unwrap().to_owned())
    };
    let target = header("x-amz-target").unwrap_or_default();
    let call = Call {
        method: parts.method.clone(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        target: target.rsplit('.').next().unwrap_or_default().to_owned(),
        expected_owner: header("x-amz-expected-bucket-owner"),
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    let ScriptedAnswer(status, body) = (stage.script.lock().unwrap())(&call);
    stage.calls.lock().unwrap().push(call);
    Response::builder()
        .status(status)
        .body(Body::from(body))
        .unwrap()
}

/// Records progress.
#[derive(Debug, Default)]
pub(crate) struct Messages(Mutex<Vec<String>>);

impl Messages {
    pub(crate) fn notes(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Progress for Messages {
    fn resource(&self, _: &ResourceEvent) {}

    fn note(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
}
