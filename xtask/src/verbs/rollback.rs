//! `rollback`: switches to synchronous mode and overrides the environment file.
//!
//! It deploys an environment whose `analytics.enabled` is `false`: the API first, whose authorizer
//! then appends to the journal itself; then the stream's stack, once the processor has emptied the
//! stream. No file changes, so the next `deploy` follows the file again.

use domain::names::{StackKind, TrackingMode};

use super::deploy;
use super::outputs::{self, Outputs};
use crate::aws::{deployed_mode, reach};
use crate::consent::Consent;
use crate::context::Context;
use crate::options::{ArchOption, DriftOption};
use crate::stop::Exit;

/// Neither direction changes the tables' stack.
const CHANGED: [StackKind; 2] = [StackKind::Kinesis, StackKind::Api];

pub(crate) async fn run(context: &Context, consent: Consent) -> anyhow::Result<Exit> {
    let reached = reach(context).await?;
    let found = reached.deployed().await?;
    let has_stream = found.iter().any(|(kind, _)| *kind == StackKind::Kinesis);
    if deployed_mode(&found) == TrackingMode::Synchronous && !has_stream {
        context
            .out
            .step("nothing changed: the mode is `synchronous`");
        let outputs = outputs::collect(context, &reached).await?;
        context.out.answer(&outputs, Outputs::text)?;
        return Ok(Exit::Done);
    }
    let file = context.environment_as_deployed()?;
    let follows = file.mode() == TrackingMode::Stream;
    let environment = file.with_analytics(Some(false));
    let names = environment.names();
    let args = deploy::Arguments {
        stacks: CHANGED.map(|kind| names.stack(kind)).to_vec(),
        consent,
        arch: ArchOption { arch: None },
        drift: DriftOption::default(),
        port: None,
        watch: false,
        demo: context.local().state()?.demo.is_some(),
    };
    let exit = Box::pin(deploy::with(context, environment, args)).await?;
    if follows && exit == Exit::Done && !consent.dry_run {
        context.out.step(
            "the environment file still says `stream`: the next `cargo xtask deploy` goes back to it",
        );
    }
    Ok(exit)
}
