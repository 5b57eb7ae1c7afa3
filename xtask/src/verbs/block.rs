//! `block` and `unblock`: refused addresses and users. The rules are those of [`keyring`], which
//! `/v1/blocks` uses too.

use clap::Args;
use keyring::Whom;

use super::keys::{operator, refused, ring};
use crate::aws::reach;
use crate::clock;
use crate::consent::{Consent, agreed};
use crate::context::Context;
use crate::stop::Exit;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// An address (for IPv6 its /64 counts), or a user's email
    #[arg(value_name = "ADDRESS|EMAIL")]
    pub(crate) whom: String,
    #[command(flatten)]
    pub(crate) consent: Consent,
}

pub(crate) async fn run(
    context: &Context,
    args: &Arguments,
    blocked: bool,
) -> anyhow::Result<Exit> {
    let reached = reach(context).await?;
    reached.deployed().await?;
    let whom = Whom::read(&args.whom).map_err(refused)?;
    let verb = if blocked { "block" } else { "unblock" };
    if args.consent.dry_run {
        context.out.step(&format!("would {verb} `{}`", whom.name()));
        return Ok(Exit::Done);
    }
    let question = format!("{verb} `{}`?", whom.name());
    if !agreed(context, &reached.environment, args.consent, &question).await? {
        return Ok(Exit::Failed);
    }
    let operator = operator(&reached).await?;
    let changed = ring(&reached)
        .set_blocked(&whom, blocked, &operator, clock::now())
        .await
        .map_err(refused)?;
    context.out.answer(&changed, |answer| {
        let is = if answer.blocked {
            "blocked"
        } else {
            "not blocked"
        };
        format!("{} is {is}", answer.whom)
    })?;
    context.out.step("it takes effect everywhere within 30 s");
    Ok(Exit::Done)
}
