#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::event::UsageEvent;
use crate::sample;

const NOON: UnixMillis = UnixMillis(1_795_348_800_000);

fn event(number: u64, millis: i64) -> UsageEvent {
    sample::event(
        number,
        "ann@example.com",
        EventType::ApiCall,
        NOON.plus_millis(millis),
    )
}

/// A call with two dimensions.
fn labelled(number: u64, millis: i64) -> UsageEvent {
    let mut event = event(number, millis);
    let labels = [("region", "eu", 5), ("tenant", "acme", 20)];
    let labels = labels.map(|(name, value, values)| Label {
        name: name.into(),
        value: value.into(),
        values,
    });
    event.data.dimensions = labels.into();
    event
}

fn pack(events: &[UsageEvent]) -> Vec<Entry> {
    let events: Vec<_> = events.iter().map(UsageEvent::borrowed).collect();
    let mut packer = Packer::default();
    for event in &events {
        packer.report(event);
    }
    packer.pack()
}

/// The events of an entry, in the order in which they were packed.
fn unpack(entry: &Entry) -> Vec<(Kind, Option<Response>, UsageEvent)> {
    let facts = Facts::read(&entry.facts).unwrap();
    let events = events(&facts, &entry.details).unwrap().into_iter();
    events
        .map(|(kind, response, event)| (kind, response, event.to_owned()))
        .collect()
}

prop_compose! {
    fn an_event()(
        number: u64, millis in 0_i64..120_000, event_type in select(EventType::ALL.to_vec()),
        subject in "[a-c]{1,3}@example.com", endpoint in "/[a-z/{}]{0,20}",
        details in proptest::option::of("\\PC{0,30}"),
        request_id in proptest::option::of("\\PC{0,30}"),
        plan in proptest::option::of(select(vec!["free", "pro"])),
        units in prop_oneof![Just(1), any::<u32>()],
        labels in proptest::collection::btree_map("[a-c]", ("\\PC{1,9}", 1_u8..9), 0..4),
    ) -> UsageEvent {
        let mut event = sample::event(number, &subject, event_type, NOON.plus_millis(millis));
        event.data.endpoint = endpoint;
        event.data.user_agent = details;
        event.data.request_id = request_id;
        event.data.plan = plan.map(str::to_owned);
        if event_type == EventType::ApiCall {
            event.data.units = units;
            let labels = labels.into_iter().map(|(name, (value, values))| Label {
                name: name.into(),
                value: value.into(),
                values,
            });
            event.data.dimensions = labels.collect();
        }
        event
    }
}

proptest! {
    #[test]
    fn what_is_packed_is_unpacked_each_in_its_minute(
        given in proptest::collection::vec((an_event(), proptest::option::of((100_u16..600, proptest::option::of(any::<u32>()))), any::<bool>()), 1..60),
    ) {
        let borrowed: Vec<_> = given.iter().map(|(event, ..)| event.borrowed()).collect();
        let mut packer = Packer::default();
        for (event, (_, response, is_line)) in borrowed.iter().zip(&given) {
            if *is_line {
                packer.line(event, response.map(|(status, latency)| Response { status, latency }));
            } else {
                packer.report(event);
            }
        }
        let mut unpacked = Vec::new();
        for entry in packer.pack() {
            for told in unpack(&entry) {
                prop_assert_eq!(Window::Minute.start(told.2.time), entry.minute);
                unpacked.push(told);
            }
        }
        let mut expected: Vec<_> = given.into_iter().map(|(mut event, response, is_line)| {
            if is_line {
                (event.data.user_agent, event.data.request_id) = (None, None);
                event.data.dimensions.clear();
                let response = response.map(|(status, latency)| Response { status, latency });
                (Kind::Line, response, event)
            } else {
                (Kind::Report, None, event)
            }
        }).collect();
        // Minute by minute, and in order within each.
        expected.sort_by_key(|(_, _, event)| Window::Minute.start(event.time));
        unpacked.sort_by_key(|(_, _, event)| Window::Minute.start(event.time));
        prop_assert_eq!(unpacked, expected);
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes: Vec<u8>, cut in 0_usize..200, flip in 0_usize..200, to: u8) {
        let _ = Facts::read(&bytes);
        let entry = &pack(&[event(1, 5), labelled(2, 6)])[0];
        let _ = Facts::read(&entry.facts[..cut.min(entry.facts.len())]);
        let mut changed = entry.facts.clone();
        let at = flip % changed.len();
        changed[at] = to;
        if let Ok(facts) = Facts::read(&changed) {
            let _ = facts.iter().count() + facts.contents().count() + facts.labels().count();
            let _ = events(&facts, &entry.details);
        }
        let facts = Facts::read(&entry.facts).unwrap();
        let _ = events(&facts, &bytes);
    }
}

