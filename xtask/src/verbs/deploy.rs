//! `deploy`: from source to a running system.
//!
//! All environments are deployed in the same way. The local one needs an embedded AWS before and
//! keys after; everything between differs only by endpoint and credentials.

mod account;
mod adoption;
mod change;
mod finish;
pub(super) mod lag;
mod leftovers;
mod order;
mod plan;
mod propose;
mod quotas;
mod review;
mod start;
mod watch;

use anyhow::Context as _;
use clap::Args;
use deployer::without_refused;
use domain::names::StackKind;
use stacks::environment::Environment;
use stacks::{Assembly, StackArtifact};

use crate::aws::{Reached, STACKS};
use crate::consent::Consent;
use crate::context::Context;
use crate::context::is_embedded;
use crate::functions::{self, Flavour};
use crate::local::{Demo, Lock, Tools};
use crate::options::{ArchOption, DriftOption};
use crate::stop::{Exit, Stop};

pub(super) use order::{drain, selected};
pub(super) use propose::plan;
pub(super) use review::{Decision, Manner};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The stacks; all by default
    #[arg(value_name = "STACK")]
    pub(crate) stacks: Vec<String>,
    #[command(flatten)]
    pub(crate) consent: Consent,
    #[command(flatten)]
    pub(crate) arch: ArchOption,
    #[command(flatten)]
    pub(crate) drift: DriftOption,
    /// Loopback port of the local API; by default a free one, which stays the same
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..), help_heading = "Local")]
    pub(crate) port: Option<u16>,
    /// Then wait for saved changes under `functions/`, and run each as soon as it is built; Ctrl-C
    /// ends the waiting, not the system. Changes elsewhere, such as under `stacks/`, need another
    /// deploy
    #[arg(long, conflicts_with = "dry_run", help_heading = "Local")]
    pub(crate) watch: bool,
    /// Start the example shop of `docs/own-api.md` and put it behind the gateway, with its `OpenAPI`
    /// document as the routes. The next deploy without it goes back to the environment file and ends
    /// the shop, and so does `destroy`
    #[arg(long, help_heading = "Local")]
    pub(crate) demo: bool,
}

pub(crate) async fn run(context: &Context, args: Arguments) -> anyhow::Result<Exit> {
    let environment = context.environment()?;
    let environment = if args.demo {
        start::before_demo(context, environment)?
    } else {
        environment
    };
    Box::pin(with(context, environment, args)).await
}

/// Deploys an environment in a mode that overrides its file.
pub(super) async fn with(
    context: &Context,
    environment: Environment,
    args: Arguments,
) -> anyhow::Result<Exit> {
    let selection = selected(&environment, &args.stacks)?;
    args.drift.check(&environment)?;
    let embedded = is_embedded(&environment);
    let flavour = Flavour::of(&environment, args.arch.arch)?;
    if args.port.is_some() && !embedded {
        return Err(
            Stop::usage("`--port` is the port of the local API: only `local` has one").into(),
        );
    }
    if args.watch {
        watch::check(context, &environment)?;
    }
    start::check_port(context, args.port)?;
    if args.consent.dry_run {
        let plan = Box::pin(plan(
            context,
            environment,
            &args.stacks,
            args.arch,
            args.drift,
        ))
        .await?;
        plan.show(context)?;
        return Ok(Exit::Done);
    }
    let lock = if embedded {
        Some(Lock::take(&context.local())?)
    } else {
        None
    };
    // Before anything is built: which account it is, and what it contains already.
    let outside = if embedded {
        None
    } else {
        Some(account::reach(context, environment.clone()).await?)
    };
    let environment = outside
        .as_ref()
        .map_or(environment, |reached| reached.environment.clone());
    let tools = Tools::ensure(context).await?;
    // Changes saved from now on are not part of the current build.
    let sources = watch::Sources::look(&context.functions_root)?;
    let assets = functions::build(context, flavour).await?;
    if embedded {
        start::make_signing_key(&context.local())?;
    }
    let had_demo = embedded && context.local().state()?.demo.is_some();
    if args.demo {
        start::demo(context, &environment, &tools).await?;
    }
    let environment = context.trusting_this_machine(environment)?;
    context.out.step("synthesising the stacks");
    let assembly = stacks::synthesise(&environment, &assets).context("synthesising the stacks")?;
    assembly
        .write(&context.assembly_dir)
        .context("writing the assembly")?;

    let manner = Manner {
        consent: args.consent,
        outside_local: !environment.is_local(),
        reverts_drift: args.drift.revert_drift,
    };
    let reached = match outside {
        Some(reached) => reached,
        None => start::embedded(context, environment, &tools, args.port).await?,
    };
    let deployment = Deployment {
        context,
        reached,
        assembly,
        manner,
        stacks: selection,
    };
    let outcome = deployment.run().await;
    // If the deploy did not finish, whatever was running before keeps running.
    let keeps_demo = match &outcome {
        Ok(Exit::Done) => args.demo,
        _ => had_demo,
    };
    if embedded && !keeps_demo {
        Demo::stop(&context.local(), &mut context.local().state()?).await?;
    }
    let exit = outcome?;
    drop(lock);
    if args.watch && exit == Exit::Done {
        let built = watch::Built {
            tools,
            flavour,
            assets,
        };
        return watch::run(deployment, sources, built).await;
    }
    Ok(exit)
}

/// A deployment in progress.
struct Deployment<'a> {
    context: &'a Context,
    reached: Reached,
    assembly: Assembly,
    manner: Manner,
    stacks: Vec<StackKind>,
}

impl Deployment<'_> {
    async fn run(&self) -> anyhow::Result<Exit> {
        match self.change().await? {
            Decision::Declined => Ok(Exit::Failed),
            decision => {
                let changed = decision == Decision::Changed;
                finish::run(self.context, &self.reached, changed).await
            }
        }
    }

    /// The selected stacks of this mode, in deploy order.
    fn artifacts(&self) -> impl Iterator<Item = (StackKind, &StackArtifact)> {
        let kinds = self.stacks.iter();
        kinds.filter_map(|kind| Some((*kind, self.artifact(*kind)?)))
    }

    fn artifact(&self, kind: StackKind) -> Option<&StackArtifact> {
        let name = self.reached.environment.names().stack(kind);
        self.assembly.stacks.iter().find(|stack| stack.name == name)
    }

    /// The template for the target AWS.
    fn template(&self, artifact: &StackArtifact) -> anyhow::Result<serde_json::Value> {
        let parsed = start::parsed(artifact)?;
        Ok(match self.reached.running {
            Some(_) => without_refused(parsed, &review::refused(artifact)),
            None => parsed,
        })
    }
}

/// The kinds of stacks to deploy: those given, or all.
pub(super) fn in_order(kinds: &[StackKind]) -> Vec<StackKind> {
    STACKS
        .into_iter()
        .filter(|kind| kinds.contains(kind))
        .collect()
}
