use super::*;
use crate::testing::{World, ready};
use domain::entry::Packer;
use domain::event::{EventType, UsageEvent};
use domain::sample;
use domain::table::{self, ItemKey, attribute};
use runtime::store::{Document, Value};

const USER: &str = "ann@example.com";

fn at(text: &str) -> UnixMillis {
    format!("2026-11-22T{text}Z").parse().unwrap()
}

fn call(number: u64, time: &str) -> UsageEvent {
    sample::event(number, USER, EventType::ApiCall, at(time))
}

fn fresh(world: &World, now: &str) -> Fresh {
    let marks = ready(Marks::read(&world.usage, at(now))).unwrap();
    ready(Fresh::read(
        &world.analytics,
        &marks,
        at("00:00:00")..at("23:00:00"),
    ))
    .unwrap()
}

/// Calls by minute, as `04: 1`.
fn calls(fresh: &Fresh) -> Vec<String> {
    let minutes = fresh.minutes(at("00:00:00")..at("23:59:59"));
    let calls = |folded: &FoldedMinute| {
        let minute = &Window::Minute.label(folded.minute)[11..];
        format!("{minute}: {}", folded.everybody.counts.tally.calls)
    };
    minutes.map(calls).collect()
}

#[test]
fn before_any_fold_the_journal_answers_everything() {
    let world = World::default();
    world.call(&[
        call(1, "15:59:59"),
        call(2, "16:00:00"),
        call(3, "16:04:01"),
        call(4, "16:04:02"),
    ]);
    let fresh = fresh(&world, "16:04:05");
    assert_eq!(calls(&fresh), ["15:59: 1", "16:00: 1", "16:04: 2"]);
    assert_eq!(fresh.as_of(), at("16:04:05"));
    assert!(fresh.tells(at("16:00:00")) && fresh.tells(at("13:00:00")));
    assert_eq!(fresh.callers(at("16:00:00")..at("17:00:00")).len(), 1);
}

#[test]
fn folded_minutes_come_from_their_stored_slots() {
    let world = World::default();
    world.call(&[
        call(1, "15:59:59"),
        call(2, "16:01:59"),
        call(3, "16:02:00"),
        call(4, "16:05:00"),
    ]);
    world.fold(at("16:05:10"));
    let fresh = fresh(&world, "16:05:20");
    assert!(!fresh.tells(at("16:01:59")) && fresh.tells(at("16:02:00")));
    assert_eq!(calls(&fresh), ["16:02: 1", "16:05: 1"]);
}

#[test]
fn a_late_entry_shows_only_once_it_is_folded() {
    let world = World::default();
    world.append(&[call(1, "16:02:00")], at("16:04:00"));
    world.append(&[call(2, "16:02:01")], at("16:04:00.001"));
    assert_eq!(calls(&fresh(&world, "16:05:00")), ["16:02: 1"]);
    world.fold(at("16:05:10"));
    let fresh = fresh(&world, "16:05:20");
    assert_eq!(calls(&fresh), ["16:02: 1"]);
    // The minute's stored counts hold both: they are ignored until the mark has passed the minute.
    let mut hour = Hour::new(at("16:00:00"));
    let two = Slot {
        rank: 4,
        ..Slot::default()
    };
    hour.set(2, two.clone());
    hour.set(3, two.clone());
    hour.set(1, two.clone());
    fresh.lay_over(USER, &mut hour);
    let ranks: Vec<(u8, u64)> = hour
        .slots()
        .map(|(minute, slot)| (minute, slot.rank))
        .collect();
    assert_eq!(ranks, [(1, 4), (2, 2), (3, 0)]);
}

/// An entry of this many bytes that counts nothing: it does not decode.
fn plant(world: &World, time: &str, bytes: usize) {
    let minute = at(time);
    let sk = table::entry(minute, Timing::InTime, "00");
    let facts = Value::Bytes(vec![0; bytes]);
    let document = Document {
        attributes: vec![(attribute::FACTS, facts)],
        expires_at: None,
    };
    let key = ItemKey::new(table::journal(minute), sk);
    world.analytics.plant_document(&key, document);
}

