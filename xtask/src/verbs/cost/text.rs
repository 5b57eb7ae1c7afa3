//! The estimate as text.

use super::{CostEstimate, Money};
use report::grouped;

/// Columns: the left-aligned one, and the right-aligned ones.
type Row = [String; 3];

/// The whole estimate, for people.
pub(super) fn render(answer: &CostEstimate) -> String {
    let mut parts = vec![heading(answer), bill(answer), modes(answer)];
    if !answer.advice.is_empty() {
        parts.push(advice(answer));
    }
    parts.push(alternatives(answer));
    parts.push(list(
        "Prices that are not from the price list",
        &answer.prices.doubts,
    ));
    parts.push(list("Assumed", &answer.assumed));
    parts.push(list("Left out", &answer.left_out));
    parts.join("\n\n")
}

fn heading(answer: &CostEstimate) -> String {
    let shape = answer.shape;
    format!(
        "{} calls a month, {} users, peak {} times the average, {}.{} % failures\n{} in {}, {} mode; prices of {} ({})",
        grouped(answer.calls),
        grouped(shape.users),
        shape.peak,
        shape.errors_per_thousand / 10,
        shape.errors_per_thousand % 10,
        answer.environment,
        answer.region,
        answer.mode,
        answer.prices.date,
        answer.prices.source,
    )
}

fn bill(answer: &CostEstimate) -> String {
    let row = |name: String, monthly: Money, each: Money| [name, monthly.cents(), each.micros()];
    let mut rows = vec![[
        String::new(),
        "$ a month".to_owned(),
        "$ per 1,000 calls".to_owned(),
    ]];
    for service in &answer.services {
        let sum = &service.sum;
        rows.push(row(
            service.name.to_owned(),
            sum.monthly,
            sum.per_thousand_calls,
        ));
        let own = answer
            .items
            .iter()
            .filter(|item| item.line.service == service.name);
        rows.extend(own.map(|item| {
            let name = format!("  {}", item.line.item);
            row(name, item.line.monthly, item.per_thousand_calls)
        }));
    }
    for (name, sum) in [
        ("Total", &answer.total),
        ("Metering alone", &answer.metering),
    ] {
        rows.push(row(name.to_owned(), sum.monthly, sum.per_thousand_calls));
    }
    columns(&rows)
}

fn modes(answer: &CostEstimate) -> String {
    let all = answer.modes.iter();
    let all = all.map(|mode| format!("{} ${}", mode.mode, mode.metering.cents()));
    format!("Metering by mode: {}", all.collect::<Vec<_>>().join(", "))
}

fn advice(answer: &CostEstimate) -> String {
    let lines = answer.advice.iter().map(|one| {
        let (saving, gives_up) = (one.saving.cents(), one.gives_up);
        format!("  ${saving}  {}\n      gives up: {gives_up}\n", one.change)
    });
    let lines: String = lines.collect();
    format!("Savings per month, each on its own:\n{}", lines.trim_end())
}

fn alternatives(answer: &CostEstimate) -> String {
    let lines = answer.alternatives.iter().map(|one| {
        let exact = if one.exact { "exact" } else { "not exact" };
        let (monthly, name, note) = (one.monthly.cents(), one.name, one.note);
        format!("  ${monthly}  {name} ({exact})\n      {note}\n")
    });
    let lines: String = lines.collect();
    format!(
        "Other ways to count, without the gateway:\n{}",
        lines.trim_end()
    )
}

fn list(heading: &str, items: &[impl AsRef<str>]) -> String {
    let lines = items.iter().map(|item| format!("\n  {}", item.as_ref()));
    format!("{heading}:{}", lines.collect::<String>())
}

/// The first column left-aligned, the others right.
fn columns(rows: &[Row]) -> String {
    let width = |of: fn(&Row) -> &String| {
        rows.iter()
            .map(|row| of(row).chars().count())
            .max()
            .unwrap_or(0)
    };
    let (name, monthly, each) = (
        width(|row| &row[0]),
        width(|row| &row[1]),
        width(|row| &row[2]),
    );
    let line = |[a, b, c]: &Row| format!("{a:<name$}  {b:>monthly$}  {c:>each$}");
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}
