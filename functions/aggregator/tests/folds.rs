//! The aggregator over tables in memory: the results of a batch, a tick and an operator's request.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};

use aggregator::addresses::LISTED_FROM;
use aggregator::everybody::Retention;
use aggregator::handler::{Aggregator, Memory, Span};
use aws_lambda_events::event::dynamodb::EventRecord;
use domain::counts::{AddressHour, Hour, Sum};
use domain::delivery::BatchAnswer;
use domain::entry::Packer;
use domain::event::{EventType, UsageEvent};
use domain::mark::{DayMark, Round};
use domain::meter::{Amount, Amounts};
use domain::table::{ERRORS, ItemKey, JOURNAL_PREFIX, Listed, attribute};
use domain::tally::Totals;
use domain::time::{UnixMillis, Window};
use domain::{sample, state};
use runtime::journal::Journal;
use runtime::memory::{Call, Fault, MemoryStore};
use runtime::store::Value;
use serde_dynamo::AttributeValue;

const ANN: &str = "ann@example.com";
/// 2026-11-22T16:04:05.007Z.
const AT: UnixMillis = UnixMillis(1_795_363_445_007);
const HOUR: i64 = 3_600_000;

struct World {
    aggregator: Aggregator<MemoryStore>,
    analytics: MemoryStore,
    usage: MemoryStore,
}

impl World {
    fn new() -> Self {
        let analytics = MemoryStore::journalled(Some(JOURNAL_PREFIX));
        let usage = MemoryStore::default();
        let aggregator = Aggregator {
            analytics: analytics.clone(),
            usage: usage.clone(),
            retention: Retention {
                raw: 90,
                minutes: 7,
                hours: 90,
            },
            reported_within: 60_000,
            cache: Memory::default(),
        };
        Self {
            aggregator,
            analytics,
            usage,
        }
    }

    /// Appends events as one entry and returns the records of the table's stream.
    async fn append(&self, events: &[UsageEvent]) -> Vec<EventRecord> {
        let borrowed: Vec<_> = events.iter().map(UsageEvent::borrowed).collect();
        let mut packer = Packer::default();
        for event in &borrowed {
            packer.report(event);
        }
        let journal = Journal {
            store: self.analytics.clone(),
            retention_days: 90,
        };
        journal.append(packer, AT).await.unwrap();
        let changes = self.analytics.take_changes();
        changes
            .iter()
            .map(|change| record(&change.key, "INSERT"))
            .collect()
    }

    async fn append_amounts(&self, amounts: &[Amount]) -> Vec<EventRecord> {
        let journal = Journal {
            store: self.analytics.clone(),
            retention_days: 90,
        };
        journal.append_amounts(amounts, AT).await.unwrap();
        let changes = self.analytics.take_changes();
        changes
            .iter()
            .map(|change| record(&change.key, "INSERT"))
            .collect()
    }

    /// Closes the day of [`AT`].
    async fn close(&self) {
        let end = Window::Day.end(AT);
        for minutes in [60, 90] {
            let now = end.plus_millis(minutes * 60_000);
            self.aggregator.tick(now, &|| false).await.unwrap();
        }
    }

    /// Where the day of [`AT`] stands after a tick.
    async fn tick(&self, at: UnixMillis) -> Round {
        self.aggregator.tick(at, &|| false).await.unwrap();
        let mark = self.usage.peek(&ItemKey::day_mark(AT)).unwrap();
        state::decode::<DayMark>(&mark.state).unwrap().round
    }

    async fn fold(&self, records: &[EventRecord]) -> BatchAnswer {
        self.aggregator.batch(records, AT, &|| false).await.0
    }

    fn calls(&self, user: &str, at: UnixMillis) -> u64 {
        let stored = self.usage.peek(&ItemKey::hour(user, at));
        stored.map_or(0, |stored| {
            Hour::decode(&stored.state).unwrap().totals().calls
        })
    }

    fn sum(&self, key: &ItemKey) -> Sum {
        let stored = self.usage.peek(key).or_else(|| self.analytics.peek(key));
        stored.map_or_else(Sum::default, |stored| Sum::decode(&stored.state).unwrap())
    }

