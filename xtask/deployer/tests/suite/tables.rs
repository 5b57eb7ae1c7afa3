//! Deleting a table takes time.

use deployer::Tables;
use serde_json::{Value, json};

use crate::scripted::{Scripted, ScriptedAnswer};

fn described(status: &str, protected: bool) -> ScriptedAnswer {
    ScriptedAnswer::json(&json!({"Table": {
        "TableName": "t", "TableStatus": status, "DeletionProtectionEnabled": protected,
    }}))
}

#[tokio::test]
async fn a_table_is_deleted_once_nothing_else_is_done_to_it_and_waited_for() {
    // The responses of DescribeTable in order: an update of the stack is still under way, then
    // protection goes, then the table.
    let mut said = vec![
        described("UPDATING", true),
        described("ACTIVE", true),
        described("UPDATING", false),
        described("ACTIVE", false),
        described("DELETING", false),
        ScriptedAnswer::json_error("ResourceNotFoundException"),
    ]
    .into_iter();
    // DescribeTable is eventually consistent: `ACTIVE` may be too early.
    let mut busy = true;
    let aws = Scripted::start(move |call| match call.name().as_str() {
        "DescribeTable" => said.next().unwrap(),
        "DeleteTable" if std::mem::take(&mut busy) => {
            ScriptedAnswer::json_error("ResourceInUseException")
        }
        _ => ScriptedAnswer::json(&json!({})),
    })
    .await;
    assert!(Tables::new(&aws.session()).delete("t").await.unwrap());
    assert_eq!(
        aws.names(),
        [
            "DescribeTable",
            "DescribeTable",
            "UpdateTable",
            "DescribeTable",
            "DescribeTable",
            "DeleteTable",
            "DeleteTable",
            "DescribeTable",
            "DescribeTable",
        ]
    );
    let unprotected: Vec<Value> = aws
        .calls()
        .iter()
        .filter(|call| call.name() == "UpdateTable")
        .map(|call| call.json()["DeletionProtectionEnabled"].clone())
        .collect();
    assert_eq!(unprotected, [json!(false)]);
}

#[tokio::test]
async fn a_table_with_an_index_under_way_is_waited_for() {
    let index = |status: &str| {
        ScriptedAnswer::json(&json!({"Table": {
            "TableName": "t", "TableStatus": "ACTIVE",
            "GlobalSecondaryIndexes": [{"IndexName": "i", "IndexStatus": status}],
        }}))
    };
    let mut said = vec![
        index("CREATING"),
        index("ACTIVE"),
        ScriptedAnswer::json_error("ResourceNotFoundException"),
    ]
    .into_iter();
    let aws = Scripted::start(move |call| match call.name().as_str() {
        "DescribeTable" => said.next().unwrap(),
        _ => ScriptedAnswer::json(&json!({})),
    })
    .await;
    assert!(Tables::new(&aws.session()).delete("t").await.unwrap());
    assert_eq!(
        aws.names(),
        [
            "DescribeTable",
            "DescribeTable",
            "DeleteTable",
            "DescribeTable"
        ]
    );
}

#[tokio::test]
async fn a_table_that_is_not_there_needs_no_deletion() {
    let aws = Scripted::start(|_| ScriptedAnswer::json_error("ResourceNotFoundException")).await;
    assert!(!Tables::new(&aws.session()).delete("t").await.unwrap());
    assert_eq!(aws.names(), ["DescribeTable"]);
}
