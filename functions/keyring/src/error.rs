//! Why keys cannot be read or changed.

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use domain::address::Blocked;
use domain::key::{BadEmail, BadKeyItem};
use domain::state::StateError;
use domain::time::UnixMillis;

use crate::rules::{MOST_A_DAY, MOST_WORKING};

/// A table that failed.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// DynamoDB refused the call.
    #[error("AWS refused `{operation}` with `{code}`: {message}")]
    Refused {
        /// The API operation.
        operation: &'static str,
        /// AWS's error code.
        code: String,
        /// AWS's message.
        message: String,
    },
    /// There was no response. Whether a change took effect is unknown.
    #[error("`{operation}` got no answer")]
    Unreachable {
        /// The API operation.
        operation: &'static str,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An item that is not a key record.
    #[error("table `{table}` holds an item that is not a key")]
    KeyItem {
        /// The table.
        table: String,
        /// What is wrong with it.
        source: BadKeyItem,
    },
    /// The list of blocked addresses is of a later release.
    #[error("the list of blocked addresses cannot be read")]
    Blocked(#[source] StateError),
}

/// Turns a failed call of `operation` into a [`TableError`].
pub(crate) fn failed<E, R>(operation: &'static str) -> impl FnOnce(SdkError<E, R>) -> TableError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    move |error| match error {
        SdkError::ServiceError(context) => {
            let meta = context.err().meta();
            TableError::Refused {
                operation,
                code: meta.code().unwrap_or("Unknown").to_owned(),
                message: meta.message().unwrap_or("no reason given").to_owned(),
            }
        }
        other => TableError::Unreachable {
            operation,
            source: Box::new(other),
        },
    }
}

/// A request about keys that was refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The email cannot own a key.
    #[error(transparent)]
    Email(#[from] BadEmail),
    /// The plan does not exist.
    #[error("unknown plan `{plan}`, expected one of {}", listed(.known))]
    UnknownPlan {
        /// The given plan.
        plan: String,
        /// The plans of the environment.
        known: Vec<String>,
    },
    /// No plan is given.
    #[error("the plan is missing, expected one of {}", listed(.known))]
    NoPlan {
        /// The plans of the environment.
        known: Vec<String>,
    },
    /// No email is given.
    #[error("the email of the key's user is missing")]
    NoEmail,
    /// The key would never work.
    #[error("the key would have expired already")]
    Expired,
    /// A setting that changes nothing.
    #[error("nothing is to be changed: expected a plan or a rate")]
    NoChange,
    /// A text that is not a SHA-256. It is not repeated: it may be the key itself.
    #[error("expected the 64 hex digits of the key's SHA-256")]
    NotAHash,
    /// The key to import is known, or its user's settings were changed at the same time.
    #[error("the key exists already, or its user has just been changed")]
    Exists,
    /// No key has the id, or none that the actor may see. The id is not repeated: it may be a
    /// mistake for the key itself.
    #[error("unknown key")]
    Unknown,
    /// The key no longer works.
    #[error("the key is {status} and cannot be replaced")]
    NotWorking {
        /// Its status.
        status: &'static str,
    },
    /// A user replaces a key again.
    #[error("the key is being replaced already")]
    Replaced,
    /// Another user's keys.
    #[error("the keys of `{email}` need the scope `metering:admin`")]
    Foreign {
        /// The other user.
        email: String,
    },
    /// The user has no working key, so there are no terms for a new one.
    #[error("a first key needs an administrator: `{email}` has no working key")]
    NoWorkingKey {
        /// The user.
        email: String,
    },
    /// None of the user's working keys is on the plan.
    #[error("`{email}` has no working key on plan `{plan}`, only on {}", listed(.known))]
    OtherPlan {
        /// The user.
        email: String,
        /// The given plan.
        plan: String,
        /// The plans of the user's working keys.
        known: Vec<String>,
    },
    /// A user's new key would work longer than the one whose terms it has.
    #[error("a new key on plan `{plan}` expires at {until} at the latest, as the present one does")]
    Outlives {
        /// The plan.
        plan: String,
        /// The latest end.
        until: UnixMillis,
    },
    /// The user is blocked.
    #[error("`{email}` is blocked")]
    Blocked {
        /// The user.
        email: String,
    },
    /// The user has many working keys.
    #[error(
        "`{email}` has {MOST_WORKING} working keys, the most a user can have: revoke one first"
    )]
    TooMany {
        /// The user.
        email: String,
    },
    /// The user has many new keys.
    #[error("`{email}` has made {MOST_A_DAY} keys within a day, the most a user can make")]
    TooManyToday {
        /// The user.
        email: String,
    },
    /// Neither an address nor an email.
    #[error(
        "invalid address `{given}`: expected one such as `192.0.2.1` or `2001:db8::1`, or an email"
    )]
    Address {
        /// What was given.
        given: String,
    },
    /// A user blocks somebody.
    #[error("blocks need the scope `metering:admin`")]
    OfAdministrators,
    /// The user has no key that could be blocked.
    #[error("`{email}` has no key")]
    NoKey {
        /// The user.
        email: String,
    },
    /// The list of addresses is full.
    #[error("{} addresses are blocked, and no more can be", Blocked::MOST)]
    TooManyBlocked,
    /// The key changed since it was read.
    #[error("another request has just changed the same: look at it, and try again")]
    Conflict,
    /// The operating system provides no randomness.
    #[error("the operating system provided no random bytes")]
    Randomness(#[source] getrandom::Error),
    /// The table failed.
    #[error("the table of keys is unavailable")]
    Table(#[from] TableError),
}

fn listed(names: &[String]) -> String {
    format!("`{}`", names.join("`, `"))
}
