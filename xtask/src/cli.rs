//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use domain::key::Quota;
use domain::time::UnixMillis;
use regex_lite::Regex;
use stacks::environment::Architecture;

use crate::duration::{Past, When, duration, month, past, when};
use crate::verbs::cost::{Shape, calls, shape};

mod examples;

/// Deploys, runs and looks after the metering system.
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
    /// What the command line says. Ends the process where it says nothing that is understood.
    pub(crate) fn read() -> Self {
        let matches = command().get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

/// The commands with their examples: what `--help`, completions and the reference are made of.
pub(crate) fn command() -> clap::Command {
    examples::added(Cli::command())
}

/// Options of every verb.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// The environment: a file of `stacks/environments`, without `.yaml`
    #[arg(long, global = true, value_name = "NAME", default_value = "local")]
    pub(crate) env: String,
    /// One JSON document on stdout, nothing else
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// No progress on stderr
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// Where the local environment lives, so that two can stand side by side
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "XTASK_LOCAL_DIR",
        hide_env_values = true,
        help_heading = "Local"
    )]
    pub(crate) local_dir: Option<PathBuf>,
    /// Where environment files are, for those who keep theirs elsewhere
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "XTASK_ENVIRONMENTS_DIR",
        hide = true
    )]
    pub(crate) environments_dir: Option<PathBuf>,
    /// Where the functions' workspace is, for tests of what is done with one that changes
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "XTASK_FUNCTIONS_DIR",
        hide = true
    )]
    pub(crate) functions_dir: Option<PathBuf>,
    /// Where `deploy` leaves the assembly that it deploys, for tests that deploy side by side
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "XTASK_ASSEMBLY_DIR",
        hide = true
    )]
    pub(crate) assembly_dir: Option<PathBuf>,
    /// Where the function host reaches the embedded AWS, for tests that put something between
    #[arg(
        long,
        global = true,
        value_name = "URL",
        hide = true,
        env = "XTASK_HOST_AWS_ENDPOINT"
    )]
    pub(crate) host_aws_endpoint: Option<String>,
    /// Take the functions as they were last built; the tests build them once, before they run
    #[arg(long, global = true, hide = true, env = "XTASK_PREBUILT")]
    pub(crate) prebuilt: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Build, synthesise, publish, and change the stacks
    Deploy(Deploy),
    /// Print what a deploy would change
    Diff(Diff),
    /// Go back to synchronous mode without downtime: the API first, then the stream
    Rollback(Consent),
    /// Delete the stacks
    Destroy(Destroy),
    /// Write the cloud assembly to `cdk.out`
    Synth(Synth),
    /// Build the functions' zips
    Build(Build),
    /// Print what a REST API of your own needs to be metered by the environment
    Attach(Attach),
    /// Print what the stacks put out, and the local keys
    Outputs,
    /// Make, list, rotate, change, import and revoke API keys
    Keys(Keys),
    /// List users, and change what holds for them in place of their plan
    Users(Users),
    /// Export what users used, for bills
    Usage(Usage),
    /// List deliveries of alerts, redrive them, show secrets, test an endpoint
    Webhooks(Webhooks),
    /// Refuse an address or a user from now on
    Block(Block),
    /// Accept an address or a user again
    Unblock(Block),
    /// Print a bearer token for the analytics API (`local` only)
    Token(Token),
    /// Send real calls, then compare calls sent with calls counted
    Traffic(Traffic),
    /// Check that everything is there, and that one real call is counted
    Verify,
    /// Print whether it is well: mode, calls, lag, alarms with what to do, dead letters
    Status(Status),
    /// Print what the functions wrote
    Logs(Logs),
    /// List what could not be processed, and offer it to the functions again
    Errors(Errors),
    /// Read the stream again and offer every record once more; counts stay exact
    Replay(Replay),
    /// Print the events of the journal as JSON lines, each once
    Events(Events),
    /// Draw the dashboard that is deployed, with the environment's metrics, as a page
    Dashboard(Dashboard),
    /// Print the roles that deploy and look after an environment, as a CloudFormation template
    Iam,
    /// Estimate what a month costs, what would be cheaper, and what other ways to count cost
    Cost(Cost),
    /// Print everything known of one call: who decided it, by which track it came, in which sums it is
    Explain(Explain),
    /// Print JSON Schemas, and the description of the analytics API
    Schema(Schema),
    /// Print what a shell needs to complete these commands
    Completions(Completions),
    /// Measure what the system costs, against targets and peers of the same run
    Bench(Bench),
    /// Install and start what the tests need, then run them all
    Test(Test),
    /// Check the rules that the compiler does not
    Check,
    /// Generate the resource types from AWS's published schema, and the reference of the commands
    Codegen(Codegen),
    /// Run functions for the local environment; started by `deploy`
    #[command(hide = true)]
    Host(Host),
    /// Install the tools of the test suites; the suites ask where they are
    #[command(hide = true)]
    Tools,
}

