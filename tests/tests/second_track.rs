//! The access log as the second track of every call, on the deployed system: it recovers what the
//! stream never received, and reports the responses to calls.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{Dimension, Statistic};
use aws_sdk_cloudwatchlogs::types::InputLogEvent;
use domain::access_log::{self, Line};
use domain::names::context;
use serde_json::Value;
use tests::place::Place;
use tests::system::{System, event, log_line};

/// How long a count may take to appear.
const PATIENCE: Duration = Duration::from_mins(1);
/// The gateway's access log.
const ACCESS_LOG: &str = "/aws/apigateway/CompliCal-API-local/access";

/// The lines of the access log that name an event of `email`, by status.
async fn logged(system: &System, email: &str) -> BTreeMap<u64, u64> {
    let logs = aws_sdk_cloudwatchlogs::Client::new(&system.sdk().await);
    let mut lines = BTreeMap::new();
    let mut events = logs
        .filter_log_events()
        .log_group_name(ACCESS_LOG)
        .into_paginator()
        .send();
    while let Some(page) = events.next().await {
        for event in page.unwrap().events() {
            let message = event.message().unwrap();
            let line = Line::read(message).unwrap();
            let status: u64 = line.get(access_log::STATUS).unwrap().parse().unwrap();
            let id = line.get(context::EVENT_ID);
            if line.get(context::EMAIL).as_deref() == Some(email) {
                lines.insert(id.unwrap().into_owned(), status);
            }
        }
    }
    let mut statuses = BTreeMap::new();
    for status in lines.into_values() {
        *statuses.entry(status).or_default() += 1;
    }
    statuses
}

async fn write_lines(system: &System, lines: &[String]) {
    let logs = aws_sdk_cloudwatchlogs::Client::new(&system.sdk().await);
    let stream = logs
        .create_log_stream()
        .log_group_name(ACCESS_LOG)
        .log_stream_name("test");
    // An earlier one may exist.
    let _ = stream.send().await;
    let now = jiff::Timestamp::now().as_millisecond();
    let event = |line: &String| {
        let event = InputLogEvent::builder().timestamp(now).message(line);
        event.build().unwrap()
    };
    let put = logs
        .put_log_events()
        .log_group_name(ACCESS_LOG)
        .log_stream_name("test");
    let put = put.set_log_events(Some(lines.iter().map(event).collect()));
    put.send().await.unwrap();
}

/// Calls that only the log reported, according to the metric.
async fn reconciled(system: &System) -> f64 {
    let metrics = aws_sdk_cloudwatch::Client::new(&system.sdk().await);
    let now = jiff::Timestamp::now().as_second();
    let of = metrics
        .get_metric_statistics()
        .namespace("CompliCal/Kinesis")
        .metric_name("ReconciledCalls")
        .dimensions(
            Dimension::builder()
                .name("Environment")
                .value("local")
                .build(),
        )
        .start_time(DateTime::from_secs(now - 3_600))
        .end_time(DateTime::from_secs(now + 60))
        .period(60)
        .statistics(Statistic::Sum);
    let points = of.send().await.unwrap();
    points
        .datapoints()
        .iter()
        .filter_map(aws_sdk_cloudwatch::types::Datapoint::sum)
        .sum()
}

