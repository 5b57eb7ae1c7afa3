//! Response bodies: the JSON of each endpoint. How the counts are computed is not their business.
//!
//! Counts are whole numbers, times are RFC 3339 in UTC. `openapi.json` is generated from these types.

mod outlook;

pub use outlook::{Anomalies, Anomaly, AnomalyKind, Exhaustion, Forecast, Projected};

use std::borrow::Cow;
use std::collections::BTreeMap;

use domain::time::{UnixMillis, rfc3339};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

/// An instant, as RFC 3339 in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instant(pub UnixMillis);

impl Serialize for Instant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        rfc3339(&self.0, serializer)
    }
}

impl JsonSchema for Instant {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Instant".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "date-time"})
    }
}

/// Calls to one route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndpointCalls {
    /// Route template.
    pub endpoint: String,
    /// Accepted calls.
    pub total_calls: u64,
}

/// The last five minutes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Realtime {
    /// Accepted calls.
    pub total_calls: u64,
    /// Calls refused without a valid key.
    pub auth_failures: u64,
    /// Calls refused for exceeding the rate limit or the quota.
    pub rate_limited: u64,
    /// The five minutes, oldest first, the current one last.
    pub calls_per_minute: Vec<MinuteCalls>,
    /// Users with an accepted call in the current hour.
    pub active_users: u64,
    /// The routes with most calls, at most ten.
    pub top_endpoints: Vec<EndpointCalls>,
    /// The users with most calls, at most ten; for administrators only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<UserCalls>")]
    pub top_users: Option<Vec<UserCalls>>,
    /// Addresses with at least five refused calls within the last hour, at most a hundred; for
    /// administrators only. Those with most refused calls come first; of equally many, those that
    /// tried more different keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<SuspiciousIp>")]
    pub suspicious_ips: Option<Vec<SuspiciousIp>>,
    /// The instant up to which every call reported in time is counted: now, unless there are more
    /// calls than can be read at once.
    pub as_of: Instant,
}

/// Amounts of one meter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MeterAmount {
    /// The meter.
    pub meter: String,
    /// How much of it the upstream reported.
    pub amount: u64,
}

/// Calls in one minute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MinuteCalls {
    /// Start of the minute.
    pub start: Instant,
    /// Accepted calls.
    pub total_calls: u64,
}

/// Calls of one user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserCalls {
    /// The user.
    pub email: String,
    /// Accepted calls.
    pub total_calls: u64,
}

/// An address whose calls are refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SuspiciousIp {
    /// The address; for IPv6 its /64 network, such as `2001:db8::/64`.
    pub ip: String,
    /// Calls refused without a valid key, within the last hour.
    pub auth_failures: u64,
    /// Calls refused for exceeding the rate limit or the quota, within the last hour.
    pub rate_limited: u64,
    /// Different keys tried within the last hour, at most 20 per minute.
    pub distinct_keys: u64,
    /// Time of the last refused call.
    pub last_seen: Instant,
}

/// Counts over time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Timeseries {
    /// Length of the buckets.
    pub granularity: Granularity,
    /// Start of the first bucket.
    pub from: Instant,
    /// End of the last bucket.
    pub to: Instant,
    /// The buckets, oldest first, including empty ones.
    pub points: Vec<Point>,
    /// The instant up to which every call reported in time is counted: now, unless there are more
    /// calls than can be read at once.
    pub as_of: Instant,
}

/// Length of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Granularity {
    /// 60 seconds.
    Minute,
    /// An hour by the clock in the time zone.
    Hour,
    /// A day by the calendar of the time zone.
    Day,
}

/// Counts of one bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Point {
    /// Start of the bucket.
    pub start: Instant,
    /// Accepted calls.
    pub total_calls: u64,
    /// Units of those calls: the weights of their routes, and amounts that count towards the quota.
    pub total_units: u64,
    /// Amounts that the upstream reported of those calls, by the name of the meter.
    pub meters: Vec<MeterAmount>,
    /// Calls refused without a valid key.
    pub auth_failures: u64,
    /// Calls refused for exceeding the rate limit or the quota.
    pub rate_limited: u64,
    /// Users with an accepted call. Null for a series over all users whose buckets are not those of
    /// UTC: users are counted by hour and day of UTC, and such counts do not add up.
    pub active_users: Option<u64>,
    /// The bucket's counts by the key of `groupBy`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<Group>")]
    pub groups: Option<Vec<Group>>,
}

/// Part of a bucket's counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    /// Event type, HTTP method, route template, HTTP status, id of an API key, or value of a
    /// dimension.
    pub key: String,
    /// Accepted calls; if the key is an event type, events of that type.
    pub total_calls: u64,
}

