//! The fate of lines in every state of table and queue.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use domain::access_log as log;
use domain::delivery::QUEUE_POSITION;
use domain::event::{EventType, UsageEvent};
use domain::fold::{FoldedMinute, MinuteFold};
use domain::gateway::Gateway;
use domain::names::context;
use domain::sample;
use domain::table::{self, JOURNAL_PREFIX, JournalKey, attribute};
use domain::time::Window;
use flate2::Compression;
use flate2::read::GzEncoder;
use runtime::memory::{Fault, MemoryStore};
use runtime::queue::SendError;
use runtime::store::Value;

use super::*;
use crate::invocation::LogEvent;

/// 2026-11-22T16:04:05.007Z.
const NOW: UnixMillis = UnixMillis(1_795_363_445_007);

#[derive(Clone, Default)]
struct MemoryQueue {
    sent: Arc<Mutex<Vec<(String, u32)>>>,
    refuses: bool,
}

impl Queue for MemoryQueue {
    async fn send(&self, body: String, delay_seconds: u32) -> Result<(), SendError> {
        if self.refuses {
            let source = "injected".into();
            return Err(SendError { source });
        }
        self.sent.lock().unwrap().push((body, delay_seconds));
        Ok(())
    }
}

type Memory = Reconciler<MemoryStore, MemoryQueue>;

fn reconciler() -> Memory {
    Reconciler {
        journal: Journal {
            store: MemoryStore::default(),
            retention_days: 90,
        },
        queue: MemoryQueue::default(),
        source: "/complical/test/api".to_owned(),
        window_seconds: 300,
    }
}

fn without_queue() -> Memory {
    let mut reconciler = reconciler();
    reconciler.queue.refuses = true;
    reconciler
}

fn event(number: u64) -> UsageEvent {
    sample::event(number, "ann@example.com", EventType::ApiCall, NOW)
}

/// The line of an event with response 200 after 40 ms.
fn line(event: &UsageEvent) -> String {
    let data = &event.data;
    log::write(Gateway::Rest, |member| match member {
        context::EVENT_ID => event.id.to_string(),
        context::KEY_ID => data.key_id.clone().unwrap(),
        context::PLAN => data.plan.clone().unwrap(),
        context::MODE => data.mode.to_string(),
        context::EMAIL => event.subject.to_string(),
        log::METHOD => data.method.clone(),
        log::RESOURCE_PATH => data.endpoint.clone(),
        log::IP => data.ip.clone(),
        log::STAGE => data.stage.clone().unwrap(),
        log::STATUS | log::AUTHORIZER_STATUS | log::INTEGRATION_STATUS => "200".to_owned(),
        log::RESPONSE_LATENCY => "40".to_owned(),
        _ => log::ABSENT.to_owned(),
    })
}

fn data(lines: impl IntoIterator<Item = String>) -> LogData {
    let log = |(number, message): (usize, String)| LogEvent {
        id: format!("line-{number}"),
        message,
    };
    LogData {
        message_type: MessageType::DataMessage,
        log_group: "access".to_owned(),
        log_stream: "s".to_owned(),
        log_events: lines.into_iter().enumerate().map(log).collect(),
    }
}

fn message(id: &str, body: impl Into<String>) -> Message {
    Message {
        message_id: id.to_owned(),
        body: body.into(),
    }
}

/// A message for each group of lines.
fn messages<const N: usize>(groups: [Vec<String>; N]) -> Vec<Message> {
    let groups = groups.into_iter().enumerate();
    groups
        .map(|(number, lines)| message(&format!("m{number}"), data(lines).pack().remove(0)))
        .collect()
}

fn entries(reconciler: &Memory) -> Vec<(UnixMillis, Vec<u8>)> {
    let mut entries = Vec::new();
    reconciler.journal.store.each_document(|key, document| {
        if let Some(JournalKey::Entry(minute, _)) = JournalKey::parse(&key.pk, &key.sk) {
            let facts = document.attributes.iter();
            let mut facts = facts.filter(|(name, _)| *name == attribute::FACTS);
            let Some((_, Value::Bytes(facts))) = facts.next() else {
                unreachable!("an entry has facts");
            };
            entries.push((minute, facts.clone()));
        }
    });
    entries
}

