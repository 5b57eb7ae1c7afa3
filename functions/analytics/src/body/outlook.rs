//! Response bodies of forecasts and of anomalies.

use schemars::JsonSchema;
use serde::Serialize;

use super::{CurrentPeriod, Instant};

/// The forecast of a user's current period if calls go on as before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Forecast {
    /// The period so far.
    pub current_period: CurrentPeriod,
    /// Accepted calls by the end of the period; null if no day before today has a call.
    pub projected: Option<Projected>,
    /// When the quota runs out.
    pub exhausts: Exhaustion,
    /// How many percent of possible outcomes the intervals cover.
    pub confidence_percent: u8,
    /// Whole days since the first call on which the projection is based, at most 56.
    pub days_observed: u64,
    /// The instant up to which every call reported in time is counted: now, unless there are more
    /// calls than can be read at once.
    pub as_of: Instant,
}

/// Accepted calls by the end of a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Projected {
    /// Most likely.
    pub calls: u64,
    /// At least.
    pub low: u64,
    /// At most.
    pub high: u64,
}

/// When a quota runs out; null if it lasts until the end of the period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Exhaustion {
    /// Most likely.
    pub expected: Option<Instant>,
    /// At the earliest.
    pub earliest: Option<Instant>,
    /// At the latest.
    pub latest: Option<Instant>,
}

/// Unusual hours of a span, and routes that had no calls before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Anomalies {
    /// Start of the span.
    pub from: Instant,
    /// End of the span.
    pub to: Instant,
    /// The anomalies, oldest first.
    pub anomalies: Vec<Anomaly>,
    /// The instant up to which every call reported in time is counted: now, unless there are more
    /// calls than can be read at once.
    pub as_of: Instant,
}

/// An anomaly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Anomaly {
    /// The kind of anomaly.
    pub kind: AnomalyKind,
    /// Start of the hour; for a new route, start of the span.
    pub start: Instant,
    /// Number of events counted.
    pub observed: u64,
    /// The usual number at that hour of the week; null for a new route.
    pub expected: Option<u64>,
    /// Lower end of the usual range.
    pub low: Option<u64>,
    /// Upper end of the usual range.
    pub high: Option<u64>,
    /// The new route.
    pub endpoint: Option<String>,
}

/// The kinds of anomalies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum AnomalyKind {
    /// More accepted calls than usual.
    Spike,
    /// Fewer accepted calls than usual.
    Silence,
    /// More refused calls than usual.
    Refusals,
    /// A route that had no calls in the week before the span.
    NewEndpoint,
}
