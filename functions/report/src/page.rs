//! A report as a page for mail: styles within its elements, no script, nothing to load. Mail
//! programs cut pages off near 100 KB, so the page names the users with most calls, and sums up the
//! others.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::chart;
use crate::figures::{Compared, Counts, Report, Together, UserUsage};
use crate::markup::{escaped, grouped};

/// Users with a row of their own.
const MOST_USERS: usize = 50;

const BODY: &str = "margin:0;padding:16px;background:#f5f6f8;color:#17202b;font:14px/1.45 \
     -apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif";
const SHEET: &str = "margin:0 auto;background:#ffffff;border:1px solid #d5dae1;border-radius:8px";
const HEADING: &str = "margin:24px 0 8px;font-size:16px";
const QUIET: &str = "margin:0 0 8px;color:#55606e";
const TABLE: &str = "border-collapse:collapse;width:100%";
const NAME: &str = "padding:4px 8px 4px 0;border-top:1px solid #e3e7ed;text-align:left";
const NUMBER: &str =
    "padding:4px 0 4px 8px;border-top:1px solid #e3e7ed;text-align:right;white-space:nowrap";

/// The page.
pub(crate) fn html(report: &Report) -> String {
    let title = format!("Usage of {}, {}", report.environment, report.period);
    let parts = [
        format!(
            "<h1 style=\"margin:0 0 4px;font-size:20px\">{}</h1>",
            escaped(&title)
        ),
        paragraph(&dates(report)),
        key_figures(&report.total),
        heading("How many calls were accepted on each day?"),
        chart::days(&report.days, &report.previous_days),
        legend(report),
        heading("Which plans used how much?"),
        plans(report),
        heading("Which users used most?"),
        users(report),
        meters(report),
        paragraph(&footer(report)),
    ];
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title></head>\
         <body style=\"{BODY}\">\n<table role=\"presentation\" width=\"640\" style=\"{SHEET}\"><tr>\
         <td style=\"padding:24px\">\n{}\n</td></tr></table>\n</body></html>\n",
        parts.join("\n"),
        title = escaped(&title),
    )
}

fn heading(question: &str) -> String {
    format!("<h2 style=\"{HEADING}\">{question}</h2>")
}

fn paragraph(text: &str) -> String {
    format!("<p style=\"{QUIET}\">{text}</p>")
}

fn dates(report: &Report) -> String {
    let date = |date: jiff::civil::Date| date.strftime("%-d %B %Y").to_string();
    let against = report.compared_with.as_ref();
    let against = against.map_or_else(
        || "There is no period before to compare it with.".to_owned(),
        |before| format!("Changes are against {}.", escaped(before)),
    );
    format!(
        "{} to {}. All counts are final. {against}",
        date(report.first),
        date(report.last)
    )
}

fn legend(report: &Report) -> String {
    match &report.compared_with {
        Some(before) => paragraph(&format!(
            "Blue: {}. Grey, behind: {}.",
            escaped(&report.period),
            escaped(before)
        )),
        None => String::new(),
    }
}

fn key_figures(total: &Compared<Together>) -> String {
    let cell = |name: &str, of: fn(&Together) -> u64| {
        let (now, change) = compared(total, of);
        format!(
            "<td style=\"padding:8px 16px 8px 0\"><b style=\"font-size:22px\">{now}</b><br>{name}<br>\
             <span style=\"color:#55606e\">{change}</span></td>"
        )
    };
    let cells = [
        cell("accepted calls", |of| of.counts.total_calls),
        cell("units", |of| of.counts.units),
        cell("users", |of| of.users),
        cell("rate limited", |of| of.counts.rate_limited),
        cell("not authenticated", |of| of.counts.auth_failures),
    ];
    format!(
        "<table role=\"presentation\" style=\"{TABLE}\"><tr>{}</tr></table>",
        cells.concat()
    )
}

/// A figure, and its change against the span before.
fn compared<T>(of: &Compared<T>, figure: impl Fn(&T) -> u64) -> (String, String) {
    let now = figure(&of.now);
    let before = of.previous.as_ref().map(figure);
    (grouped(now), change(now, before))
}

/// A change in percent, rounded half away from zero to a tenth.
pub(crate) fn change(now: u64, before: Option<u64>) -> String {
    let Some(before) = before else {
        return "–".to_owned();
    };
    let (sign, by) = match now.checked_sub(before) {
        Some(0) => return "unchanged".to_owned(),
        Some(more) => ("+", more),
        None => ("−", before - now),
    };
    if before == 0 {
        return "new".to_owned();
    }
    let before = u128::from(before);
    let tenths = (u128::from(by) * 2_000 + before) / (2 * before);
    format!("{sign}{}.{} %", grouped(tenths / 10), tenths % 10)
}

