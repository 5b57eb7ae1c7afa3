//! The few calls that the host makes to the local AWS.
//!
//! Plain JSON over HTTP instead of the SDK: the emulator checks no signature, and every service
//! used here speaks JSON. This is for loopback addresses only; never point anything here at AWS.

use std::{fmt::Write as _, time::Duration};

use serde_json::Value;

use crate::ids;

/// A failed call to the local AWS.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmulatorError {
    /// Nothing answered.
    #[error("no answer from the local AWS to `{call}`")]
    Unreachable {
        /// The call.
        call: String,
        /// The connection's error.
        source: reqwest::Error,
    },
    /// The service refused the call.
    #[error("the local AWS refused `{call}` with status `{status}`: `{code}`: {message}")]
    Refused {
        /// The call.
        call: String,
        /// HTTP status.
        status: u16,
        /// AWS error code.
        code: String,
        /// The service's text.
        message: String,
    },
    /// The response is not what the service documents.
    #[error("the local AWS answered `{call}` without `{missing}`")]
    Unreadable {
        /// The call.
        call: String,
        /// The missing member.
        missing: &'static str,
    },
}

impl EmulatorError {
    /// The AWS error code, if the service refused.
    pub(crate) fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { code, .. } => Some(code),
            Self::Unreachable { .. } | Self::Unreadable { .. } => None,
        }
    }
}

/// A service that speaks the AWS JSON protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    Kinesis,
    DynamoDbStreams,
    Logs,
    CloudWatch,
    SecretsManager,
    Sqs,
}

impl Service {
    /// Signing name, prefix of `X-Amz-Target`, and protocol version.
    const fn protocol(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Kinesis => ("kinesis", "Kinesis_20131202", "1.1"),
            Self::DynamoDbStreams => ("dynamodb", "DynamoDBStreams_20120810", "1.0"),
            Self::Logs => ("logs", "Logs_20140328", "1.1"),
            Self::CloudWatch => ("monitoring", "GraniteServiceVersion20100801", "1.0"),
            Self::SecretsManager => ("secretsmanager", "secretsmanager", "1.1"),
            Self::Sqs => ("sqs", "AmazonSQS", "1.0"),
        }
    }
}

/// The access key id of the host's own calls.
const OWN_KEY: &str = "test";

/// A client of the local AWS.
#[derive(Debug, Clone)]
pub(crate) struct Emulator {
    http: reqwest::Client,
    endpoint: String,
    region: String,
    access_key_id: String,
}

impl Emulator {
    pub(crate) fn new(endpoint: &str, region: &str) -> Self {
        let http = reqwest::Client::builder()
            .no_proxy()
            .tcp_nodelay(true)
            .connect_timeout(Duration::from_secs(5))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap_or_default();
        Self {
            http,
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            region: region.to_owned(),
            access_key_id: OWN_KEY.to_owned(),
        }
    }

    /// The client for calls that Lambda makes under a function's role.
    pub(crate) fn under_role_of(&self, function: &str) -> Self {
        Self {
            access_key_id: ids::access_key_id(function),
            ..self.clone()
        }
    }

    /// The emulator takes service and region from the credential scope and checks nothing else.
    fn authorization(&self, service: &str) -> String {
        format!(
            "AWS4-HMAC-SHA256 Credential={}/20260101/{}/{service}/aws4_request, SignedHeaders=host, Signature=0",
            self.access_key_id, self.region
        )
    }

    /// Calls an action of a JSON-protocol service.
    pub(crate) async fn call(
        &self,
        service: Service,
        action: &str,
        input: &Value,
    ) -> Result<Value, EmulatorError> {
        let (name, target, version) = service.protocol();
        let call = format!("{name}:{action}");
        let request = self
            .http
            .post(&self.endpoint)
            .timeout(Duration::from_secs(30))
            .header("authorization", self.authorization(name))
            .header("x-amz-target", format!("{target}.{action}"))
            .header("content-type", format!("application/x-amz-json-{version}"))
            .body(input.to_string());
        let body = send(request, &call).await?;
        json(&body, &call)
    }

