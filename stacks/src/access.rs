//! The minimum permissions to deploy an environment, and to inspect one.
//!
//! Both follow from the stacks: a principal that deploys a table must be allowed to create this
//! table, and no other. The roles are a separate template, deployed once by someone who may create
//! roles.
//!
//! A principal that deploys functions also writes their roles, and so can do anything these roles
//! allow. The deploy role has the minimum permissions for its work; it is not harmless.

mod attachment;
mod kinds;

use std::collections::{BTreeMap, BTreeSet};

use domain::names::Names;
use serde_json::Value;

use crate::assembly::Assembly;
use crate::cfn::policy::{self, Statement};
use crate::cfn::{Arn, LogicalId, Problem, Template, Val, iam, sub};
use crate::environment::{Encryption, Environment, Secret};
use crate::{SynthError, assets, rules, synthesise_unbuilt};

/// The size limit of a managed policy in characters, not counting blanks (IAM User Guide, "IAM and
/// AWS STS quotas").
const POLICY_CHARACTERS: usize = 6_144;

/// The template of the roles `{stackPrefix}-deploy-{env}` and `{stackPrefix}-operate-{env}`, which
/// any principal of the account may assume if its own policies allow it.
///
/// # Errors
///
/// As [`synthesise`](crate::synthesise); also if a stack declares a type of resource for which the
/// permissions to deploy it are unknown.
pub fn roles(environment: &Environment) -> Result<String, SynthError> {
    // Stream mode has every resource. Account and gateway are as in a first deploy.
    let widest = environment
        .clone()
        .with_analytics(Some(true))
        .leaving_gateway_account(false);
    let assembly = synthesise_unbuilt(&widest)?;
    let invalid = |problems| SynthError::Invalid {
        stack: "iam".to_owned(),
        problems,
    };
    let resources = declared(&assembly).map_err(&invalid)?;
    let mut template = Template::new(format!(
        "Who may deploy and who may look at the environment `{}`.",
        environment.name
    ));
    add_role(
        &mut template,
        "Deploy",
        &format!("{}-deploy-{}", environment.stack_prefix, environment.name),
        deploying(environment, &resources),
    );
    add_role(
        &mut template,
        "Operate",
        &format!("{}-operate-{}", environment.stack_prefix, environment.name),
        looking(environment, &resources),
    );
    Ok(dense(&template.finish().map_err(invalid)?))
}

/// The same JSON with one space per level: CloudFormation accepts 51,200 bytes in a request, and
/// roles with many statements come near that.
fn dense(template: &str) -> String {
    let lines = template.lines().map(|line| {
        let text = line.trim_start();
        let level = (line.len() - text.len()) / 2;
        format!("{}{text}\n", " ".repeat(level))
    });
    lines.collect::<Vec<_>>().concat()
}

/// A declared resource, as far as a policy can name it.
struct Declared {
    stack: String,
    kind: String,
    /// Its name, if it has a fixed one.
    name: Option<String>,
}

/// The resources of all stacks. An unknown type is a problem.
fn declared(assembly: &Assembly) -> Result<Vec<Declared>, Vec<Problem>> {
    let mut found = Vec::new();
    let mut problems = Vec::new();
    for stack in &assembly.stacks {
        let template: Value = serde_json::from_str(&stack.template).unwrap_or_default();
        let resources = template.get("Resources").and_then(Value::as_object);
        for (id, resource) in resources.into_iter().flatten() {
            let kind = resource.get("Type").and_then(Value::as_str);
            let kind = kind.unwrap_or_default();
            let Some(known) = kinds::of(kind) else {
                let message = format!("the permissions to deploy a `{kind}` are unknown");
                problems.push(Problem::here(message).within(id));
                continue;
            };
            let name = resource
                .get("Properties")
                .and_then(|all| all.get(known.named_by));
            found.push(Declared {
                stack: stack.name.clone(),
                kind: kind.to_owned(),
                name: name.and_then(named).map(str::to_owned),
            });
        }
    }
    if problems.is_empty() {
        Ok(found)
    } else {
        Err(problems)
    }
}

/// A name in the form of `Fn::Sub`.
fn named(name: &Value) -> Option<&str> {
    name.as_str().or_else(|| name.get("Fn::Sub")?.as_str())
}

