//! The `$context` variables of a request.
//!
//! Source: "Variables for access logging for API Gateway" and "Variables for data models,
//! authorizers, mapping templates, and CloudWatch access logging", API Gateway developer guide; for
//! HTTP APIs "Customize HTTP API access logs".

use std::time::Duration;

use axum::http::header::{HOST, USER_AGENT};
use serde_json::Value;

use super::{
    Api, Stage,
    gateway_response::Kind,
    request::{Call, Integrated, Request, Seen},
};
use crate::function::Outcome;

/// A request, together with everything known about it so far.
#[derive(Debug)]
pub(crate) struct CallContext<'a> {
    stage: &'a Stage,
    request: &'a Request,
    seen: &'a Seen,
    /// The authorizer's output, if it responded.
    authorizer: Value,
    error: Option<Failure>,
    response: Option<Answered>,
}

/// An error response by the gateway itself.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) response_type: String,
    pub(crate) message: Option<String>,
}

impl From<Kind> for Failure {
    fn from(kind: Kind) -> Self {
        Self {
            response_type: kind.name().to_owned(),
            message: kind.message().map(str::to_owned),
        }
    }
}

/// The response sent to the caller.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) length: usize,
    pub(crate) took: Duration,
}

impl<'a> CallContext<'a> {
    pub(crate) fn new(stage: &'a Stage, request: &'a Request, seen: &'a Seen) -> Self {
        let authorizer = seen
            .authorizer
            .as_ref()
            .and_then(|call| document(&call.outcome))
            .unwrap_or_default();
        Self {
            stage,
            request,
            seen,
            authorizer,
            error: None,
            response: None,
        }
    }

    pub(crate) fn with_error(mut self, error: Option<Failure>) -> Self {
        self.error = error;
        self
    }

    pub(crate) fn with_response(mut self, response: Answered) -> Self {
        self.response = Some(response);
        self
    }

    pub(crate) fn request_header(&self, name: &str) -> Option<String> {
        let value = self.request.headers.get(name)?;
        Some(value.to_str().ok()?.to_owned())
    }

    /// The context that the authorizer returned, if it responded.
    pub(crate) fn authorizer_context(&self) -> Option<Value> {
        self.authorizer.get("context").cloned()
    }

    /// The value of `$context.{name}`; `None` if it has none.
    pub(crate) fn value(&self, name: &str) -> Option<String> {
        if let Some(member) = name.strip_prefix("authorizer.") {
            return self.authorizer_value(member);
        }
        if let Some(member) = name.strip_prefix("error.") {
            return self.error_value(member);
        }
        if let Some(member) = name.strip_prefix("integration.") {
            return self.integration_value(member);
        }
        let request = self.request;
        let is_http = matches!(self.stage.api, Api::Http(_));
        Some(match name {
            "accountId" => self.seen.account_id.clone()?,
            "apiId" => self.stage.api_id.clone(),
            // Of an HTTP API both are the same.
            "requestId" if is_http => request.extended_id.clone(),
            "awsEndpointRequestId" | "requestId" => request.id.clone(),
            "domainName" => request.headers.get(HOST)?.to_str().ok()?.to_owned(),
            "extendedRequestId" => request.extended_id.clone(),
            "httpMethod" => request.method.to_string(),
            "identity.sourceIp" => request.source_ip.to_string(),
            "identity.userAgent" => request.headers.get(USER_AGENT)?.to_str().ok()?.to_owned(),
            "integrationLatency" => self.integration_value("latency")?,
            "integrationStatus" => self.integration_value("integrationStatus")?,
            "integrationErrorMessage" => self.integration_value("error")?,
            "path" => request.path.clone(),
            "protocol" => "HTTP/1.1".to_owned(),
            "requestTime" => request.common_log_time(),
            "requestTimeEpoch" => request.at.as_millisecond().to_string(),
            "resourceId" => self.seen.resource_id.clone()?,
            "resourcePath" => self.seen.resource_path.clone()?,
            "routeKey" => self.seen.route_key.clone()?,
            "responseLatency" => self.response?.took.as_millis().to_string(),
            "responseLength" => self.response?.length.to_string(),
            "stage" => self.stage.name.clone(),
            "status" => self.response?.status.to_string(),
            "xrayTraceId" => request.trace_root.clone(),
            _ => return None,
        })
    }

