//! A deployed function, and the outcome of an invocation.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use axum::body::Bytes;
use serde_json::json;

/// A deployed function: everything an instance needs to start.
///
/// Two equal specifications are served by the same instances; any difference replaces them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionSpec {
    /// Deployed name.
    pub name: String,
    /// The ARN that invocations see.
    pub arn: String,
    /// `_HANDLER`.
    pub handler: String,
    /// Limit for one invocation, including work after the response.
    pub timeout: Duration,
    /// `AWS_LAMBDA_FUNCTION_MEMORY_SIZE`; not enforced.
    pub memory_mb: u32,
    /// The deployed variables.
    pub environment: BTreeMap<String, String>,
    /// Base64 SHA-256 of the code archive, as Lambda reports it.
    pub code_sha256: String,
    /// The unpacked code, with the executable `bootstrap`.
    pub task_root: PathBuf,
    /// Log group of the function.
    pub log_group: String,
    /// Reserved concurrency: further concurrent invocations are throttled.
    pub reserved_concurrency: Option<usize>,
}

/// The outcome of an invocation, as Lambda's Invoke API would report it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The function's response.
    Success(Bytes),
    /// The function failed, timed out or ended: the error document `{errorMessage, errorType}`.
    FunctionError(Bytes),
    /// Refused because of the function's reserved concurrency; the function did not run.
    Throttled,
    /// The function is not deployed or its process cannot be started; the function did not run.
    Unavailable(String),
}

impl Outcome {
    /// A function error in Lambda's form.
    pub fn error(error_type: &str, message: &str) -> Self {
        let body = json!({"errorMessage": message, "errorType": error_type});
        Self::FunctionError(Bytes::from(body.to_string()))
    }
}
