//! The answer to the gateway: a policy
//! (<https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-lambda-authorizer-output.html>),
//! or a yes or no for HTTP APIs
//! (<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-lambda-authorizer.html>).

use std::collections::BTreeMap;

use domain::event::UsageEvent;
use domain::key::KeyRecord;
use domain::limit::Over;
use domain::names::{UNAUTHORIZED, context};
use lambda_runtime::Diagnostic;
use runtime::random::NoRandomness;
use serde::Serialize;

use crate::limits::Limited;
use crate::request::{Form, Request};

/// Authorization of one call.
#[derive(Debug, Serialize)]
pub struct Authorization {
    #[serde(flatten)]
    verdict: Verdict,
    /// Strings only: a REST API copies nothing else into the access log.
    context: BTreeMap<&'static str, String>,
}

/// The verdict: a policy, or yes or no.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Verdict {
    #[serde(rename_all = "camelCase")]
    Policy {
        principal_id: String,
        policy_document: Policy,
    },
    #[serde(rename_all = "camelCase")]
    Simple { is_authorized: bool },
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
    effect: Effect,
    action: &'static str,
    resource: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
enum Effect {
    Allow,
    Deny,
}

impl Authorization {
    /// Allows the holder of `key` to call the stage of the request. The gateway caches no answer, so
    /// the policy applies to this one call. It does not contain the call's path: a caller chooses the
    /// path, and `*` and `?` are wildcards in a policy. `event` reports the call.
    pub fn of(request: &Request, key: &KeyRecord, event: &UsageEvent) -> Self {
        Self {
            verdict: Verdict::of(Effect::Allow, request, &key.id),
            context: said_of(key, event),
        }
    }

    /// Denies a call that exceeds its plan, with the reason and when to retry. A REST API passes both to
    /// the caller with a 429. An HTTP API answers 403 and writes them to its access log only.
    pub fn denied(
        request: &Request,
        key: &KeyRecord,
        event: &UsageEvent,
        limited: &Limited,
    ) -> Self {
        let mut context = said_of(key, event);
        context.extend(said_of_limit(limited));
        Self {
            verdict: Verdict::of(Effect::Deny, request, &key.id),
            context,
        }
    }

    /// Refuses a call without a usable key. A REST API answers the failure with 401. AWS documents that an
    /// HTTP API answers a failure with 500 and a denial with 403. The denial does not name its event: the
    /// reconciler would read a line that names one as a call of a user.
    pub fn refused(request: &Request) -> Result<Self, Failure> {
        match request.form {
            Form::Rest => Err(Failure::Unauthorized),
            Form::HttpPolicy | Form::HttpSimple => Ok(Self {
                verdict: Verdict::of(Effect::Deny, request, "unknown"),
                context: BTreeMap::new(),
            }),
        }
    }
}

impl Verdict {
    fn of(effect: Effect, request: &Request, principal: &str) -> Self {
        match request.form {
            Form::Rest | Form::HttpPolicy => Self::Policy {
                principal_id: principal.to_owned(),
                policy_document: Policy {
                    version: "2012-10-17",
                    statement: [Statement {
                        effect,
                        action: "execute-api:Invoke",
                        resource: stage_of(&request.method_arn),
                    }],
                },
            },
            Form::HttpSimple => Self::Simple {
                is_authorized: effect == Effect::Allow,
            },
        }
    }
}

/// The context of a call, from its event: for the access log and the upstream.
fn said_of(key: &KeyRecord, event: &UsageEvent) -> BTreeMap<&'static str, String> {
    let members = [
        (context::EVENT_ID, event.id.to_string()),
        (context::KEY_ID, key.id.clone()),
        (context::EMAIL, event.subject.to_string()),
        (context::PLAN, key.plan.clone()),
        (context::MODE, event.data.mode.to_string()),
        (context::ROUTE, event.data.endpoint.clone()),
        (context::UNITS, event.data.units.to_string()),
    ];
    members.into()
}

/// The further context of a call over its plan, for the caller's headers and body.
fn said_of_limit(limited: &Limited) -> [(&'static str, String); 5] {
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
    [
        (context::RETRY_AFTER, retry_after.to_string()),
        (
            context::RATE_LIMIT,
            format!("\"{name}\";r=0;t={retry_after}"),
        ),
        (context::RATE_LIMIT_POLICY, policy),
        (context::ERROR, error.to_owned()),
        (context::MESSAGE, message.to_owned()),
    ]
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
    /// The caller has no usable key. A REST API answers 401 to exactly this text.
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