    fn parked(&self) -> usize {
        let keys = self.analytics.keys();
        let parked = keys
            .iter()
            .filter(|key| key.pk == ERRORS && key.sk.starts_with("parked#"));
        parked.count()
    }
}

fn record(key: &ItemKey, name: &str) -> EventRecord {
    let keys = [(attribute::PK, &key.pk), (attribute::SK, &key.sk)];
    let keys = keys.map(|(name, text)| (name.to_owned(), AttributeValue::S(text.clone())));
    let mut record = EventRecord::default();
    name.clone_into(&mut record.event_name);
    record.change.keys = HashMap::from(keys).into();
    record.change.sequence_number = Some(format!("{}/{}", key.pk, key.sk));
    record
}

fn call(number: u64, user: &str, at: UnixMillis) -> UsageEvent {
    sample::event(number, user, EventType::ApiCall, at)
}

#[tokio::test]
async fn a_batch_is_folded_once_however_often_it_comes_and_deletions_are_not_folded() {
    let world = World::new();
    let one = world
        .append(&[call(1, ANN, AT), call(2, "bob@example.com", AT)])
        .await;
    let other = world.append(&[call(1, ANN, AT), call(3, ANN, AT)]).await;
    for records in [&one, &other, &one] {
        assert_eq!(world.fold(records).await, BatchAnswer::default());
    }
    assert_eq!(
        (world.calls(ANN, AT), world.calls("bob@example.com", AT)),
        (2, 1)
    );
    let minute = world.sum(&ItemKey::minute(AT));
    assert_eq!(
        (minute.counts.tally.calls, minute.users, minute.repeats),
        (3, 2, 1)
    );
    let before = world.usage.units().calls;
    let key = &other[0].change.sequence_number.as_deref().unwrap();
    let (pk, sk) = key.rsplit_once('/').unwrap();
    let removed = [record(&ItemKey::new(pk, sk), "REMOVE")];
    assert_eq!(world.fold(&removed).await, BatchAnswer::default());
    assert_eq!(world.usage.units().calls, before);
}

/// What metrics of plans are made of.
#[tokio::test]
async fn counts_grow_once_and_for_the_plan_of_their_user() {
    let world = World::new();
    let mut of_bob = call(2, "bob@example.com", AT);
    of_bob.data.plan = Some("pro".to_owned());
    let limited = sample::event(3, ANN, EventType::RateLimited, AT);
    let grown = |calls, rate_limited| Totals {
        calls,
        rate_limited,
        units: calls,
        auth_failures: 0,
    };
    let grow = async |records: &[EventRecord]| {
        let (_, folded) = world.aggregator.batch(records, AT, &|| false).await;
        folded.growth.0.into_iter().collect::<Vec<_>>()
    };
    let one = world.append(&[call(1, ANN, AT), of_bob, limited]).await;
    let expected = [
        ("free".to_owned(), grown(1, 1)),
        ("pro".to_owned(), grown(1, 0)),
    ];
    assert_eq!(grow(&one).await, expected);
    let other = world.append(&[call(1, ANN, AT), call(4, ANN, AT)]).await;
    assert_eq!(grow(&other).await, [("free".to_owned(), grown(1, 0))]);
    assert_eq!(grow(&one).await, []);
}

#[tokio::test]
async fn minutes_without_time_are_redelivered_and_finished_ones_stay() {
    let world = World::new();
    let later = AT.plus_millis(60_000);
    let mut records = world.append(&[call(1, ANN, AT)]).await;
    records.extend(world.append(&[call(2, ANN, later)]).await);
    let looks = AtomicU32::new(0);
    let over = || looks.fetch_add(1, Ordering::Relaxed) >= 1;
    let (answer, _) = world.aggregator.batch(&records, AT, &over).await;
    let second = records[1].change.sequence_number.as_deref();
    assert_eq!(answer, BatchAnswer::failed(second));
    assert_eq!(world.calls(ANN, AT), 1);
    assert!(
        world.usage.peek(&ItemKey::hour_mark(AT)).is_none(),
        "not all is folded"
    );
    assert_eq!(world.fold(&records[1..]).await, BatchAnswer::default());
    assert_eq!(world.calls(ANN, AT), 2);
    assert!(world.usage.peek(&ItemKey::hour_mark(AT)).is_some());
}

