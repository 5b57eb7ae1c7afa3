//! The contract between functions and stacks: a stack sets every variable that its functions read,
//! and a function's role allows exactly the calls that its code makes, on its own resources.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use stacks::{Environment, Function};
use tests::synthesised::{assembly_of, parsed, resources, statements};

const STREAM: bool = true;
const SYNCHRONOUS: bool = false;

fn in_mode(stream: bool) -> Environment {
    let more = "webhooks: [{name: billing, url: 'https://example.com/hooks'}]\n\
                meters: {tokens: {}}";
    parsed(more).with_analytics(Some(stream))
}

/// The declared functions.
fn functions(environment: &Environment) -> BTreeMap<Function, Value> {
    let resources = resources(&assembly_of(environment));
    let declared = resources
        .iter()
        .filter(|(_, resource)| resource["Type"] == "AWS::Lambda::Function");
    declared
        .map(|(id, resource)| {
            let name = resource["Properties"]["FunctionName"].as_str().unwrap();
            let function = Function::ALL
                .into_iter()
                .find(|function| name == environment.names().function(*function));
            (
                function.unwrap_or_else(|| panic!("`{id}` is deployed as `{name}`")),
                resource.clone(),
            )
        })
        .collect()
}

fn variables_read(function: Function) -> BTreeSet<&'static str> {
    let own = match function {
        Function::Authorizer => authorizer::settings::Settings::VARIABLES,
        Function::Processor => processor::settings::Settings::VARIABLES,
        Function::Aggregator => aggregator::settings::Settings::VARIABLES,
        Function::Analytics => analytics::settings::Settings::VARIABLES,
        Function::Deadlines => deadlines::VARIABLES,
        Function::Reconciler => reconciler::settings::Settings::VARIABLES,
        Function::Notifier => notifier::settings::Settings::VARIABLES,
        Function::Scaler => scaler::settings::Settings::VARIABLES,
        Function::Collector => collector::settings::Settings::VARIABLES,
        Function::Keys => keys::settings::Settings::VARIABLES,
    };
    let of_tokens = match function {
        Function::Analytics | Function::Collector | Function::Keys => {
            bearer::settings::Settings::VARIABLES
        }
        _ => &[],
    };
    own.iter().chain(of_tokens).copied().collect()
}

#[test]
fn a_stack_sets_what_its_functions_read_and_nothing_else() {
    for mode in [STREAM, SYNCHRONOUS] {
        for (function, resource) in functions(&in_mode(mode)) {
            let variables = resource["Properties"]["Environment"]["Variables"]
                .as_object()
                .cloned();
            let variables = variables.unwrap_or_default();
            let set: BTreeSet<&str> = variables.keys().map(String::as_str).collect();
            assert_eq!(set, variables_read(function), "{function:?}");
        }
    }
}

/// Each action of a function's role, with the last part of each ARN on which it is allowed.
fn allowed(environment: &Environment, function: Function) -> BTreeSet<(String, String)> {
    let declared = &functions(environment)[&function];
    let role = declared["Properties"]["Role"]["Fn::GetAtt"][0]
        .as_str()
        .unwrap();
    let declared = resources(&assembly_of(environment));
    let statements = statements(&declared, role);
    let resources: BTreeMap<String, Value> = declared.into_iter().collect();
    let mut allowed = BTreeSet::new();
    for statement in statements {
        for action in strings(&statement["Action"]) {
            for resource in arns(&statement["Resource"], &resources) {
                allowed.insert((action.clone(), resource));
            }
        }
    }
    allowed
}

fn strings(value: &Value) -> Vec<String> {
    match value {
        Value::Array(values) => values
            .iter()
            .map(|value| value.as_str().unwrap().to_owned())
            .collect(),
        value => vec![value.as_str().unwrap().to_owned()],
    }
}

/// The name at the end of an ARN, whether it is literal or taken from a resource.
fn arns(value: &Value, resources: &BTreeMap<String, Value>) -> Vec<String> {
    if let Value::Array(values) = value {
        return values
            .iter()
            .flat_map(|value| arns(value, resources))
            .collect();
    }
    if let Some(of) = value["Fn::GetAtt"][0].as_str() {
        let properties = &resources[of]["Properties"];
        let name = [
            "TableName",
            "Name",
            "QueueName",
            "LogGroupName",
            "TopicName",
        ]
        .iter()
        .find_map(|name| properties[name].as_str());
        return vec![name.unwrap_or(of).to_owned()];
    }
    let text = value["Fn::Sub"].as_str().or(value.as_str()).unwrap();
    let name = text.rsplit_once([':']).map_or(text, |(_, name)| name);
    vec![
        name.trim_start_matches("table/")
            .trim_start_matches("stream/")
            .to_owned(),
    ]
}

fn expected(calls: &[(&str, &str, &str)]) -> BTreeSet<(String, String)> {
    calls
        .iter()
        .flat_map(|(service, actions, resource)| {
            let actions = actions.split(' ');
            actions.map(move |action| (format!("{service}:{action}"), (*resource).to_owned()))
        })
        .collect()
}