/// Queries until calls and statuses match. Returns the response body.
async fn until_answered(system: &System, question: &str, expected: &BTreeMap<u64, u64>) -> Value {
    let start = Instant::now();
    loop {
        let body = system.analytics(question).await;
        let statuses = body["statuses"].as_array().unwrap().iter();
        let number = |of: &Value, member: &str| of[member].as_u64().unwrap();
        let statuses: BTreeMap<u64, u64> = statuses
            .map(|of| (number(of, "status"), number(of, "count")))
            .collect();
        let calls: u64 = expected.values().sum();
        if number(&body, "totalCalls") == calls && statuses == *expected {
            return body;
        }
        assert!(
            number(&body, "totalCalls") <= calls && start.elapsed() < PATIENCE,
            "expected {expected:?}: {body}"
        );
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// The authorizers that run in this place.
fn authorizers(place: &Place) -> Vec<String> {
    let running = std::fs::read_dir("/proc").unwrap().flatten();
    running
        .filter(|process| {
            let exe = std::fs::read_link(process.path().join("exe"));
            exe.is_ok_and(|exe| exe.starts_with(place.dir()))
        })
        .filter(|process| {
            let environment = std::fs::read(process.path().join("environ")).unwrap_or_default();
            String::from_utf8_lossy(&environment)
                .contains("AWS_LAMBDA_FUNCTION_NAME=CompliCal-API-local-ApiKeyAuthorizerFunction")
        })
        .filter_map(|process| process.file_name().into_string().ok())
        .collect()
}

/// `events` prints each call in the journal once, although both tracks report it.
fn events_are_printed_once(system: &System, calls: usize, of_log_alone: usize) {
    let events = system.events("--from 1h --user Ann@example.com");
    let text = |event: &Value, pointer: &str| event.pointer(pointer).cloned();
    let ids: Vec<String> = events
        .iter()
        .map(|event| event["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids.len(), calls + of_log_alone);
    assert!(ids.is_sorted(), "{ids:?}");
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
    for event in &events {
        assert_eq!(event["subject"], "ann@example.com", "{event:#}");
        assert_eq!(event["data"]["status"], 200, "{event:#}");
        assert!(event["data"]["latencyMs"].is_u64(), "{event:#}");
    }
    let reported = events.iter();
    let reported = reported.filter(|event| text(event, "/data/requestId").is_some());
    assert_eq!(reported.count(), calls);

    let lines = system.place.run("events --from 1h --user ann@example.com");
    assert_eq!(lines.code, Some(0), "{lines:#?}");
    let lines: Vec<Value> = lines
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines, events);
    let nobody = system.events("--from 1h --user nobody@example.com");
    assert_eq!(nobody, [] as [Value; 0]);
    assert_eq!(system.events("--from 3h --to 2h"), [] as [Value; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn second_track_recovers_calls_that_no_stream_saw_and_adds_their_responses() {
    let system = System::deploy();
    let email = "ann@example.com";
    let question = "user-stats?email=ann@example.com";
    let secret = system.key(email)["key"].as_str().unwrap().to_owned();

    // Both tracks report every call: each is counted once, with its status and latency.
    let statuses = system.call(Some(&secret), 60).await;
    assert_eq!(statuses, BTreeMap::from([(200, 60)]));
    let stats = until_answered(&system, question, &BTreeMap::from([(200, 60)])).await;
    assert!(stats["latency"]["p99"].as_u64() >= stats["latency"]["p50"].as_u64());
    assert!(stats["latency"]["p50"].is_u64(), "{stats}");

    // The log alone, each line twice.
    let lines: Vec<String> = (0..5).map(|number| log_line(&event(number))).collect();
    write_lines(&system, &lines).await;
    write_lines(&system, &lines).await;
    until_answered(&system, question, &BTreeMap::from([(200, 65)])).await;
    events_are_printed_once(&system, 60, 5);
    // Authorizers die at any moment, some between their response and their report.
    let killing = async {
        for _ in 0..40 {
            tokio::time::sleep(Duration::from_millis(150)).await;
            for process in authorizers(&system.place) {
                let kill = std::process::Command::new("kill")
                    .args(["-9", &process])
                    .status();
                kill.unwrap();
            }
        }
    };
    let calling = async {
        for _ in 0..30 {
            system.call(Some(&secret), 8).await;
        }
    };
    tokio::join!(killing, calling);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let logged = logged(&system, email).await;
    assert!(logged.values().sum::<u64>() > 100, "{logged:?}");
    until_answered(&system, question, &logged).await;
    // Reported by the tick after the minute in which the lines of those calls arrived.
    let start = Instant::now();
    while reconciled(&system).await < 5.0 {
        assert!(start.elapsed() < 3 * PATIENCE, "no `ReconciledCalls`");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
