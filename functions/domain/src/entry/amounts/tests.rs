#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use proptest::prelude::*;

use super::*;
use crate::entry::{EntryError, LARGEST, events};
use crate::id::EventId;

const NOON: UnixMillis = UnixMillis(1_795_348_800_000);

fn amount(number: u8, millis: i64, meter: &str, amount: u64) -> Amount {
    Amount {
        call: EventId::mint(NOON.plus_millis(millis).0.unsigned_abs(), [number; 10]),
        meter: meter.to_owned(),
        amount,
        to_quota: meter == "tokens",
    }
}

/// The amounts of an entry.
fn unpack(entry: &Entry) -> Vec<Amount> {
    let facts = Facts::read(&entry.facts).unwrap();
    assert_eq!((facts.len(), facts.contents().count()), (0, 0));
    assert_eq!(events(&facts, &entry.details).unwrap(), []);
    let amounts = facts.amounts().map(|measured| Amount {
        call: facts.id(measured.id).unwrap(),
        meter: measured.meter.to_owned(),
        amount: measured.amount,
        to_quota: measured.to_quota,
    });
    amounts.collect()
}

prop_compose! {
    fn an_amount()(
        number: u8, millis in 0_i64..120_000, meter in prop_oneof!["tokens", "[a-z]{1,9}"],
        of in prop_oneof![0..9_u64, any::<u64>()],
    ) -> Amount {
        amount(number, millis, &meter, of)
    }
}

proptest! {
    #[test]
    fn what_is_packed_is_unpacked_each_in_its_minute(given in proptest::collection::vec(an_amount(), 1..60)) {
        let mut unpacked = Vec::new();
        for entry in pack(&given) {
            for amount in unpack(&entry) {
                prop_assert_eq!(Window::Minute.start(amount.call.minted_at()), entry.minute);
                unpacked.push(amount);
            }
        }
        let mut expected = given;
        expected.sort();
        expected.dedup();
        unpacked.sort();
        prop_assert_eq!(unpacked, expected);
    }

    #[test]
    fn any_bytes_are_read_without_panic(cut in 0_usize..80, flip in 0_usize..80, to: u8) {
        let entry = &pack(&[amount(1, 5, "tokens", 7), amount(2, 6, "rows", 300)])[0];
        let length = entry.facts.len();
        let cut = cut.min(length - 1);
        prop_assert_eq!(Facts::read(&entry.facts[..cut]).is_err(), true);
        let mut changed = entry.facts.clone();
        changed[flip % length] = to;
        if let Ok(facts) = Facts::read(&changed) {
            let _ = facts.amounts().count();
            let _ = events(&facts, &entry.details);
        }
    }
}

#[test]
fn the_same_amounts_are_the_same_entry_in_any_order() {
    let (one, other) = (amount(1, 5, "tokens", 7), amount(2, 6, "rows", 300));
    let digest = |amounts: &[&Amount]| pack(amounts.iter().copied())[0].digest.clone();
    let both = digest(&[&one, &other]);
    assert_eq!(both, digest(&[&other, &one, &other]));
    let more = amount(1, 5, "tokens", 8);
    let digests = [both, digest(&[&one]), digest(&[&other]), digest(&[&more])];
    let distinct: std::collections::BTreeSet<_> = digests.iter().collect();
    assert_eq!(distinct.len(), digests.len());
}

#[test]
fn an_entry_fits_its_item() {
    let given: Vec<_> = (0..25_000_u64)
        .map(|number| amount(number.to_le_bytes()[0], 5, "tokens", number))
        .collect();
    let entries = pack(&given);
    assert_eq!(entries.len(), 3);
    assert!(entries.iter().all(|entry| entry.facts.len() < LARGEST));
}

/// Every later release reads what a release wrote.
#[test]
fn amounts_of_format_3_are_read() {
    let facts = include_bytes!("../../../samples/entry-3.bin").to_vec();
    let bytes = facts.len() - 1;
    assert_eq!(
        Facts::read(&facts[..bytes]).unwrap_err(),
        EntryError::Corrupt { bytes }
    );
    let entry = Entry {
        minute: NOON,
        digest: String::new(),
        facts,
        details: vec![AMOUNTS],
    };
    assert_eq!(unpack(&entry), sample());
}

fn sample() -> [Amount; 3] {
    [
        amount(1, 5, "rows", 300),
        amount(1, 5, "tokens", 0),
        amount(2, 59_999, "tokens", 1_000_000_000_000),
    ]
}

/// Writes the sample that later releases must read. Run it by hand once per format.
#[test]
#[ignore = "writes a file: run by hand when a format is new"]
fn write_sample() {
    let to = concat!(env!("CARGO_MANIFEST_DIR"), "/samples/entry-3.bin");
    std::fs::write(to, &pack(&sample())[0].facts).unwrap();
}
