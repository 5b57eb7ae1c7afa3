//! The deployed templates: snapshots for reviewers, and invariants of all of them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use stacks::environment::Architecture;
use stacks::{Assembly, Environment, synthesise, synthesise_unbuilt};
use tests::synthesised::{
    KEY, OWN_API, assembly_of, assets, environment, parsed, resources, secured, variants,
};

/// Every variant of a deployment.
fn assemblies() -> impl Iterator<Item = Assembly> {
    variants().into_iter().map(|(_, assembly)| assembly)
}

fn template(assembly: &Assembly, part: &str) -> Value {
    let stack = assembly.stacks.iter().find(|s| s.name.contains(part));
    serde_json::from_str(&stack.unwrap().template).unwrap()
}

/// The environment `test` in another region.
fn in_region(region: &str) -> Environment {
    let path = tests::synthesised::root().join("stacks/environments/test.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    let text = text.replace("ap-south-1", region);
    assert!(text.contains(region));
    Environment::parse("test", &path, &text).unwrap()
}

fn of_type(resources: &[(String, Value)], kind: &str) -> Vec<(String, Value)> {
    let matching = resources.iter().filter(|(_, r)| r["Type"] == kind);
    matching.cloned().collect()
}

#[test]
fn the_templates_of_test() {
    for stack in assembly_of(&environment("test")).stacks {
        insta::assert_snapshot!(stack.name.clone(), stack.template);
    }
}

#[test]
fn the_api_in_synchronous_mode() {
    let assembly = assembly_of(&environment("test").with_analytics(Some(false)));
    let names: Vec<&str> = assembly.stacks.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["CompliCal-Data-test", "CompliCal-API-test"]);
    insta::assert_snapshot!(
        "CompliCal-API-test-synchronous",
        assembly.stacks[1].template
    );
}

#[test]
fn equal_inputs_give_equal_bytes() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let zips = tempfile::tempdir().unwrap();
    for folder in [&one, &other] {
        let assembly = synthesise(&environment("test"), &assets(zips.path())).unwrap();
        assembly.write(folder.path()).unwrap();
        assert_eq!(
            assembly.differences(folder.path()).unwrap(),
            [] as [PathBuf; 0]
        );
    }
    let names = |folder: &Path| {
        let entries = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names(one.path()), names(other.path()));
    for name in names(one.path()) {
        let read = |folder: &Path| std::fs::read(folder.join(&name)).unwrap();
        assert_eq!(read(one.path()), read(other.path()), "{}", name.display());
    }
}

#[test]
fn an_outdated_assembly_is_detected() {
    let folder = tempfile::tempdir().unwrap();
    let zips = tempfile::tempdir().unwrap();
    let assets = assets(zips.path());
    let stream = synthesise(&environment("test"), &assets).unwrap();
    stream.write(folder.path()).unwrap();
    let without = environment("test").with_analytics(Some(false));
    let synchronous = synthesise(&without, &assets).unwrap();
    let differing = synchronous.differences(folder.path()).unwrap();
    let names: BTreeSet<_> = differing
        .iter()
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    assert!(names.contains("manifest.json"), "{names:?}");
    assert!(
        names.contains("CompliCal-API-test.template.json"),
        "{names:?}"
    );
    assert!(
        names.contains("CompliCal-Kinesis-test.template.json"),
        "{names:?}"
    );
    assert!(
        !names.contains("CompliCal-Data-test.template.json"),
        "{names:?}"
    );
    synchronous.write(folder.path()).unwrap();
    assert_eq!(
        synchronous.differences(folder.path()).unwrap(),
        [] as [PathBuf; 0]
    );
}

#[test]
fn functions_run_on_what_their_binaries_are_for() {
    let zips = tempfile::tempdir().unwrap();
    // The environment file may request another architecture: the deployment matches the build.
    for architecture in Architecture::ALL {
        let mut assets = assets(zips.path());
        for asset in assets.values_mut() {
            asset.architecture = architecture;
        }
        let assembly = synthesise(&environment("test"), &assets).unwrap();
        let functions = of_type(&resources(&assembly), "AWS::Lambda::Function");
        assert_eq!(functions.len(), 9);
        for (id, function) in functions {
            let declared = &function["Properties"]["Architectures"];
            assert_eq!(*declared, json!([architecture.as_str()]), "{id}");
        }
    }
}

