//! `stacks/FIRST-DEPLOY.md`, command by command, and the surroundings of a first deploy: tables and
//! log groups that existed before.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use aws_sdk_apigateway::types::{Op, PatchOperation};
use aws_sdk_cloudformation::types::Capability;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType,
    ScalarAttributeType,
};
use serde_json::Value;
use tests::cloud::Cloud;
use tests::place::Ended;
use tests::server::Server;
use tests::synthesised::{environment, root};

const PAGE: &str = "stacks/FIRST-DEPLOY.md";

/// The commands of the page, in order.
fn commands() -> Vec<String> {
    let page = std::fs::read_to_string(root().join(PAGE)).unwrap();
    let blocks = page.split("```sh\n").skip(1);
    let lines = blocks.flat_map(|block| block.split_once("```").unwrap().0.lines());
    lines.map(str::to_owned).collect()
}

/// Runs a command of `cargo xtask`.
fn run(cloud: &Cloud, arguments: &str) -> Ended {
    tokio::task::block_in_place(|| cloud.place.run(arguments))
}

/// Runs a command that must succeed.
#[track_caller]
fn succeed(cloud: &Cloud, arguments: &str) -> Ended {
    let ended = run(cloud, arguments);
    assert_eq!(ended.code, Some(0), "{arguments}: {ended:#?}");
    ended
}

/// The value of an option.
fn option<'a>(words: &[&'a str], name: &str) -> &'a str {
    let at = words.iter().position(|word| *word == name).unwrap();
    words[at + 1]
}

/// Does the work of a command of the AWS command line, which is not installed here.
async fn aws(cloud: &Cloud, words: &[&str]) {
    let stacks = aws_sdk_cloudformation::Client::new(&cloud.sdk().await);
    let name = option(words, "--stack-name");
    match words[..3] {
        ["aws", "cloudformation", "deploy"] => {
            let file = cloud.place.dir().join(option(words, "--template-file"));
            let capability = Capability::from(option(words, "--capabilities"));
            stacks
                .create_stack()
                .stack_name(name)
                .template_body(std::fs::read_to_string(file).unwrap())
                .capabilities(capability)
                .send()
                .await
                .unwrap();
        }
        ["aws", "cloudformation", "delete-stack"] => {
            stacks.delete_stack().stack_name(name).send().await.unwrap();
        }
        _ => panic!("the page has a command that no test runs: {words:?}"),
    }
    until_settled(&stacks, name).await;
}

