#![expect(
    clippy::disallowed_methods,
    reason = "the process is the one under test: its environment is what the host gave it"
)]
//! A function for the host's tests and benchmarks: it does what its event says, and reports each
//! invocation after the response.
//!
//! Event: `{"do": "echo" | "error" | "panic" | "exit" | …, "ms": 0, "id": "…"}`; in an event of
//! the API gateway the same members are query parameters, and `do` may be `allow`, `deny` or
//! `unauthorized`. With `POST_RESPONSE_FILE` set, an internal extension appends each `id` to that
//! file after the response, after `POST_RESPONSE_MS`, and `shutdown REASON` when the environment
//! ends; with `IGNORE_SIGTERM` it does not end by itself.

use std::{env, ffi::OsStr, fs::OpenOptions, io::Write as _, process, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::{Value, json};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::sleep,
};

/// Sends the id when the handler ends in any way.
struct Report {
    id: String,
    sender: mpsc::UnboundedSender<String>,
}

impl Drop for Report {
    fn drop(&mut self) {
        let _ = self.sender.send(std::mem::take(&mut self.id));
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    if env::var_os("FAIL_INIT").is_some_and(|marker| fails(&marker)) {
        process::exit(3);
    }
    match env::var("POST_RESPONSE_FILE") {
        Ok(file) => run_with_extension(file).await,
        Err(_) => lambda_runtime::run(service_fn(|event| handle(event, None))).await,
    }
}

/// Whether this initialisation fails: every one for `always`, otherwise the first, which creates
/// the file.
fn fails(marker: &OsStr) -> bool {
    marker == "always"
        || OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(marker)
            .is_ok()
}

async fn run_with_extension(file: String) -> Result<(), Error> {
    let millis = env::var("POST_RESPONSE_MS")
        .ok()
        .and_then(|millis| millis.parse().ok());
    let pause = Duration::from_millis(millis.unwrap_or(0));
    let stubborn = env::var_os("IGNORE_SIGTERM").is_some();
    let (sender, receiver) = mpsc::unbounded_channel();
    let extension = Extension::register().await?;
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        terminated.recv().await;
        if stubborn {
            return;
        }
        // The extension receives the shutdown event at the same time.
        sleep(Duration::from_millis(100)).await;
        process::exit(0);
    });
    let runtime = lambda_runtime::run(service_fn(|event| handle(event, Some(sender.clone()))));
    let reports = extension.report(receiver, &file, pause, stubborn);
    tokio::try_join!(runtime, reports)?;
    Ok(())
}

/// A client of the Extensions API
/// (<https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html>). The crate
/// `lambda-extension` would do the same; its features would have every function built twice.
struct Extension {
    client: reqwest::Client,
    api: String,
    id: String,
}

impl Extension {
    /// Registers for every event.
    async fn register() -> Result<Self, Error> {
        let host = env::var("AWS_LAMBDA_RUNTIME_API")?;
        let api = format!("http://{host}/2020-01-01/extension");
        let client = reqwest::Client::new();
        let request = client
            .post(format!("{api}/register"))
            .header("Lambda-Extension-Name", "probe")
            .body(json!({"events": ["INVOKE", "SHUTDOWN"]}).to_string());
        let response = request.send().await?.error_for_status()?;
        let id = response.headers().get("Lambda-Extension-Identifier");
        let id = id
            .ok_or("the host names no extension")?
            .to_str()?
            .to_owned();
        Ok(Self { client, api, id })
    }

