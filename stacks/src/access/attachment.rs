//! The permissions to check attached APIs.

use domain::names::Function;

use crate::cfn::policy::Statement;
use crate::cfn::sub;
use crate::environment::{ApiKind, Environment};

/// The permissions of `attach --check` on the attached APIs, which need not exist. They exclude
/// integrations, which may hold secrets.
pub(super) fn looking(environment: &Environment) -> Vec<Statement> {
    let names = environment.names();
    let mut arns: Vec<String> = Vec::new();
    for attached in &environment.attached {
        let api = attached.api_id.as_str();
        let of_kind: &[&str] = match attached.kind {
            ApiKind::Rest => &["authorizers", "gatewayresponses/*", "resources", "stages/*"],
            ApiKind::Http => &["authorizers", "routes", "stages/*"],
        };
        let path = match attached.kind {
            ApiKind::Rest => "restapis",
            ApiKind::Http => "apis",
        };
        let gateway = "arn:${AWS::Partition}:apigateway:${AWS::Region}::";
        arns.extend(
            of_kind
                .iter()
                .map(|read| format!("{gateway}/{path}/{api}/{read}")),
        );
    }
    if arns.is_empty() {
        return Vec::new();
    }
    arns.sort();
    arns.dedup();
    let authorizer = names.function(Function::Authorizer);
    let own = "${AWS::Region}:${AWS::AccountId}";
    let log = names.access_log();
    let group = format!("arn:${{AWS::Partition}}:logs:{own}:log-group:{log}");
    vec![
        Statement::of(vec!["apigateway:GET"], arns.into_iter().map(sub).collect()),
        Statement::of(
            vec!["lambda:GetPolicy"],
            vec![sub(format!(
                "arn:${{AWS::Partition}}:lambda:{own}:function:{authorizer}"
            ))],
        ),
        Statement::of(
            vec!["logs:DescribeSubscriptionFilters"],
            ["", ":*"].map(|end| sub(format!("{group}{end}"))).into(),
        ),
    ]
}
