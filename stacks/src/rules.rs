//! The rules that every stack must keep, whatever it contains. Each rule checks the finished
//! template and has no exceptions except those written beside a resource with a reason.

use serde_json::Value;

use crate::cfn::{Declaration, LogicalId, Problem, Template, dashboard_problems};

/// Written beside a resource that allows something on `*`.
pub const ANY_RESOURCE: &str = "AnyResource";
/// Written beside a stateful resource that is deleted with its stack.
pub const NOT_RETAINED: &str = "NotRetained";

/// Types with a name property, and the longest name that AWS accepts, in characters.
const NAMES: [(&str, &str, usize); 15] = [
    ("AWS::ApiGateway::RestApi", "Name", 1024),
    ("AWS::ApiGatewayV2::Api", "Name", 128),
    ("AWS::CloudWatch::Alarm", "AlarmName", 255),
    ("AWS::CloudWatch::Dashboard", "DashboardName", 255),
    ("AWS::DynamoDB::Table", "TableName", 255),
    ("AWS::Events::Rule", "Name", 64),
    ("AWS::IAM::Role", "RoleName", 64),
    ("AWS::Kinesis::Stream", "Name", 128),
    ("AWS::Lambda::Function", "FunctionName", 64),
    ("AWS::Logs::LogGroup", "LogGroupName", 512),
    ("AWS::S3::Bucket", "BucketName", 63),
    ("AWS::Scheduler::Schedule", "Name", 64),
    ("AWS::SecretsManager::Secret", "Name", 512),
    ("AWS::SNS::Topic", "TopicName", 256),
    ("AWS::SQS::Queue", "QueueName", 80),
];

/// Stateful types, and the properties of which one must encrypt.
const ENCRYPTED: [(&str, &[&str]); 5] = [
    ("AWS::DynamoDB::GlobalTable", &["SSESpecification"]),
    ("AWS::DynamoDB::Table", &["SSESpecification"]),
    ("AWS::Kinesis::Stream", &["StreamEncryption"]),
    ("AWS::S3::Bucket", &["BucketEncryption"]),
    (
        "AWS::SQS::Queue",
        &["SqsManagedSseEnabled", "KmsMasterKeyId"],
    ),
];

/// Types whose data nothing else holds. AWS's other stateful types hold data in transit or records
/// of past events: queues, streams and logs are deleted with their stack.
const KEPT: [&str; 6] = [
    "AWS::Cognito::UserPool",
    "AWS::DynamoDB::GlobalTable",
    "AWS::DynamoDB::Table",
    "AWS::KMS::Key",
    "AWS::S3::Bucket",
    "AWS::SecretsManager::Secret",
];

/// Applies every rule; a violation becomes a problem of the template.
pub fn check(template: &mut Template) {
    let mut found: Vec<(LogicalId, String)> = Vec::new();
    for (id, declaration) in template.resources() {
        let rules = [retained, encrypted, no_star];
        let broken = rules.iter().filter_map(|rule| rule(declaration));
        found.extend(broken.map(|message| (id.clone(), message)));
    }
    let mut inside: Vec<(LogicalId, Problem)> = Vec::new();
    for (id, declaration) in template.resources() {
        let problems = dashboard(declaration).into_iter();
        let problems = problems
            .chain(name_fits(declaration))
            .chain(variables_fit(declaration));
        inside.extend(problems.map(|problem| (id.clone(), problem)));
    }
    for (id, message) in found {
        template.problem(&id, message);
    }
    for (id, problem) in inside {
        template.problem_within(&id, problem);
    }
}

/// To CloudFormation a dashboard's body is only a text.
fn dashboard(declaration: &Declaration) -> Vec<Problem> {
    const BODY: &str = "DashboardBody";
    let body = match declaration.properties.get(BODY) {
        Some(Value::String(body)) => Some(body.as_str()),
        Some(intrinsic) => intrinsic.get("Fn::Sub").and_then(Value::as_str),
        None => None,
    };
    let shown = declaration.kind == "AWS::CloudWatch::Dashboard";
    let problems = body.filter(|_| shown).map(dashboard_problems);
    let problems = problems.unwrap_or_default().into_iter();
    problems.map(|problem| problem.within(BODY)).collect()
}