    /// Reads from a service that speaks REST with JSON.
    pub(crate) async fn get(&self, service: &str, path: &str) -> Result<Value, EmulatorError> {
        let call = format!("{service}:GET {path}");
        let body = self.get_bytes(service, path, &call).await?;
        json(&body, &call)
    }

    /// Reads bytes: a function's code.
    pub(crate) async fn download(&self, path: &str) -> Result<Vec<u8>, EmulatorError> {
        self.get_bytes("lambda", path, &format!("lambda:GET {path}"))
            .await
    }

    async fn get_bytes(
        &self,
        service: &str,
        path: &str,
        call: &str,
    ) -> Result<Vec<u8>, EmulatorError> {
        let request = self
            .http
            .get(format!("{}{path}", self.endpoint))
            .timeout(Duration::from_mins(1))
            .header("authorization", self.authorization(service));
        send(request, call).await
    }

    /// Writes to a service that speaks REST with JSON.
    pub(crate) async fn put(
        &self,
        service: &str,
        path: &str,
        input: &Value,
    ) -> Result<Value, EmulatorError> {
        let call = format!("{service}:PUT {path}");
        let request = self
            .http
            .put(format!("{}{path}", self.endpoint))
            .timeout(Duration::from_secs(30))
            .header("authorization", self.authorization(service))
            .header("content-type", "application/json")
            .body(input.to_string());
        let body = send(request, &call).await?;
        json(&body, &call)
    }

    /// Calls an action of a service that speaks the query protocol; the response is XML.
    pub(crate) async fn query(
        &self,
        service: &str,
        version: &str,
        action: &str,
        parameters: &[(&str, &str)],
    ) -> Result<String, EmulatorError> {
        let call = format!("{service}:{action}");
        let mut form = format!("Action={action}&Version={version}");
        for (name, value) in parameters {
            form.push('&');
            form.push_str(name);
            form.push('=');
            push_encoded(&mut form, value);
        }
        let request = self
            .http
            .post(&self.endpoint)
            .timeout(Duration::from_secs(30))
            .header("authorization", self.authorization(service))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form);
        let body = send(request, &call).await?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }
}

/// Appends `value` percent-encoded for a form body.
fn push_encoded(form: &mut String, value: &str) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            form.push(char::from(byte));
        } else {
            let _ = write!(form, "%{byte:02X}");
        }
    }
}

async fn send(request: reqwest::RequestBuilder, call: &str) -> Result<Vec<u8>, EmulatorError> {
    let unreachable = |source| EmulatorError::Unreachable {
        call: call.to_owned(),
        source,
    };
    let response = request.send().await.map_err(unreachable)?;
    let status = response.status();
    let body = response.bytes().await.map_err(unreachable)?;
    if status.is_success() {
        Ok(body.to_vec())
    } else {
        Err(refused(call, status.as_u16(), &body))
    }
}

fn refused(call: &str, status: u16, body: &[u8]) -> EmulatorError {
    let error: Value = serde_json::from_slice(body).unwrap_or_default();
    let member = |names: [&str; 3]| {
        names
            .iter()
            .find_map(|name| error.get(name).and_then(Value::as_str))
            .map(str::to_owned)
    };
    let code = member(["__type", "Code", "code"]).unwrap_or_default();
    EmulatorError::Refused {
        call: call.to_owned(),
        status,
        code: code.rsplit('#').next().unwrap_or_default().to_owned(),
        message: member(["message", "Message", "errorMessage"])
            .unwrap_or_else(|| String::from_utf8_lossy(body).into_owned()),
    }
}

/// An empty response counts as an empty object: some actions return nothing.
fn json(body: &[u8], call: &str) -> Result<Value, EmulatorError> {
    if body.is_empty() {
        return Ok(Value::Object(serde_json::Map::new()));
    }
    serde_json::from_slice(body).map_err(|_| EmulatorError::Unreadable {
        call: call.to_owned(),
        missing: "a JSON document",
    })
}