#[test]
fn templates_of_functions_that_nobody_built_are_marked_and_never_deployed() {
    let folder = tempfile::tempdir().unwrap();
    let assembly = synthesise_unbuilt(&environment("test")).unwrap();
    assembly.write(folder.path()).unwrap();
    let built = assembly_of(&environment("test"));
    for (stack, built) in assembly.stacks.iter().zip(&built.stacks) {
        let mut unbuilt: Value = serde_json::from_str(&stack.template).unwrap();
        let mut built: Value = serde_json::from_str(&built.template).unwrap();
        let rules = unbuilt.as_object_mut().unwrap().remove("Rules").unwrap();
        let equal = &rules["NotDeployable"]["Assertions"][0]["Assert"]["Fn::Equals"];
        assert!(equal[0].is_string() && equal[0] != equal[1], "{rules}");
        // Otherwise they match the deployment, except for the names of the zips.
        for template in [&mut unbuilt, &mut built] {
            for resource in template["Resources"].as_object_mut().unwrap().values_mut() {
                if let Some(key) = resource.pointer_mut("/Properties/Code/S3Key") {
                    *key = Value::Null;
                }
            }
        }
        assert_eq!(unbuilt, built);
    }
    let files = std::fs::read_dir(folder.path()).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let assets = names.filter(|name| name.contains("asset"));
    assert_eq!(assets.count(), 0, "there is nothing to publish");
}

#[test]
fn the_gateways_role_is_set_once_for_the_account_and_kept() {
    let api = template(&assembly_of(&environment("test")), "-API-");
    let role = &api["Resources"]["ApiGatewayLogsRole"];
    assert_eq!(
        role["Properties"]["RoleName"],
        "complical-gateway-logs-test"
    );
    for resource in [role, &api["Resources"]["ApiGatewayAccount"]] {
        assert_eq!(resource["DeletionPolicy"], "Retain");
    }
    // An account that has a role keeps it.
    let leaving = environment("test").leaving_gateway_account(true);
    let leaving = template(&assembly_of(&leaving), "-API-");
    for id in ["ApiGatewayLogsRole", "ApiGatewayAccount"] {
        assert_eq!(leaving["Resources"][id], Value::Null, "{id}");
    }
    // All other roles get their names from CloudFormation.
    for assembly in assemblies() {
        for (id, role) in of_type(&resources(&assembly), "AWS::IAM::Role") {
            let named = role["Properties"]["RoleName"].is_string();
            assert_eq!(named, id == "ApiGatewayLogsRole", "{id}");
        }
    }
}

#[test]
fn each_environment_has_a_bucket_of_its_own() {
    let names = ["test", "prod"].map(|name| stacks::assets_bucket(&environment(name)));
    assert_ne!(names[0], names[1]);
    assert!(names[0].starts_with("complical-assets-test-"), "{names:?}");
}

#[test]
fn the_dashboard_is_in_the_console_of_its_partition() {
    for (region, console) in [
        ("ap-south-1", ".console.aws.amazon.com/"),
        ("cn-north-1", ".console.amazonaws.cn/"),
        ("us-gov-west-1", ".console.amazonaws-us-gov.com/"),
    ] {
        let environment = in_region(region);
        let api = template(&assembly_of(&environment), "-API-");
        let url = api["Outputs"]["DashboardUrl"]["Value"]["Fn::Sub"].as_str();
        assert!(url.unwrap().contains(console), "{url:?}");
    }
}

#[test]
fn no_template_is_for_one_partition_alone() {
    for assembly in assemblies() {
        for stack in &assembly.stacks {
            for of_commercial in ["arn:aws:", "s3.amazonaws.com"] {
                let found = stack.template.replace(KEY, "").contains(of_commercial);
                assert!(!found, "{}: {of_commercial}", stack.name);
            }
        }
    }
}

#[test]
fn stacks_find_each_other_by_name_only() {
    for assembly in assemblies() {
        for stack in &assembly.stacks {
            assert!(
                !stack.template.contains("Fn::ImportValue"),
                "{}",
                stack.name
            );
            assert!(!stack.template.contains("\"Export\""), "{}", stack.name);
        }
    }
}

#[test]
fn no_account_and_no_region_is_written_into_a_template() {
    for assembly in assemblies() {
        for stack in &assembly.stacks {
            let template = stack.template.replace(KEY, "");
            assert!(!template.contains("000000000000"), "{}", stack.name);
            assert!(!template.contains("ap-south-1"), "{}", stack.name);
        }
    }
}

#[test]
fn tables_outlive_their_stack_encrypted_and_recoverable() {
    let resources = resources(&assembly_of(&environment("prod")));
    let tables = of_type(&resources, "AWS::DynamoDB::Table");
    assert_eq!(tables.len(), 3);
    for (id, table) in tables {
        let properties = &table["Properties"];
        assert_eq!(table["DeletionPolicy"], "Retain", "{id}");
        assert_eq!(table["UpdateReplacePolicy"], "Retain", "{id}");
        assert_eq!(properties["SSESpecification"]["SSEEnabled"], true, "{id}");
        assert_eq!(properties["DeletionProtectionEnabled"], true, "{id}");
        let recovery = &properties["PointInTimeRecoverySpecification"];
        assert_eq!(recovery["PointInTimeRecoveryEnabled"], true, "{id}");
    }
}

