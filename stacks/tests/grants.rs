//! Grants: the fewest actions, on exactly the requested resource.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;

use serde_json::{Value, json};
use stacks::FileAsset;
use stacks::cfn::existing;
use stacks::constructs::{
    Architecture, Capacity, Encryption, EncryptionKey, Function, FunctionLog, FunctionSettings,
    Index, Key, Projection, Queue, QueueKind, QueueSettings, Stack, Stream, StreamSettings,
    StreamView, Table, TableSettings, Topic,
};

/// The id and the declaration of a function's policy.
fn policy_of<'a>(function: &str, template: &'a Value) -> (&'a str, &'a Value) {
    let mut resources = template["Resources"].as_object().unwrap().iter();
    let prefix = format!("{function}Grants");
    let policy = resources.find(|(id, _)| id.starts_with(&prefix));
    policy.map(|(id, policy)| (id.as_str(), policy)).unwrap()
}

/// The statements of a function's role besides that for its log group.
fn granted(tracing: bool, grant: impl FnOnce(&mut Stack, &Function)) -> Vec<Value> {
    let template = worker(tracing, grant);
    let policy = policy_of("Worker", &template).1;
    let document = &policy["Properties"]["PolicyDocument"];
    let statements = document["Statement"].as_array().unwrap();
    assert_eq!(
        statements[0]["Resource"],
        json!({ "Fn::GetAtt": ["WorkerLogs", "Arn"] })
    );
    statements[1..].to_vec()
}

/// The template of a stack with one function.
fn worker(tracing: bool, grant: impl FnOnce(&mut Stack, &Function)) -> Value {
    let mut stack = Stack::new("Granted", "");
    let worker = Function::new(
        &mut stack,
        "Worker",
        FunctionSettings {
            name: "worker",
            description: "",
            code: FileAsset::new("worker.zip", "00", "assets"),
            architecture: Architecture::Arm64,
            memory: 128,
            timeout: 3,
            variables: BTreeMap::new(),
            log: FunctionLog::kept(30),
            reserved: None,
            tracing,
        },
    );
    grant(&mut stack, &worker);
    serde_json::from_str(&stack.synthesise().unwrap()).unwrap()
}

/// CloudFormation creates the policy of new grants before it updates the function, and deletes the
/// old one after all updates, because they are two resources.
#[test]
fn other_grants_are_another_policy_on_which_the_function_depends() {
    let write = |stack: &mut Stack, worker: &Function| {
        let settings = StreamSettings {
            retention_hours: 24,
            capacity: Capacity::OnDemand,
        };
        Stream::new(stack, "Stream", "usage", &settings, Encryption::Managed).grant_write(worker);
    };
    let templates = [
        worker(false, |_, _| {}),
        worker(false, write),
        worker(false, write),
    ];
    let ids = templates.each_ref().map(|template| {
        let (id, policy) = policy_of("Worker", template);
        let depends = &template["Resources"]["Worker"]["DependsOn"];
        assert_eq!(depends, &json!([id]));
        assert_eq!(policy["Properties"]["PolicyName"], id);
        assert_eq!(
            policy["Properties"]["Roles"],
            json!([{ "Ref": "WorkerRole" }])
        );
        assert_eq!(
            template["Resources"]["WorkerRole"]["Properties"]["Policies"],
            Value::Null
        );
        id
    });
    assert_ne!(ids[0], ids[1]);
    assert_eq!(ids[1], ids[2]);
}

#[test]
fn writing_to_a_stream_under_ones_own_key_grants_its_use_too() {
    let key = || Encryption::Key(existing("arn:aws:kms:eu-west-1:1:key/k").into());
    let statements = granted(false, |stack, worker| {
        let settings = StreamSettings {
            retention_hours: 24,
            capacity: Capacity::OnDemand,
        };
        Stream::new(stack, "Stream", "usage", &settings, key()).grant_write(worker);
    });
    assert_eq!(statements.len(), 2);
    assert_eq!(statements[0]["Action"], json!(["kinesis:PutRecord"]));
    assert_eq!(
        statements[0]["Resource"],
        json!({ "Fn::GetAtt": ["Stream", "Arn"] })
    );
    assert_eq!(statements[1]["Action"], json!(["kms:GenerateDataKey"]));
    assert_eq!(statements[1]["Resource"], "arn:aws:kms:eu-west-1:1:key/k");
}

#[test]
fn a_stream_of_another_stack_is_named_in_full() {
    let statements = granted(false, |_, worker| {
        Stream::named("usage").grant_write(worker);
    });
    let arn = "arn:${AWS::Partition}:kinesis:${AWS::Region}:${AWS::AccountId}:stream/usage";
    assert_eq!(statements.len(), 1);
    assert_eq!(statements[0]["Resource"], json!({ "Fn::Sub": arn }));
}

#[test]
fn querying_an_index_names_the_index() {
    let statements = granted(false, |_, worker| {
        Table::named("orders", ["byTime"]).grant_query_indexes(worker);
    });
    let arn =
        "arn:${AWS::Partition}:dynamodb:${AWS::Region}:${AWS::AccountId}:table/orders/index/byTime";
    assert_eq!(statements.len(), 1);
    assert_eq!(statements[0]["Action"], json!(["dynamodb:Query"]));
    assert_eq!(statements[0]["Resource"], json!({ "Fn::Sub": arn }));
}

