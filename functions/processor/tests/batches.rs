//! Whether the stream repeats or splits its records, and whichever write fails: every event ends up
//! in the journal and counts once, and every other record is set aside.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};

use aws_lambda_events::event::kinesis::KinesisEventRecord;
use domain::delivery::{BatchAnswer, Outcome, REPORT_OUTCOME};
use domain::event::EventType;
use domain::fold::{FoldedMinute, MinuteFold};
use domain::sample;
use domain::table::{self, ItemKey, JournalKey, attribute};
use domain::time::{UnixMillis, Window};
use processor::handler::{Delivery, Processor, Report};
use proptest::prelude::*;
use proptest::sample::select;
use runtime::journal::Journal;
use runtime::memory::{Call, Fault, MemoryStore};
use runtime::metrics::Metric;
use runtime::store::{Document, Value};

const NOW: UnixMillis = UnixMillis(1_796_083_200_000);

fn processor() -> Processor<MemoryStore> {
    Processor {
        journal: Journal {
            store: MemoryStore::default(),
            retention_days: 90,
        },
    }
}

/// The record at a position of the stream.
fn record(position: usize, payload: impl Into<Vec<u8>>) -> KinesisEventRecord {
    let mut record = KinesisEventRecord::default();
    record.kinesis.sequence_number = sequence_number(position);
    record.kinesis.data.0 = payload.into();
    record.event_id = Some(format!("shardId-000000000000:{position:056}"));
    record
}

fn sequence_number(position: usize) -> String {
    format!("{position:056}")
}

fn event(number: u64, time: UnixMillis) -> Vec<u8> {
    sample::event(number, "ann@example.com", EventType::ApiCall, time).to_json()
}

/// Records of events at `NOW`, at consecutive positions.
fn events(numbers: std::ops::Range<u64>) -> Vec<KinesisEventRecord> {
    let numbers = numbers.map(|number| (usize::try_from(number).unwrap(), event(number, NOW)));
    numbers.map(|(at, payload)| record(at, payload)).collect()
}

fn failed(positions: impl IntoIterator<Item = usize>) -> Vec<String> {
    positions.into_iter().map(sequence_number).collect()
}

fn again(answer: &BatchAnswer) -> Vec<String> {
    answer.identifiers().map(str::to_owned).collect()
}

fn entries(store: &MemoryStore) -> Vec<(ItemKey, UnixMillis, Vec<u8>)> {
    let mut entries = Vec::new();
    store.each_document(|key, document| {
        if let Some(JournalKey::Entry(minute, _)) = JournalKey::parse(&key.pk, &key.sk) {
            entries.push((key.clone(), minute, bytes(document, attribute::FACTS)));
        }
    });
    entries
}

fn fold(store: &MemoryStore) -> BTreeMap<UnixMillis, FoldedMinute> {
    let mut folds: BTreeMap<UnixMillis, MinuteFold> = BTreeMap::new();
    for (_, minute, facts) in entries(store) {
        let fold = folds
            .entry(minute)
            .or_insert_with(|| MinuteFold::new(minute));
        fold.add(&facts, true).unwrap();
    }
    let folds = folds.into_iter();
    folds
        .map(|(minute, fold)| (minute, fold.finish()))
        .collect()
}

fn calls(folded: &FoldedMinute) -> u64 {
    folded.everybody.counts.tally.calls
}

/// Position in the stream, reason and payload of each record that was set aside.
fn errors(store: &MemoryStore) -> Vec<(String, String, Vec<u8>)> {
    let mut errors = Vec::new();
    store.each_document(|key, document| {
        if key.pk == table::ERRORS {
            let reason = text(document, attribute::REASON);
            errors.push((key.sk.clone(), reason, bytes(document, attribute::PAYLOAD)));
        }
    });
    errors
}

fn value<'a>(document: &'a Document, name: &str) -> &'a Value {
    let value = document.attributes.iter().find(|(known, _)| *known == name);
    value.map_or_else(|| panic!("no `{name}`"), |(_, value)| value)
}

fn bytes(document: &Document, name: &str) -> Vec<u8> {
    match value(document, name) {
        Value::Bytes(bytes) => bytes.clone(),
        other => panic!("{other:?}"),
    }
}

fn text(document: &Document, name: &str) -> String {
    match value(document, name) {
        Value::Text(text) => text.clone(),
        other => panic!("{other:?}"),
    }
}