#[test]
fn a_minute_is_used_whole_or_not_at_all_and_as_of_says_so() {
    let size = |event: &UsageEvent| {
        let borrowed = event.borrowed();
        let mut packer = Packer::default();
        packer.report(&borrowed);
        packer.line(
            &borrowed,
            Some(domain::response::Response {
                status: 200,
                latency: Some(40),
            }),
        );
        packer.pack()[0].facts.len()
    };
    let within = |spare: usize| {
        let world = World::default();
        let calls = [
            call(1, "15:59:00"),
            call(2, "16:00:00"),
            call(3, "16:01:00"),
            call(4, "16:02:00"),
        ];
        world.call(&calls);
        let taken: usize = calls[..3].iter().map(size).sum();
        plant(&world, "16:01:30", MOST_BYTES - taken + spare);
        world
    };
    let whole = fresh(&within(0), "16:02:30");
    assert_eq!(calls(&whole), ["15:59: 1", "16:00: 1", "16:01: 1"]);
    assert_eq!(whole.as_of(), at("16:00:30"));
    let cut = fresh(&within(1), "16:02:30");
    assert_eq!(calls(&cut), ["15:59: 1", "16:00: 1"]);
    assert_eq!(cut.as_of(), at("15:59:30"));
    // Beyond the limit of bytes the stored counts are ignored as well.
    assert!(cut.tells(at("16:01:00")));
}

#[test]
fn minutes_beyond_the_bound_are_not_read() {
    let world = World::default();
    for minute in 10..60 {
        plant(&world, &format!("15:{minute}:00"), 300_000);
    }
    world.call(&[call(1, "16:02:00")]);
    let before = world.analytics.units().reads;
    let fresh = fresh(&world, "16:02:30");
    assert_eq!(calls(&fresh).last().unwrap(), "15:12: 0");
    assert_eq!(fresh.as_of(), at("15:11:30"));
    let reads = world.analytics.units().reads - before;
    assert!(reads <= 2 + 256 + 75, "{reads} read units");
}

#[test]
fn a_spread_minute_is_not_used() {
    let world = World::default();
    world.call(&[call(1, "16:01:00")]);
    let minute = at("16:02:00");
    let flag = Document {
        attributes: Vec::new(),
        expires_at: None,
    };
    world
        .analytics
        .plant_document(&ItemKey::spread_flag(minute), flag);
    world.call(&[call(2, "16:02:00"), call(3, "16:03:00")]);
    let event = call(4, "16:02:01");
    let borrowed = event.borrowed();
    let mut packer = Packer::default();
    packer.report(&borrowed);
    let entry = packer.pack().remove(0);
    let document = Document {
        attributes: vec![(attribute::FACTS, Value::Bytes(entry.facts))],
        expires_at: None,
    };
    let key = ItemKey::new(
        table::spread_journal(minute, 7),
        table::entry(minute, Timing::InTime, &entry.digest),
    );
    world.analytics.plant_document(&key, document);
    let fresh = fresh(&world, "16:04:05");
    assert_eq!(calls(&fresh), ["16:01: 1"]);
    assert_eq!(fresh.as_of(), minute.plus_millis(-OVERHANG));
}

#[test]
fn an_entry_that_does_not_decode_is_skipped() {
    let world = World::default();
    world.call(&[call(1, "16:02:00")]);
    plant(&world, "16:02:00", 10);
    let fresh = fresh(&world, "16:04:05");
    assert_eq!(calls(&fresh), ["16:02: 1"]);
    assert_eq!(fresh.as_of(), at("16:04:05"));
}

#[test]
fn only_hours_of_the_span_are_read() {
    let world = World::default();
    world.call(&[
        call(1, "14:30:00"),
        call(2, "15:30:00"),
        call(3, "16:02:00"),
    ]);
    let marks = ready(Marks::read(&world.usage, at("16:04:05"))).unwrap();
    let span = at("15:10:00")..at("16:00:00");
    let fresh = ready(Fresh::read(&world.analytics, &marks, span)).unwrap();
    assert_eq!(calls(&fresh), ["15:30: 1"]);
}
