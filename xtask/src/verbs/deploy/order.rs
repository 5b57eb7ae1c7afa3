//! Which stacks to deploy, in which order, and how to remove the stack that a change of mode makes
//! obsolete.
//!
//! Towards synchronous mode the API changes first: its authorizer then appends to the journal
//! itself. Once the processor has emptied the stream, the stream's stack is deleted. Towards stream
//! mode the stream's stack is deployed before the API. Neither direction changes the Data stack.

use std::time::Duration;

use deployer::{Deployed, Queues, Stacks};
use domain::names::{StackKind, TrackingMode};
use stacks::environment::Environment;

use super::propose::Retired;
use super::review::{Decision, Manner, consented};
use super::{finish, in_order, lag};
use crate::aws::{Reached, STACKS};
use crate::context::Context;
use crate::stop::Stop;

/// How long the processor may take to empty the stream.
const DRAIN: Duration = Duration::from_mins(15);
const POLL: Duration = Duration::from_secs(1);

/// The stacks named on the command line, in deploy order; all by default.
pub(in crate::verbs) fn selected(
    environment: &Environment,
    given: &[String],
) -> anyhow::Result<Vec<StackKind>> {
    let names = environment.names();
    let mut kinds = Vec::new();
    for name in given {
        let kind = STACKS.into_iter().find(|kind| names.stack(*kind) == *name);
        let Some(kind) = kind else {
            let known = STACKS.map(|kind| format!("`{}`", names.stack(kind)));
            return Err(Stop::usage(format!(
                "there is no stack `{name}`: environment `{}` has {}",
                environment.name,
                known.join(", ")
            ))
            .into());
        };
        kinds.push(kind);
    }
    Ok(if kinds.is_empty() {
        STACKS.to_vec()
    } else {
        in_order(&kinds)
    })
}

/// The stack that the environment's mode no longer includes.
pub(super) fn retired(
    environment: &Environment,
    before: &[(StackKind, Deployed)],
    selection: &[StackKind],
) -> Option<Deployed> {
    let wanted = environment.mode() == TrackingMode::Stream;
    if wanted || !selection.contains(&StackKind::Kinesis) {
        return None;
    }
    let found = before.iter().find(|(kind, _)| *kind == StackKind::Kinesis);
    found.map(|(_, stack)| stack.clone())
}

/// Deletes the stream's stack once the stream is empty.
pub(super) async fn retire(
    context: &Context,
    reached: &Reached,
    manner: Manner,
    retired: &Retired,
) -> anyhow::Result<Decision> {
    let out = context.out;
    let stack = &retired.stack;
    out.step(&format!("stack `{}` is not part of this mode", stack.name));
    // The user agreed to lose what there was then.
    let concerns = concerns_of_retiring(reached).await?;
    let what = format!("delete stack `{}`", stack.name);
    if concerns != retired.concerns
        && !concerns.is_empty()
        && !consented(context, manner, &what, &concerns).await?
    {
        out.warning(&format!("declined: stack `{}` still exists", stack.name));
        return Ok(Decision::Declined);
    }
    if let Some(running) = &reached.running {
        // The host still runs authorizers that send to the stream.
        finish::refresh(running).await?;
    }
    drain(context, reached).await?;
    Stacks::new(&reached.session).delete(stack, &out).await?;
    Ok(Decision::Changed)
}

/// Announces what is lost with the stream's stack.
pub(super) async fn concerns_of_retiring(reached: &Reached) -> anyhow::Result<Vec<String>> {
    let queue = reached.environment.names().dead_letter_queue();
    let letters = Queues::new(&reached.session).depth(&queue).await?;
    let letters = letters.filter(|letters| *letters > 0);
    let lost = letters.map(|letters| match letters {
        1 => format!("a dead letter in `{queue}` is lost"),
        letters => format!("{letters} dead letters in `{queue}` are lost"),
    });
    Ok(lost.into_iter().collect())
}

/// Waits until everything in the stream is in the journal.
pub(in crate::verbs) async fn drain(context: &Context, reached: &Reached) -> anyhow::Result<()> {
    let out = context.out;
    out.step("waiting until the processor has emptied the stream");
    let until = tokio::time::Instant::now() + DRAIN;
    let started = crate::clock::now();
    loop {
        if lag::is_drained(reached, started).await? {
            return Ok(());
        }
        if tokio::time::Instant::now() >= until {
            let minutes = DRAIN.as_secs() / 60;
            return Err(Stop::failed(format!(
                "the stream still holds unprocessed records {minutes} minutes after the last was sent"
            ))
            .hint("nothing is lost: check `cargo xtask status`, and run the command again when the iterator age falls")
            .into());
        }
        tokio::time::sleep(POLL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local() -> Environment {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        Environment::load(&root.join("../stacks/environments/local.yaml")).unwrap()
    }

    fn deployed(kind: StackKind) -> (StackKind, Deployed) {
        let stack = Deployed {
            name: local().names().stack(kind),
            status: "CREATE_COMPLETE".into(),
            ..Deployed::default()
        };
        (kind, stack)
    }

    #[test]
    fn stacks_are_deployed_in_order_whatever_the_command_line_says() {
        let given = ["CompliCal-API-local".into(), "CompliCal-Data-local".into()];
        assert_eq!(
            selected(&local(), &given).unwrap(),
            [StackKind::Data, StackKind::Api]
        );
        assert_eq!(selected(&local(), &[]).unwrap(), STACKS);
    }

    #[test]
    fn an_unknown_stack_is_a_usage_error_that_names_the_known() {
        let error = selected(&local(), &["Nope".into()]).unwrap_err();
        assert_eq!(crate::stop::exit_of(&error), crate::stop::Exit::Usage);
        assert!(error.to_string().contains("`CompliCal-Kinesis-local`"));
    }

    #[test]
    fn only_synchronous_mode_retires_the_streams_stack() {
        let before = [deployed(StackKind::Kinesis), deployed(StackKind::Api)];
        let synchronous = local().with_analytics(Some(false));
        assert!(retired(&local().with_analytics(Some(true)), &before, &STACKS).is_none());
        assert!(retired(&synchronous, &before, &STACKS).is_some());
        assert!(retired(&synchronous, &before, &[StackKind::Api]).is_none());
        assert!(retired(&synchronous, &[], &STACKS).is_none());
    }
}
