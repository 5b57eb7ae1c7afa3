//! What an operator asks of the processor beside what Lambda asks: what became of the records.
//!
//! `cargo xtask errors redrive` and `replay` invoke the processor as Lambda does, with records that
//! it was given before. Their event has one member more, [`REPORT_OUTCOME`], and so has the answer.

use serde::{Deserialize, Serialize};

/// The member of the event that asks for the [`Outcome`]; Lambda's events have none such.
pub const REPORT_OUTCOME: &str = "reportOutcome";

/// What became of the records that did not fail.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// Events counted now.
    pub counted: u64,
    /// Events that had been counted before.
    pub duplicates: u64,
    /// Sequence numbers of the records that were set aside.
    pub set_aside: Vec<String>,
}
