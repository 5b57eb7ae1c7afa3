//! Checks a dashboard's body against CloudWatch's description: "Dashboard Body Structure and
//! Syntax", CloudWatch API Reference. CloudFormation accepts any text as a body, and the dashboard
//! then shows an error in place of a widget.
//!
//! [`members`](super::members) holds the page's lists. This module holds the rules that the page
//! states in words, and checks that ids are unique and defined.

use std::collections::BTreeSet;

use serde_json::Value;

use super::members::{self, COLUMNS, EXPRESSION, RENDERING};
use super::shape::within;
use crate::cfn::check::Problem;

/// The most metrics of a dashboard in total ("CloudWatch quotas").
const METRICS: usize = 2500;
/// The default width of a widget.
const WIDTH: u64 = 6;

/// The problems of a body, each with its place in it; none if CloudWatch can show it.
///
/// ```
/// use stacks::cfn::dashboard_problems;
///
/// let body = r#"{"widgets": [{"type": "text", "properties": {"markdwon": "Orders"}}]}"#;
/// let found: Vec<String> = dashboard_problems(body).iter().map(ToString::to_string).collect();
/// assert_eq!(
///     found,
///     [
///         "`widgets.0.properties`: `markdown` is missing",
///         "`widgets.0.properties`: `markdwon` is unknown, expected one of `markdown`, `background`",
///     ]
/// );
/// ```
pub fn dashboard_problems(body: &str) -> Vec<Problem> {
    let body: Value = match serde_json::from_str(body) {
        Ok(body) => body,
        Err(error) => return vec![Problem::here(format!("the body is not JSON: {error}"))],
    };
    let mut problems = Vec::new();
    members::BODY.check(&body, &mut problems);
    time_range(&body, &mut problems);
    let mut all = Metrics::default();
    within("widgets", &mut problems, |problems| {
        for (index, widget) in list(&body, "widgets").iter().enumerate() {
            within(&index.to_string(), problems, |problems| {
                check_widget(widget, &mut all, problems);
            });
        }
    });
    if all.count > METRICS {
        problems.push(Problem::here(format!(
            "{} metrics, at most {METRICS} are allowed",
            all.count
        )));
    }
    problems
}

/// Facts about the dashboard as a whole.
#[derive(Default)]
struct Metrics {
    count: usize,
    /// The console draws one widget's metric in another if both have the same id.
    ids: BTreeSet<String>,
}

fn time_range(body: &Value, problems: &mut Vec<Problem>) {
    if body.get("end").is_some() && body.get("start").is_none() {
        problems.push(Problem::here("`end` is given without `start`"));
    }
}

fn check_widget(widget: &Value, all: &mut Metrics, problems: &mut Vec<Problem>) {
    if widget.get("x").is_some() != widget.get("y").is_some() {
        problems.push(Problem::here(
            "`x` and `y` are given together or not at all",
        ));
    }
    let number = |name| widget.get(name).and_then(Value::as_u64);
    if let Some(left) = number("x") {
        let width = number("width").unwrap_or(WIDTH);
        if left.saturating_add(width) > COLUMNS {
            problems.push(Problem::here(format!(
                "{width} columns from column {left}, the grid has {COLUMNS}"
            )));
        }
    }
    let kind = widget.get("type").and_then(Value::as_str);
    let (Some(kind), Some(properties)) = (kind, widget.get("properties")) else {
        return;
    };
    within("properties", problems, |problems| {
        if let Some(shape) = members::properties(kind) {
            shape.check(properties, problems);
        }
        if kind == "metric" {
            check_metrics(properties, all, problems);
        }
    });
}

fn check_metrics(properties: &Value, all: &mut Metrics, problems: &mut Vec<Problem>) {
    let metrics = properties.get("metrics");
    let annotations = properties.get("annotations");
    let alarm = annotations.and_then(|annotations| annotations.get("alarms"));
    if metrics.is_none() && alarm.is_none() {
        problems.push(Problem::here(
            "neither `metrics` nor an alarm under `annotations` is given",
        ));
    }
    if metrics.is_some() && alarm.is_some() {
        problems.push(Problem::here(
            "`metrics` and an alarm under `annotations` are given, only one is allowed",
        ));
    }
    if properties.get("view").and_then(Value::as_str) == Some("gauge") {
        for bound in ["min", "max"] {
            if properties
                .pointer(&format!("/yAxis/left/{bound}"))
                .is_none()
            {
                problems.push(Problem::here(format!("a gauge needs `yAxis.left.{bound}`")));
            }
        }
    }
    let rows = list(properties, "metrics");
    all.count += rows.len();
    within("metrics", problems, |problems| {
        check_rows(rows, all, problems);
    });
}

