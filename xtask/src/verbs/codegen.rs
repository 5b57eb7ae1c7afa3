//! `codegen`: the resource types, generated from AWS's published schema.

use ::codegen::Outcome;

use crate::context::Context;
use crate::stop::Exit;

pub(super) fn run(context: &Context, check: bool) -> anyhow::Result<Exit> {
    let outcome = ::codegen::run(check, &context.root)?;
    Ok(report(context, &outcome))
}

/// Says what a run found.
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
                context.out.warning(&format!(
                    "`{}` is out of date: `cargo xtask codegen` writes it",
                    file.display()
                ));
            }
            Exit::Difference
        }
    }
}