/// Consent.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Consent {
    /// Show what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Answer every question with yes
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Deploy {
    /// The stacks; all unless given
    #[arg(value_name = "STACK")]
    pub(crate) stacks: Vec<String>,
    #[command(flatten)]
    pub(crate) consent: Consent,
    #[command(flatten)]
    pub(crate) arch: ArchOption,
    /// Loopback port of the local API; a free one that stays the same unless given
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..), help_heading = "Local")]
    pub(crate) port: Option<u16>,
    /// Then wait for saved changes under `functions/`, and have each run as soon as it is built;
    /// Ctrl-C ends the waiting, not the system. Changes elsewhere, such as under `stacks/`, take
    /// another deploy
    #[arg(long, conflicts_with = "dry_run", help_heading = "Local")]
    pub(crate) watch: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Diff {
    /// The stacks; all unless given
    #[arg(value_name = "STACK")]
    pub(crate) stacks: Vec<String>,
    /// End with exit code 3 where there is a difference
    #[arg(long)]
    pub(crate) exit_code: bool,
    #[command(flatten)]
    pub(crate) arch: ArchOption,
}

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct ArchOption {
    /// The processor that functions are built for and run on; the environment file's
    /// `architecture` unless given
    #[arg(long, value_name = "ARCH", value_parser = architecture())]
    pub(crate) arch: Option<Architecture>,
}

/// Reads one of Lambda's architectures.
fn architecture() -> impl TypedValueParser<Value = Architecture> {
    PossibleValuesParser::new(Architecture::ALL.map(Architecture::as_str))
        .try_map(|name| Architecture::parse(&name).ok_or("no architecture of Lambda"))
}

