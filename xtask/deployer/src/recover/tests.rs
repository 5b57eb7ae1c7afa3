//! Every state in which a stack may be found, against a scripted CloudFormation.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::*;
use crate::session::Session;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// One step: the requested action and its response.
type Step = (&'static str, ScriptedAnswer);

enum ScriptedAnswer {
    /// The stack, in this status.
    Stack(&'static str),
    /// The stack does not exist.
    Gone,
    /// Events, the newest first: resource, status, reason.
    Events(&'static [(&'static str, &'static str, &'static str)]),
    /// Success with an empty response.
    Done,
    /// A refusal: code and message.
    No(&'static str, &'static str),
}

/// A CloudFormation that answers each action from its own script and repeats the last response.
struct Scripted {
    steps: Mutex<HashMap<&'static str, Vec<ScriptedAnswer>>>,
    asked: Mutex<Vec<String>>,
}

impl Scripted {
    async fn start(steps: Vec<Step>) -> (Arc<Self>, Stacks) {
        let mut by_action: HashMap<&'static str, Vec<ScriptedAnswer>> = HashMap::new();
        for (action, answer) in steps {
            by_action.entry(action).or_default().push(answer);
        }
        let scripted = Arc::new(Self {
            steps: Mutex::new(by_action),
            asked: Mutex::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let serving = Arc::clone(&scripted);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let serving = Arc::clone(&serving);
                tokio::spawn(async move { serving.serve(stream).await });
            }
        });
        let stacks = Stacks::new(&Session::embedded("ap-south-1", &endpoint));
        (scripted, stacks)
    }

    /// Sends one response, and closes the connection.
    async fn serve(&self, mut stream: TcpStream) {
        let mut request = Vec::new();
        let mut part = [0; 4096];
        let body = loop {
            let Ok(read) = stream.read(&mut part).await else {
                return;
            };
            request.extend_from_slice(&part[..read]);
            let text = String::from_utf8_lossy(&request).into_owned();
            if read == 0 {
                return;
            }
            let Some((head, body)) = text.split_once("\r\n\r\n") else {
                continue;
            };
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                let is_length = name.eq_ignore_ascii_case("content-length");
                is_length.then(|| value.trim().parse::<usize>().ok())?
            });
            if body.len() >= length.unwrap_or(0) {
                break body.to_owned();
            }
        };
        let action = body
            .split('&')
            .find_map(|pair| pair.strip_prefix("Action="));
        let (status, xml) = self.answer(action.unwrap());
        let answer = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: text/xml\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{xml}",
            xml.len()
        );
        let _sent = stream.write_all(answer.as_bytes()).await;
    }

    fn answer(&self, action: &str) -> (u16, String) {
        self.asked.lock().unwrap().push(action.to_owned());
        let mut steps = self.steps.lock().unwrap();
        let steps = steps
            .get_mut(action)
            .unwrap_or_else(|| panic!("asked for {action}"));
        let answer = if steps.len() > 1 {
            &steps.remove(0)
        } else {
            &steps[0]
        };
        match answer {
            ScriptedAnswer::Stack(status) => (200, stack(status)),
            ScriptedAnswer::Gone => refusal("ValidationError", "Stack with id S does not exist"),
            ScriptedAnswer::Events(all) => (200, events(all)),
            ScriptedAnswer::Done => (
                200,
                format!("<{action}Response><{action}Result/></{action}Response>"),
            ),
            ScriptedAnswer::No(code, message) => refusal(code, message),
        }
    }

    fn asked(&self, action: &str) -> usize {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|asked| *asked == action).count()
    }
}

fn stack(status: &str) -> String {
    format!(
        "<DescribeStacksResponse><DescribeStacksResult><Stacks><member><StackName>S</StackName>\
         <StackId>arn:S</StackId><CreationTime>2026-11-27T20:00:00Z</CreationTime>\
         <StackStatus>{status}</StackStatus></member></Stacks></DescribeStacksResult></DescribeStacksResponse>"
    )
}

fn events(all: &[(&str, &str, &str)]) -> String {
    let mut members = Vec::new();
    for (number, (resource, status, reason)) in all.iter().enumerate() {
        members.push(format!(
            "<member><StackId>arn:S</StackId><StackName>S</StackName><EventId>{}</EventId>\
             <LogicalResourceId>{resource}</LogicalResourceId><ResourceType>AWS::SQS::Queue</ResourceType>\
             <ResourceStatus>{status}</ResourceStatus><ResourceStatusReason>{reason}</ResourceStatusReason>\
             <Timestamp>2026-11-27T20:00:00Z</Timestamp></member>",
            all.len() - number
        ));
    }
    format!(
        "<DescribeStackEventsResponse><DescribeStackEventsResult><StackEvents>{}</StackEvents>\
         </DescribeStackEventsResult></DescribeStackEventsResponse>",
        members.concat()
    )
}

