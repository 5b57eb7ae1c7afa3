//! The answer to the gateway
//! (<https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-lambda-authorizer-output.html>).

use std::collections::BTreeMap;

use domain::event::UsageEvent;
use domain::key::KeyRecord;
use domain::limit::Over;
use domain::names::{UNAUTHORIZED, context};
use lambda_runtime::Diagnostic;
use runtime::random::NoRandomness;
use serde::Serialize;

use crate::limits::Limited;

/// Authorization of one call.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Authorization {
    principal_id: String,
    policy_document: Policy,
    /// Strings only: the gateway copies nothing else into the access log.
    context: BTreeMap<&'static str, String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Policy {
    version: &'static str,
    statement: [Statement; 1],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Statement {
    effect: &'static str,
    action: &'static str,
    resource: String,
}

impl Authorization {
    /// Allows the holder of `key` to call the stage of `method_arn`. The gateway caches no answer, so
    /// the policy holds for this one call. It does not repeat the call's path: a caller chooses that,
    /// and in a policy `*` and `?` are wildcards. `event` reports the call.
    pub fn of(key: &KeyRecord, method_arn: &str, event: &UsageEvent) -> Self {
        Self::decided("Allow", key, method_arn, event)
    }

    /// Denies the call, which the gateway answers with 429: says why, and when to come again.
    pub fn denied(
        key: &KeyRecord,
        method_arn: &str,
        event: &UsageEvent,
        limited: &Limited,
    ) -> Self {
        let mut denied = Self::decided("Deny", key, method_arn, event);
        let Limited {
            over,
            limits,
            retry_after,
        } = limited;
        let rate = limits.rate;
        // RateLimit header fields for HTTP, draft-ietf-httpapi-ratelimit-headers-10. The window of a
        // policy is the time in which an empty bucket fills.
        let window = u64::from(rate.burst).div_ceil(rate.per_second.max(1).into());
        let (name, error, message, policy) = match over {
            Over::Rate { .. } => (
                "rate",
                "rateLimited",
                "too many calls at once, try again after the seconds in Retry-After",
                format!("\"rate\";q={};w={window}", rate.burst),
            ),
            Over::Quota => (
                "quota",
                "quotaExceeded",
                "the quota of this period is used up, try again after the seconds in Retry-After",
                format!("\"quota\";q={}", limits.quota.unwrap_or_default()),
            ),
        };
        denied.context.extend([
            (context::RETRY_AFTER, retry_after.to_string()),
            (
                context::RATE_LIMIT,
                format!("\"{name}\";r=0;t={retry_after}"),
            ),
            (context::RATE_LIMIT_POLICY, policy),
            (context::ERROR, error.to_owned()),
            (context::MESSAGE, message.to_owned()),
        ]);
        denied
    }

    fn decided(
        effect: &'static str,
        key: &KeyRecord,
        method_arn: &str,
        event: &UsageEvent,
    ) -> Self {
        let members = [
            (context::EVENT_ID, event.id.to_string()),
            (context::KEY_ID, key.id.clone()),
            (context::EMAIL, event.subject.to_string()),
            (context::PLAN, key.plan.clone()),
            (context::MODE, event.data.mode.to_string()),
            (context::ROUTE, event.data.endpoint.clone()),
            (context::UNITS, event.data.units.to_string()),
        ];
        Self {
            principal_id: key.id.clone(),
            policy_document: Policy {
                version: "2012-10-17",
                statement: [Statement {
                    effect,
                    action: "execute-api:Invoke",
                    resource: stage_of(method_arn),
                }],
            },
            context: members.into(),
        }
    }
}

/// Every method of the stage that a method's ARN names:
/// `arn:aws:execute-api:{region}:{account}:{api}/{stage}/*`.
fn stage_of(method_arn: &str) -> String {
    let mut parts = method_arn.splitn(3, '/');
    let api = parts.next().unwrap_or_default();
    let stage = parts.next().unwrap_or_default();
    format!("{api}/{stage}/*")
}

/// Why a call is not authorized.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The caller has no usable key. The gateway answers 401 to exactly this text.
    #[error("{UNAUTHORIZED}")]
    Unauthorized,
    /// The caller cannot be identified; the gateway answers 500.
    #[error("the API-key table is unavailable")]
    Undecided,
    /// No event id can be minted for the decision; the gateway answers 500.
    #[error("cannot mint an event id")]
    Unnamed(#[from] NoRandomness),
}

impl From<Failure> for Diagnostic {
    fn from(failure: Failure) -> Self {
        let error_type = match failure {
            Failure::Unauthorized => "Unauthorized",
            Failure::Undecided => "Undecided",
            Failure::Unnamed(_) => "Unnamed",
        };
        Self {
            error_type: error_type.to_owned(),
            error_message: failure.to_string(),
        }
    }
}