#[test]
fn the_same_batch_is_the_same_entry_and_another_is_another() {
    let digest = |events: &[UsageEvent]| pack(events)[0].digest.clone();
    let (one, other) = (event(1, 5), event(2, 6));
    let both = [one.clone(), other.clone()];
    assert_eq!(digest(&both), digest(&both));
    assert_eq!(digest(&both).len(), 32);
    let mut changed = one.clone();
    changed.data.user_agent = Some("another".to_owned());
    let digests = [
        digest(&both),
        digest(&[other, one.clone()]),
        digest(&[one]),
        digest(&[changed]),
    ];
    let distinct: std::collections::BTreeSet<_> = digests.iter().collect();
    assert_eq!(distinct.len(), digests.len());
}

#[test]
fn a_batch_across_a_minute_is_two_entries() {
    let entries = pack(&[event(1, 59_999), event(2, 60_000), event(3, 1)]);
    let minutes: Vec<i64> = entries
        .iter()
        .map(|entry| entry.minute.since(NOON))
        .collect();
    assert_eq!(minutes, [0, 60_000]);
    assert_eq!(unpack(&entries[0]).len(), 2);
}

#[test]
fn a_batch_that_is_too_large_for_an_item_is_several() {
    let long = |number: u64| {
        let mut event = event(number, 5);
        event.data.endpoint = format!("/{number:0>500}");
        event.data.user_agent = Some(format!("{number:x>250}"));
        event
    };
    let given: Vec<_> = (0..2_000).map(long).collect();
    let entries = pack(&given);
    assert!(entries.len() > 1);
    for entry in &entries {
        assert!(entry.facts.len() + entry.details.len() < LARGEST + 2_000);
    }
    let unpacked: Vec<_> = entries
        .iter()
        .flat_map(unpack)
        .map(|(_, _, event)| event)
        .collect();
    assert_eq!(unpacked, given);
}

#[test]
fn a_fact_takes_some_fourteen_bytes() {
    let given: Vec<_> = (0..1_000).map(|number| event(number, 5)).collect();
    let entry = &pack(&given)[0];
    assert!(entry.facts.len() < 1_000 * 14, "{}", entry.facts.len());
    assert!(entry.details.len() < 1_000 * 4, "{}", entry.details.len());
}

#[test]
fn a_later_format_is_distinguished_from_a_corrupt_one() {
    let entry = &pack(&[event(1, 5)])[0];
    let mut later = entry.facts.clone();
    later[0] = LATEST + 1;
    assert_eq!(
        Facts::read(&later).unwrap_err(),
        EntryError::Newer { found: LATEST + 1 }
    );
    let bytes = entry.facts.len() - 1;
    assert_eq!(
        Facts::read(&entry.facts[..bytes]).unwrap_err(),
        EntryError::Corrupt { bytes }
    );
    assert!(Facts::read(&[]).is_err());
}

/// Every later release reads what a release wrote.
#[test]
fn entries_of_format_1_are_read_and_each_call_weighs_one_unit() {
    reads(include_bytes!("../../samples/entry-1.bin"), 1);
}