#[test]
fn a_star_stands_only_where_a_reason_stands() {
    for assembly in assemblies() {
        for (id, policy) in of_type(&resources(&assembly), "AWS::IAM::Policy") {
            let statements = policy["Properties"]["PolicyDocument"]["Statement"]
                .as_array()
                .unwrap();
            let stars = statements.iter().filter(|s| s["Resource"] == "*");
            let explained = policy["Metadata"]["Reasons"]["AnyResource"].is_string();
            assert_eq!(stars.count() > 0, explained, "{id}");
            let actions = statements.iter().map(|s| s["Action"].to_string());
            assert!(actions.clone().all(|action| !action.contains('*')), "{id}");
        }
    }
}

fn alarm_names(assembly: &Assembly) -> BTreeSet<String> {
    let alarms = of_type(&resources(assembly), "AWS::CloudWatch::Alarm");
    let names = alarms.into_iter().map(|(_, alarm)| {
        let name = alarm["Properties"]["AlarmName"].as_str();
        name.unwrap().to_owned()
    });
    names.collect()
}

#[test]
fn every_alarm_notifies_the_one_topic_of_trouble_and_of_recovery() {
    let assembly = assembly_of(&environment("test"));
    let names = alarm_names(&assembly);
    let expected = [
        "complical-access-log-idle-test",
        "complical-aggregator-dead-letters-test",
        "complical-aggregator-duration-test",
        "complical-aggregator-failures-test",
        "complical-aggregator-idle-test",
        "complical-aggregator-tick-test",
        "complical-alert-dead-letters-test",
        "complical-alert-queue-idle-test",
        "complical-analytics-table-throttles-test",
        "complical-authorizer-duration-test",
        "complical-authorizer-throttles-test",
        "complical-background-throttles-test",
        "complical-concurrency-test",
        "complical-dead-letters-test",
        "complical-deliveries-failed-test",
        "complical-fold-age-test",
        "complical-gateway-errors-test",
        "complical-items-parked-test",
        "complical-iterator-age-test",
        "complical-keys-table-throttles-test",
        "complical-no-tracking-success-test",
        "complical-notifier-failures-test",
        "complical-processed-not-incoming-test",
        "complical-processing-failures-test",
        "complical-processing-latency-test",
        "complical-processor-duration-test",
        "complical-reconcile-dead-letters-test",
        "complical-reconcile-queue-age-test",
        "complical-reconcile-queue-idle-test",
        "complical-reconciled-calls-test",
        "complical-reconciler-failures-test",
        "complical-records-failed-test",
        "complical-shard-scaler-tick-test",
        "complical-shard-scaling-failures-test",
        "complical-shard-scaling-refused-test",
        "complical-stream-write-throttles-test",
        "complical-tracking-failures-test",
        "complical-undecided-calls-test",
        "complical-usage-table-throttles-test",
    ];
    assert_eq!(names, expected.map(str::to_owned).into());
    for (id, alarm) in of_type(&resources(&assembly), "AWS::CloudWatch::Alarm") {
        let properties = &alarm["Properties"];
        assert_eq!(properties["AlarmActions"], properties["OKActions"], "{id}");
        let told = properties["AlarmActions"].to_string();
        assert!(
            told.contains("complical-alarms-test") || told.contains("AlarmTopic"),
            "{id}"
        );
    }
}

fn dashboard(assembly: &Assembly) -> Value {
    let api = template(assembly, "-API-");
    let body = &api["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"];
    serde_json::from_str(body.as_str().unwrap()).unwrap()
}

#[test]
fn the_dashboard_shows_every_alarm_of_its_mode() {
    for assembly in assemblies() {
        let body = dashboard(&assembly);
        let shown = body["widgets"][0]["properties"]["alarms"].as_array();
        let shown = shown.unwrap().iter().map(|arn| {
            let (_, name) = arn.as_str().unwrap().rsplit_once(':').unwrap();
            name.to_owned()
        });
        assert_eq!(shown.collect::<BTreeSet<_>>(), alarm_names(&assembly));
    }
}