    fn authorizer_value(&self, member: &str) -> Option<String> {
        let call = self.seen.authorizer.as_ref()?;
        let member_of_context = || scalar(self.authorizer.get("context")?.get(member)?);
        if matches!(self.stage.api, Api::Http(_)) {
            // All that AWS documents for the access log of an HTTP API.
            return match member {
                "error" => error_message(call),
                "principalId" => scalar(self.authorizer.get("principalId")?),
                _ => member_of_context(),
            };
        }
        match member {
            "principalId" => scalar(self.authorizer.get("principalId")?),
            "latency" | "integrationLatency" => Some(call.took.as_millis().to_string()),
            "requestId" => Some(call.request_id.clone()),
            "integrationStatus" => Some(invoke_status(&call.outcome).to_owned()),
            "status" => Some(self.authorizer_status().to_owned()),
            "error" => error_message(call),
            _ => member_of_context(),
        }
    }

    fn authorizer_status(&self) -> &'static str {
        match self
            .error
            .as_ref()
            .map(|error| error.response_type.as_str())
        {
            Some("UNAUTHORIZED") => "401",
            Some("ACCESS_DENIED") => "403",
            Some("AUTHORIZER_FAILURE" | "AUTHORIZER_CONFIGURATION_ERROR") => "500",
            _ => "200",
        }
    }

    fn error_value(&self, member: &str) -> Option<String> {
        let error = self.error.as_ref()?;
        match member {
            "message" => error.message.clone(),
            "messageString" => Some(Value::from(error.message.clone()).to_string()),
            "responseType" => Some(error.response_type.clone()),
            _ => None,
        }
    }

    fn integration_value(&self, member: &str) -> Option<String> {
        match self.seen.integration.as_ref()? {
            Integrated::Function(call) => match member {
                "latency" => Some(call.took.as_millis().to_string()),
                "requestId" => Some(call.request_id.clone()),
                // Lambda's own status; the function's is `integration.status`.
                "integrationStatus" => Some(invoke_status(&call.outcome).to_owned()),
                "status" => scalar(document(&call.outcome)?.get("statusCode")?),
                "error" => error_message(call),
                _ => None,
            },
            Integrated::Proxy {
                took,
                status,
                error,
            } => match member {
                "latency" => Some(took.as_millis().to_string()),
                "integrationStatus" | "status" => status.map(|status| status.to_string()),
                "error" => error.clone(),
                _ => None,
            },
        }
    }
}

/// The status of Lambda's Invoke API: 200 even if the function failed.
const fn invoke_status(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Success(_) | Outcome::FunctionError(_) => "200",
        Outcome::Throttled => "429",
        Outcome::Unavailable(_) => "500",
    }
}

pub(crate) fn document(outcome: &Outcome) -> Option<Value> {
    match outcome {
        Outcome::Success(body) => serde_json::from_slice(body).ok(),
        Outcome::FunctionError(_) | Outcome::Throttled | Outcome::Unavailable(_) => None,
    }
}

/// The error message of the function.
pub(crate) fn error_message(call: &Call) -> Option<String> {
    match &call.outcome {
        Outcome::Success(_) => None,
        Outcome::FunctionError(body) => {
            let error: Value = serde_json::from_slice(body).ok()?;
            scalar(error.get("errorMessage")?)
        }
        Outcome::Throttled => Some("Rate Exceeded.".to_owned()),
        Outcome::Unavailable(what) => Some(what.clone()),
    }
}

/// API Gateway turns context values into strings, and does not support nested ones.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
