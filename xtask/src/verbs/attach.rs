//! `attach`: what somebody's own REST API needs to be metered by an environment.

use serde::Serialize;
use stacks::attach::{Attachment, Language};

use crate::aws;
use crate::cli::{Attach, AttachAs};
use crate::context::Context;
use crate::stop::Exit;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    environment: String,
    authorizer: String,
    access_log: String,
    snippet: String,
}

pub(super) async fn run(context: &Context, args: &Attach) -> anyhow::Result<Exit> {
    let environment = context.environment()?;
    let account = match &environment.account {
        Some(account) => account.to_string(),
        None if aws::is_embedded(&environment) => stacks::environment::LOCAL_ACCOUNT.to_owned(),
        None => aws::reach(context).await?.caller.account().to_owned(),
    };
    let names = environment.names();
    let attachment = Attachment {
        environment: &environment.name,
        names: &names,
        account: &account,
        region: environment.region.as_str(),
    };
    let answer = Answer {
        authorizer: attachment.authorizer(),
        access_log: attachment.log(),
        snippet: attachment.snippet(args.language.into()),
        environment: environment.name.clone(),
    };
    context
        .out
        .answer(&answer, |answer| answer.snippet.trim_end().to_owned())?;
    Ok(Exit::Done)
}

impl From<AttachAs> for Language {
    fn from(language: AttachAs) -> Self {
        match language {
            AttachAs::Cdk => Self::Cdk,
            AttachAs::Sam => Self::Sam,
            AttachAs::Terraform => Self::Terraform,
            AttachAs::Openapi => Self::OpenApi,
            AttachAs::Rust => Self::Rust,
        }
    }
}
