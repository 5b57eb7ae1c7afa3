//! Whatever the table's stream repeats, reorders or drops into a failing table: once everything
//! was delivered, every roll-up equals what the accepted events say.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};

use aggregator::global::Retention;
use aggregator::handler::Aggregator;
use aws_lambda_events::event::dynamodb::EventRecord;
use domain::delivery::Answer;
use domain::event::{EventType, Subject, UsageEvent};
use domain::id::EventId;
use domain::leaf::MOST_IDS;
use domain::rollup::RollUp;
use domain::roster::bucket_of;
use domain::sample;
use domain::table::{ItemKey, LEAF_PREFIX, attribute};
use domain::tally::Tally;
use domain::time::{UnixMillis, Window};
use proptest::prelude::*;
use proptest::sample::select;
use runtime::counting;
use runtime::memory::{Call, Change, Fault, MemoryStore, Pace};
use runtime::spill::Limits;
use runtime::store::{self, Store, Stored};
use serde_dynamo::AttributeValue;

/// 2026-11-30T23:30:00Z: half an hour before a day and a month end.
const START: i64 = 1_796_081_400_000;

#[derive(Debug, Clone)]
struct Schedule {
    events: Vec<UsageEvent>,
    /// Sizes of the processor's batches.
    batches: Vec<usize>,
    /// Which stream record each delivery starts from, and how many it holds.
    deliveries: Vec<(usize, usize)>,
    /// Every how many writes of the first deliveries one is refused or loses its answer.
    fault_every: usize,
    fault: Fault,
}

prop_compose! {
    fn an_event(subjects: Vec<&'static str>)(
        number in 0_u64..120,
        event_type in select(vec![EventType::ApiCall, EventType::ApiCall, EventType::ApiCall, EventType::AuthFailed, EventType::RateLimited]),
        subject in select(subjects),
        method in select(vec!["GET", "POST"]),
    ) -> UsageEvent {
        // The time follows from the id, as it does for real events.
        let minute = i64::try_from(number).unwrap() * 7 % 70;
        let time = UnixMillis(START + minute * 60_000);
        let mut event = sample::event(number, subject, event_type, time);
        event.data.method = method.into();
        event
    }
}

fn a_schedule() -> impl Strategy<Value = Schedule> {
    let subjects = vec!["ann@example.com", "bob#1@example.com", "ip:192.0.2.1"];
    (
        proptest::collection::vec(an_event(subjects), 1..80),
        proptest::collection::vec(1_usize..12, 1..10),
        proptest::collection::vec((0_usize..60, 1_usize..12), 0..20),
        1_usize..6,
        select(vec![Fault::None, Fault::Refused, Fault::AnswerLost]),
    )
        .prop_map(
            |(events, batches, deliveries, fault_every, fault)| Schedule {
                events,
                batches,
                deliveries,
                fault_every,
                fault,
            },
        )
}

fn aggregator() -> Aggregator<MemoryStore> {
    Aggregator {
        analytics: MemoryStore::paced(Pace::default(), Some(LEAF_PREFIX)),
        usage: MemoryStore::default(),
        retention: Retention {
            minutes: 7,
            hours: 90,
        },
        limits: Limits::default(),
    }
}

async fn run(schedule: Schedule) {
    let aggregator = aggregator();
    let records = count(&aggregator.analytics, &schedule).await;
    for store in [&aggregator.analytics, &aggregator.usage] {
        let (mut writes, every, fault) = (0, schedule.fault_every, schedule.fault);
        store.inject(move |call, _| {
            writes += usize::from(call == Call::Put);
            if call == Call::Put && writes % every == 0 {
                fault
            } else {
                Fault::None
            }
        });
    }
    for (from, length) in &schedule.deliveries {
        let from = from % records.len();
        let to = (from + length).min(records.len());
        aggregator.batch(&records[from..to]).await;
    }
    for store in [&aggregator.analytics, &aggregator.usage] {
        store.inject(|_, _| Fault::None);
    }
    assert_eq!(aggregator.batch(&records).await, Answer::default());
    // What is delivered again later, older than what is stored, changes nothing.
    for (from, length) in &schedule.deliveries {
        let from = from % records.len();
        let to = (from + length).min(records.len());
        assert_eq!(
            aggregator.batch(&records[from..to]).await,
            Answer::default()
        );
    }
    check(&aggregator, &schedule.events).await;
}

