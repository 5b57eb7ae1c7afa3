//! A function's response to a batch, and the outcome that an operator can request with it: the fate
//! of the items that did not fail.
//!
//! `cargo xtask errors redrive` and `replay` invoke processor and reconciler as Lambda does, with
//! the items of an earlier delivery. Their event has one more member, [`REPORT_OUTCOME`], and the
//! response then has one more as well.

use serde::{Deserialize, Serialize};

/// The response to a batch: the items to redeliver.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchAnswer {
    /// One for each item that failed. For a stream, Lambda resumes at the lowest of them.
    pub batch_item_failures: Vec<FailedItem>,
    /// The fate of the other items, if an operator asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
}

/// An item that failed.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailedItem {
    /// A record's sequence number, or a message's id.
    pub item_identifier: String,
}

impl BatchAnswer {
    /// Reports that these items must be redelivered.
    pub fn failed<'a>(identifiers: impl IntoIterator<Item = &'a str>) -> Self {
        let failed = identifiers.into_iter().map(|identifier| FailedItem {
            item_identifier: identifier.to_owned(),
        });
        Self {
            batch_item_failures: failed.collect(),
            outcome: None,
        }
    }

    /// The items to redeliver.
    pub fn identifiers(&self) -> impl Iterator<Item = &str> {
        let failures = self.batch_item_failures.iter();
        failures.map(|failure| failure.item_identifier.as_str())
    }
}

/// Takes the place of a log's name for messages of the reconciler's queue that hold no lines.
pub const QUEUE_POSITION: &str = "reconcile";

/// The member of the event that requests the [`Outcome`]; Lambda's events do not have it.
pub const REPORT_OUTCOME: &str = "reportOutcome";

/// The fate of the items that did not fail.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// Events appended to the journal, which counts each once even if it is appended again.
    pub appended: u64,
    /// Sequence numbers of the records, or ids of the lines, that were set aside.
    pub set_aside: Vec<String>,
}
