//! The command line.

use std::path::PathBuf;
use std::str::FromStr;
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

/// Options of every verb.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// The environment: a file in `stacks/environments`, without `.yaml`
    #[arg(long, global = true, value_name = "NAME", default_value = "local")]
    pub(crate) env: String,
    /// One JSON document on stdout, nothing else
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// No progress on stderr
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// Folder of the local environment, so that two can run side by side
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "XTASK_LOCAL_DIR",
        hide_env_values = true,
        help_heading = "Local"
    )]
    pub(crate) local_dir: Option<PathBuf>,
    /// Folder of the environment files, if it is elsewhere
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "XTASK_ENVIRONMENTS_DIR",
        hide = true
    )]
    pub(crate) environments_dir: Option<PathBuf>,
    /// Folder of the functions' workspace, for tests that change it
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "XTASK_FUNCTIONS_DIR",
        hide = true
    )]
    pub(crate) functions_dir: Option<PathBuf>,
    /// Folder of the assembly that `deploy` deploys, for tests that deploy side by side
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "XTASK_ASSEMBLY_DIR",
        hide = true
    )]
    pub(crate) assembly_dir: Option<PathBuf>,
    /// URL at which the function host reaches the embedded AWS, for tests with a proxy in between
    #[arg(
        long,
        global = true,
        value_name = "URL",
        hide = true,
        env = "XTASK_HOST_AWS_ENDPOINT"
    )]
    pub(crate) host_aws_endpoint: Option<String>,
    /// Use the functions as last built; the tests build them once, before they run
    #[arg(long, global = true, hide = true, env = "XTASK_PREBUILT")]
    pub(crate) prebuilt: bool,
}

/// The verb.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Build, synthesise, publish, and change the stacks
    Deploy(Deploy),
    /// Print what a deploy would change
    Diff(Diff),
    /// Return to synchronous mode without downtime: the API first, then the stream
    Rollback(Consent),
    /// Delete the stacks
    Destroy(Destroy),
    /// Write the cloud assembly to `cdk.out`
    Synth(Synth),
    /// Build the functions' zips
    Build(Build),
    /// Print what your own API needs so that the environment meters it, or check a live one
    Attach(Attach),
    /// Print stack outputs and the local keys
    Outputs,
    /// Create, list, rotate, change, import and revoke API keys
    Keys(Keys),
    /// List users, and override their plans
    Users(Users),
    /// Export each user's usage for billing
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
    /// Check that every resource exists, and that one real call is counted
    Verify,
    /// Print the health: mode, calls, lag, alarms with remedies, dead letters
    Status(Status),
    /// Print the functions' logs
    Logs(Logs),
    /// List what could not be processed, and submit it to the functions again
    Errors(Errors),
    /// Read the stream again and submit every record once more; counts stay exact
    Replay(Replay),
    /// Print the events of the journal as JSON lines, each once
    Events(Events),
    /// Draw the deployed dashboard, with the environment's metrics, as a page
    Dashboard(Dashboard),
    /// Print the roles that deploy and operate an environment, as a CloudFormation template
    Iam,
    /// Estimate the monthly cost, savings, and the cost of other ways to count
    Cost(Cost),
    /// Print everything known about one call: who decided it, which track reported it, which sums
    /// hold it
    Explain(Explain),
    /// Print JSON Schemas, and the description of the analytics API
    Schema(Schema),
    /// Print a script that completes these commands in a shell
    Completions(Completions),
    /// Measure the cost and speed of the system, against targets and peers of the same run
    Bench(Bench),
    /// Install and start what the tests need, then run all tests
    Test(Test),
    /// Check the rules that the compiler does not enforce
    Check,
    /// Generate the resource types from AWS's published schema, and the reference of the commands
    Codegen(Codegen),
    /// Run functions for the local environment; started by `deploy`
    #[command(hide = true)]
    Host(Host),
    /// Install the tools of the test suites, and print their locations
    #[command(hide = true)]
    Tools,
}

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

