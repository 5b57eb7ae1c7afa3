//! `report`: usage of a week or a month per user and per plan, with the changes against the span
//! before.
//!
//! It is made of what bills are made of ([`domain::usage`]), and of final counts alone. So it equals
//! `usage export`, and another run produces the same bytes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use deployer::UsageTable;
use domain::calendar::{Span, Unit};
use domain::mark::Round;
use domain::plan::Plans;
use domain::report::Format;
use domain::time::UnixMillis;
use report::{Basis, Figures};
use serde::Serialize;

use crate::aws::reach;
use crate::clock;
use crate::context::Context;
use crate::stop::{Exit, Stop};
use crate::verbs::usage::{by_user, check_closed, plans, rounds, terms};

/// The word for the last span whose counts are final.
const LAST: &str = "last";
/// How many spans back the last final one is looked for. An environment that closes no days for that
/// long has other problems.
const LOOK_BACK: usize = 5;

#[derive(Debug, Clone, Args)]
pub(crate) struct Arguments {
    /// The week, such as `2026-W47`; `last`, the default, is the last one whose counts are final
    #[arg(long, value_name = "WEEK", value_parser = week, conflicts_with = "month")]
    pub(crate) week: Option<Which>,
    /// The month instead, such as `2026-11`; `last` is the last one whose counts are final
    #[arg(long, value_name = "MONTH", value_parser = month)]
    pub(crate) month: Option<Which>,
    /// The format
    #[arg(long, value_name = "FORMAT", default_value = "html")]
    pub(crate) format: ReportFormat,
    /// Output file; without it, the report goes to stdout
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// The form of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ReportFormat {
    /// A page for mail: no script, no outside request, charts within it.
    Html,
    /// A header, then a line per user, per plan, and for the total.
    Csv,
    /// One JSON document.
    Json,
}

impl From<ReportFormat> for Format {
    fn from(format: ReportFormat) -> Self {
        match format {
            ReportFormat::Html => Self::Html,
            ReportFormat::Csv => Self::Csv,
            ReportFormat::Json => Self::Json,
        }
    }
}

/// A week or a month, as it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// The last one whose counts are final.
    Last,
    /// This one.
    Named(Span),
}

/// The answer of a run that writes a file.
#[derive(Debug, Serialize)]
struct WrittenReport {
    file: String,
    format: ReportFormat,
    period: String,
}

fn week(text: &str) -> Result<Which, String> {
    named(text, Unit::Week).ok_or_else(|| {
        format!("invalid week `{text}`: expected a year and a week, such as `2026-W47`, or `last`")
    })
}

fn month(text: &str) -> Result<Which, String> {
    named(text, Unit::Month).ok_or_else(|| {
        format!("invalid month `{text}`: expected a year and a month, such as `2026-11`, or `last`")
    })
}

fn named(text: &str, unit: Unit) -> Option<Which> {
    if text == LAST {
        return Some(Which::Last);
    }
    let span = Span::parse(text).filter(|span| span.unit() == unit);
    span.map(Which::Named)
}

impl Arguments {
    fn asked(&self) -> (Unit, Which) {
        match (self.month, self.week) {
            (Some(month), _) => (Unit::Month, month),
            (None, week) => (Unit::Week, week.unwrap_or(Which::Last)),
        }
    }
}

pub(crate) async fn run(context: &Context, args: Arguments) -> anyhow::Result<Exit> {
    let reached = reach(context).await?;
    reached.deployed().await?;
    let table = UsageTable::new(&reached.session, &reached.environment.names());
    let candidates = Candidates::of(args.asked(), clock::now());
    let plans = plans(&reached.environment);
    let basis = basis(&table, plans, candidates.compared()).await?;
    let rounds = rounds(&table, candidates.days(&basis)).await?;
    let chosen = candidates.chosen(&rounds, &basis)?;
    let mut figures = Figures::new(&reached.environment.name, chosen, &basis);
    let (first, last) = figures.days();
    for (user, days) in by_user(table.days(first, last).await?) {
        figures.add(user, &days);
    }
    let report = figures.report();
    let text = report
        .to_text(args.format.into())
        .context("writing a report")?;
    let Some(file) = args.out else {
        context
            .out
            .answer(&report, |_| text.trim_end().to_owned())?;
        return Ok(Exit::Done);
    };
    std::fs::write(&file, text).with_context(|| format!("writing `{}`", file.display()))?;
    let written = WrittenReport {
        file: file.display().to_string(),
        format: args.format,
        period: chosen.0.to_string(),
    };
    context
        .out
        .answer(&written, |written| written.file.clone())?;
    Ok(Exit::Done)
}

/// The rules by which spans begin and end: the plans, and what is noted of each month among them.
async fn basis(
    table: &UsageTable,
    plans: Plans,
    spans: impl Iterator<Item = Span>,
) -> anyhow::Result<Basis> {
    let mut noted = BTreeMap::new();
    for span in spans.filter(|span| span.unit() == Unit::Month) {
        let month = span.in_utc().start;
        noted.insert(month, terms(table, &plans, month).await?);
    }
    Ok(Basis::noted(plans, noted))
}

/// The days of a span and of the one before it, both included.
fn both(span: Span, basis: &Basis) -> (UnixMillis, UnixMillis) {
    (basis.days(span.previous()).0, basis.days(span).1)
}

/// The spans of which one is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Candidates {
    newest: Span,
    count: usize,
}

impl Candidates {
    fn of((unit, which): (Unit, Which), now: UnixMillis) -> Self {
        match which {
            Which::Named(newest) => Self { newest, count: 1 },
            Which::Last => Self {
                newest: Span::of(unit, now).previous(),
                count: LOOK_BACK,
            },
        }
    }

    fn newest_first(self) -> impl Iterator<Item = Span> {
        let back = |span: &Span| Some(span.previous());
        std::iter::successors(Some(self.newest), back).take(self.count)
    }

    /// Each, and the one with which the oldest is compared.
    fn compared(self) -> impl Iterator<Item = Span> {
        let all = Self {
            count: self.count + 1,
            ..self
        };
        all.newest_first()
    }

    /// The days that decide which one is chosen, both included.
    fn days(self, basis: &Basis) -> (UnixMillis, UnixMillis) {
        let (first, last) = both(self.newest, basis);
        let firsts = self.newest_first().map(|span| both(span, basis).0);
        (firsts.min().unwrap_or(first), last)
    }

    /// The newest one whose counts are final, and whether there is a span before it to compare it
    /// with: the first span of an environment has none.
    fn chosen(
        self,
        rounds: &BTreeMap<UnixMillis, Round>,
        basis: &Basis,
    ) -> Result<(Span, bool), Stop> {
        let is_final = |span: &Span| basis.unsealed(rounds, *span).is_none();
        let Some(span) = self.newest_first().find(is_final) else {
            if self.count == 1 {
                check_closed(rounds, &title(self.newest), basis.days(self.newest))?;
            }
            let kind = self.newest.unit().name();
            let message = format!("none of the last {} {kind}s is closed", self.count);
            return Err(Stop::failed(message)
                .hint(format!("a {kind} is closed nine days after its last day")));
        };
        let before = span.previous();
        let is_compared = basis.has_previous(rounds, span);
        if is_compared {
            let what = format!("{}, with which `{span}` is compared,", title(before));
            check_closed(rounds, &what, basis.days(before))?;
        }
        Ok((span, is_compared))
    }
}

fn title(span: Span) -> String {
    format!("{} `{span}`", span.unit().name())
}

#[cfg(test)]
mod tests;
