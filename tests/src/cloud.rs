//! An AWS that is not that of `local`: the commands reach it as they would reach AWS, with
//! credentials and an endpoint. It consists of an embedded AWS behind a proxy that refuses what AWS
//! refuses and the embedded one accepts.
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a test fails by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use axum::http::{HeaderMap, Method, Response, StatusCode};
use deployer::without_refused;
use domain::names::Function;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::place::Place;
use crate::server::Server;
use crate::synthesised::root;

/// How often a table is described in its previous state after a change.
const BUSY: u32 = 2;

/// The AWS, and a place with the environment `test`.
pub struct Cloud {
    /// The place where commands run.
    pub place: Place,
    /// The address of the proxy, which refuses calls as AWS does.
    pub address: String,
    server: Server,
    front: Arc<Front>,
    serving: JoinHandle<()>,
}

impl Cloud {
    /// Starts a cloud on an embedded AWS.
    pub async fn start(server: Server) -> Self {
        let front = Arc::new(Front {
            aws: server.endpoint.clone(),
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            asked: Mutex::default(),
            busy: Mutex::default(),
        });
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(serve).with_state(Arc::clone(&front));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            place: place(&address),
            address,
            server,
            front,
            serving,
        }
    }

    /// The configuration of clients that bypass the proxy.
    pub async fn sdk(&self) -> aws_config::SdkConfig {
        self.server.sdk().await
    }

    /// Every action requested so far, as IAM names it.
    pub fn asked(&self) -> BTreeSet<String> {
        self.front.asked.lock().unwrap().clone()
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// A place with this repository's environment `test`, at this address, and with stand-ins for the
/// binaries of functions built for AWS.
fn place(address: &str) -> Place {
    let place = Place::new();
    let environments = place.dir().join("environments");
    std::fs::create_dir(&environments).unwrap();
    let file = root().join("stacks/environments/test.yaml");
    let text = std::fs::read_to_string(file).unwrap();
    let text = format!("{text}endpoint: {address}\n");
    std::fs::write(environments.join("test.yaml"), text).unwrap();
    // Nothing is built from here, but the commands inspect it.
    std::fs::create_dir(place.dir().join("functions")).unwrap();
    // The header of an ELF file for 64-bit ARM.
    let mut binary = b"\x7fELF\x02\x01".to_vec();
    binary.resize(18, 0);
    binary.extend(183_u16.to_le_bytes());
    for function in Function::ALL {
        let folder = place
            .dir()
            .join("target/functions/arm64")
            .join(function.folder());
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("bootstrap"), &binary).unwrap();
    }
    let functions = place.dir().display().to_string();
    place
        .with("XTASK_ENVIRONMENTS_DIR", environments.display().to_string())
        .with("XTASK_FUNCTIONS_DIR", functions)
        .with("XTASK_PREBUILT", "true")
        .with("AWS_ACCESS_KEY_ID", "test")
        .with("AWS_SECRET_ACCESS_KEY", "test")
        .with("AWS_EC2_METADATA_DISABLED", "true")
        .with("NO_PROXY", "127.0.0.1")
}

struct Front {
    aws: String,
    client: reqwest::Client,
    asked: Mutex<BTreeSet<String>>,
    /// Changed tables, and how often they are still described as changing.
    busy: Mutex<BTreeMap<String, u32>>,
}

struct Call {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

async fn serve(State(front): State<Arc<Front>>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path_and_query();
    let mut call = Call {
        method: parts.method,
        path: path.map_or("/", |path| path.as_str()).to_owned(),
        headers: parts.headers,
        body: to_bytes(body, usize::MAX).await.unwrap_or_default(),
    };
    let action = call.action();
    front.asked.lock().unwrap().insert(action.clone());
    if let Some(refusal) = front.refusal(&action, &call) {
        return refusal;
    }
    call.spare_the_emulator(&action);
    let answer = front.forward(&call).await;
    front.settle(&action, &call, answer)
}

impl Call {
    fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.and_then(|value| value.to_str().ok()).unwrap_or("")
    }