#[derive(Debug, Args)]
pub(crate) struct Deploy {
    /// The stacks; all by default
    #[arg(value_name = "STACK")]
    pub(crate) stacks: Vec<String>,
    #[command(flatten)]
    pub(crate) consent: Consent,
    #[command(flatten)]
    pub(crate) arch: ArchOption,
    /// Loopback port of the local API; by default a free one, which stays the same
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..), help_heading = "Local")]
    pub(crate) port: Option<u16>,
    /// Then wait for saved changes under `functions/`, and run each as soon as it is built; Ctrl-C
    /// ends the waiting, not the system. Changes elsewhere, such as under `stacks/`, need another
    /// deploy
    #[arg(long, conflicts_with = "dry_run", help_heading = "Local")]
    pub(crate) watch: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Diff {
    /// The stacks; all by default
    #[arg(value_name = "STACK")]
    pub(crate) stacks: Vec<String>,
    /// Exit with code 3 if there is a difference
    #[arg(long)]
    pub(crate) exit_code: bool,
    #[command(flatten)]
    pub(crate) arch: ArchOption,
}

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct ArchOption {
    /// The processor architecture to build functions for and run them on; by default the
    /// environment file's `architecture`
    #[arg(long, value_name = "ARCH", value_parser = architecture())]
    pub(crate) arch: Option<Architecture>,
}

/// Reads one of Lambda's architectures.
fn architecture() -> impl TypedValueParser<Value = Architecture> {
    PossibleValuesParser::new(Architecture::ALL.map(Architecture::as_str))
        .try_map(|name| Architecture::parse(&name).ok_or("not an architecture of Lambda"))
}

#[derive(Debug, Args)]
pub(crate) struct Destroy {
    /// The stacks; all by default
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
    /// Write nothing; fail if the assembly, the schema or generated code is out of date
    #[arg(long)]
    pub(crate) check: bool,
    /// Output folder
    #[arg(long, value_name = "DIR", default_value = "cdk.out")]
    pub(crate) out: PathBuf,
    /// Build no function: the templates are for review, and CloudFormation refuses to deploy them
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
    /// Create a key; its secret is shown once
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
    /// Replace a key by a new one; the old one works until its grace period ends
    Rotate {
        /// The key's id
        id: String,
        /// How long the old key keeps working, at most until it would expire
        #[arg(long, value_name = "TIME", value_parser = duration, default_value = "24h")]
        grace: Duration,
        #[command(flatten)]
        consent: Consent,
    },
    /// Change a key's plan, or give it its own rate limit within its user's
    Set {
        /// The key's id
        id: String,
        #[command(flatten)]
        change: KeyChange,
        #[command(flatten)]
        consent: Consent,
    },
    /// Accept keys that another system created
    ///
    /// `--from-api-gateway` needs `apigateway:GET` on `/apikeys` and `/usageplans/*/keys`. It imports no key
    /// twice, so it can be run again.
    Import {
        /// SHA-256 of the whole key, 64 hex digits
        #[arg(
            long,
            value_name = "HEX",
            requires = "email",
            required_unless_present = "from_api_gateway"
        )]
        hash: Option<String>,
        /// The user
        #[arg(long, value_name = "EMAIL", requires = "hash")]
        email: Option<String>,
        /// Accept the API keys that API Gateway holds in this account and region
        #[arg(long, conflicts_with_all = ["hash", "email"])]
        from_api_gateway: bool,
        /// Of API Gateway's keys, only those of this usage plan
        #[arg(long, value_name = "ID", requires = "from_api_gateway")]
        usage_plan: Option<String>,
        /// Where API Gateway's keys name their user: `name`, `description`, `customerId` or `tag:KEY`
        #[arg(
            long,
            value_name = "WHERE",
            requires = "from_api_gateway",
            default_value = "name"
        )]
        email_from: EmailSource,
        /// A plan of the environment
        #[arg(long)]
        plan: String,
        /// When the keys stop working: `30d`, or a time
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

/// Where a key of API Gateway names its user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EmailSource {
    Name,
    Description,
    CustomerId,
    Tag(String),
}

impl FromStr for EmailSource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "name" => Ok(Self::Name),
            "description" => Ok(Self::Description),
            "customerId" => Ok(Self::CustomerId),
            _ => match text.strip_prefix("tag:") {
                Some(key) if !key.is_empty() => Ok(Self::Tag(key.to_owned())),
                _ => Err("expected `name`, `description`, `customerId` or `tag:KEY`".to_owned()),
            },
        }
    }
}

/// The change that `keys set` makes.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = true)]
pub(crate) struct KeyChange {
    /// A plan of the environment
    #[arg(long)]
    pub(crate) plan: Option<String>,
    /// Calls per second with this key
    #[arg(long, value_name = "N", requires = "burst", conflicts_with = "no_rate", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) rate: Option<u32>,
    /// Burst with this key
    #[arg(long, value_name = "N", requires = "rate", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) burst: Option<u32>,
    /// Remove the key's own rate limit
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
    /// List users with the settings that override their plan
    List,
    /// Override the plan's rate limit, burst or quota for a user
    Set {
        /// The user
        email: String,
        #[command(flatten)]
        change: UserChange,
        #[command(flatten)]
        consent: Consent,
    },
}

