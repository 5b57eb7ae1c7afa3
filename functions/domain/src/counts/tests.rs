#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use proptest::prelude::*;

use super::*;
use crate::dimension::{Dimension, Dimensions, Share};
use crate::event::EventType;
use crate::key_calls::KeyCalls;
use crate::response::Response;

const HOUR: UnixMillis = UnixMillis(1_795_363_200_000);

prop_compose! {
    fn counts(minute: u8)(
        calls in proptest::collection::vec((0_u8..3, 0_u8..3, 0_u8..4, 1_u64..1_000, 0_u32..20), 0..6),
        amounts in proptest::collection::vec((0_u8..3, 0_u64..1_000), 0..4),
        labels in proptest::collection::vec((0_u8..2, 0_u8..4, 1_u64..9), 0..4),
        keys in proptest::collection::vec((0_u8..3, 1_u64..4), 0..4), is_sole: bool,
        statuses in proptest::collection::vec((100_u16..600, proptest::option::of(any::<u32>())), 0..6),
        seen in proptest::option::of((0_i64..60_000, 0_i64..60_000, proptest::option::of(0_i64..60_000))),
    ) -> Counts {
        let mut counts = Counts::default();
        for (event_type, method, endpoint, count, units) in calls {
            let event_type = EventType::ALL[usize::from(event_type)];
            counts.tally.weigh((event_type, units), ["GET", "PUT", "POST"][usize::from(method)], &format!("/{endpoint}"), count);
        }
        for (meter, amount) in amounts {
            let meter = ["tokens", "rows", "/1"][usize::from(meter)].to_owned();
            *counts.tally.meters.entry(meter).or_default() += amount;
        }
        for (name, value, calls) in labels {
            let name = ["tenant", "GET"][usize::from(name)].to_owned();
            let dimension = counts.tally.dimensions.entry(name).or_default();
            dimension.most = 50;
            let share = dimension.values.entry(format!("/{value}")).or_default();
            share.add(Share { calls, units: 2 * calls });
        }
        if is_sole && counts.tally.calls > 0 {
            counts.tally.count_key("key_1", counts.tally.calls);
        } else {
            for (key, calls) in keys {
                counts.tally.count_key(&format!("key_{key}"), calls);
            }
        }
        for (status, latency) in statuses {
            counts.responses.count(Response { status, latency });
        }
        counts.seen = seen.map(|(one, other, plan)| {
            let at = |millis: i64| HOUR.plus_millis(i64::from(minute) * 60_000 + millis);
            let (first, last) = (at(one.min(other)), at(one.max(other)));
            let plan = plan.map(|plan| (at(plan).min(last), "free".to_owned()));
            Seen::new(first, last, plan)
        });
        counts
    }
}

fn slot() -> impl Strategy<Value = (u8, Slot)> {
    (0_u8..60, 1_u64..9).prop_flat_map(|(minute, rank)| {
        counts(minute).prop_map(move |counts| (minute, Slot { rank, counts }))
    })
}

