//! `build`: the functions' zips.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::cli::Build;
use crate::context::Context;
use crate::functions::{self, Flavour};
use crate::stop::Exit;

#[derive(Serialize)]
struct Answer {
    functions: BTreeMap<&'static str, Built>,
}

#[derive(Serialize)]
struct Built {
    zip: String,
    architecture: &'static str,
    sha256: String,
}

pub(super) async fn run(context: &Context, args: Build) -> anyhow::Result<Exit> {
    let environment = context.environment()?;
    let flavour = Flavour::of(&environment, args.arch.arch)?;
    let assets = functions::build(context, flavour).await?;
    let functions = assets.iter().map(|(function, asset)| {
        let built = Built {
            zip: asset.zip.display().to_string(),
            architecture: asset.architecture.as_str(),
            sha256: asset.sha256.clone(),
        };
        (function.folder(), built)
    });
    let answer = Answer {
        functions: functions.collect(),
    };
    context.out.answer(&answer, |answer| {
        let lines = answer
            .functions
            .values()
            .map(|built| format!("{}\n", built.zip));
        lines.collect()
    })?;
    Ok(Exit::Done)
}
