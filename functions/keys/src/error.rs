//! Errors of a request, and their form over HTTP.

use bearer::AuthError;
use keyring::{KeyError, TableError};
use runtime::log::Chain;
use runtime::response::ErrorBody;

use crate::body::{MEDIA_TYPE, MOST_BYTES};

/// A refused or failed request.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The caller is not authenticated.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// The token names nobody whom the audit log could name.
    #[error("the token names nobody: its claims `email` and `sub` are missing or not usable")]
    Nobody,
    /// The endpoint does not exist.
    #[error("this endpoint does not exist")]
    NoRoute,
    /// The method.
    #[error("method `{method}` is not allowed, expected {allowed}")]
    Method {
        /// The method.
        method: String,
        /// The methods of the path.
        allowed: String,
    },
    /// The media type.
    #[error("expected the content type `{MEDIA_TYPE}`, found `{found}`")]
    MediaType {
        /// What was sent.
        found: String,
    },
    /// The body is not JSON of the expected form.
    #[error("{0}")]
    Malformed(String),
    /// The body is too long.
    #[error("expected at most {MOST_BYTES} bytes, found {bytes}")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// A parameter is invalid.
    #[error("{message}")]
    Parameter {
        /// The parameter.
        name: String,
        /// What was found and what is expected.
        message: String,
    },
    /// A rule refuses it, or the table failed.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl RequestError {
    /// An invalid parameter.
    pub fn parameter(name: &str, message: impl Into<String>) -> Self {
        Self::Parameter {
            name: name.to_owned(),
            message: message.into(),
        }
    }

    /// The HTTP status and the code for programs.
    const fn kind(&self) -> (u16, &'static str) {
        match self {
            Self::Malformed(_) => (400, "malformed"),
            Self::Parameter { .. } => (400, "invalidParameter"),
            Self::Auth(AuthError::Missing | AuthError::Refused(_)) => (401, "unauthorized"),
            Self::Nobody => (403, "forbidden"),
            Self::NoRoute => (404, "notFound"),
            Self::Method { .. } => (405, "methodNotAllowed"),
            Self::TooLarge { .. } => (413, "tooLarge"),
            Self::MediaType { .. } => (415, "unsupportedMediaType"),
            Self::Auth(AuthError::Keys(_)) => (503, "unavailable"),
            Self::Key(error) => of_key(error),
        }
    }

    /// The HTTP status.
    pub const fn status(&self) -> u16 {
        self.kind().0
    }

    /// The header that goes with the status.
    pub fn header(&self) -> Option<(&'static str, String)> {
        match self {
            Self::Auth(error) => Some(error.header()),
            Self::Method { allowed, .. } => Some(("allow", allowed.clone())),
            Self::Key(KeyError::Table(
                TableError::Unreachable { .. } | TableError::Refused { .. },
            )) => Some(("retry-after", "1".to_owned())),
            _ => None,
        }
    }

    /// The JSON body, without causes: those go to the log.
    pub fn body(&self) -> ErrorBody {
        let parameter = match self {
            Self::Parameter { name, .. } => Some(name.as_str()),
            Self::Key(error) => parameter(error),
            _ => None,
        };
        ErrorBody {
            error: self.kind().1,
            message: self.to_string(),
            parameter: parameter.map(str::to_owned),
        }
    }

    /// Logs an error that the caller did not cause.
    pub fn log(&self) {
        if self.status() >= 500 {
            tracing::error!(error = %Chain(self), "request failed");
        }
    }
}

const fn of_key(error: &KeyError) -> (u16, &'static str) {
    match error {
        KeyError::Email(_)
        | KeyError::UnknownPlan { .. }
        | KeyError::NoPlan { .. }
        | KeyError::NoEmail
        | KeyError::Address { .. }
        | KeyError::NoChange
        | KeyError::NotAHash
        | KeyError::Expired => (400, "invalidParameter"),
        KeyError::Foreign { .. }
        | KeyError::NoWorkingKey { .. }
        | KeyError::OtherPlan { .. }
        | KeyError::Outlives { .. }
        | KeyError::Blocked { .. }
        | KeyError::TooMany { .. }
        | KeyError::OfAdministrators
        | KeyError::TooManyToday { .. } => (403, "forbidden"),
        KeyError::Unknown | KeyError::NoKey { .. } => (404, "notFound"),
        KeyError::NotWorking { .. }
        | KeyError::Replaced
        | KeyError::TooManyBlocked
        | KeyError::Exists
        | KeyError::Conflict => (409, "conflict"),
        KeyError::Randomness(_)
        | KeyError::Table(TableError::KeyItem { .. } | TableError::Blocked(_)) => (500, "internal"),
        KeyError::Table(TableError::Refused { .. } | TableError::Unreachable { .. }) => {
            (503, "unavailable")
        }
    }
}

/// The member of the request at fault.
const fn parameter(error: &KeyError) -> Option<&'static str> {
    match error {
        KeyError::Email(_) | KeyError::NoEmail => Some("email"),
        KeyError::UnknownPlan { .. } | KeyError::NoPlan { .. } => Some("plan"),
        KeyError::Expired => Some("expires"),
        KeyError::NotAHash => Some("hash"),
        KeyError::Address { .. } => Some("whom"),
        _ => None,
    }
}
