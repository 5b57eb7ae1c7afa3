//! What a function answers to a batch, and what an operator asks beside what Lambda asks: what
//! became of the items.
//!
//! `cargo xtask errors redrive` and `replay` invoke processor and reconciler as Lambda does, with
//! the items of an earlier delivery. Their event has one more member, [`REPORT_OUTCOME`], and so has
//! the answer.

use serde::{Deserialize, Serialize};

/// The answer to a batch: the items that must come again.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchAnswer {
    /// One for each item that failed. Of a stream Lambda goes on from the lowest of them.
    pub batch_item_failures: Vec<FailedItem>,
    /// What became of the others, where an operator asks.
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
    /// Says that these must come again.
    pub fn failed<'a>(identifiers: impl IntoIterator<Item = &'a str>) -> Self {
        let failed = identifiers.into_iter().map(|identifier| FailedItem {
            item_identifier: identifier.to_owned(),
        });
        Self {
            batch_item_failures: failed.collect(),
            outcome: None,
        }
    }

    /// Which must come again.
    pub fn identifiers(&self) -> impl Iterator<Item = &str> {
        let failures = self.batch_item_failures.iter();
        failures.map(|failure| failure.item_identifier.as_str())
    }
}

/// Stands in place of a log's name for messages of the reconciler's queue that hold no lines.
pub const QUEUE_POSITION: &str = "reconcile";

/// The member of the event that asks for the [`Outcome`]; Lambda's events do not have it.
pub const REPORT_OUTCOME: &str = "reportOutcome";

/// What became of the items that did not fail.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// Events appended to the journal, which counts each once however often it is appended.
    pub appended: u64,
    /// Sequence numbers of the records, or ids of the lines, that were set aside.
    pub set_aside: Vec<String>,
}
