//! Shows changes, and asks whether they may proceed.

use std::collections::BTreeMap;

use stacks::StackArtifact;

use crate::consent::Consent;
use crate::context::Context;

/// How to make a change.
#[derive(Debug, Clone, Copy)]
pub(in crate::verbs) struct Manner {
    pub(in crate::verbs) consent: Consent,
    /// Every change outside `local` needs a confirmation.
    pub(in crate::verbs) outside_local: bool,
    /// Whether what was changed outside the stacks is changed back.
    pub(in crate::verbs) reverts_drift: bool,
}

/// The result of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::verbs) enum Decision {
    /// There was nothing to do.
    Unchanged,
    /// It was done.
    Changed,
    /// The user declined.
    Declined,
}

/// Shows what the embedded AWS leaves out or cannot check: this is never skipped.
pub(super) fn show_unsupported(context: &Context, artifact: &StackArtifact) {
    let mut by_what: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for item in &artifact.unsupported_locally {
        let resources = by_what.entry(item.what).or_default();
        resources.push(item.logical_id.to_string());
    }
    for (what, resources) in by_what {
        let resources = resources.join(", ");
        context
            .out
            .aside(&format!("on the embedded AWS {what}: {resources}"));
    }
}

/// The resources that would make the embedded AWS roll the stack back.
pub(super) fn refused(artifact: &StackArtifact) -> Vec<String> {
    let items = artifact.unsupported_locally.iter();
    items
        .filter(|item| item.refused)
        .map(|item| item.logical_id.to_string())
        .collect()
}

/// The question that a change needs; `None` if it may proceed without one.
fn question(outside_local: bool, what: &str, concerns: &[String]) -> Option<String> {
    match (concerns.is_empty(), outside_local) {
        (true, false) => None,
        (true, true) => Some(format!("{what}?")),
        (false, _) => Some(format!("{}: {what}?", concerns.join(", "))),
    }
}

/// Stacks by name, as a sentence says it.
pub(super) fn named(stacks: &[&str]) -> String {
    let plural = if stacks.len() == 1 { "" } else { "s" };
    let names: Vec<_> = stacks.iter().map(|name| format!("`{name}`")).collect();
    format!("stack{plural} {}", names.join(", "))
}

/// Whether a change that raises `concerns` needs an answer.
pub(super) fn asks(manner: Manner, concerns: &[String]) -> bool {
    !manner.consent.yes && question(manner.outside_local, "", concerns).is_some()
}

/// Whether `what`, which raises `concerns`, may proceed.
pub(super) async fn consented(
    context: &Context,
    manner: Manner,
    what: &str,
    concerns: &[String],
) -> anyhow::Result<bool> {
    match question(manner.outside_local, what, concerns) {
        Some(question) if !manner.consent.yes => context.confirm(&question).await,
        _ => Ok(true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_asks_only_where_something_speaks_against_it() {
        assert_eq!(question(false, "change stack `S`", &[]), None);
        let concerns = ["`T` loses its data".to_owned()];
        assert_eq!(
            question(false, &format!("change {}", named(&["S"])), &concerns).as_deref(),
            Some("`T` loses its data: change stack `S`?")
        );
    }

    #[test]
    fn outside_local_every_change_is_asked_about_once() {
        let what = format!("change {}", named(&["S", "T"]));
        assert_eq!(
            question(true, &what, &[]).as_deref(),
            Some("change stacks `S`, `T`?")
        );
    }
}
