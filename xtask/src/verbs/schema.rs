//! `schema`: JSON Schemas, and the description of the analytics API.

use anyhow::Context as _;
use stacks::environment::Environment;

use crate::cli::SchemaOf;
use crate::context::Context;
use crate::stop::Exit;

/// Generated from the types that answer, and kept in step by a test.
const OPENAPI: &str = include_str!("../../../functions/analytics/openapi.json");

pub(super) fn run(context: &Context, of: SchemaOf) -> anyhow::Result<Exit> {
    let schema = match of {
        SchemaOf::Environment => Environment::schema(),
        SchemaOf::Openapi => {
            serde_json::from_str(OPENAPI).context("reading the `OpenAPI` document")?
        }
    };
    // A schema has no other form than JSON.
    context
        .out
        .answer(&schema, |schema| format!("{schema:#}"))?;
    Ok(Exit::Done)
}
