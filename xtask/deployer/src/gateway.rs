//! API Gateway's settings and API keys, which belong to the whole account.

use std::collections::{BTreeMap, BTreeSet};

use domain::key;

use crate::error::{Error, failed};
use crate::session::Session;

/// API Gateway's settings for the account and region.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GatewayAccount {
    /// The ARN of the role with which it writes the logs of all APIs, if one is set.
    pub logs_role: Option<String>,
    /// The requests per second that it accepts for all APIs together.
    pub requests_per_second: Option<f64>,
}

/// Asks API Gateway for its settings of the account and region.
pub async fn gateway_account(session: &Session) -> Result<GatewayAccount, Error> {
    let account = aws_sdk_apigateway::Client::new(session.config())
        .get_account()
        .send()
        .await
        .map_err(failed("GetAccount"))?;
    Ok(GatewayAccount {
        logs_role: account.cloudwatch_role_arn.filter(|arn| !arn.is_empty()),
        requests_per_second: account.throttle_settings.map(|quota| quota.rate_limit),
    })
}

/// An API key that API Gateway holds. Its value is forgotten once it is hashed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GatewayKey {
    /// API Gateway's id of the key.
    pub id: String,
    /// SHA-256 of the key.
    pub hash: String,
    /// Whether API Gateway accepts the key.
    pub enabled: bool,
    /// Its name.
    pub name: Option<String>,
    /// Its description.
    pub description: Option<String>,
    /// The id of a customer of AWS Marketplace, or one's own.
    pub customer_id: Option<String>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// The API keys of the account and region, in the order of their ids; with `usage_plan` only those
/// of this usage plan.
pub async fn gateway_keys(
    session: &Session,
    usage_plan: Option<&str>,
) -> Result<Vec<GatewayKey>, Error> {
    let client = aws_sdk_apigateway::Client::new(session.config());
    let members = match usage_plan {
        Some(plan) => Some(members(&client, plan).await?),
        None => None,
    };
    let mut pages = client
        .get_api_keys()
        .include_values(true)
        .into_paginator()
        .items()
        .send();
    let mut keys = Vec::new();
    while let Some(found) = pages.next().await {
        let found = found.map_err(failed("GetApiKeys"))?;
        let incomplete = |member| Error::Incomplete {
            operation: "GetApiKeys",
            member,
        };
        let id = found.id.ok_or(incomplete("id"))?;
        if members
            .as_ref()
            .is_some_and(|members| !members.contains(&id))
        {
            continue;
        }
        keys.push(GatewayKey {
            id,
            hash: key::hash(&found.value.ok_or(incomplete("value"))?),
            enabled: found.enabled,
            name: found.name,
            description: found.description,
            customer_id: found.customer_id,
            tags: found.tags.unwrap_or_default().into_iter().collect(),
        });
    }
    keys.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(keys)
}

/// The ids of the keys of a usage plan.
async fn members(
    client: &aws_sdk_apigateway::Client,
    usage_plan: &str,
) -> Result<BTreeSet<String>, Error> {
    let mut pages = client
        .get_usage_plan_keys()
        .usage_plan_id(usage_plan)
        .into_paginator()
        .items()
        .send();
    let mut ids = BTreeSet::new();
    while let Some(found) = pages.next().await {
        ids.extend(found.map_err(failed("GetUsagePlanKeys"))?.id);
    }
    Ok(ids)
}
