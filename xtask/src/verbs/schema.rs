//! `schema`: JSON Schemas.

use stacks::environment::Environment;

use crate::cli::SchemaOf;
use crate::context::Context;
use crate::stop::Exit;

pub(super) fn run(context: &Context, of: SchemaOf) -> anyhow::Result<Exit> {
    let schema = match of {
        SchemaOf::Environment => Environment::schema(),
    };
    // A schema has no other form than JSON.
    context
        .out
        .answer(&schema, |schema| format!("{schema:#}"))?;
    Ok(Exit::Done)
}
