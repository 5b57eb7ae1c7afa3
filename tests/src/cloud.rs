//! An AWS that is not that of `local`: the commands reach it as they would reach AWS, with
//! credentials and an endpoint. It consists of an embedded AWS behind a proxy that refuses what AWS
//! refuses and the embedded one accepts.
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a test fails by panicking"
)]

mod played;
mod request;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{Response, StatusCode};
use deployer::without_refused;
use domain::names::Function;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use self::played::Played;
use self::request::{ChangeSet, Refusal};
use crate::call::{Answer, Call, elements};
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
            played: Mutex::default(),
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

    /// Describes a stack in this status until [`play_nothing`](Self::play_nothing).
    pub fn play_status(&self, stack: &str, status: &str) {
        self.played().set_status(stack, status);
    }

    /// Describes a stack with termination protection.
    pub fn play_protected(&self, stack: &str) {
        self.played().protect(stack);
    }

    /// Refuses an action.
    pub fn play_refusal(&self, action: &str, code: &str, message: &str) {
        self.played().refuse(action, code, message);
    }

    /// Answers as the embedded AWS does again.
    pub fn play_nothing(&self) {
        *self.played() = Played::default();
    }

    fn played(&self) -> std::sync::MutexGuard<'_, Played> {
        self.front.played.lock().unwrap()
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
    played: Mutex<Played>,
}

async fn serve(State(front): State<Arc<Front>>, request: Request) -> Response<Body> {
    let mut call = Call::read(request).await;
    let action = call.action();
    front.asked.lock().unwrap().insert(action.clone());
    let played = front.played.lock().unwrap().refusal(&action);
    if let Some(body) = played {
        return answer(StatusCode::BAD_REQUEST, body);
    }
    if let Some(refusal) = front.refusal(&action, &call) {
        return refusal;
    }
    if action == "cloudformation:CreateChangeSet"
        && let Some((code, message)) = front.refused_change(&call).await
    {
        let body = format!(
            "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code>\
             <Message>{message}</Message></Error></ErrorResponse>"
        );
        return answer(StatusCode::BAD_REQUEST, body);
    }
    spare_the_emulator(&mut call, &action);
    let answer = call.forward(&front.client, &front.aws).await.unwrap();
    front.settle(&action, &call, answer).into()
}

/// The embedded AWS rolls a whole stack back for an alarm on metric math.
fn spare_the_emulator(call: &mut Call, action: &str) {
    if action == "cloudformation:CreateChangeSet" {
        let mut form = call.form();
        for (name, value) in &mut form {
            if name == "TemplateBody" {
                *value = spared(value);
            }
        }
        let mut url = reqwest::Url::parse("http://form/").unwrap();
        url.query_pairs_mut().extend_pairs(form);
        call.body = Bytes::from(url.query().unwrap().to_owned());
    }
    if action == "s3:PutObject" && call.path.contains("/templates/") {
        call.body = Bytes::from(spared(&String::from_utf8_lossy(&call.body)));
        let checked = |name: &str| name.contains("checksum") || name == "content-md5";
        let names: Vec<_> = call.headers.keys().cloned().collect();
        for name in names.iter().filter(|name| checked(name.as_str())) {
            call.headers.remove(name);
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
        if matches!(action, "dynamodb:DeleteTable" | "dynamodb:UpdateTable") {
            let busy = self.busy.lock().unwrap();
            let busy = busy
                .get(&call.member("TableName"))
                .is_some_and(|left| *left > 0);
            let body = r#"{"__type": "com.amazonaws.dynamodb.v20120810#ResourceInUseException",
                "message": "Attempt to change a resource which is still in use"}"#;
            return busy.then(|| answer(StatusCode::BAD_REQUEST, body));
        }
        None
    }

    /// Refuses a change set for what it asks, or because of what exists.
    async fn refused_change(&self, call: &Call) -> Option<Refusal> {
        let mut change = ChangeSet::of(&call.form());
        if let Some(url) = call.parameter("TemplateURL") {
            // The object at this address, but without the proxy.
            let path = reqwest::Url::parse(&url).unwrap().path().to_owned();
            let template = self.client.get(format!("{}{path}", self.aws));
            let template = template.send().await.unwrap();
            change.template = template.text().await.unwrap();
        }
        if let Some(refusal) = change.refusal() {
            return Some(refusal);
        }
        let stack = call.parameter("StackName").unwrap_or_default();
        let existing = self.existing(&stack).await;
        change.would_collide(|kind, name| existing.contains(&(kind.to_owned(), name.to_owned())))
    }

    /// The tables, log groups and streams that exist outside a stack, by type and name.
    async fn existing(&self, stack: &str) -> BTreeSet<(String, String)> {
        let mut existing = BTreeSet::new();
        for (service, target, list, kind) in [
            (
                "dynamodb",
                "DynamoDB_20120810.ListTables",
                "/TableNames",
                "AWS::DynamoDB::Table",
            ),
            (
                "kinesis",
                "Kinesis_20131202.ListStreams",
                "/StreamNames",
                "AWS::Kinesis::Stream",
            ),
            (
                "logs",
                "Logs_20140328.DescribeLogGroups",
                "/logGroups",
                "AWS::Logs::LogGroup",
            ),
        ] {
            let call = Call::own(service, "application/x-amz-json-1.1", "{}").about(target);
            let listed = call.forward(&self.client, &self.aws).await.unwrap().json();
            let listed = listed.pointer(list).and_then(Value::as_array).cloned();
            for item in listed.unwrap_or_default() {
                let name = item.get("logGroupName").unwrap_or(&item);
                let name = name.as_str().unwrap_or_default();
                existing.insert((kind.to_owned(), name.to_owned()));
            }
        }
        let form = format!("Version=2010-05-15&Action=ListStackResources&StackName={stack}");
        let call = Call::own("cloudformation", "application/x-www-form-urlencoded", &form);
        let listed = call.forward(&self.client, &self.aws).await.unwrap();
        let listed = String::from_utf8_lossy(&listed.body).into_owned();
        let own: BTreeSet<&str> = elements(&listed, "PhysicalResourceId").collect();
        existing.retain(|(_, name)| !own.contains(name.as_str()));
        existing
    }

    /// A changed table remains in transition for a while.
    fn settle(&self, action: &str, call: &Call, mut answer: Answer) -> Answer {
        if action == "cloudformation:DescribeStacks" {
            let described = String::from_utf8_lossy(&answer.body);
            let played = self.played.lock().unwrap().described(&described);
            answer.body = Bytes::from(played);
        }
        let mut busy = self.busy.lock().unwrap();
        if action == "dynamodb:UpdateTable" && answer.status.is_success() {
            busy.insert(call.member("TableName"), BUSY);
        }
        if action == "dynamodb:DescribeTable"
            && let Some(left) = busy.get_mut(&call.member("TableName"))
            && *left > 0
        {
            *left -= 1;
            let mut described = answer.json();
            if let Some(status) = described.pointer_mut("/Table/TableStatus") {
                *status = "UPDATING".into();
            }
            answer.body = Bytes::from(described.to_string());
        }
        answer
    }
}

fn answer(status: StatusCode, body: impl Into<Body>) -> Response<Body> {
    Response::builder()
        .status(status)
        .body(body.into())
        .unwrap()
}
