//! One caller at 5,000 calls per second: spread over partition keys by a hundred authorizers,
//! appended by the processor, folded by the aggregator, each call counted once.

use std::collections::BTreeMap;

use aggregator::everybody::Retention;
use aggregator::handler::{Aggregator, Memory};
use authorizer::spread::Spread;
use aws_lambda_events::event::kinesis::KinesisEventRecord;
use domain::counts::{Hour, Sum};
use domain::delivery::BatchAnswer;
use domain::event::{EventType, Subject, UsageEvent};
use domain::response::Response;
use domain::sample;
use domain::table::{ItemKey, JOURNAL_PREFIX};
use domain::time::{UnixMillis, Window};
use processor::handler::Processor;
use runtime::journal::Journal;
use runtime::memory::MemoryStore;
use tests::faults::event_record;

const CALLER: &str = "ann@example.com";
/// 2026-11-22T16:59:57Z: three seconds before an hour ends.
const START: UnixMillis = UnixMillis(1_795_366_797_000);
const SECONDS: i64 = 6;
const AUTHORIZERS: usize = 100;
/// Calls of each authorizer per second.
const CALLS: i64 = 50;
/// Records per batch, and changes per batch.
const BATCH: usize = 100;

/// The authorizers' events, in the order of time, each with its partition key.
fn sent() -> Vec<(String, UsageEvent)> {
    let subject = Subject::user(CALLER);
    let mut authorizers: Vec<Spread> = std::iter::repeat_with(Spread::default)
        .take(AUTHORIZERS)
        .collect();
    let mut sent = Vec::new();
    for call in 0..SECONDS * CALLS {
        let time = START.plus_millis(call * 1_000 / CALLS);
        for spread in &mut authorizers {
            let number = u64::try_from(sent.len()).unwrap();
            let event = sample::event(number, CALLER, EventType::ApiCall, time);
            let keys = spread.of(&subject, time);
            sent.push((event.partition_key(keys), event));
        }
    }
    sent
}

fn batch(events: &[&UsageEvent]) -> Vec<KinesisEventRecord> {
    let record = |event: &&UsageEvent| {
        let mut record = KinesisEventRecord::default();
        record.kinesis.sequence_number = event.id.to_string();
        record.kinesis.data.0 = event.to_json();
        record
    };
    events.iter().map(record).collect()
}

fn aggregator(analytics: &MemoryStore) -> Aggregator<MemoryStore> {
    Aggregator {
        analytics: analytics.clone(),
        usage: MemoryStore::default(),
        retention: Retention {
            raw: 90,
            minutes: 7,
            hours: 90,
        },
        reported_within: 60_000,
        cache: Memory::default(),
    }
}

#[tokio::test]
async fn a_caller_at_five_thousand_calls_a_second_is_counted_call_by_call() {
    let sent = sent();
    let mut by_key: BTreeMap<&str, Vec<&UsageEvent>> = BTreeMap::new();
    let mut by_second: BTreeMap<(&str, i64), usize> = BTreeMap::new();
    for (key, event) in &sent {
        by_key.entry(key).or_default().push(event);
        *by_second.entry((key, event.time.seconds())).or_default() += 1;
    }
    let most = by_second.into_values().max().unwrap();
    assert!(
        most < 1_000,
        "{most} records of a key in a second: too many for a shard"
    );

    let analytics = MemoryStore::journalled(Some(JOURNAL_PREFIX));
    let processor = Processor {
        journal: Journal {
            store: analytics.clone(),
            retention_days: 90,
        },
    };
    // Delivered twice, in batches of another size the second time.
    let mut batches = 0;
    for size in [BATCH, 37] {
        for events in by_key.values().flat_map(|events| events.chunks(size)) {
            let (answer, report) = processor.process(&batch(events), &|| START).await;
            assert_eq!(answer, BatchAnswer::default());
            assert_eq!(report.appended, events.len() as u64);
            batches += 1;
        }
    }
    assert!(
        analytics.units().calls <= 2 * batches,
        "a batch takes a call to the table, two across a minute"
    );

    let aggregator = aggregator(&analytics);
    let changes = analytics.take_changes();
    let changes: Vec<_> = (0..)
        .zip(&changes)
        .map(|(number, change)| {
            event_record(&change.key, "INSERT", &format!("{number:021}"), START)
        })
        .collect();
    for batch in changes.chunks(500) {
        let (answer, _) = aggregator.batch(batch, START, &|| false).await;
        assert_eq!(answer, BatchAnswer::default());
    }
    let half = sent.len() as u64 / 2;
    for at in [START, Window::Hour.end(START)] {
        let stored = aggregator.usage.peek(&ItemKey::hour(CALLER, at)).unwrap();
        assert_eq!(Hour::decode(&stored.state).unwrap().totals().calls, half);
        let total = ItemKey::total(Window::Hour, at);
        let total = Sum::decode(&analytics.peek(&total).unwrap().state).unwrap();
        assert_eq!((total.counts.tally.calls, total.users), (half, 1));
    }
    for at in [2, 3] {
        let at = Window::Day.end(START).plus_millis(at * 3_600_000);
        aggregator.tick(at, &|| false).await.unwrap();
    }
    for key in [
        ItemKey::day(CALLER, START),
        ItemKey::month(CALLER, START),
        ItemKey::all_time(CALLER),
    ] {
        let sum = Sum::decode(&aggregator.usage.peek(&key).unwrap().state).unwrap();
        assert_eq!(sum.counts.tally.calls, sent.len() as u64, "{key:?}");
    }
}

/// 600,000 calls of one minute, both tracks: one invocation folds them, and memory holds them.
#[tokio::test]
async fn a_minute_of_six_hundred_thousand_events_is_folded_at_once() {
    const EVENTS: u64 = 600_000;
    let analytics = MemoryStore::journalled(Some(JOURNAL_PREFIX));
    let journal = Journal {
        store: analytics.clone(),
        retention_days: 90,
    };
    let minute = Window::Minute.start(START);
    let answer = Response {
        status: 200,
        latency: Some(40),
    };
    for from in (0..EVENTS).step_by(1_000) {
        let event = |number: u64| {
            let user = format!("user{}@example.com", number % 100);
            let at = i64::try_from(number % 60_000).unwrap();
            sample::event(number, &user, EventType::ApiCall, minute.plus_millis(at))
        };
        let events: Vec<_> = (from..from + 1_000).map(event).collect();
        let borrowed: Vec<_> = events.iter().map(UsageEvent::borrowed).collect();
        let mut packer = domain::entry::Packer::default();
        for event in &borrowed {
            packer.report(event);
            packer.line(event, Some(answer));
        }
        journal.append(packer, START).await.unwrap();
    }
    let aggregator = aggregator(&analytics);
    let changes = analytics.take_changes();
    let change = &changes[0];
    let records = [event_record(&change.key, "INSERT", "1", START)];
    let (answer, _) = aggregator.batch(&records, START, &|| false).await;
    assert_eq!(answer, BatchAnswer::default());
    let total = Sum::decode(&analytics.peek(&ItemKey::minute(minute)).unwrap().state).unwrap();
    assert_eq!((total.counts.tally.calls, total.users), (EVENTS, 100));
    assert_eq!(total.counts.responses.statuses[&200], EVENTS);
    let hour = aggregator
        .usage
        .peek(&ItemKey::hour("user7@example.com", minute))
        .unwrap();
    assert_eq!(
        Hour::decode(&hour.state).unwrap().totals().calls,
        EVENTS / 100
    );
}
