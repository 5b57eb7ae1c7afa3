//! What can go wrong between this machine and AWS.

use aws_sdk_cloudformation::error::{ProvideErrorMetadata, SdkError};

/// A deployment step that did not succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The service answered, and said no.
    #[error("AWS refused `{operation}` with `{code}`: {message}")]
    Refused {
        /// The API operation, such as `CreateChangeSet`.
        operation: &'static str,
        /// AWS's error code.
        code: String,
        /// AWS's words.
        message: String,
    },
    /// No answer came.
    #[error("`{operation}` got no answer")]
    Unreachable {
        /// The API operation.
        operation: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The bucket of the environment's name is somebody else's.
    #[error(
        "bucket `{bucket}` does not belong to account {account}, or these credentials may not use it"
    )]
    ForeignBucket {
        /// The bucket.
        bucket: String,
        /// The account that it must belong to.
        account: String,
    },
    /// A function ran, and did not answer.
    #[error("function `{function}` failed: {said}")]
    FunctionFailed {
        /// The function.
        function: String,
        /// Lambda's error document.
        said: String,
    },
    /// A change set could not be made.
    #[error("the change set of stack `{stack}` failed: {reason}")]
    ChangeSetFailed {
        /// The stack.
        stack: String,
        /// CloudFormation's reason.
        reason: String,
    },
    /// A stack operation ended in failure.
    #[error("stack `{stack}` ended as `{status}`: `{resource}` ({kind}): {reason}")]
    StackFailed {
        /// The stack.
        stack: String,
        /// Its status now.
        status: String,
        /// Logical id of the resource that failed first.
        resource: String,
        /// Its type.
        kind: String,
        /// CloudFormation's reason.
        reason: String,
    },
    /// A rollback that stopped half-way before stopped half-way again.
    #[error("the rollback of stack `{stack}` failed again: `{resource}`: {reason}")]
    RollbackStuck {
        /// The stack.
        stack: String,
        /// Logical id of the resource that failed first.
        resource: String,
        /// CloudFormation's reason.
        reason: String,
        /// Logical ids of the resources that can be skipped.
        skip: Vec<String>,
    },
    /// A wait was longer than allowed.
    #[error("{what} took more than {seconds} s")]
    TimedOut {
        /// What was waited for.
        what: String,
        /// The allowance.
        seconds: u64,
    },
    /// A template that is not JSON.
    #[error("the template of stack `{stack}` is not JSON")]
    Template {
        /// The stack.
        stack: String,
        /// Where it breaks.
        source: serde_json::Error,
    },
    /// An asset that cannot be read.
    #[error("asset `{path}` cannot be read")]
    Asset {
        /// The file.
        path: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An item of the key table that is no key.
    #[error("table `{table}` holds an item that is no key")]
    KeyItem {
        /// The table.
        table: String,
        /// What it lacks.
        source: domain::key::BadKeyItem,
    },
    /// An answer that lacks what the API promises.
    #[error("the answer to `{operation}` lacks `{member}`")]
    Incomplete {
        /// The API operation.
        operation: &'static str,
        /// The missing member.
        member: &'static str,
    },
}

impl Error {
    /// Whether AWS itself said no, as opposed to a failure on the way or here.
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Refused { .. }
                | Self::ForeignBucket { .. }
                | Self::ChangeSetFailed { .. }
                | Self::StackFailed { .. }
                | Self::RollbackStuck { .. }
        )
    }

    /// AWS's error code, where AWS answered.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { code, .. } => Some(code),
            _ => None,
        }
    }

    /// AWS's words on why it said no.
    pub fn words(&self) -> Option<&str> {
        match self {
            Self::Refused { message, .. } => Some(message),
            Self::ChangeSetFailed { reason, .. }
            | Self::StackFailed { reason, .. }
            | Self::RollbackStuck { reason, .. } => Some(reason),
            _ => None,
        }
    }

    /// Whether AWS took no call because there were too many.
    pub(crate) fn is_throttled(&self) -> bool {
        let code = self.code().unwrap_or_default();
        matches!(
            code,
            "Throttling"
                | "ThrottlingException"
                | "TooManyRequestsException"
                | "RequestLimitExceeded"
        )
    }

    /// Whether the thing asked for is not there.
    pub(crate) fn is_not_found(&self) -> bool {
        match self {
            Self::Refused { code, message, .. } => {
                matches!(
                    code.as_str(),
                    "ResourceNotFoundException"
                        | "NotFound"
                        | "NoSuchBucket"
                        | "AWS.SimpleQueueService.NonExistentQueue"
                        | "QueueDoesNotExist"
                        | "ChangeSetNotFound"
                ) || (code == "ValidationError" && message.contains("does not exist"))
            }
            _ => false,
        }
    }
}

/// Turns a failed call of `operation` into an [`Error`].
pub(crate) fn failed<E, R>(operation: &'static str) -> impl FnOnce(SdkError<E, R>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    move |error| match error {
        SdkError::ServiceError(context) => {
            let meta = context.err().meta();
            Error::Refused {
                operation,
                code: meta.code().unwrap_or("Unknown").to_owned(),
                message: meta.message().unwrap_or("no reason given").to_owned(),
            }
        }
        other => Error::Unreachable {
            operation,
            source: Box::new(other),
        },
    }
}