#[derive(Debug, Args)]
pub(crate) struct Destroy {
    /// The stacks; all unless given
    #[arg(value_name = "STACK")]
    pub(crate) stacks: Vec<String>,
    #[command(flatten)]
    pub(crate) consent: Consent,
    /// On AWS: delete the tables and all counts too
    #[arg(long, conflicts_with = "keep_data")]
    pub(crate) delete_data: bool,
    /// In `local`: keep the data for the next deploy
    #[arg(long)]
    pub(crate) keep_data: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Synth {
    /// Write nothing; fail where the assembly, the schema or generated code is out of date
    #[arg(long)]
    pub(crate) check: bool,
    /// Where to write
    #[arg(long, value_name = "DIR", default_value = "cdk.out")]
    pub(crate) out: PathBuf,
    /// Build no function: templates to review, which CloudFormation refuses to deploy
    #[arg(long, conflicts_with = "check")]
    pub(crate) no_build: bool,
    #[command(flatten)]
    pub(crate) arch: ArchOption,
}

#[derive(Debug, Args)]
pub(crate) struct Build {
    #[command(flatten)]
    pub(crate) arch: ArchOption,
}

#[derive(Debug, Args)]
pub(crate) struct Keys {
    #[command(subcommand)]
    pub(crate) action: KeyAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyAction {
    /// Make a key; its secret is shown once
    Create {
        /// The user
        #[arg(long, value_name = "EMAIL")]
        email: String,
        /// A plan of the environment
        #[arg(long)]
        plan: String,
        /// When the key stops working: `30d`, or a time
        #[arg(long, value_name = "WHEN", value_parser = when)]
        expires: Option<When>,
        #[command(flatten)]
        consent: Consent,
    },
    /// List all keys
    List,
    /// Replace a key by a new one; the old one works until its grace ends
    Rotate {
        /// The key's id
        id: String,
        /// How long the old key goes on working, at most until it would expire
        #[arg(long, value_name = "TIME", value_parser = duration, default_value = "24h")]
        grace: Duration,
        #[command(flatten)]
        consent: Consent,
    },
    /// Change a key's plan, or give it a rate of its own within its user's
    Set {
        /// The key's id
        id: String,
        #[command(flatten)]
        change: KeyChange,
        #[command(flatten)]
        consent: Consent,
    },
    /// Accept a key that another system made, by its SHA-256
    Import {
        /// SHA-256 of the whole key, 64 hex digits
        #[arg(long, value_name = "HEX")]
        hash: String,
        /// The user
        #[arg(long, value_name = "EMAIL")]
        email: String,
        /// A plan of the environment
        #[arg(long)]
        plan: String,
        /// When the key stops working: `30d`, or a time
        #[arg(long, value_name = "WHEN", value_parser = when)]
        expires: Option<When>,
        #[command(flatten)]
        consent: Consent,
    },
    /// Revoke a key
    Revoke {
        /// The key's id
        id: String,
        #[command(flatten)]
        consent: Consent,
    },
}

/// What `keys set` changes.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = true)]
pub(crate) struct KeyChange {
    /// A plan of the environment
    #[arg(long)]
    pub(crate) plan: Option<String>,
    /// Calls a second of this key
    #[arg(long, value_name = "N", requires = "burst", conflicts_with = "no_rate", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) rate: Option<u32>,
    /// Calls at once of this key
    #[arg(long, value_name = "N", requires = "rate", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) burst: Option<u32>,
    /// No rate of its own any more
    #[arg(long)]
    pub(crate) no_rate: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Users {
    #[command(subcommand)]
    pub(crate) action: UserAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum UserAction {
    /// List users with what holds for them in place of their plan
    List,
    /// Give a user a rate, a burst or a quota in place of the plan's
    Set {
        /// The user
        email: String,
        #[command(flatten)]
        change: UserChange,
        #[command(flatten)]
        consent: Consent,
    },
}

/// What `users set` changes.
#[derive(Debug, Clone, Copy, Args)]
#[group(required = true, multiple = true)]
pub(crate) struct UserChange {
    /// Calls a second, over all keys
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) rate: Option<u32>,
    /// Calls at once, over all keys
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) burst: Option<u32>,
    /// Calls a period, over all keys; `none` for no limit
    #[arg(long, value_name = "N")]
    pub(crate) quota: Option<Quota>,
    /// What the plan says, in everything that is not given
    #[arg(long)]
    pub(crate) by_plan: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Usage {
    #[command(subcommand)]
    pub(crate) action: UsageAction,
}

#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum UsageAction {
    /// Print what each user used in a month of its plan, once nothing of it moves any more
    Export {
        /// The month: `2026-11`
        #[arg(long, value_name = "M", value_parser = month)]
        month: UnixMillis,
        /// As what
        #[arg(long, value_name = "FORMAT", default_value = "csv")]
        format: UsageFormat,
    },
}

/// The form of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum UsageFormat {
    /// A header, then a line a user.
    Csv,
    /// A JSON object a line.
    Jsonl,
}

#[derive(Debug, Args)]
pub(crate) struct Webhooks {
    #[command(subcommand)]
    pub(crate) action: WebhookAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum WebhookAction {
    /// List the deliveries to each endpoint, the latest first
    List,
    /// Have deliveries that were given up tried again
    Redrive {
        #[command(flatten)]
        consent: Consent,
    },
    /// Print the secret that deliveries to an endpoint are signed with
    Secret {
        /// The endpoint's name
        name: String,
        /// A new one; the one before signs too for 24 h
        #[arg(long)]
        rotate: bool,
        #[command(flatten)]
        consent: Consent,
    },
    /// Post one signed event from this machine, and print the answer's status
    Test {
        /// A URL, or an endpoint's name
        #[arg(value_name = "URL|NAME")]
        target: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Block {
    /// An address (of IPv6 its /64 is meant), or a user's email
    #[arg(value_name = "ADDRESS|EMAIL")]
    pub(crate) whom: String,
    #[command(flatten)]
    pub(crate) consent: Consent,
}

#[derive(Debug, Args)]
pub(crate) struct Token {
    /// The user
    #[arg(long, value_name = "EMAIL")]
    pub(crate) email: String,
    /// With the scope `metering:admin`
    #[arg(long)]
    pub(crate) admin: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Traffic {
    /// Calls a second, over all users
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) rps: u32,
    /// How long
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "30s")]
    pub(crate) duration: Duration,
    /// Users, each with a key of its own
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u16).range(1..=1_000), default_value = "5")]
    pub(crate) users: u16,
    /// A path to call, with its query; several take turns. Unless given, the `GET` routes of
    /// `upstream`, or the sample
    #[arg(long = "path", value_name = "PATH", value_parser = called_path)]
    pub(crate) paths: Vec<String>,
    /// The method of every call
    #[arg(long, value_name = "METHOD", value_parser = ["DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"], default_value = "GET", requires = "paths")]
    pub(crate) method: String,
}

