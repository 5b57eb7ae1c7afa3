//! A table is changed to match its declaration before it is adopted.

use deployer::{Action, Change, Replacement, Review, Tables};
use serde_json::{Value, json};

use crate::scripted::{Messages, Scripted, ScriptedAnswer};

fn template() -> Value {
    json!({"Resources": {"Table": {"Type": "AWS::DynamoDB::Table", "Properties": {
        "TableName": "t",
        "AttributeDefinitions": [
            {"AttributeName": "PK", "AttributeType": "S"},
            {"AttributeName": "at", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "PK", "KeyType": "HASH"}],
        "GlobalSecondaryIndexes": [{
            "IndexName": "byTime",
            "KeySchema": [{"AttributeName": "at", "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "KEYS_ONLY"}}],
        "StreamSpecification": {"StreamViewType": "KEYS_ONLY"},
        "TimeToLiveSpecification": {"AttributeName": "ttl", "Enabled": true},
        "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": true},
        "SSESpecification": {"SSEEnabled": true, "SSEType": "KMS"},
        "DeletionProtectionEnabled": true,
        "BillingMode": "PAY_PER_REQUEST",
    }}}})
}

fn adopting() -> Review {
    Review {
        stack: "S".into(),
        exists: false,
        changes: vec![Change {
            action: Action::Adopt,
            logical_id: "Table".into(),
            kind: "AWS::DynamoDB::Table".into(),
            replacement: Replacement::Never,
            retained: true,
            properties: Vec::new(),
        }],
        followers: Vec::new(),
        widened: Vec::new(),
    }
}

/// An AWS with a bare table of this key.
async fn with_a_bare_table(key: &'static str) -> Scripted {
    Scripted::start(move |call| match call.name().as_str() {
        "DescribeTable" => ScriptedAnswer::json(&json!({"Table": {
            "TableName": "t", "TableStatus": "ACTIVE",
            "AttributeDefinitions": [{"AttributeName": key, "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": key, "KeyType": "HASH"}],
        }})),
        "DescribeTimeToLive" => ScriptedAnswer::json(&json!({
            "TimeToLiveDescription": {"TimeToLiveStatus": "DISABLED"}
        })),
        "DescribeContinuousBackups" => {
            ScriptedAnswer::json(&json!({"ContinuousBackupsDescription": {
                "ContinuousBackupsStatus": "ENABLED",
                "PointInTimeRecoveryDescription": {"PointInTimeRecoveryStatus": "DISABLED"}
            }}))
        }
        _ => ScriptedAnswer::json(&json!({})),
    })
    .await
}

#[tokio::test]
async fn a_bare_table_gets_everything_that_is_declared() {
    let aws = with_a_bare_table("PK").await;
    let tables = Tables::new(&aws.session());
    let differing = tables.differing(&template(), &adopting()).await.unwrap();
    let said: Vec<_> = differing[0]
        .differences
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        said,
        [
            "it has no stream",
            "it has no index `byTime`",
            "its items do not expire",
            "it has no point-in-time recovery",
            "it is not encrypted with a key of KMS",
            "it has no deletion protection",
            "it has provisioned capacity, which throttles calls beyond it",
        ]
    );
    assert_eq!(differing[0].obstacles().count(), 0);

    let told = Messages::default();
    tables.mend(&differing[0], &told).await.unwrap();
    assert_eq!(told.notes().len(), 7);
    let changes: Vec<Value> = aws
        .calls()
        .iter()
        .filter(|call| call.name().starts_with("Update"))
        .map(crate::scripted::Call::json)
        .collect();
    assert_eq!(
        changes,
        [
            json!({"TableName": "t", "StreamSpecification":
                {"StreamEnabled": true, "StreamViewType": "KEYS_ONLY"}}),
            json!({"TableName": "t",
                "AttributeDefinitions": [{"AttributeName": "at", "AttributeType": "S"}],
                "GlobalSecondaryIndexUpdates": [{"Create": {
                    "IndexName": "byTime",
                    "KeySchema": [{"AttributeName": "at", "KeyType": "HASH"}],
                    "Projection": {"ProjectionType": "KEYS_ONLY"}}}]}),
            json!({"TableName": "t", "TimeToLiveSpecification":
                {"AttributeName": "ttl", "Enabled": true}}),
            json!({"TableName": "t", "PointInTimeRecoverySpecification":
                {"PointInTimeRecoveryEnabled": true}}),
            json!({"TableName": "t", "SSESpecification": {"Enabled": true, "SSEType": "KMS"}}),
            json!({"TableName": "t", "DeletionProtectionEnabled": true}),
            json!({"TableName": "t", "BillingMode": "PAY_PER_REQUEST"}),
        ]
    );
}

#[tokio::test]
async fn a_table_with_another_key_is_an_obstacle() {
    let aws = with_a_bare_table("id").await;
    let tables = Tables::new(&aws.session());
    let differing = tables.differing(&template(), &adopting()).await.unwrap();
    let obstacles: Vec<_> = differing[0].obstacles().map(ToString::to_string).collect();
    assert_eq!(
        obstacles,
        ["its key is `id (HASH, S)`, expected `PK (HASH, S)`"]
    );
}

#[tokio::test]
async fn a_table_that_the_stack_makes_is_not_looked_at() {
    let aws = with_a_bare_table("id").await;
    let mut review = adopting();
    review.changes[0].action = Action::Add;
    let tables = Tables::new(&aws.session());
    assert!(
        tables
            .differing(&template(), &review)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(aws.names(), [""; 0]);
}
