//! A report as comma-separated values: a row per user, a row per plan, a row for the total. Meters
//! have columns at the end, as in an export.

use std::collections::BTreeSet;

use crate::csv::field;
use crate::figures::{Counts, Report};

const HEADER: &str = "scope,name,plan,periodStart,periodEnd,users,totalCalls,authFailures,\
     rateLimited,units,previousTotalCalls,previousAuthFailures,previousRateLimited,previousUnits";

/// A row: what it is about, then its counts and those of the span before.
struct Row<'a> {
    about: [String; 6],
    now: &'a Counts,
    previous: Option<&'a Counts>,
}

/// The table. No number in it is negative, and no cell begins a formula.
pub(crate) fn csv(report: &Report) -> String {
    let rows = rows(report);
    let meters = rows.iter().flat_map(|row| row.now.meters.keys());
    let meters: BTreeSet<&String> = meters.collect();
    let columns = meters.iter().map(|meter| format!(",meters.{meter}"));
    let head = HEADER.to_owned() + &columns.collect::<String>();
    let lines = rows.iter().map(|row| {
        let amounts = meters.iter().map(|meter| row.now.meters.get(*meter));
        let amounts = amounts.map(|amount| amount.copied().unwrap_or(0).to_string());
        let cells = row.about.iter().map(|text| field(text));
        let cells = cells
            .chain(numbers(row.now).map(|number| number.to_string()))
            .chain(previous(row.previous))
            .chain(amounts);
        cells.collect::<Vec<_>>().join(",")
    });
    let lines: Vec<_> = std::iter::once(head).chain(lines).collect();
    lines.join("\n") + "\n"
}

fn rows(report: &Report) -> Vec<Row<'_>> {
    let none = String::new;
    let users = report.users.iter().map(|user| Row {
        about: [
            "user".to_owned(),
            user.email.clone(),
            user.usage.now.plan.clone().unwrap_or_default(),
            user.period_start.to_string(),
            user.period_end.to_string(),
            none(),
        ],
        now: &user.usage.now.counts,
        previous: user.usage.previous.as_ref().map(|of| &of.counts),
    });
    let plans = report.plans.iter().map(|plan| Row {
        about: [
            "plan".to_owned(),
            plan.plan.clone().unwrap_or_default(),
            plan.plan.clone().unwrap_or_default(),
            none(),
            none(),
            plan.usage.now.users.to_string(),
        ],
        now: &plan.usage.now.counts,
        previous: plan.usage.previous.as_ref().map(|of| &of.counts),
    });
    let total = Row {
        about: [
            "total".to_owned(),
            report.period.clone(),
            none(),
            none(),
            none(),
            report.total.now.users.to_string(),
        ],
        now: &report.total.now.counts,
        previous: report.total.previous.as_ref().map(|of| &of.counts),
    };
    users.chain(plans).chain([total]).collect()
}

fn numbers(counts: &Counts) -> impl Iterator<Item = u64> {
    [
        counts.total_calls,
        counts.auth_failures,
        counts.rate_limited,
        counts.units,
    ]
    .into_iter()
}

/// The counts of the span before; empty cells without one.
fn previous(counts: Option<&Counts>) -> Vec<String> {
    match counts {
        Some(counts) => numbers(counts).map(|number| number.to_string()).collect(),
        None => vec![String::new(); 4],
    }
}
