//! Whatever the stream repeats and however it is cut into batches, whatever write is refused or
//! loses its answer: in the end each event is counted once, and each other record is set aside.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};

use aws_lambda_events::event::kinesis::{KinesisEvent, KinesisEventRecord};
use domain::delivery::{Answer, FailedItem};
use domain::delivery::{Outcome, REPORT_OUTCOME};
use domain::event::{EventType, UsageEvent};
use domain::id::EventId;
use domain::leaf::Leaf;
use domain::sample;
use domain::table::{self, attribute};
use domain::tally::Tally;
use domain::time::UnixMillis;
use processor::handler::{Delivery, Processor};
use proptest::prelude::*;
use proptest::sample::select;
use runtime::memory::{Call, Fault, MemoryStore};
use runtime::raw;
use runtime::store::{Document, Value};

const NOW: UnixMillis = UnixMillis(1_796_083_200_000);

/// A record of the stream: an event by number, or something that is none.
#[derive(Debug, Clone)]
enum Record {
    Event(u64),
    Poison(&'static str),
}

#[derive(Debug, Clone)]
struct Schedule {
    records: Vec<Record>,
    batch_sizes: Vec<usize>,
    fault_every: usize,
    fault: Fault,
    /// Batches delivered once more after everything was done.
    redelivered: Vec<(usize, usize)>,
}

fn a_schedule() -> impl Strategy<Value = Schedule> {
    let record = prop_oneof![
        8 => (0_u64..150).prop_map(Record::Event),
        1 => select(vec!["not json", "{}", "", "{\"type\":\"API_GUESS\"}"]).prop_map(Record::Poison),
    ];
    (
        proptest::collection::vec(record, 1..120),
        proptest::collection::vec(1_usize..40, 1..6),
        2_usize..7,
        select(vec![Fault::None, Fault::Refused, Fault::AnswerLost]),
        proptest::collection::vec((0_usize..120, 1_usize..40), 0..6),
    )
        .prop_map(
            |(records, batch_sizes, fault_every, fault, redelivered)| Schedule {
                records,
                batch_sizes,
                fault_every,
                fault,
                redelivered,
            },
        )
}

fn event(number: u64) -> UsageEvent {
    let subjects = ["ann@example.com", "bob#1@example.com", "ip:192.0.2.1"];
    let event_type = EventType::ALL[usize::try_from(number % 7).unwrap() / 3];
    let time = NOW.plus_millis(-i64::try_from(number).unwrap() * 60_000);
    sample::event(
        number,
        subjects[usize::try_from(number % 3).unwrap()],
        event_type,
        time,
    )
}

fn payload(record: &Record) -> Vec<u8> {
    match record {
        Record::Event(number) => event(*number).to_json(),
        Record::Poison(text) => text.as_bytes().to_vec(),
    }
}

fn delivered(position: usize, record: &Record) -> KinesisEventRecord {
    let mut delivered = KinesisEventRecord::default();
    delivered.kinesis.sequence_number = format!("{position:056}");
    delivered.kinesis.data.0 = payload(record);
    delivered.event_id = Some(format!("shardId-000000000000:{position:056}"));
    delivered
}

/// Delivers a batch as Lambda does: again from the lowest record that failed, until all is done.
async fn deliver(processor: &Processor<MemoryStore>, records: &[KinesisEventRecord]) {
    let mut rest = records;
    for _ in 0..100 {
        let mut batch = KinesisEvent::default();
        batch.records = rest.to_vec();
        let (answer, report) = processor.process(&batch, NOW, || NOW).await;
        assert_eq!(
            report.processed + answer.batch_item_failures.len() as u64,
            rest.len() as u64
        );
        let Some(FailedItem { item_identifier }) = answer.batch_item_failures.first() else {
            return;
        };
        let again = rest
            .iter()
            .position(|record| record.kinesis.sequence_number == *item_identifier);
        rest = &rest[again.unwrap()..];
    }
    panic!("a batch never came through");
}

async fn run(schedule: Schedule) {
    let processor = Processor {
        store: MemoryStore::default(),
        raw_retention_days: 90,
    };
    let (mut writes, every, fault) = (0, schedule.fault_every, schedule.fault);
    processor.store.inject(move |call, _| {
        writes += usize::from(call == Call::Put);
        if call == Call::Put && writes < 60 && writes % every == 0 {
            fault
        } else {
            Fault::None
        }
    });
    let records: Vec<KinesisEventRecord> = schedule
        .records
        .iter()
        .enumerate()
        .map(|(position, record)| delivered(position, record))
        .collect();
    let mut rest = records.as_slice();
    for size in schedule.batch_sizes.iter().cycle() {
        let (batch, later) = rest.split_at((*size).min(rest.len()));
        deliver(&processor, batch).await;
        rest = later;
        if rest.is_empty() {
            break;
        }
    }
    for (from, length) in &schedule.redelivered {
        let from = from % records.len();
        deliver(
            &processor,
            &records[from..(from + length).min(records.len())],
        )
        .await;
    }
    check(&processor.store, &schedule.records);
}

fn check(store: &MemoryStore, records: &[Record]) {
    let accepted: BTreeSet<u64> = records
        .iter()
        .filter_map(|record| match record {
            Record::Event(number) => Some(*number),
            Record::Poison(_) => None,
        })
        .collect();
    let mut expected: BTreeMap<String, Tally> = BTreeMap::new();
    for event in accepted.iter().map(|number| event(*number)) {
        let tally = expected.entry(event.subject.to_string()).or_default();
        tally.count(
            event.event_type,
            &event.data.method,
            &event.data.endpoint,
            1,
        );
    }
    let mut counted: BTreeMap<String, Tally> = BTreeMap::new();
    for (key, stored) in store.items() {
        let leaf = table::parse_leaf(&key).unwrap();
        let state: Leaf = domain::state::decode(&stored.state).unwrap();
        counted
            .entry(leaf.subject.to_string())
            .or_default()
            .merge(&state.tally());
    }
    assert_eq!(counted, expected);

    let (errors, raw): (Vec<_>, Vec<_>) = store
        .documents()
        .into_iter()
        .partition(|(key, _)| key.pk == table::ERRORS);
    let poison: Vec<Vec<u8>> = records
        .iter()
        .filter(|record| matches!(record, Record::Poison(_)))
        .map(payload)
        .collect();
    let set_aside: Vec<Vec<u8>> = errors
        .iter()
        .map(|(_, document)| bytes(document, attribute::PAYLOAD))
        .collect();
    assert_eq!(set_aside, poison);

    let kept: BTreeSet<EventId> = raw
        .iter()
        .flat_map(|(_, document)| raw_ids(&bytes(document, attribute::EVENTS)))
        .collect();
    let ids: BTreeSet<EventId> = accepted.iter().map(|number| event(*number).id).collect();
    assert_eq!(kept, ids);
}

fn raw_ids(deflated: &[u8]) -> Vec<EventId> {
    let lines = raw::inflate(deflated).unwrap();
    let lines = lines
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    lines
        .map(|line| UsageEvent::decode(line).unwrap().id)
        .collect()
}

fn bytes(document: &Document, name: &str) -> Vec<u8> {
    let value = document.attributes.iter().find(|(known, _)| *known == name);
    match value {
        Some((_, Value::Bytes(bytes))) => bytes.clone(),
        other => panic!("{other:?}"),
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn each_event_counts_once_and_nothing_is_lost(schedule in a_schedule()) {
        block_on(run(schedule));
    }
}

#[test]
fn more_events_than_one_leaf_takes_are_counted_once_each() {
    let processor = Processor {
        store: MemoryStore::default(),
        raw_retention_days: 90,
    };
    let records: Vec<KinesisEventRecord> = (0..2_500)
        .map(|number| {
            let event = sample::event(number, "ann@example.com", EventType::ApiCall, NOW);
            let mut record = delivered(usize::try_from(number).unwrap(), &Record::Poison(""));
            record.kinesis.data.0 = event.to_json();
            record
        })
        .collect();
    block_on(async {
        for _ in 0..2 {
            for batch in records.chunks(700) {
                deliver(&processor, batch).await;
            }
        }
    });
    let items = processor.store.items();
    let leaves = items
        .iter()
        .map(|(_, stored)| domain::state::decode::<Leaf>(&stored.state).unwrap());
    let calls: Vec<u64> = leaves.map(|leaf| leaf.tally().calls).collect();
    assert_eq!(calls, [1_000, 1_000, 500]);
}

#[test]
fn whoever_asks_is_told_what_became_of_the_records() {
    let processor = Processor {
        store: MemoryStore::default(),
        raw_retention_days: 90,
    };
    let records = [
        Record::Event(0),
        Record::Poison("no event"),
        Record::Event(0),
        Record::Event(3),
    ];
    let numbered = records.iter().enumerate();
    let mut batch = KinesisEvent::default();
    batch.records = numbered.map(|(at, record)| delivered(at, record)).collect();
    let told = Outcome {
        counted: 2,
        duplicates: 1,
        set_aside: vec![format!("{:056}", 1)],
    };
    let (answer, report) = block_on(processor.process(&batch, NOW, || NOW));
    assert_eq!(Outcome::from(report), told);
    let to_lambda = serde_json::to_string(&answer).unwrap();
    assert_eq!(to_lambda, r#"{"batchItemFailures":[]}"#);
    let asking = format!(r#"{{"Records": [], "{REPORT_OUTCOME}": true}}"#);
    let delivery: Delivery = serde_json::from_str(&asking).unwrap();
    assert!(delivery.report_outcome);
}

#[test]
fn a_record_is_kept_up_to_its_limit_and_its_size_is_told() {
    let processor = Processor {
        store: MemoryStore::default(),
        raw_retention_days: 90,
    };
    let mut batch = KinesisEvent::default();
    let mut record = delivered(7, &Record::Poison(""));
    record.kinesis.data.0 = vec![b'x'; 400_000];
    batch.records = vec![record];
    let (answer, report) = block_on(processor.process(&batch, NOW, || NOW));
    assert_eq!(
        (answer, report.set_aside, report.processed),
        (Answer::default(), vec![format!("{:056}", 7)], 1)
    );
    let (key, document) = processor.store.documents().remove(0);
    assert_eq!(key.sk, format!("shardId-000000000000#{:056}", 7));
    assert_eq!(bytes(&document, attribute::PAYLOAD).len(), 307_200);
    assert!(
        document
            .attributes
            .contains(&(attribute::PAYLOAD_SIZE, Value::Number(400_000)))
    );
    assert!(
        document
            .attributes
            .contains(&(attribute::REASON, Value::Text("malformed".into())))
    );
}