/// The change that `users set` makes.
#[derive(Debug, Clone, Copy, Args)]
#[group(required = true, multiple = true)]
pub(crate) struct UserChange {
    /// Calls per second, over all keys
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) rate: Option<u32>,
    /// Burst, over all keys
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) burst: Option<u32>,
    /// Units per period, over all keys; `none` for no limit
    #[arg(long, value_name = "N")]
    pub(crate) quota: Option<Quota>,
    /// Return to the plan's values for every option that is not given
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
    /// Print each user's usage in a month of its plan, once the month is final
    Export {
        /// The month: `2026-11`
        #[arg(long, value_name = "M", value_parser = month)]
        month: UnixMillis,
        /// The format
        #[arg(long, value_name = "FORMAT", default_value = "csv")]
        format: UsageFormat,
    },
}

/// The form of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum UsageFormat {
    /// A header, then one line per user.
    Csv,
    /// One JSON object per line.
    Jsonl,
}

#[derive(Debug, Args)]
pub(crate) struct Webhooks {
    #[command(subcommand)]
    pub(crate) action: WebhookAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum WebhookAction {
    /// List the deliveries to each endpoint, latest first
    List,
    /// Retry deliveries that were given up
    Redrive {
        #[command(flatten)]
        consent: Consent,
    },
    /// Print the secret that signs deliveries to an endpoint
    Secret {
        /// The endpoint's name
        name: String,
        /// Create a new one; the previous one keeps signing for 24 h
        #[arg(long)]
        rotate: bool,
        #[command(flatten)]
        consent: Consent,
    },
    /// Post one signed event from this machine, and print the status of the response
    Test {
        /// A URL, or an endpoint's name
        #[arg(value_name = "URL|NAME")]
        target: String,
        /// The event to post
        #[arg(long, value_enum, default_value_t = SampleEvent::QuotaThreshold)]
        event: SampleEvent,
    },
}

/// An event that endpoints receive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SampleEvent {
    /// `QUOTA_THRESHOLD_CROSSED`: a user crossed a threshold of its quota.
    QuotaThreshold,
    /// `period.closed`: a user's period is final.
    PeriodClosed,
}

#[derive(Debug, Args)]
pub(crate) struct Block {
    /// An address (for IPv6 its /64 counts), or a user's email
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
    /// With the scope `metering:admin`: may read all users' data
    #[arg(long)]
    pub(crate) admin: bool,
    /// With the scope `metering:write`: may report amounts of calls
    #[arg(long)]
    pub(crate) write: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Traffic {
    /// Calls per second, over all users
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) rps: u32,
    /// Duration of the traffic
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "30s")]
    pub(crate) duration: Duration,
    /// Number of users, each with its own key
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u16).range(1..=1_000), default_value = "5")]
    pub(crate) users: u16,
    /// A path to call, with its query; several take turns. By default the `GET` routes of
    /// `upstream`, or the sample
    #[arg(long = "path", value_name = "PATH", value_parser = called_path)]
    pub(crate) paths: Vec<String>,
    /// The method of every call
    #[arg(long, value_name = "METHOD", value_parser = ["DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"], default_value = "GET", requires = "paths")]
    pub(crate) method: String,
}

/// A path of the API, to append to its URL.
fn called_path(text: &str) -> Result<String, String> {
    let is_path = text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_path.then(|| text.to_owned()).ok_or_else(|| {
        "expected a path such as `/users/7?full=true`, percent-encoded where that is needed"
            .to_owned()
    })
}

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Status {
    /// Refresh every few seconds, until Ctrl-C
    #[arg(long)]
    pub(crate) watch: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The event's id, as `events` prints it, or the gateway's id of the request
    pub(crate) id: String,
    /// How far back to search for a request id: `6h`, or a time
    #[arg(long, value_name = "T", value_parser = past, default_value = "24h")]
    pub(crate) since: Past,
}