/// Counts the events in batches; gives what the table's stream reports of it.
async fn count(store: &MemoryStore, schedule: &Schedule) -> Vec<EventRecord> {
    let mut rest = schedule.events.as_slice();
    for size in schedule.batches.iter().cycle() {
        let (batch, later) = rest.split_at((*size).min(rest.len()));
        for (first, row) in counting::rows(batch) {
            row.count(store, first).await.unwrap();
        }
        rest = later;
        if rest.is_empty() {
            break;
        }
    }
    let changes = (0..).zip(store.take_changes());
    changes
        .map(|(number, change)| record(&change, number))
        .collect()
}

fn record(Change { key, old, new }: &Change, number: usize) -> EventRecord {
    let image = |stored: Option<&Stored>| -> BTreeMap<String, AttributeValue> {
        let Some(stored) = stored else {
            return BTreeMap::new();
        };
        BTreeMap::from([
            (attribute::PK.to_owned(), AttributeValue::S(key.pk.clone())),
            (attribute::SK.to_owned(), AttributeValue::S(key.sk.clone())),
            (
                attribute::VERSION.to_owned(),
                AttributeValue::N(stored.version.to_string()),
            ),
            (
                attribute::STATE.to_owned(),
                AttributeValue::B(stored.state.clone()),
            ),
        ])
    };
    let mut record = EventRecord::default();
    record.change.new_image = image(Some(new))
        .into_iter()
        .collect::<std::collections::HashMap<_, _>>()
        .into();
    record.change.old_image = image(old.as_ref())
        .into_iter()
        .collect::<std::collections::HashMap<_, _>>()
        .into();
    record.change.sequence_number = Some(number.to_string());
    record
}

async fn tally(store: &MemoryStore, key: ItemKey) -> Tally {
    roll_up(store, &key).await.tally()
}

async fn roll_up(store: &MemoryStore, key: &ItemKey) -> RollUp {
    match store.get(key).await.unwrap() {
        Some(stored) => store::read(key, &stored).unwrap(),
        None => RollUp::default(),
    }
}

