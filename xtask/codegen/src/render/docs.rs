//! Documentation comments from AWS's Markdown.

use std::fmt::Write as _;

use crate::extract::{Kind, Property};

/// The comment of an item: AWS's text, or the item's own name if AWS has none.
pub(super) fn doc(markdown: &str, name: &str) -> String {
    let mut lines = lines(markdown);
    if lines.is_empty() {
        lines.push(format!("`{name}`."));
    }
    comment(&lines)
}

/// The comment of a property: AWS's text, then its limits.
pub(super) fn property_doc(property: &str, spec: &Property) -> String {
    let mut lines = lines(&spec.documentation);
    if !lines.is_empty() {
        lines.push(String::new());
    }
    let mut facts = format!("`{property}`");
    if let Some(limits) = limits(&spec.kind) {
        let _ = write!(facts, ": {limits}");
    }
    facts.push('.');
    match spec.replacement.as_deref() {
        Some("yes") => facts.push_str(" A change replaces the resource."),
        Some(_) => facts.push_str(" A change may replace the resource."),
        None => {}
    }
    lines.push(facts);
    comment(&lines)
}

fn comment(lines: &[String]) -> String {
    lines
        .iter()
        .map(|line| format!("/// {line}").trim_end().to_owned())
        .collect::<Vec<_>>()
        .join("\n")
}

/// Lines in a form that rustdoc renders correctly: no code block by indentation, none run as a
/// test.
fn lines(markdown: &str) -> Vec<String> {
    let mut fenced = false;
    let mut lines: Vec<String> = Vec::new();
    for line in markdown.trim().lines() {
        let text = line.trim();
        if text.starts_with("```") {
            fenced = !fenced;
            lines.push(if fenced { "```text" } else { "```" }.to_owned());
        } else if fenced {
            lines.push(line.trim_end().to_owned());
        } else {
            lines.push(text.replace('\t', " "));
        }
    }
    if fenced {
        lines.push("```".to_owned());
    }
    lines
}

fn limits(kind: &Kind) -> Option<String> {
    match kind {
        Kind::String {
            min_length,
            max_length,
            allowed,
            ..
        } if allowed.is_empty() => span(
            min_length.map(|n| n.to_string()),
            max_length.map(|n| n.to_string()),
            " characters",
        ),
        Kind::Integer {
            minimum,
            maximum,
            allowed,
        } if allowed.is_empty() => span(
            minimum.map(|n| n.to_string()),
            maximum.map(|n| n.to_string()),
            "",
        ),
        Kind::Integer { allowed, .. } => {
            let values: Vec<String> = allowed.iter().map(ToString::to_string).collect();
            Some(values.join(", "))
        }
        Kind::Number { minimum, maximum } => span(
            minimum.map(|n| n.to_string()),
            maximum.map(|n| n.to_string()),
            "",
        ),
        Kind::List {
            min_items,
            max_items,
            ..
        } => span(
            min_items.map(|n| n.to_string()),
            max_items.map(|n| n.to_string()),
            " items",
        ),
        _ => None,
    }
}

fn span(least: Option<String>, most: Option<String>, unit: &str) -> Option<String> {
    match (least, most) {
        (Some(least), Some(most)) => Some(format!("{least} to {most}{unit}")),
        (Some(least), None) => Some(format!("at least {least}{unit}")),
        (None, Some(most)) => Some(format!("at most {most}{unit}")),
        (None, None) => None,
    }
}
