//! What becomes of lines, in every state of leaves, tables and queue.

use std::sync::{Arc, Mutex};

use domain::access_log::{self as log, MEMBERS};
use domain::event::Subject;
use domain::names::context;
use domain::response::Responses;
use domain::rollup::RollUp;
use domain::sample;
use domain::state;
use domain::table::{self, ItemKey, LEAF_PREFIX, attribute};
use runtime::counting;
use runtime::memory::{Call, Fault, MemoryStore};
use runtime::store::Value;

use super::*;

const NOW: UnixMillis = UnixMillis(1_795_363_445_007);
const STREAM: TrackingMode = TrackingMode::Stream;
const SYNCHRONOUS: TrackingMode = TrackingMode::Synchronous;

#[derive(Clone, Default)]
struct MemoryQueue {
    messages: Arc<Mutex<Vec<String>>>,
    refuses: bool,
}

impl Queue for MemoryQueue {
    async fn send(&self, body: String) -> Result<(), SendError> {
        if self.refuses {
            let source = "injected".into();
            return Err(SendError { source });
        }
        self.messages.lock().unwrap().push(body);
        Ok(())
    }
}

fn reconciler(refuses: bool) -> Reconciler<MemoryStore, MemoryQueue> {
    Reconciler {
        analytics: MemoryStore::default(),
        usage: MemoryStore::default(),
        queue: MemoryQueue {
            refuses,
            ..MemoryQueue::default()
        },
        source: "/complical/test/api".to_owned(),
        mode: STREAM,
        raw_retention_days: 90,
        limits: Limits::default(),
    }
}

fn event(number: u64, mode: TrackingMode) -> UsageEvent {
    let mut event = sample::event(number, "ann@example.com", EventType::ApiCall, NOW);
    event.data.mode = mode;
    event
}

