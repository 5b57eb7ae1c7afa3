//! `dashboard`: draws a deployed dashboard with the environment's metrics.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use deployer::{Dashboards, MetricSeries, Metrics};
use domain::time::UnixMillis;
use serde::Serialize;
use stacks::environment::Environment;

use crate::aws::{Reached, reach};
use crate::clock;
use crate::context::Context;
use crate::dashboard::{
    Body, Content, Drawn, DrawnLine, DrawnWidget, Line, Metric, Series, Source, Widget, evaluate,
    html,
};
use crate::jobs::Job;
use crate::stop::{Exit, Stop};

/// The dashboard that is drawn without a name.
const OPERATIONS: &str = "operations";

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Which dashboard: `operations`, `security`, or a plan's, such as `plan-free`
    #[arg(long, value_name = "NAME", default_value = OPERATIONS)]
    pub(crate) name: String,
    /// Open the page in a browser
    #[arg(long)]
    pub(crate) open: bool,
    /// Output file; by default `target/dashboard-ENV.html`, or `target/dashboard-ENV-NAME.html`
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// How many hours back from now to show
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=24), default_value_t = 3)]
    pub(crate) hours: u8,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RenderedDashboard {
    file: String,
    #[serde(flatten)]
    dashboard: Drawn,
}

pub(crate) async fn run(context: &Context, args: Arguments) -> anyhow::Result<Exit> {
    let reached = reach(context).await?;
    reached.deployed().await?;
    let name = named(&reached.environment, &args.name)?;
    let body = Dashboards::new(&reached.session).body(&name).await?;
    let hours = i64::from(args.hours);
    let now = clock::now();
    let span = (now.plus_millis(-hours * 3_600_000), now);
    let mut widgets = Vec::new();
    for widget in Body::read(&body)?.widgets {
        widgets.push(drawn(&reached, widget, span).await?);
    }
    let (from, to) = (span.0.to_string(), span.1.to_string());
    let dashboard = Drawn {
        name,
        from,
        to,
        widgets,
    };
    let file = args
        .out
        .unwrap_or_else(|| default_file(context, &reached, &args.name));
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("creating `{}`", folder.display()))?;
    }
    std::fs::write(&file, html(&dashboard))
        .with_context(|| format!("writing `{}`", file.display()))?;
    if args.open {
        open(context, &file).await?;
    }
    let answer = RenderedDashboard {
        file: file.display().to_string(),
        dashboard,
    };
    context.out.answer(&answer, |answer| answer.file.clone())?;
    Ok(Exit::Done)
}

fn default_file(context: &Context, reached: &Reached, name: &str) -> PathBuf {
    let environment = &reached.environment.name;
    let name = match name {
        OPERATIONS => format!("dashboard-{environment}.html"),
        other => format!("dashboard-{environment}-{other}.html"),
    };
    context.target().join(name)
}

/// The dashboards of an environment: what the command line calls them, and their names.
pub(super) fn all(environment: &Environment) -> Vec<(String, String)> {
    let names = environment.names();
    let has = environment.dashboards;
    let mut all = vec![(OPERATIONS.to_owned(), names.dashboard())];
    if has.security {
        all.push(("security".to_owned(), names.security_dashboard()));
    }
    let plans = environment.plans.keys().filter(|_| has.plans);
    all.extend(plans.map(|plan| (format!("plan-{plan}"), names.plan_dashboard(plan))));
    all
}

fn named(environment: &Environment, name: &str) -> Result<String, Stop> {
    let all = all(environment);
    let found = all.iter().find(|(short, _)| short == name);
    found.map(|(_, name)| name.clone()).ok_or_else(|| {
        let short: Vec<_> = all.iter().map(|(short, _)| format!("`{short}`")).collect();
        Stop::usage(format!(
            "unknown dashboard `{name}`: `{}` has {}",
            environment.name,
            short.join(", ")
        ))
        .hint("`dashboards` in the environment file adds others")
    })
}