    /// Appends each id to `file` once its invocation has answered, and the end of the environment.
    async fn report(
        &self,
        mut ids: mpsc::UnboundedReceiver<String>,
        file: &str,
        pause: Duration,
        stubborn: bool,
    ) -> Result<(), Error> {
        loop {
            let event = self.next().await?;
            let text = |member: &str| event.get(member).and_then(Value::as_str);
            let ends = text("eventType") == Some("SHUTDOWN");
            let line = if ends {
                let reason = text("shutdownReason").unwrap_or_default();
                Some(format!("shutdown {reason}"))
            } else {
                ids.recv().await
            };
            if let Some(line) = line {
                sleep(pause).await;
                let mut file = OpenOptions::new().create(true).append(true).open(file)?;
                file.write_all(format!("{line}\n").as_bytes())?;
            }
            if ends && stubborn {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Waits for the next event.
    async fn next(&self) -> Result<Value, Error> {
        let request = self
            .client
            .get(format!("{}/event/next", self.api))
            .header("Lambda-Extension-Identifier", &self.id);
        let body = request.send().await?.error_for_status()?.bytes().await?;
        Ok(serde_json::from_slice(&body)?)
    }
}

async fn handle(
    event: LambdaEvent<Value>,
    sender: Option<mpsc::UnboundedSender<String>>,
) -> Result<Value, Error> {
    let asked = event
        .payload
        .get("queryStringParameters")
        .filter(|asked| asked.is_object());
    let asked = asked.unwrap_or(&event.payload);
    let text = |member: &str| {
        asked
            .get(member)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let _report = sender.map(|sender| Report {
        id: text("id").to_owned(),
        sender,
    });
    let millis = asked
        .get("ms")
        .and_then(|millis| millis.as_u64().or_else(|| millis.as_str()?.parse().ok()));
    if let Some(millis) = millis {
        sleep(Duration::from_millis(millis)).await;
    }
    if event
        .payload
        .get("type")
        .is_some_and(|kind| kind == "REQUEST")
    {
        return decide(text("decide"), &event.payload);
    }
    if let Some(records) = event.payload.get("Records").and_then(Value::as_array) {
        return Ok(json!({"batchItemFailures": failures(records)}));
    }
    match text("do") {
        "error" => Err("asked to fail".into()),
        #[expect(clippy::panic, reason = "what a panic comes to is to be seen")]
        "panic" => panic!("asked to panic"),
        "exit" => process::exit(7),
        "print" => {
            let mut out = std::io::stdout().lock();
            writeln!(out, "{}", text("line"))?;
            Ok(Value::Null)
        }
        "environment" => Ok(env::vars()
            .map(|(name, value)| (name, Value::from(value)))
            .collect()),
        "respond" => Ok(event.payload.get("response").cloned().unwrap_or_default()),
        _ if event.payload.get("requestContext").is_some() => Ok(json!({
            "statusCode": 200,
            "headers": {"content-type": "application/json"},
            "body": event.payload.to_string(),
        })),
        _ => Ok(json!({"id": text("id"), "pid": process::id()})),
    }
}

/// The first record of a Kinesis batch whose data is `{"fail": true}`.
fn failures(records: &[Value]) -> Vec<Value> {
    let asked = |record: &&Value| {
        let data = record.pointer("/kinesis/data").and_then(Value::as_str);
        data.and_then(|data| STANDARD.decode(data).ok())
            .and_then(|data| serde_json::from_slice::<Value>(&data).ok())
            .is_some_and(|data| data.get("fail") == Some(&Value::Bool(true)))
    };
    let failed = records.iter().find(asked);
    let sequence = failed.and_then(|record| record.pointer("/kinesis/sequenceNumber"));
    sequence
        .map(|sequence| json!({"itemIdentifier": sequence}))
        .into_iter()
        .collect()
}

/// An authorizer's response: a policy, or for an HTTP API's payload 2.0 yes or no.
fn decide(decision: &str, event: &Value) -> Result<Value, Error> {
    let effect = match decision {
        "unauthorized" => return Err("Unauthorized".into()),
        "fail" => return Err("asked to fail".into()),
        "deny" => "Deny",
        _ => "Allow",
    };
    let context =
        json!({"eventId": "e-1", "email": "a@b.c", "retryAfter": 7, "code": "rateLimited"});
    if event.get("version").is_some_and(|version| version == "2.0") {
        return Ok(json!({"isAuthorized": effect == "Allow", "context": context}));
    }
    Ok(json!({
        "principalId": "user",
        "policyDocument": {
            "Version": "2012-10-17",
            "Statement": [{"Action": "execute-api:Invoke", "Effect": effect, "Resource": event.get("methodArn")}],
        },
        "context": context,
    }))
}
