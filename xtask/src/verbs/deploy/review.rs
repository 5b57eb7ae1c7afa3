//! Shows changes, and asks whether they may proceed.

use std::collections::BTreeMap;

use deployer::Review;
use stacks::StackArtifact;

use crate::consent::Consent;
use crate::context::Context;

/// How to make a change.
#[derive(Debug, Clone, Copy)]
pub(in crate::verbs) struct Manner {
    pub(in crate::verbs) consent: Consent,
    /// Every change outside `local` needs a confirmation.
    pub(in crate::verbs) outside_local: bool,
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

/// The changes of one stack, as lines.
pub(super) fn show(context: &Context, review: &Review) {
    for line in review.lines() {
        context.out.review(&line);
    }
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
fn question(outside_local: bool, stack: &str, concerns: &[String]) -> Option<String> {
    match (concerns.is_empty(), outside_local) {
        (true, false) => None,
        (true, true) => Some(format!("change stack `{stack}`?")),
        (false, _) => Some(format!("{}: change stack `{stack}`?", concerns.join(", "))),
    }
}

/// Whether the change may proceed.
pub(super) fn agreed(context: &Context, manner: Manner, review: &Review) -> anyhow::Result<bool> {
    consented(context, manner, &review.stack, &review.concerns())
}

/// Whether a change of `stack` that raises `concerns` may proceed.
pub(super) fn consented(
    context: &Context,
    manner: Manner,
    stack: &str,
    concerns: &[String],
) -> anyhow::Result<bool> {
    match question(manner.outside_local, stack, concerns) {
        Some(question) if !manner.consent.yes => context.confirm(&question),
        _ => Ok(true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_asks_only_where_something_speaks_against_it() {
        assert_eq!(question(false, "S", &[]), None);
        let concerns = ["`T` loses its data".to_owned()];
        assert_eq!(
            question(false, "S", &concerns).as_deref(),
            Some("`T` loses its data: change stack `S`?")
        );
    }

    #[test]
    fn outside_local_every_change_is_asked_about() {
        assert_eq!(
            question(true, "S", &[]).as_deref(),
            Some("change stack `S`?")
        );
    }
}