/// The fold of the minute of `NOW`.
fn folded(reconciler: &Memory) -> FoldedMinute {
    let minute = Window::Minute.start(NOW);
    let mut fold = MinuteFold::new(minute);
    for (_, facts) in entries(reconciler) {
        fold.add(&facts, true).unwrap();
    }
    fold.finish()
}

/// Accepted calls, how many of them have a status, and repeated facts.
fn counts(reconciler: &Memory) -> (u64, u64, u64) {
    let everybody = folded(reconciler).everybody;
    let statuses = everybody.counts.responses.statuses.values().sum();
    (everybody.counts.tally.calls, statuses, everybody.repeats)
}

/// The position and the reason of each record set aside.
fn errors(reconciler: &Memory) -> Vec<(String, String)> {
    let mut errors = Vec::new();
    reconciler.journal.store.each_document(|key, document| {
        if key.pk != table::ERRORS {
            return;
        }
        let reason = document.attributes.iter();
        let mut reason = reason.filter(|(name, _)| *name == attribute::REASON);
        let Some((_, Value::Text(reason))) = reason.next() else {
            unreachable!("an error has a reason");
        };
        errors.push((key.sk.clone(), reason.clone()));
    });
    errors
}

/// Refuses every write into partitions that start with `prefix`.
fn refuse(reconciler: &Memory, prefix: &'static str) {
    reconciler.journal.store.inject(move |_, key| {
        if key.pk.starts_with(prefix) {
            Fault::Refused
        } else {
            Fault::None
        }
    });
}

fn appended(appended: u64) -> Report {
    Report {
        appended,
        ..Report::default()
    }
}

#[tokio::test]
async fn the_subscriptions_lines_go_to_the_queue_unread() {
    let reconciler = reconciler();
    let data = data([line(&event(1)), "not a line".to_owned()]);
    let report = reconciler.forward(&data, NOW).await.unwrap();
    assert_eq!(report, Report::default());
    assert_eq!(reconciler.journal.store.keys(), []);
    let sent = reconciler.queue.sent.lock().unwrap();
    let [(body, _)] = sent.as_slice() else {
        unreachable!("one message: {sent:?}");
    };
    assert_eq!(LogData::read(body).unwrap(), data);
}

#[tokio::test]
async fn messages_wait_until_the_next_multiple_of_the_window() {
    for (window, now, delay) in [
        (300, "2026-11-22T16:04:05.007Z", 55),
        (300, "2026-11-22T16:04:59.999Z", 1),
        (300, "2026-11-22T16:05:00Z", 300),
        (60, "2026-11-22T16:04:05Z", 55),
        (900, "2026-11-22T16:04:05Z", 655),
        // SQS delays a message by 900 seconds at most.
        (3_600, "2026-11-22T16:04:05Z", 655),
        (0, "2026-11-22T16:04:05Z", 0),
    ] {
        let mut reconciler = reconciler();
        reconciler.window_seconds = window;
        let lines = data([line(&event(1))]);
        let now = now.parse().unwrap();
        reconciler.forward(&lines, now).await.unwrap();
        let sent = reconciler.queue.sent.lock().unwrap();
        let delays: Vec<u32> = sent.iter().map(|(_, delay)| *delay).collect();
        assert_eq!(delays, [delay], "{window} at {now}");
    }
}

#[tokio::test]
async fn a_control_message_holds_no_lines() {
    let reconciler = without_queue();
    let mut trial = data(["CWL CONTROL MESSAGE".to_owned()]);
    trial.message_type = MessageType::ControlMessage;
    let report = reconciler.forward(&trial, NOW).await.unwrap();
    assert_eq!(report, Report::default());
    assert_eq!(reconciler.journal.store.keys(), []);
}

