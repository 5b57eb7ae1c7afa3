//! What the notifier delivers: crossed thresholds, closed periods and reports. Its id says which of
//! them an item of the table is.

use serde::{Deserialize, Serialize};

use crate::alert::{Alert, THRESHOLD};
use crate::bill::{self, Bill, PERIOD_CLOSED};
use crate::report::{self, REPORT_READY, ReportReady};
use crate::state::{self, StateError};

/// The kinds of events that endpoints choose from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// A user crossed a threshold of its quota.
    QuotaThreshold,
    /// A user's period is final.
    PeriodClosed,
    /// A scheduled report is stored.
    ReportReady,
}

impl Kind {
    /// The `type` of the event.
    pub const fn event_type(self) -> &'static str {
        match self {
            Self::QuotaThreshold => THRESHOLD,
            Self::PeriodClosed => PERIOD_CLOSED,
            Self::ReportReady => REPORT_READY,
        }
    }
}

/// An event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A crossed threshold.
    Threshold(Alert),
    /// A closed period.
    Closed(Bill),
    /// A stored report.
    Report(ReportReady),
}

impl Notice {
    /// Reads the stored state of the event `id`.
    pub fn decode(id: &str, bytes: &[u8]) -> Result<Self, StateError> {
        if id.starts_with(bill::ID_PREFIX) {
            state::decode(bytes).map(Self::Closed)
        } else if id.starts_with(report::ID_PREFIX) {
            state::decode(bytes).map(Self::Report)
        } else {
            state::decode(bytes).map(Self::Threshold)
        }
    }

    /// Its kind.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Threshold(_) => Kind::QuotaThreshold,
            Self::Closed(_) => Kind::PeriodClosed,
            Self::Report(_) => Kind::ReportReady,
        }
    }

    /// The event's id.
    pub fn id(&self) -> String {
        match self {
            Self::Threshold(alert) => alert.id(),
            Self::Closed(bill) => bill.id(),
            Self::Report(report) => report.id(),
        }
    }

    /// The event as `CloudEvents` 1.0 structured JSON.
    pub fn cloud_event(&self, source: &str) -> String {
        match self {
            Self::Threshold(alert) => alert.cloud_event(source),
            Self::Closed(bill) => bill.cloud_event(source),
            Self::Report(report) => report.cloud_event(source),
        }
    }

    /// The event as a sentence for people.
    pub fn text(&self) -> String {
        match self {
            Self::Threshold(alert) => alert.text(),
            Self::Closed(bill) => bill.text(),
            Self::Report(report) => report.text(),
        }
    }

    /// The subject of a mail about it. None for bills, which are for machines: one mail a user and
    /// month would bury the alarms.
    pub fn mail_subject(&self) -> Option<String> {
        match self {
            Self::Threshold(alert) => Some(format!(
                "{} % of a quota used by {}",
                alert.percent, alert.user
            )),
            Self::Report(report) => Some(report.subject()),
            Self::Closed(_) => None,
        }
    }
}
