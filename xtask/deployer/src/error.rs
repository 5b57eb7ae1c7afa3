//! Errors between this machine and AWS.

use std::fmt;

use aws_sdk_cloudformation::error::{ProvideErrorMetadata, SdkError};

/// A deployment step that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The service refused the call.
    #[error("AWS refused `{operation}` with `{code}`: {message}")]
    Refused {
        /// The API operation, such as `CreateChangeSet`.
        operation: &'static str,
        /// AWS's error code.
        code: String,
        /// AWS's message.
        message: String,
    },
    /// Somebody created a stack after it was found not to exist.
    #[error("stack `{stack}` was created by somebody else in the meantime")]
    CreatedMeanwhile {
        /// The stack.
        stack: String,
    },
    /// There was no response.
    #[error("`{operation}` got no answer")]
    Unreachable {
        /// The API operation.
        operation: &'static str,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
        /// Whether the connection failed, as opposed to a request that could not be made, for
        /// example without credentials.
        lost: bool,
    },
    /// The bucket with the environment's name belongs to someone else.
    #[error(
        "bucket `{bucket}` does not belong to account {account}, or these credentials may not use it"
    )]
    ForeignBucket {
        /// The bucket.
        bucket: String,
        /// The account that it must belong to.
        account: String,
    },
    /// A function ran without producing a response.
    #[error("function `{function}` failed: {said}")]
    FunctionFailed {
        /// The function.
        function: String,
        /// Lambda's error document.
        said: String,
    },
    /// CloudFormation could not create a change set.
    #[error("the change set of stack `{stack}` failed: {reason}")]
    ChangeSetFailed {
        /// The stack.
        stack: String,
        /// CloudFormation's reason.
        reason: String,
    },
    /// A stack operation failed.
    #[error("stack `{stack}` {failure}")]
    StackFailed {
        /// The stack.
        stack: String,
        /// What failed.
        failure: Box<StackFailure>,
    },
    /// A rollback that had stopped half-way stopped half-way again.
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
    /// A wait took longer than its limit.
    #[error("{what} took more than {seconds} s")]
    TimedOut {
        /// What it waited for.
        what: String,
        /// The limit.
        seconds: u64,
    },
    /// A template that is not JSON.
    #[error("the template of stack `{stack}` is not JSON")]
    Template {
        /// The stack.
        stack: String,
        /// Where parsing failed.
        source: serde_json::Error,
    },
    /// An asset that is unreadable.
    #[error("asset `{path}` cannot be read")]
    Asset {
        /// The file.
        path: String,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An asset that is another file than the one that was reviewed.
    #[error("asset `{path}` was built again since the change was shown")]
    AssetChanged {
        /// The file.
        path: String,
    },
    /// An item of the key table that is not a key record.
    #[error("table `{table}` holds an item that is not a key")]
    KeyItem {
        /// The table.
        table: String,
        /// What is missing.
        source: domain::key::BadKeyItem,
    },
    /// A response without a member that the API promises.
    #[error("the answer to `{operation}` lacks `{member}`")]
    Incomplete {
        /// The API operation.
        operation: &'static str,
        /// The missing member.
        member: &'static str,
    },
}

/// How an operation on a stack failed.
#[derive(Debug)]
pub struct StackFailure {
    /// The stack's status now.
    pub status: String,
    /// Logical id of the resource that failed first.
    pub resource: String,
    /// Its type.
    pub kind: String,
    /// CloudFormation's reason.
    pub reason: String,
    /// Logical ids of the resources that CloudFormation rolled back, in the order in which it did
    /// so.
    pub rolled_back: Vec<String>,
}

impl fmt::Display for StackFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            status,
            resource,
            kind,
            reason,
            rolled_back,
        } = self;
        let rolled_back = listed(rolled_back);
        write!(
            f,
            "ended as `{status}`: `{resource}` ({kind}): {reason}{rolled_back}"
        )
    }
}

impl From<keyring::TableError> for Error {
    fn from(error: keyring::TableError) -> Self {
        use keyring::TableError as Failed;
        match error {
            Failed::Refused {
                operation,
                code,
                message,
            } => Self::Refused {
                operation,
                code,
                message,
            },
            Failed::Unreachable { operation, source } => Self::Unreachable {
                operation,
                source,
                lost: false,
            },
            Failed::KeyItem { table, source } => Self::KeyItem { table, source },
            Failed::Blocked(_) => Self::Incomplete {
                operation: "GetItem",
                member: "a state that this release reads",
            },
        }
    }
}

impl Error {
    /// Whether AWS itself refused, as opposed to a failure in transit or on this machine.
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

    /// AWS's error code, if AWS responded.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { code, .. } => Some(code),
            _ => None,
        }
    }

    /// AWS's message about the refusal.
    pub fn words(&self) -> Option<&str> {
        match self {
            Self::Refused { message, .. } => Some(message),
            Self::StackFailed { failure, .. } => Some(&failure.reason),
            Self::ChangeSetFailed { reason, .. } | Self::RollbackStuck { reason, .. } => {
                Some(reason)
            }
            _ => None,
        }
    }

    /// Whether AWS throttled the call.
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

    /// Whether the connection to AWS failed.
    pub(crate) const fn is_lost(&self) -> bool {
        matches!(self, Self::Unreachable { lost: true, .. })
    }

    /// Whether the requested resource does not exist. Each service has its own code.
    pub(crate) fn is_not_found(&self) -> bool {
        match self {
            Self::Refused { code, message, .. } => {
                matches!(
                    code.as_str(),
                    "ResourceNotFoundException"
                        | "ResourceNotFound"
                        | "DashboardNotFoundError"
                        | "NotFound"
                        | "NotFoundException"
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
            lost: is_lost(&other),
            source: Box::new(other),
        },
    }
}

/// Whether a request was sent, or could have been, and its answer did not arrive.
fn is_lost<E, R>(error: &SdkError<E, R>) -> bool {
    match error {
        SdkError::TimeoutError(_) | SdkError::ResponseError(_) => true,
        SdkError::DispatchFailure(failure) => !failure.is_user(),
        _ => false,
    }
}

/// The most resources that an error lists.
const MOST_LISTED: usize = 10;

/// What was rolled back, as the end of an error.
fn listed(rolled_back: &[String]) -> String {
    if rolled_back.is_empty() {
        return String::new();
    }
    let shown = rolled_back.iter().take(MOST_LISTED);
    let shown: Vec<_> = shown.map(|resource| format!("`{resource}`")).collect();
    let more = match rolled_back.len().saturating_sub(MOST_LISTED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("; rolled back: {}{more}", shown.join(", "))
}