proptest! {
    #[test]
    fn an_hour_reads_back_as_stored_and_sums_to_its_slots(slots in proptest::collection::vec(slot(), 0..20)) {
        let mut hour = Hour::new(HOUR);
        for (minute, slot) in &slots {
            hour.offer(*minute, slot);
        }
        let stored = hour.encode().unwrap();
        let read = Hour::decode(&stored).unwrap();
        prop_assert_eq!(&read, &hour);
        for cut in 0..stored.len() {
            prop_assert!(Hour::decode(&stored[..cut]).is_err());
        }
        let sum = hour.sum();
        let calls: u64 = hour.slots().map(|(_, slot)| slot.counts.tally.calls).sum();
        prop_assert_eq!(sum.counts.tally.calls, calls);
        let in_quarters: u64 = sum.quarters_of(HOUR).map(|(_, totals)| totals.calls).sum();
        prop_assert_eq!(in_quarters, calls);
        let units: u64 = hour.slots().map(|(_, slot)| slot.counts.tally.units).sum();
        let in_quarters: u64 = sum.quarters_of(HOUR).map(|(_, totals)| totals.units).sum();
        prop_assert_eq!((sum.counts.tally.units, in_quarters), (units, units));
        let tokens = |of: &Amounts| of.get("tokens").copied().unwrap_or(0);
        let of_slots: u64 = hour.slots().map(|(_, slot)| tokens(&slot.counts.tally.meters)).sum();
        let in_quarters: u64 = sum.amounts_of(HOUR).map(|(_, amounts)| tokens(amounts)).sum();
        prop_assert_eq!((tokens(&sum.counts.tally.meters), in_quarters), (of_slots, of_slots));
        prop_assert_eq!(Sum::decode(&sum.encode().unwrap()).unwrap(), sum);
    }

    /// In any order and with any repetition, the highest rank of each minute wins.
    #[test]
    fn order_and_repetition_change_nothing(offers in proptest::collection::vec((0_u8..3, 1_u64..6), 0..40)) {
        let slot = |minute: u8, rank: u64| {
            let mut slot = Slot { rank, ..Slot::default() };
            slot.counts.tally.calls = rank * 10 + u64::from(minute);
            slot
        };
        let mut hour = Hour::new(HOUR);
        let mut highest: BTreeMap<u8, u64> = BTreeMap::new();
        for (minute, rank) in &offers {
            let known = highest.entry(*minute).or_default();
            prop_assert_eq!(hour.offer(*minute, &slot(*minute, *rank)), *rank > *known);
            *known = (*known).max(*rank);
        }
        let expected: u64 = highest.iter().map(|(minute, rank)| slot(*minute, *rank).counts.tally.calls).sum();
        prop_assert_eq!(hour.totals().calls, expected);
    }
}

/// 10,000 routes in each of sixty minutes, each with a histogram: the item still fits.
#[test]
fn a_user_of_ten_thousand_routes_has_an_hour_that_fits() {
    let mut hour = Hour::new(HOUR);
    for minute in 0..60 {
        let mut slot = Slot {
            rank: 1,
            ..Slot::default()
        };
        for route in 0..10_000 {
            let calls = if route < 50 { 7 } else { 1 };
            let endpoint = format!("/v1/accounts/{route}/statements");
            slot.counts
                .tally
                .count(EventType::ApiCall, "GET", &endpoint, calls);
        }
        let tokens = slot.counts.tally.meters.entry("tokens".to_owned());
        *tokens.or_default() += 5;
        for latency in 0..2_000 {
            slot.counts.responses.count(Response {
                status: 200,
                latency: Some(latency),
            });
        }
        hour.offer(minute, &slot);
    }
    let stored = hour.encode().unwrap();
    assert!(stored.len() <= LARGEST_STATE, "{} bytes", stored.len());
    let read = Hour::decode(&stored).unwrap();
    assert_eq!(read.totals(), hour.totals());
    let sum = read.sum();
    assert_eq!(sum.counts.responses, hour.sum().counts.responses);
    let endpoints = &sum.counts.tally.endpoints;
    assert_eq!(endpoints["/v1/accounts/7/statements"], 7 * 60);
    assert_eq!(endpoints.len(), FIRST_LABELS);
    assert_eq!(sum.counts.tally.meters["tokens"], 5 * 60);
    assert_eq!(endpoints.values().sum::<u64>(), sum.counts.tally.calls);
    assert!(endpoints[OTHER] > 9_000 * 60);
    let sum = Sum::decode(&hour.sum().encode().unwrap()).unwrap();
    assert_eq!(sum.counts.tally.calls, hour.totals().calls);
}

