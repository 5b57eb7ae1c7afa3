//! The roles that `cargo xtask iam` prints: sufficient for the commands, and limited to one
//! environment.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use stacks::Environment;
use tests::policy::matches;
use tests::synthesised::{KEY, OWN_API, environment, parsed, root, secured, with};

/// The policies of the roles' template, by logical id.
fn policies(environment: &str) -> BTreeMap<String, Value> {
    policies_of(&self::environment(environment))
}

fn policies_of(environment: &Environment) -> BTreeMap<String, Value> {
    let template = stacks::roles(environment).unwrap();
    let template: Value = serde_json::from_str(&template).unwrap();
    let resources = template["Resources"].as_object().unwrap().clone();
    resources
        .into_iter()
        .filter(|(_, resource)| resource["Type"] == "AWS::IAM::ManagedPolicy")
        .collect()
}

fn list(value: &Value) -> Vec<String> {
    let text = |value: &Value| {
        let text = value["Fn::Sub"].as_str().or_else(|| value.as_str());
        text.unwrap().to_owned()
    };
    match value {
        Value::Array(items) => items.iter().map(text).collect(),
        one => vec![text(one)],
    }
}

struct Statement {
    actions: Vec<String>,
    resources: Vec<String>,
    condition: Value,
}

fn statements<'a>(policies: impl IntoIterator<Item = &'a Value>) -> Vec<Statement> {
    let documents = policies
        .into_iter()
        .map(|policy| &policy["Properties"]["PolicyDocument"]["Statement"]);
    let all = documents.flat_map(|statements| statements.as_array().unwrap());
    all.map(|statement| Statement {
        actions: list(&statement["Action"]),
        resources: list(&statement["Resource"]),
        condition: statement["Condition"].clone(),
    })
    .collect()
}

#[test]
fn a_role_reaches_no_other_environment() {
    let hooks = "webhooks: [{name: billing, url: 'https://example.com/hooks'}]";
    let test = statements(policies_of(&with("test", hooks)).values());
    let prod = statements(policies_of(&with("prod", hooks)).values());
    let secrets = |statement: &Statement| statement.resources[0].contains(":secret:");
    assert!(test.iter().any(secrets) && prod.iter().any(secrets));
    let of_prod: BTreeSet<&String> = prod.iter().flat_map(|one| &one.resources).collect();
    for statement in &test {
        for pattern in &statement.resources {
            // Resources that AWS names by its own ids, or not at all, are limited by a condition,
            // or the template states the reason.
            let unnamed = pattern == "*"
                || pattern.contains(":apigateway:")
                || pattern.ends_with(":event-source-mapping:*");
            let named = pattern.contains("-test") || pattern.contains("/test/");
            assert!(named || unnamed, "{pattern}: {:?}", statement.actions);
            let reached = of_prod
                .iter()
                .filter(|arn| **arn != pattern && matches(pattern, arn));
            let reached: Vec<_> = reached.collect();
            assert!(
                unnamed || reached.is_empty(),
                "{pattern} covers {reached:?}"
            );
        }
    }
}

#[test]
fn what_is_allowed_on_everything_has_its_reason() {
    for (id, policy) in policies("test") {
        let wide = statements([&policy])
            .iter()
            .any(|statement| statement.resources == ["*"]);
        let explained = policy["Metadata"]["Reasons"]["AnyResource"].is_string();
        assert_eq!(wide, explained, "{id}");
    }
}

#[test]
fn roles_are_passed_to_the_services_of_the_stacks_alone() {
    let policies = policies("test");
    let all = statements(policies.values());
    let passing = all
        .iter()
        .filter(|statement| statement.actions.contains(&"iam:PassRole".to_owned()));
    let services: BTreeSet<String> = passing
        .map(|statement| {
            assert_eq!(statement.actions.len(), 1);
            let to = &statement.condition["StringEquals"]["iam:PassedToService"];
            to.as_str().unwrap().to_owned()
        })
        .collect();
    let expected = ["apigateway.amazonaws.com", "lambda.amazonaws.com"];
    assert_eq!(services, expected.map(str::to_owned).into());
}

#[test]
fn the_deploy_role_makes_what_reports_need_and_only_if_there_are_any() {
    let needed = |environment: &Environment| {
        let policies = policies_of(environment);
        let all = statements(policies.values());
        let actions: BTreeSet<String> = all.iter().flat_map(|one| one.actions.clone()).collect();
        let passes = all.iter().any(|one| {
            one.condition["StringEquals"]["iam:PassedToService"] == "scheduler.amazonaws.com"
        });
        let bucket =
            "arn:${AWS::Partition}:s3:::complical-reports-test-${AWS::AccountId}-${AWS::Region}";
        let makes = all.iter().any(|one| {
            one.actions.contains(&"s3:CreateBucket".to_owned()) && one.resources == [bucket]
        });
        [
            actions.contains("scheduler:CreateSchedule"),
            passes,
            makes,
            // To delete what is left of a time with reports.
            all.iter().any(|one| {
                one.actions.contains(&"s3:DeleteBucket".to_owned()) && one.resources == [bucket]
            }),
        ]
    };
    assert_eq!(needed(&parsed("reports: {weekly: true}")), [true; 4]);
    assert_eq!(needed(&environment("test")), [false, false, false, true]);
}

