//! `synth`: the cloud assembly of one environment.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Command};
use serde::Serialize;
use stacks::Assembly;
use stacks::environment::Environment;

use crate::context::Context;
use crate::functions::{self, Flavour};
use crate::options::ArchOption;
use crate::stop::Exit;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
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

/// The schema with which editors check environment files.
const SCHEMA: &str = "stacks/environments/environment.schema.json";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SynthesisedStacks {
    environment: String,
    out: String,
    stacks: Vec<String>,
    deployable: bool,
}

pub(crate) async fn run(
    context: &Context,
    args: Arguments,
    commands: &Command,
) -> anyhow::Result<Exit> {
    let environment = context.trusting_this_machine(context.environment()?)?;
    let assembly = assembly(context, &environment, &args).await?;
    let out = context.root.join(&args.out);
    if args.check {
        let written = out.join("manifest.json").is_file();
        let differences = if written {
            assembly
                .differences(&out)
                .context("comparing the assembly")?
        } else {
            Vec::new()
        };
        return check(context, &differences, commands);
    }
    write_schema(context)?;
    assembly.write(&out).context("writing the assembly")?;
    let answer = SynthesisedStacks {
        environment: environment.name,
        out: args.out.display().to_string(),
        stacks: assembly
            .stacks
            .iter()
            .map(|stack| stack.name.clone())
            .collect(),
        deployable: !args.no_build,
    };
    context.out.answer(&answer, |answer| {
        let mark = if answer.deployable {
            ""
        } else {
            " (for review: no function is built, CloudFormation refuses to deploy them)"
        };
        format!("{}: {}{mark}", answer.out, answer.stacks.join(", "))
    })?;
    Ok(Exit::Done)
}

async fn assembly(
    context: &Context,
    environment: &Environment,
    args: &Arguments,
) -> anyhow::Result<Assembly> {
    let flavour = Flavour::of(environment, args.arch.arch)?;
    let assembly = if args.no_build {
        let architecture = Some(flavour.architecture);
        let environment = Environment {
            architecture,
            ..environment.clone()
        };
        stacks::synthesise_unbuilt(&environment)
    } else {
        let assets = functions::build(context, flavour).await?;
        stacks::synthesise(environment, &assets)
    };
    assembly.context("synthesising the stacks")
}

/// The files that must match what would be written. An assembly that was never written is not a
/// difference: only users who deploy have one.
fn check(context: &Context, assembly: &[PathBuf], commands: &Command) -> anyhow::Result<Exit> {
    let mut found: Vec<String> = assembly
        .iter()
        .map(|file| {
            let file = file.display();
            format!("`{file}` is out of date: `cargo xtask synth` writes it")
        })
        .collect();
    let path = context.root.join(SCHEMA);
    if std::fs::read_to_string(&path).unwrap_or_default() != Environment::schema_text() {
        found.push(format!(
            "`{SCHEMA}` is out of date: `cargo xtask synth` writes it"
        ));
    }
    if !super::codegen::is_current(&context.root, commands) {
        found.push(super::codegen::out_of_date(crate::reference::PAGE));
    }
    for line in &found {
        context.out.warning(line);
    }
    let generated = super::codegen::report(context, &::codegen::run(true, &context.root)?);
    if found.is_empty() && generated == Exit::Done {
        context
            .out
            .step("the assembly synthesises, nothing is out of date");
        Ok(Exit::Done)
    } else {
        Ok(Exit::Difference)
    }
}

fn write_schema(context: &Context) -> anyhow::Result<()> {
    let path = context.root.join(SCHEMA);
    let text = Environment::schema_text();
    if std::fs::read_to_string(&path).unwrap_or_default() == text {
        return Ok(());
    }
    std::fs::write(&path, text).with_context(|| format!("writing `{SCHEMA}`"))
}
