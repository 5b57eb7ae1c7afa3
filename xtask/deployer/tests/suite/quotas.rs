//! What an account may run, as AWS tells it.

use deployer::{Executions, Functions, GatewayAccount, gateway_account};
use serde_json::json;

use crate::scripted::{Scripted, ScriptedAnswer};

#[tokio::test]
async fn an_accounts_quotas_are_read_from_the_services_that_apply_them() {
    let aws = Scripted::start(|call| match call.path.as_str() {
        "/account" => ScriptedAnswer::json(&json!({
            "cloudwatchRoleArn": "arn:of:a:role",
            "throttleSettings": {"burstLimit": 1250, "rateLimit": 2500.0},
        })),
        "/2016-08-19/account-settings" => ScriptedAnswer::json(&json!({"AccountLimit": {
            "ConcurrentExecutions": 1000, "UnreservedConcurrentExecutions": 850,
        }})),
        _ => ScriptedAnswer::status(404),
    })
    .await;
    let account = gateway_account(&aws.session()).await.unwrap();
    let expected = GatewayAccount {
        logs_role: Some("arn:of:a:role".to_owned()),
        requests_per_second: Some(2_500.0),
    };
    assert_eq!(account, expected);
    let executions = Functions::new(&aws.session()).executions().await.unwrap();
    let expected = Executions {
        quota: 1_000,
        unreserved: 850,
    };
    assert_eq!(executions, Some(expected));
}

#[tokio::test]
async fn an_account_without_a_role_or_limits_has_none() {
    let aws = Scripted::start(|_| ScriptedAnswer::json(&json!({"cloudwatchRoleArn": ""}))).await;
    let account = gateway_account(&aws.session()).await.unwrap();
    assert_eq!(account, GatewayAccount::default());
    let functions = Functions::new(&aws.session());
    assert_eq!(functions.executions().await.unwrap(), None);
}