fn line(members: &[(&str, String)]) -> String {
    let value = |member: &str| {
        let of = members.iter().find(|(known, _)| *known == member);
        of.map_or(log::ABSENT, |(_, value)| value)
    };
    let members = MEMBERS.map(|member| format!(r#""{member}":"{}""#, value(member)));
    format!("{{{}}}", members.join(","))
}

/// The line of an event that was answered with 200 in 40 ms.
fn line_of(event: &UsageEvent) -> String {
    let data = &event.data;
    line(&[
        (context::EVENT_ID, event.id.to_string()),
        (context::KEY_ID, data.key_id.clone().unwrap()),
        (context::PLAN, data.plan.clone().unwrap()),
        (context::MODE, data.mode.to_string()),
        (context::LANES, data.lanes.to_string()),
        (context::EMAIL, event.subject.to_string()),
        (log::REQUEST_TIME, event.time.0.to_string()),
        (log::METHOD, data.method.clone()),
        (log::RESOURCE_PATH, data.endpoint.clone()),
        (log::IP, data.ip.clone()),
        (log::STAGE, data.stage.clone().unwrap()),
        (log::STATUS, "200".to_owned()),
        (log::RESPONSE_LATENCY, "40".to_owned()),
        (log::AUTHORIZER_STATUS, "200".to_owned()),
        (log::INTEGRATION_STATUS, "200".to_owned()),
    ])
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

/// Calls and statuses of all leaves of a table.
fn leaves(table: &MemoryStore) -> (u64, Responses) {
    let (mut calls, mut responses) = (0, Responses::default());
    table.each_item(|key, stored| {
        if key.pk.starts_with(LEAF_PREFIX) {
            let leaf: Leaf = state::decode(&stored.state).unwrap();
            calls += leaf.tally().calls + leaf.tally().auth_failures;
            responses.merge(leaf.responses());
        }
    });
    (calls, responses)
}

fn reported(table: &MemoryStore) -> u64 {
    leaves(table).1.statuses.values().sum()
}

fn errors_of(table: &MemoryStore) -> Vec<(String, String)> {
    let kept = table.documents().into_iter();
    let kept = kept.filter(|(key, _)| key.pk == table::ERRORS);
    kept.map(|(key, document)| {
        let reason = document.attributes.into_iter();
        let reason = reason.filter(|(name, _)| *name == attribute::REASON);
        match reason.map(|(_, value)| value).next() {
            Some(Value::Text(reason)) => (key.sk, reason),
            _ => (key.sk, String::new()),
        }
    })
    .collect()
}

async fn count(table: &MemoryStore, events: &[UsageEvent]) {
    for (first, row) in counting::rows(events) {
        row.count(table, first).await.unwrap();
    }
}

fn messages(reconciler: &Reconciler<MemoryStore, MemoryQueue>) -> Vec<Message> {
    let bodies = std::mem::take(&mut *reconciler.queue.messages.lock().unwrap());
    let message = |(number, body): (usize, String)| Message {
        message_id: format!("message-{number}"),
        body,
    };
    bodies.into_iter().enumerate().map(message).collect()
}

#[tokio::test]
async fn a_call_that_a_leaf_holds_gets_its_response_once() {
    let reconciler = reconciler(false);
    let events = [event(1, STREAM), event(2, STREAM)];
    count(&reconciler.analytics, &events).await;
    for _ in 0..3 {
        let data = data(events.iter().map(line_of));
        let report = reconciler.deliver(&data, NOW).await.unwrap();
        let expected = Report {
            duplicates: 2,
            ..Report::default()
        };
        assert_eq!(report, expected);
    }
    let (calls, responses) = leaves(&reconciler.analytics);
    assert_eq!(calls, 2);
    assert_eq!(responses.statuses, BTreeMap::from([(200, 2)]));
    assert_eq!(responses.latency.count(), 2);
    assert!(messages(&reconciler).is_empty());
}

#[tokio::test]
async fn a_call_that_no_leaf_holds_waits_and_is_then_counted_once_and_kept_raw() {
    let reconciler = reconciler(false);
    let lines = [event(1, STREAM), event(2, STREAM)];
    let report = reconciler
        .deliver(&data(lines.iter().map(line_of)), NOW)
        .await
        .unwrap();
    assert_eq!(report, Report::default());
    assert_eq!(leaves(&reconciler.analytics).0, 0);
    // Meanwhile the stream brings one of them.
    count(&reconciler.analytics, &lines[..1]).await;
    let records = messages(&reconciler);
    let invocation = Invocation::Queue {
        records,
        report_outcome: false,
    };
    for counted in [1, 0] {
        let (answer, report) = reconciler.handle(&invocation, NOW).await.unwrap();
        assert_eq!(answer, Answer::default());
        let expected = (counted > 0).then_some((EventType::ApiCall, counted));
        assert_eq!(report.counted, expected.into_iter().collect());
    }
    assert_eq!(leaves(&reconciler.analytics).0, 2);
    assert_eq!(reported(&reconciler.analytics), 2);
    let documents = reconciler.analytics.documents();
    let [(key, chunk)] = documents.as_slice() else {
        unreachable!("one event is kept: {documents:?}");
    };
    assert!(key.pk.starts_with(&table::raw_start(NOW)), "{key:?}");
    let Some((_, Value::Bytes(bytes))) = chunk.attributes.first() else {
        unreachable!("a chunk has bytes");
    };
    let mut line = lines[1].to_json();
    line.push(b'\n');
    assert_eq!(raw::inflate(bytes).unwrap(), line);
}

#[tokio::test]
async fn without_the_queue_a_call_is_counted_as_soon_as_its_authorizer_has_ended() {
    let reconciler = reconciler(true);
    let data = data([line_of(&event(1, STREAM))]);
    let young = reconciler.deliver(&data, NOW.plus_millis(10_000)).await;
    assert!(matches!(young, Err(Undone::Queue(_))), "{young:?}");
    assert_eq!(leaves(&reconciler.analytics).0, 0);
    let report = reconciler.deliver(&data, NOW.plus_millis(10_001)).await;
    assert_eq!(report.unwrap().counted[&EventType::ApiCall], 1);
    assert_eq!(reported(&reconciler.analytics), 1);
}

#[tokio::test]
async fn a_synchronous_call_is_counted_and_rolled_up_where_the_authorizer_would() {
    let reconciler = reconciler(false);
    let known = [event(1, SYNCHRONOUS)];
    // Its authorizer died before it rolled up.
    count(&reconciler.usage, &known).await;
    let lines = data([line_of(&known[0]), line_of(&event(2, SYNCHRONOUS))]);
    reconciler.deliver(&lines, NOW).await.unwrap();
    let all_time = |expected: u64| {
        let key = ItemKey::all_time(&Subject::user("ann@example.com"));
        let stored = reconciler.usage.peek(&key).unwrap();
        let rolled: RollUp = state::decode(&stored.state).unwrap();
        assert_eq!(rolled.tally().calls, expected);
        assert_eq!(
            rolled.responses().statuses,
            BTreeMap::from([(200, expected)])
        );
    };
    all_time(1);
    let records = messages(&reconciler);
    let (_, report) = reconciler
        .handle(
            &Invocation::Queue {
                records,
                report_outcome: false,
            },
            NOW,
        )
        .await
        .unwrap();
    assert_eq!(report.counted[&EventType::ApiCall], 1);
    all_time(2);
    assert_eq!(reconciler.analytics.items(), []);
    assert_eq!(reconciler.analytics.documents(), []);
}

#[tokio::test]
async fn a_call_that_was_counted_without_stream_and_table_is_not_counted_again() {
    let reconciler = reconciler(false);
    count(&reconciler.usage, &[event(1, SYNCHRONOUS)]).await;
    let lines = data([line_of(&event(1, STREAM))]);
    let report = reconciler.settle(&lines, NOW).await.unwrap();
    let known = Report {
        duplicates: 1,
        ..Report::default()
    };
    assert_eq!(report, known);
    assert_eq!(reported(&reconciler.usage), 1);
    assert_eq!(reconciler.analytics.items(), []);
}

#[tokio::test]
async fn what_cannot_be_counted_is_set_aside_once_and_its_neighbours_go_on() {
    let reconciler = reconciler(false);
    let old = sample::event(3, "ann@example.com", EventType::ApiCall, NOW.plus_days(-8));
    let lines = data([
        "{not a line".to_owned(),
        line_of(&event(1, STREAM)),
        line_of(&old),
    ]);
    for _ in 0..2 {
        let report = reconciler.settle(&lines, NOW).await.unwrap();
        assert_eq!(report.set_aside.len(), 2);
    }
    assert_eq!(leaves(&reconciler.analytics).0, 1);
    let expected = [
        ("access/s#line-0", "malformed"),
        ("access/s#line-2", "tooOld"),
    ];
    let expected = expected.map(|(place, reason)| (place.to_owned(), reason.to_owned()));
    assert_eq!(errors_of(&reconciler.analytics), expected);
}

#[tokio::test]
async fn a_refusal_of_the_gateways_own_is_counted_at_once_and_once() {
    let reconciler = reconciler(false);
    let refusal = |id: &str| {
        line(&[
            (log::EXTENDED_REQUEST_ID, id.to_owned()),
            (log::REQUEST_TIME, NOW.0.to_string()),
            (log::IP, "192.0.2.9".to_owned()),
            (log::STATUS, "403".to_owned()),
            (log::RESPONSE_TYPE, "WAF_FILTERED".to_owned()),
        ])
    };
    let lines = data([refusal("a"), refusal("b"), refusal("a")]);
    for counted in [2, 0] {
        let report = reconciler.deliver(&lines, NOW).await.unwrap();
        assert_eq!(report.counted.values().sum::<u64>(), counted);
    }
    let key = ItemKey::new("LEAF#ip:192.0.2.9#0", "2026-11-22T16");
    let leaf: Leaf = state::decode(&reconciler.analytics.peek(&key).unwrap().state).unwrap();
    assert_eq!(leaf.tally().auth_failures, 2);
    assert!(messages(&reconciler).is_empty());
}

#[tokio::test]
async fn a_refusal_counts_once_in_whatever_modes_its_line_comes() {
    let refusal = line(&[
        (log::EXTENDED_REQUEST_ID, "a".to_owned()),
        (log::REQUEST_TIME, NOW.0.to_string()),
        (log::IP, "192.0.2.9".to_owned()),
        (log::STATUS, "403".to_owned()),
        (log::RESPONSE_TYPE, "WAF_FILTERED".to_owned()),
    ]);
    let lines = data([refusal]);
    for [first, then] in [[STREAM, SYNCHRONOUS], [SYNCHRONOUS, STREAM]] {
        let mut reconciler = reconciler(false);
        for (mode, counted) in [(first, 1), (then, 0), (first, 0)] {
            reconciler.mode = mode;
            let report = reconciler.deliver(&lines, NOW).await.unwrap();
            assert_eq!(report.counted.values().sum::<u64>(), counted, "{mode}");
            let report = reconciler.settle(&lines, NOW).await.unwrap();
            assert_eq!(report.counted.values().sum::<u64>(), 0, "{mode}");
        }
    }
    // In synchronous mode there may be no analytics table.
    let mut reconciler = reconciler(false);
    reconciler.mode = SYNCHRONOUS;
    let gone = |_: Call, _: &ItemKey| Fault::Missing;
    reconciler.analytics.inject(gone);
    for counted in [1, 0] {
        let report = reconciler.deliver(&lines, NOW).await.unwrap();
        assert_eq!(report.counted.values().sum::<u64>(), counted);
    }
    assert!(messages(&reconciler).is_empty());
}

#[tokio::test]
async fn whatever_a_table_does_not_say_waits_in_the_queue() {
    let reconciler = reconciler(false);
    count(&reconciler.analytics, &[event(1, STREAM)]).await;
    let failing = |fault: Fault| move |_: Call, _: &ItemKey| fault;
    reconciler.analytics.inject(failing(Fault::Refused));
    let lines = data([line_of(&event(1, STREAM)), "{not a line".to_owned()]);
    reconciler.deliver(&lines, NOW).await.unwrap();
    let records = messages(&reconciler);
    assert_eq!(records.len(), 1);
    let invocation = Invocation::Queue {
        records,
        report_outcome: false,
    };
    let (answer, _) = reconciler.handle(&invocation, NOW).await.unwrap();
    assert_eq!(answer, Answer::failed(["message-0"]));
    reconciler.analytics.inject(failing(Fault::None));
    let (answer, report) = reconciler.handle(&invocation, NOW).await.unwrap();
    let known = Report {
        duplicates: 1,
        set_aside: vec!["line-1".to_owned()],
        ..Report::default()
    };
    assert_eq!((answer, report), (Answer::default(), known));
    assert_eq!(reported(&reconciler.analytics), 1);
}

#[tokio::test]
async fn a_line_that_no_table_sets_aside_holds_up_no_other() {
    let reconciler = reconciler(true);
    count(&reconciler.analytics, &[event(1, STREAM)]).await;
    let keeps_nothing = |call: Call, key: &ItemKey| match call {
        Call::Put if key.pk == table::ERRORS => Fault::Refused,
        _ => Fault::None,
    };
    reconciler.analytics.inject(keeps_nothing);
    let lines = data(["{not a line".to_owned(), line_of(&event(1, STREAM))]);
    for _ in 0..2 {
        let undone = reconciler.deliver(&lines, NOW).await.unwrap_err();
        assert!(matches!(undone, Undone::Table(_)), "{undone:?}");
        assert_eq!(reported(&reconciler.analytics), 1);
    }
}

/// Nobody else does, once the mode is synchronous: there is no aggregator.
#[tokio::test]
async fn a_call_of_the_stream_is_rolled_up_where_the_mode_is_synchronous_by_then() {
    let mut reconciler = reconciler(false);
    reconciler.mode = SYNCHRONOUS;
    let lines = data([line_of(&event(1, STREAM))]);
    for _ in 0..2 {
        reconciler.settle(&lines, NOW).await.unwrap();
    }
    let subject = Subject::user("ann@example.com");
    for (table, key) in [
        (&reconciler.analytics, ItemKey::day(&subject, NOW)),
        (&reconciler.usage, ItemKey::month(&subject, NOW)),
        (&reconciler.usage, ItemKey::all_time(&subject)),
    ] {
        let stored = table.peek(&key).unwrap();
        let rolled: RollUp = state::decode(&stored.state).unwrap();
        assert_eq!(rolled.tally().calls, 1, "{key:?}");
        assert_eq!(rolled.responses().statuses[&200], 1, "{key:?}");
    }
}

#[tokio::test]
async fn a_trial_message_holds_no_lines() {
    let reconciler = reconciler(true);
    let mut trial = data(["CWL CONTROL MESSAGE".to_owned()]);
    trial.message_type = MessageType::ControlMessage;
    let report = reconciler.deliver(&trial, NOW).await.unwrap();
    assert_eq!(report, Report::default());
    assert_eq!(reconciler.analytics.documents(), []);
}
