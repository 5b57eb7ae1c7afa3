//! The deployed templates: snapshots for reviewers, and invariants of all of them.

mod gateway;
mod reports;
mod watching;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use stacks::environment::Architecture;
use stacks::{Assembly, Environment, synthesise, synthesise_unbuilt};
use tests::synthesised::{
    KEY, assembly_of, assets, environment, parsed, resources, secured, variants,
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

fn dashboard(assembly: &Assembly) -> Value {
    let api = template(assembly, "-API-");
    let body = &api["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"];
    serde_json::from_str(body.as_str().unwrap()).unwrap()
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
fn each_environment_has_a_bucket_of_its_own() {
    let names = ["test", "prod"].map(|name| stacks::assets_bucket(&environment(name)));
    assert_ne!(names[0], names[1]);
    assert!(names[0].starts_with("complical-assets-test-"), "{names:?}");
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
    let usual = findings(&parsed("reports: {weekly: true}"));
    let secured = findings(&secured());
    let gone: Vec<&str> = usual.difference(&secured).map(String::as_str).collect();
    let optional = [
        "CKV_AWS_119",
        "CKV_AWS_145",
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