async fn open(context: &Context, file: &std::path::Path) -> anyhow::Result<()> {
    let program = if cfg!(target_os = "macos") {
        "open"
    } else {
        "xdg-open"
    };
    let opening = Job::new(program).args([file]).run(context.out).await;
    opening.context(Stop::failed(format!(
        "`{program}` does not open `{}`",
        file.display()
    )))
}

async fn drawn(
    reached: &Reached,
    widget: Widget,
    span: (UnixMillis, UnixMillis),
) -> anyhow::Result<DrawnWidget> {
    let place = [widget.x, widget.y, widget.width, widget.height];
    Ok(match widget.content {
        Content::Text(text) => DrawnWidget {
            title: text,
            kind: "text",
            period: 0,
            lines: Vec::new(),
            place,
            thresholds: Vec::new(),
            rows: Vec::new(),
        },
        Content::Logs { title, query } => DrawnWidget {
            title,
            kind: "logs",
            period: 0,
            lines: Vec::new(),
            thresholds: Vec::new(),
            place,
            rows: vec![("query".to_owned(), query)],
        },
        Content::Alarms { title, names } => {
            let alarms = Metrics::new(&reached.session).alarms(&names).await?;
            let alarms = alarms.into_iter().map(|alarm| (alarm.name, alarm.state));
            DrawnWidget {
                title,
                kind: "alarms",
                period: 0,
                lines: Vec::new(),
                thresholds: Vec::new(),
                place,
                rows: alarms.collect(),
            }
        }
        Content::Metrics {
            title,
            single,
            period,
            lines,
            thresholds,
        } => DrawnWidget {
            lines: values(reached, &lines, (period, span))
                .await
                .with_context(|| format!("drawing the widget `{title}`"))?,
            title,
            kind: if single { "numbers" } else { "lines" },
            period,
            thresholds,
            place,
            rows: Vec::new(),
        },
    })
}

/// The visible lines with their values.
async fn values(
    reached: &Reached,
    lines: &[Line],
    (period, (from, to)): (u32, (UnixMillis, UnixMillis)),
) -> anyhow::Result<Vec<DrawnLine>> {
    let step = i64::from(period) * 1_000;
    let first = UnixMillis(from.0.div_euclid(step) * step);
    let periods = usize::try_from((to.since(first) + step - 1) / step).unwrap_or(0);
    let mut known: BTreeMap<String, Series> = BTreeMap::new();
    let mut drawn = Vec::new();
    for line in lines {
        let series = match &line.source {
            Source::Metric(metric) => of_metric(reached, metric, (first, to), periods).await?,
            Source::Expression(text) => evaluate(text, &known, periods)?,
        };
        known.insert(line.id.clone(), series.clone());
        if line.visible {
            drawn.push(DrawnLine::new(line.label.clone(), series));
        }
    }
    Ok(drawn)
}

async fn of_metric(
    reached: &Reached,
    metric: &Metric,
    (first, to): (UnixMillis, UnixMillis),
    periods: usize,
) -> anyhow::Result<Series> {
    let asked = MetricSeries {
        namespace: &metric.namespace,
        name: &metric.name,
        dimensions: &metric.dimensions,
        statistic: &metric.statistic,
        period: metric.period,
    };
    let values = Metrics::new(&reached.session)
        .series(&asked, (first, to))
        .await?;
    let step = i64::from(metric.period) * 1_000;
    let mut series = vec![None; periods];
    for (at, value) in values {
        let place = usize::try_from(at.since(first).div_euclid(step)).ok();
        if let Some(known) = place.and_then(|place| series.get_mut(place)) {
            *known = Some(value);
        }
    }
    Ok(series)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn a_dashboard_has_a_short_name_and_another_one_is_refused_with_all() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let file = root.join("../stacks/environments/local.yaml");
        let environment = Environment::load(&file).unwrap();
        for (short, name) in [
            ("operations", "complical-usage-analytics-local"),
            ("security", "complical-security-local"),
            ("plan-free", "complical-plan-free-local"),
        ] {
            assert_eq!(named(&environment, short).unwrap(), name);
        }
        let refused = named(&environment, "free").unwrap_err().to_string();
        assert!(
            refused.ends_with("`plan-enterprise`, `plan-free`, `plan-pro`"),
            "{refused}"
        );
    }
}
