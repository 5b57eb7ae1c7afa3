//! The dimensions that calls carry.

use super::*;
use crate::counts::OTHER;
use crate::dimension::{Dimension, Dimensions, Label, MOST_BYTES, Share};
use crate::entry::amounts::pack;
use crate::meter::Amount;

fn labelled(number: u64, subject: &str, labels: &[(&'static str, &str)]) -> UsageEvent {
    let mut call = call(number, subject);
    let labels = labels.iter().map(|(name, value)| Label {
        name: (*name).into(),
        value: (*value).to_owned().into(),
        values: 2,
    });
    call.data.dimensions = labels.collect();
    call
}

fn told(dimensions: &Dimensions, name: &str) -> Vec<(String, u64, u64)> {
    let of = dimensions.get(name).into_iter().flat_map(|of| &of.values);
    of.map(|(value, Share { calls, units })| (value.clone(), *calls, *units))
        .collect()
}

fn expected(values: &[(&str, u64, u64)]) -> Vec<(String, u64, u64)> {
    let values = values.iter();
    values
        .map(|(value, calls, units)| ((*value).to_owned(), *calls, *units))
        .collect()
}

#[test]
fn each_value_counts_its_calls_and_units_and_those_beyond_the_bound_are_other() {
    let tenants = ["acme", "acme", "acme", "globex", "globex", "x1", "x2", "x3"];
    let said: Vec<Said> = tenants
        .iter()
        .enumerate()
        .map(|(number, tenant)| {
            let region = if number < 2 { "eu" } else { "us" };
            let user = if number % 2 == 0 {
                "ann@example.com"
            } else {
                "bob@example.com"
            };
            let mut call = labelled(
                number as u64,
                user,
                &[("region", region), ("tenant", tenant)],
            );
            call.data.units = 10;
            (call, None)
        })
        .collect();
    // One call without a value.
    let plain = (call(9, "ann@example.com"), None);
    let measured = [Amount {
        call: said[0].0.id,
        meter: "tokens".to_owned(),
        amount: 70,
        to_quota: true,
    }];
    let folded = fold(&[
        entry(&said),
        entry(&said[3..]),
        entry(&[plain]),
        pack(&measured).remove(0).facts,
    ]);
    let tally = &folded.everybody.counts.tally;
    assert_eq!((tally.calls, tally.units), (9, 81 + 70));
    assert_eq!(
        told(&tally.dimensions, "tenant"),
        expected(&[("acme", 3, 100), ("globex", 2, 20), (OTHER, 3, 30)])
    );
    assert_eq!(
        told(&tally.dimensions, "region"),
        expected(&[("eu", 2, 90), ("us", 6, 60)])
    );
    let ann = &folded.users["ann@example.com"].slot.counts.tally;
    assert_eq!(
        told(&ann.dimensions, "tenant"),
        expected(&[("acme", 2, 90), ("globex", 1, 10), (OTHER, 1, 10)])
    );
    assert_eq!(folded.conflicts, []);
}

#[test]
fn a_line_carries_no_dimensions_and_is_no_conflict() {
    let call = labelled(1, "ann@example.com", &[("tenant", "acme")]);
    let report = entry(&[(call.clone(), None)]);
    let line = entry(&[(call.clone(), Some(Some(answered(200))))]);
    for entries in [[report.clone(), line.clone()], [line.clone(), report]] {
        let folded = fold(&entries);
        let tally = &folded.users["ann@example.com"].slot.counts.tally;
        assert_eq!(
            told(&tally.dimensions, "tenant"),
            expected(&[("acme", 1, 1)])
        );
        assert_eq!(folded.conflicts, []);
    }
    let alone = fold(&[line]);
    assert_eq!(alone.everybody.counts.tally.calls, 1);
    assert_eq!(alone.everybody.counts.tally.dimensions, Dimensions::new());
}

#[test]
fn of_two_reports_with_different_values_one_counts_and_the_difference_is_reported() {
    let one = labelled(1, "ann@example.com", &[("tenant", "acme")]);
    let mut other = one.clone();
    other.data.dimensions[0].value = "globex".into();
    let [one, other] = [one, other].map(|event| entry(&[(event, None)]));
    let folded = fold(&[one.clone(), other.clone()]);
    let tally = &folded.users["ann@example.com"].slot.counts.tally;
    assert_eq!(
        told(&tally.dimensions, "tenant"),
        expected(&[("acme", 1, 1)])
    );
    assert_eq!(folded.users["ann@example.com"].slot.rank, 2);
    let [conflict] = folded.conflicts.as_slice() else {
        panic!("{:?}", folded.conflicts);
    };
    assert!(conflict.counted.contains("acme"), "{conflict:?}");
    assert!(conflict.other.contains("globex"), "{conflict:?}");
    assert_eq!(fold(&[other, one]), folded);
}

#[test]
fn a_caller_who_invents_values_fills_neither_a_minute_nor_an_hour() {
    let invented = |number: u64| {
        let value = format!("{number:x>64}");
        let mut call = labelled(number, "ann@example.com", &[("tenant", &value)]);
        call.data.dimensions[0].values = 50;
        (call, None)
    };
    let said: Vec<Said> = (0..2_000).map(invented).collect();
    let folded = fold(&[entry(&said)]);
    let slot = &folded.users["ann@example.com"].slot;
    let values = &slot.counts.tally.dimensions["tenant"].values;
    let apart = values.keys().filter(|value| *value != OTHER);
    let bytes: usize = apart.map(String::len).sum();
    assert!(bytes <= MOST_BYTES && bytes > MOST_BYTES - 64, "{bytes}");
    assert_eq!(values.values().map(|share| share.calls).sum::<u64>(), 2_000);
    // The most that any caller reaches: three dimensions, and other values in every minute.
    let mut hour = crate::counts::Hour::new(Window::Hour.start(MINUTE));
    for minute in 0..60 {
        let mut slot = slot.clone();
        let other = |name: &str| {
            let values = (0..MOST_BYTES / 64).map(|number| format!("{name}{minute}-{number:x>58}"));
            let shares = values.map(|value| {
                (
                    value,
                    Share {
                        calls: 300,
                        units: 300,
                    },
                )
            });
            let values = shares
                .chain([(OTHER.to_owned(), Share::default())])
                .collect();
            (name.to_owned(), Dimension { most: 50, values })
        };
        slot.counts.tally.dimensions = ["a", "b", "c"].map(other).into();
        hour.offer(minute, &slot);
    }
    let stored = hour.encode().unwrap();
    assert!(
        (90_000..120_000).contains(&stored.len()),
        "{} bytes",
        stored.len()
    );
    let day = hour.sum().encode().unwrap();
    assert!(day.len() < 12_000, "{} bytes", day.len());
}

/// Calls with and without values, told by reports and lines, twice, and in two ways.
fn something_labelled() -> impl Strategy<Value = Said> {
    (0_u64..14, 0_u8..3, 0_u8..4, something_said()).prop_map(|(number, region, tenant, said)| {
        let user = if number % 2 == 0 {
            "ann@example.com"
        } else {
            "bob@example.com"
        };
        let tenant = format!("t{tenant}");
        let region = format!("r{region}");
        let call = match number % 3 {
            0 => labelled(number, user, &[("region", &region), ("tenant", &tenant)]),
            1 => labelled(number, user, &[("tenant", &tenant)]),
            _ => call(number, user),
        };
        (call, said.1)
    })
}

proptest! {
    /// Order, repetition and the split into entries change nothing, and no call gets lost.
    #[test]
    fn the_same_calls_fold_to_the_same_dimensions(
        said in proptest::collection::vec(something_labelled(), 1..40), size in 1_usize..5,
    ) {
        let one = fold_in_any_order(&said, size);
        let reported = said.iter().filter(|(call, line)| line.is_none() && call.data.dimensions.iter().any(|of| of.name == "tenant"));
        let reported: std::collections::BTreeSet<_> = reported.map(|(call, _)| call.id).collect();
        let calls = |dimensions: &Dimensions| told(dimensions, "tenant").iter().map(|(_, calls, _)| calls).sum::<u64>();
        let everybody = calls(&one.everybody.counts.tally.dimensions);
        prop_assert_eq!(everybody, reported.len() as u64);
        let users: u64 = one.users.values().map(|user| calls(&user.slot.counts.tally.dimensions)).sum();
        prop_assert_eq!(users, everybody);
    }

    #[test]
    fn more_dimensions_never_rank_lower(said in proptest::collection::vec(something_labelled(), 2..40)) {
        let fewer = fold(&[entry(&said[..said.len() - 1])]);
        let all = fold(&[entry(&said)]);
        for (email, user) in &fewer.users {
            let slot = &all.users[email].slot;
            prop_assert!(slot.counts == user.slot.counts || slot.rank > user.slot.rank);
        }
    }
}
