//! What keeps one caller from using up an account: rates and concurrency.

use schemars::JsonSchema;
use serde::Deserialize;

use super::text::Bounded;

/// How many calls the gateway takes of everybody together. What is beyond is answered 429 before any
/// function runs, and not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Throttle {
    /// Calls a second, sustained. No plan may promise more.
    pub rate_per_second: Bounded<1, 1_000_000>,
    /// Calls above the rate that are let through at once.
    pub burst: Bounded<1, 1_000_000>,
}

impl Default for Throttle {
    /// Half of what AWS gives an account in most regions (API Gateway Developer Guide, "Quotas"): the
    /// other half is left to the account's other APIs.
    fn default() -> Self {
        Self {
            rate_per_second: Bounded::clamped(5_000),
            burst: Bounded::clamped(2_500),
        }
    }
}

/// Concurrent executions that are reserved for a function: no other takes them, and it takes no more.
/// Without a number a function shares what the account has left. AWS keeps 100 unreserved, so an
/// account with a small quota can reserve none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Concurrency {
    /// The authorizer: each serves at most ten calls a second.
    pub authorizer: Option<Bounded<1, 100_000>>,
    /// The analytics API.
    pub analytics: Option<Bounded<1, 100_000>>,
    /// The reconciler: more than the two batches that its queue hands out at once, for the access
    /// log's lines come to it too.
    pub reconciler: Option<Bounded<3, 100_000>>,
}

/// A web application firewall before the stage. AWS bills it apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Waf {
    /// Calls of one address in five minutes; what is beyond is answered 403.
    pub calls_per_five_minutes: Bounded<10, 2_000_000_000>,
}

/// The key that encrypts what is stored, in place of AWS's own.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Encryption {
    /// The ARN of a symmetric KMS key of the environment's region: stream, tables, queues, topic and
    /// logs are encrypted with it. SECURITY.md has the key policy that it needs.
    pub key: super::text::KeyArn,
}