    /// The service for which the call is signed.
    fn service(&self) -> String {
        let signed = self.header(AUTHORIZATION.as_str());
        let scope = signed.split_once("Credential=");
        let service = scope.and_then(|(_, scope)| scope.split('/').nth(3));
        let service = service.unwrap_or("unsigned");
        match service {
            "monitoring" => "cloudwatch",
            other => other,
        }
        .to_owned()
    }

    /// The action, as IAM names it.
    fn action(&self) -> String {
        let service = self.service();
        let operation = if let Some((_, operation)) = self.header("x-amz-target").rsplit_once('.') {
            operation.to_owned()
        } else if let Some((_, operation)) = self.path.rsplit_once("/operation/") {
            operation.to_owned()
        } else if service == "s3" {
            self.of_s3().to_owned()
        } else if service == "apigateway" {
            self.method.to_string()
        } else {
            let form = self.form();
            let action = form.iter().find(|(name, _)| name == "Action");
            action.map(|(_, action)| action.clone()).unwrap_or_default()
        };
        format!("{service}:{operation}")
    }

    fn of_s3(&self) -> &'static str {
        let (path, query) = self.path.split_once('?').unwrap_or((&self.path, ""));
        let is_object = path.trim_matches('/').contains('/');
        let about = query.split(['=', '&']).next().unwrap_or_default();
        match (self.method.as_str(), about, is_object) {
            ("PUT", "encryption", _) => "PutEncryptionConfiguration",
            ("PUT", "publicAccessBlock", _) => "PutBucketPublicAccessBlock",
            ("PUT", "policy", _) => "PutBucketPolicy",
            ("PUT", "versioning", _) => "PutBucketVersioning",
            ("PUT", "lifecycle", _) => "PutLifecycleConfiguration",
            ("GET", "versions", _) => "ListBucketVersions",
            ("POST", "delete", _) => "DeleteObjectVersion",
            ("PUT", _, true) => "PutObject",
            ("PUT", _, false) => "CreateBucket",
            ("DELETE", _, false) => "DeleteBucket",
            ("GET" | "HEAD", _, true) => "GetObject",
            ("HEAD", _, false) => "ListBucket",
            _ => "?",
        }
    }

    fn form(&self) -> Vec<(String, String)> {
        let text = String::from_utf8_lossy(&self.body);
        let url = reqwest::Url::parse(&format!("http://form/?{text}"));
        let pairs = url.map(|url| url.query_pairs().into_owned().collect());
        pairs.unwrap_or_default()
    }

    /// The embedded AWS rolls a whole stack back for an alarm on metric math.
    fn spare_the_emulator(&mut self, action: &str) {
        if action == "cloudformation:CreateChangeSet" {
            let mut form = self.form();
            for (name, value) in &mut form {
                if name == "TemplateBody" {
                    *value = spared(value);
                }
            }
            let mut url = reqwest::Url::parse("http://form/").unwrap();
            url.query_pairs_mut().extend_pairs(form);
            self.body = Bytes::from(url.query().unwrap().to_owned());
        }
        if action == "s3:PutObject" && self.path.contains("/templates/") {
            self.body = Bytes::from(spared(&String::from_utf8_lossy(&self.body)));
            let checked = |name: &str| name.contains("checksum") || name == "content-md5";
            let names: Vec<_> = self.headers.keys().cloned().collect();
            for name in names.iter().filter(|name| checked(name.as_str())) {
                self.headers.remove(name);
            }
        }
    }
}