#[tokio::test]
async fn an_entry_that_cannot_be_read_is_parked_and_counted_once_it_can() {
    let world = World::new();
    let good = world.append(&[call(1, ANN, AT)]).await;
    let bad = world.append(&[call(2, ANN, AT)]).await;
    let key = bad[0].change.sequence_number.as_deref().unwrap();
    let (pk, sk) = key.rsplit_once('/').unwrap();
    let key = ItemKey::new(pk, sk);
    world.analytics.tamper(&key, |bytes| bytes[0] += 100);
    let records = [good, bad].concat();
    assert_eq!(world.fold(&records).await, BatchAnswer::default());
    assert_eq!((world.calls(ANN, AT), world.parked()), (1, 1));
    world.aggregator.tick(AT, &|| false).await.unwrap();
    assert_eq!((world.calls(ANN, AT), world.parked()), (1, 1), "still owed");
    world.analytics.tamper(&key, |bytes| bytes[0] -= 100);
    world.aggregator.tick(AT, &|| false).await.unwrap();
    assert_eq!((world.calls(ANN, AT), world.parked()), (2, 0));
}

#[tokio::test]
async fn an_hour_of_a_later_release_is_not_replaced_and_holds_up_nobody() {
    let world = World::new();
    let first = world.append(&[call(1, ANN, AT)]).await;
    world.fold(&first).await;
    let key = ItemKey::hour(ANN, AT);
    world.usage.tamper(&key, |bytes| bytes[0] += 100);
    let fresh = World {
        aggregator: Aggregator {
            cache: Memory::default(),
            analytics: world.analytics.clone(),
            usage: world.usage.clone(),
            ..World::new().aggregator
        },
        ..world
    };
    let second = fresh
        .append(&[call(2, ANN, AT), call(3, "bob@example.com", AT)])
        .await;
    assert_eq!(fresh.fold(&second).await, BatchAnswer::default());
    assert_eq!(fresh.calls("bob@example.com", AT), 1);
    assert_eq!(fresh.usage.peek(&key).unwrap().version, 1);
    assert_eq!(fresh.parked(), 1);
    fresh.usage.tamper(&key, |bytes| bytes[0] -= 100);
    fresh.aggregator.tick(AT, &|| false).await.unwrap();
    assert_eq!((fresh.calls(ANN, AT), fresh.parked()), (2, 0));
}

#[tokio::test]
async fn an_item_that_outgrew_its_table_is_parked_and_holds_up_nobody() {
    let world = World::new();
    let hour = ItemKey::hour(ANN, AT);
    let outgrown = hour.clone();
    world.usage.inject(move |call, key| match call {
        Call::Write if *key == outgrown => Fault::TooLarge,
        Call::Write | Call::Read => Fault::None,
    });
    let changes = world
        .append(&[call(1, ANN, AT), call(2, "bob@example.com", AT)])
        .await;
    assert_eq!(world.fold(&changes).await, BatchAnswer::default());
    assert_eq!(world.calls("bob@example.com", AT), 1);
    assert_eq!((world.usage.peek(&hour), world.parked()), (None, 1));
    let mut reasons = Vec::new();
    world.analytics.each_document(|key, document| {
        if key.pk == ERRORS {
            let reason = document
                .attributes
                .iter()
                .find(|(name, _)| *name == attribute::REASON);
            reasons.extend(reason.map(|(_, value)| value.clone()));
        }
    });
    assert_eq!(reasons, [Value::Text("tooLarge".to_owned())]);
    world.usage.inject(|_, _| Fault::None);
    world.aggregator.tick(AT, &|| false).await.unwrap();
    assert_eq!((world.calls(ANN, AT), world.parked()), (1, 0));
}

