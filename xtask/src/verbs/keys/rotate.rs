//! `keys rotate`: replaces a key by a new one, and keeps the old one working for a while.

use std::time::Duration;

use domain::key::{ApiKey, KeyDetails, KeyRecord, KeyStatus, attribute};
use domain::time::UnixMillis;
use serde::Serialize;

use super::{agreed, find, new_id, note, random, table};
use crate::aws::{Reached, reach};
use crate::cli::Consent;
use crate::clock;
use crate::context::Context;
use crate::stop::{Exit, Stop};

/// A key that replaces another. Its secret is visible only here.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Rotated {
    id: String,
    key: String,
    email: String,
    plan: String,
    created_at: String,
    expires_at: Option<String>,
    replaces: String,
    grace_until: String,
}

pub(super) async fn run(
    context: &Context,
    id: &str,
    grace: Duration,
    consent: Consent,
) -> anyhow::Result<Exit> {
    let reached = reach(context).await?;
    reached.deployed().await?;
    let old = find(&reached, id).await?;
    let now = clock::now();
    let status = old.status(now);
    if !matches!(status, KeyStatus::Active | KeyStatus::Grace) {
        let message = format!(
            "key `{id}` is {}: nothing is left to replace",
            status.as_str()
        );
        return Err(Stop::usage(message)
            .hint("create a new one with `cargo xtask keys create`")
            .into());
    }
    let grace = i64::try_from(grace.as_millis()).unwrap_or(i64::MAX);
    let until = old.grace_end(now, grace);
    if consent.dry_run {
        context.out.step(&format!(
            "would replace key `{id}` of `{}`, which would work until {until}",
            old.email
        ));
        return Ok(Exit::Done);
    }
    let question = format!(
        "replace key `{id}` of `{}`, which works until {until}?",
        old.email
    );
    if !agreed(context, &reached.environment, consent, &question)? {
        return Ok(Exit::Failed);
    }
    let rotated = replace(&reached, &old, now, until).await?;
    context.out.answer(&rotated, |rotated| {
        format!("{}\n{}", rotated.id, rotated.key)
    })?;
    context.out.step(&format!(
        "the key is shown only this once; `{id}` works until {until}"
    ));
    // Only after the key is shown: if this fails, nothing shows the key again.
    note(&reached, "keys rotate", id).await?;
    Ok(Exit::Done)
}

/// Creates the new key, then ends the old one. If only the first step succeeds, both keys work and
/// the command can be run again.
async fn replace(
    reached: &Reached,
    old: &KeyRecord,
    now: UnixMillis,
    until: UnixMillis,
) -> anyhow::Result<Rotated> {
    let prefix = reached.environment.resource_prefix.as_str();
    let key = ApiKey::mint(prefix, random()?);
    let record = KeyRecord {
        key_hash: key.hash(),
        id: new_id()?,
        prefix: key.shown().to_owned(),
        created_at: now,
        more: KeyDetails {
            replaces: Some(old.id.clone()),
            grace_until: None,
            last_used_at: None,
            ..old.more.clone()
        },
        ..old.clone()
    };
    table(reached).insert(&record).await?;
    let ends = [(attribute::GRACE_UNTIL, Some(until.to_string()))];
    table(reached).change(&old.key_hash, &ends).await?;
    Ok(Rotated {
        id: record.id,
        key: key.reveal().to_owned(),
        email: record.email,
        plan: record.plan,
        created_at: record.created_at.to_string(),
        expires_at: record.expires_at.map(|time| time.to_string()),
        replaces: old.id.clone(),
        grace_until: until.to_string(),
    })
}
