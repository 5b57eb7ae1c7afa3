//! `errors`: lists what could not be processed, and submits it to the functions again.

mod dead_letters;
mod list;
mod redrive;

use clap::{Args, Subcommand};
use deployer::{ErrorTable, Queues, Streams};
use domain::names::StackKind;

use crate::aws::{nothing_deployed, reach};
use crate::consent::{Consent, agreed};
use crate::context::Context;
use crate::delivery::Delivery;
use crate::stop::Exit;
use redrive::{Redrive, Redriven, is_offered};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) action: ErrorAction,
}

#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum ErrorAction {
    /// List records set aside, parked items and conflicts, and count the dead letters
    List,
    /// Submit records and dead letters to the functions again; what they accept leaves the list
    Redrive {
        #[command(flatten)]
        consent: Consent,
    },
}

pub(crate) async fn run(context: &Context, action: ErrorAction) -> anyhow::Result<Exit> {
    match action {
        ErrorAction::List => list::run(context).await,
        ErrorAction::Redrive { consent } => redrive_all(context, consent).await,
    }
}

async fn redrive_all(context: &Context, consent: Consent) -> anyhow::Result<Exit> {
    let reached = reach(context).await?;
    let found = reached.stacks().await?;
    if found.is_empty() {
        return Err(nothing_deployed(&reached.environment).into());
    }
    let names = reached.environment.names();
    let table = ErrorTable::new(&reached.session, &names);
    if consent.dry_run {
        let queues = Queues::new(&reached.session);
        let letters = queues.depths(&names.dead_letter_queues()).await?;
        let described = table.describe().await?;
        let offered = described.iter().filter(|record| is_offered(record));
        context.out.step(&format!(
            "would submit {} records set aside and the records of {} dead letters",
            offered.count(),
            letters.unwrap_or(0)
        ));
        return Ok(Exit::Done);
    }
    let question = format!(
        "submit what failed in `{}` to its functions again?",
        reached.environment.name
    );
    if !agreed(context, &reached.environment, consent, &question).await? {
        return Ok(Exit::Failed);
    }
    let mut redrive = Redrive {
        context,
        reached: &reached,
        delivery: Delivery::new(&reached),
        streams: Streams::new(&reached.session),
        stream: names.usage_stream(),
        has_processor: found.iter().any(|(kind, _)| *kind == StackKind::Kinesis),
        done: Redriven::default(),
        table,
    };
    context.out.step("submitting the records set aside");
    redrive.errors().await?;
    dead_letters::redrive(&mut redrive).await?;
    context.out.answer(&redrive.done, Redriven::text)?;
    Ok(redrive.done.exit())
}
