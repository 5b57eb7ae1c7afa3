//! A strict AWS before the embedded one of a local system: it refuses each call of a function that
//! the function's role does not allow.
//!
//! The role is the deployed one: its policies come from the embedded AWS, in which CloudFormation
//! has resolved every reference of the template. The proxy has a thread of its own, so that a test
//! may wait for a command.
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::call::{ACCOUNT, Answer, Call, OWN_KEY, elements};
use crate::place::Place;
use crate::policy::{Context, Policies, Right};

/// For how long a role is taken to be the deployed one.
const FRESH: Duration = Duration::from_secs(5);
/// For how long a permission outlives its removal. IAM is eventually consistent (IAM User Guide,
/// "Changes that I make are not always immediately visible"), and an instance of the code before
/// may still be at work.
const LINGERS: Duration = Duration::from_secs(10);

/// A call that a function's role does not allow.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Refused {
    function: String,
    right: Right,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Right {
            action, resource, ..
        } = &self.right;
        let function = &self.function;
        write!(
            f,
            "the role of `{function}` does not allow `{action}` on `{resource}`"
        )
    }
}

/// The proxy, which ends when dropped.
pub struct Strict {
    address: String,
    checks: Arc<Checks>,
    serving: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

/// A function's role.
#[derive(Clone)]
struct Role {
    /// The time at which it was read.
    at: Instant,
    policies: Arc<Policies>,
    /// The policies before the last change, and when the change was seen.
    before: Option<(Instant, Arc<Policies>)>,
}

impl Role {
    fn new(policies: Arc<Policies>, known: Option<Self>) -> Self {
        let at = Instant::now();
        let before = known.and_then(|known| {
            let is_same = known.policies == policies;
            if is_same {
                known.before
            } else {
                Some((at, known.policies))
            }
        });
        Self {
            at,
            policies,
            before,
        }
    }

    fn allows(&self, right: &Right) -> bool {
        let context = context(right);
        let lingering = self.before.iter().filter(|(at, _)| at.elapsed() < LINGERS);
        let mut policies = lingering
            .map(|(_, policies)| policies)
            .chain([&self.policies]);
        policies.any(|policies| policies.allow(right, &context))
    }
}

struct Checks {
    /// Where the commands record the embedded AWS.
    state: PathBuf,
    client: reqwest::Client,
    roles: Mutex<BTreeMap<String, Role>>,
    /// The stream of each shard iterator.
    iterators: Mutex<BTreeMap<String, String>>,
    allowed: Mutex<BTreeSet<(String, String)>>,
    refused: Mutex<BTreeSet<Refused>>,
    /// Names of resources on which calls may be refused.
    expected: Mutex<BTreeSet<String>>,
}

impl Strict {
    /// A proxy before the embedded AWS of the local environment in `folder`, which may start later.
    pub fn start(folder: &Path) -> Self {
        let checks = Arc::new(Checks {
            state: folder.join("state.json"),
            client: reqwest::Client::builder()
                .no_proxy()
                .timeout(Duration::from_mins(1))
                .build()
                .unwrap(),
            roles: Mutex::default(),
            iterators: Mutex::default(),
            allowed: Mutex::default(),
            refused: Mutex::default(),
            expected: Mutex::default(),
        });
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        listener.set_nonblocking(true).unwrap();
        let (end, ended) = oneshot::channel::<()>();
        let router = Router::new()
            .fallback(serve)
            .with_state(Arc::clone(&checks));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(async move {
                let listener = TcpListener::from_std(listener).unwrap();
                tokio::select! {
                    served = axum::serve(listener, router) => served.unwrap(),
                    _ = ended => {}
                }
            });
        });
        Self {
            address,
            checks,
            serving: Some((end, thread)),
        }
    }

    /// A proxy before the embedded AWS of a place.
    pub fn before(place: &mut Place) -> Self {
        let strict = Self::start(&place.dir().join("local"));
        place.set("XTASK_HOST_AWS_ENDPOINT", strict.address());
        strict
    }

    /// The address of the proxy.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The actions that a function has asked for and its role allows.
    pub fn allowed(&self, function: &str) -> BTreeSet<String> {
        let allowed = self.checks.allowed.lock().unwrap();
        let of_function = allowed.iter().filter(|(name, _)| name == function);
        of_function.map(|(_, action)| action.clone()).collect()
    }

    /// Every refused call, in a sentence.
    pub fn sentences(&self) -> BTreeSet<String> {
        let refused = self.checks.refused.lock().unwrap();
        refused.iter().map(ToString::to_string).collect()
    }

    /// The refused calls, without the expected ones.
    pub fn refused(&self) -> BTreeSet<Refused> {
        let expected = self.checks.expected.lock().unwrap();
        let mut refused = self.checks.refused.lock().unwrap().clone();
        refused.retain(|one| !expected.contains(one.right.name()));
        refused
    }

    /// Expects calls on a resource to be refused: a test points a function at what is not its own.
    pub fn expect_refusals_on(&self, resource: &str) {
        let mut expected = self.checks.expected.lock().unwrap();
        expected.insert(resource.to_owned());
    }
}

