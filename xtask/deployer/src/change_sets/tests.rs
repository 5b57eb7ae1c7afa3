//! Change sets against a scripted CloudFormation.

use serde_json::json;

use super::*;
use crate::changes::Action;
use crate::events::ResourceEvent;
use crate::scripted::{Messages, Scripted, ScriptedAnswer};

static NONE: BTreeMap<String, String> = BTreeMap::new();

fn request(template: &Template, reverts_drift: bool) -> Request<'_> {
    Request {
        stack: "S",
        template,
        parameters: &NONE,
        tags: &NONE,
        reverts_drift,
    }
}

/// A review with so many new resources.
fn review(resources: usize) -> Review {
    let resources: serde_json::Map<_, _> = (0..resources)
        .map(|number| (format!("R{number}"), json!({"Type": "AWS::SQS::Queue"})))
        .collect();
    let review = Review::of_new_stack("S", &json!({"Resources": resources}), &[]);
    assert!(
        review
            .changes
            .iter()
            .all(|change| change.action == Action::Add)
    );
    review
}

#[tokio::test]
async fn what_failed_first_is_the_cause_and_not_what_was_cancelled_for_it() {
    let (_, stacks) = Scripted::start(vec![
        ("DescribeStacks", ScriptedAnswer::Stack("ROLLBACK_COMPLETE")),
        ("DescribeStackEvents", ScriptedAnswer::Events(&[])),
        (
            "DescribeStackEvents",
            ScriptedAnswer::Events(&[
                ("C", "DELETE_COMPLETE", ""),
                ("S", "ROLLBACK_IN_PROGRESS", "failed"),
                ("B", "CREATE_FAILED", "Resource creation cancelled"),
                ("A", "CREATE_FAILED", "a already exists"),
                ("C", "CREATE_COMPLETE", ""),
            ]),
        ),
        ("ExecuteChangeSet", ScriptedAnswer::Done),
    ])
    .await;
    let told = Messages::default();
    let failed = stacks.execute(&review(2), "c", &told).await.unwrap_err();
    assert_eq!(
        failed.to_string(),
        "stack `S` ended as `ROLLBACK_COMPLETE`: `A` (AWS::SQS::Queue): a already exists; \
         rolled back: `C`"
    );
}

#[tokio::test]
async fn each_resource_says_how_long_it_took_and_how_many_are_done() {
    let (_, stacks) = Scripted::start(vec![
        ("DescribeStacks", ScriptedAnswer::Stack("CREATE_COMPLETE")),
        ("DescribeStackEvents", ScriptedAnswer::Events(&[])),
        (
            "DescribeStackEvents",
            ScriptedAnswer::Events(&[
                ("S", "CREATE_COMPLETE", ""),
                ("B", "CREATE_COMPLETE", ""),
                ("A", "CREATE_COMPLETE", ""),
                // CloudFormation reports the begin twice.
                ("A", "CREATE_IN_PROGRESS", "Resource creation Initiated"),
                ("B", "CREATE_IN_PROGRESS", ""),
                ("A", "CREATE_IN_PROGRESS", ""),
            ]),
        ),
        ("ExecuteChangeSet", ScriptedAnswer::Done),
    ])
    .await;
    let told = Messages::default();
    stacks.execute(&review(2), "c", &told).await.unwrap();
    let told = told.0.into_inner().unwrap();
    assert_eq!(
        told[3..],
        [
            "A CREATE_COMPLETE, 3 s, 1 of 2",
            "B CREATE_COMPLETE, 3 s, 2 of 2",
            "S CREATE_COMPLETE",
        ]
    );
}

/// CloudFormation's answer for a function whose timeout and memory somebody changed by hand. The
/// template still declares the old timeout, and the new memory.
const DRIFTED: &str = "<Status>CREATE_COMPLETE</Status><Changes><member><Type>Resource</Type>\
    <ResourceChange><Action>Modify</Action><LogicalResourceId>Processor</LogicalResourceId>\
    <ResourceType>AWS::Lambda::Function</ResourceType><Replacement>False</Replacement><Details>\
    <member><Target><Attribute>Properties</Attribute><Name>Timeout</Name>\
    <Path>/Properties/Timeout</Path><RequiresRecreation>Never</RequiresRecreation>\
    <BeforeValue>3</BeforeValue><AfterValue>30</AfterValue>\
    <BeforeValueFrom>ACTUAL_STATE</BeforeValueFrom><AfterValueFrom>TEMPLATE</AfterValueFrom>\
    <Drift><PreviousValue>30</PreviousValue><ActualValue>3</ActualValue></Drift>\
    <AttributeChangeType>Modify</AttributeChangeType></Target></member>\
    <member><Target><Attribute>Properties</Attribute><Name>MemorySize</Name>\
    <Path>/Properties/MemorySize</Path><RequiresRecreation>Never</RequiresRecreation>\
    <BeforeValue>256</BeforeValue><AfterValue>256</AfterValue>\
    <Drift><PreviousValue>128</PreviousValue><ActualValue>256</ActualValue></Drift>\
    <AttributeChangeType>SyncWithActual</AttributeChangeType></Target></member>\
    </Details></ResourceChange></member></Changes>";

