//! `attach --check`: whether a live API has everything that metering needs.

use anyhow::Context as _;
use deployer::{AttachedApi, Functions, Logs};
use domain::gateway::Gateway;
use serde::Serialize;
use serde_json::Value;
use stacks::Environment;
use stacks::attach::Attachment;
use stacks::environment::ApiId;

use super::Arguments;
use super::findings::{self, Expected, Finding};
use crate::aws::{Reached, reach};
use crate::context::Context;
use crate::stop::{Exit, Stop};

/// A stage of an API to check.
struct Target {
    api: String,
    stage: String,
    gateway: Gateway,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CheckedApis {
    environment: String,
    apis: Vec<Checked>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Checked {
    api_id: String,
    stage: String,
    kind: Gateway,
    checks: Vec<Finding>,
}

pub(super) async fn run(context: &Context, args: &Arguments) -> anyhow::Result<Exit> {
    let targets = targets(&context.environment()?, args)?;
    let reached = reach(context).await?;
    let mut answer = CheckedApis {
        environment: reached.environment.name.clone(),
        apis: Vec::new(),
    };
    for target in targets {
        let checks = check(&reached, &target).await?;
        answer.apis.push(Checked {
            api_id: target.api,
            stage: target.stage,
            kind: target.gateway,
            checks,
        });
    }
    context.out.answer(&answer, CheckedApis::text)?;
    Ok(if answer.is_attached() {
        Exit::Done
    } else {
        Exit::Failed
    })
}

/// The requested stage, or every stage of the environment file.
fn targets(environment: &Environment, args: &Arguments) -> anyhow::Result<Vec<Target>> {
    if let (Some(api), Some(stage)) = (&args.api, &args.stage) {
        let mut attached = environment.attached.iter();
        let same = attached.find(|one| one.api_id.as_str() == api);
        let kind = args.kind.map(Gateway::from);
        return Ok(vec![Target {
            api: api.clone(),
            stage: stage.clone(),
            gateway: kind.or(same.map(|one| one.kind.into())).unwrap_or_default(),
        }]);
    }
    let targets = environment.attached.iter().map(|one| {
        let api = ApiId::as_str(&one.api_id);
        let stage = one.stage.as_ref().ok_or_else(|| {
            Stop::usage(format!("the attached API `{api}` names no stage"))
                .hint("name it in the environment file, or give `--api` and `--stage`")
        })?;
        Ok(Target {
            api: api.to_owned(),
            stage: stage.as_str().to_owned(),
            gateway: one.kind.into(),
        })
    });
    let targets = targets.collect::<Result<Vec<_>, Stop>>()?;
    if targets.is_empty() {
        return Err(Stop::usage(format!("no API is attached to `{}`", environment.name))
            .hint("name it under `attached` in the environment file, or give `--api` and `--stage`")
            .into());
    }
    Ok(targets)
}

/// Checks one stage.
async fn check(reached: &Reached, target: &Target) -> anyhow::Result<Vec<Finding>> {
    let names = reached.environment.names();
    let session = &reached.session;
    let attachment = Attachment {
        environment: &reached.environment.name,
        names: &names,
        account: reached.caller.account(),
        region: reached.environment.region.as_str(),
        gateway: target.gateway,
    };
    let found = AttachedApi::find(session, target.gateway, &target.api, &target.stage).await?;
    let Some(found) = found else {
        return Ok(vec![findings::no_api(target.gateway)]);
    };
    let authorizer = attachment.authorizer_name();
    let policy = Functions::new(session).policy(&authorizer).await?;
    let policy = policy.unwrap_or_default();
    let policy: Value = match policy.as_str() {
        "" => Value::Null,
        text => serde_json::from_str(text).context("the authorizer's policy is not JSON")?,
    };
    let subscriptions = Logs::new(session)
        .subscriptions(&attachment.log_name())
        .await?;
    let expected = Expected {
        attachment: &attachment,
        api: &target.api,
        policy: &policy,
        subscriptions: &subscriptions,
    };
    Ok(expected.findings(&found))
}

impl CheckedApis {
    fn is_attached(&self) -> bool {
        let mut checks = self.apis.iter().flat_map(|api| &api.checks);
        checks.all(|check| check.ok)
    }

    /// A line for each finding, problems last.
    fn text(&self) -> String {
        let mut lines = Vec::new();
        for api in &self.apis {
            let Checked {
                api_id,
                stage,
                kind,
                checks,
            } = api;
            lines.push(format!("{} API {api_id}, stage {stage}", kind.as_str()));
            let (right, wrong): (Vec<_>, Vec<_>) = checks.iter().partition(|check| check.ok);
            let line = |sign: &str, check: &Finding| {
                format!("{sign:<8}{:<28} {}", check.name, check.detail)
            };
            lines.extend(right.iter().map(|check| line("ok", check)));
            lines.extend(wrong.iter().map(|check| line("WRONG", check)));
        }
        lines.push(if self.is_attached() {
            "every call is metered".to_owned()
        } else {
            let name = &self.environment;
            format!("`cargo xtask attach --env {name} --as …` prints what the API needs")
        });
        lines.join("\n")
    }
}
