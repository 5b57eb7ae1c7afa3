//! `errors`: lists what could not be processed, and submits it to the functions again.

mod dead_letters;
mod list;
mod redrive;

use crate::cli::ErrorAction;
use crate::context::Context;
use crate::stop::Exit;

pub(super) async fn run(context: &Context, action: ErrorAction) -> anyhow::Result<Exit> {
    match action {
        ErrorAction::List => list::run(context).await,
        ErrorAction::Redrive { consent } => redrive::run(context, consent).await,
    }
}
