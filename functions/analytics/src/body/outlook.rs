//! Response bodies of what is to come, and of what is not as usual.

use schemars::JsonSchema;
use serde::Serialize;

use super::{CurrentPeriod, Instant};

/// What a user's current period comes to if calls go on as before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Forecast {
    /// The period so far.
    pub current_period: CurrentPeriod,
    /// Accepted calls by the end of the period; null where no day before today has a call.
    pub projected: Option<Projected>,
    /// When the quota is used up.
    pub exhausts: Exhaustion,
    /// Of how many futures in a hundred the intervals hold the outcome.
    pub confidence_percent: u8,
    /// Whole days since the first call that the projection rests on, at most 56.
    pub days_observed: u64,
    /// Up to when every call is counted that was reported in time; now, unless there are more calls
    /// than can be read at once.
    pub as_of: Instant,
}

/// Accepted calls by the end of a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Projected {
    /// In all likelihood.
    pub calls: u64,
    /// At least.
    pub low: u64,
    /// At most.
    pub high: u64,
}

/// When a quota is used up; null where it lasts until the period's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Exhaustion {
    /// In all likelihood.
    pub expected: Option<Instant>,
    /// At the earliest.
    pub earliest: Option<Instant>,
    /// At the latest.
    pub latest: Option<Instant>,
}

/// Hours of a span that are not as usual, and routes that were not called before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Anomalies {
    /// Start of the span.
    pub from: Instant,
    /// End of the span.
    pub to: Instant,
    /// The oldest first.
    pub anomalies: Vec<Anomaly>,
    /// Up to when every call is counted that was reported in time; now, unless there are more calls
    /// than can be read at once.
    pub as_of: Instant,
}

/// Something unusual.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Anomaly {
    /// What it is.
    pub kind: AnomalyKind,
    /// Start of the hour; of a new route, start of the span.
    pub start: Instant,
    /// Events that were counted.
    pub observed: u64,
    /// What is usual at that hour of the week; null for a new route.
    pub expected: Option<u64>,
    /// The least that is usual.
    pub low: Option<u64>,
    /// The most that is usual.
    pub high: Option<u64>,
    /// The new route.
    pub endpoint: Option<String>,
}

/// What can be unusual.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum AnomalyKind {
    /// More accepted calls than usual.
    Spike,
    /// Fewer accepted calls than usual.
    Silence,
    /// More refused calls than usual.
    Refusals,
    /// A route that was not called in the week before the span.
    NewEndpoint,
}