/// One user's usage, over all time and in the current period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserStats {
    /// Accepted calls of all time.
    pub total_calls: u64,
    /// Units of those calls: the weights of their routes, and amounts that count towards the quota.
    pub total_units: u64,
    /// Amounts that the upstream reported of those calls, by the name of the meter.
    pub meters: Vec<MeterAmount>,
    /// Accepted calls of all time by the values of each dimension that they carry, most first; calls
    /// without a value are in none.
    pub dimensions: BTreeMap<String, Vec<DimensionValue>>,
    /// Accepted calls of all time by the key that made them, most first. Calls that were counted
    /// before calls were counted by key are under none.
    pub keys: Vec<KeyTotal>,
    /// Calls of all time refused without a valid key.
    pub auth_failures: u64,
    /// Calls of all time refused for exceeding the rate limit or the quota.
    pub rate_limited: u64,
    /// The current period of the user's plan, from the plan's anchor day of one month to that of the next.
    pub current_period: CurrentPeriod,
    /// The thresholds of the quota that were announced in the current period, the lowest first.
    pub alerts: Vec<ReceivedAlert>,
    /// Calls of all time by method, most first.
    pub methods: Vec<MethodCalls>,
    /// Calls of all time by route, most first.
    pub endpoints: Vec<EndpointCalls>,
    /// Accepted calls by the status of their response, most first.
    pub statuses: Vec<StatusCount>,
    /// Latency of accepted calls.
    pub latency: Latency,
    /// Time of the first event; null for a user never seen.
    pub first_seen: Option<Instant>,
    /// Time of the last event; null for a user never seen.
    pub last_seen: Option<Instant>,
    /// The instant up to which every call reported in time is counted: now, unless there are more
    /// calls than can be read at once.
    pub as_of: Instant,
}

/// Calls made with one API key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyTotal {
    /// The key's id, never the key itself; `other` for all keys beyond the 50 with most calls.
    pub key: String,
    /// Accepted calls.
    pub total_calls: u64,
}

/// Calls that carry one value of a dimension.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DimensionValue {
    /// The value; `other` for all that are not counted apart.
    pub value: String,
    /// Accepted calls.
    pub calls: u64,
    /// Units of those calls.
    pub units: u64,
}

/// Usage in the current period, and the remaining quota.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CurrentPeriod {
    /// First instant of the period.
    pub start: Instant,
    /// First instant of the next period.
    pub end: Instant,
    /// Accepted calls in the period.
    pub calls: u64,
    /// Units of those calls; the quota counts units.
    pub units: u64,
    /// Amounts that the upstream reported of those calls, by the name of the meter.
    pub meters: Vec<MeterAmount>,
    /// Units that the plan allows in the period; null for no limit or an unknown plan.
    pub quota: Option<u64>,
    /// Remaining units of the quota.
    pub remaining: Option<u64>,
    /// When the quota runs out at the pace of the period so far; null if it lasts.
    pub exhausts_at: Option<Instant>,
}

/// A threshold of the quota that the user's units have crossed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReceivedAlert {
    /// The threshold in percent of the quota.
    pub percent: u8,
    /// Units used when the crossing was found.
    pub used: u64,
    /// The quota then, in units.
    pub quota: u64,
    /// When it was found.
    pub at: Instant,
}

/// Calls by one method.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MethodCalls {
    /// HTTP method.
    pub method: String,
    /// Accepted calls.
    pub total_calls: u64,
}

/// Calls by one status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StatusCount {
    /// HTTP status.
    pub status: u16,
    /// Accepted calls.
    pub count: u64,
}

/// Milliseconds within which this percentage of calls got their response; null if unknown.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Latency {
    /// 50 percent of them.
    pub p50: Option<u64>,
    /// 95 percent of them.
    pub p95: Option<u64>,
    /// 99 percent of them.
    pub p99: Option<u64>,
}

/// Calls in a span by route, and their responses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Endpoints {
    /// Start of the span.
    pub from: Instant,
    /// End of the span.
    pub to: Instant,
    /// Accepted calls.
    pub total_calls: u64,
    /// Calls refused without a valid key.
    pub auth_failures: u64,
    /// Calls refused for exceeding the rate limit or the quota.
    pub rate_limited: u64,
    /// Accepted calls by route, most first.
    pub endpoints: Vec<EndpointCalls>,
    /// `cursor` of the next page of routes; null on the last.
    pub next: Option<String>,
    /// Accepted calls by method, most first.
    pub methods: Vec<MethodCalls>,
    /// Accepted calls by the status of their response, most first.
    pub statuses: Vec<StatusCount>,
    /// Latency of accepted calls.
    pub latency: Latency,
    /// The instant up to which every call reported in time is counted: now, unless there are more
    /// calls than can be read at once.
    pub as_of: Instant,
}

/// The users with calls in a span.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Users {
    /// Start of the counted span: later than requested if more users called than can be read at
    /// once.
    pub from: Instant,
    /// End of the span.
    pub to: Instant,
    /// Users with an accepted call in the span, regardless of any search.
    pub total_users: u64,
    /// The requested users; for each minute, only the 5,000 users with most calls are known.
    pub users: Vec<UserUsage>,
    /// `cursor` of the next page; null on the last.
    pub next: Option<String>,
    /// The instant up to which every call reported in time is counted: now, unless there are more
    /// calls than can be read at once.
    pub as_of: Instant,
}

/// Calls of one user in a span.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserUsage {
    /// The user.
    pub email: String,
    /// Accepted calls.
    pub total_calls: u64,
    /// Start of the minute of the last accepted call.
    pub last_seen: Instant,
}
