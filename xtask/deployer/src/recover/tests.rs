//! Every state in which a stack may be found, against a scripted CloudFormation.

use super::*;
use crate::follow::Failures;
use crate::scripted::{Messages, Scripted, ScriptedAnswer};

#[tokio::test]
async fn a_rollback_that_fails_again_names_resource_reason_and_what_to_skip() {
    let (_, stacks) = Scripted::start(vec![
        (
            "DescribeStacks",
            ScriptedAnswer::Stack("UPDATE_ROLLBACK_FAILED"),
        ),
        ("DescribeStackEvents", ScriptedAnswer::Events(&[])),
        (
            "DescribeStackEvents",
            ScriptedAnswer::Events(&[
                (
                    "S",
                    "UPDATE_ROLLBACK_FAILED",
                    "The following resource(s) failed to update: [A, B]",
                ),
                ("C", "UPDATE_FAILED", "Resource update cancelled"),
                ("B", "UPDATE_FAILED", "B is gone"),
                ("A", "UPDATE_FAILED", "A is gone"),
            ]),
        ),
        ("ContinueUpdateRollback", ScriptedAnswer::Done),
    ])
    .await;
    let stack = stacks.find("S").await.unwrap().unwrap();
    assert!(stack.is_stuck());
    let told = Messages::default();
    let error = stacks.finish_rollback(&stack, &told).await.unwrap_err();
    let Error::RollbackStuck {
        stack,
        resource,
        reason,
        skip,
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!((stack.as_str(), resource.as_str()), ("S", "A"));
    assert_eq!(reason, "A is gone");
    assert_eq!(skip, ["A", "B"]);
}

#[tokio::test]
async fn a_rollback_that_is_finished_leaves_a_stack_that_can_be_changed() {
    let (_, stacks) = Scripted::start(vec![
        (
            "DescribeStacks",
            ScriptedAnswer::Stack("UPDATE_ROLLBACK_FAILED"),
        ),
        (
            "DescribeStacks",
            ScriptedAnswer::Stack("UPDATE_ROLLBACK_IN_PROGRESS"),
        ),
        (
            "DescribeStacks",
            ScriptedAnswer::Stack("UPDATE_ROLLBACK_COMPLETE"),
        ),
        ("DescribeStackEvents", ScriptedAnswer::Events(&[])),
        ("ContinueUpdateRollback", ScriptedAnswer::Done),
    ])
    .await;
    let stack = stacks.find("S").await.unwrap().unwrap();
    let told = Messages::default();
    let stack = stacks
        .finish_rollback(&stack, &told)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(stack.status, "UPDATE_ROLLBACK_COMPLETE");
}

/// Deletes the stack that CloudFormation finds.
async fn delete(stacks: &Stacks) -> Result<Vec<String>, Error> {
    let told = Messages::default();
    let stack = stacks.find("S").await.unwrap().unwrap();
    stacks.delete(&stack, &told).await?;
    Ok(told.0.into_inner().unwrap())
}

#[tokio::test]
async fn a_stack_that_is_being_changed_is_deleted_when_that_has_ended() {
    let (scripted, stacks) = Scripted::start(vec![
        ("DescribeStacks", ScriptedAnswer::Stack("UPDATE_COMPLETE")),
        (
            "DescribeStacks",
            ScriptedAnswer::Stack("UPDATE_IN_PROGRESS"),
        ),
        (
            "DescribeStacks",
            ScriptedAnswer::Stack("UPDATE_IN_PROGRESS"),
        ),
        ("DescribeStacks", ScriptedAnswer::Stack("UPDATE_COMPLETE")),
        ("DescribeStacks", ScriptedAnswer::Stack("UPDATE_COMPLETE")),
        ("DescribeStacks", ScriptedAnswer::Gone),
        ("DescribeStackEvents", ScriptedAnswer::Events(&[])),
        ("DeleteStack", ScriptedAnswer::Done),
    ])
    .await;
    let told = delete(&stacks).await.unwrap();
    assert!(told[0].contains("someone else"), "{told:?}");
    assert_eq!(scripted.asked("DeleteStack"), 1);
    // Nothing was deleted while the change was under way.
    let asked = scripted.order();
    let deleted = asked.iter().position(|action| action == "DeleteStack");
    let looked = asked[..deleted.unwrap()].iter();
    let looked = looked.filter(|action| *action == "DescribeStacks").count();
    assert_eq!(looked, 5, "{asked:?}");
}

#[tokio::test]
async fn a_stack_that_someone_else_deletes_meanwhile_is_not_deleted_again() {
    for last in [
        ScriptedAnswer::Gone,
        ScriptedAnswer::Stack("DELETE_COMPLETE"),
    ] {
        let (scripted, stacks) = Scripted::start(vec![
            ("DescribeStacks", ScriptedAnswer::Stack("CREATE_COMPLETE")),
            (
                "DescribeStacks",
                ScriptedAnswer::Stack("DELETE_IN_PROGRESS"),
            ),
            ("DescribeStacks", last),
            ("DescribeStackEvents", ScriptedAnswer::Events(&[])),
        ])
        .await;
        delete(&stacks).await.unwrap();
        assert_eq!(scripted.asked("DeleteStack"), 0);
    }
}

#[tokio::test]
async fn an_operation_that_is_joined_late_names_what_failed_before() {
    let (_, stacks) = Scripted::start(vec![
        (
            "DescribeStacks",
            ScriptedAnswer::Stack("UPDATE_ROLLBACK_IN_PROGRESS"),
        ),
        (
            "DescribeStacks",
            ScriptedAnswer::Stack("UPDATE_ROLLBACK_COMPLETE"),
        ),
        (
            "DescribeStackEvents",
            ScriptedAnswer::Events(&[
                ("S", "UPDATE_ROLLBACK_IN_PROGRESS", "failed"),
                ("A", "UPDATE_FAILED", "a is too long"),
                ("S", "UPDATE_IN_PROGRESS", "User Initiated"),
                ("B", "UPDATE_FAILED", "of an earlier operation"),
            ]),
        ),
    ])
    .await;
    let told = Messages::default();
    stacks.settled("S", &told).await.unwrap();
    let told = told.0.lock().unwrap();
    assert_eq!(
        told.last().unwrap(),
        "that change of stack `S` failed and ended as `UPDATE_ROLLBACK_COMPLETE`: \
         `A` (AWS::SQS::Queue): a is too long"
    );
    assert!(!told.iter().any(|line| line.contains("B ")), "{told:?}");
}

#[tokio::test]
async fn a_deploy_of_somebody_else_is_waited_for_though_aws_throttles() {
    let (_, stacks) = Scripted::start(vec![
        (
            "DescribeStacks",
            ScriptedAnswer::Stack("UPDATE_IN_PROGRESS"),
        ),
        // The client tries three times before it gives up once.
        (
            "DescribeStacks",
            ScriptedAnswer::No("Throttling", "Rate exceeded"),
        ),
        (
            "DescribeStacks",
            ScriptedAnswer::No("Throttling", "Rate exceeded"),
        ),
        (
            "DescribeStacks",
            ScriptedAnswer::No("Throttling", "Rate exceeded"),
        ),
        (
            "DescribeStacks",
            ScriptedAnswer::Stack("UPDATE_IN_PROGRESS"),
        ),
        ("DescribeStacks", ScriptedAnswer::Stack("UPDATE_COMPLETE")),
        ("DescribeStackEvents", ScriptedAnswer::Events(&[])),
    ])
    .await;
    let told = Messages::default();
    let stack = stacks.settled("S", &told).await.unwrap().unwrap();
    assert_eq!(stack.status, "UPDATE_COMPLETE");
    let told = told.0.lock().unwrap();
    assert!(told[0].contains("someone else"), "{told:?}");
}

#[tokio::test]
async fn a_change_is_followed_though_the_connection_is_lost_for_a_while() {
    let lost = || ("DescribeStacks", ScriptedAnswer::Lost);
    let (_, stacks) = Scripted::start(vec![
        (
            "DescribeStacks",
            ScriptedAnswer::Stack("UPDATE_IN_PROGRESS"),
        ),
        // The client tries three times before it gives up once.
        lost(),
        lost(),
        lost(),
        ("DescribeStacks", ScriptedAnswer::Stack("UPDATE_COMPLETE")),
        ("DescribeStackEvents", ScriptedAnswer::Events(&[])),
    ])
    .await;
    let told = Messages::default();
    let stack = stacks.settled("S", &told).await.unwrap().unwrap();
    assert_eq!(stack.status, "UPDATE_COMPLETE");
    let told = told.0.lock().unwrap();
    assert!(
        told[1].contains("the connection to AWS is lost"),
        "{told:?}"
    );
}

#[test]
fn a_connection_that_stays_lost_ends_the_waiting() {
    let lost = || Error::Unreachable {
        operation: "DescribeStacks",
        source: "no route".into(),
        lost: true,
    };
    let mut failures = Failures::default();
    assert!((0..30).all(|_| failures.bear(&lost())));
    assert!(!failures.bear(&lost()));
    failures.end();
    assert!(failures.bear(&lost()));
    // Without credentials no request is made: nothing gets better by waiting.
    let unmade = Error::Unreachable {
        operation: "DescribeStacks",
        source: "no credentials".into(),
        lost: false,
    };
    assert!(!failures.bear(&unmade));
}

#[tokio::test]
async fn a_refusal_keeps_the_words_of_aws() {
    for (code, words) in [
        (
            "ValidationError",
            "Stack [S] cannot be deleted while TerminationProtection is enabled",
        ),
        (
            "ExpiredToken",
            "The security token included in the request is expired",
        ),
        (
            "AccessDenied",
            "User: arn:u is not authorized to perform: cloudformation:DeleteStack on resource: arn:S",
        ),
    ] {
        let (_, stacks) = Scripted::start(vec![
            ("DescribeStacks", ScriptedAnswer::Stack("CREATE_COMPLETE")),
            ("DescribeStackEvents", ScriptedAnswer::Events(&[])),
            ("DeleteStack", ScriptedAnswer::No(code, words)),
        ])
        .await;
        let error = delete(&stacks).await.unwrap_err();
        assert_eq!((error.code(), error.words()), (Some(code), Some(words)));
        assert!(error.is_refusal());
    }
}

#[test]
fn a_stack_under_review_is_settled_and_one_being_made_is_not() {
    assert!(is_settled("REVIEW_IN_PROGRESS"));
    assert!(is_settled("CREATE_COMPLETE"));
    assert!(is_settled("ROLLBACK_FAILED"));
    assert!(!is_settled("CREATE_IN_PROGRESS"));
    assert!(!is_settled("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"));
}

#[test]
fn what_runs_is_up_whatever_happened_to_its_last_change() {
    let stack = |status: &str| Deployed {
        status: status.to_owned(),
        ..Deployed::default()
    };
    for status in [
        "CREATE_COMPLETE",
        "UPDATE_IN_PROGRESS",
        "UPDATE_ROLLBACK_IN_PROGRESS",
        "UPDATE_ROLLBACK_FAILED",
        "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
        "UPDATE_FAILED",
    ] {
        assert!(stack(status).is_up(), "{status}");
        assert!(!stack(status).never_came_up(), "{status}");
    }
    for status in [
        "REVIEW_IN_PROGRESS",
        "CREATE_IN_PROGRESS",
        "CREATE_FAILED",
        "ROLLBACK_IN_PROGRESS",
        "ROLLBACK_COMPLETE",
        "ROLLBACK_FAILED",
        "DELETE_IN_PROGRESS",
        "DELETE_FAILED",
    ] {
        assert!(!stack(status).is_up(), "{status}");
    }
}

#[test]
fn only_a_stack_that_never_came_up_is_deleted() {
    let never = |status: &str| {
        let status = status.to_owned();
        let stack = Deployed {
            status,
            ..Deployed::default()
        };
        stack.never_came_up()
    };
    assert!(never("ROLLBACK_COMPLETE") && never("REVIEW_IN_PROGRESS"));
    assert!(!never("UPDATE_ROLLBACK_COMPLETE") && !never("UPDATE_ROLLBACK_FAILED"));
    assert!(!never("UPDATE_COMPLETE") && !never("IMPORT_ROLLBACK_COMPLETE"));
}
