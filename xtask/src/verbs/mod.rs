//! The verbs, one module each.

mod attach;
mod bench;
mod block;
mod build;
mod check;
mod codegen;
mod completions;
pub(crate) mod cost;
mod dashboard;
mod delivery;
mod deploy;
mod destroy;
mod diff;
mod errors;
mod events;
mod explain;
pub(crate) mod host;
mod iam;
mod keys;
mod logs;
mod outputs;
mod replay;
mod rollback;
mod schema;
mod status;
mod synth;
mod test;
mod token;
mod tools;
mod traffic;
mod usage;
mod users;
mod verify;
mod webhooks;

use crate::cli::Verb;
use crate::context::Context;
use crate::stop::Exit;

/// Runs the verb of the command line.
pub(crate) async fn run(context: &Context, verb: Verb) -> anyhow::Result<Exit> {
    match verb {
        // By far the largest.
        Verb::Deploy(args) => Box::pin(deploy::run(context, args)).await,
        Verb::Diff(args) => Box::pin(diff::run(context, args)).await,
        Verb::Rollback(consent) => Box::pin(rollback::run(context, consent)).await,
        Verb::Destroy(args) => Box::pin(destroy::run(context, args)).await,
        Verb::Synth(args) => synth::run(context, args).await,
        Verb::Build(args) => build::run(context, args).await,
        Verb::Attach(args) => attach::run(context, &args).await,
        Verb::Outputs => outputs::run(context).await,
        Verb::Keys(args) => keys::run(context, args.action).await,
        Verb::Users(args) => users::run(context, args.action).await,
        Verb::Webhooks(args) => webhooks::run(context, args.action).await,
        Verb::Usage(args) => usage::run(context, args.action).await,
        Verb::Block(args) => block::run(context, &args, true).await,
        Verb::Unblock(args) => block::run(context, &args, false).await,
        Verb::Token(args) => token::run(context, &args),
        Verb::Traffic(args) => traffic::run(context, &args).await,
        Verb::Verify => verify::run(context).await,
        Verb::Status(args) => status::run(context, args).await,
        Verb::Logs(args) => logs::run(context, args).await,
        Verb::Errors(args) => errors::run(context, args.action).await,
        Verb::Replay(args) => replay::run(context, &args).await,
        Verb::Events(args) => events::run(context, &args).await,
        Verb::Dashboard(args) => dashboard::run(context, args).await,
        Verb::Iam => iam::run(context),
        Verb::Cost(args) => cost::run(context, &args),
        Verb::Explain(args) => explain::run(context, &args).await,
        Verb::Schema(args) => schema::run(context, args.of),
        Verb::Completions(args) => completions::run(args.shell),
        Verb::Bench(args) => bench::run(context, &args).await,
        Verb::Test(args) => test::run(context, args).await,
        Verb::Check => check::run(context).await,
        Verb::Codegen(args) => codegen::run(context, args.check),
        Verb::Tools => tools::run(context).await,
        // It runs without this context; `main` handles it.
        Verb::Host(_) => Ok(Exit::Done),
    }
}
