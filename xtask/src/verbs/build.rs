//! `build`: the functions' zips.

use std::collections::BTreeMap;

use clap::Args;
use serde::Serialize;

use crate::context::Context;
use crate::functions::{self, Flavour};
use crate::options::ArchOption;
use crate::stop::Exit;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) arch: ArchOption,
}

#[derive(Serialize)]
struct BuiltFunctions {
    functions: BTreeMap<&'static str, Built>,
}

#[derive(Serialize)]
struct Built {
    zip: String,
    architecture: &'static str,
    sha256: String,
}

pub(crate) async fn run(context: &Context, args: Arguments) -> anyhow::Result<Exit> {
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
    let answer = BuiltFunctions {
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
