//! B10: scale in virtual time.

use std::path::Path;

use anyhow::Context as _;
use serde::Deserialize;

use super::figure::Figure;
use super::plot::{Line, Panel, Plot};
use crate::context::Context;

const ID: &str = "B10";
/// Seconds within which the backlog must be gone.
const CAUGHT_UP_WITHIN: f64 = 600.0;
/// How long a scenario is observed after its last call: the figure for one that does not catch up.
const WATCHED_SECONDS: u32 = 2_100;

/// The output of the measuring program.
#[derive(Debug, Deserialize)]
pub(super) struct Scale {
    scenarios: Vec<Scenario>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Scenario {
    name: String,
    calls: u32,
    refused: u32,
    lost: u32,
    journalled: u32,
    directly: u32,
    retries: u32,
    most_instances: u32,
    longest_stream_lag_seconds: u32,
    longest_fold_lag_seconds: u32,
    caught_up_after_seconds: Option<u32>,
    gave: Vec<String>,
    samples: Vec<Sample>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sample {
    second: u64,
    calls_per_second: u64,
    refused_per_second: u64,
    stream_lag_seconds: u64,
    fold_lag_seconds: u64,
}

impl Scale {
    /// Draws a plot of each scenario into `folder`, and reports the bottlenecks.
    pub(super) fn draw(&self, context: &Context, folder: &Path) -> anyhow::Result<()> {
        let folder = context.root.join(folder);
        let at = || format!("writing plots to `{}`", folder.display());
        std::fs::create_dir_all(&folder).with_context(at)?;
        for (number, scenario) in self.scenarios.iter().enumerate() {
            let file = folder.join(format!("scale-{}.svg", number + 1));
            std::fs::write(&file, scenario.plot().svg()).with_context(at)?;
            for gave in &scenario.gave {
                context.out.step(&format!("{}: {gave}", scenario.name));
            }
        }
        context
            .out
            .step(&format!("plots are in `{}`", folder.display()));
        Ok(())
    }

    pub(super) fn figures(&self) -> Vec<Figure> {
        self.scenarios.iter().flat_map(Scenario::figures).collect()
    }
}

impl Scenario {
    fn figures(&self) -> Vec<Figure> {
        let figure = |what: &str, value: u32, unit| {
            Figure::new(ID, &format!("{}, {what}", self.name), value.into(), unit)
        };
        let missing = self
            .calls
            .saturating_sub(self.refused)
            .abs_diff(self.journalled);
        let mut figures = vec![
            figure("refused callers", self.refused, "calls").at_most(0.0),
            figure("accepted and not in the journal", missing, "calls").at_most(0.0),
            figure("given up", self.lost, "records").at_most(0.0),
            figure("appended directly", self.directly, "calls"),
            figure("batches tried again", self.retries, "batches"),
            figure("instances at most", self.most_instances, "instances"),
            figure(
                "lag of the stream at most",
                self.longest_stream_lag_seconds,
                "s",
            ),
            figure(
                "lag of the fold at most",
                self.longest_fold_lag_seconds,
                "s",
            ),
        ];
        let after = self.caught_up_after_seconds.unwrap_or(WATCHED_SECONDS);
        figures.push(figure("caught up after", after, "s").at_most(CAUGHT_UP_WITHIN));
        figures
    }

    fn plot(&self) -> Plot {
        let line = |name, colour, value: fn(&Sample) -> u64| Line {
            name,
            colour,
            points: self
                .samples
                .iter()
                .map(|sample| (sample.second, value(sample)))
                .collect(),
        };
        Plot {
            title: self.name.clone(),
            panels: [
                Panel {
                    unit: "calls/s",
                    lines: vec![
                        line("calls", "#1f77b4", |sample| sample.calls_per_second),
                        line("refused", "#d62728", |sample| sample.refused_per_second),
                    ],
                },
                Panel {
                    unit: "s behind",
                    lines: vec![
                        line("stream", "#2ca02c", |sample| sample.stream_lag_seconds),
                        line("fold", "#9467bd", |sample| sample.fold_lag_seconds),
                    ],
                },
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{"scenarios": [{
        "name": "spike & more", "calls": 100, "refused": 3, "lost": 0, "journalled": 96,
        "directly": 5, "retries": 0, "mostInstances": 9, "longestStreamLagSeconds": 12,
        "longestFoldLagSeconds": 60, "caughtUpAfterSeconds": null, "gave": ["after 3 s: shards"],
        "samples": [
            {"second": 0, "callsPerSecond": 10, "refusedPerSecond": 0, "streamLagSeconds": 0, "foldLagSeconds": 0},
            {"second": 10, "callsPerSecond": 100, "refusedPerSecond": 3, "streamLagSeconds": 12, "foldLagSeconds": 60}
        ]
    }]}"#;

    #[test]
    fn refused_missing_and_late_calls_miss_their_targets() {
        let scale: Scale = serde_json::from_str(TEXT).unwrap();
        let met: Vec<_> = scale.figures().iter().map(|figure| figure.met).collect();
        let (yes, no) = (Some(true), Some(false));
        assert_eq!(met, [no, no, yes, None, None, None, None, None, no]);
    }

    #[test]
    fn a_plot_holds_every_line_and_no_bare_ampersand() {
        let scale: Scale = serde_json::from_str(TEXT).unwrap();
        let svg = scale.scenarios[0].plot().svg();
        assert_eq!(svg.matches("<polyline").count(), 4);
        assert!(svg.contains("spike &amp; more"));
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        // The second sample is at the right edge, with its 100 calls at the top of their panel.
        assert!(svg.contains("720,40"), "{svg}");
    }
}
