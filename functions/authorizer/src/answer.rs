//! What the gateway is told
//! (<https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-lambda-authorizer-output.html>).

use std::collections::BTreeMap;

use domain::event::UsageEvent;
use domain::key::KeyRecord;
use domain::names::{UNAUTHORIZED, context};
use lambda_runtime::Diagnostic;
use runtime::random::NoRandomness;
use serde::Serialize;

/// Leave to make one call.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Leave {
    principal_id: String,
    policy_document: Policy,
    /// Strings only: the gateway passes nothing else on to the access log.
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

impl Leave {
    /// Leave for the holder of `key` to call `method_arn` and nothing else: the gateway caches no
    /// answer. `event` is what the call is reported as.
    pub fn of(key: &KeyRecord, method_arn: &str, event: &UsageEvent) -> Self {
        let members = [
            (context::EVENT_ID, event.id.to_string()),
            (context::KEY_ID, key.id.clone()),
            (context::EMAIL, event.subject.to_string()),
            (context::PLAN, key.plan.clone()),
            (context::MODE, event.data.mode.to_string()),
            (context::LANES, event.data.lanes.to_string()),
        ];
        Self {
            principal_id: key.id.clone(),
            policy_document: Policy {
                version: "2012-10-17",
                statement: [Statement {
                    effect: "Allow",
                    action: "execute-api:Invoke",
                    resource: method_arn.to_owned(),
                }],
            },
            context: members.into(),
        }
    }
}

/// No leave.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The gateway makes 401 of exactly this text.
    #[error("{UNAUTHORIZED}")]
    Unauthorized,
    /// It cannot be said who calls; the gateway makes 500 of it.
    #[error("the table of keys is unavailable")]
    Undecided,
    /// The decision cannot be named; the gateway makes 500 of it.
    #[error("the decision has no id")]
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
