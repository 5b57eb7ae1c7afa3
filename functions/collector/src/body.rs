//! Response bodies.

use serde::Serialize;

/// What became of a request's reports.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Collected {
    /// Reports in the journal. Their amounts count.
    pub accepted: u64,
    /// Reports that are not, in the order of the request.
    pub refused: Vec<Refused>,
}

/// A refused report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Refused {
    /// Its place in the request, from 0.
    pub index: usize,
    /// Its `id`, if it has one.
    pub id: Option<String>,
    /// Code, for programs.
    pub error: &'static str,
    /// The problem, for people.
    pub message: String,
}