#[test]
fn synchronous_mode_lacks_nothing_but_the_stream() {
    let stream = assembly_of(&environment("test"));
    let synchronous = assembly_of(&environment("test").with_analytics(Some(false)));
    assert_eq!(
        template(&stream, "-Data-"),
        template(&synchronous, "-Data-")
    );
    let ids = |assembly: &Assembly| {
        let api = template(assembly, "-API-");
        let ids = api["Resources"].as_object().unwrap().keys();
        // The id of a policy ends in a digest of its content.
        let ids = ids.map(|id| id.split_once("Grants").map_or(id.as_str(), |(of, _)| of));
        ids.map(str::to_owned).collect::<BTreeSet<_>>()
    };
    assert_eq!(ids(&stream), ids(&synchronous));

    let shown = dashboard(&synchronous).to_string();
    for of_stream in ["AWS/Kinesis", "StreamProcessor", "complical-usage-dlq"] {
        assert!(dashboard(&stream).to_string().contains(of_stream));
        assert!(!shown.contains(of_stream), "{of_stream}");
    }
}

#[test]
fn folds_are_woken_by_new_entries_of_the_journal_alone() {
    let data = template(&assembly_of(&environment("prod")), "-Data-");
    let properties = |id: &str| data["Resources"][id]["Properties"].clone();
    let stream = &properties("AnalyticsTable")["StreamSpecification"];
    assert_eq!(stream["StreamViewType"], "KEYS_ONLY");

    let source = properties("RealtimeAggregatorSource");
    let pattern = source["FilterCriteria"]["Filters"][0]["Pattern"].as_str();
    let pattern: Value = serde_json::from_str(pattern.unwrap()).unwrap();
    let expected = json!({
        "eventName": ["INSERT", "MODIFY"],
        "dynamodb": {"Keys": {"PK": {"S": [{"prefix": "JOURNAL#"}]}}},
    });
    assert_eq!(pattern, expected);
    assert_eq!(source["MaximumBatchingWindowInSeconds"], 60);
    assert_eq!(source["BisectBatchOnFunctionError"], true);
    let responses = &source["FunctionResponseTypes"];
    assert_eq!(*responses, json!(["ReportBatchItemFailures"]));
    assert_eq!(
        properties("RealtimeAggregator")["Timeout"],
        domain::names::FOLD_SECONDS
    );
}

#[test]
fn lines_of_the_access_log_meet_in_few_batches() {
    let api = template(&assembly_of(&environment("prod")), "-API-");
    let properties = |id: &str| api["Resources"][id]["Properties"].clone();
    // Each message carries its own delay.
    let queue = properties("ReconcileQueue");
    assert_eq!(queue["DelaySeconds"], Value::Null);
    let source = properties("ReconcilerSource");
    assert_eq!(source["BatchSize"], 1_000);
    assert_eq!(source["ScalingConfig"]["MaximumConcurrency"], 2);
    let window = source["MaximumBatchingWindowInSeconds"].as_u64().unwrap();
    assert!(window >= 1, "a batch of more than ten needs a window");
    let timeout = properties("Reconciler")["Timeout"].as_u64().unwrap();
    assert_eq!(queue["VisibilityTimeout"], 6 * timeout + window);
}

