//! `diff`: the changes that a deploy would make.

use super::deploy;
use crate::cli::Diff;
use crate::context::Context;
use crate::stop::Exit;

pub(super) async fn run(context: &Context, args: Diff) -> anyhow::Result<Exit> {
    let environment = context.environment()?;
    let plan = deploy::plan(context, environment, &args.stacks, args.arch);
    let plan = Box::pin(plan).await?;
    plan.show(context)?;
    Ok(if plan.differs() && args.exit_code {
        Exit::Difference
    } else {
        Exit::Done
    })
}
