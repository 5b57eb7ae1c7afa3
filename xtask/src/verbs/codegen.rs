//! `codegen`: the resource types, generated from AWS's published schema, and the reference of the
//! commands.

use std::path::Path;

use ::codegen::Outcome;
use anyhow::Context as _;
use clap::{Args, Command};

use crate::context::Context;
use crate::reference;
use crate::stop::Exit;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Write nothing; fail if generated code is out of date
    #[arg(long)]
    pub(crate) check: bool,
}

pub(crate) fn run(context: &Context, check: bool, commands: &Command) -> anyhow::Result<Exit> {
    let code = report(context, &::codegen::run(check, &context.root)?);
    if is_current(&context.root, commands) {
        return Ok(code);
    }
    if check {
        context.out.warning(&out_of_date(reference::PAGE));
        return Ok(Exit::Difference);
    }
    write_reference(context, commands)?;
    context.out.step(&format!("`{}` written", reference::PAGE));
    Ok(code)
}

fn write_reference(context: &Context, commands: &Command) -> anyhow::Result<()> {
    let page = context.root.join(reference::PAGE);
    let writing = || format!("writing `{}`", reference::PAGE);
    if let Some(folder) = page.parent() {
        std::fs::create_dir_all(folder).with_context(writing)?;
    }
    std::fs::write(&page, reference::page(commands)).with_context(writing)
}

/// Whether the reference matches the command line.
pub(super) fn is_current(root: &Path, commands: &Command) -> bool {
    let written = std::fs::read_to_string(root.join(reference::PAGE));
    written.is_ok_and(|written| written == reference::page(commands))
}

/// The message that a generated file is out of date.
pub(super) fn out_of_date(file: &str) -> String {
    format!("`{file}` is out of date: `cargo xtask codegen` writes it")
}

/// Reports the result of a run.
pub(super) fn report(context: &Context, outcome: &Outcome) -> Exit {
    match outcome {
        Outcome::UpToDate => {
            context.out.step("generated code is up to date");
            Exit::Done
        }
        Outcome::Written(files) => {
            for file in files {
                context.out.detail(&file.display().to_string());
            }
            context.out.step("generated code written");
            Exit::Done
        }
        Outcome::OutOfDate(files) => {
            for file in files {
                context
                    .out
                    .warning(&out_of_date(&file.display().to_string()));
            }
            Exit::Difference
        }
    }
}
