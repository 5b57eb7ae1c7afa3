//! `keys rotate`: replaces a key by a new one, and keeps the old one working for a while.

use std::time::Duration;

use keyring::Rotation;

use super::{find, operator, refused, ring};
use crate::aws::reach;
use crate::clock;
use crate::consent::{Consent, agreed};
use crate::context::Context;
use crate::stop::{Exit, Stop};

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
    if !old.works(now) {
        let message = format!(
            "key `{id}` is {}: nothing is left to replace",
            status.as_str()
        );
        return Err(Stop::usage(message)
            .hint("create a new one with `cargo xtask keys create`")
            .into());
    }
    let (ring, operator) = (ring(&reached), operator(&reached).await?);
    let planned = ring.plan_rotation(id, grace, &operator, now).await;
    let Rotation { old, until } = planned.map_err(refused)?;
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
    if !agreed(context, &reached.environment, consent, &question).await? {
        return Ok(Exit::Failed);
    }
    let planned = Rotation { old, until };
    let rotated = ring.rotate(planned, &operator, now).await;
    let rotated = rotated.map_err(refused)?;
    context.out.answer(&rotated, |rotated| {
        format!("{}\n{}", rotated.new.id, rotated.new.key)
    })?;
    context.out.step(&format!(
        "the key is shown only this once; `{id}` works until {until}"
    ));
    Ok(Exit::Done)
}
