//! One caller at 5,000 calls a second: spread over lanes by a hundred authorizers, counted by the
//! processor, rolled up by the aggregator, each call once.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aggregator::global::Retention;
use aggregator::handler::Aggregator;
use authorizer::lanes::Lanes;
use aws_lambda_events::event::kinesis::{KinesisEvent, KinesisEventRecord};
use domain::delivery::Answer;
use domain::event::{EventType, Subject, UsageEvent};
use domain::rollup::RollUp;
use domain::table::{ItemKey, LEAF_PREFIX};
use domain::time::{UnixMillis, Window};
use domain::{sample, state};
use processor::handler::Processor;
use runtime::memory::{Call, Fault, MemoryStore, Pace};
use runtime::spill::Limits;
use tests::faults::event_record;

const CALLER: &str = "ann@example.com";
/// 2026-11-22T16:59:57Z: three seconds before an hour ends.
const START: UnixMillis = UnixMillis(1_795_366_797_000);
const SECONDS: i64 = 6;
const AUTHORIZERS: usize = 100;
/// Calls of each authorizer in a second.
const CALLS: i64 = 50;
/// Records of a batch, and changes of one.
const BATCH: usize = 100;

/// What the authorizers send, in the order of time.
fn sent() -> Vec<UsageEvent> {
    let subject = Subject::user(CALLER);
    let mut authorizers: Vec<Lanes> = std::iter::repeat_with(Lanes::default)
        .take(AUTHORIZERS)
        .collect();
    let mut sent = Vec::new();
    for call in 0..SECONDS * CALLS {
        let time = START.plus_millis(call * 1_000 / CALLS);
        for lanes in &mut authorizers {
            let number = u64::try_from(sent.len()).unwrap();
            let mut event = sample::event(number, CALLER, EventType::ApiCall, time);
            event.data.lanes = lanes.of(&subject, time);
            sent.push(event);
        }
    }
    sent
}

fn batch(events: &[&UsageEvent]) -> KinesisEvent {
    let record = |event: &&UsageEvent| {
        let mut record = KinesisEventRecord::default();
        record.kinesis.sequence_number = event.id.to_string();
        record.kinesis.data.0 = event.to_json();
        record
    };
    let mut batch = KinesisEvent::default();
    batch.records = events.iter().map(record).collect();
    batch
}

fn roll_up(table: &MemoryStore, key: &ItemKey) -> RollUp {
    state::decode(&table.peek(key).unwrap().state).unwrap()
}

#[tokio::test]
async fn a_caller_at_five_thousand_calls_a_second_is_counted_call_by_call() {
    let sent = sent();
    let mut by_key: BTreeMap<String, Vec<&UsageEvent>> = BTreeMap::new();
    for event in &sent {
        by_key.entry(event.partition_key()).or_default().push(event);
    }
    let mut by_second: BTreeMap<(String, i64), usize> = BTreeMap::new();
    for event in &sent {
        let second = (event.partition_key(), event.time.seconds());
        *by_second.entry(second).or_default() += 1;
    }
    let most = by_second.into_values().max().unwrap();
    assert!(
        most < 1_000,
        "{most} records of a key in a second: too many for a shard"
    );

    let analytics = MemoryStore::paced(Pace::default(), Some(LEAF_PREFIX));
    let processor = Processor {
        store: analytics.clone(),
        raw_retention_days: 90,
    };
    let calls = Arc::new(AtomicUsize::new(0));
    let of_batch = Arc::clone(&calls);
    analytics.inject(move |call, _| {
        of_batch.fetch_add(usize::from(call == Call::Get), Ordering::Relaxed);
        Fault::None
    });
    let mut most_reads = 0;
    for counted in [sent.len(), 0] {
        let mut sum = 0;
        for events in by_key.values().flat_map(|events| events.chunks(BATCH)) {
            let (answer, report) = processor.process(&batch(events), START, || START).await;
            assert_eq!(answer, Answer::default());
            sum += report.counted.values().sum::<u64>();
            most_reads = most_reads.max(calls.swap(0, Ordering::Relaxed));
        }
        assert_eq!(usize::try_from(sum).unwrap(), counted);
    }
    assert!(most_reads <= 6, "{most_reads} reads for a batch");

    let aggregator = Aggregator {
        analytics: analytics.clone(),
        usage: MemoryStore::default(),
        retention: Retention {
            minutes: 7,
            hours: 90,
        },
        limits: Limits::default(),
    };
    let changes = analytics.take_changes();
    let changes: Vec<_> = (0..)
        .zip(&changes)
        .map(|(number, change)| event_record(change, &format!("{number:021}")))
        .collect();
    for size in [BATCH, 37] {
        for batch in changes.chunks(size) {
            assert_eq!(aggregator.batch(batch).await, Answer::default());
        }
    }
    let subject = Subject::user(CALLER);
    let of_user = [
        (&analytics, ItemKey::day(&subject, START)),
        (&aggregator.usage, ItemKey::month(&subject, START)),
        (&aggregator.usage, ItemKey::all_time(&subject)),
        (&analytics, ItemKey::global(Window::Day, START)),
    ];
    for (table, key) in of_user {
        let counted = roll_up(table, &key).tally().calls;
        assert_eq!(counted, sent.len() as u64, "{key:?}");
    }
    for at in [START, Window::Hour.end(START)] {
        for window in [Window::Minute, Window::Hour] {
            let global = roll_up(&analytics, &ItemKey::global(window, at));
            let counted = (global.tally().calls, global.users());
            assert_eq!(counted, (sent.len() as u64 / 2, 1), "{window:?}");
        }
    }
}
