//! The operations that AWS continues when this command is interrupted.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use deployer::ResourceEvent;

/// Stacks with an operation under way, and its status. An interrupt ends the command wherever it is,
/// so this outlives all that it did.
static UNDER_WAY: Mutex<BTreeMap<String, String>> = Mutex::new(BTreeMap::new());

/// Notes an event of a stack that this command changes or waits for.
pub(super) fn note(event: &ResourceEvent) {
    if event.is_of_the_stack() {
        let mut stacks = UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner);
        take(&mut stacks, event);
    }
}

/// What goes on, as the end of a sentence; empty if nothing does.
pub(super) fn said() -> String {
    let stacks = UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner);
    sentence(&stacks)
}

fn take(stacks: &mut BTreeMap<String, String>, event: &ResourceEvent) {
    if event.status.ends_with("_IN_PROGRESS") {
        stacks.insert(event.stack.clone(), event.status.clone());
    } else {
        stacks.remove(&event.stack);
    }
}

fn sentence(stacks: &BTreeMap<String, String>) -> String {
    if stacks.is_empty() {
        return String::new();
    }
    let stacks = stacks.iter();
    let stacks: Vec<_> = stacks
        .map(|(stack, status)| format!("`{stack}` is `{status}`"))
        .collect();
    format!(
        "; AWS finishes what it has begun: stack {}. Run the command again to follow it and continue",
        stacks.join(", stack ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_on_is_named_until_it_ends() {
        let mut stacks = BTreeMap::new();
        let mut at = |stack: &str, status: &str| {
            let event = ResourceEvent {
                stack: stack.into(),
                logical_id: stack.into(),
                kind: "AWS::CloudFormation::Stack".into(),
                status: status.into(),
                reason: None,
                at: None,
                took: None,
                place: None,
            };
            take(&mut stacks, &event);
            sentence(&stacks)
        };
        at("A", "CREATE_IN_PROGRESS");
        assert_eq!(
            at("B", "UPDATE_IN_PROGRESS"),
            "; AWS finishes what it has begun: stack `A` is `CREATE_IN_PROGRESS`, stack `B` is \
             `UPDATE_IN_PROGRESS`. Run the command again to follow it and continue"
        );
        at("A", "CREATE_COMPLETE");
        assert_eq!(at("B", "UPDATE_COMPLETE"), "");
    }
}