#[tokio::test]
async fn an_invocation_that_cannot_be_read_is_an_error() {
    let reconciler = reconciler();
    let invocation = serde_json::from_str(r#"{"awslogs": {"data": "bm90IGd6aXA="}}"#).unwrap();
    let error = reconciler.handle(&invocation, NOW).await.unwrap_err();
    assert!(matches!(error, InvocationError::Unreadable(_)), "{error:?}");
}

#[tokio::test]
async fn without_the_queue_lines_are_appended_as_they_come() {
    let reconciler = without_queue();
    let lines = data([line(&event(1)), "not a line".to_owned(), line(&event(2))]);
    let expected = Report {
        appended: 2,
        set_aside: vec!["line-1".to_owned()],
    };
    let report = reconciler.forward(&lines, NOW).await.unwrap();
    assert_eq!(report, expected);
    assert_eq!(counts(&reconciler), (2, 2, 0));
    for prefix in [JOURNAL_PREFIX, table::ERRORS] {
        refuse(&reconciler, prefix);
        let error = reconciler.forward(&lines, NOW).await.unwrap_err();
        assert!(matches!(error, InvocationError::Table(_)), "{error:?}");
    }
}

#[tokio::test]
async fn the_lines_of_many_messages_are_one_entry() {
    let reconciler = reconciler();
    let messages = messages([
        vec![line(&event(1)), line(&event(2))],
        vec![line(&event(3))],
        vec![line(&event(4))],
    ]);
    for _ in 0..2 {
        let (answer, report) = reconciler.append(&messages, NOW).await;
        assert_eq!((answer, report), (BatchAnswer::default(), appended(4)));
        assert_eq!(entries(&reconciler).len(), 1);
    }
    assert_eq!(counts(&reconciler), (4, 4, 0));
}

#[tokio::test]
async fn a_call_that_both_report_counts_once_and_one_that_only_the_log_reports_counts() {
    let reconciler = reconciler();
    let reported = event(1);
    let reported = reported.borrowed();
    let mut packer = Packer::default();
    packer.report(&reported);
    reconciler.journal.append(packer, NOW).await.unwrap();
    let messages = messages([vec![line(&event(1)), line(&event(2))]]);
    reconciler.append(&messages, NOW).await;
    let folded = folded(&reconciler);
    assert_eq!(folded.conflicts, []);
    let everybody = folded.everybody;
    assert_eq!(everybody.counts.tally.calls, 2);
    assert_eq!(everybody.unreported, 1);
    assert_eq!(
        everybody.counts.responses.statuses,
        BTreeMap::from([(200, 2)])
    );
}

#[tokio::test]
async fn a_line_redelivered_in_another_batch_counts_once() {
    let reconciler = reconciler();
    let lines = [1, 2, 3].map(|number| line(&event(number)));
    let [one, two, three] = lines;
    for groups in [
        [vec![one.clone()], vec![two.clone(), three.clone()]],
        [vec![three.clone()], vec![one.clone(), one]],
        [vec![two], vec![three]],
    ] {
        reconciler.append(&messages(groups), NOW).await;
    }
    assert_eq!(entries(&reconciler).len(), 3);
    assert_eq!(counts(&reconciler), (3, 3, 5));
}

#[tokio::test]
async fn an_uncountable_line_is_set_aside_once_and_its_neighbours_count() {
    let reconciler = reconciler();
    let of = |time| sample::event(3, "ann@example.com", EventType::ApiCall, time);
    let old = of(NOW.plus_days(-7).plus_millis(-1));
    let early = of(NOW.plus_millis(5 * 60_000 + 1));
    let mut messages = messages([
        vec!["not a line".to_owned(), line(&event(1))],
        vec![line(&old), line(&event(2)), line(&early)],
    ]);
    messages.push(message("m2", "not lines"));
    for _ in 0..2 {
        let (answer, report) = reconciler.append(&messages, NOW).await;
        assert_eq!(answer, BatchAnswer::default());
        let set_aside = ["line-0", "line-0", "line-2", "m2"];
        assert_eq!(
            (report.appended, report.set_aside),
            (2, set_aside.map(str::to_owned).into())
        );
    }
    assert_eq!(counts(&reconciler), (2, 2, 0));
}

#[tokio::test]
async fn a_record_is_set_aside_under_its_place_in_the_log_or_in_the_queue() {
    let reconciler = reconciler();
    let old = sample::event(3, "ann@example.com", EventType::ApiCall, NOW.plus_days(-8));
    let mut messages = messages([vec!["not a line".to_owned(), line(&event(1)), line(&old)]]);
    messages.push(message("m1", "not lines"));
    reconciler.append(&messages, NOW).await;
    let expected = [
        ("access/s#line-0".to_owned(), "malformed"),
        ("access/s#line-2".to_owned(), "tooOld"),
        (format!("{QUEUE_POSITION}#m1"), "malformed"),
    ];
    let expected = expected.map(|(place, reason)| (place, reason.to_owned()));
    assert_eq!(errors(&reconciler), expected);
}

#[tokio::test]
async fn if_the_append_fails_every_message_is_redelivered() {
    let reconciler = reconciler();
    refuse(&reconciler, JOURNAL_PREFIX);
    let messages = messages([vec![line(&event(1))], vec!["not a line".to_owned()]]);
    let (answer, report) = reconciler.append(&messages, NOW).await;
    assert_eq!(answer, BatchAnswer::failed(["m0", "m1"]));
    assert_eq!(report.appended, 0);
    refuse(&reconciler, "nothing");
    let (answer, report) = reconciler.append(&messages, NOW).await;
    assert_eq!((answer, report.appended), (BatchAnswer::default(), 1));
    assert_eq!(errors(&reconciler).len(), 1);
}

#[tokio::test]
async fn a_message_whose_line_cannot_be_set_aside_is_redelivered_and_delays_no_other() {
    let reconciler = reconciler();
    refuse(&reconciler, table::ERRORS);
    let poison = || "not a line".to_owned();
    let mut messages = messages([
        vec![line(&event(1))],
        vec![poison(), line(&event(2)), poison()],
    ]);
    messages.push(message("m2", "not lines"));
    let (answer, report) = reconciler.append(&messages, NOW).await;
    assert_eq!(answer, BatchAnswer::failed(["m1", "m2"]));
    assert_eq!(report, appended(2));
    assert_eq!(counts(&reconciler), (2, 2, 0));
}

#[tokio::test]
async fn a_refusal_of_the_gateways_own_counts_once() {
    let reconciler = reconciler();
    let refusal = |id: &str| {
        log::write(Gateway::Rest, |member| match member {
            log::EXTENDED_REQUEST_ID => id.to_owned(),
            log::REQUEST_TIME => NOW.0.to_string(),
            log::IP => "192.0.2.9".to_owned(),
            log::STATUS => "403".to_owned(),
            log::RESPONSE_TYPE => "WAF_FILTERED".to_owned(),
            _ => log::ABSENT.to_owned(),
        })
    };
    let messages = messages([vec![refusal("a"), refusal("b")], vec![refusal("a")]]);
    for _ in 0..2 {
        reconciler.append(&messages, NOW).await;
    }
    let folded = folded(&reconciler);
    assert_eq!(folded.everybody.counts.tally.auth_failures, 2);
    assert_eq!(folded.addresses["192.0.2.9"].failures.auth_failures, 2);
}

#[tokio::test]
async fn an_operator_gets_the_outcome_and_lambda_the_metrics() {
    let reconciler = reconciler();
    let of = |report_outcome: bool| Invocation::Queue {
        records: messages([vec![line(&event(1)), "not a line".to_owned()]]),
        report_outcome,
    };
    let (answer, values) = reconciler.handle(&of(false), NOW).await.unwrap();
    assert_eq!(answer, BatchAnswer::default());
    assert_eq!(values, [Metric::count("RecordsFailed", 1)]);
    let (answer, values) = reconciler.handle(&of(true), NOW).await.unwrap();
    let outcome = Outcome {
        appended: 1,
        set_aside: vec!["line-1".to_owned()],
    };
    assert_eq!(answer.outcome, Some(outcome));
    assert_eq!(values, []);
}

#[tokio::test]
async fn a_subscriptions_delivery_ends_as_a_message_of_the_queue_and_then_in_the_journal() {
    let reconciler = reconciler();
    let json = serde_json::to_vec(&data([line(&event(1))])).unwrap();
    let mut packed = Vec::new();
    let mut gzip = GzEncoder::new(json.as_slice(), Compression::fast());
    std::io::Read::read_to_end(&mut gzip, &mut packed).unwrap();
    let delivered = format!(
        r#"{{"awslogs": {{"data": "{}"}}}}"#,
        BASE64_STANDARD.encode(packed)
    );
    let invocation = serde_json::from_str(&delivered).unwrap();
    let (answer, _) = reconciler.handle(&invocation, NOW).await.unwrap();
    assert_eq!(answer, BatchAnswer::default());
    let sent = std::mem::take(&mut *reconciler.queue.sent.lock().unwrap());
    let records = sent
        .into_iter()
        .map(|(body, _)| message("m0", body))
        .collect();
    let invocation = Invocation::Queue {
        records,
        report_outcome: false,
    };
    reconciler.handle(&invocation, NOW).await.unwrap();
    assert_eq!(counts(&reconciler), (1, 1, 0));
}
