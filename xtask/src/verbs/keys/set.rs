//! `keys set`: a key's plan and its own rate limit.

use domain::limit::Rate;
use keyring::{RateSetting, Setting};

use super::arguments::KeyChange;
use super::{check_plan, find, operator, refused, ring};
use crate::aws::reach;
use crate::clock;
use crate::consent::{Consent, agreed};
use crate::context::Context;
use crate::stop::Exit;

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
    let (ring, operator) = (ring(&reached), operator(&reached).await?);
    let set = ring.set(id, change.into(), &operator, clock::now()).await;
    let set = set.map_err(refused)?;
    context
        .out
        .answer(&set, |set| format!("{} is on plan {}", set.id, set.plan))?;
    context.out.step("it takes effect everywhere within 30 s");
    Ok(Exit::Done)
}

impl From<KeyChange> for Setting {
    fn from(change: KeyChange) -> Self {
        let rate = match (change.rate, change.burst) {
            (Some(per_second), Some(burst)) => RateSetting::To(Rate { per_second, burst }),
            _ if change.no_rate => RateSetting::None,
            _ => RateSetting::Unchanged,
        };
        Self {
            plan: change.plan,
            rate,
        }
    }
}