#[test]
fn an_address_remembers_twenty_keys_at_most_whatever_their_order() {
    let mut forwards = Failures::default();
    let mut backwards = Failures::default();
    let keys: Vec<String> = (0..100).map(|key| format!("{key:02}")).collect();
    for (one, other) in keys.iter().zip(keys.iter().rev()) {
        forwards.note_key(one);
        backwards.note_key(other);
    }
    assert_eq!(forwards, backwards);
    assert_eq!(forwards.keys.len(), Failures::MOST_KEYS);
    assert_eq!(forwards.keys.last().map(String::as_str), Some("19"));
}

#[test]
fn parts_add_up_and_a_longer_span_has_no_quarters() {
    let mut day = Sum::default();
    for hour in [0, 13] {
        let mut part = Hour::new(HOUR.plus_millis(hour * 3_600_000 - 16 * 3_600_000));
        let mut slot = Slot {
            rank: 3,
            ..Slot::default()
        };
        slot.counts.tally.calls = 5;
        part.offer(16, &slot);
        day.merge(&part.sum());
    }
    assert_eq!((day.rank, day.counts.tally.calls), (6, 10));
    let quarters: Vec<u8> = day.quarters.keys().copied().collect();
    assert_eq!(quarters, [1, 53]);
    let month = Sum::of([&day, &day]);
    assert_eq!((month.rank, month.counts.tally.calls), (12, 20));
    assert!(month.quarters.is_empty());
}

/// Every later release reads what a release wrote.
#[test]
fn states_of_format_4_are_read_and_each_call_weighs_one_unit() {
    let samples: [&[u8]; 4] = [
        include_bytes!("../../samples/hour-4.bin"),
        include_bytes!("../../samples/sum-4.bin"),
        include_bytes!("../../samples/day-mark-4.bin"),
        include_bytes!("../../samples/address-4.bin"),
    ];
    read(samples, 7);
}

#[test]
fn states_of_format_5_are_read_with_their_units() {
    let samples: [&[u8]; 4] = [
        include_bytes!("../../samples/hour-5.bin"),
        include_bytes!("../../samples/sum-5.bin"),
        include_bytes!("../../samples/day-mark-5.bin"),
        include_bytes!("../../samples/address-5.bin"),
    ];
    read(samples, 70);
}

#[test]
fn states_of_format_6_are_read_with_their_amounts() {
    let samples: [&[u8]; 4] = [
        include_bytes!("../../samples/hour-6.bin"),
        include_bytes!("../../samples/sum-6.bin"),
        include_bytes!("../../samples/day-mark-6.bin"),
        include_bytes!("../../samples/address-6.bin"),
    ];
    read(samples, 70);
    let [_, sum, ..] = samples;
    let sum = Sum::decode(sum).unwrap();
    let amounts = Amounts::from([("tokens".to_owned(), 1_234)]);
    assert_eq!(sum.counts.tally.meters, amounts);
    assert_eq!(sum.amounts, BTreeMap::from([(64, amounts)]));
}

#[test]
fn states_of_format_7_are_read_with_their_dimensions() {
    let hour = Hour::decode(include_bytes!("../../samples/hour-7.bin")).unwrap();
    let sum = Sum::decode(include_bytes!("../../samples/sum-7.bin")).unwrap();
    assert_eq!((hour.totals().calls, hour.totals().units), (7, 70));
    assert_eq!(sum, hour.sum());
    assert_eq!(sum.counts.tally.dimensions, tenants());
}

#[test]
fn states_of_format_8_are_read_with_their_keys() {
    let hour = Hour::decode(include_bytes!("../../samples/hour-8.bin")).unwrap();
    let sum = Sum::decode(include_bytes!("../../samples/sum-8.bin")).unwrap();
    let keys: Vec<_> = hour
        .slots()
        .map(|(_, slot)| slot.counts.tally.keys.clone())
        .collect();
    let expected = [
        key_calls(&[("key_1", 7)]),
        KeyCalls::new(),
        key_calls(&[("key_1", 7)]),
        key_calls(&[("key_1", 4), ("key_2", 2)]),
    ];
    assert_eq!(keys, expected);
    assert_eq!(sum, hour.sum());
    assert_eq!(sum.counts.tally.calls, 21);
    assert_eq!(
        sum.counts.tally.keys,
        key_calls(&[("key_1", 18), ("key_2", 2)])
    );
}

