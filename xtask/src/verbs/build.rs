//! `build`: the functions' zips.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::aws::is_embedded;
use crate::cli::Build;
use crate::context::Context;
use crate::functions::{self, Flavour};
use crate::stop::Exit;

#[derive(Serialize)]
struct Answer {
    functions: BTreeMap<&'static str, Zip>,
}

#[derive(Serialize)]
struct Zip {
    zip: String,
    sha256: String,
}

pub(super) async fn run(context: &Context, args: Build) -> anyhow::Result<Exit> {
    let environment = context.environment()?;
    let flavour = Flavour::of(is_embedded(&environment), args.arch.arch)?;
    let assets = functions::build(context, flavour).await?;
    let functions = assets.iter().map(|(function, asset)| {
        let zip = Zip {
            zip: asset.zip.display().to_string(),
            sha256: asset.sha256.clone(),
        };
        (function.folder(), zip)
    });
    let answer = Answer {
        functions: functions.collect(),
    };
    context.out.answer(&answer, |answer| {
        let lines = answer
            .functions
            .values()
            .map(|zip| format!("{}\n", zip.zip));
        lines.collect()
    })?;
    Ok(Exit::Done)
}
