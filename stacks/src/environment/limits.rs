//! Limits that keep one caller from using up an account: rates and concurrency.

use schemars::JsonSchema;
use serde::Deserialize;

use super::text::Bounded;

/// How many calls the gateway accepts from all callers together. Further calls get 429 before any
/// function runs, and are not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Throttle {
    /// Sustained calls per second. No plan may promise more.
    pub rate_per_second: Bounded<1, 1_000_000>,
    /// Calls accepted at once above the rate.
    pub burst: Bounded<1, 1_000_000>,
}

impl Default for Throttle {
    /// Half of AWS's usual quota for an account (API Gateway Developer Guide, "Quotas"): the other
    /// half is left for the account's other APIs.
    fn default() -> Self {
        Self {
            rate_per_second: Bounded::clamped(5_000),
            burst: Bounded::clamped(2_500),
        }
    }
}

/// Concurrent executions reserved for a function: no other function uses them, and it uses no more.
/// Without a number a function shares the rest of the account's quota. AWS keeps 100 unreserved, so
/// an account with a small quota cannot reserve any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Concurrency {
    /// The authorizer: each execution serves at most ten calls per second.
    pub authorizer: Option<Bounded<1, 100_000>>,
    /// The analytics API.
    pub analytics: Option<Bounded<1, 100_000>>,
    /// The collector of amounts, where `meters` declares any.
    pub collector: Option<Bounded<1, 100_000>>,
    /// `/v1/keys`.
    pub keys: Option<Bounded<1, 100_000>>,
    /// The reconciler: more than the two batches that its queue delivers concurrently, because it
    /// receives the access log's lines as well.
    pub reconciler: Option<Bounded<3, 100_000>>,
}

/// A web application firewall in front of the stage. AWS bills it separately.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Waf {
    /// Calls of one address in five minutes; further calls get 403.
    pub calls_per_five_minutes: Bounded<10, 2_000_000_000>,
}

/// The key that encrypts stored data, instead of AWS's own.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Encryption {
    /// The ARN of a symmetric KMS key of the environment's region. It encrypts stream, tables,
    /// queues, topic, logs and the secrets of webhooks. SECURITY.md contains the key policy that it
    /// needs.
    pub key: super::text::KeyArn,
}