fn name_fits(declaration: &Declaration) -> Option<Problem> {
    let (_, property, most) = NAMES.iter().find(|(kind, ..)| *kind == declaration.kind)?;
    let name = declaration.properties.get(*property)?.as_str()?;
    let length = name.chars().count();
    let message = format!(
        "the name `{name}` has {length} characters, AWS accepts {most}; shorten the prefix or the \
         environment's name"
    );
    (length > *most).then(|| Problem::here(message).within(property))
}

/// The size limit of a function's variables in bytes, as one JSON object: this is how Lambda
/// measures them and reports a violation (Lambda Developer Guide, "Lambda quotas": 4 KB).
const VARIABLES: usize = 4096;
/// The assumed size in bytes of an intrinsic function's result: the longest are the ARN of a
/// function and the URL of a queue.
const INTRINSIC: usize = 200;

/// Lambda refuses a function with larger variables while the stack is deployed.
fn variables_fit(declaration: &Declaration) -> Option<Problem> {
    const PROPERTY: (&str, &str) = ("Environment", "Variables");
    let variables = declaration.properties.get(PROPERTY.0)?.get(PROPERTY.1)?;
    let variables = variables.as_object()?;
    let size = |value: &Value| match value {
        Value::String(_) => value.to_string().len(),
        _ => INTRINSIC,
    };
    // `{"NAME":value,…}`
    let pairs = variables.iter();
    let bytes = 1 + pairs
        .clone()
        .map(|(name, value)| name.len() + size(value) + 4)
        .sum::<usize>();
    let (largest, value) = pairs.max_by_key(|(_, value)| size(value))?;
    let message = format!(
        "the function's variables take {bytes} bytes as Lambda measures them, {VARIABLES} are \
         allowed; `{largest}` takes {} of them",
        size(value)
    );
    (bytes > VARIABLES).then(|| {
        let problem = Problem::here(message).within(largest);
        problem.within(PROPERTY.1).within(PROPERTY.0)
    })
}

fn retained(declaration: &Declaration) -> Option<String> {
    let kept = KEPT.contains(&declaration.kind) && declaration.stateful;
    let fine = declaration.retained || declaration.reasons.contains_key(NOT_RETAINED);
    (kept && !fine)
        .then(|| format!("holds data and is not retained; retain it, or explain `{NOT_RETAINED}`"))
}

fn encrypted(declaration: &Declaration) -> Option<String> {
    let (_, properties) = ENCRYPTED
        .iter()
        .find(|(kind, _)| *kind == declaration.kind)?;
    let set = properties
        .iter()
        .any(|property| declaration.properties.contains_key(*property));
    (!set).then(|| format!("is not encrypted; set `{}`", properties.join("` or `")))
}

fn no_star(declaration: &Declaration) -> Option<String> {
    if declaration.reasons.contains_key(ANY_RESOURCE) {
        return None;
    }
    let star = declaration.properties.values().find_map(star)?;
    Some(format!(
        "a policy says `{star}`; name the action and the resource, or explain `{ANY_RESOURCE}`"
    ))
}

/// A text with `*` in an action or resource of a statement, however deep.
fn star(value: &Value) -> Option<String> {
    match value {
        Value::Array(items) => items.iter().find_map(star),
        Value::Object(object) => {
            let statement = object.contains_key("Effect");
            let named = ["Action", "Resource", "Principal"];
            let direct = named.iter().filter(|_| statement);
            direct
                .filter_map(|member| object.get(*member))
                .find_map(starred)
                .or_else(|| object.values().find_map(star))
        }
        _ => None,
    }
}

fn starred(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => text.contains('*').then(|| text.clone()),
        Value::Array(items) => items.iter().find_map(starred),
        Value::Object(object) => object.values().find_map(starred),
        _ => None,
    }
}