fn check_rows(rows: &[Value], all: &mut Metrics, problems: &mut Vec<Problem>) {
    let ids: BTreeSet<&str> = rows.iter().filter_map(id).collect();
    let mut queries = 0;
    for (index, row) in rows.iter().enumerate() {
        within(&index.to_string(), problems, |problems| {
            check_row(row, index == 0, problems);
            let given = id(row);
            if let Some(id) = given
                && !all.ids.insert(id.to_owned())
            {
                problems.push(Problem::here(format!("id `{id}` is given twice")));
            }
            let Some(expression) = expression(row) else {
                return;
            };
            if is_query(expression) {
                queries += 1;
                return;
            }
            for used in ids_in(expression) {
                if !ids.contains(used) || given == Some(used) {
                    problems.push(Problem::here(format!(
                        "`{expression}` refers to `{used}`, which no other row of the widget has as its id"
                    )));
                }
            }
        });
    }
    if queries > 1 {
        problems.push(Problem::here(format!(
            "{queries} Metrics Insights queries, one is allowed"
        )));
    }
}

/// `[namespace, name, (dimension, value)…, {rendering}]`, or `[{expression}]`.
fn check_row(row: &Value, first: bool, problems: &mut Vec<Problem>) {
    let Value::Array(parts) = row else {
        problems.push(Problem::here("a metric is a list"));
        return;
    };
    if let [only @ Value::Object(_)] = parts.as_slice() {
        within("0", problems, |problems| EXPRESSION.check(only, problems));
        return;
    }
    let (names, rendering) = match parts.split_last() {
        Some((last @ Value::Object(_), names)) => (names, Some(last)),
        _ => (parts.as_slice(), None),
    };
    if let Some(rendering) = rendering {
        within(&names.len().to_string(), problems, |problems| {
            RENDERING.check(rendering, problems);
        });
    }
    let texts: Vec<&str> = names.iter().filter_map(Value::as_str).collect();
    if texts.len() != names.len() || texts.iter().any(|text| text.is_empty()) {
        problems.push(Problem::here(
            "namespace, name, dimensions and their values are texts, not empty",
        ));
    }
    // `.` repeats one text of the previous row, `...` all of them except those that follow it.
    let repeats = texts.iter().any(|text| matches!(*text, "." | "..."));
    if first && repeats {
        problems.push(Problem::here(
            "the first metric has none before it to repeat",
        ));
    }
    let counted = !texts.contains(&"...");
    if counted && (names.len() < 2 || names.len() % 2 == 1) {
        problems.push(Problem::here(format!(
            "{} texts, a namespace, a name, and a value for each dimension are allowed",
            names.len()
        )));
    }
}

fn id(row: &Value) -> Option<&str> {
    row.as_array()?.last()?.get("id")?.as_str()
}

fn expression(row: &Value) -> Option<&str> {
    row.as_array()?.first()?.get("expression")?.as_str()
}

fn list<'a>(of: &'a Value, member: &str) -> &'a [Value] {
    let items = of.get(member).and_then(Value::as_array);
    items.map_or(&[], Vec::as_slice)
}

/// Whether an expression is a query of Metrics Insights.
fn is_query(expression: &str) -> bool {
    expression
        .trim_start()
        .to_ascii_uppercase()
        .starts_with("SELECT ")
}

/// The ids that metric math refers to: words that begin with a lower-case letter, outside quotes.
/// Functions and keywords are upper-case.
fn ids_in(expression: &str) -> BTreeSet<&str> {
    let mut ids = BTreeSet::new();
    let mut rest = expression;
    while let Some(first) = rest.chars().next() {
        let end = match first {
            '\'' | '"' => {
                let closing = rest.get(1..).and_then(|inner| inner.find(first));
                closing.map_or(rest.len(), |at| at + 2)
            }
            c if c.is_ascii_alphanumeric() || c == '_' => {
                let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
                rest.find(|c| !word(c)).unwrap_or(rest.len())
            }
            other => other.len_utf8(),
        };
        let (token, after) = rest.split_at(end);
        if first.is_ascii_lowercase() {
            ids.insert(token);
        }
        rest = after;
    }
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_among_functions_numbers_and_quotes() {
        let of = |expression| ids_in(expression).into_iter().collect::<Vec<_>>();
        assert_eq!(
            of("IF((FILL(m1, 0) > 1e3) AND (m2 < 1), 1, 0)"),
            ["m1", "m2"]
        );
        assert_eq!(of("SUM(METRICS('m9')) / errors_5xx"), ["errors_5xx"]);
        assert_eq!(
            of("SEARCH('{AWS/EC2} MetricName=\"x\"', 'Average', 300)"),
            [""; 0]
        );
        assert_eq!(of("m1'unclosed m2"), ["m1"]);
        assert_eq!(of("é + m3"), ["m3"]);
    }
}
