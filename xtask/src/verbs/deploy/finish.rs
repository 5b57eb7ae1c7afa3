//! After the stacks: checks that the API responds, creates keys, and prints the next steps.

use std::time::Duration;

use anyhow::Context as _;
use domain::key::{ApiKey, KeyStatus};
use domain::names::StackKind;
use stacks::environment::Environment;

use crate::aws::Reached;
use crate::clock;
use crate::context::Context;
use crate::local::{DemoKey, Running};
use crate::stop::{Exit, Stop};
use crate::verbs::keys;
use crate::verbs::outputs::{self, Outputs};
use crate::verbs::verify;

/// How long the API may take to respond after a deploy.
const ANSWER: Duration = Duration::from_mins(1);

pub(super) async fn run(
    context: &Context,
    reached: &Reached,
    changed: bool,
) -> anyhow::Result<Exit> {
    let found = reached.stacks().await?;
    let has = |wanted| found.iter().any(|(kind, _)| *kind == wanted);
    let has_api = has(StackKind::Api);
    if let Some(running) = &reached.running {
        refresh(running).await?;
        if has(StackKind::Data) {
            demo_key(context, reached).await?;
        }
        if has_api {
            wait_for_api(context, reached, running).await?;
        }
    }
    let word = if changed {
        "deployed"
    } else {
        "nothing changed"
    };
    context.out.step(word);
    if !has_api {
        return Ok(Exit::Done);
    }
    let outputs = outputs::collect(context, reached).await?;
    // People know them from the deploy that changed something; `outputs` prints them again.
    if changed || context.out.is_json() {
        context.out.answer(&outputs, Outputs::text)?;
    }
    if changed && let Some(curl) = outputs.curl() {
        context.out.step("try it:");
        context.out.detail(&curl);
    }
    // An external endpoint may be an AWS that runs no functions.
    if reached.running.is_none() && reached.environment.endpoint.is_none() {
        return verified(context, reached).await;
    }
    Ok(Exit::Done)
}

/// On AWS a deploy is done when a call is counted.
async fn verified(context: &Context, reached: &Reached) -> anyhow::Result<Exit> {
    let verification = verify::verify(context, reached).await?;
    for line in verification.text().lines() {
        context.out.detail(line);
    }
    if verification.exit() == Exit::Done {
        return Ok(Exit::Done);
    }
    Err(
        Stop::failed("the stacks are deployed, but not everything works")
            .hint("the failed checks are listed above; `cargo xtask verify` checks again")
            .into(),
    )
}

/// Makes the function host read the deployment again.
pub(super) async fn refresh(running: &Running) -> anyhow::Result<()> {
    let url = format!("{}/_host/refresh", running.host());
    let client = client(Duration::from_mins(1))?;
    let answer = client
        .post(url)
        .send()
        .await
        .context("notifying the function host of the deploy")?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let text = answer.text().await.unwrap_or_default();
    Err(
        Stop::failed(format!("the function host answered {status}: {text}"))
            .hint("its log is `logs/host.log` in the local folder, `target/local` by default")
            .into(),
    )
}

/// A client for this machine, without a proxy.
fn client(patience: Duration) -> anyhow::Result<reqwest::Client> {
    reqwest::Client::builder()
        .no_proxy()
        .timeout(patience)
        .build()
        .context("making an HTTP client")
}

/// Waits until requests get from the front to a function. The `OpenAPI` document needs no key and
/// no token, so the probe is not metered.
async fn wait_for_api(
    context: &Context,
    reached: &Reached,
    running: &Running,
) -> anyhow::Result<()> {
    let api = running.api_url(&reached.environment.name);
    let url = format!("{api}/v1/analytics/openapi.json");
    let client = client(Duration::from_secs(30))?;
    let until = tokio::time::Instant::now() + ANSWER;
    loop {
        let answered = match client.get(&url).send().await {
            Ok(answer) if answer.status().is_success() => return Ok(()),
            Ok(answer) => format!("answered {}", answer.status()),
            Err(error) => format!("did not answer: {error}"),
        };
        if tokio::time::Instant::now() >= until {
            let logs = context.local().logs_dir();
            return Err(
                Stop::failed(format!("the API is deployed, but `{url}` {answered}"))
                    .hint(format!(
                        "see the logs in `{}`, or `cargo xtask logs analytics`",
                        logs.display()
                    ))
                    .into(),
            );
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// Creates the demo key, unless one from an earlier deploy still works.
async fn demo_key(context: &Context, reached: &Reached) -> anyhow::Result<()> {
    let local = context.local();
    let mut state = local.state()?;
    if let Some(key) = state
        .demo_key
        .as_ref()
        .and_then(|demo| ApiKey::parse(&demo.key))
    {
        let record = keys::table(reached).by_hash(&key.hash()).await?;
        let works = record.is_some_and(|record| record.status(clock::now()) == KeyStatus::Active);
        if works {
            return Ok(());
        }
    }
    let plan = demo_plan(&reached.environment).context("the environment has no plan")?;
    let created = keys::make(reached, outputs::DEMO_EMAIL, plan, None).await?;
    state.demo_key = Some(DemoKey {
        id: created.id,
        key: created.key,
    });
    local.save(&state)
}

/// `free` if there is such a plan: a new user would have it.
fn demo_plan(environment: &Environment) -> Option<&str> {
    let plans = &environment.plans;
    plans
        .keys()
        .find(|plan| *plan == "free")
        .or_else(|| plans.keys().next())
        .map(String::as_str)
}
