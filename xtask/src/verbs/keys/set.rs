//! `keys set`: a key's plan and its own rate limit.

use domain::key::{KeyRecord, attribute};
use serde::Serialize;

use super::arguments::KeyChange;
use super::{check_plan, find, table};
use crate::audit::note;
use crate::aws::reach;
use crate::consent::{Consent, agreed};
use crate::context::Context;
use crate::stop::Exit;

/// A key after the change.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Set {
    id: String,
    email: String,
    plan: String,
    rate_per_second: Option<u32>,
    burst: Option<u32>,
}

pub(super) async fn run(
    context: &Context,
    id: &str,
    change: KeyChange,
    consent: Consent,
) -> anyhow::Result<Exit> {
    let reached = reach(context).await?;
    reached.deployed().await?;
    if let Some(plan) = &change.plan {
        check_plan(&reached.environment, plan)?;
    }
    let record = find(&reached, id).await?;
    if consent.dry_run {
        let email = &record.email;
        context
            .out
            .step(&format!("would change key `{id}` of `{email}`"));
        return Ok(Exit::Done);
    }
    let question = format!("change key `{id}` of `{}`?", record.email);
    if !agreed(context, &reached.environment, consent, &question).await? {
        return Ok(Exit::Failed);
    }
    table(&reached)
        .change(&record.key_hash, &attributes(&change))
        .await?;
    note(&reached, "keys set", id).await?;
    let set = changed(record, change);
    context
        .out
        .answer(&set, |set| format!("{} is on plan {}", set.id, set.plan))?;
    context.out.step("it takes effect everywhere within 30 s");
    Ok(Exit::Done)
}

fn attributes(change: &KeyChange) -> Vec<(&'static str, Option<String>)> {
    let mut attributes = Vec::new();
    if let Some(plan) = &change.plan {
        attributes.push((attribute::PLAN, Some(plan.clone())));
    }
    let number = |number: Option<u32>| number.map(|number| number.to_string());
    if change.rate.is_some() || change.no_rate {
        attributes.push((attribute::KEY_RATE, number(change.rate)));
        attributes.push((attribute::KEY_BURST, number(change.burst)));
    }
    attributes
}

fn changed(record: KeyRecord, change: KeyChange) -> Set {
    let before = record.more.rate.filter(|_| !change.no_rate);
    Set {
        id: record.id,
        email: record.email,
        plan: change.plan.unwrap_or(record.plan),
        rate_per_second: change.rate.or(before.map(|rate| rate.per_second)),
        burst: change.burst.or(before.map(|rate| rate.burst)),
    }
}
