//! Log groups that exist although their stack is gone.

use deployer::{LeftOver, Logs};
use serde_json::json;

use crate::scripted::{Scripted, ScriptedAnswer};

#[tokio::test]
async fn a_group_that_is_declared_and_no_resource_of_the_stack_is_left_over() {
    let group =
        |name: &str| json!({"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": name}});
    let template = json!({"Resources": {
        "Own": group("/own"), "Left": group("/left"), "New": group("/new"),
        "Unnamed": {"Type": "AWS::Logs::LogGroup"},
        "Function": {"Type": "AWS::Lambda::Function", "Properties": {"LogGroupName": "/function"}},
    }});
    let aws = Scripted::start(|call| {
        let asked = call.json()["logGroupNamePrefix"].clone();
        // The name of another group starts with the same text.
        let mut groups = vec![json!({"logGroupName": format!("{}/x", asked.as_str().unwrap())})];
        if asked == "/left" {
            groups.push(json!({"logGroupName": "/left", "storedBytes": 7}));
        }
        ScriptedAnswer::json(&json!({"logGroups": groups}))
    })
    .await;
    let logs = Logs::new(&aws.session());
    let found = logs
        .left_over(&template, &["/own".to_owned()])
        .await
        .unwrap();
    let expected = LeftOver {
        group: "/left".to_owned(),
        bytes: 7,
    };
    assert_eq!(found, [expected]);
    assert_eq!(aws.names(), ["DescribeLogGroups", "DescribeLogGroups"]);
}

#[tokio::test]
async fn a_group_that_is_gone_by_itself_is_removed() {
    let aws = Scripted::start(|_| ScriptedAnswer::json_error("ResourceNotFoundException")).await;
    Logs::new(&aws.session()).remove("/left").await.unwrap();
    assert_eq!(aws.names(), ["DeleteLogGroup"]);
}