/// The permissions of `deploy` and `destroy`: first the commands' own calls, then for each stack
/// the calls that CloudFormation makes on their behalf.
fn deploying(environment: &Environment, resources: &[Declared]) -> Vec<Statement> {
    let mut statements = commands(environment, &environment.names(), resources);
    let mut stacks: BTreeMap<&str, BTreeMap<&str, Vec<&Declared>>> = BTreeMap::new();
    for resource in resources {
        let kinds = stacks.entry(&resource.stack).or_default();
        kinds.entry(&resource.kind).or_default().push(resource);
    }
    statements.extend(stacks.values().flat_map(of_stack));
    statements
}

/// The permissions to deploy the resources of one stack. Types of one service that need the same
/// rights on the same resources share a statement.
fn of_stack(kinds: &BTreeMap<&str, Vec<&Declared>>) -> Vec<Statement> {
    let mut merged: BTreeMap<Vec<String>, Vec<&'static str>> = BTreeMap::new();
    let mut statements = Vec::new();
    for (kind, resources) in kinds {
        let Some(known) = kinds::of(kind) else {
            continue;
        };
        let mut arns: Vec<String> = resources
            .iter()
            .flat_map(|one| (known.arns)(&one.stack, one.name.as_deref()))
            .collect();
        arns.sort();
        arns.dedup();
        if !arns.is_empty() {
            merged.entry(arns).or_default().extend(known.actions);
        }
        let names: Vec<&str> = resources
            .iter()
            .filter_map(|one| one.name.as_deref())
            .collect();
        let stack = resources.first().map_or("", |one| one.stack.as_str());
        let further = known.further.map(|further| further(stack, &names));
        statements.extend(further.into_iter().flatten());
    }
    let exact = merged.into_iter().map(|(arns, mut actions)| {
        actions.sort_unstable();
        actions.dedup();
        Statement::of(actions, arns.into_iter().map(sub).collect())
    });
    exact.chain(statements).collect()
}

fn arns<'a>(
    resources: &'a [Declared],
    kind: &'a str,
) -> impl Iterator<Item = Val<String>> + use<'a> {
    let of_kind = resources.iter().filter(move |one| one.kind == kind);
    of_kind
        .flat_map(move |one| {
            let known = kinds::of(kind);
            known.map_or_else(Vec::new, |known| {
                (known.arns)(&one.stack, one.name.as_deref())
            })
        })
        .map(sub)
}

/// The permissions that services require of a caller who makes them encrypt with a customer key
/// (DynamoDB Developer Guide, "Encryption at rest: usage notes"; the other services require less).
fn encrypting(encryption: &Encryption) -> Statement {
    let actions = vec![
        "kms:CreateGrant",
        "kms:Decrypt",
        "kms:DescribeKey",
        "kms:Encrypt",
        "kms:GenerateDataKey",
    ];
    Statement::of(actions, vec![encryption.key.as_str().into()])
}

/// The permission to use a customer key to read tables: DynamoDB decrypts them with the rights of
/// its caller, and no other service that these commands read does.
fn decrypting(encryption: &Encryption) -> Statement {
    let actions = vec!["kms:Decrypt", "kms:DescribeKey"];
    let through = sub::<String>("dynamodb.${AWS::Region}.amazonaws.com".to_owned());
    Statement::of(actions, vec![encryption.key.as_str().into()])
        .when_equal("kms:ViaService", through)
}

/// The permission to read the secret of an upstream, which CloudFormation resolves with the rights
/// of its caller, and to learn its version.
fn reading_secret(secret: &Secret) -> Statement {
    let arn = "arn:${AWS::Partition}:secretsmanager:${AWS::Region}:${AWS::AccountId}:secret:";
    // Secrets Manager adds a hyphen and six characters to the name.
    let arn = sub(format!("{arn}{}-??????", secret.secrets_manager));
    let actions = vec![
        "secretsmanager:DescribeSecret",
        "secretsmanager:GetSecretValue",
    ];
    Statement::of(actions, vec![arn])
}

/// The permissions to find the bucket of reports, which may be left of a time when there were any, and
/// to delete it with the data.
fn emptying_reports(names: &Names) -> [Statement; 2] {
    let name = names.report_bucket("${AWS::AccountId}", "${AWS::Region}");
    let bucket = format!("arn:${{AWS::Partition}}:s3:::{name}");
    let of_bucket = vec!["s3:DeleteBucket", "s3:ListBucket", "s3:ListBucketVersions"];
    let of_files = vec!["s3:DeleteObject", "s3:DeleteObjectVersion"];
    [
        Statement::of(of_bucket, vec![sub(bucket.clone())]),
        Statement::of(of_files, vec![sub(format!("{bucket}/*"))]),
    ]
}

