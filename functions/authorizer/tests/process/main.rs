//! The authorizer as Lambda runs it: the real binary against a Runtime API, an Extensions API and
//! an AWS simulated by the test.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod lambda;

use std::time::Duration;

use base64::Engine as _;
use domain::entry::{Facts, events};
use domain::event::{EventType, UsageEvent};
use domain::key::{ApiKey, KeyDetails, KeyRecord};
use domain::time::UnixMillis;
use serde_json::json;

use lambda::{Behaviour, Happened, Lambda};

fn api_key() -> ApiKey {
    ApiKey::mint("complical", [7; 24])
}

fn record() -> KeyRecord {
    KeyRecord {
        key_hash: api_key().hash(),
        id: "key_1".to_owned(),
        prefix: api_key().shown().to_owned(),
        email: "ann@example.com".to_owned(),
        plan: "free".to_owned(),
        created_at: UnixMillis(1_795_363_445_000),
        expires_at: None,
        revoked_at: None,
        more: KeyDetails::default(),
    }
}

fn behaviour() -> Behaviour {
    Behaviour {
        key: Some(record()),
        ..Behaviour::default()
    }
}

fn position(happened: &[Happened], wanted: impl Fn(&Happened) -> bool) -> usize {
    let position = happened.iter().position(wanted);
    position.unwrap_or_else(|| panic!("it did not happen: {happened:#?}"))
}

