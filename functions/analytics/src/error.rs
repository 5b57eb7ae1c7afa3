//! Why a request has no other answer, and how that is said over HTTP.

use std::error::Error as _;

use runtime::store::StoreError;

use crate::answer::ErrorBody;
use crate::auth::AuthError;

/// A request that is refused, or cannot be answered now.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// It is not known who asks.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// They ask for what is another's.
    #[error("the data of `{email}` is not yours to see: that takes the scope `metering:admin`")]
    Forbidden {
        /// Whose data it is.
        email: String,
    },
    /// A parameter is wrong.
    #[error("{message}")]
    Parameter {
        /// Which one.
        name: String,
        /// What was given, and what is allowed.
        message: String,
    },
    /// There is no such endpoint.
    #[error("there is no `{path}`")]
    NoRoute {
        /// What was asked for.
        path: String,
    },
    /// The endpoint is only read.
    #[error("`{method}` is not allowed, only `GET`")]
    Method {
        /// What was asked for.
        method: String,
    },
    /// Usage is not streamed here, and no analytics table is left from when it was.
    #[error("usage is counted synchronously here: only `user-stats` is answered")]
    AnalyticsDisabled,
    /// A table could not be read.
    #[error("the tables of usage are unavailable")]
    Store(#[from] StoreError),
}

impl ApiError {
    /// A bad parameter.
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
            Self::Forbidden { .. } => 403,
            Self::NoRoute { .. } => 404,
            Self::Method { .. } => 405,
            Self::Store(StoreError::Unreadable { .. }) => 500,
            Self::Auth(AuthError::Keys(_)) | Self::AnalyticsDisabled | Self::Store(_) => 503,
        }
    }

    const fn code(&self) -> &'static str {
        match self {
            Self::Parameter { .. } => "invalidParameter",
            Self::Auth(AuthError::Missing | AuthError::Refused(_)) => "unauthorized",
            Self::Forbidden { .. } => "forbidden",
            Self::NoRoute { .. } => "notFound",
            Self::Method { .. } => "methodNotAllowed",
            Self::AnalyticsDisabled => "analyticsDisabled",
            Self::Store(StoreError::Unreadable { .. }) => "internal",
            Self::Auth(AuthError::Keys(_)) | Self::Store(_) => "unavailable",
        }
    }

    /// The header that goes with the status.
    pub fn header(&self) -> Option<(&'static str, String)> {
        match self {
            // RFC 6750, section 3.
            Self::Auth(AuthError::Missing) => Some(("www-authenticate", "Bearer".to_owned())),
            Self::Auth(refused @ AuthError::Refused(_)) => {
                let challenge =
                    format!(r#"Bearer error="invalid_token", error_description="{refused}""#);
                Some(("www-authenticate", challenge))
            }
            Self::Method { .. } => Some(("allow", "GET".to_owned())),
            Self::Auth(AuthError::Keys(_)) | Self::Store(StoreError::Unavailable { .. }) => {
                Some(("retry-after", "1".to_owned()))
            }
            _ => None,
        }
    }

    /// The JSON body. Never a cause: those are for the log.
    pub fn body(&self) -> ErrorBody {
        ErrorBody {
            error: self.code().to_owned(),
            message: self.to_string(),
            parameter: match self {
                Self::Parameter { name, .. } => Some(name.clone()),
                _ => None,
            },
        }
    }

    /// Logs what the caller did not cause.
    pub fn log(&self) {
        if self.status() < 500 || matches!(self, Self::AnalyticsDisabled) {
            return;
        }
        let causes = std::iter::successors(self.source(), |cause| (*cause).source());
        let causes: Vec<String> = causes.map(ToString::to_string).collect();
        tracing::error!(error = %self, causes = causes.join(": "), "request failed");
    }
}
