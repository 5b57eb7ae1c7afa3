//! `attach`: prints the declarations that meter an existing API, and checks a live one.

mod allowed;
mod check;
mod findings;

use clap::{Args, ValueEnum};
use domain::gateway::Gateway;
use serde::Serialize;
use stacks::Environment;
use stacks::attach::{Attachment, Language};
use stacks::environment::ApiKind;

use crate::aws;
use crate::context::{Context, is_embedded};
use crate::stop::{Exit, Stop};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
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
    /// AWS SAM
    Sam,
    /// CloudFormation in YAML
    Cloudformation,
    /// Terraform
    Terraform,
    /// `OpenAPI` with API Gateway's extensions
    Openapi,
    /// The crate `stacks`
    Rust,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Declarations {
    environment: String,
    kind: Gateway,
    authorizer: String,
    authorizer_uri: String,
    access_log: String,
    access_log_format: String,
    snippet: String,
}

pub(crate) async fn run(context: &Context, args: &Arguments) -> anyhow::Result<Exit> {
    match args.language {
        Some(language) => print(context, args, language.into()).await,
        None => check::run(context, args).await,
    }
}

/// Prints the declarations.
async fn print(context: &Context, args: &Arguments, language: Language) -> anyhow::Result<Exit> {
    let environment = context.environment()?;
    let account = match &environment.account {
        Some(account) => account.to_string(),
        None if is_embedded(&environment) => stacks::environment::LOCAL_ACCOUNT.to_owned(),
        None => aws::reach(context).await?.caller.account().to_owned(),
    };
    let names = environment.names();
    let attachment = Attachment {
        environment: &environment.name,
        names: &names,
        account: &account,
        region: environment.region.as_str(),
        gateway: kind(&environment, args),
    };
    let Some(snippet) = attachment.snippet(language) else {
        return Err(Stop::usage("the crate `stacks` declares REST APIs alone")
            .hint("`--as cdk`, `sam`, `cloudformation`, `terraform` and `openapi` know HTTP APIs")
            .into());
    };
    let answer = Declarations {
        kind: attachment.gateway,
        authorizer: attachment.authorizer(),
        authorizer_uri: attachment.authorizer_uri(),
        access_log: attachment.log(),
        access_log_format: attachment.log_format(),
        snippet,
        environment: environment.name.clone(),
    };
    context
        .out
        .answer(&answer, |answer| answer.snippet.trim_end().to_owned())?;
    Ok(Exit::Done)
}

/// The requested kind, or the common kind of the file's attached APIs.
fn kind(environment: &Environment, args: &Arguments) -> Gateway {
    let attached = &environment.attached;
    let are_http = attached.iter().all(|one| one.kind == ApiKind::Http);
    match args.kind {
        Some(kind) => kind.into(),
        None if are_http && !attached.is_empty() => Gateway::Http,
        None => Gateway::Rest,
    }
}

impl From<AttachedKind> for Gateway {
    fn from(kind: AttachedKind) -> Self {
        match kind {
            AttachedKind::Rest => Self::Rest,
            AttachedKind::Http => Self::Http,
        }
    }
}

impl From<AttachAs> for Language {
    fn from(language: AttachAs) -> Self {
        match language {
            AttachAs::Cdk => Self::Cdk,
            AttachAs::Sam => Self::Sam,
            AttachAs::Cloudformation => Self::CloudFormation,
            AttachAs::Terraform => Self::Terraform,
            AttachAs::Openapi => Self::OpenApi,
            AttachAs::Rust => Self::Rust,
        }
    }
}