/// The lines of a change set of an existing stack, and whether it was to revert drift.
async fn reviewed(reverts_drift: bool) -> (Vec<String>, bool) {
    let body = "<TemplateBody>{\"Resources\":{}}</TemplateBody>";
    let (scripted, stacks) = Scripted::start(vec![
        ("CreateChangeSet", ScriptedAnswer::Xml("<Id>c</Id>")),
        ("DescribeChangeSet", ScriptedAnswer::Xml(DRIFTED)),
        ("GetTemplate", ScriptedAnswer::Xml(body)),
    ])
    .await;
    let template = Template::inline(json!({"Resources": {}}));
    let request = request(&template, reverts_drift);
    let current = Deployed {
        name: "S".into(),
        id: "arn:S".into(),
        ..Deployed::default()
    };
    let prepared = stacks.prepare(&request, Some(&current)).await.unwrap();
    let Prepared::Changes { review, .. } = prepared else {
        panic!("{prepared:?}");
    };
    let lines = review.lines().into_iter().map(|line| line.text).collect();
    let mode = scripted.had("CreateChangeSet", "DeploymentMode=REVERT_DRIFT");
    (lines, mode)
}

#[tokio::test]
async fn what_was_changed_by_hand_is_shown_with_what_becomes_of_it() {
    let (lines, mode) = reviewed(true).await;
    assert!(mode, "the change set compares with the last deploy");
    assert_eq!(
        lines[..3],
        [
            "~ Processor (AWS::Lambda::Function)",
            "    MemorySize: 256 → 256 (changed outside the stack; kept)",
            "    Timeout: 3 → 30 (changed outside the stack; reverted)",
        ]
    );
    let (_, mode) = reviewed(false).await;
    assert!(!mode, "nobody asked to revert drift");
}

/// The error of a change set that CloudFormation's validation refuses.
async fn refused(events: ScriptedAnswer) -> (std::sync::Arc<Scripted>, String) {
    let failed = "<Status>FAILED</Status><StatusReason>AWS::EarlyValidation failed</StatusReason>";
    let (scripted, stacks) = Scripted::start(vec![
        ("CreateChangeSet", ScriptedAnswer::Xml("<Id>c</Id>")),
        ("DescribeChangeSet", ScriptedAnswer::Xml(failed)),
        ("DescribeEvents", events),
        ("DeleteChangeSet", ScriptedAnswer::Done),
    ])
    .await;
    let template = Template::inline(json!({"Resources": {}}));
    let request = request(&template, false);
    let error = stacks.prepare(&request, None).await.unwrap_err();
    (scripted, error.to_string())
}

#[tokio::test]
async fn a_change_set_that_validation_refuses_names_the_resource() {
    let events = ScriptedAnswer::Xml(
        "<OperationEvents><member><EventType>VALIDATION_ERROR</EventType>\
         <LogicalResourceId>Bucket</LogicalResourceId><ResourceType>AWS::S3::Bucket</ResourceType>\
         <ValidationStatus>FAILED</ValidationStatus><ValidationPath>/Resources/Bucket</ValidationPath>\
         <ValidationStatusReason>a bucket of this name exists</ValidationStatusReason></member></OperationEvents>",
    );
    let (scripted, error) = refused(events).await;
    assert_eq!(
        error,
        "the change set of stack `S` failed: `Bucket` (AWS::S3::Bucket) at `/Resources/Bucket`: \
         a bucket of this name exists (AWS::EarlyValidation failed)"
    );
    let asked = scripted.order();
    let place = |wanted| asked.iter().position(|action| action == wanted).unwrap();
    assert!(
        place("DescribeEvents") < place("DeleteChangeSet"),
        "{asked:?}"
    );
}

#[tokio::test]
async fn credentials_that_may_not_ask_for_findings_still_see_the_refusal() {
    let (scripted, error) = refused(ScriptedAnswer::No("AccessDenied", "no")).await;
    assert_eq!(
        error,
        "the change set of stack `S` failed: AWS::EarlyValidation failed"
    );
    assert_eq!(scripted.asked("DeleteChangeSet"), 1);
}

#[test]
fn only_a_change_set_of_ours_that_is_a_day_old_is_forgotten() {
    let now = 2 * FORGOTTEN_MILLIS;
    let of = |made: i64| format!("{CHANGE_SET_PREFIX}{made}");
    assert!(is_forgotten(&of(1), now));
    assert!(!is_forgotten(&of(now - 60_000), now));
    assert!(!is_forgotten("1", now));
    assert!(!is_forgotten("xtask-by-hand", now));
}

#[test]
fn a_cancelled_resource_is_not_the_cause() {
    let event = |status: &str, reason: &str| ResourceEvent {
        stack: "S".into(),
        logical_id: "R".into(),
        kind: "AWS::SQS::Queue".into(),
        status: status.into(),
        reason: Some(reason.into()),
        at: None,
        took: None,
        place: None,
    };
    assert!(event("CREATE_FAILED", "name taken").is_cause_of_failure());
    assert!(!event("CREATE_FAILED", "Resource creation cancelled").is_cause_of_failure());
    assert!(!event("CREATE_COMPLETE", "").is_cause_of_failure());
}
