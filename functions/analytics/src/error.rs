//! Errors of a request, and their form over HTTP.

use std::error::Error as _;

use runtime::response::ErrorBody;
use runtime::store::StoreError;

use bearer::AuthError;

/// A refused or failed request.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The caller is not authenticated.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// The data belongs to another user.
    #[error("the data of `{email}` needs the scope `metering:admin`")]
    Forbidden {
        /// The other user.
        email: String,
    },
    /// The data covers all users.
    #[error("this endpoint needs the scope `metering:admin`")]
    AdminsOnly,
    /// A parameter is invalid.
    #[error("{message}")]
    Parameter {
        /// The parameter.
        name: String,
        /// What was found and what is expected.
        message: String,
    },
    /// The endpoint does not exist.
    #[error("no endpoint `{path}`")]
    NoRoute {
        /// The path.
        path: String,
    },
    /// Every endpoint is read-only.
    #[error("method `{method}` is not allowed, expected `GET`")]
    Method {
        /// The method.
        method: String,
    },
    /// A table could not be read.
    #[error("usage data is unavailable")]
    Store(#[from] StoreError),
}

impl ApiError {
    /// An invalid parameter.
    pub fn parameter(name: &str, message: impl Into<String>) -> Self {
        Self::Parameter {
            name: name.to_owned(),
            message: message.into(),
        }
    }

    /// The HTTP status.
    pub const fn status(&self) -> u16 {
        match self {
            Self::Parameter { .. } => 400,
            Self::Auth(AuthError::Missing | AuthError::Refused(_)) => 401,
            Self::Forbidden { .. } | Self::AdminsOnly => 403,
            Self::NoRoute { .. } => 404,
            Self::Method { .. } => 405,
            Self::Store(StoreError::Unreadable { .. }) => 500,
            Self::Auth(AuthError::Keys(_)) | Self::Store(_) => 503,
        }
    }

    const fn code(&self) -> &'static str {
        match self {
            Self::Parameter { .. } => "invalidParameter",
            Self::Auth(AuthError::Missing | AuthError::Refused(_)) => "unauthorized",
            Self::Forbidden { .. } | Self::AdminsOnly => "forbidden",
            Self::NoRoute { .. } => "notFound",
            Self::Method { .. } => "methodNotAllowed",
            Self::Store(StoreError::Unreadable { .. }) => "internal",
            Self::Auth(AuthError::Keys(_)) | Self::Store(_) => "unavailable",
        }
    }

    /// The header that goes with the status.
    pub fn header(&self) -> Option<(&'static str, String)> {
        match self {
            Self::Auth(error) => Some(error.header()),
            Self::Method { .. } => Some(("allow", "GET".to_owned())),
            Self::Store(StoreError::Unavailable { .. } | StoreError::Throttled { .. }) => {
                Some(("retry-after", "1".to_owned()))
            }
            _ => None,
        }
    }

    /// The JSON body, without causes: those go to the log.
    pub fn body(&self) -> ErrorBody {
        ErrorBody {
            error: self.code(),
            message: self.to_string(),
            parameter: match self {
                Self::Parameter { name, .. } => Some(name.clone()),
                _ => None,
            },
        }
    }

    /// Logs an error that the caller did not cause.
    pub fn log(&self) {
        if self.status() < 500 {
            return;
        }
        let causes = std::iter::successors(self.source(), |cause| (*cause).source());
        let causes: Vec<String> = causes.map(ToString::to_string).collect();
        tracing::error!(error = %self, causes = causes.join(": "), "request failed");
    }
}
