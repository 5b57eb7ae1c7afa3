//! `diff`: the changes that a deploy would make.

use clap::Args;

use super::deploy;
use crate::context::Context;
use crate::options::{ArchOption, DriftOption};
use crate::stop::Exit;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The stacks; all by default
    #[arg(value_name = "STACK")]
    pub(crate) stacks: Vec<String>,
    /// Exit with code 3 if there is a difference
    #[arg(long)]
    pub(crate) exit_code: bool,
    #[command(flatten)]
    pub(crate) arch: ArchOption,
    #[command(flatten)]
    pub(crate) drift: DriftOption,
}

pub(crate) async fn run(context: &Context, args: Arguments) -> anyhow::Result<Exit> {
    let environment = context.environment()?;
    let plan = deploy::plan(context, environment, &args.stacks, args.arch, args.drift);
    let plan = Box::pin(plan).await?;
    plan.show(context)?;
    Ok(if plan.differs() && args.exit_code {
        Exit::Difference
    } else {
        Exit::Done
    })
}