impl Drop for Strict {
    fn drop(&mut self) {
        if let Some((end, thread)) = self.serving.take() {
            drop(end);
            let _ended = thread.join();
        }
        let refused = self.refused();
        let refused: Vec<String> = refused.iter().map(ToString::to_string).collect();
        if std::thread::panicking() {
            // Perhaps the reason.
            eprintln!("refused: {refused:#?}");
        } else {
            assert!(refused.is_empty(), "{refused:#?}");
        }
    }
}

async fn serve(State(checks): State<Arc<Checks>>, request: Request) -> Response<Body> {
    let call = Call::read(request).await;
    checks.answer(&call).await.into()
}

impl Checks {
    async fn answer(&self, call: &Call) -> Answer {
        let Some(aws) = self.aws() else {
            return unreachable();
        };
        let function = call.access_key_id();
        if function != OWN_KEY {
            for right in call.rights(|iterator| self.stream_of(iterator)) {
                let right = self.by_arn(&aws, right).await;
                if let Some(refused) = self.check(&aws, function, right).await {
                    return refused;
                }
            }
        }
        let Some(answer) = call.forward(&self.client, &aws).await else {
            return unreachable();
        };
        self.remember_iterator(call, &answer);
        answer
    }

    /// The same right on the ARN of a secret that the call names otherwise. The name does not tell
    /// the ARN, which ends in six random characters.
    async fn by_arn(&self, aws: &str, right: Right) -> Right {
        let of_secret = right.action.starts_with("secretsmanager:");
        if !of_secret || right.resource.starts_with("arn:") {
            return right;
        }
        let id = json!({"SecretId": right.resource}).to_string();
        let describe = Call::own("secretsmanager", "application/x-amz-json-1.1", &id)
            .about("secretsmanager.DescribeSecret");
        let described = describe.forward(&self.client, aws).await;
        let described = described.map(|answer| answer.json());
        match described
            .as_ref()
            .and_then(|secret| secret.get("ARN")?.as_str())
        {
            Some(arn) => Right {
                resource: arn.to_owned(),
                ..right
            },
            None => right,
        }
    }

    /// The address of the embedded AWS at present.
    fn aws(&self) -> Option<String> {
        let state = std::fs::read(&self.state).ok()?;
        let state: Value = serde_json::from_slice(&state).ok()?;
        let port = state.pointer("/emulator/port")?.as_u64()?;
        Some(format!("http://127.0.0.1:{port}"))
    }

    /// Refuses what the role does not allow. A deploy may just have changed the role: it is read
    /// again before a refusal.
    async fn check(&self, aws: &str, function: &str, right: Right) -> Option<Answer> {
        for at_least in [FRESH, Duration::ZERO] {
            let role = self.role(aws, function, at_least).await?;
            if role.allows(&right) {
                let allowed = (function.to_owned(), right.action);
                self.allowed.lock().unwrap().insert(allowed);
                return None;
            }
        }
        let refused = Refused {
            function: function.to_owned(),
            right,
        };
        let answer = denied(&refused);
        self.refused.lock().unwrap().insert(refused);
        Some(answer)
    }

    /// A function's role, read at most `age` ago. A function that was deleted keeps
    /// its role while it ends; of one that never was here nothing is known.
    async fn role(&self, aws: &str, function: &str, age: Duration) -> Option<Role> {
        let known = self.roles.lock().unwrap().get(function).cloned();
        if let Some(role) = &known
            && role.at.elapsed() < age
        {
            return Some(role.clone());
        }
        let Some(policies) = self.deployed(aws, function).await else {
            return known;
        };
        let mut roles = self.roles.lock().unwrap();
        let role = Role::new(Arc::new(policies), roles.remove(function));
        roles.insert(function.to_owned(), role.clone());
        Some(role)
    }

