//! Why a record is set aside instead of counted.

use serde::Serialize;

/// Longest message of a rejection, in bytes: it may quote the record, which may be a megabyte.
pub(super) const LONGEST_MESSAGE: usize = 500;

/// Why a record cannot be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Reason {
    /// Not JSON, or a field is missing or wrong.
    Malformed,
    /// The event's `type` is unknown.
    UnknownType,
    /// The event is more than five minutes ahead.
    FromTheFuture,
    /// The event is older than the horizon.
    TooOld,
    /// This release cannot read the item: it is parked and retried.
    Unreadable,
    /// The item outgrew its table: it is parked and retried.
    TooLarge,
    /// Two facts disagree about one event, which is counted once.
    Conflict,
    /// The amount names no call.
    UnknownCall,
    /// The amount is of a meter that the environment does not declare.
    UnknownMeter,
}

impl Reason {
    /// The code, as items under `PK = ERRORS` carry it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::UnknownType => "unknownType",
            Self::FromTheFuture => "fromTheFuture",
            Self::TooOld => "tooOld",
            Self::Unreadable => "unreadable",
            Self::TooLarge => "tooLarge",
            Self::Conflict => "conflict",
            Self::UnknownCall => "unknownCall",
            Self::UnknownMeter => "unknownMeter",
        }
    }
}

/// A record that is set aside.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Rejection {
    /// The code.
    pub reason: Reason,
    /// What is wrong with the record.
    pub message: String,
}

impl Rejection {
    /// Creates a rejection and cuts a message that is too long.
    pub fn new(reason: Reason, mut message: String) -> Self {
        message.truncate(message.floor_char_boundary(LONGEST_MESSAGE));
        Self { reason, message }
    }

    /// A record that is not a usage event.
    pub(super) fn malformed(message: String) -> Self {
        Self::new(Reason::Malformed, message)
    }
}