#[test]
fn who_looks_changes_nothing() {
    let policies = policies_of(&secured());
    let looking = policies.iter().filter(|(id, _)| id.starts_with("Operate"));
    let looking = statements(looking.map(|(_, policy)| policy));
    assert!(looking.len() > 5);
    let reading = [
        "Decrypt", "Describe", "Filter", "GET", "Get", "List", "Query", "Scan",
    ];
    for action in looking.iter().flat_map(|statement| &statement.actions) {
        let (_, verb) = action.split_once(':').unwrap();
        let reads = reading.iter().any(|prefix| verb.starts_with(prefix));
        assert!(reads, "{action}");
    }
}

/// The role covers neither integrations, which may contain secrets, nor APIs that are not attached.
#[test]
fn the_operator_role_reads_what_the_check_of_an_attached_api_needs() {
    let template = stacks::roles(&parsed(OWN_API)).unwrap();
    let template: Value = serde_json::from_str(&template).unwrap();
    let resources = template["Resources"].as_object().unwrap().iter();
    let looking = resources.filter(|(id, _)| id.starts_with("Operate"));
    let policies = looking.filter(|(_, of)| of["Type"] == "AWS::IAM::ManagedPolicy");
    let statements = statements(policies.map(|(_, policy)| policy));
    let of = |action: &str| {
        let named = statements.iter().filter(|one| one.actions == [action]);
        let arns = named.flat_map(|one| one.resources.clone());
        arns.collect::<Vec<_>>()
    };
    let gateway = "arn:${AWS::Partition}:apigateway:${AWS::Region}::";
    let expected = [
        "/apis/f6g7h8i9j0/authorizers",
        "/apis/f6g7h8i9j0/routes",
        "/apis/f6g7h8i9j0/stages/*",
        "/restapis/a1b2c3d4e5/authorizers",
        "/restapis/a1b2c3d4e5/gatewayresponses/*",
        "/restapis/a1b2c3d4e5/resources",
        "/restapis/a1b2c3d4e5/stages/*",
        "/restapis/k1l2m3n4o5/authorizers",
        "/restapis/k1l2m3n4o5/gatewayresponses/*",
        "/restapis/k1l2m3n4o5/resources",
        "/restapis/k1l2m3n4o5/stages/*",
    ];
    assert_eq!(
        of("apigateway:GET"),
        expected.map(|path| format!("{gateway}{path}"))
    );
    assert_eq!(of("lambda:GetPolicy").len(), 1);
    assert_eq!(of("logs:DescribeSubscriptionFilters").len(), 2);
}

#[test]
fn an_environment_with_every_option_has_its_roles_too() {
    let template = stacks::roles(&secured()).unwrap();
    for option in [
        KEY,
        "kms:ViaService",
        ":regional/webacl/",
        "apigateway:SetWebACL",
        ":secret:complical/webhooks/test/billing-??????",
    ] {
        assert!(template.contains(option), "{option}");
    }
    let without = stacks::roles(&environment("test")).unwrap();
    for option in ["kms:", "wafv2:", "secretsmanager:"] {
        assert!(!without.contains(option), "{option}");
    }
}

/// API Gateway sets up the access log of an HTTP API with the rights of who deploys it
/// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-logging.html>).
#[test]
fn the_deploy_role_sets_up_the_access_log_of_an_http_api() {
    let http = stacks::roles(&parsed("gateway: http")).unwrap();
    for needed in [
        "logs:CreateLogDelivery",
        "logs:PutResourcePolicy",
        "::/apis/*",
    ] {
        assert!(http.contains(needed), "{needed}");
    }
    let rest = stacks::roles(&environment("test")).unwrap();
    assert!(!rest.contains("LogDelivery") && !rest.contains("::/apis"));
}

/// CloudFormation reads the upstream's secret with the rights of the deploying role.
#[test]
fn the_deploy_role_reads_the_secret_of_the_upstream() {
    let policies = policies_of(&parsed(OWN_API));
    let of = |role: &str| {
        let policies = policies.iter().filter(|(id, _)| id.starts_with(role));
        let statements = statements(policies.map(|(_, policy)| policy));
        let reading = statements.into_iter().filter(|one| {
            one.actions
                .iter()
                .any(|action| action == "secretsmanager:GetSecretValue")
        });
        let arns = reading.flat_map(|statement| statement.resources);
        arns.filter(|arn| arn.ends_with(":secret:example/upstream-??????"))
            .count()
    };
    assert_eq!((of("Deploy"), of("Operate")), (1, 0));
}