/// The commands' own calls.
fn commands(environment: &Environment, names: &Names, resources: &[Declared]) -> Vec<Statement> {
    let bucket = format!(
        "arn:${{AWS::Partition}}:s3:::{}",
        assets::bucket_pattern(&environment.names())
    );
    let tables = || arns(resources, "AWS::DynamoDB::Table").collect::<Vec<_>>();
    let queues = || arns(resources, "AWS::SQS::Queue").collect::<Vec<_>>();
    let mut statements = vec![
        Statement::of(
            vec![
                "cloudformation:ContinueUpdateRollback",
                "cloudformation:CreateChangeSet",
                "cloudformation:DeleteChangeSet",
                "cloudformation:DeleteStack",
                "cloudformation:DescribeChangeSet",
                "cloudformation:DescribeEvents",
                "cloudformation:DescribeStackEvents",
                "cloudformation:DescribeStacks",
                "cloudformation:ExecuteChangeSet",
                "cloudformation:GetTemplate",
                "cloudformation:ListChangeSets",
                "cloudformation:ListStackResources",
            ],
            stack_arns(names),
        ),
        Statement::of(
            vec![
                "s3:CreateBucket",
                "s3:DeleteBucket",
                "s3:ListBucket",
                "s3:ListBucketVersions",
                "s3:PutBucketPolicy",
                "s3:PutBucketPublicAccessBlock",
                "s3:PutBucketVersioning",
                "s3:PutEncryptionConfiguration",
                "s3:PutLifecycleConfiguration",
            ],
            vec![sub(bucket.clone())],
        ),
        Statement::of(
            vec![
                "s3:DeleteObject",
                "s3:DeleteObjectVersion",
                "s3:GetObject",
                "s3:PutObject",
            ],
            vec![sub(format!("{bucket}/*"))],
        ),
        // Before a table is adopted, and to delete one.
        Statement::of(
            vec![
                "dynamodb:DeleteTable",
                "dynamodb:DescribeContinuousBackups",
                "dynamodb:DescribeTable",
                "dynamodb:DescribeTimeToLive",
                "dynamodb:UpdateContinuousBackups",
                "dynamodb:UpdateTable",
                "dynamodb:UpdateTimeToLive",
            ],
            tables(),
        ),
        // A deploy ends with a metered call: its key, its count, and items set aside in the
        // meantime.
        Statement::of(
            vec![
                "dynamodb:GetItem",
                "dynamodb:PutItem",
                "dynamodb:Query",
                "dynamodb:UpdateItem",
            ],
            tables(),
        ),
        // To check whether the stream is drained before it is deleted.
        Statement::of(vec!["sqs:GetQueueAttributes", "sqs:GetQueueUrl"], queues()),
        Statement::allow_on_all(
            ["cloudwatch:GetMetricStatistics"],
            "metrics have no resource type (Service Authorization Reference, CloudWatch)",
        ),
        // To compare the account's quotas with the environment file.
        Statement::allow_on_all(
            ["lambda:GetAccountSettings"],
            "settings of an account have no resource type (Service Authorization Reference, Lambda)",
        ),
    ];
    statements.extend(emptying_reports(names));
    let upstream = environment.upstream.as_ref();
    if let Some(secret) = upstream.and_then(|upstream| upstream.secret.as_ref()) {
        statements.push(reading_secret(secret));
    }
    if let Some(encryption) = &environment.encryption {
        statements.push(encrypting(encryption));
        let actions = vec!["logs:AssociateKmsKey", "logs:DisassociateKmsKey"];
        let groups = arns(resources, "AWS::Logs::LogGroup").collect();
        statements.push(Statement::of(actions, groups));
    }
    statements
}