async fn until_settled(stacks: &aws_sdk_cloudformation::Client, name: &str) {
    loop {
        let described = stacks.describe_stacks().stack_name(name).send().await;
        let Ok(described) = described else { return };
        let status = described.stacks()[0].stack_status().unwrap().as_str();
        if !status.ends_with("IN_PROGRESS") {
            assert!(!status.contains("ROLLBACK"), "{name}: {status}");
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// A cloud in synchronous mode: before a stream is deleted, it is watched for the three minutes by
/// which AWS's metrics are late.
async fn cloud() -> Cloud {
    let mut cloud = Cloud::start(Server::ministack().await).await;
    cloud.place.set("ENABLE_KINESIS_ANALYTICS", "false");
    cloud
}

/// The permissions of the deploy role.
fn deploy_role() -> BTreeSet<String> {
    let template = stacks::roles(&environment("test")).unwrap();
    let template: Value = serde_json::from_str(&template).unwrap();
    let policies = template["Resources"].as_object().unwrap().iter();
    let policies = policies.filter(|(id, _)| id.starts_with("Deploy"));
    let statements = policies.flat_map(|(_, policy)| {
        let statements = policy["Properties"]["PolicyDocument"]["Statement"].as_array();
        statements.cloned().unwrap_or_default()
    });
    let actions = statements.flat_map(|one| one["Action"].as_array().cloned().unwrap_or_default());
    actions
        .map(|action| action.as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_of_the_page_does_what_it_says() {
    let cloud = cloud().await;
    let commands = commands();
    assert!(commands.len() > 12, "{commands:?}");
    for command in commands {
        let words: Vec<&str> = command.split(' ').collect();
        if words[0] == "aws" {
            aws(&cloud, &words).await;
            continue;
        }
        let (command, file) = match command.split_once(" > ") {
            Some((command, file)) => (command, Some(file)),
            None => (command.as_str(), None),
        };
        let arguments = command.strip_prefix("cargo xtask ").unwrap();
        // Not into the tree under test.
        let arguments = arguments.replace("synth ", &synth_into(cloud.place.dir()));
        let ended = succeed(&cloud, &arguments);
        if let Some(file) = file {
            std::fs::write(cloud.place.dir().join(file), ended.stdout).unwrap();
        }
    }
    nothing_is_left(&cloud).await;
}

fn synth_into(dir: &Path) -> String {
    format!("synth --out {} ", dir.join("assembly").display())
}

/// No table and no stack is left.
async fn nothing_is_left(cloud: &Cloud) {
    let sdk = cloud.sdk().await;
    let tables = aws_sdk_dynamodb::Client::new(&sdk).list_tables().send();
    assert_eq!(tables.await.unwrap().table_names(), [""; 0]);
    let stacks = aws_sdk_cloudformation::Client::new(&sdk);
    let found = stacks.describe_stacks().send().await.unwrap();
    assert_eq!(found.stacks().len(), 0, "{found:?}");
}

const ANALYTICS: &str = "complical-analytics-test";
const USAGE: &str = "complical-api-usage-test";

/// Creates a table that has only a key.
async fn bare_table(cloud: &Cloud, partition: &str, sort: &str) {
    let part = |name: &str, role: KeyType| {
        let key = KeySchemaElement::builder().attribute_name(name);
        key.key_type(role).build().unwrap()
    };
    let text = |name: &str| {
        let attribute = AttributeDefinition::builder().attribute_name(name);
        attribute
            .attribute_type(ScalarAttributeType::S)
            .build()
            .unwrap()
    };
    aws_sdk_dynamodb::Client::new(&cloud.sdk().await)
        .create_table()
        .table_name(ANALYTICS)
        .billing_mode(BillingMode::PayPerRequest)
        .key_schema(part(partition, KeyType::Hash))
        .key_schema(part(sort, KeyType::Range))
        .attribute_definitions(text(partition))
        .attribute_definitions(text(sort))
        .send()
        .await
        .unwrap();
}

/// The role with which API Gateway writes the account's logs.
async fn gateway_role(cloud: &Cloud) -> Option<String> {
    let gateway = aws_sdk_apigateway::Client::new(&cloud.sdk().await);
    gateway
        .get_account()
        .send()
        .await
        .unwrap()
        .cloudwatch_role_arn
}

async fn set_gateway_role(cloud: &Cloud, role: &str) {
    let set = PatchOperation::builder()
        .op(Op::Replace)
        .path("/cloudwatchRoleArn")
        .value(role)
        .build();
    aws_sdk_apigateway::Client::new(&cloud.sdk().await)
        .update_account()
        .patch_operations(set)
        .send()
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_there_before_is_adopted_mended_or_refused() {
    let cloud = cloud().await;
    let tables = aws_sdk_dynamodb::Client::new(&cloud.sdk().await);
    bare_table(&cloud, "id", "at").await;
    run(&cloud, "deploy --env test --yes").fails(
        1,
        &[
            "`complical-analytics-test` exists and cannot become",
            "its key is `id (HASH, S), at (RANGE, S)`, expected `PK (HASH, S), SK (RANGE, S)`",
        ],
    );
    let delete = tables.delete_table().table_name(ANALYTICS);
    delete.send().await.unwrap();

    bare_table(&cloud, "PK", "SK").await;
    let deployed = succeed(&cloud, "deploy --env test --yes");
    for mended in [
        "it has no stream",
        "it has no index `byTime`",
        "it has no point-in-time recovery",
        "it is not encrypted with a key of KMS",
    ] {
        let said = format!("{mended}; which is corrected first");
        assert!(deployed.stderr.contains(&said), "{deployed:#?}");
    }
    let described = tables.describe_table().table_name(ANALYTICS).send();
    let described = described.await.unwrap().table.unwrap();
    let stream = described.stream_specification().unwrap();
    assert_eq!(stream.stream_view_type().unwrap().as_str(), "KEYS_ONLY");
    let indexes = described.global_secondary_indexes();
    assert_eq!(indexes[0].index_name(), Some("byTime"));
    assert_eq!(described.deletion_protection_enabled(), Some(true));
    assert!(described.sse_description().is_some());

    let role = gateway_role(&cloud).await.unwrap();
    assert!(
        role.ends_with(":role/complical-gateway-logs-test"),
        "{role}"
    );
    // Tables outlive their stacks, and are adopted as they are.
    let kept = |name: &str| AttributeValue::S(name.to_owned());
    let put = tables.put_item().table_name(USAGE);
    let put = put.item("PK", kept("a")).item("SK", kept("b"));
    put.send().await.unwrap();
    succeed(&cloud, "destroy --env test --yes");
    the_plan_names_what_is_adopted(&cloud);
    // Services continue to write for a while after their stack is gone.
    let logs = aws_sdk_cloudwatchlogs::Client::new(&cloud.sdk().await);
    let group = "/aws/apigateway/CompliCal-API-test/access";
    let create = logs.create_log_group().log_group_name(group);
    create.send().await.unwrap();
    let again = succeed(&cloud, "deploy --env test --yes");
    assert!(again.stderr.contains(group), "{again:#?}");
    let get = tables.get_item().table_name(USAGE);
    let get = get.key("PK", kept("a")).key("SK", kept("b"));
    let found = get.send().await.unwrap();
    assert!(found.item.is_some(), "the data outlives its stack");
    // The embedded AWS drops the expiry, the recovery and the encryption that a template declares:
    // only those are corrected again, and not where they were corrected before.
    for there in ["no stream", "no index", "no deletion protection"] {
        assert!(!again.stderr.contains(there), "{again:#?}");
    }
    let mended = format!("table `{ANALYTICS}`");
    assert!(!again.stderr.contains(&mended), "{again:#?}");
    let unchanged = succeed(&cloud, "deploy --env test --yes");
    assert!(
        unchanged.stderr.contains("nothing changed"),
        "{unchanged:#?}"
    );
    // Without their stack, tables stay: CloudFormation would never make them again.
    run(
        &cloud,
        "destroy --env test CompliCal-API-test --delete-data --yes",
    )
    .fails(
        2,
        &["tables of `CompliCal-Data-test`, which is not among the stacks to destroy"],
    );
    assert_eq!(
        tables
            .list_tables()
            .send()
            .await
            .unwrap()
            .table_names()
            .len(),
        3
    );
    succeed(&cloud, "destroy --env test --delete-data --yes");
    nothing_is_left(&cloud).await;

    // If the account has a role for the gateway's logs, it stays, and no other is created.
    let others = "arn:aws:iam::000000000000:role/of-another-project";
    set_gateway_role(&cloud, others).await;
    let deployed = succeed(&cloud, "deploy --env test --yes");
    assert!(deployed.stderr.contains(others), "{deployed:#?}");
    assert!(!deployed.stderr.contains("ApiGatewayLogsRole"));
    assert_eq!(gateway_role(&cloud).await.as_deref(), Some(others));
    succeed(&cloud, "destroy --env test --delete-data --yes");

    // The commands did nothing that the deploy role forbids.
    let role = deploy_role();
    let asked = cloud.asked();
    let unasked: Vec<_> = asked
        .iter()
        .filter(|action| !role.contains(*action) && *action != "sts:GetCallerIdentity")
        .collect();
    assert!(unasked.is_empty(), "{unasked:?} not in {role:?}");
}

/// Where only the tables are left, the plan adopts them and creates everything else.
fn the_plan_names_what_is_adopted(cloud: &Cloud) {
    let plan = succeed(cloud, "diff --env test --json").stdout;
    let plan: Value = serde_json::from_str(&plan).unwrap();
    let stacks = plan["stacks"].as_array().unwrap().iter();
    let changes = stacks.flat_map(|stack| stack["changes"].as_array().unwrap());
    let (tables, others): (Vec<_>, Vec<_>) =
        changes.partition(|change| change["type"] == "AWS::DynamoDB::Table");
    assert_eq!(tables.len(), 3, "{tables:#?}");
    assert!(tables.iter().all(|change| change["action"] == "adopt"));
    assert!(others.iter().all(|change| change["action"] == "add"));
}

/// Nothing is created, uploaded or changed before the question is answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_answer_nothing_is_made() {
    let cloud = cloud().await;
    let declined = run(&cloud, "deploy --env test");
    assert_eq!(declined.code, Some(1), "{declined:#?}");
    for said in [
        "stack `CompliCal-Data-test` is created:",
        "change stacks `CompliCal-Data-test`, `CompliCal-API-test`? [y/N] no (not a terminal)",
        "declined: nothing was changed",
    ] {
        assert!(
            declined.stderr.contains(said),
            "no `{said}` in {declined:#?}"
        );
    }
    let asked = cloud.asked();
    let changing = ["Create", "Put", "Delete", "Update", "Execute"];
    let changing: Vec<_> = asked
        .iter()
        .filter(|action| {
            let (_, verb) = action.split_once(':').unwrap();
            changing.iter().any(|prefix| verb.starts_with(prefix))
        })
        .collect();
    assert!(changing.is_empty(), "{changing:?}");
    nothing_is_left(&cloud).await;

    // Nor is anything in another account than the file's.
    let file = cloud.place.dir().join("environments/test.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{text}account: \"111111111111\"\n")).unwrap();
    run(&cloud, "deploy --env test --yes").fails(
        2,
        &[
            "environment `test` belongs to account 111111111111, the credentials to 000000000000",
            "AWS_PROFILE=",
        ],
    );
    nothing_is_left(&cloud).await;
}

/// The existing resources of an environment, by AWS's names.
async fn standing(cloud: &Cloud, environment: &str) -> BTreeSet<String> {
    let sdk = cloud.sdk().await;
    let mut found = BTreeSet::new();
    let stacks = aws_sdk_cloudformation::Client::new(&sdk);
    for stack in stacks.describe_stacks().send().await.unwrap().stacks() {
        let name = stack.stack_name().unwrap();
        let resources = stacks.list_stack_resources().stack_name(name);
        let resources = resources.into_paginator().items().send();
        let resources = resources.collect::<Result<Vec<_>, _>>().await.unwrap();
        found.extend(resources.iter().map(|resource| {
            let id = resource.physical_resource_id().unwrap_or_default();
            format!("{name}: {:?} {id}", resource.resource_type())
        }));
    }
    let tables = aws_sdk_dynamodb::Client::new(&sdk).list_tables().send();
    found.extend(tables.await.unwrap().table_names().iter().cloned());
    let groups = aws_sdk_cloudwatchlogs::Client::new(&sdk);
    let groups = groups.describe_log_groups().into_paginator().items().send();
    let groups = groups.collect::<Result<Vec<_>, _>>().await.unwrap();
    found.extend(groups.into_iter().filter_map(|group| group.log_group_name));
    found.retain(|name| name.contains(&format!("-{environment}")));
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_environment_that_goes_leaves_the_one_beside_it_untouched() {
    let cloud = cloud().await;
    let files = cloud.place.dir().join("environments");
    std::fs::copy(files.join("test.yaml"), files.join("beside.yaml")).unwrap();
    // A reserve that the account's quota does not cover is refused before anything is made.
    let file = std::fs::read_to_string(files.join("test.yaml")).unwrap();
    let greedy = format!("{file}concurrency: {{authorizer: 950}}\n");
    std::fs::write(files.join("greedy.yaml"), greedy).unwrap();
    let refused = "`concurrency` reserves 950 executions, and AWS accepts ";
    run(&cloud, "deploy --env greedy --yes").fails(2, &[refused]);
    assert_eq!(standing(&cloud, "greedy").await, BTreeSet::new());
    succeed(&cloud, "deploy --env test --yes");
    let alone = standing(&cloud, "test").await;
    assert!(alone.len() > 50, "{alone:#?}");
    succeed(&cloud, "deploy --env beside --yes");
    assert!(standing(&cloud, "beside").await.len() > 50);
    succeed(&cloud, "destroy --env beside --delete-data --yes");
    let left = standing(&cloud, "beside").await;
    // The account's role for the gateway's logs is the first environment's.
    assert_eq!(left, BTreeSet::new());
    assert_eq!(standing(&cloud, "test").await, alone);
    let unchanged = succeed(&cloud, "deploy --env test --yes");
    assert!(
        unchanged.stderr.contains("nothing changed"),
        "{unchanged:#?}"
    );
    succeed(&cloud, "destroy --env test --delete-data --yes");
    nothing_is_left(&cloud).await;
}
