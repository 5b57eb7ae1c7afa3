//! Scheduled reports: a bucket that outlives its stack, and who may write it.

use serde_json::{Value, json};
use tests::policy::{Context, Policies, Right};
use tests::synthesised::{assembly_of, environment, parsed, resources, secured, statements};

use super::of_type;

fn reporting() -> Vec<(String, Value)> {
    resources(&assembly_of(&parsed(
        "reports: {weekly: true, retentionDays: 60}",
    )))
}

fn one(resources: &[(String, Value)], kind: &str) -> Value {
    let mut found = of_type(resources, kind);
    assert_eq!(found.len(), 1, "{kind}");
    found.remove(0).1
}

#[test]
fn without_reports_there_is_neither_a_bucket_nor_a_schedule() {
    let resources = resources(&assembly_of(&environment("test")));
    for kind in [
        "AWS::S3::Bucket",
        "AWS::S3::BucketPolicy",
        "AWS::Scheduler::Schedule",
    ] {
        assert_eq!(of_type(&resources, kind), [], "{kind}");
    }
}

#[test]
fn the_bucket_of_reports_is_private_encrypted_and_outlives_its_stack() {
    let resources = reporting();
    let bucket = one(&resources, "AWS::S3::Bucket");
    assert_eq!(bucket["DeletionPolicy"], "Retain");
    assert_eq!(bucket["UpdateReplacePolicy"], "Retain");
    let properties = &bucket["Properties"];
    let closed = properties["PublicAccessBlockConfiguration"]
        .as_object()
        .unwrap();
    assert_eq!(closed.len(), 4);
    assert!(closed.values().all(|closed| *closed == true), "{closed:?}");
    let algorithm = "/BucketEncryption/ServerSideEncryptionConfiguration/0/ServerSideEncryptionByDefault/SSEAlgorithm";
    assert_eq!(properties.pointer(algorithm), Some(&json!("AES256")));
    let kept = "/LifecycleConfiguration/Rules/0/ExpirationInDays";
    assert_eq!(properties.pointer(kept), Some(&json!(60)));
    let policy = one(&resources, "AWS::S3::BucketPolicy");
    let statement = &policy["Properties"]["PolicyDocument"]["Statement"][0];
    assert_eq!(statement["Effect"], "Deny");
    assert_eq!(
        statement["Condition"]["Bool"]["aws:SecureTransport"],
        "false"
    );

    let secured = tests::synthesised::resources(&assembly_of(&secured()));
    let encrypted = one(&secured, "AWS::S3::Bucket");
    let encrypted = encrypted["Properties"].pointer(algorithm).cloned();
    assert_eq!(encrypted, Some(json!("aws:kms")));
}

#[test]
fn the_schedule_asks_the_aggregator_each_day_and_may_do_nothing_else() {
    let resources = reporting();
    let schedule = one(&resources, "AWS::Scheduler::Schedule");
    let properties = &schedule["Properties"];
    assert_eq!(properties["ScheduleExpression"], "cron(30 3 * * ? *)");
    assert_eq!(properties["ScheduleExpressionTimezone"], "UTC");
    let target = &properties["Target"];
    let aggregator = json!({"Fn::GetAtt": ["RealtimeAggregator", "Arn"]});
    assert_eq!(target["Arn"], aggregator);
    assert_eq!(target["Input"], r#"{"report":"due"}"#);
    let role = target["RoleArn"]["Fn::GetAtt"][0].as_str().unwrap();
    let statements = statements(&resources, role);
    let expected =
        json!([{"Effect": "Allow", "Action": ["lambda:InvokeFunction"], "Resource": aggregator}]);
    assert_eq!(json!(statements), expected);
}

/// Neither a function that callers reach, nor the notifier, which calls foreign endpoints.
#[test]
fn the_aggregator_alone_may_write_reports_and_only_into_its_own_account() {
    let resources = reporting();
    let writing = |statement: &Value| statement.to_string().contains("\"s3:");
    let roles = of_type(&resources, "AWS::IAM::Role").into_iter();
    let writers: Vec<String> = roles
        .map(|(id, _)| id)
        .filter(|id| statements(&resources, id).iter().any(writing))
        .collect();
    assert_eq!(writers, ["RealtimeAggregatorRole"]);
    let mut all = statements(&resources, "RealtimeAggregatorRole").into_iter();
    let mut statement = all.find(writing).unwrap();
    assert_eq!(statement["Action"], json!(["s3:PutObject"]));
    let account = &mut statement["Condition"]["StringEquals"]["aws:ResourceAccount"];
    assert_eq!(*account, json!({"Ref": "AWS::AccountId"}));
    *account = json!("123456789012");
    statement["Resource"] = json!("arn:aws:s3:::reports/*");
    let policies = Policies::new([json!({ "Statement": [statement] })]);
    let right = Right {
        action: "s3:PutObject".to_owned(),
        resource: "arn:aws:s3:::reports/weeks/2026-W47.html".to_owned(),
        partition: String::new(),
    };
    let owned_by = |account: &str| Context::from([("aws:ResourceAccount", account.to_owned())]);
    assert!(policies.allow(&right, &owned_by("123456789012")));
    assert!(!policies.allow(&right, &owned_by("999999999999")));
}