/// What only a later release reads is not sealed away. Neither is a sum that no call of its minute leads to.
#[tokio::test]
async fn a_day_is_sealed_once_its_parked_items_are_readable_or_its_journal_expires() {
    for (days_unreadable, calls) in [(15, 1), (16, 0)] {
        let world = World::new();
        let _given_up = world.append(&[call(1, ANN, AT)]).await;
        let day = ItemKey::day(ANN, AT);
        let end = Window::Day.end(AT);
        // Another release wrote the day before it knew of the call.
        let later = vec![250, 1];
        world.usage.plant(&day, 1, later.clone());
        for days in 0..days_unreadable {
            let at = end.plus_days(days).plus_millis(2 * HOUR);
            let is_over = days >= 15;
            let is_sealed = world.tick(at).await == Round::Sealed;
            assert_eq!(is_sealed, is_over, "after {days} days");
        }
        world.usage.forget(&day);
        let later = end.plus_days(days_unreadable);
        world.tick(later.plus_millis(3 * HOUR)).await;
        let round = world.tick(later.plus_millis(4 * HOUR)).await;
        assert_eq!(round, Round::Sealed);
        let counted = [&day, &ItemKey::month(ANN, AT)].map(|key| world.sum(key).counts.tally.calls);
        assert_eq!(counted, [calls; 2], "after {days_unreadable} days");
    }
}

/// Its change is given up, so only the second look at a closed day comes to it. The hour had no call before.
#[tokio::test]
async fn a_late_entry_that_cannot_be_read_keeps_its_day_from_being_sealed() {
    let world = World::new();
    let other_hour = AT.plus_millis(HOUR);
    world.append(&[call(1, ANN, other_hour)]).await;
    let end = Window::Day.end(AT);
    assert_eq!(world.tick(end.plus_millis(2 * HOUR)).await, Round::Closed);
    world.analytics.take_changes();
    let late = world.append(&[call(2, ANN, AT)]).await;
    let key = late[0].change.sequence_number.as_deref().unwrap();
    let (pk, sk) = key.rsplit_once('/').unwrap();
    let key = ItemKey::new(pk, sk);
    world.analytics.tamper(&key, |bytes| bytes[0] += 100);
    let seal = end.plus_days(9);
    assert_ne!(world.tick(seal).await, Round::Sealed);
    assert_eq!(world.parked(), 1);
    world.analytics.tamper(&key, |bytes| bytes[0] -= 100);
    for hours in 1..=2 {
        world.tick(seal.plus_millis(hours * HOUR)).await;
    }
    assert_eq!(world.tick(seal.plus_millis(3 * HOUR)).await, Round::Sealed);
    let day = world.sum(&ItemKey::day(ANN, AT));
    assert_eq!((day.counts.tally.calls, world.parked()), (2, 0));
}

/// Lambda gave up on the changes. Closing the day counts them nevertheless, and rolls up later
/// calls.
#[tokio::test]
async fn a_day_is_closed_from_the_journal_alone_and_late_calls_still_count() {
    let world = World::new();
    let _given_up = world.append(&[call(1, ANN, AT), call(2, ANN, AT)]).await;
    let end = Window::Day.end(AT);
    assert_eq!(world.tick(end.plus_millis(2 * HOUR)).await, Round::Closed);
    let calls = |key: &ItemKey| world.sum(key).counts.tally.calls;
    let keys = [
        ItemKey::day(ANN, AT),
        ItemKey::month(ANN, AT),
        ItemKey::all_time(ANN),
        ItemKey::total(Window::Day, AT),
    ];
    assert_eq!(keys.each_ref().map(calls), [2; 4]);
    let late = world.append(&[call(3, ANN, AT.plus_millis(HOUR))]).await;
    assert_eq!(world.fold(&late).await, BatchAnswer::default());
    assert_eq!(keys.each_ref().map(calls), [3; 4]);
    assert_eq!(world.tick(end.plus_days(9)).await, Round::Sealed);
    let too_late = world.append(&[call(4, ANN, AT)]).await;
    assert_eq!(world.fold(&too_late).await, BatchAnswer::default());
    assert_eq!(keys.each_ref().map(calls), [3; 4], "nothing moves");
    let span = Span { from: AT, to: AT };
    assert_eq!(world.aggregator.close_again(span, end).await.unwrap(), 1);
    assert_eq!(world.tick(end.plus_days(10)).await, Round::Sealed);
    assert_eq!(keys.each_ref().map(calls), [4; 4]);
}

