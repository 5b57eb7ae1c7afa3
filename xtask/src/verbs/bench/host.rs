//! B2 and B3: the authorizer on the function host, warm and cold.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use domain::names::Function;
use serde::Deserialize;

use super::figure::{Figure, Spread, micros, millis};
use super::{BenchmarkId, build, names, read};
use crate::context::Context;
use crate::functions::{self, Effort};
use crate::jobs::Job;
use crate::local::SuiteTools;

/// The crate of the measuring program and its subjects: examples of the function host.
const HOST: &str = "lambda-host";

const MEASURING: &str = "bench";

const TRIVIAL: &str = "probe";

/// The output of the measuring program.
#[derive(Debug, Deserialize)]
struct HostReport {
    #[serde(rename = "B2")]
    answers: Option<AuthorizerTimes>,
    #[serde(rename = "B3")]
    cold: Option<Cold>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AuthorizerTimes {
    warm: Spread,
    warm_frozen: Spread,
    rate: u32,
    paced: Paced,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Paced {
    one_floor: Spread,
    one_authorizer: Spread,
    floor: Spread,
    authorizer: Spread,
    slow_stream: Spread,
    dead_stream: Spread,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cold {
    trivial: Spread,
    authorizer: Spread,
    bare_node: Spread,
}

/// The programs to measure.
struct Built {
    measuring: PathBuf,
    trivial: PathBuf,
    authorizer: PathBuf,
}

pub(super) async fn figures(context: &Context, ids: &[BenchmarkId]) -> anyhow::Result<Vec<Figure>> {
    let tools = SuiteTools::ensure(context).await?;
    let function = Function::Authorizer.folder();
    // The function is built separately, so that it has no feature that only commands need.
    let of_host = ["-p", HOST, "--example", MEASURING, "--example", TRIVIAL];
    let release = build(context, &[&of_host, &["-p", function]]).await?;
    let built = Built {
        measuring: release.join("examples").join(MEASURING),
        trivial: release.join("examples").join(TRIVIAL),
        authorizer: release.join(function),
    };
    context
        .out
        .step("measuring; other load on this machine distorts the figures");
    let report = measure(&built, &tools.node(), ids).await?;
    let mut figures = Vec::new();
    if let Some(answers) = &report.answers {
        figures.extend(of_answers(answers));
    }
    if let Some(cold) = &report.cold {
        figures.extend(of_cold_starts(cold));
        figures.push(of_zip(&built.authorizer)?);
    }
    Ok(figures)
}

async fn measure(built: &Built, node: &Path, ids: &[BenchmarkId]) -> anyhow::Result<HostReport> {
    let job = Job::new(&built.measuring)
        .args([&built.trivial, &built.authorizer])
        .args([node])
        .args(names(ids));
    read(job).await
}

fn of_answers(answers: &AuthorizerTimes) -> Vec<Figure> {
    const ID: &str = "B2";
    // With enough instances, a slow or dead stream must not affect callers.
    const UNFELT: f64 = 1.05;
    let figure = |name: &str, nanos: u32| Figure::new(ID, name, micros(nanos), "µs");
    let paced = &answers.paced;
    let floor = |spread: Spread| ("trivial function", micros(spread.p50));
    let above_floor = |name: &str, spread: Spread, (peer, floor): (&str, f64)| {
        let figure = figure(name, spread.p50).at_most(floor + 200.0);
        figure.beside(peer, floor)
    };
    let at_once = micros(paced.authorizer.p50);
    let beside_at_once = |name: &str, spread: Spread| {
        let figure = figure(name, spread.p50).at_most(at_once * UNFELT);
        figure.beside("stream at once", at_once)
    };
    let rate = "trivial function, 4 instances";
    vec![
        figure("trivial function, warm, p50", answers.warm.p50).at_most(250.0),
        figure(
            "the same, frozen between calls, p50",
            answers.warm_frozen.p50,
        )
        .at_most(250.0),
        Figure::new(ID, rate, f64::from(answers.rate), "calls/s").at_least(10_000.0),
        above_floor(
            "authorizer, 1 instance, p50",
            paced.one_authorizer,
            floor(paced.one_floor),
        ),
        above_floor(
            "authorizer, 4 instances, p50",
            paced.authorizer,
            floor(paced.floor),
        ),
        figure("authorizer, 4 instances, p99", paced.authorizer.p99)
            .beside("trivial function", micros(paced.floor.p99)),
        beside_at_once("the same, stream takes 50 ms, p50", paced.slow_stream),
        beside_at_once("the same, stream unreachable, p50", paced.dead_stream),
    ]
}

fn of_cold_starts(cold: &Cold) -> Vec<Figure> {
    const ID: &str = "B3";
    let figure = |name: &str, nanos: u32| Figure::new(ID, name, millis(nanos), "ms");
    let node = millis(cold.bare_node.p50);
    vec![
        figure(
            "authorizer, start to first answer, p50",
            cold.authorizer.p50,
        )
        .at_most(15.0)
        .beside("Node.js without any SDK", node),
        figure(
            "authorizer, start to first answer, p99",
            cold.authorizer.p99,
        ),
        figure(
            "trivial function, start to first answer, p50",
            cold.trivial.p50,
        )
        .beside("Node.js without any SDK", node),
    ]
}

/// The deployed size: this machine's binary, zipped as a deploy zips it.
fn of_zip(binary: &Path) -> anyhow::Result<Figure> {
    let binary = std::fs::read(binary).context("reading the authorizer's binary")?;
    let bytes =
        u32::try_from(functions::zipped(&binary, Effort::Most)?.len()).context("sizing the zip")?;
    let megabytes = f64::from(bytes / 10_000) / 100.0;
    Ok(Figure::new("B3", "authorizer, zip", megabytes, "MB").at_most(4.5))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(p50: u32) -> Spread {
        Spread { p50, p99: 2 * p50 }
    }

    fn answers(slow: u32) -> AuthorizerTimes {
        AuthorizerTimes {
            warm: spread(120_000),
            warm_frozen: spread(260_000),
            rate: 12_000,
            paced: Paced {
                one_floor: spread(200_000),
                one_authorizer: spread(401_000),
                floor: spread(200_000),
                authorizer: spread(300_000),
                slow_stream: spread(slow),
                dead_stream: spread(300_000),
            },
        }
    }

    #[test]
    fn figures_are_held_against_targets_and_peers_of_the_same_run() {
        let met: Vec<_> = of_answers(&answers(314_000))
            .iter()
            .map(|figure| figure.met)
            .collect();
        let (yes, no) = (Some(true), Some(false));
        assert_eq!(met, [yes, no, yes, no, yes, None, yes, yes]);
        let slow = &of_answers(&answers(330_000))[6];
        assert_eq!((slow.met, slow.ratio), (no, Some(1.1)));
        assert_eq!(slow.peer.as_deref(), Some("stream at once: 300.0 µs"));
    }
}