/// A path of the API, as it is put behind its address.
fn called_path(text: &str) -> Result<String, String> {
    let is_path = text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_path.then(|| text.to_owned()).ok_or_else(|| {
        "expected a path such as `/users/7?full=true`, percent-encoded where that is needed"
            .to_owned()
    })
}

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Status {
    /// Look again every few seconds, until Ctrl-C
    #[arg(long)]
    pub(crate) watch: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The event's id, as `events` prints it; or the gateway's id of the request
    pub(crate) id: String,
    /// How far back a request id is searched for: `6h`, or a time
    #[arg(long, value_name = "T", value_parser = past, default_value = "24h")]
    pub(crate) since: Past,
}

#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// A function's folder name; all unless given
    pub(crate) function: Option<String>,
    /// Go on as more is written
    #[arg(long)]
    pub(crate) follow: bool,
    /// Lines that match this regular expression
    #[arg(long, value_name = "PATTERN", value_parser = pattern)]
    pub(crate) grep: Option<Regex>,
    /// Lines from then on: `15m` ago, or a time; an hour ago unless given
    #[arg(long, value_name = "T", value_parser = past, default_value = "1h")]
    pub(crate) since: Past,
    /// Lines that name this call, in every function: its event id or its request id
    #[arg(long, value_name = "ID")]
    pub(crate) event: Option<String>,
}

fn pattern(text: &str) -> Result<Regex, String> {
    Regex::new(text).map_err(|error| format!("invalid pattern `{text}`: {error}"))
}

#[derive(Debug, Args)]
pub(crate) struct Errors {
    #[command(subcommand)]
    pub(crate) action: ErrorAction,
}

#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum ErrorAction {
    /// List records set aside, parked items and conflicts, and count the dead letters
    List,
    /// Offer records and dead letters to the functions again; what they take leaves the list
    Redrive {
        #[command(flatten)]
        consent: Consent,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// The first record: `6h` ago, or a time
    #[arg(long, value_name = "T", value_parser = past)]
    pub(crate) from: Past,
    /// The last record; the present unless given
    #[arg(long, value_name = "T", value_parser = past)]
    pub(crate) to: Option<Past>,
    #[command(flatten)]
    pub(crate) consent: Consent,
}