/// A table, from the names of its columns and its rows; the first column is a name.
fn table(columns: &[&str], rows: &str) -> String {
    let mut heads = String::new();
    for (place, column) in columns.iter().enumerate() {
        let style = if place == 0 { NAME } else { NUMBER };
        let _ = write!(heads, "<th style=\"{style}\">{column}</th>");
    }
    format!("<table style=\"{TABLE}\"><tr>{heads}</tr>\n{rows}</table>")
}

fn row(name: &str, cells: &[String]) -> String {
    let cells = cells
        .iter()
        .map(|cell| format!("<td style=\"{NUMBER}\">{cell}</td>"));
    let cells: String = cells.collect();
    format!("<tr><td style=\"{NAME}\">{name}</td>{cells}</tr>\n")
}

fn plans(report: &Report) -> String {
    let most = report
        .plans
        .iter()
        .map(|plan| plan.usage.now.counts.total_calls);
    let most = most.max().unwrap_or(0);
    let rows = report.plans.iter().map(|plan| {
        let (calls, change) = compared(&plan.usage, |of| of.counts.total_calls);
        let counts = &plan.usage.now.counts;
        row(
            &named(plan.plan.as_deref()),
            &[
                chart::share(counts.total_calls, most),
                calls,
                change,
                grouped(counts.units),
                grouped(counts.rate_limited),
                grouped(plan.usage.now.users),
            ],
        )
    });
    let columns = [
        "Plan",
        "",
        "Calls",
        "Change",
        "Units",
        "Rate limited",
        "Users",
    ];
    table(&columns, &rows.collect::<String>())
}

fn named(plan: Option<&str>) -> String {
    plan.map_or_else(|| "no plan".to_owned(), escaped)
}

fn users(report: &Report) -> String {
    let mut users: Vec<&UserUsage> = report.users.iter().collect();
    users.sort_by_key(|user| Reverse(user.usage.now.counts.total_calls));
    let (shown, others) = users.split_at(users.len().min(MOST_USERS));
    let mut rows: String = shown.iter().map(|user| of_user(user)).collect();
    if !others.is_empty() {
        rows += &of_others(others);
    }
    let columns = ["User", "Plan", "Calls", "Change", "Units", "Rate limited"];
    table(&columns, &rows)
}

fn of_user(user: &UserUsage) -> String {
    let (calls, change) = compared(&user.usage, |of| of.counts.total_calls);
    let now = &user.usage.now;
    let before = user.usage.previous.as_ref();
    let plan = now
        .plan
        .as_deref()
        .or_else(|| before.and_then(|of| of.plan.as_deref()));
    row(
        &escaped(&user.email),
        &[
            named(plan),
            calls,
            change,
            grouped(now.counts.units),
            grouped(now.counts.rate_limited),
        ],
    )
}

fn of_others(others: &[&UserUsage]) -> String {
    let counts = || others.iter().map(|user| &user.usage.now.counts);
    let sum = |of: fn(&Counts) -> u64| counts().map(of).sum::<u64>();
    let before = others
        .iter()
        .map(|user| user.usage.previous.as_ref())
        .map(|of| of.map(|of| of.counts.total_calls))
        .sum::<Option<u64>>();
    let calls = sum(|of| of.total_calls);
    let users = if others.len() == 1 { "user" } else { "users" };
    row(
        &format!("{} more {users}", grouped(others.len())),
        &[
            String::new(),
            grouped(calls),
            change(calls, before),
            grouped(sum(|of| of.units)),
            grouped(sum(|of| of.rate_limited)),
        ],
    )
}

/// The amounts that upstreams reported, if there are any.
fn meters(report: &Report) -> String {
    let total = &report.total;
    let both = total.previous.iter().chain([&total.now]);
    let names: BTreeSet<&String> = both.flat_map(|of| of.counts.meters.keys()).collect();
    let rows = names.into_iter().map(|meter| {
        let of = |of: &Together| of.counts.meters.get(meter).copied().unwrap_or(0);
        let (amount, change) = compared(total, of);
        row(&escaped(meter), &[amount, change])
    });
    let rows: String = rows.collect();
    if rows.is_empty() {
        return rows;
    }
    heading("How much did the API report?") + &table(&["Meter", "Amount", "Change"], &rows)
}

fn footer(report: &Report) -> String {
    format!(
        "<br>Each user's days follow the time zone of the user's plan. A user who changed plans counts \
         under the plan of the last call. Failures of callers without a known key belong to no user. \
         <code>cargo xtask report --env {} --{} {} --format csv</code> lists every user.",
        escaped(&report.environment),
        report.kind,
        escaped(&report.period),
    )
}