#[test]
fn the_access_log_reports_each_call_and_whether_the_authorizer_was_asked() {
    let api = template(&assembly_of(&environment("test")), "-API-");
    let stage = &api["Resources"]["Stage"]["Properties"]["AccessLogSetting"];
    let format = stage["Format"].as_str().unwrap();
    // The gateway accepts lines of 3 KB and cuts longer ones.
    assert!(format.len() < 2_000, "{}", format.len());
    assert!(format.starts_with(r#"{"version":"3","extendedRequestId":"$context."#));
    let members: Value = serde_json::from_str(format).unwrap();
    for (member, variable) in [
        ("authorizerStatus", "$context.authorizer.status"),
        ("authorizerLatency", "$context.authorizer.latency"),
        ("authorizerRequestId", "$context.authorizer.requestId"),
        (
            "authorizerIntegrationStatus",
            "$context.authorizer.integrationStatus",
        ),
        ("authorizerError", "$context.authorizer.error"),
        ("eventId", "$context.authorizer.eventId"),
    ] {
        assert_eq!(members[member], variable, "{member}");
    }
}

#[test]
fn the_dashboard_fits_its_grid_and_no_id_is_there_twice() {
    let body = dashboard(&assembly_of(&environment("test")));
    let widgets = body["widgets"].as_array().unwrap();
    let mut ids = BTreeSet::new();
    for widget in widgets {
        let right = widget["x"].as_u64().unwrap() + widget["width"].as_u64().unwrap();
        assert!(right <= 24, "{widget}");
        for row in widget["properties"]["metrics"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let id = row.as_array().unwrap().last().unwrap()["id"]
                .as_str()
                .unwrap();
            assert!(ids.insert(id.to_owned()), "`{id}` is there twice");
        }
    }
    assert!(ids.len() > 20, "{ids:?}");
}

#[test]
fn the_authorizer_says_its_mode() {
    let says = |enabled| {
        let environment = environment("test").with_analytics(Some(enabled));
        let api = template(&assembly_of(&environment), "-API-");
        api["Resources"]["ApiKeyAuthorizerFunction"]["Properties"]["Description"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(
        says(true),
        "Kinesis-enabled authorizer for real-time analytics"
    );
    assert_eq!(
        says(false),
        "Enhanced authorizer with synchronous usage tracking"
    );
}

#[test]
fn the_api_is_deployed_anew_only_when_it_changes() {
    let deployment = |environment: &Environment| {
        let api = template(&assembly_of(environment), "-API-");
        let ids = api["Resources"].as_object().unwrap().keys();
        ids.into_iter()
            .find(|id| id.starts_with("Deployment"))
            .unwrap()
            .clone()
    };
    let before = deployment(&environment("test"));
    assert_eq!(before, deployment(&environment("test")));
    let stream_off = environment("test").with_analytics(Some(false));
    assert_eq!(before, deployment(&stream_off));
    assert_ne!(
        before,
        deployment(&parsed("upstream: https://api.example.com"))
    );
}

/// Everything that holds calls, or carries them in transit.
#[test]
fn with_a_key_everything_that_is_stored_is_encrypted_with_it() {
    let resources = resources(&assembly_of(&secured()));
    let mut encrypted = 0;
    for (kind, pointer) in [
        ("AWS::Kinesis::Stream", "/StreamEncryption/KeyId"),
        ("AWS::DynamoDB::Table", "/SSESpecification/KMSMasterKeyId"),
        ("AWS::SQS::Queue", "/KmsMasterKeyId"),
        ("AWS::SNS::Topic", "/KmsMasterKeyId"),
        ("AWS::Logs::LogGroup", "/KmsKeyId"),
        ("AWS::SecretsManager::Secret", "/KmsKeyId"),
    ] {
        for (id, resource) in of_type(&resources, kind) {
            assert_eq!(
                resource["Properties"].pointer(pointer),
                Some(&json!(KEY)),
                "{id}"
            );
            encrypted += 1;
        }
    }
    // A stream, three tables, six queues, a topic, the logs of ten functions and the gateway, and
    // the secrets of two webhooks.
    assert_eq!(encrypted, 1 + 3 + 6 + 1 + 11 + 2);
}

#[test]
fn each_webhook_has_a_secret_of_its_own_that_no_template_holds() {
    let data = template(&assembly_of(&secured()), "-Data-");
    let resources = data["Resources"].as_object().unwrap();
    let secrets = resources
        .values()
        .filter(|resource| resource["Type"] == "AWS::SecretsManager::Secret");
    let names: BTreeSet<&str> = secrets
        .map(|secret| {
            let properties = secret["Properties"].as_object().unwrap();
            assert!(!properties.contains_key("SecretString"), "{secret}");
            // Letters and digits of this number are Base64. Any change here would replace the
            // secret of every deployed endpoint.
            let punctuation = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";
            let generated = json!({
                "SecretStringTemplate": "{}",
                "GenerateStringKey": "current",
                "PasswordLength": 44,
                "ExcludePunctuation": true,
                "ExcludeCharacters": punctuation,
            });
            assert_eq!(properties["GenerateSecretString"], generated);
            assert_eq!(secret["DeletionPolicy"], Value::Null);
            properties["Name"].as_str().unwrap()
        })
        .collect();
    let expected = ["billing", "user-alerts"];
    let expected = expected.map(|name| format!("complical/webhooks/test/{name}"));
    assert_eq!(names, expected.iter().map(String::as_str).collect());
}

/// A function that reads or writes encrypted data needs permission to use its key.
#[test]
fn with_a_key_every_role_that_touches_data_may_use_it() {
    let resources = resources(&assembly_of(&secured()));
    for (id, policy) in of_type(&resources, "AWS::IAM::Policy") {
        let text = policy["Properties"]["PolicyDocument"].to_string();
        // The scaler counts shards and sees no record.
        let touches = [
            "dynamodb:",
            "kinesis:GetRecords",
            "kinesis:PutRecord",
            "secretsmanager:",
            "sqs:",
        ];
        let touches = touches.iter().any(|service| text.contains(service));
        assert_eq!(text.contains(KEY), touches, "{id}: {text}");
    }
}

#[test]
fn each_option_of_security_is_in_the_templates() {
    let secured = template(&assembly_of(&secured()), "-API-");
    let usual = template(&assembly_of(&environment("test")), "-API-");
    let property = |template: &Value, id: &str, name: &str| {
        template["Resources"][id]["Properties"][name].clone()
    };
    assert_eq!(property(&secured, "Stage", "TracingEnabled"), true);
    assert_eq!(property(&usual, "Stage", "TracingEnabled"), false);
    let mode = property(&secured, "ApiKeyAuthorizerFunction", "TracingConfig");
    assert_eq!(mode["Mode"], "Active");
    let policy = property(&secured, "Api", "SecurityPolicy");
    assert_eq!(policy, "SecurityPolicy_TLS13_1_3_2025_09");
    assert_eq!(property(&secured, "Api", "EndpointAccessMode"), "STRICT");
    assert_eq!(property(&usual, "Api", "SecurityPolicy"), Value::Null);
    let rule = &property(&secured, "Firewall", "Rules")[0];
    assert_eq!(rule["Statement"]["RateBasedStatement"]["Limit"], 10_000);
    assert!(rule["Action"]["Block"].is_object(), "{rule}");
    assert!(secured["Resources"]["FirewallAssociation"].is_object());
    assert_eq!(usual["Resources"]["Firewall"], Value::Null);
}

#[test]
fn one_key_cannot_use_up_the_account() {
    let api = template(&assembly_of(&environment("test")), "-API-");
    let every = &api["Resources"]["Stage"]["Properties"]["MethodSettings"][0];
    assert_eq!(every["ResourcePath"], "/*");
    assert_eq!(every["HttpMethod"], "*");
    assert_eq!(every["ThrottlingRateLimit"], 5_000.0);
    assert_eq!(every["ThrottlingBurstLimit"], 2_500);
    let throttled = &api["Resources"]["AnswerThrottled"]["Properties"];
    assert_eq!(throttled["StatusCode"], "429");
    let after = "gatewayresponse.header.Retry-After";
    assert_eq!(throttled["ResponseParameters"][after], "'1'");
    let reserved = |template: &Value, id: &str| {
        template["Resources"][id]["Properties"]["ReservedConcurrentExecutions"].clone()
    };
    assert_eq!(reserved(&api, "ApiKeyAuthorizerFunction"), Value::Null);
    let secured = template(&assembly_of(&secured()), "-API-");
    assert_eq!(reserved(&secured, "ApiKeyAuthorizerFunction"), 100);
    assert_eq!(reserved(&secured, "AnalyticsApi"), 10);
    assert_eq!(reserved(&secured, "Reconciler"), 5);
}

#[test]
fn functions_write_json_and_lambda_itself_warnings_alone() {
    for assembly in assemblies() {
        for (id, function) in of_type(&resources(&assembly), "AWS::Lambda::Function") {
            let logging = &function["Properties"]["LoggingConfig"];
            assert_eq!(logging["LogFormat"], "JSON", "{id}");
            assert_eq!(logging["SystemLogLevel"], "WARN", "{id}");
            // To Lambda, metrics are lines of this level.
            assert_eq!(logging["ApplicationLogLevel"], "INFO", "{id}");
        }
    }
}

/// The security findings of a linter, with the reason beside each for as long as it remains.
#[test]
fn findings_of_linters_are_explained_where_they_are_and_gone_with_their_options() {
    let findings = |environment: &Environment| {
        let resources = resources(&assembly_of(environment));
        let findings = resources.iter().flat_map(|(_, resource)| {
            let skipped = resource["Metadata"]["checkov"]["skip"].as_array();
            skipped.cloned().unwrap_or_default()
        });
        let findings = findings.map(|finding| {
            assert!(finding["comment"].as_str().unwrap().len() > 20, "{finding}");
            finding["id"].as_str().unwrap().to_owned()
        });
        findings.collect::<BTreeSet<_>>()
    };
    let usual = findings(&environment("test"));
    let secured = findings(&secured());
    let gone: Vec<&str> = usual.difference(&secured).map(String::as_str).collect();
    let optional = [
        "CKV_AWS_119",
        "CKV_AWS_158",
        "CKV_AWS_26",
        "CKV_AWS_27",
        "CKV_AWS_73",
    ];
    assert_eq!(gone, optional);
    assert!(secured.is_subset(&usual));
}

#[test]
fn what_the_embedded_aws_leaves_out_is_known() {
    let assembly = assembly_of(&environment("local"));
    let refused: Vec<String> = assembly
        .stacks
        .iter()
        .flat_map(stacks::StackArtifact::metric_math_alarms)
        .map(|id| id.to_string())
        .collect();
    let math: Vec<String> = of_type(&resources(&assembly), "AWS::CloudWatch::Alarm")
        .into_iter()
        .filter(|(_, alarm)| alarm["Properties"]["Metrics"].is_array())
        .map(|(id, _)| id)
        .collect();
    assert_eq!(refused, math);
    assert_eq!(refused.len(), 15);
}

#[test]
fn the_api_before_an_upstream() {
    let assembly = assembly_of(&parsed(OWN_API));
    let api = template(&assembly, "-API-");
    let is_gateways = |resource: &Value| {
        let kind = resource["Type"].as_str().unwrap();
        kind.starts_with("AWS::ApiGateway::") && kind != "AWS::ApiGateway::Deployment"
    };
    let resources = api["Resources"].as_object().unwrap().iter();
    let resources = resources.filter(|(id, resource)| is_gateways(resource) && *id != "Stage");
    let resources: serde_json::Map<String, Value> = resources
        .map(|(id, resource)| (id.clone(), resource.clone()))
        .collect();
    insta::assert_snapshot!(
        "CompliCal-API-test-upstream",
        format!("{:#}", Value::Object(resources))
    );
    let variables =
        &api["Resources"]["ApiKeyAuthorizerFunction"]["Properties"]["Environment"]["Variables"];
    assert_eq!(
        variables["ROUTES"],
        "2 GET / 1 POST /users 1 GET /search 10 GET /users/{id} 1"
    );
    assert_eq!(
        variables["RESERVED_HEADERS"],
        "x-user x-plan x-event-id x-usage-secret"
    );
}

/// The resources of the gateway in a template, for a snapshot.
fn of_http_api(line: &str) -> String {
    let api = template(&assembly_of(&parsed(line)), "-API-");
    let resources = api["Resources"].as_object().unwrap().iter();
    let of_gateway = |resource: &Value| {
        let kind = resource["Type"].as_str().unwrap();
        assert!(!kind.starts_with("AWS::ApiGateway::"), "{kind}");
        kind.starts_with("AWS::ApiGatewayV2::") || kind == "AWS::Lambda::Permission"
    };
    let resources: serde_json::Map<String, Value> = resources
        .filter(|(_, resource)| of_gateway(resource))
        .map(|(id, resource)| (id.clone(), resource.clone()))
        .collect();
    format!("{:#}", Value::Object(resources))
}

#[test]
fn an_http_api_before_the_sample_and_before_an_upstream() {
    insta::assert_snapshot!("CompliCal-API-test-http", of_http_api("gateway: http"));
    let upstream = format!("{OWN_API}\ngateway: http");
    insta::assert_snapshot!("CompliCal-API-test-http-upstream", of_http_api(&upstream));
}

/// A cached answer is an uncounted call, and so is a call that the gateway refuses by itself.
#[test]
fn an_http_apis_authorizer_is_asked_every_time() {
    let resources = resources(&assembly_of(&parsed("gateway: http")));
    let [(_, authorizer)] = &of_type(&resources, "AWS::ApiGatewayV2::Authorizer")[..] else {
        panic!("one authorizer");
    };
    let set = &authorizer["Properties"];
    assert_eq!(set["AuthorizerResultTtlInSeconds"], 0);
    assert_eq!(set["AuthorizerPayloadFormatVersion"], "2.0");
    assert_eq!(set["EnableSimpleResponses"], true);
    assert!(set.get("IdentitySource").is_none());
}

/// The metrics of each kind have other names and dimensions.
#[test]
fn alarms_watch_the_metrics_of_the_gateway_that_is_there() {
    let watched = |line: &str| {
        let resources = resources(&assembly_of(&parsed(line)));
        let alarms = of_type(&resources, "AWS::CloudWatch::Alarm");
        let metrics = alarms.iter().flat_map(|(_, alarm)| {
            let metrics = alarm["Properties"]["Metrics"].as_array().cloned();
            metrics.unwrap_or_default()
        });
        let metrics = metrics.map(|query| query["MetricStat"]["Metric"].clone());
        let metrics = metrics.filter(|metric| metric["Namespace"] == "AWS/ApiGateway");
        let said = metrics.map(|metric| {
            let name = metric["MetricName"].as_str().unwrap().to_owned();
            (name, metric["Dimensions"].to_string())
        });
        said.collect::<BTreeSet<(String, String)>>()
    };
    let of = |metrics: [&str; 2], dimensions: Value| {
        let dimensions = dimensions.to_string();
        BTreeSet::from(metrics.map(|metric| (metric.to_owned(), dimensions.clone())))
    };
    let stage = json!({"Name": "Stage", "Value": "test"});
    let rest = json!([{"Name": "ApiName", "Value": "CompliCal-API-test"}, stage]);
    assert_eq!(watched(""), of(["Count", "5XXError"], rest));
    let http = json!([{"Name": "ApiId", "Value": {"Ref": "HttpApi"}}, stage]);
    assert_eq!(watched("gateway: http"), of(["Count", "5xx"], http));
}

/// A part of another kind under the same logical id would make CloudFormation refuse the change.
#[test]
fn a_change_of_the_gateway_changes_the_type_of_no_resource() {
    let types = |line: &str| {
        let resources = resources(&assembly_of(&parsed(&format!("{OWN_API}\n{line}"))));
        let types = resources.into_iter();
        types
            .map(|(id, resource)| (id, resource["Type"].as_str().unwrap().to_owned()))
            .collect::<std::collections::BTreeMap<_, _>>()
    };
    let (rest, http) = (types("gateway: rest"), types("gateway: http"));
    for (id, kind) in &http {
        assert!(rest.get(id).is_none_or(|of_rest| of_rest == kind), "{id}");
    }
    let account = |of: &std::collections::BTreeMap<String, String>| {
        of.values().any(|kind| kind == "AWS::ApiGateway::Account")
    };
    assert!(
        account(&rest) && !account(&http),
        "HTTP APIs log without the account's role"
    );
}

#[test]
fn the_gateways_of_apis_that_exist_may_ask_the_authorizer() {
    let api = template(&assembly_of(&parsed(OWN_API)), "-API-");
    for id in ["a1b2c3d4e5", "f6g7h8i9j0"] {
        let permission = &api["Resources"][format!("Attached{id}Permission")]["Properties"];
        assert_eq!(permission["Action"], "lambda:InvokeFunction");
        assert_eq!(permission["Principal"], "apigateway.amazonaws.com");
        let source = format!(
            "arn:${{AWS::Partition}}:execute-api:${{AWS::Region}}:${{AWS::AccountId}}:{id}/authorizers/*"
        );
        assert_eq!(permission["SourceArn"]["Fn::Sub"], source);
    }
}

#[test]
fn what_attach_prints_for_an_http_api() {
    use stacks::attach::Language;
    let http = |language| tests::synthesised::snippet(domain::gateway::Gateway::Http, language);
    insta::assert_snapshot!("attach-http-cdk", http(Language::Cdk));
    insta::assert_snapshot!("attach-http-sam", http(Language::Sam));
    insta::assert_snapshot!("attach-http-terraform", http(Language::Terraform));
    insta::assert_snapshot!("attach-http-openapi", http(Language::OpenApi));
}

#[test]
fn what_attach_prints_for_a_rest_api() {
    use stacks::attach::Language;
    let rest = |language| tests::synthesised::snippet(domain::gateway::Gateway::Rest, language);
    insta::assert_snapshot!("attach-rest-cdk", rest(Language::Cdk));
    insta::assert_snapshot!("attach-rest-sam", rest(Language::Sam));
    insta::assert_snapshot!("attach-rest-terraform", rest(Language::Terraform));
    insta::assert_snapshot!("attach-rest-openapi", rest(Language::OpenApi));
    insta::assert_snapshot!("attach-rest-rust", rest(Language::Rust));
}

#[test]
fn the_secret_of_an_upstream_is_named_and_never_held() {
    let assembly = assembly_of(&parsed(OWN_API));
    let api = template(&assembly, "-API-");
    for method in ["Upstream", "UpstreamRoot"] {
        let integration = &api["Resources"][method]["Properties"]["Integration"];
        assert_eq!(
            integration["RequestParameters"]["integration.request.header.x-usage-secret"],
            "'{{resolve:secretsmanager:example/upstream:SecretString:token}}'"
        );
    }
}

#[test]
fn routes_that_do_not_fit_a_functions_variables_are_refused_with_what_was_measured() {
    use std::fmt::Write as _;
    let mut text = "upstream:\n  url: https://api.example.com\n  routes:\n".to_owned();
    for number in 0..400_u32 {
        let noise = number.wrapping_mul(2_654_435_761);
        let _ = writeln!(
            text,
            "    - GET /{noise:x}/{{id}}/{:x}",
            noise.rotate_left(13)
        );
    }
    let path = tests::synthesised::root().join("stacks/environments/test.yaml");
    let file = std::fs::read_to_string(&path).unwrap();
    let error = Environment::parse("test", &path, &format!("{file}{text}")).unwrap_err();
    let error = error.to_string();
    assert!(error.contains("`ROUTES` takes "), "{error}");
    assert!(error.contains("4096 are allowed"), "{error}");
}

#[test]
fn the_callers_key_does_not_reach_the_upstream() {
    let api = template(
        &assembly_of(&parsed("upstream: https://api.example.com")),
        "-API-",
    );
    let integration = &api["Resources"]["Upstream"]["Properties"]["Integration"];
    assert_eq!(integration["Type"], "HTTP_PROXY");
    assert_eq!(integration["Uri"], "https://api.example.com/{proxy}");
    let parameters = &integration["RequestParameters"];
    assert_eq!(
        parameters["integration.request.header.x-api-key"],
        "'withheld'"
    );
}