/// Refuses every write into partitions that start with `prefix`.
fn refuse(store: &MemoryStore, prefix: &'static str) {
    store.inject(move |_, key| {
        if key.pk.starts_with(prefix) {
            Fault::Refused
        } else {
            Fault::None
        }
    });
}

#[tokio::test]
async fn a_batch_is_one_entry_and_its_latencies_reach_until_it_is_stored() {
    let processor = processor();
    let records = events(0..1_000);
    // The clock's readings: when the batch arrives, when it is appended, when it is stored.
    let ticks = std::sync::Mutex::new([30, 20, 10].map(|millis| NOW.plus_millis(millis)).to_vec());
    let clock = || ticks.lock().unwrap().pop().unwrap();
    let (answer, report) = processor.process(&records, &clock).await;
    assert_eq!(answer, BatchAnswer::default());
    let expected = Report {
        processed: 1_000,
        appended: 1_000,
        set_aside: Vec::new(),
        latencies: vec![30; 1_000],
    };
    assert_eq!(report, expected);
    let store = &processor.journal.store;
    assert_eq!(store.keys().len(), 1);
    assert_eq!(calls(&fold(store)[&Window::Minute.start(NOW)]), 1_000);
}

#[tokio::test]
async fn a_batch_of_only_poison_is_set_aside_and_appends_nothing() {
    let processor = processor();
    let poison = ["not json", "{}", "", r#"{"type":"API_GUESS"}"#];
    let records: Vec<_> = (0..)
        .zip(poison)
        .map(|(at, text)| record(at, text))
        .collect();
    let (answer, report) = processor.process(&records, &|| NOW).await;
    assert_eq!(answer, BatchAnswer::default());
    let expected = Report {
        processed: 4,
        set_aside: failed(0..4),
        ..Report::default()
    };
    assert_eq!(report, expected);
    let store = &processor.journal.store;
    assert_eq!(entries(store), []);
    let expected = (0..).zip(poison).map(|(at, text): (usize, _)| {
        let key = format!("shardId-000000000000#{at:056}");
        (key, "malformed".to_owned(), text.as_bytes().to_vec())
    });
    assert_eq!(errors(store), expected.collect::<Vec<_>>());
}

#[tokio::test]
async fn poison_between_events_holds_up_none_of_them() {
    let processor = processor();
    let mut records = events(0..3);
    records[1] = record(1, "poison");
    let (answer, report) = processor.process(&records, &|| NOW).await;
    assert_eq!(answer, BatchAnswer::default());
    assert_eq!((report.processed, report.appended), (3, 2));
    assert_eq!(report.set_aside, failed([1]));
    let store = &processor.journal.store;
    assert_eq!(calls(&fold(store)[&Window::Minute.start(NOW)]), 2);
    assert_eq!(errors(store).len(), 1);
}

#[tokio::test]
async fn if_the_append_fails_the_events_are_redelivered_and_set_aside_records_are_not() {
    let processor = processor();
    let store = &processor.journal.store;
    refuse(store, table::JOURNAL_PREFIX);
    let mut records = events(0..4);
    records[2] = record(2, "poison");
    let (answer, report) = processor.process(&records, &|| NOW).await;
    assert_eq!(again(&answer), failed([0, 1, 3]));
    let expected = Report {
        processed: 1,
        set_aside: failed([2]),
        ..Report::default()
    };
    assert_eq!(report, expected);
    assert_eq!((entries(store).len(), errors(store).len()), (0, 1));
}

#[tokio::test]
async fn a_record_that_cannot_be_set_aside_is_redelivered_and_the_events_are_not() {
    let processor = processor();
    let store = &processor.journal.store;
    refuse(store, table::ERRORS);
    let mut records = events(0..4);
    records[1] = record(1, "poison");
    records[3] = record(3, "poison");
    let (answer, report) = processor.process(&records, &|| NOW).await;
    assert_eq!(again(&answer), failed([1, 3]));
    assert_eq!((report.processed, report.appended), (2, 2));
    assert_eq!(calls(&fold(store)[&Window::Minute.start(NOW)]), 2);
}

#[tokio::test]
async fn a_redelivered_batch_is_the_same_entry() {
    let processor = processor();
    let records = events(0..50);
    for _ in 0..3 {
        let (answer, report) = processor.process(&records, &|| NOW).await;
        assert_eq!((answer, report.appended), (BatchAnswer::default(), 50));
    }
    let store = &processor.journal.store;
    assert_eq!(entries(store).len(), 1);
    assert_eq!(calls(&fold(store)[&Window::Minute.start(NOW)]), 50);
}

#[tokio::test]
async fn a_split_batch_is_other_entries_and_each_event_still_counts_once() {
    let processor = processor();
    let records = events(0..50);
    for part in [
        &records[..],
        &records[..20],
        &records[20..],
        &records[10..30],
    ] {
        processor.process(part, &|| NOW).await;
    }
    let store = &processor.journal.store;
    assert_eq!(entries(store).len(), 4);
    let folded = &fold(store)[&Window::Minute.start(NOW)];
    assert_eq!((calls(folded), folded.everybody.repeats), (50, 70));
    assert_eq!(folded.conflicts, []);
}

#[tokio::test]
async fn a_batch_across_the_border_of_a_minute_hour_day_month_or_year_is_two_entries() {
    for (border, before, after) in [
        ("2026-11-22T16:05:00Z", "2026-11-22T16", "2026-11-22T16"),
        ("2026-11-22T17:00:00Z", "2026-11-22T16", "2026-11-22T17"),
        ("2026-11-23T00:00:00Z", "2026-11-22T23", "2026-11-23T00"),
        ("2026-12-01T00:00:00Z", "2026-11-30T23", "2026-12-01T00"),
        ("2027-01-01T00:00:00Z", "2026-12-31T23", "2027-01-01T00"),
    ] {
        let border: UnixMillis = border.parse().unwrap();
        let times = [-2, -1, 0, 1, 2].map(|millis| border.plus_millis(millis));
        let records = (0..).zip(times);
        let records: Vec<_> = records
            .map(|(at, time)| record(usize::try_from(at).unwrap(), event(at, time)))
            .collect();
        let processor = processor();
        let (answer, report) = processor
            .process(&records, &|| border.plus_millis(1_000))
            .await;
        assert_eq!((answer, report.appended), (BatchAnswer::default(), 5));
        let store = &processor.journal.store;
        let partitions: Vec<String> = store.keys().into_iter().map(|key| key.pk).collect();
        assert_eq!(
            partitions,
            [before, after].map(|hour| format!("JOURNAL#{hour}"))
        );
        let counted = fold(store).into_iter();
        let counted: Vec<_> = counted.map(|(at, folded)| (at, calls(&folded))).collect();
        assert_eq!(counted, [(border.plus_millis(-60_000), 2), (border, 3)]);
    }
}

#[tokio::test]
async fn events_outside_the_horizon_are_set_aside_and_those_on_it_count() {
    let processor = processor();
    let times = [
        (NOW.plus_days(-7).plus_millis(-1), Some("tooOld")),
        (NOW.plus_days(-7), None),
        (NOW.plus_millis(5 * 60_000), None),
        (NOW.plus_millis(5 * 60_000 + 1), Some("fromTheFuture")),
    ];
    let records = (0..).zip(times);
    let records: Vec<_> = records
        .map(|(at, (time, _))| record(usize::try_from(at).unwrap(), event(at, time)))
        .collect();
    // A redelivery changes nothing: the processor looks nothing up.
    for _ in 0..2 {
        let (answer, report) = processor.process(&records, &|| NOW).await;
        assert_eq!((answer, report.appended), (BatchAnswer::default(), 2));
        assert_eq!(report.set_aside, failed([0, 3]));
        // An event from a fast clock is not stored before it happened.
        assert_eq!(report.latencies, [7 * 86_400_000, 0]);
    }
    let store = &processor.journal.store;
    let reasons: Vec<_> = errors(store)
        .into_iter()
        .map(|(_, reason, _)| reason)
        .collect();
    assert_eq!(
        reasons,
        times
            .iter()
            .filter_map(|(_, reason)| *reason)
            .collect::<Vec<_>>()
    );
    assert_eq!(fold(store).len(), 2);
}

#[tokio::test]
async fn an_operator_gets_the_outcome_and_lambda_the_metrics() {
    let processor = processor();
    let mut records = events(0..2);
    records.push(record(2, "poison"));
    let mut delivery: Delivery = serde_json::from_str(r#"{"Records": []}"#).unwrap();
    delivery.records = records;
    let (answer, metrics) = processor.handle(&delivery, &|| NOW).await;
    let answer = serde_json::to_string(&answer).unwrap();
    assert_eq!(answer, r#"{"batchItemFailures":[]}"#);
    assert!(metrics.contains(&Metric::count("ProcessedRecords", 3)));
    let asking = format!(r#"{{"Records": [], "{REPORT_OUTCOME}": true}}"#);
    delivery.report_outcome = serde_json::from_str::<Delivery>(&asking)
        .unwrap()
        .report_outcome;
    let (answer, metrics) = processor.handle(&delivery, &|| NOW).await;
    let outcome = Outcome {
        appended: 2,
        set_aside: failed([2]),
    };
    assert_eq!(answer.outcome, Some(outcome));
    assert_eq!(metrics, []);
}

#[tokio::test]
async fn a_payload_is_cut_at_its_limit_and_its_size_is_kept() {
    let processor = processor();
    let records = [record(7, vec![b'x'; 400_000])];
    processor.process(&records, &|| NOW).await;
    let store = &processor.journal.store;
    let (key, reason, payload) = errors(store).remove(0);
    assert_eq!(key, format!("shardId-000000000000#{:056}", 7));
    assert_eq!((reason.as_str(), payload.len()), ("malformed", 307_200));
    store.each_document(|_, document| {
        let size = value(document, attribute::PAYLOAD_SIZE);
        assert_eq!(*size, Value::Number(400_000));
    });
}

#[derive(Debug, Clone)]
struct Schedule {
    /// An event by number, or poison.
    records: Vec<Option<u64>>,
    batch_sizes: Vec<usize>,
    fault: Fault,
    fault_every: usize,
}

fn a_schedule() -> impl Strategy<Value = Schedule> {
    let record = prop_oneof![8 => (0_u64..150).prop_map(Some), 1 => Just(None)];
    (
        proptest::collection::vec(record, 1..120),
        proptest::collection::vec(1_usize..40, 1..6),
        select(vec![Fault::Refused, Fault::AnswerLost, Fault::Throttled]),
        2_usize..5,
    )
        .prop_map(|(records, batch_sizes, fault, fault_every)| Schedule {
            records,
            batch_sizes,
            fault,
            fault_every,
        })
}

/// Delivers a batch as Lambda does: again from the lowest failed record, until none fails.
async fn deliver(processor: &Processor<MemoryStore>, records: &[KinesisEventRecord]) {
    let mut rest = records;
    for _ in 0..100 {
        let (answer, report) = processor.process(rest, &|| NOW).await;
        let failures = answer.batch_item_failures.len();
        assert_eq!(report.processed, (rest.len() - failures) as u64);
        let Some(lowest) = answer.identifiers().min() else {
            return;
        };
        let from = rest
            .iter()
            .position(|record| record.kinesis.sequence_number == lowest);
        rest = &rest[from.unwrap()..];
    }
    panic!("a batch never succeeds");
}

async fn run(schedule: Schedule) {
    let processor = processor();
    let store = &processor.journal.store;
    let (mut writes, every, fault) = (0, schedule.fault_every, schedule.fault);
    store.inject(move |call, _| {
        writes += usize::from(call == Call::Write);
        if writes < 60 && writes % every == 0 {
            fault
        } else {
            Fault::None
        }
    });
    let payload = |record: &Option<u64>| match record {
        // Two and a half hours.
        Some(number) => event(
            *number,
            NOW.plus_millis(-60_000 * i64::try_from(*number).unwrap()),
        ),
        None => b"poison".to_vec(),
    };
    let records = schedule.records.iter().enumerate();
    let records: Vec<_> = records.map(|(at, of)| record(at, payload(of))).collect();
    let mut rest = records.as_slice();
    for size in schedule.batch_sizes.iter().cycle() {
        let (batch, later) = rest.split_at((*size).min(rest.len()));
        deliver(&processor, batch).await;
        rest = later;
        if rest.is_empty() {
            break;
        }
    }
    deliver(&processor, &records).await;
    let accepted: BTreeSet<u64> = schedule.records.iter().flatten().copied().collect();
    let folded = fold(store);
    assert_eq!(folded.len(), accepted.len());
    assert!(folded.values().all(|minute| calls(minute) == 1));
    let poison = schedule.records.iter().filter(|record| record.is_none());
    assert_eq!(errors(store).len(), poison.count());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn each_event_counts_once_and_nothing_is_lost(schedule in a_schedule()) {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(run(schedule));
    }
}