#[test]
fn entries_of_format_2_are_read_with_their_units() {
    reads(include_bytes!("../../samples/entry-2.bin"), 10);
}

#[test]
fn entries_of_format_4_are_read_with_their_dimensions() {
    let stored = include_bytes!("../../samples/entry-4.bin");
    reads(stored, 10);
    let length = u32::from_be_bytes(stored[..4].try_into().unwrap()) as usize;
    let facts = Facts::read(&stored[4..4 + length]).unwrap();
    let labels: Vec<_> = facts.labels().map(Label::into_owned).collect();
    assert_eq!(labels, labelled(1, 5).data.dimensions);
    let sets: Vec<u32> = facts.iter().map(|fact| fact.set).collect();
    assert_eq!(sets, [1, 0, 0]);
    assert_eq!(facts.labels_of(1).collect::<Vec<_>>(), [0, 1]);
}

/// Without dimensions an entry is what it was before there were any.
#[test]
fn events_without_dimensions_cost_nothing_more() {
    // What the release before dimensions stored is what this one stores.
    let mut given = [event(1, 5), event(2, 59_999)];
    for event in &mut given {
        event.data.units = 10;
    }
    assert_eq!(
        sample_of(&given),
        include_bytes!("../../samples/entry-2.bin")
    );
    let pack = |events: &[UsageEvent]| pack(events).remove(0);
    let plain = pack(&[event(1, 5), event(2, 6)]);
    assert_eq!((plain.facts[0], plain.details[0]), (FORMAT, FORMAT));
    let one = pack(&[event(1, 5), labelled(2, 6)]);
    assert_eq!((one.facts[0], one.details[0]), (LABELLED, LABELLED));
    // A refused call has none.
    let mut refused = labelled(1, 5);
    refused.event_type = EventType::RateLimited;
    assert_eq!(pack(&[refused]).facts[0], FORMAT);
}

fn reads(stored: &[u8], units: u32) {
    let (length, rest) = stored.split_at(4);
    let length = u32::from_be_bytes(length.try_into().unwrap()) as usize;
    let (facts, details) = rest.split_at(length);
    let facts = Facts::read(facts).unwrap();
    let weights: Vec<u32> = facts.contents().map(|content| content.units).collect();
    assert_eq!(weights, [units]);
    let told = events(&facts, details).unwrap();
    let told: Vec<_> = told
        .iter()
        .map(|(kind, response, event)| (*kind, *response, event.id.to_string()))
        .collect();
    let response = Response {
        status: 504,
        latency: Some(29_000),
    };
    assert_eq!(
        told,
        [
            (Kind::Report, None, event(1, 5).id.to_string()),
            (Kind::Line, Some(response), event(1, 5).id.to_string()),
            (Kind::Line, None, event(2, 59_999).id.to_string()),
        ]
    );
}

/// A report, its line, and the line of another call.
fn sample_of(given: &[UsageEvent; 2]) -> Vec<u8> {
    let borrowed: Vec<_> = given.iter().map(UsageEvent::borrowed).collect();
    let mut packer = Packer::default();
    packer.report(&borrowed[0]);
    let response = Response {
        status: 504,
        latency: Some(29_000),
    };
    packer.line(&borrowed[0], Some(response));
    packer.line(&borrowed[1], None);
    let entry = packer.pack().remove(0);
    let mut bytes = u32::try_from(entry.facts.len())
        .unwrap()
        .to_be_bytes()
        .to_vec();
    bytes.extend(&entry.facts);
    bytes.extend(&entry.details);
    bytes
}

/// Writes the sample that later releases must read. Run it by hand once per format.
#[test]
#[ignore = "writes a file: run by hand when a format is new"]
fn write_sample() {
    let mut given = [labelled(1, 5), event(2, 59_999)];
    for event in &mut given {
        event.data.units = 10;
    }
    let bytes = sample_of(&given);
    let to = concat!(env!("CARGO_MANIFEST_DIR"), "/samples/entry-4.bin");
    std::fs::write(to, bytes).unwrap();
}
