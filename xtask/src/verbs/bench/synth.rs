//! B7: synthesis of all stacks.

use anyhow::Context as _;
use serde::Deserialize;

use super::figure::Figure;
use crate::context::Context;
use crate::jobs::Job;
use crate::local::Tools;
use crate::stop::Stop;

/// The figures of the stacks as they are.
pub(super) async fn figures(context: &Context) -> anyhow::Result<Vec<Figure>> {
    Ok(of_times(&time(context).await?))
}

/// Runs a command repeatedly, the first time unmeasured. Prints the seconds of each run, shortest
/// first, and the kilobytes of the largest run.
const TIMES: &str = "\
import json, resource, subprocess, sys, time

def run():
    began = time.perf_counter()
    subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began

run()
seconds = sorted(run() for _ in range(21))
kilobytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(json.dumps({'seconds': seconds, 'kilobytes': kilobytes}))
";

/// The output of [`TIMES`].
#[derive(Debug, Deserialize)]
struct Times {
    seconds: Vec<f64>,
    kilobytes: u32,
}

/// Synthesises all stacks with this very program, while the functions are built.
async fn time(context: &Context) -> anyhow::Result<Times> {
    let tools = Tools::ensure(context).await?;
    context
        .out
        .step("measuring; other load on this machine distorts the figures");
    let own = std::env::current_exe().context("finding where this program is")?;
    let out = context.target().join("bench");
    let output = Job::new(tools.python())
        .args(["-c", TIMES])
        .args([&own])
        .args(["synth", "--out"])
        .args([&out])
        .read()
        .await?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(Stop::failed(format!("`synth` failed: {said}")).into());
    }
    serde_json::from_slice(&output.stdout).context("reading what was measured")
}

fn of_times(times: &Times) -> Vec<Figure> {
    const ID: &str = "B7";
    let median = times.seconds.get(times.seconds.len() / 2);
    let millis = (median.copied().unwrap_or_default() * 10_000.0).round() / 10.0;
    let megabytes = f64::from(times.kilobytes / 100) / 10.0;
    vec![
        Figure::new(ID, "synth of all stacks, p50", millis, "ms").at_most(60.0),
        Figure::new(ID, "the same, peak memory", megabytes, "MB").at_most(30.0),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn synth_is_held_against_the_median_of_its_runs() {
        let times = Times {
            seconds: vec![0.010, 0.045_67, 0.9],
            kilobytes: 31_000,
        };
        let figures = of_times(&times);
        let told: Vec<_> = figures
            .iter()
            .map(|figure| (figure.value, figure.met))
            .collect();
        assert_eq!(told, [(45.7, Some(true)), (31.0, Some(false))]);
    }
}