fn event(happened: &[Happened]) -> UsageEvent {
    let events: Vec<&UsageEvent> = happened
        .iter()
        .filter_map(|happened| match happened {
            Happened::Put(event) => Some(event.as_ref()),
            _ => None,
        })
        .collect();
    assert_eq!(events.len(), 1, "{happened:#?}");
    events[0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_event_goes_out_after_the_answer_and_before_the_function_may_freeze() {
    let mut lambda = Lambda::start(behaviour(), &[]).await;
    for number in 0..3 {
        let happened = lambda.invoke(api_key().reveal()).await;
        let answered = position(&happened, |it| matches!(it, Happened::Answered(_)));
        let put = position(&happened, |it| matches!(it, Happened::Put(_)));
        let accepted = position(&happened, |it| *it == Happened::PutAnswered);
        let done = position(&happened, |it| *it == Happened::ExtensionDone);
        assert!(
            answered < put && put < accepted && accepted < done,
            "{happened:#?}"
        );
        let Happened::Answered(answer) = &happened[answered] else {
            unreachable!("its position was looked up");
        };
        let event = event(&happened);
        assert_eq!(event.event_type, EventType::ApiCall);
        assert_eq!(answer["context"]["eventId"], event.id.to_string());
        assert_eq!(answer["principalId"], "key_1");
        let looked_up = happened.contains(&Happened::LookedUp);
        assert_eq!(looked_up, number == 0, "the key is remembered");
    }
    let output = lambda.terminate().await;
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output.metrics("UsageTrackingSuccess"), [1, 1, 1]);
    assert_eq!(output.metrics("UsageTrackingFailure"), [] as [u64; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_gets_exactly_unauthorized_and_the_refusal_is_reported() {
    let mut lambda = Lambda::start(behaviour(), &[]).await;
    let happened = lambda.invoke("no key").await;
    let expected = json!({"errorType": "Unauthorized", "errorMessage": "Unauthorized"});
    assert!(
        happened.contains(&Happened::Failed(expected)),
        "{happened:#?}"
    );
    let event = event(&happened);
    assert_eq!(event.event_type, EventType::AuthFailed);
    assert_eq!(event.subject.as_str(), "ip:192.0.2.1");
    let output = lambda.terminate().await;
    assert_eq!(output.metrics("UsageTrackingSuccess"), [1]);
    assert_eq!(
        output.errors(),
        [] as [&str; 0],
        "a refusal is not an error"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_in_flight_is_still_sent_when_the_process_shuts_down() {
    let behaviour = Behaviour {
        put_takes: Duration::from_millis(200),
        ..behaviour()
    };
    let mut lambda = Lambda::start(behaviour, &[]).await;
    lambda.begin(api_key().reveal());
    lambda
        .until(|happened| matches!(happened, Happened::Put(_)))
        .await;
    let output = lambda.terminate().await;
    assert!(output.status.success(), "{output:?}");
    assert!(output.happened.contains(&Happened::PutAnswered));
    assert_eq!(output.metrics("UsageTrackingSuccess"), [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_extensions_api_the_event_goes_out_before_the_answer() {
    let behaviour = Behaviour {
        extensions: false,
        ..behaviour()
    };
    let mut lambda = Lambda::start(behaviour, &[]).await;
    let happened = lambda.invoke(api_key().reveal()).await;
    let accepted = position(&happened, |it| *it == Happened::PutAnswered);
    let answered = position(&happened, |it| matches!(it, Happened::Answered(_)));
    assert!(accepted < answered, "{happened:#?}");
    assert_eq!(event(&happened).event_type, EventType::ApiCall);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_synchronous_mode_the_event_is_appended_to_the_journal_after_the_answer() {
    let variables = [("TRACKING_MODE", "synchronous")];
    let mut lambda = Lambda::start(behaviour(), &variables).await;
    let happened = lambda.invoke(api_key().reveal()).await;
    let answered = position(&happened, |it| matches!(it, Happened::Answered(_)));
    let written = position(&happened, |it| matches!(it, Happened::Written { .. }));
    assert!(answered < written, "{happened:#?}");
    let (Happened::Answered(answer), Happened::Written { table, item }) =
        (&happened[answered], &happened[written])
    else {
        unreachable!("their positions were looked up");
    };
    assert_eq!(answer["context"]["mode"], "synchronous");
    assert_eq!(table, "complical-analytics-test");
    let [facts, details] = ["facts", "details"].map(|name| {
        let text = item[name]["B"].as_str().unwrap();
        base64::engine::general_purpose::STANDARD
            .decode(text)
            .unwrap()
    });
    let facts = Facts::read(&facts).unwrap();
    let events = events(&facts, &details).unwrap();
    let [(_, _, event)] = events.as_slice() else {
        panic!("one event: {events:?}");
    };
    assert_eq!(answer["context"]["eventId"], event.id.to_string());
    let output = lambda.terminate().await;
    assert_eq!(output.metrics("UsageTrackingSuccess"), [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_stream_and_tables_down_a_remembered_key_still_passes_and_the_event_is_logged() {
    let mut lambda = Lambda::start(behaviour(), &[("AWS_LAMBDA_LOG_LEVEL", "TRACE")]).await;
    lambda.invoke(api_key().reveal()).await;
    lambda.set_down();
    let happened = lambda.invoke(api_key().reveal()).await;
    let answered = position(&happened, |it| matches!(it, Happened::Answered(_)));
    let Happened::Answered(answer) = &happened[answered] else {
        unreachable!("its position was looked up");
    };
    let id = answer["context"]["eventId"].as_str().unwrap();
    let output = lambda.terminate().await;
    assert_eq!(output.metrics("UsageTrackingFailure"), [1]);
    let line = output.line("uncounted event");
    let event = UsageEvent::decode(line["event"].as_str().unwrap().as_bytes()).unwrap();
    assert_eq!(event.id.to_string(), id);
    assert_eq!(event.subject.as_str(), "ann@example.com");
    let key = api_key();
    let (_, secret) = key.reveal().split_once('_').unwrap();
    assert!(!output.stderr.contains(secret), "{}", output.stderr);
    assert!(!output.stdout.contains(secret), "{}", output.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_with_bad_settings_names_them_and_ends() {
    let lambda = Lambda::start(
        behaviour(),
        &[("TRACKING_MODE", "fast"), ("USAGE_STREAM", "")],
    )
    .await;
    let output = lambda.ended().await;
    assert_eq!(output.status.code(), Some(1));
    let line = output.line("the authorizer ends");
    let error = line["error"].as_str().unwrap();
    assert!(
        error.contains("`TRACKING_MODE` is `fast`, expected"),
        "{error}"
    );
    assert!(error.contains("`USAGE_STREAM` is ``, expected"), "{error}");
}