fn key_calls(calls: &[(&str, u64)]) -> KeyCalls {
    let calls = calls.iter();
    calls
        .map(|(key, calls)| ((*key).to_owned(), *calls))
        .collect()
}

/// A user with one key pays for its name, and nothing for each minute or call.
#[test]
fn one_key_costs_its_name_and_no_more() {
    let mut hour = Hour::new(HOUR);
    let mut keyed = hour.clone();
    for minute in 0..60 {
        let mut slot = Slot {
            rank: 1,
            ..Slot::default()
        };
        let of = if minute % 7 == 3 {
            EventType::AuthFailed
        } else {
            EventType::ApiCall
        };
        slot.counts.tally.count(of, "GET", "/", 1);
        hour.offer(minute, &slot);
        if of == EventType::ApiCall {
            slot.counts.tally.count_key("key_0123456789abcdef", 1);
        }
        keyed.offer(minute, &slot);
    }
    let length = |hour: &Hour| {
        (
            hour.encode().unwrap().len(),
            hour.sum().encode().unwrap().len(),
        )
    };
    let (without, with) = (length(&hour), length(&keyed));
    assert_eq!((with.0 - without.0, with.1 - without.1), (26, 24));
}

/// A sum bounds its keys when it is stored; nothing that it adds up is bounded before.
#[test]
fn a_stored_sum_keeps_its_keys_with_most_calls_and_every_call() {
    let most = u64::from(crate::key_calls::MOST_KEYS);
    let mut day = Sum::default();
    for number in 0..most + 2 {
        let mut part = Sum {
            rank: 1,
            ..Sum::default()
        };
        part.counts.tally.calls = 1 + number;
        part.counts
            .tally
            .count_key(&format!("key_{number:016x}"), 1 + number);
        day.merge(&part);
    }
    let stored = Sum::decode(&day.encode().unwrap()).unwrap();
    let keys = &stored.counts.tally.keys;
    assert_eq!((keys.len() as u64, keys[OTHER]), (most + 1, 1 + 2));
    assert_eq!(keys.values().sum::<u64>(), stored.counts.tally.calls);
}

/// Two values, of which a sum keeps one apart.
fn tenants() -> Dimensions {
    let values = [("acme", 4, 40), (OTHER, 3, 30)];
    let values = values.map(|(value, calls, units)| (value.to_owned(), Share { calls, units }));
    let tenants = Dimension {
        most: 1,
        values: values.into(),
    };
    Dimensions::from([("tenant".to_owned(), tenants)])
}

/// Without dimensions, counts are stored as they were before there were any.
#[test]
fn counts_without_dimensions_cost_nothing_more() {
    let mut slot = Slot {
        rank: 1,
        ..Slot::default()
    };
    slot.counts.tally.count(EventType::ApiCall, "GET", "/", 1);
    let mut hour = Hour::new(HOUR);
    hour.offer(4, &slot);
    let formats = |hour: &Hour| [hour.encode().unwrap()[0], hour.sum().encode().unwrap()[0]];
    assert_eq!(formats(&hour), [crate::state::FORMAT; 2]);
    // What the release before dimensions stored is what this one stores.
    let before: [&[u8]; 2] = [
        include_bytes!("../../samples/hour-6.bin"),
        include_bytes!("../../samples/sum-6.bin"),
    ];
    let [hour_before, sum_before] = before;
    let again = [
        Hour::decode(hour_before).unwrap().encode().unwrap(),
        Sum::decode(sum_before).unwrap().encode().unwrap(),
    ];
    assert_eq!(again, before);
    slot.rank = 2;
    slot.counts.tally.dimensions = tenants();
    hour.offer(4, &slot);
    assert_eq!(formats(&hour), [crate::state::LABELLED; 2]);
}

