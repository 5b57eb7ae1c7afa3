//! The keys that calls are made with.

use super::*;
use crate::counts::OTHER;
use crate::key_calls::{KeyCalls, MOST_KEYS};

fn with_key(number: u64, subject: &str, key: Option<&str>) -> UsageEvent {
    let mut call = call(number, subject);
    call.data.key_id = key.map(str::to_owned);
    call
}

fn expected(calls: &[(&str, u64)]) -> KeyCalls {
    let calls = calls.iter();
    calls
        .map(|(key, calls)| ((*key).to_owned(), *calls))
        .collect()
}

#[test]
fn a_users_calls_count_by_key_and_everybodys_do_not() {
    let (ann, bob) = ("ann@example.com", "bob@example.com");
    let mut refused = with_key(7, ann, Some("key_1"));
    refused.event_type = EventType::RateLimited;
    let said: Vec<Said> = [
        with_key(1, ann, Some("key_1")),
        with_key(2, ann, Some("key_1")),
        with_key(3, ann, Some("key_2")),
        with_key(4, ann, None),
        with_key(5, bob, Some("key_3")),
        refused,
    ]
    .map(|event| (event, None))
    .into();
    // The line of a call names its key, too, whether or not there is a report.
    let line = (with_key(6, bob, Some("key_3")), Some(Some(answered(200))));
    let folded = fold(&[entry(&said), entry(&said[2..]), entry(&[line])]);
    let keys = |email: &str| folded.users[email].slot.counts.tally.keys.clone();
    assert_eq!(keys(ann), expected(&[("key_1", 2), ("key_2", 1)]));
    assert_eq!(keys(bob), expected(&[("key_3", 2)]));
    assert_eq!(folded.everybody.counts.tally.keys, KeyCalls::new());
    assert_eq!(folded.everybody.counts.tally.calls, 6);
}

#[test]
fn keys_beyond_the_bound_count_as_other_in_their_minute() {
    let most = u64::from(MOST_KEYS);
    let said: Vec<Said> = (0..most + 9)
        .map(|number| {
            let key = format!("key_{number:016x}");
            (with_key(number, "ann@example.com", Some(&key)), None)
        })
        .collect();
    let folded = fold(&[entry(&said)]);
    let keys = &folded.users["ann@example.com"].slot.counts.tally.keys;
    assert_eq!((keys.len() as u64, keys[OTHER]), (most + 1, 9));
}

proptest! {
    /// Order, repetition and the split into entries change nothing, and no call gets lost.
    #[test]
    fn the_same_calls_fold_to_the_same_keys(
        calls in proptest::collection::vec((0_u64..14, 0_u8..4, something_said()), 1..40),
        size in 1_usize..5,
    ) {
        let said: Vec<Said> = calls.into_iter().map(|(number, key, (_, line))| {
            let user = if number % 2 == 0 { "ann@example.com" } else { "bob@example.com" };
            let name = format!("key_{key}");
            (with_key(number, user, (key > 0).then_some(name.as_str())), line)
        }).collect();
        let one = fold_in_any_order(&said, size);
        for user in one.users.values() {
            let tally = &user.slot.counts.tally;
            prop_assert!(tally.keys.values().sum::<u64>() <= tally.calls);
            prop_assert!(tally.keys.values().all(|calls| *calls > 0));
        }
    }
}