/// The oracle: the first event under each id, and nothing else.
async fn check(aggregator: &Aggregator<MemoryStore>, events: &[UsageEvent]) {
    let mut accepted: BTreeMap<(Subject, UnixMillis, EventId), &UsageEvent> = BTreeMap::new();
    for event in events {
        // One id is one event: the schedule may give a number to two subjects, real ids never do.
        let leaf = (
            event.subject.clone(),
            Window::Hour.start(event.time),
            event.id,
        );
        accepted.entry(leaf).or_insert(event);
    }
    let sum = |wanted: &dyn Fn(&UsageEvent) -> bool| {
        let mut tally = Tally::default();
        for event in accepted.values().filter(|event| wanted(event)) {
            tally.count(
                event.event_type,
                &event.data.method,
                &event.data.endpoint,
                1,
            );
        }
        tally
    };
    for event in accepted.values() {
        let same = |window: Window, other: &UsageEvent| {
            window.start(other.time) == window.start(event.time)
        };
        let (subject, time) = (&event.subject, event.time);
        let analytics = &aggregator.analytics;
        if subject.email().is_some() {
            let of_user = |other: &UsageEvent| other.subject == *subject;
            let day = tally(analytics, ItemKey::day(subject, time)).await;
            assert_eq!(
                day,
                sum(&|other| of_user(other) && same(Window::Day, other))
            );
            let month = tally(&aggregator.usage, ItemKey::month(subject, time)).await;
            assert_eq!(
                month,
                sum(&|other| of_user(other) && same(Window::Month, other))
            );
            let all = roll_up(&aggregator.usage, &ItemKey::all_time(subject)).await;
            assert_eq!(all.tally(), sum(&of_user));
            let times = || {
                accepted
                    .values()
                    .filter(|other| of_user(other))
                    .map(|other| other.time)
            };
            let seen = all.seen().map(|seen| (seen.first, seen.last));
            assert_eq!(seen, times().min().zip(times().max()));
        } else {
            assert_eq!(
                tally(&aggregator.usage, ItemKey::all_time(subject)).await,
                Tally::default()
            );
        }
        for window in [Window::Minute, Window::Hour, Window::Day] {
            let global = roll_up(analytics, &ItemKey::global(window, time)).await;
            assert_eq!(
                global.tally(),
                sum(&|other| same(window, other)),
                "{window:?}"
            );
            let users: BTreeSet<&Subject> = accepted
                .values()
                .filter(|other| same(window, other) && other.event_type == EventType::ApiCall)
                .map(|other| &other.subject)
                .filter(|subject| subject.email().is_some())
                .collect();
            assert_eq!(global.users(), users.len() as u64, "{window:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn roll_ups_equal_the_accepted_events(schedule in a_schedule()) {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(run(schedule));
    }
}

/// So many users that one bucket of them outgrows its first item, of a minute and of a roster; and one
/// of them calls again so often that a second part of theirs comes when that item is full.
#[test]
fn a_crowd_is_counted_however_many_they_are() {
    let crowd = (0_u32..).map(|number| Subject::user(&format!("user{number}@example.com")));
    let crowd: Vec<Subject> = crowd
        .filter(|subject| bucket_of(subject) == 0)
        .take(Limits::default().users + 1)
        .collect();
    let callers = crowd.iter().chain(std::iter::repeat_n(&crowd[0], MOST_IDS));
    let events: Vec<UsageEvent> = (0..)
        .zip(callers)
        .map(|(number, subject)| {
            sample::event(
                number,
                subject.as_str(),
                EventType::ApiCall,
                UnixMillis(START),
            )
        })
        .collect();
    let calls = events.len() as u64;
    let aggregator = aggregator();
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(async {
        let schedule = Schedule {
            events,
            batches: vec![500],
            deliveries: Vec::new(),
            fault_every: 1,
            fault: Fault::None,
        };
        let records = count(&aggregator.analytics, &schedule).await;
        // Nothing reaches what is above the minute's items: the tick has to mend all of it.
        let of_all = |key: &ItemKey| key.pk.starts_with("GLOBAL#");
        let refused = move |call, key: &ItemKey| match call {
            Call::Put if of_all(key) => Fault::Refused,
            _ => Fault::None,
        };
        aggregator.analytics.inject(refused);
        for batch in records.chunks(1_000) {
            assert_ne!(aggregator.batch(batch).await, Answer::default());
        }
        aggregator.analytics.inject(|_, _| Fault::None);
        let now = UnixMillis(START);
        aggregator.tick(now).await.unwrap();
        let global = roll_up(&aggregator.analytics, &ItemKey::global(Window::Minute, now)).await;
        let counted = (global.tally().calls, global.users());
        assert_eq!(counted, (calls, crowd.len() as u64));
        // Each comes twice, the second time with others.
        for size in [1_000, 700] {
            for batch in records.chunks(size) {
                assert_eq!(aggregator.batch(batch).await, Answer::default());
            }
        }
        assert_eq!(aggregator.tick(now).await.unwrap(), crowd.len() as u64);
        for window in [Window::Minute, Window::Hour, Window::Day] {
            let global = roll_up(&aggregator.analytics, &ItemKey::global(window, now)).await;
            let counted = (global.tally().calls, global.users());
            assert_eq!(counted, (calls, crowd.len() as u64), "{window:?}");
        }
    });
    let items = aggregator.analytics.items();
    let of = |start: &str| {
        items
            .iter()
            .filter(|(key, _)| key.pk.starts_with(start))
            .count()
    };
    assert_eq!(
        (of("MINUTE#"), of("ROSTER#hour#"), of("ROSTER#day#")),
        (5, 2, 2)
    );
    let largest = items.iter().map(|(_, stored)| stored.state.len()).max();
    assert!(largest < Some(100 * 1024), "{largest:?}");
}
