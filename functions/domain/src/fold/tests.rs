#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::entry::Packer;
use crate::event::Subject;
use crate::event::UsageEvent;
use crate::sample;
use crate::time::Window;

mod amounts;
mod dimensions;
mod keys;

const MINUTE: UnixMillis = UnixMillis(1_795_348_800_000);

fn event(number: u64, subject: &str, event_type: EventType) -> UsageEvent {
    let into = i64::try_from(number % 60_000).unwrap();
    sample::event(number, subject, event_type, MINUTE.plus_millis(into))
}

fn call(number: u64, subject: &str) -> UsageEvent {
    event(number, subject, EventType::ApiCall)
}

/// One fact: an event, and whether a line of the access log reports it.
type Said = (UsageEvent, Option<Option<Response>>);

fn entry(said: &[Said]) -> Vec<u8> {
    let borrowed: Vec<_> = said.iter().map(|(event, _)| event.borrowed()).collect();
    let mut packer = Packer::default();
    for (event, (_, line)) in borrowed.iter().zip(said) {
        match line {
            Some(response) => packer.line(event, *response),
            None => packer.report(event),
        }
    }
    packer.pack().remove(0).facts
}

/// Folds what was said, after checking that order, repetition and the split into entries of `size`
/// change nothing.
fn fold_in_any_order(said: &[Said], size: usize) -> FoldedMinute {
    let one = fold(&[entry(said)]);
    let mut entries: Vec<_> = said.chunks(size).map(entry).collect();
    entries.extend(entries.clone());
    entries.reverse();
    let mut other = fold(&entries);
    other.everybody.repeats = one.everybody.repeats;
    assert_eq!(one, other);
    one
}

fn fold(entries: &[Vec<u8>]) -> FoldedMinute {
    let mut fold = MinuteFold::new(MINUTE);
    for entry in entries {
        fold.add(entry, true).unwrap();
    }
    fold.finish()
}

const fn answered(status: u16) -> Response {
    Response {
        status,
        latency: Some(40),
    }
}

prop_compose! {
    fn something_said()(
        number in 0_u64..12, subject in select(vec!["ann@example.com", "bob@example.com", "ip:192.0.2.1"]),
        kind in 0..4_u8,
    ) -> Said {
        let event_type = if subject.starts_with("ip:") { EventType::AuthFailed } else { EventType::ApiCall };
        // A third of the ids disagrees with itself each time.
        let subject = if number % 3 == 0 { subject } else if number % 2 == 0 { "ann@example.com" } else { "bob@example.com" };
        let event_type = if number % 3 == 0 { event_type } else { EventType::ApiCall };
        let line = match kind {
            0 | 1 => None,
            2 => Some(Some(answered(200))),
            _ => Some(None),
        };
        (event(number, subject, event_type), line)
    }
}

proptest! {
    /// Order, repetition and the split into entries change nothing but the number of repeats.
    #[test]
    fn the_same_facts_fold_to_the_same(said in proptest::collection::vec(something_said(), 1..40), cuts in proptest::collection::vec(1_usize..5, 1..40)) {
        let one = fold(&[entry(&said)]);
        let mut entries = Vec::new();
        let mut rest = said.as_slice();
        let mut cuts = cuts.iter().cycle();
        while !rest.is_empty() {
            let (part, more) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
            entries.push(entry(part));
            entries.push(entry(part));
            rest = more;
        }
        entries.reverse();
        let mut other = fold(&entries);
        prop_assert!(other.everybody.repeats >= one.everybody.repeats);
        other.everybody.repeats = one.everybody.repeats;
        prop_assert_eq!(one, other);
    }

    /// More facts never lower any rank.
    #[test]
    fn more_facts_never_rank_lower(said in proptest::collection::vec(something_said(), 2..40)) {
        let fewer = fold(&[entry(&said[..said.len() - 1])]);
        let all = fold(&[entry(&said)]);
        prop_assert!(all.everybody.rank >= fewer.everybody.rank);
        for (email, user) in &fewer.users {
            prop_assert!(all.users[email].slot.rank >= user.slot.rank);
            let differs = all.users[email].slot.counts != user.slot.counts;
            prop_assert!(!differs || all.users[email].slot.rank > user.slot.rank);
        }
        for (address, of) in &fewer.addresses {
            prop_assert!(all.addresses[address].failures.rank >= of.failures.rank);
        }
    }
}

#[test]
fn both_tracks_count_a_call_once_with_its_response() {
    let ann = call(1, "ann@example.com");
    let reports = [
        vec![
            entry(&[(ann.clone(), None)]),
            entry(&[(ann.clone(), Some(Some(answered(504))))]),
        ],
        vec![
            entry(&[(ann.clone(), Some(Some(answered(504))))]),
            entry(&[(ann.clone(), None)]),
        ],
    ];
    for entries in reports {
        let folded = fold(&entries);
        let user = &folded.users["ann@example.com"].slot;
        assert_eq!((user.rank, user.counts.tally.calls), (2, 1));
        assert_eq!(user.counts.responses.statuses, BTreeMap::from([(504, 1)]));
        assert_eq!(folded.everybody.unreported, 0);
        assert_eq!((folded.everybody.rank, folded.everybody.users), (2, 1));
        assert_eq!(folded.callers.calls, [("ann@example.com".to_owned(), 1)]);
        assert_eq!(folded.conflicts, []);
    }
    let alone = fold(&[entry(&[(ann, Some(None))])]);
    assert_eq!(alone.users["ann@example.com"].slot.counts.tally.calls, 1);
    assert_eq!(alone.everybody.unreported, 1);
}

