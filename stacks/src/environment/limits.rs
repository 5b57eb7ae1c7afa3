//! Limits that keep one caller from using up an account: rates and concurrency.

use schemars::JsonSchema;
use serde::Deserialize;

use super::text::{Bounded, Region};

/// How many calls the gateway accepts from all callers together. Further calls get 429 before any
/// function runs, and are not counted. By default half of AWS's usual quota for an account in the
/// region: the other half is left for the account's other APIs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Throttle {
    /// Sustained calls per second: by default 5,000, in regions with a lower quota 1,250. No plan
    /// may promise more.
    pub rate_per_second: Option<Bounded<1, 1_000_000>>,
    /// Calls accepted at once above the rate: by default 2,500, in regions with a lower quota 625.
    pub burst: Option<Bounded<1, 1_000_000>>,
}

impl Throttle {
    /// The rate and the burst in a region.
    pub fn within(self, region: &Region) -> (u32, u32) {
        let half = region.gateway_requests_per_second() / 2;
        let given = |number: Option<Bounded<1, 1_000_000>>| number.map(Bounded::get);
        // AWS's own bucket holds half a second of its rate.
        (
            given(self.rate_per_second).unwrap_or(half),
            given(self.burst).unwrap_or(half / 2),
        )
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
