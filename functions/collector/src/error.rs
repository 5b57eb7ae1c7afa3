//! Errors of a whole request, and their form over HTTP.

use bearer::AuthError;
use domain::meter::MOST_EVENTS;
use domain::names::WRITE_SCOPE;
use runtime::log::Chain;
use runtime::response::ErrorBody;
use runtime::store::StoreError;

use crate::collect::MOST_MINUTES;
use crate::handler::{BATCH, MOST_BYTES, SINGLE};

/// A refused or failed request: none of its reports is accepted for certain, and all of them may be
/// sent again.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The caller is not authenticated.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// The caller may not report.
    #[error("this endpoint needs the scope `{WRITE_SCOPE}`")]
    Forbidden,
    /// The method.
    #[error("method `{method}` is not allowed, expected `POST`")]
    Method {
        /// The method.
        method: String,
    },
    /// The media type.
    #[error("expected the content type `{SINGLE}` or `{BATCH}`, found `{found}`")]
    MediaType {
        /// What was sent.
        found: String,
    },
    /// The body is not JSON, or not what its media type says.
    #[error("{0}")]
    Malformed(String),
    /// The body is too long.
    #[error("expected at most {MOST_BYTES} bytes, found {bytes}")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// The batch is too long.
    #[error("expected at most {MOST_EVENTS} events in a batch, found {events}")]
    TooMany {
        /// Its events.
        events: usize,
    },
    /// Too much of the journal would have to be read.
    #[error(
        "expected calls of at most {MOST_MINUTES} different minutes among those older than five \
         minutes, found {minutes}: send smaller batches"
    )]
    TooSpread {
        /// Their minutes.
        minutes: usize,
    },
    /// The journal could not be read or written.
    #[error("the journal is unavailable: send the same events again")]
    Store(#[from] StoreError),
}

impl RequestError {
    /// The HTTP status.
    pub const fn status(&self) -> u16 {
        match self {
            Self::Malformed(_) | Self::TooSpread { .. } | Self::TooMany { .. } => 400,
            Self::Auth(AuthError::Missing | AuthError::Refused(_)) => 401,
            Self::Forbidden => 403,
            Self::Method { .. } => 405,
            Self::TooLarge { .. } => 413,
            Self::MediaType { .. } => 415,
            Self::Auth(AuthError::Keys(_)) | Self::Store(_) => 503,
        }
    }

    const fn code(&self) -> &'static str {
        match self {
            Self::Auth(AuthError::Missing | AuthError::Refused(_)) => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::Method { .. } => "methodNotAllowed",
            Self::MediaType { .. } => "unsupportedMediaType",
            Self::Malformed(_) => "malformed",
            Self::TooLarge { .. } | Self::TooMany { .. } | Self::TooSpread { .. } => "tooLarge",
            Self::Auth(AuthError::Keys(_)) | Self::Store(_) => "unavailable",
        }
    }

    /// The header that goes with the status.
    pub fn header(&self) -> Option<(&'static str, String)> {
        match self {
            Self::Auth(error) => Some(error.header()),
            Self::Method { .. } => Some(("allow", "POST".to_owned())),
            Self::MediaType { .. } => Some(("accept-post", format!("{SINGLE}, {BATCH}"))),
            Self::Store(_) => Some(("retry-after", "1".to_owned())),
            _ => None,
        }
    }

    /// The JSON body, without causes: those go to the log.
    pub fn body(&self) -> ErrorBody {
        ErrorBody {
            error: self.code(),
            message: self.to_string(),
            parameter: None,
        }
    }

    /// Logs an error that the caller did not cause.
    pub fn log(&self) {
        if self.status() >= 500 {
            tracing::error!(error = %Chain(self), "request failed");
        }
    }
}