#[derive(Debug, Args)]
pub(crate) struct Events {
    /// The first event: `6h` ago, or a time
    #[arg(long, value_name = "T", value_parser = past)]
    pub(crate) from: Past,
    /// Events before this; the present unless given
    #[arg(long, value_name = "T", value_parser = past)]
    pub(crate) to: Option<Past>,
    /// One user's events only; `ip:ADDRESS` for calls without a known user
    #[arg(long, value_name = "EMAIL")]
    pub(crate) user: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Dashboard {
    /// Show the page in a browser
    #[arg(long)]
    pub(crate) open: bool,
    /// Where to write it; `target/dashboard-NAME.html` unless given
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// How many hours back from now are shown
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=24), default_value_t = 3)]
    pub(crate) hours: u8,
}

#[derive(Debug, Args)]
pub(crate) struct Cost {
    /// Calls of a month, such as `10M` or `1B`
    #[arg(long, value_name = "N", value_parser = calls)]
    pub(crate) calls: u64,
    /// Traffic: any of `users=1000,peak=10,errors=2%,responseBytes=1024,serviceMillis=8`
    #[arg(long, value_name = "SHAPE", value_parser = shape)]
    pub(crate) shape: Option<Shape>,
    /// Prices, in the form of `xtask/src/verbs/cost/prices.json`
    #[arg(long, value_name = "FILE")]
    pub(crate) prices: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Schema {
    /// Which; all in one document unless given
    pub(crate) of: Option<SchemaOf>,
}

/// What there is a schema of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SchemaOf {
    /// The environment file.
    Environment,
    /// The usage event, as it goes through the stream and as `events` prints it.
    Event,
    /// The answers of the analytics API, by name.
    Answers,
    /// The analytics API as an `OpenAPI` 3.1 document.
    Openapi,
}

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: Shell,
}

/// A shell that completions can be made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    /// GNU Bash.
    Bash,
    /// Z shell.
    Zsh,
    /// fish.
    Fish,
}

#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// Which; all unless given
    #[arg(value_name = "ID")]
    pub(crate) ids: Vec<BenchmarkId>,
    /// Where plots go
    #[arg(long, value_name = "DIR", default_value = "target/bench")]
    pub(crate) plots: PathBuf,
}

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BenchmarkId {
    /// What the processor and the fold cost in CPU time and memory.
    #[value(name = "B1")]
    Cpu,
    /// How long a caller waits for the authorizer, and what the function host adds.
    #[value(name = "B2")]
    Answers,
    /// From the start of a process to its first answer, and what is deployed for it.
    #[value(name = "B3")]
    ColdStart,
    /// What DynamoDB bills per 1,000 calls, in write and read units.
    #[value(name = "B4")]
    Cost,
    /// How long `synth` takes where the functions are built, and how much memory.
    #[value(name = "B7")]
    Synth,
    /// What metering costs a month, beside a bare and an exact counter.
    #[value(name = "B8")]
    Bill,
    /// How many schedules the fault model checks in a second.
    #[value(name = "B9")]
    Schedules,
    /// Scale in virtual time, against AWS's limits; draws a plot for each scenario.
    #[value(name = "B10")]
    Scale,
}

#[derive(Debug, Args)]
pub(crate) struct Test {
    /// Run the fault model alone, through so many randomised schedules
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) faults: Option<u64>,
    /// Seed of the first schedule; each further one's is one more
    #[arg(long, value_name = "S", requires = "faults", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Run the chaos tests alone: the deployed system while its functions die and its calls fail
    #[arg(long, conflicts_with = "faults")]
    pub(crate) chaos: bool,
    /// Passed on to the test runner, such as a name to filter by
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) args: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Attach {
    /// What the API is written in
    #[arg(long = "as", value_enum, value_name = "LANGUAGE")]
    pub(crate) language: AttachAs,
}

/// What an API is written in.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum AttachAs {
    /// The AWS CDK in TypeScript
    Cdk,
    /// AWS SAM, or CloudFormation in YAML
    Sam,
    /// Terraform
    Terraform,
    /// `OpenAPI` with API Gateway's extensions
    Openapi,
    /// The crate `stacks`
    Rust,
}

#[derive(Debug, Args)]
pub(crate) struct Codegen {
    /// Write nothing; fail where generated code is out of date
    #[arg(long)]
    pub(crate) check: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Host {
    /// The host's settings
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
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
            "cost",
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
