//! The command line.

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::consent::Consent;
use crate::context::Context;
use crate::options::Global;
use crate::stop::Exit;
use crate::verbs::{
    attach, bench, block, build, check, codegen, completions, cost, dashboard, deploy, destroy,
    diff, errors, events, explain, host, iam, keys, logs, outputs, prices, replay, report,
    rollback, schema, status, synth, test, token, tools, traffic, usage, users, verify, webhooks,
};

mod examples;

/// Deploys, runs and operates the metering system.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    disable_help_subcommand = true,
    after_help = "Exit codes: 0 done, 1 failed, 2 used or configured wrongly, 3 something differs, 4 AWS refused, 130 interrupted."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

impl Cli {
    /// Parses the command line. Ends the process if it cannot be understood.
    pub(crate) fn read() -> Self {
        let matches = command().get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

/// The commands with their examples: the source of `--help`, completions and the reference.
pub(crate) fn command() -> clap::Command {
    examples::added(Cli::command())
}

/// The verb.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Build, synthesise, publish, and change the stacks
    Deploy(deploy::Arguments),
    /// Print what a deploy would change
    Diff(diff::Arguments),
    /// Return to synchronous mode without downtime: the API first, then the stream
    Rollback(Consent),
    /// Delete the stacks
    Destroy(destroy::Arguments),
    /// Write the cloud assembly to `cdk.out`
    Synth(synth::Arguments),
    /// Build the functions' zips
    Build(build::Arguments),
    /// Print what your own API needs so that the environment meters it, or check a live one
    Attach(attach::Arguments),
    /// Print stack outputs and the local keys
    Outputs,
    /// Create, list, rotate, change, import and revoke API keys
    Keys(keys::Arguments),
    /// List users, and override their plans
    Users(users::Arguments),
    /// Export each user's usage for billing
    Usage(usage::Arguments),
    /// Report usage of a week or a month per user and per plan, with its changes, for mail
    Report(report::Arguments),
    /// List deliveries of alerts, redrive them, show secrets, test an endpoint
    Webhooks(webhooks::Arguments),
    /// Refuse an address or a user from now on
    Block(block::Arguments),
    /// Accept an address or a user again
    Unblock(block::Arguments),
    /// Print a bearer token for the analytics API (`local` only)
    Token(token::Arguments),
    /// Send real calls, then compare calls sent with calls counted
    Traffic(traffic::Arguments),
    /// Check that every resource exists, and that one real call is counted
    Verify,
    /// Print the health: mode, calls, lag, alarms with remedies, dead letters
    Status(status::Arguments),
    /// Print the functions' logs
    Logs(logs::Arguments),
    /// List what could not be processed, and submit it to the functions again
    Errors(errors::Arguments),
    /// Read the stream again and submit every record once more; counts stay exact
    Replay(replay::Arguments),
    /// Print the events of the journal as JSON lines, each once
    Events(events::Arguments),
    /// Draw a deployed dashboard, with the environment's metrics, as a page
    Dashboard(dashboard::Arguments),
    /// Print the roles that deploy and operate an environment, as a CloudFormation template
    Iam,
    /// Estimate the monthly cost, savings, and the cost of other ways to count
    Cost(cost::Arguments),
    /// Print AWS's prices of a region as a table for `cost`, from AWS's price list
    Prices(prices::Arguments),
    /// Print everything known about one call: who decided it, which track reported it, which sums
    /// hold it
    Explain(explain::Arguments),
    /// Print JSON Schemas, and the description of the analytics API
    Schema(schema::Arguments),
    /// Print a script that completes these commands in a shell
    Completions(completions::Arguments),
    /// Measure the cost and speed of the system, against targets and peers of the same run
    Bench(bench::Arguments),
    /// Install and start what the tests need, then run all tests
    Test(test::Arguments),
    /// Check the rules that the compiler does not enforce
    Check,
    /// Generate the resource types from AWS's published schema, and the reference of the commands
    Codegen(codegen::Arguments),
    /// Run functions for the local environment; started by `deploy`
    #[command(hide = true)]
    Host(host::Arguments),
    /// Install the tools of the test suites, and print their locations
    #[command(hide = true)]
    Tools,
}

/// Runs the verb of the command line.
pub(crate) async fn run(context: &Context, verb: Verb) -> anyhow::Result<Exit> {
    match verb {
        // By far the largest.
        Verb::Deploy(args) => Box::pin(deploy::run(context, args)).await,
        Verb::Diff(args) => Box::pin(diff::run(context, args)).await,
        Verb::Rollback(consent) => Box::pin(rollback::run(context, consent)).await,
        Verb::Destroy(args) => Box::pin(destroy::run(context, args)).await,
        Verb::Synth(args) => synth::run(context, args, &command()).await,
        Verb::Build(args) => build::run(context, args).await,
        Verb::Attach(args) => attach::run(context, &args).await,
        Verb::Outputs => outputs::run(context).await,
        Verb::Keys(args) => keys::run(context, args.action).await,
        Verb::Users(args) => users::run(context, args.action).await,
        Verb::Webhooks(args) => webhooks::run(context, args.action).await,
        Verb::Usage(args) => usage::run(context, args.action).await,
        Verb::Report(args) => report::run(context, args).await,
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
        Verb::Prices(args) => prices::run(context, &args).await,
        Verb::Explain(args) => explain::run(context, &args).await,
        Verb::Schema(args) => schema::run(context, args.of),
        Verb::Completions(args) => completions::run(args.shell, &command()),
        Verb::Bench(args) => bench::run(context, &args).await,
        Verb::Test(args) => test::run(context, args).await,
        Verb::Check => check::run(context, &command()).await,
        Verb::Codegen(args) => codegen::run(context, args.check, &command()),
        Verb::Tools => tools::run(context).await,
        // It runs without this context; `main` handles it.
        Verb::Host(_) => Ok(Exit::Done),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn a_verb_that_only_reads_refuses_dry_run() {
        for verb in [
            "status",
            "outputs",
            "build",
            "synth",
            "events",
            "dashboard",
            "report",
            "cost",
            "prices",
            "diff",
        ] {
            let parsed = Cli::try_parse_from(["xtask", verb, "--dry-run"]);
            assert!(parsed.is_err_and(|error| error.exit_code() == 2), "{verb}");
        }
        assert!(Cli::try_parse_from(["xtask", "deploy", "--dry-run"]).is_ok());
    }

    #[test]
    fn faults_are_an_option_and_what_else_is_unknown_goes_to_the_runner() {
        let test = |args: &str| {
            let args = ["xtask", "test"].into_iter().chain(args.split(' '));
            match Cli::try_parse_from(args).map(|cli| cli.verb) {
                Ok(Verb::Test(test)) => Some((test.faults, test.seed, test.args)),
                _ => None,
            }
        };
        let none = Vec::<String>::new;
        assert_eq!(test("--faults 9 --seed 7"), Some((Some(9), 7, none())));
        assert_eq!(test("--seed 7"), None);
        let passed = test("--no-capture poison").map(|(_, _, args)| args);
        assert_eq!(passed, Some(vec!["--no-capture".into(), "poison".into()]));
    }

    #[test]
    fn bad_values_name_what_is_allowed() {
        let message = Cli::try_parse_from(["xtask", "traffic", "--rps", "5", "--duration", "5w"])
            .map_err(|error| error.to_string());
        assert!(message.is_err_and(|text| text.contains("invalid duration `5w`")));
    }
}