/// DynamoDB decrypts a table with the reader's own rights.
#[test]
fn who_looks_may_use_the_key_through_dynamodb_alone() {
    let policies = policies_of(&secured());
    let looking = policies.iter().filter(|(id, _)| id.starts_with("Operate"));
    let statements = statements(looking.map(|(_, policy)| policy));
    let mut of_key = statements.iter().filter(|one| one.resources == [KEY]);
    let decrypting = of_key.next().unwrap();
    assert_eq!(decrypting.actions, ["kms:Decrypt", "kms:DescribeKey"]);
    let through = &decrypting.condition["StringEquals"]["kms:ViaService"];
    assert_eq!(through["Fn::Sub"], "dynamodb.${AWS::Region}.amazonaws.com");
    assert!(of_key.next().is_none());
}

/// Calls of commands that neither role covers: they change keys, records and counts, or show a
/// secret.
const OF_OTHER_COMMANDS: [&str; 14] = [
    "dynamodb:ConditionCheckItem",
    "dynamodb:DeleteItem",
    "kinesis:GetRecords",
    "kinesis:GetShardIterator",
    "kinesis:ListShards",
    "lambda:Invoke",
    // Only of an environment whose upstream has a secret.
    "secretsmanager:DescribeSecret",
    "secretsmanager:GetSecretValue",
    "secretsmanager:PutSecretValue",
    "sqs:ChangeMessageVisibility",
    "sqs:DeleteMessage",
    "sqs:ReceiveMessage",
    "sqs:SendMessage",
    // Every caller may ask for its own identity.
    "sts:GetCallerIdentity",
];

/// The IAM action of an operation, if the two differ.
fn action(service: &str, operation: &str) -> String {
    let action = match (service, operation) {
        ("s3", "HeadBucket") => "ListBucket",
        ("s3", "HeadObject") => "GetObject",
        ("s3", "DeleteObjects") => "DeleteObject",
        ("s3", "ListObjectVersions") => "ListBucketVersions",
        ("s3", "PutBucketEncryption") => "PutEncryptionConfiguration",
        ("s3", "PutPublicAccessBlock") => "PutBucketPublicAccessBlock",
        ("s3", "PutBucketLifecycleConfiguration") => "PutLifecycleConfiguration",
        // Each part of a transaction needs its own right; that of a condition is the only one that
        // no other call needs.
        ("dynamodb", "TransactWriteItems") => "ConditionCheckItem",
        ("apigateway", read) if read.starts_with("Get") => "GET",
        (_, same) => same,
    };
    format!("{service}:{action}")
}

/// The service of an operation in a file of the deployer. For a file that inspects resources of
/// several services, each operation's service is listed here.
fn service(text: &str, operation: &str) -> &'static str {
    let clients = [
        ("aws_sdk_apigateway", "apigateway"),
        ("aws_sdk_cloudformation", "cloudformation"),
        ("aws_sdk_cloudwatch::", "cloudwatch"),
        ("aws_sdk_cloudwatchlogs", "logs"),
        ("aws_sdk_dynamodb", "dynamodb"),
        ("aws_sdk_kinesis", "kinesis"),
        ("aws_sdk_lambda", "lambda"),
        ("aws_sdk_s3", "s3"),
        ("aws_sdk_secretsmanager", "secretsmanager"),
        ("aws_sdk_sqs", "sqs"),
        ("aws_sdk_sts", "sts"),
    ];
    let used = clients.iter().filter(|(client, _)| text.contains(client));
    let used: Vec<&str> = used.map(|(_, service)| *service).collect();
    match (used.as_slice(), operation) {
        ([service], _) => service,
        // Files without their own client extend `Stacks`.
        ([], _) | (_, "DescribeStacks" | "ListStackResources") => "cloudformation",
        (_, "DescribeStreamSummary") => "kinesis",
        (_, "DescribeTable") => "dynamodb",
        (_, "GetDashboard") => "cloudwatch",
        (_, "GetFunctionConfiguration") => "lambda",
        _ => panic!("`{operation}` is of one of {used:?}: say which"),
    }
}

/// Every call that the commands make, as IAM names it.
fn calls() -> BTreeSet<String> {
    let mut folders = vec![
        root().join("xtask/deployer/src"),
        root().join("functions/keyring/src"),
    ];
    let mut found = BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            for call in text.split("failed(\"").skip(1) {
                let (operation, _) = call.split_once('"').unwrap();
                found.insert(action(service(&text, operation), operation));
            }
        }
    }
    found
}

#[test]
fn every_call_of_the_commands_is_in_a_role_or_is_known_not_to_be() {
    let policies = policies("test");
    let allowed: BTreeSet<String> = statements(policies.values())
        .into_iter()
        .flat_map(|statement| statement.actions)
        .collect();
    let calls = calls();
    assert!(calls.len() > 30, "{calls:?}");
    let missing: BTreeSet<&str> = calls.difference(&allowed).map(String::as_str).collect();
    assert_eq!(missing, OF_OTHER_COMMANDS.into());
}
