//! Consent to a change: given on the command line, or asked for.

use clap::Args;
use stacks::environment::Environment;

use crate::context::Context;

/// Consent.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Consent {
    /// Show what would be done, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Answer every question with yes
    #[arg(long)]
    pub(crate) yes: bool,
}

/// Every change outside `local` needs a confirmation.
pub(crate) async fn agreed(
    context: &Context,
    environment: &Environment,
    consent: Consent,
    question: &str,
) -> anyhow::Result<bool> {
    if consent.yes || environment.is_local() {
        return Ok(true);
    }
    context.confirm(question).await
}
