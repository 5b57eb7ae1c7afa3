//! What the notifier delivers: crossed thresholds and closed periods. Its id says which of the two
//! an item of the table is.

use serde::{Deserialize, Serialize};

use crate::alert::{Alert, THRESHOLD};
use crate::bill::{Bill, ID_PREFIX, PERIOD_CLOSED};
use crate::state::{self, StateError};

/// The kinds of events that endpoints choose from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// A user crossed a threshold of its quota.
    QuotaThreshold,
    /// A user's period is final.
    PeriodClosed,
}

impl Kind {
    /// The `type` of the event.
    pub const fn event_type(self) -> &'static str {
        match self {
            Self::QuotaThreshold => THRESHOLD,
            Self::PeriodClosed => PERIOD_CLOSED,
        }
    }
}

/// An event about a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A crossed threshold.
    Threshold(Alert),
    /// A closed period.
    Closed(Bill),
}

impl Notice {
    /// Reads the stored state of the event `id`.
    pub fn decode(id: &str, bytes: &[u8]) -> Result<Self, StateError> {
        if id.starts_with(ID_PREFIX) {
            state::decode(bytes).map(Self::Closed)
        } else {
            state::decode(bytes).map(Self::Threshold)
        }
    }

    /// Its kind.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Threshold(_) => Kind::QuotaThreshold,
            Self::Closed(_) => Kind::PeriodClosed,
        }
    }

    /// The event's id.
    pub fn id(&self) -> String {
        match self {
            Self::Threshold(alert) => alert.id(),
            Self::Closed(bill) => bill.id(),
        }
    }

    /// The event as `CloudEvents` 1.0 structured JSON.
    pub fn cloud_event(&self, source: &str) -> String {
        match self {
            Self::Threshold(alert) => alert.cloud_event(source),
            Self::Closed(bill) => bill.cloud_event(source),
        }
    }

    /// The event as a sentence for people.
    pub fn text(&self) -> String {
        match self {
            Self::Threshold(alert) => alert.text(),
            Self::Closed(bill) => bill.text(),
        }
    }
}