/// The permissions of the read-only commands: `status`, `outputs`, `logs`, `errors list`, `events`,
/// `explain`, `keys list`, `users list`, `webhooks list`, `usage export`, `report`, `dashboard`,
/// `attach --check`.
fn looking(environment: &Environment, resources: &[Declared]) -> Vec<Statement> {
    let names = &environment.names();
    let of = |kind| arns(resources, kind).collect::<Vec<_>>();
    let table = |name: String| {
        let arn = "arn:${AWS::Partition}:dynamodb:${AWS::Region}:${AWS::AccountId}:table/";
        vec![sub(format!("{arn}{name}"))]
    };
    let mut statements = vec![
        Statement::of(
            vec![
                "cloudformation:DescribeStacks",
                "cloudformation:ListStackResources",
            ],
            stack_arns(names),
        ),
        Statement::of(
            vec!["cloudwatch:GetDashboard"],
            of("AWS::CloudWatch::Dashboard"),
        ),
        Statement::of(
            vec!["cloudwatch:DescribeAlarms"],
            of("AWS::CloudWatch::Alarm"),
        ),
        Statement::allow_on_all(
            ["cloudwatch:GetMetricStatistics"],
            "metrics have no resource type (Service Authorization Reference, CloudWatch)",
        ),
        Statement::of(vec!["logs:FilterLogEvents"], of("AWS::Logs::LogGroup")),
        Statement::of(
            vec!["kinesis:DescribeStreamSummary"],
            of("AWS::Kinesis::Stream"),
        ),
        Statement::of(
            vec!["sqs:GetQueueAttributes", "sqs:GetQueueUrl"],
            of("AWS::SQS::Queue"),
        ),
        Statement::of(
            vec!["dynamodb:GetItem", "dynamodb:Query"],
            table(names.analytics_table()),
        ),
        // For `usage export`, `report`, `users list` and `webhooks list`.
        Statement::of(
            vec!["dynamodb:GetItem", "dynamodb:Query", "dynamodb:Scan"],
            table(names.usage_table()),
        ),
        Statement::of(vec!["dynamodb:Scan"], table(names.api_keys_table())),
    ];
    statements.extend(environment.encryption.as_ref().map(decrypting));
    statements.extend(attachment::looking(environment));
    statements
}

fn stack_arns(names: &Names) -> Vec<Val<String>> {
    use domain::names::StackKind;
    let kinds = [StackKind::Data, StackKind::Kinesis, StackKind::Api];
    let arn = "arn:${AWS::Partition}:cloudformation:${AWS::Region}:${AWS::AccountId}:stack/";
    let stacks = kinds.map(|kind| sub(format!("{arn}{}/*", names.stack(kind))));
    stacks.into()
}

/// Adds a role with as many policies as its statements need.
fn add_role(template: &mut Template, id: &str, name: &str, statements: Vec<Statement>) {
    let mut attached = Vec::new();
    for (index, statements) in packed(statements).into_iter().enumerate() {
        let id = LogicalId::from(format!("{id}{}", index + 1));
        let reasons: BTreeSet<&str> = statements.iter().filter_map(Statement::reason).collect();
        let problems: Vec<String> = statements.iter().flat_map(Statement::problems).collect();
        let document = policy::document(statements);
        let characters = longest(&document.0);
        let policy = template.add(id.clone(), iam::ManagedPolicy::new(document));
        for problem in problems {
            template.problem(&id, problem);
        }
        if characters > POLICY_CHARACTERS {
            let message =
                format!("the policy has {characters} characters, {POLICY_CHARACTERS} are allowed");
            template.problem(&id, message);
        }
        if !reasons.is_empty() {
            let reasons: Vec<&str> = reasons.into_iter().collect();
            template.explain(&policy, rules::ANY_RESOURCE, reasons.join("; "));
        }
        attached.push(policy.reference().cast::<Arn<iam::ManagedPolicy>>());
    }
    template.add(
        LogicalId::from(format!("{id}Role")),
        iam::Role::new(policy::assumed_by_account())
            .role_name(name)
            .managed_policy_arns(attached),
    );
}

/// Packs statements into policies, in their order, each as long as AWS accepts.
fn packed(statements: Vec<Statement>) -> Vec<Vec<Statement>> {
    let mut policies: Vec<Vec<Statement>> = Vec::new();
    let mut left = 0;
    for statement in statements {
        // As a separate document: a little longer than beside other statements.
        let characters = longest(&policy::document([statement.clone()]).0);
        if characters > left {
            policies.push(Vec::new());
            left = POLICY_CHARACTERS;
        }
        left = left.saturating_sub(characters);
        if let Some(policy) = policies.last_mut() {
            policy.push(statement);
        }
    }
    policies
}

/// The most characters that a document has once its account, region and partition are filled in;
/// blanks do not count.
fn longest(document: &Value) -> usize {
    if let Some(text) = document.get("Fn::Sub").and_then(Value::as_str) {
        let text = text.replace("${AWS::Partition}", "aws-us-gov");
        let text = text.replace("${AWS::Region}", "ap-southeast-1");
        return text.replace("${AWS::AccountId}", "123456789012").len() + 2;
    }
    match document {
        Value::Object(members) => {
            let members = members.iter();
            let members = members.map(|(key, value)| key.len() + 4 + longest(value));
            1 + members.sum::<usize>()
        }
        Value::Array(items) => 1 + items.iter().map(|item| 1 + longest(item)).sum::<usize>(),
        scalar => scalar.to_string().len(),
    }
}