/// The calls to AWS that a function's code makes, except for logs.
fn calls(function: Function, stream: bool) -> BTreeSet<(String, String)> {
    let (keys, usage, analytics) = (
        "complical-api-keys-test",
        "complical-api-usage-test",
        "complical-analytics-test",
    );
    match (function, stream) {
        (Function::Authorizer, STREAM) => expected(&[
            ("dynamodb", "GetItem UpdateItem", keys),
            ("dynamodb", "GetItem UpdateItem", usage),
            ("kinesis", "PutRecord", "complical-usage-stream-test"),
            ("dynamodb", "PutItem", analytics),
        ]),
        (Function::Authorizer, SYNCHRONOUS) => expected(&[
            ("dynamodb", "GetItem UpdateItem", keys),
            ("dynamodb", "GetItem UpdateItem", usage),
            ("dynamodb", "PutItem", analytics),
        ]),
        (Function::Processor, _) => expected(&[
            ("dynamodb", "PutItem", analytics),
            (
                "kinesis",
                "DescribeStream DescribeStreamSummary GetRecords GetShardIterator ListShards",
                "complical-usage-stream-test",
            ),
            ("sqs", "SendMessage", "complical-usage-dlq-test"),
        ]),
        (Function::Aggregator, _) => expected(&[
            ("dynamodb", "GetItem Query PutItem DeleteItem", analytics),
            ("dynamodb", "GetItem Query PutItem", usage),
            (
                "dynamodb",
                "DescribeStream GetRecords GetShardIterator",
                analytics,
            ),
            // DynamoDB offers no narrower resource for it.
            ("dynamodb", "ListStreams", "*"),
            ("sqs", "SendMessage", "complical-aggregator-dlq-test"),
            ("sqs", "SendMessage", "complical-alerts-test"),
        ]),
        (Function::Notifier, _) => expected(&[
            ("dynamodb", "GetItem PutItem", usage),
            (
                "secretsmanager",
                "GetSecretValue",
                "complical/webhooks/test/billing",
            ),
            ("sns", "Publish", "complical-alarms-test"),
            (
                "sqs",
                "SendMessage ReceiveMessage DeleteMessage GetQueueAttributes",
                "complical-alerts-test",
            ),
        ]),
        (Function::Analytics, _) => expected(&[
            ("dynamodb", "GetItem Query", analytics),
            ("dynamodb", "GetItem Query", usage),
        ]),
        (Function::Keys, _) => expected(&[
            (
                "dynamodb",
                "ConditionCheckItem PutItem Scan UpdateItem",
                keys,
            ),
            ("dynamodb", "Query", "complical-api-keys-test/index/byId"),
            ("dynamodb", "Query", "complical-api-keys-test/index/byEmail"),
            ("dynamodb", "GetItem PutItem", usage),
        ]),
        (Function::Collector, _) => expected(&[("dynamodb", "PutItem Query", analytics)]),
        (Function::Deadlines, _) => BTreeSet::new(),
        (Function::Scaler, _) => expected(&[
            (
                "kinesis",
                "DescribeStreamSummary UpdateShardCount",
                "complical-usage-stream-test",
            ),
            // CloudWatch offers no narrower resource for it.
            ("cloudwatch", "GetMetricStatistics", "*"),
        ]),
        (Function::Reconciler, _) => expected(&[
            ("dynamodb", "PutItem", analytics),
            (
                "sqs",
                "SendMessage ReceiveMessage DeleteMessage GetQueueAttributes",
                "complical-reconcile-test",
            ),
            ("sqs", "SendMessage", "complical-reconcile-dlq-test"),
        ]),
    }
}

#[test]
fn a_role_allows_the_calls_that_its_function_makes_and_no_others() {
    for mode in [STREAM, SYNCHRONOUS] {
        let environment = in_mode(mode);
        for function in functions(&environment).into_keys() {
            let allowed: BTreeSet<_> = allowed(&environment, function)
                .into_iter()
                .filter(|(action, _)| !action.starts_with("logs:"))
                .collect();
            assert_eq!(
                allowed,
                calls(function, mode),
                "{function:?}, stream {mode}"
            );
        }
    }
}

/// The role of `/v1/keys` and `/v1/blocks` writes to the table with the counts, but to its audit log
/// and its blocked addresses alone.
#[test]
fn the_keys_function_writes_audit_entries_and_blocks_and_no_counts() {
    let environment = in_mode(STREAM);
    let declared = &functions(&environment)[&Function::Keys];
    let role = declared["Properties"]["Role"]["Fn::GetAtt"][0].as_str();
    let statements = statements(&resources(&assembly_of(&environment)), role.unwrap());
    let of_usage: Vec<_> = statements
        .iter()
        .filter(|one| one["Resource"].to_string().contains("api-usage"))
        .map(|one| &one["Condition"])
        .collect();
    let within = |partitions: &str| serde_json::json!({"ForAllValues:StringLike": {"dynamodb:LeadingKeys": partitions}});
    assert_eq!(of_usage, [&within("AUDIT#*"), &within("BLOCKS*")]);
}