/// The line came first and names another route or user. The report decides, the conflict is
/// reported, and both users' ranks grow.
#[test]
fn the_report_beats_the_line_and_both_users_move_forward() {
    let report = call(1, "ann@example.com");
    let mut line = report.clone();
    line.subject = Subject::user("bob@example.com");
    let first = fold(&[entry(&[(line.clone(), Some(Some(answered(200))))])]);
    let bob = &first.users["bob@example.com"].slot;
    assert_eq!((bob.rank, bob.counts.tally.calls), (1, 1));
    let both = fold(&[
        entry(&[(line, Some(Some(answered(200))))]),
        entry(&[(report, None)]),
    ]);
    let (ann, bob) = (
        &both.users["ann@example.com"],
        &both.users["bob@example.com"],
    );
    assert_eq!((ann.slot.rank, ann.slot.counts.tally.calls), (2, 1));
    assert_eq!((bob.slot.rank, bob.slot.counts.tally.calls), (2, 0));
    assert!(bob.is_new && ann.is_new);
    assert_eq!(
        ann.slot.counts.responses.statuses,
        BTreeMap::from([(200, 1)])
    );
    assert_eq!(both.everybody.users, 1);
    assert_eq!(both.conflicts.len(), 1);
    assert!(both.conflicts[0].counted.contains("ann@example.com"));
    assert!(both.conflicts[0].other.contains("bob@example.com"));
}

#[test]
fn an_id_that_repeats_with_other_content_counts_once_and_is_a_conflict() {
    let one = call(1, "ann@example.com");
    let mut other = one.clone();
    other.data.endpoint = "/v2".to_owned();
    let folded = fold(&[entry(&[(one.clone(), None), (other.clone(), None)])]);
    let tally = &folded.users["ann@example.com"].slot.counts.tally;
    assert_eq!(
        tally.endpoints,
        BTreeMap::from([("/v1/deadlines".to_owned(), 1)])
    );
    assert_eq!(folded.users["ann@example.com"].slot.rank, 2);
    assert_eq!(folded.conflicts.len(), 1);
    let reversed = fold(&[entry(&[(other, None), (one, None)])]);
    assert_eq!(reversed, folded);
}

#[test]
fn only_what_new_entries_name_is_new() {
    let (old, new) = (call(1, "ann@example.com"), call(2, "bob@example.com"));
    let mut fold = MinuteFold::new(MINUTE);
    fold.add(&entry(&[(old.clone(), None)]), false).unwrap();
    fold.add(&entry(&[(new, None)]), true).unwrap();
    let folded = fold.finish();
    assert!(!folded.users["ann@example.com"].is_new);
    assert!(folded.users["bob@example.com"].is_new);
    // A new entry about an old id makes every user new that any fact of the id names.
    let mut other = old.clone();
    other.subject = Subject::user("cat@example.com");
    let mut fold = MinuteFold::new(MINUTE);
    fold.add(&entry(&[(old, None)]), false).unwrap();
    fold.add(&entry(&[(other, Some(None))]), true).unwrap();
    let folded = fold.finish();
    assert!(folded.users["ann@example.com"].is_new && folded.users["cat@example.com"].is_new);
}

#[test]
fn failures_are_counted_by_address_and_by_network() {
    let failed = |number: u64, ip: &str, key: &str| {
        let mut failed = event(number, &format!("ip:{ip}"), EventType::AuthFailed);
        failed.data.ip = ip.to_owned();
        failed.data.key_id = Some(key.to_owned());
        (failed, None)
    };
    let mut limited = event(4, "ann@example.com", EventType::RateLimited);
    limited.data.ip = "192.0.2.1".to_owned();
    let folded = fold(&[entry(&[
        failed(1, "192.0.2.1", "aa"),
        failed(2, "2001:db8:0:1::7", "bb"),
        failed(3, "2001:db8:0:1:ffff::8", "cc"),
        (limited, None),
    ])]);
    let of = |address: &str| &folded.addresses[address].failures;
    let known = of("192.0.2.1");
    assert_eq!(
        (known.auth_failures, known.rate_limited, known.rank),
        (1, 1, 2)
    );
    let network = of("2001:db8:0:1::/64");
    assert_eq!(
        (network.auth_failures, network.keys.len(), network.rank),
        (2, 2, 2)
    );
    assert_eq!(folded.addresses.len(), 2);
    assert_eq!(folded.users.len(), 1);
    assert_eq!(
        folded.users["ann@example.com"]
            .slot
            .counts
            .tally
            .rate_limited,
        1
    );
    assert_eq!(folded.everybody.users, 0);
}

#[test]
fn a_flood_of_addresses_keeps_those_that_fail_most() {
    let failed = |number: u64| {
        let address = if number < 5 { 0 } else { number };
        let ip = format!(
            "10.{}.{}.{}",
            address >> 16,
            (address >> 8) & 255,
            address & 255
        );
        let mut failed = event(number, &format!("ip:{ip}"), EventType::AuthFailed);
        failed.data.ip = ip;
        (failed, None)
    };
    let said: Vec<_> = (0..3_000).map(failed).collect();
    let folded = fold(&[entry(&said[..1_500]), entry(&said[1_500..])]);
    assert_eq!(folded.addresses.len(), MOST_ADDRESSES);
    assert_eq!(folded.addresses["10.0.0.0"].failures.auth_failures, 5);
    assert_eq!(folded.everybody.counts.tally.auth_failures, 3_000);
}

#[test]
fn an_entry_of_another_minute_or_that_is_corrupt_adds_nothing() {
    let mut fold = MinuteFold::new(Window::Minute.end(MINUTE));
    let of_minute = entry(&[(call(1, "ann@example.com"), None)]);
    assert!(fold.add(&of_minute, true).is_err());
    assert!(fold.add(&of_minute[..9], true).is_err());
    assert_eq!(fold.facts(), 0);
    assert_eq!(fold.finish().users.len(), 0);
}