/// A sum bounds its dimensions when it is stored; nothing that it adds up is bounded before.
#[test]
fn a_stored_sum_keeps_its_values_with_most_calls_and_every_call() {
    let mut day = Sum::default();
    for (hour, value) in [(0, "acme"), (1, "globex"), (2, "acme"), (3, "initech")] {
        let mut part = Sum {
            rank: 1,
            ..Sum::default()
        };
        let values = BTreeMap::from([(
            value.to_owned(),
            Share {
                calls: 5 + hour,
                units: 1,
            },
        )]);
        let tenants = Dimension { most: 1, values };
        part.counts
            .tally
            .dimensions
            .insert("tenant".to_owned(), tenants);
        day.merge(&part);
    }
    let stored = Sum::decode(&day.encode().unwrap()).unwrap();
    let values = &stored.counts.tally.dimensions["tenant"].values;
    let calls: Vec<_> = values
        .iter()
        .map(|(value, share)| (value.as_str(), share.calls))
        .collect();
    assert_eq!(calls, [("acme", 5 + 7), (OTHER, 6 + 8)]);
}

fn read([hour, sum, mark, address]: [&[u8]; 4], units: u64) {
    let hour = Hour::decode(hour).unwrap();
    let totals = hour.totals();
    assert_eq!((hour.start(), totals.calls, totals.units), (HOUR, 7, units));
    let sum = Sum::decode(sum).unwrap();
    assert_eq!(sum, hour.sum());
    let mark: crate::mark::DayMark = crate::state::decode(mark).unwrap();
    assert_eq!(mark, crate::mark::DayMark::begin(HOUR));
    let address: AddressHour = crate::state::decode(address).unwrap();
    assert_eq!(address.total(), 3);
}

/// Writes the samples that later releases must read. Run it by hand once per format.
#[test]
#[ignore = "writes files: run by hand when a format is new"]
fn write_samples() {
    let mut slot = Slot {
        rank: 9,
        ..Slot::default()
    };
    slot.counts
        .tally
        .weigh((EventType::ApiCall, 10), "GET", "/v1/deadlines", 7);
    let amounts = Amounts::from([("tokens".to_owned(), 1_234)]);
    slot.counts.tally.meters = amounts;
    slot.counts.tally.dimensions = tenants();
    slot.counts.responses.count(Response {
        status: 200,
        latency: Some(40),
    });
    let at = HOUR.plus_millis(4 * 60_000 + 7);
    slot.counts.seen = Some(Seen::new(at, at, Some((at, "free".to_owned()))));
    let seen = slot.counts.seen.take();
    let mut hour = Hour::new(HOUR);
    slot.counts.tally.count_key("key_1", 7);
    hour.offer(3, &slot);
    hour.offer(5, &slot);
    slot.counts.tally = Tally {
        auth_failures: 2,
        ..Tally::default()
    };
    slot.counts.seen = seen;
    hour.offer(4, &slot);
    slot.counts.seen = None;
    slot.counts
        .tally
        .weigh((EventType::ApiCall, 10), "GET", "/v1/deadlines", 7);
    slot.counts.tally.count_key("key_1", 4);
    slot.counts.tally.count_key("key_2", 2);
    hour.offer(6, &slot);
    // Marks and addresses have no dimensions and keys: their format is still 6.
    for (name, bytes) in [
        ("hour-8", hour.encode().unwrap()),
        ("sum-8", hour.sum().encode().unwrap()),
    ] {
        let to = format!("{}/samples/{name}.bin", env!("CARGO_MANIFEST_DIR"));
        std::fs::write(to, bytes).unwrap();
    }
}
