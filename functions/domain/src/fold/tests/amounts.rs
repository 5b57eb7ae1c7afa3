//! Amounts that upstreams report of calls.

use super::*;
use crate::counts::Counts;
use crate::entry::amounts::pack;
use crate::meter::Amount;
use crate::meter::Amounts;

fn amount(of: &UsageEvent, meter: &str, amount: u64) -> Amount {
    Amount {
        call: of.id,
        meter: meter.to_owned(),
        amount,
        to_quota: meter == "tokens",
    }
}

fn amounts(amounts: &[Amount]) -> Vec<u8> {
    pack(amounts).remove(0).facts
}

fn told(folded: &FoldedMinute, user: &str) -> Vec<(String, u64)> {
    let meters = folded.users[user].slot.counts.tally.meters.clone();
    meters.into_iter().collect()
}

/// Calls of two users, refusals, ids that nobody called under; amounts of some of them, some told
/// twice with another amount.
fn an_entry() -> impl Strategy<Value = Vec<u8>> {
    let said = proptest::collection::vec(something_said(), 1..8).prop_map(|said| entry(&said));
    let measured = (0_u64..14, select(vec!["tokens", "rows", "bytes"]), 0_u64..3);
    let measured = proptest::collection::vec(measured, 1..8).prop_map(|given| {
        let given = given
            .into_iter()
            .map(|(number, meter, of)| amount(&call(number, "nobody@example.com"), meter, of));
        amounts(&given.collect::<Vec<_>>())
    });
    prop_oneof![said, measured]
}

proptest! {
    #[test]
    fn the_same_amounts_fold_to_the_same(entries in proptest::collection::vec(an_entry(), 1..12), turn in 0_usize..12) {
        let one = fold(&entries);
        let mut other = entries.clone();
        other.reverse();
        other.rotate_left(turn % entries.len());
        other.extend(entries);
        let mut other = fold(&other);
        other.everybody.repeats = one.everybody.repeats;
        prop_assert_eq!(one, other);
    }

    /// A greater rank with every change, and no amount falls while no user changes.
    #[test]
    fn more_amounts_never_rank_lower(entries in proptest::collection::vec(an_entry(), 1..12), given in an_entry()) {
        let fewer = fold(&entries);
        let all = fold(&[entries, vec![given]].concat());
        for (email, user) in &fewer.users {
            let slot = &all.users[email].slot;
            prop_assert!(slot.rank >= user.slot.rank);
            prop_assert!(slot.counts == user.slot.counts || slot.rank > user.slot.rank);
        }
    }
}

#[test]
fn an_amount_counts_once_however_often_and_whenever_it_comes() {
    let ann = call(1, "ann@example.com");
    let report = entry(&[(ann.clone(), None)]);
    let line = entry(&[(ann.clone(), Some(Some(answered(200))))]);
    let tokens = amounts(&[amount(&ann, "tokens", 70)]);
    let both = amounts(&[amount(&ann, "tokens", 70), amount(&ann, "rows", 3)]);
    for entries in [
        [&report, &line, &tokens, &both, &tokens],
        [&tokens, &both, &tokens, &line, &report],
        [&both, &tokens, &report, &tokens, &line],
    ] {
        let folded = fold(&entries.map(Clone::clone));
        let slot = &folded.users["ann@example.com"].slot;
        let tally = &slot.counts.tally;
        // Two facts about the call, two amounts.
        assert_eq!((slot.rank, tally.calls), (4, 1));
        let meters = [("rows".to_owned(), 3), ("tokens".to_owned(), 70)];
        assert_eq!(told(&folded, "ann@example.com"), meters);
        // The call weighs one; tokens count towards the quota, rows do not.
        assert_eq!(tally.units, 71);
        let everybody = &folded.everybody;
        assert_eq!(everybody.counts.tally.meters, tally.meters);
        assert_eq!(everybody.counts.tally.units, 71);
        let of_quarter = |(_, amounts): (_, &Amounts)| amounts.clone();
        let of_quarters: Vec<_> = everybody.amounts_of(MINUTE).map(of_quarter).collect();
        assert_eq!(of_quarters, std::slice::from_ref(&tally.meters));
        let units: u64 = everybody.quarters_of(MINUTE).map(|(_, of)| of.units).sum();
        assert_eq!(units, 71);
        assert_eq!((folded.conflicts, folded.unclaimed), (vec![], vec![]));
    }
}

#[test]
fn of_different_amounts_the_greatest_counts_and_the_difference_is_reported() {
    let ann = call(1, "ann@example.com");
    let report = entry(&[(ann.clone(), None)]);
    let told_of = |of: u64| amounts(&[amount(&ann, "tokens", of)]);
    for order in [[70, 90, 80], [90, 80, 70], [80, 70, 90]] {
        let mut entries = vec![report.clone()];
        entries.extend(order.map(told_of));
        let folded = fold(&entries);
        assert_eq!(
            told(&folded, "ann@example.com"),
            [("tokens".to_owned(), 90)]
        );
        assert_eq!(folded.users["ann@example.com"].slot.rank, 4);
        let [conflict] = folded.conflicts.as_slice() else {
            panic!("{:?}", folded.conflicts);
        };
        assert_eq!(conflict.id, ann.id);
        assert!(conflict.counted.starts_with("90 tokens"), "{conflict:?}");
        assert!(conflict.other.starts_with("70 tokens"), "{conflict:?}");
    }
}

#[test]
fn an_amount_without_its_call_counts_nowhere_until_the_call_is_there() {
    let ann = call(1, "ann@example.com");
    let tokens = amounts(&[amount(&ann, "tokens", 70)]);
    let alone = fold(std::slice::from_ref(&tokens));
    assert!(alone.users.is_empty());
    assert_eq!(alone.everybody.counts, Counts::default());
    assert_eq!(alone.everybody.rank, 1);
    let unclaimed = Unclaimed {
        call: ann.id,
        meter: "tokens".to_owned(),
        amount: 70,
    };
    assert_eq!(alone.unclaimed, std::slice::from_ref(&unclaimed));
    // The upstream never saw a call that was refused.
    let refused = event(1, "ann@example.com", EventType::RateLimited);
    let refused = fold(&[entry(&[(refused, None)]), tokens.clone()]);
    assert_eq!(told(&refused, "ann@example.com"), []);
    assert_eq!(refused.unclaimed, [unclaimed]);
    let both = fold(&[tokens, entry(&[(ann, None)])]);
    assert_eq!(told(&both, "ann@example.com"), [("tokens".to_owned(), 70)]);
    assert_eq!(both.unclaimed, []);
}

#[test]
fn a_new_amount_makes_the_user_of_its_call_new() {
    let (ann, bob) = (call(1, "ann@example.com"), call(2, "bob@example.com"));
    let mut fold = MinuteFold::new(MINUTE);
    let calls = entry(&[(ann.clone(), None), (bob, None)]);
    fold.add(&calls, false).unwrap();
    fold.add(&amounts(&[amount(&ann, "tokens", 70)]), true)
        .unwrap();
    let folded = fold.finish();
    assert!(folded.users["ann@example.com"].is_new);
    assert!(!folded.users["bob@example.com"].is_new);
}