    /// The policies of a function's role, as deployed.
    async fn deployed(&self, aws: &str, function: &str) -> Option<Policies> {
        let path = format!("/2015-03-31/functions/{function}/configuration");
        let call = Call {
            method: Method::GET,
            path,
            ..Call::own("lambda", "application/json", "")
        };
        let configuration = call.forward(&self.client, aws).await?.json();
        let (_, role) = configuration.get("Role")?.as_str()?.rsplit_once('/')?;
        let listed = self
            .iam(aws, &format!("ListRolePolicies&RoleName={role}"))
            .await?;
        let mut documents = Vec::new();
        for name in elements(&listed, "member") {
            let policy = format!("GetRolePolicy&RoleName={role}&PolicyName={name}");
            let policy = self.iam(aws, &policy).await?;
            let document = elements(&policy, "PolicyDocument").next()?;
            let url = reqwest::Url::parse(&format!("http://form/?document={document}")).unwrap();
            let (_, document) = url.query_pairs().next()?;
            documents.push(serde_json::from_str(&document).unwrap());
        }
        Some(Policies::new(documents))
    }

    async fn iam(&self, aws: &str, action: &str) -> Option<String> {
        let form = format!("Version=2010-05-08&Action={action}");
        let call = Call::own("iam", "application/x-www-form-urlencoded", &form);
        let answer = call.forward(&self.client, aws).await?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        answer.status.is_success().then_some(text)
    }

    fn stream_of(&self, iterator: &str) -> Option<String> {
        self.iterators.lock().unwrap().get(iterator).cloned()
    }

    /// A shard iterator is all that `GetRecords` says about its stream.
    fn remember_iterator(&self, call: &Call, answer: &Answer) {
        if !matches!(call.service(), "kinesis" | "dynamodb") {
            return;
        }
        let stream = match call.member("ShardIterator") {
            used if !used.is_empty() => self.stream_of(&used),
            _ => ["StreamARN", "StreamArn"]
                .map(|member| call.member(member))
                .into_iter()
                .find(|arn| !arn.is_empty()),
        };
        let Some(stream) = stream else { return };
        let answer = answer.json();
        let next = answer
            .get("NextShardIterator")
            .or(answer.get("ShardIterator"));
        if let Some(next) = next.and_then(Value::as_str) {
            let mut iterators = self.iterators.lock().unwrap();
            iterators.insert(next.to_owned(), stream);
        }
    }
}

/// What the call says of its item and of the resource's owner, by condition key. The embedded AWS has
/// one account.
fn context(right: &Right) -> Context {
    let key = Some(&right.partition).filter(|key| !key.is_empty());
    key.map(|key| ("dynamodb:LeadingKeys", key.clone()))
        .into_iter()
        .chain([("aws:ResourceAccount", ACCOUNT.to_owned())])
        .collect()
}

/// AWS's answer to a call without a right.
fn denied(refused: &Refused) -> Answer {
    let Right {
        action, resource, ..
    } = &refused.right;
    let message = format!(
        "User: {} is not authorized to perform: {action} on resource: {resource} because no identity-based policy allows the {action} action",
        refused.function
    );
    if action.starts_with("sns:") {
        let body = format!(
            "<ErrorResponse><Error><Type>Sender</Type><Code>AuthorizationError</Code><Message>{message}</Message></Error></ErrorResponse>"
        );
        return plain(StatusCode::FORBIDDEN, "text/xml", body);
    }
    let body = json!({"__type": "AccessDeniedException", "message": message, "Message": message});
    plain(
        StatusCode::BAD_REQUEST,
        "application/x-amz-json-1.1",
        body.to_string(),
    )
}

fn unreachable() -> Answer {
    plain(
        StatusCode::BAD_GATEWAY,
        "text/plain",
        "nothing answers".to_owned(),
    )
}

fn plain(status: StatusCode, content_type: &'static str, body: String) -> Answer {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static(content_type));
    Answer {
        status,
        headers,
        body: Bytes::from(body),
    }
}
