//! The deployed system over HTTP: every call of every user counts once, and nothing remains on the
//! machine.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use domain::log_size;
use domain::names::Function;
use serde_json::json;
use tests::system::{Hours, System, deploy, event, json_of};

/// How soon the usage table shows a call, with the window of `local`.
const CURRENT: Duration = Duration::from_secs(2);

/// The usage table shows a user's hour in plain attributes within two seconds of a call.
async fn usage_table_is_current(system: &System) {
    let email = "fay@example.com";
    let key = system.key(email);
    for calls in 1..=4 {
        let statuses = system.call(key["key"].as_str(), 1).await;
        let answered = Instant::now();
        assert_eq!(statuses, BTreeMap::from([(200, 1)]));
        let expected = Hours {
            total_calls: calls,
            units: calls,
            ..Hours::default()
        };
        loop {
            let (shown, took) = (system.hours(email).await, answered.elapsed());
            // The first call may wait for functions to start.
            assert!(took < CURRENT || calls == 1, "{took:?}: {shown:?}");
            if shown == expected {
                break;
            }
            assert!(shown.total_calls < calls, "{shown:?}");
            assert!(took < CURRENT * 10, "{took:?}: {shown:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_of_every_user_is_counted_once() {
    let mut system = System::deploy();
    assert_eq!(system.text("/mode"), "stream");
    let calls: BTreeMap<&str, usize> = BTreeMap::from([
        ("ann@example.com", 240),
        ("bob+sales@example.com", 120),
        ("cem@example.com", 90),
        ("dee@example.com", 49),
        ("eve@example.com", 1),
    ]);
    for (email, calls) in &calls {
        let key = system.key(email);
        let statuses = system.call(key["key"].as_str(), *calls).await;
        assert_eq!(statuses, BTreeMap::from([(200, *calls)]));
    }
    let refused = [None, Some("complical_nonsense"), Some("nonsense")];
    for key in refused {
        assert_eq!(system.call(key, 3).await, BTreeMap::from([(401, 3)]));
    }

    let total: usize = calls.values().sum();
    assert_eq!(total, 500);
    for (email, calls) in &calls {
        let question = format!("user-stats?email={}", email.replace('+', "%2B"));
        let stats = system.until(&question, "/totalCalls", *calls as u64).await;
        assert_eq!(
            stats["methods"],
            json!([{"method": "GET", "totalCalls": calls}])
        );
        assert_eq!(
            stats["endpoints"],
            json!([{"endpoint": "/v1/deadlines", "totalCalls": calls}])
        );
        assert_eq!(stats["currentPeriod"]["calls"], json!(calls));
    }
    system
        .until_sum(
            "timeseries?granularity=minute&duration=1h",
            "totalCalls",
            500,
        )
        .await;
    system
        .until_sum("timeseries?granularity=hour&duration=1h", "totalCalls", 500)
        .await;
    system
        .until_sum("timeseries?granularity=day&duration=1d", "totalCalls", 500)
        .await;
    system
        .until_sum(
            "timeseries?granularity=minute&duration=1h",
            "authFailures",
            9,
        )
        .await;
    let realtime = system.analytics("realtime").await;
    assert_eq!(
        realtime["suspiciousIps"][0]["authFailures"], 9,
        "{realtime}"
    );

    // A record that a producer puts twice counts once; a record that is not an event is kept
    // verbatim.
    let extra = event(1).to_json();
    let poison = b"\xffnot an event".to_vec();
    system
        .put(&[extra.clone(), poison.clone(), extra, event(2).to_json()])
        .await;
    system
        .until("user-stats?email=ann@example.com", "/totalCalls", 242)
        .await;
    assert_eq!(system.set_aside().await, [poison]);
    usage_table_is_current(&system).await;

    let again = system.place.run("deploy");
    assert_eq!(again.code, Some(0), "{again:#?}");
    assert!(again.stderr.contains("nothing changed"), "{again:#?}");
    system
        .until("user-stats?email=ann@example.com", "/totalCalls", 242)
        .await;

    let traffic = json_of(&system.place.run("traffic --rps 40 --duration 5s --json"));
    assert_eq!(traffic["sent"], 200, "{traffic}");
    assert_eq!(
        (&traffic["counted"], &traffic["missing"], &traffic["extra"]),
        (&json!(200), &json!(0), &json!(0))
    );

    calls_are_checked(&system);
    logs_are_as_large_as_priced(&system).await;
    system.end_as_if_killed();
    assert!(!system.place.dir().exists());
    let call = system.client.get(system.url("deadlines")).send().await;
    assert!(call.is_err(), "{call:?}");
}

/// The calls of functions, and those that Lambda makes under their roles, pass the check of rights.
fn calls_are_checked(system: &System) {
    for (function, action) in [
        (Function::Authorizer, "kinesis:PutRecord"),
        (Function::Authorizer, "dynamodb:GetItem"),
        (Function::Processor, "kinesis:GetRecords"),
        (Function::Processor, "dynamodb:PutItem"),
        (Function::Aggregator, "dynamodb:GetRecords"),
        (Function::Reconciler, "sqs:SendMessage"),
        (Function::Analytics, "dynamodb:Query"),
        (Function::Analytics, "logs:PutLogEvents"),
    ] {
        let allowed = system.strict.allowed(&System::function(function));
        assert!(allowed.contains(action), "{function:?}: {allowed:?}");
    }
}

/// The average size of a log group's lines that contain a text, as CloudWatch Logs bills them. The
/// local host writes Lambda's REPORT lines too, which AWS does not at the level that the stacks set.
async fn line_size(system: &System, group: &str, part: &str) -> u64 {
    let logs = aws_sdk_cloudwatchlogs::Client::new(&system.sdk().await);
    let mut pages = logs
        .filter_log_events()
        .log_group_name(group)
        .into_paginator()
        .send();
    let (mut lines, mut bytes) = (0, 0);
    while let Some(page) = pages.next().await {
        let page = page.unwrap();
        let messages = page.events().iter().map(|line| line.message().unwrap());
        for message in messages.filter(|message| message.contains(part)) {
            lines += 1;
            bytes += message.len() as u64 + log_size::OVERHEAD;
        }
    }
    assert!(lines > 0, "{group}");
    bytes / lines
}

/// `cargo xtask cost` prices lines at the size that they have, or a little more.
async fn logs_are_as_large_as_priced(system: &System) {
    let access = "/aws/apigateway/CompliCal-API-local/access".to_owned();
    let metrics = "\"_aws\"";
    for (group, part, priced) in [
        (access, "\"eventId\"", log_size::ACCESS),
        (
            log_of(Function::Authorizer),
            metrics,
            log_size::CALL_METRICS,
        ),
    ] {
        let size = line_size(system, &group, part).await;
        let usual = priced * 85 / 100..=priced;
        assert!(usual.contains(&size), "{group}: {size} of {priced}");
    }
    for function in [Function::Processor, Function::Aggregator] {
        let size = line_size(system, &log_of(function), metrics).await;
        assert!(size <= log_size::OTHER_METRICS, "{function:?}: {size}");
    }
}

fn log_of(function: Function) -> String {
    format!("/aws/lambda/{}", System::function(function))
}

/// A stack is deleted and deployed again, although something wrote to its log group in between: AWS
/// recreates a deleted group for the next line.
async fn stack_goes_and_comes_again(system: &mut System) {
    let ended = system.place.run("destroy CompliCal-Kinesis-local --yes");
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let logs = aws_sdk_cloudwatchlogs::Client::new(&system.sdk().await);
    let group = "/aws/lambda/CompliCal-Kinesis-local-StreamProcessor";
    let create = logs.create_log_group().log_group_name(group);
    create.send().await.unwrap();
    let again = system.place.run("deploy --yes --json");
    assert!(again.stderr.contains(group), "{again:#?}");
    system.outputs = json_of(&again);
    let groups = logs.describe_log_groups().log_group_name_prefix(group);
    let groups = groups.send().await.unwrap();
    let kept = groups.log_groups()[0].retention_in_days();
    assert!(kept.is_some(), "the stack's own: {groups:?}");
}

/// `destroy --keep-data` ends everything that runs, and the next deploy adopts the tables.
async fn data_outlives_the_stacks(system: &mut System) {
    let ended = system.place.run("destroy --keep-data");
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let call = system.client.get(system.url("deadlines")).send().await;
    assert!(call.is_err(), "{call:?}");
    system.outputs = deploy(&system.place);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stacks_go_and_come_again_and_counts_stay() {
    let mut system = System::deploy();
    let key = system.key("ann@example.com");
    let question = "user-stats?email=ann@example.com";
    let secret = key["key"].as_str().unwrap().to_owned();
    let mut calls = 0;
    for goes in [true, false] {
        let statuses = system.call(Some(&secret), 30).await;
        assert_eq!(statuses, BTreeMap::from([(200, 30)]));
        calls += 30;
        system.until(question, "/totalCalls", calls).await;
        if goes {
            stack_goes_and_comes_again(&mut system).await;
        }
    }
    let days = "timeseries?granularity=day&duration=2d&email=ann@example.com";
    system.until_sum(days, "totalCalls", calls).await;
    let minutes = "timeseries?granularity=minute&duration=1h";
    system.until_sum(minutes, "totalCalls", calls).await;

    let id = key["id"].as_str().unwrap();
    json_of(&system.place.run(&format!("keys revoke {id} --yes --json")));
    let revoked = Instant::now();
    while system.call(Some(&secret), 1).await.contains_key(&200) {
        calls += 1;
        assert!(
            revoked.elapsed() < Duration::from_secs(30),
            "a revoked key is let through"
        );
        tokio::time::sleep(Duration::from_secs(1)).await;
    }

    data_outlives_the_stacks(&mut system).await;
    assert_eq!(
        system.call(Some(&secret), 1).await,
        BTreeMap::from([(401, 1)])
    );
    system.until(question, "/totalCalls", calls).await;

    let kept = json_of(&system.place.run("status --json"));
    assert_eq!(kept["mode"], "stream", "{kept}");
    let ended = system.place.run("destroy --yes");
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let endpoint = system.text("/local/awsEndpoint");
    assert!(
        system.client.get(endpoint).send().await.is_err(),
        "the local AWS still answers"
    );
    assert!(
        system
            .client
            .get(system.url("deadlines"))
            .send()
            .await
            .is_err()
    );
    let again = system.place.run("destroy --yes");
    assert_eq!(again.code, Some(0), "{again:#?}");
    assert!(again.stderr.contains("nothing is deployed"), "{again:#?}");
}