fn refusal(code: &str, message: &str) -> (u16, String) {
    let xml = format!(
        "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>\
         <RequestId>r</RequestId></ErrorResponse>"
    );
    (400, xml)
}

/// Records progress lines.
#[derive(Default)]
struct Messages(Mutex<Vec<String>>);

impl Progress for Messages {
    fn resource(&self, event: &ResourceEvent) {
        let line = format!("{} {}", event.logical_id, event.status);
        self.0.lock().unwrap().push(line);
    }

    fn note(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
}

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
    let error = stacks.recover("S", &Messages::default()).await.unwrap_err();
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
    let stack = stacks
        .recover("S", &Messages::default())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(stack.status, "UPDATE_ROLLBACK_COMPLETE");
}

#[tokio::test]
async fn a_stack_that_never_came_up_is_deleted_and_made_anew() {
    for status in ["REVIEW_IN_PROGRESS", "ROLLBACK_COMPLETE", "CREATE_FAILED"] {
        let (scripted, stacks) = Scripted::start(vec![
            ("DescribeStacks", ScriptedAnswer::Stack(status)),
            ("DescribeStacks", ScriptedAnswer::Gone),
            ("DescribeStackEvents", ScriptedAnswer::Events(&[])),
            ("DeleteStack", ScriptedAnswer::Done),
        ])
        .await;
        assert!(
            stacks
                .recover("S", &Messages::default())
                .await
                .unwrap()
                .is_none()
        );
        assert_eq!(scripted.asked("DeleteStack"), 1, "{status}");
    }
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
    let stack = stacks.recover("S", &told).await.unwrap().unwrap();
    assert_eq!(stack.status, "UPDATE_COMPLETE");
    let told = told.0.lock().unwrap();
    assert!(told[0].contains("someone else"), "{told:?}");
}

#[tokio::test]
async fn what_failed_first_is_the_cause_and_not_what_was_cancelled_for_it() {
    let (_, stacks) = Scripted::start(vec![
        ("DescribeStacks", ScriptedAnswer::Stack("ROLLBACK_COMPLETE")),
        ("DescribeStackEvents", ScriptedAnswer::Events(&[])),
        (
            "DescribeStackEvents",
            ScriptedAnswer::Events(&[
                ("B", "CREATE_FAILED", "Resource creation cancelled"),
                ("A", "CREATE_FAILED", "a already exists"),
            ]),
        ),
        ("ExecuteChangeSet", ScriptedAnswer::Done),
    ])
    .await;
    let failed = stacks
        .execute("S", "c", &Messages::default())
        .await
        .unwrap_err();
    assert_eq!(
        failed.to_string(),
        "stack `S` ended as `ROLLBACK_COMPLETE`: `A` (AWS::SQS::Queue): a already exists"
    );
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
        let stack = stacks.find("S").await.unwrap().unwrap();
        let error = stacks
            .delete(&stack, &Messages::default())
            .await
            .unwrap_err();
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
fn only_a_stack_that_never_came_up_is_deleted() {
    assert_eq!(remedy("ROLLBACK_COMPLETE"), Remedy::Delete);
    assert_eq!(remedy("REVIEW_IN_PROGRESS"), Remedy::Delete);
    assert_eq!(remedy("UPDATE_ROLLBACK_COMPLETE"), Remedy::Nothing);
    assert_eq!(remedy("UPDATE_COMPLETE"), Remedy::Nothing);
    assert_eq!(remedy("IMPORT_ROLLBACK_COMPLETE"), Remedy::Nothing);
    assert_eq!(remedy("UPDATE_ROLLBACK_FAILED"), Remedy::FinishRollback);
}

#[test]
fn a_cancelled_resource_is_not_the_cause() {
    let event = |status: &str, reason: &str| ResourceEvent {
        stack: "S".into(),
        logical_id: "R".into(),
        kind: "AWS::SQS::Queue".into(),
        status: status.into(),
        reason: Some(reason.into()),
    };
    assert!(event("CREATE_FAILED", "name taken").is_cause_of_failure());
    assert!(!event("CREATE_FAILED", "Resource creation cancelled").is_cause_of_failure());
    assert!(!event("CREATE_COMPLETE", "").is_cause_of_failure());
}