#[tokio::test]
async fn a_flood_of_addresses_costs_a_write_unit_each_and_who_fails_often_is_listed_first() {
    let world = World::new();
    let failed = |number: u64, ip: &str| {
        let subject = format!("ip:{ip}");
        let mut event = sample::event(number, &subject, EventType::AuthFailed, AT);
        event.data.ip = ip.to_owned();
        event
    };
    let flood: Vec<_> = (0..500_u64)
        .map(|number| failed(number, &format!("10.0.{}.{}", number / 250, number % 250)))
        .collect();
    let records = world.append(&flood).await;
    let before = world.analytics.units().writes;
    world.fold(&records).await;
    let units = world.analytics.units().writes - before;
    assert!(units <= 2 * 500, "{units} write units for 500 calls");
    let again: Vec<_> = (1_000..1_000 + LISTED_FROM)
        .map(|number| failed(number, "10.0.0.7"))
        .collect();
    let records = world.append(&again).await;
    world.fold(&records).await;
    let key = ItemKey::address(AT, Listed::First, "10.0.0.7");
    let listed: AddressHour = state::decode(&world.analytics.peek(&key).unwrap().state).unwrap();
    assert_eq!(listed.total(), 1 + LISTED_FROM);
}

#[tokio::test]
async fn a_key_that_throttles_is_spread_and_read_as_before() {
    let world = World::new();
    world.analytics.inject(|call, key| {
        let is_spread = key.pk.matches('#').count() > 1 || key.sk.ends_with('!');
        let is_entry = call == Call::Write && key.pk.starts_with(JOURNAL_PREFIX);
        if is_entry && !is_spread {
            Fault::Throttled
        } else {
            Fault::None
        }
    });
    let records = world.append(&[call(1, ANN, AT), call(2, ANN, AT)]).await;
    assert!(records.iter().any(|record| {
        let key = record.change.sequence_number.as_deref().unwrap();
        key.starts_with("JOURNAL#2026-11-22T16#04#")
    }));
    assert_eq!(world.fold(&records).await, BatchAnswer::default());
    assert_eq!(world.calls(ANN, AT), 2);
}

/// Amounts come before the call, after it, and after its day is closed.
#[tokio::test]
async fn an_amount_reaches_every_sum_of_its_call_whenever_it_comes() {
    let world = World::new();
    let call = call(1, "ann@example.com", AT);
    let amount = |meter: &str, amount| Amount {
        call: call.id,
        meter: meter.to_owned(),
        amount,
        to_quota: meter == "tokens",
    };
    let first = world.append_amounts(&[amount("tokens", 70)]).await;
    assert!(world.fold(&first).await.batch_item_failures.is_empty());
    assert_eq!(world.calls("ann@example.com", AT), 0);
    let event = world.append(std::slice::from_ref(&call)).await;
    world.fold(&event).await;
    world.close().await;
    let late = world
        .append_amounts(&[amount("rows", 3), amount("tokens", 70)])
        .await;
    world.fold(&late).await;
    world.fold(&late).await;
    let expected = Amounts::from([("rows".to_owned(), 3), ("tokens".to_owned(), 70)]);
    for key in [
        ItemKey::day("ann@example.com", AT),
        ItemKey::month("ann@example.com", AT),
        ItemKey::all_time("ann@example.com"),
        ItemKey::total(Window::Hour, AT),
        ItemKey::total(Window::Day, AT),
    ] {
        let tally = world.sum(&key).counts.tally;
        assert_eq!((&tally.meters, tally.units), (&expected, 71), "{key:?}");
    }
}

#[tokio::test]
async fn an_amount_without_a_call_is_listed_once_its_day_is_closed() {
    let world = World::new();
    let call = call(1, "ann@example.com", AT);
    let amount = Amount {
        call: call.id,
        meter: "tokens".to_owned(),
        amount: 70,
        to_quota: false,
    };
    let records = world.append_amounts(&[amount]).await;
    world.fold(&records).await;
    let key = ItemKey::error("unclaimed", &format!("{}/tokens", call.id));
    assert!(world.analytics.peek_document(&key).is_none());
    world.close().await;
    let listed = world.analytics.peek_document(&key).unwrap();
    let (_, reason) = &listed.attributes[0];
    assert_eq!(*reason, Value::Text("unknownCall".to_owned()));
}