#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// A function's folder name; all by default
    pub(crate) function: Option<String>,
    /// Continue as more lines are written
    #[arg(long)]
    pub(crate) follow: bool,
    /// Lines that match this regular expression
    #[arg(long, value_name = "PATTERN", value_parser = pattern)]
    pub(crate) grep: Option<Regex>,
    /// Lines since this time: `15m` ago, or a time
    #[arg(long, value_name = "T", value_parser = past, default_value = "1h")]
    pub(crate) since: Past,
    /// Lines about one call, in every function: its event id or its request id
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
    /// Submit records and dead letters to the functions again; what they accept leaves the list
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
    /// The last record; now by default
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
    /// Events before this; now by default
    #[arg(long, value_name = "T", value_parser = past)]
    pub(crate) to: Option<Past>,
    /// One user's events only; `ip:ADDRESS` for calls without a known user
    #[arg(long, value_name = "EMAIL")]
    pub(crate) user: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Dashboard {
    /// Open the page in a browser
    #[arg(long)]
    pub(crate) open: bool,
    /// Output file; `target/dashboard-NAME.html` by default
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// How many hours back from now to show
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=24), default_value_t = 3)]
    pub(crate) hours: u8,
}

#[derive(Debug, Args)]
pub(crate) struct Cost {
    /// Calls per month, such as `10M` or `1B`
    #[arg(long, value_name = "N", value_parser = calls)]
    pub(crate) calls: u64,
    /// Traffic: any of `users=1000,peak=10,errors=2%,reports=100%,responseBytes=1024,serviceMillis=8`
    #[arg(long, value_name = "SHAPE", value_parser = shape)]
    pub(crate) shape: Option<Shape>,
    /// Prices, in the format of `xtask/src/verbs/cost/prices.json`
    #[arg(long, value_name = "FILE")]
    pub(crate) prices: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Schema {
    /// The schema to print; by default all of them in one document
    pub(crate) of: Option<SchemaOf>,
}

/// The schemas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SchemaOf {
    /// The environment file.
    Environment,
    /// The usage event, as the stream carries it and as `events` prints it.
    Event,
    /// The events that webhooks receive, by their type.
    Webhooks,
    /// The responses of the analytics API, by name.
    Answers,
    /// The analytics API as an `OpenAPI` 3.1 document.
    Openapi,
}

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: Shell,
}

/// A shell for which completions exist.
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
    /// The benchmarks; all by default
    #[arg(value_name = "ID")]
    pub(crate) ids: Vec<BenchmarkId>,
    /// Folder for plots
    #[arg(long, value_name = "DIR", default_value = "target/bench")]
    pub(crate) plots: PathBuf,
}

/// The benchmarks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BenchmarkId {
    /// CPU time and memory of the processor and the fold.
    #[value(name = "B1")]
    Cpu,
    /// How long a caller waits for the authorizer, and what the function host adds.
    #[value(name = "B2")]
    Answers,
    /// From the start of a process to its first response, and the size of the deployed zip.
    #[value(name = "B3")]
    ColdStart,
    /// Write and read units that DynamoDB bills per 1,000 calls.
    #[value(name = "B4")]
    Cost,
    /// Time and memory of `synth` with built functions.
    #[value(name = "B7")]
    Synth,
    /// The monthly cost of metering, compared with a bare and an exact counter.
    #[value(name = "B8")]
    Bill,
    /// How many schedules per second the fault model checks.
    #[value(name = "B9")]
    Schedules,
    /// Scale in virtual time, against AWS's limits; draws a plot for each scenario.
    #[value(name = "B10")]
    Scale,
}

#[derive(Debug, Args)]
pub(crate) struct Test {
    /// Run the fault model alone, with this many randomised schedules
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) faults: Option<u64>,
    /// Seed of the first schedule; it increases by one with each schedule
    #[arg(long, value_name = "S", requires = "faults", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Run the chaos tests alone: the deployed system while its functions die and its calls fail
    #[arg(long, conflicts_with = "faults")]
    pub(crate) chaos: bool,
    /// Arguments for the test runner, such as a name to filter by
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) args: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Attach {
    /// The language of the API's declaration
    #[arg(
        long = "as",
        value_enum,
        value_name = "LANGUAGE",
        required_unless_present = "check"
    )]
    pub(crate) language: Option<AttachAs>,
    /// Report what is missing or wrong on a live API instead
    #[arg(long, conflicts_with = "language")]
    pub(crate) check: bool,
    /// The id of the API to check; by default each API of `attached` in the environment file
    #[arg(long, value_name = "ID", requires_all = ["check", "stage"])]
    pub(crate) api: Option<String>,
    /// The stage to check
    #[arg(long, value_name = "NAME", requires = "api")]
    pub(crate) stage: Option<String>,
    /// The kind of API; by default that of `attached` in the environment file, otherwise `rest`
    #[arg(long, value_enum)]
    pub(crate) kind: Option<AttachedKind>,
}

/// A kind of API.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum AttachedKind {
    /// A REST API
    Rest,
    /// An HTTP API
    Http,
}

/// The language of an API's declaration.
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
    /// Write nothing; fail if generated code is out of date
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