#[test]
fn reading_a_tables_stream_does_not_reach_the_table() {
    let statements = granted(false, |stack, worker| {
        let settings = TableSettings {
            name: "orders",
            key: Key {
                partition: "PK",
                sort: None,
            },
            indexes: &[],
            expires: None,
            stream: Some(StreamView::Images),
            protected: true,
            encryption: Encryption::Managed,
        };
        Table::new(stack, "Table", &settings).grant_read_stream(worker);
    });
    assert_eq!(
        statements[0]["Resource"],
        json!({ "Fn::GetAtt": ["Table", "StreamArn"] })
    );
    let all = statements.iter().map(|s| s["Action"].to_string());
    assert!(all.clone().all(|actions| !actions.contains("Item")));
}

#[test]
fn sending_and_consuming_are_granted_apart() {
    let settings = QueueSettings {
        name: "orders",
        kind: QueueKind::Standard,
        dead_letters: None,
        encryption: Encryption::Managed,
    };
    let statements = granted(false, |stack, worker| {
        Queue::new(stack, "Orders", &settings).grant_send(worker);
    });
    assert_eq!(statements.len(), 1);
    assert_eq!(statements[0]["Action"], json!(["sqs:SendMessage"]));
}

/// The key that the tests of encryption declare, as a template refers to it.
fn the_key() -> Value {
    json!({ "Fn::GetAtt": ["Key", "Arn"] })
}

fn table_under_a_key(stack: &mut Stack) -> Table {
    let settings = TableSettings {
        name: "orders",
        key: Key {
            partition: "PK",
            sort: None,
        },
        indexes: &[Index {
            name: "byTime",
            key: Key {
                partition: "start",
                sort: None,
            },
            projection: Projection::Keys,
        }],
        expires: None,
        stream: Some(StreamView::Keys),
        protected: true,
        encryption: EncryptionKey::new(stack, "Key", "orders").encryption(),
    };
    Table::new(stack, "Table", &settings)
}

#[test]
fn a_table_under_ones_own_key_grants_its_use_through_dynamodb_only() {
    type Grant = fn(&Table, &Function);
    let grants: [(Grant, usize); 3] = [
        (|table, to| table.grant(to, ["dynamodb:GetItem"]), 2),
        (Table::grant_query_indexes, 2),
        // `ListStreams` too.
        (Table::grant_read_stream, 3),
    ];
    for (grant, expected) in grants {
        let statements = granted(false, |stack, worker| {
            grant(&table_under_a_key(stack), worker);
        });
        assert_eq!(statements.len(), expected, "{statements:?}");
        let keys: Vec<_> = statements
            .iter()
            .filter(|s| s["Resource"] == the_key())
            .collect();
        assert_eq!(keys.len(), 1, "{statements:?}");
        assert_eq!(
            keys[0]["Action"],
            json!(["kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey"])
        );
        let through = json!({ "Fn::Sub": "dynamodb.${AWS::Region}.amazonaws.com" });
        assert_eq!(
            keys[0]["Condition"],
            json!({ "StringEquals": { "kms:ViaService": through } })
        );
    }
}

#[test]
fn a_queue_under_ones_own_key_grants_what_sending_and_receiving_need_of_it() {
    let of = |grant: fn(&Queue, &Function)| {
        granted(false, |stack, worker| {
            let settings = QueueSettings {
                name: "orders",
                kind: QueueKind::Standard,
                dead_letters: None,
                encryption: EncryptionKey::new(stack, "Key", "orders").encryption(),
            };
            grant(&Queue::new(stack, "Orders", &settings), worker);
        })
    };
    let sending = of(Queue::grant_send);
    assert_eq!(sending.len(), 2);
    assert_eq!(
        sending[1]["Action"],
        json!(["kms:Decrypt", "kms:GenerateDataKey"])
    );
    assert_eq!(sending[1]["Resource"], the_key());
    let receiving = of(Queue::grant_consume);
    assert_eq!(receiving.len(), 2);
    assert_eq!(receiving[1]["Action"], json!(["kms:Decrypt"]));
    assert_eq!(receiving[1]["Resource"], the_key());
}

#[test]
fn a_topic_under_ones_own_key_lets_functions_and_alarms_publish() {
    let mut declared = Value::Null;
    let statements = granted(false, |stack, worker| {
        let services = ["cloudwatch.amazonaws.com"];
        let key = EncryptionKey::used_by(stack, "Key", "alarms", services);
        Topic::of_alarms(stack, "Topic", "alarms", None, &key.encryption()).grant_publish(worker);
        let template = stack.template().clone().finish().unwrap();
        declared = serde_json::from_str(&template).unwrap();
    });
    assert_eq!(statements[0]["Action"], json!(["sns:Publish"]));
    assert_eq!(
        statements[1]["Action"],
        json!(["kms:Decrypt", "kms:GenerateDataKey"])
    );
    assert_eq!(statements[1]["Resource"], the_key());

    let topic = &declared["Resources"]["Topic"]["Properties"];
    assert_eq!(topic["KmsMasterKeyId"], the_key());
    let key = &declared["Resources"]["Key"];
    assert_eq!(key["DeletionPolicy"], "Retain");
    assert_eq!(key["Properties"]["EnableKeyRotation"], true);
    let alarms = &key["Properties"]["KeyPolicy"]["Statement"][1];
    assert_eq!(
        alarms["Principal"],
        json!({ "Service": ["cloudwatch.amazonaws.com"] })
    );
    assert_eq!(
        alarms["Condition"],
        json!({ "StringEquals": { "aws:SourceAccount": { "Ref": "AWS::AccountId" } } })
    );
}

#[test]
fn tracing_is_granted_only_where_it_is_asked_for() {
    assert_eq!(granted(false, |_, _| {}), [] as [Value; 0]);
    let statements = granted(true, |_, _| {});
    assert_eq!(statements.len(), 1);
    assert_eq!(statements[0]["Resource"], "*");
}