/// The template without alarms on metric math.
fn spared(template: &str) -> String {
    let template: Value = serde_json::from_str(template).unwrap();
    let resources = template.get("Resources").and_then(Value::as_object);
    let refused = resources.into_iter().flatten().filter(|(_, resource)| {
        resource.get("Type").and_then(Value::as_str) == Some("AWS::CloudWatch::Alarm")
            && resource.pointer("/Properties/Metrics").is_some()
    });
    let refused: Vec<String> = refused.map(|(id, _)| id.clone()).collect();
    without_refused(template, &refused).to_string()
}

impl Front {
    /// Refuses what AWS refuses and the embedded AWS accepts.
    fn refusal(&self, action: &str, call: &Call) -> Option<Response<Body>> {
        let owned = !call.header("x-amz-expected-bucket-owner").is_empty();
        if action.starts_with("s3:") && action != "s3:CreateBucket" && !owned {
            // AWS does not require this; this project requires it of every call.
            let body = "<Error><Code>AccessDenied</Code><Message>no owner</Message></Error>";
            return Some(answer(StatusCode::FORBIDDEN, body));
        }
        if action == "cloudformation:CreateChangeSet" {
            let mut form = call.form().into_iter();
            let allowed = form.any(|(_, value)| value == "CAPABILITY_NAMED_IAM");
            let body = "<ErrorResponse><Error><Code>InsufficientCapabilitiesException</Code>\
                <Message>Requires capabilities : [CAPABILITY_NAMED_IAM]</Message></Error></ErrorResponse>";
            return (!allowed).then(|| answer(StatusCode::BAD_REQUEST, body));
        }
        if matches!(action, "dynamodb:DeleteTable" | "dynamodb:UpdateTable") {
            let busy = self.busy.lock().unwrap();
            let busy = busy.get(&table(call)).is_some_and(|left| *left > 0);
            let body = r#"{"__type": "com.amazonaws.dynamodb.v20120810#ResourceInUseException",
                "message": "Attempt to change a resource which is still in use"}"#;
            return busy.then(|| answer(StatusCode::BAD_REQUEST, body));
        }
        None
    }

    async fn forward(&self, call: &Call) -> (StatusCode, HeaderMap, Bytes) {
        let mut headers = call.headers.clone();
        for own in [HOST, CONTENT_LENGTH, TRANSFER_ENCODING] {
            headers.remove(own);
        }
        let url = format!("{}{}", self.aws, call.path);
        let request = self.client.request(call.method.clone(), url);
        let sent = request.headers(headers).body(call.body.clone()).send();
        let answer = sent.await.unwrap();
        let status = answer.status();
        let mut headers = answer.headers().clone();
        headers.remove(TRANSFER_ENCODING);
        let is_head = call.method == Method::HEAD;
        if !is_head {
            headers.remove(CONTENT_LENGTH);
        }
        (status, headers, answer.bytes().await.unwrap())
    }

    /// A changed table remains in transition for a while.
    fn settle(
        &self,
        action: &str,
        call: &Call,
        (status, headers, mut body): (StatusCode, HeaderMap, Bytes),
    ) -> Response<Body> {
        let mut busy = self.busy.lock().unwrap();
        if action == "dynamodb:UpdateTable" && status.is_success() {
            busy.insert(table(call), BUSY);
        }
        if action == "dynamodb:DescribeTable"
            && let Some(left) = busy.get_mut(&table(call))
            && *left > 0
        {
            *left -= 1;
            let mut described: Value = serde_json::from_slice(&body).unwrap();
            if let Some(status) = described.pointer_mut("/Table/TableStatus") {
                *status = "UPDATING".into();
            }
            body = Bytes::from(described.to_string());
        }
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response
    }
}

fn table(call: &Call) -> String {
    let input: Value = serde_json::from_slice(&call.body).unwrap_or_default();
    let table = input.get("TableName").and_then(Value::as_str);
    table.unwrap_or_default().to_owned()
}

fn answer(status: StatusCode, body: &'static str) -> Response<Body> {
    Response::builder()
        .status(status)
        .body(Body::from(body))
        .unwrap()
}
