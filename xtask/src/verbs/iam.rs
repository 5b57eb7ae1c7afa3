//! `iam`: the minimum permissions to deploy and to operate an environment, as a template.

use anyhow::Context as _;
use serde_json::Value;

use crate::context::Context;
use crate::stop::Exit;

pub(crate) fn run(context: &Context) -> anyhow::Result<Exit> {
    let environment = context.environment()?;
    let template = stacks::roles(&environment).context("working out the permissions")?;
    let document: Value = serde_json::from_str(&template).context("reading the template")?;
    // JSON is its only form.
    context.out.answer(&document, |_| template.clone())?;
    Ok(Exit::Done)
}
