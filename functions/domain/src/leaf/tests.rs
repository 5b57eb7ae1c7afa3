use super::*;
use crate::{sample, state};
use proptest::prelude::*;
use proptest::sample::select;

fn event(number: u64, event_type: EventType, method: &str, minute: i64) -> UsageEvent {
    let time = UnixMillis(1_795_363_200_000 + minute * 60_000);
    let mut event = sample::event(number, "ann@example.com", event_type, time);
    event.data.method = method.into();
    event.data.endpoint = format!("/v1/{method}");
    event
}

prop_compose! {
    fn any_event()(
        number in 0_u64..200,
        event_type in select(EventType::ALL.to_vec()),
        method in select(vec!["GET", "POST", "PUT"]),
        minute in 0_i64..60,
    ) -> UsageEvent {
        event(number, event_type, method, minute)
    }
}

proptest! {
    /// The oracle: the first event under each id counts, every other does not.
    #[test]
    fn each_id_counts_once(events in proptest::collection::vec(any_event(), 0..400)) {
        let mut leaf = Leaf::default();
        let mut first = BTreeMap::new();
        for event in &events {
            let new = !first.contains_key(&event.id.short());
            first.entry(event.id.short()).or_insert(event);
            prop_assert_eq!(leaf.offer(event), if new { Offer::Counted } else { Offer::Duplicate });
        }
        let mut expected = Tally::default();
        for event in first.values() {
            expected.count(event.event_type, &event.data.method, &event.data.endpoint, 1);
        }
        prop_assert_eq!(leaf.tally(), expected);
        let mut minutes: BTreeMap<u8, Tally> = BTreeMap::new();
        let mut quarters = [Totals::default(); 4];
        for event in first.values() {
            let minute = u8::try_from(event.time.0 / 60_000 % 60).unwrap();
            let mut one = Tally::default();
            one.count(event.event_type, &event.data.method, &event.data.endpoint, 1);
            minutes.entry(minute).or_default().merge(&one);
            quarters[usize::from(minute) / 15].add(one.totals());
        }
        let by_minute = leaf.minutes().into_iter().map(|minute| (minute, leaf.minute(minute)));
        prop_assert_eq!(by_minute.collect::<BTreeMap<_, _>>(), minutes);
        prop_assert_eq!(leaf.quarters(), quarters);
        prop_assert_eq!(leaf.events(), first.len());
        for number in 0..200 {
            let id = event(number, EventType::ApiCall, "GET", 0).id.short();
            prop_assert_eq!(leaf.holds(id), first.contains_key(&id));
        }
        let times = || first.values().map(|event| event.time);
        let seen = leaf.seen().map(|seen| (Some(seen.first), Some(seen.last)));
        prop_assert_eq!(seen, times().next().map(|_| (times().min(), times().max())));
        let failures: u64 = leaf.sources().values()
            .flat_map(|source| source.minutes.values())
            .map(|(auth_failures, rate_limited)| auth_failures + rate_limited)
            .sum();
        prop_assert_eq!(failures, leaf.tally().auth_failures + leaf.tally().rate_limited);
    }

    /// The oracle: the first report of each call that was counted counts, every other does not.
    #[test]
    fn each_call_is_reported_once(
        events in proptest::collection::vec((any_event(), any::<bool>(), 200_u16..205), 0..200),
    ) {
        let mut leaf = Leaf::default();
        let (mut counted, mut reported) = (BTreeMap::new(), BTreeSet::new());
        let mut expected = Responses::default();
        for (event, is_report, status) in &events {
            let id = event.id.short();
            if !is_report {
                counted.entry(id).or_insert(event);
                leaf.offer(event);
                continue;
            }
            let response = Response { status: *status, latency: Some(u32::from(*status)) };
            let event = counted.get(&id).copied().unwrap_or(event);
            let wanted = if !counted.contains_key(&id) {
                Report::Absent
            } else if event.event_type != EventType::ApiCall || !reported.insert(id) {
                Report::Settled
            } else {
                expected.count(response);
                Report::Taken
            };
            prop_assert_eq!(leaf.report(event, response), wanted);
            prop_assert_eq!(leaf.is_reported(id), reported.contains(&id));
        }
        prop_assert_eq!(leaf.responses(), &expected);
        prop_assert_eq!(leaf.events(), counted.len());
    }

    #[test]
    fn a_leaf_reads_back_as_stored(events in proptest::collection::vec(any_event(), 0..100)) {
        let mut leaf = Leaf::default();
        for (place, event) in events.iter().enumerate() {
            leaf.offer(event);
            if place % 3 == 0 {
                leaf.report(event, Response { status: 200, latency: Some(40) });
            }
        }
        let stored = state::encode(&leaf).unwrap();
        prop_assert_eq!(state::decode::<Leaf>(&stored).unwrap(), leaf);
        for cut in 0..stored.len() {
            prop_assert!(state::decode::<Leaf>(&stored[..cut]).is_err());
        }
    }
}

#[test]
fn behind_the_first_leaf_each_minute_has_a_row_of_its_own() {
    let at = |minute: i64| event(1, EventType::ApiCall, "GET", minute);
    let first = LeafKey::of(&at(7));
    assert!(first.is_first() && first.minute().is_none());
    assert_eq!(first, LeafKey::of(&at(59)));
    for minute in [0, 7, 59] {
        let of_minute = |number: u32| Place::OfMinute {
            minute: u8::try_from(minute).unwrap(),
            number,
        };
        let next = first.after(&at(minute));
        assert_eq!(next.place, of_minute(0));
        assert_eq!(next.after(&at(minute)).place, of_minute(1));
        assert_eq!(next.minute(), Some(Window::Minute.start(at(minute).time)));
        assert!(first < next && next < next.after(&at(minute)));
        assert!(!next.is_first());
    }
    assert!(!LeafKey { lane: 1, ..first }.is_first());
}

#[test]
fn who_tries_random_keys_fills_no_leaf_and_the_order_does_not_matter() {
    let tried = |number: u64| {
        let mut event = event(number, EventType::AuthFailed, "GET", 0);
        event.data.key_id = Some(format!("{number:08x}"));
        event
    };
    let told = |numbers: &mut dyn Iterator<Item = u64>| {
        let mut leaf = Leaf::default();
        for number in numbers {
            leaf.offer(&tried(number));
        }
        let [source] = leaf
            .sources()
            .values()
            .cloned()
            .collect::<Vec<_>>()
            .try_into()
            .unwrap();
        source
    };
    let most = MOST_KEYS as u64;
    let source = told(&mut (0..3 * most));
    assert_eq!(
        source.keys,
        (0..most).map(|number| format!("{number:08x}")).collect()
    );
    assert_eq!(source.minutes[&0], (3 * most, 0));
    assert_eq!(source, told(&mut (0..3 * most).rev()));
    let mut merged = told(&mut (most..3 * most));
    merged.merge(&told(&mut (0..most)));
    assert_eq!(source, merged);
}

#[test]
fn failures_of_further_addresses_count_and_are_not_told_apart() {
    let mut leaf = Leaf::default();
    let from = |number: u64, address: usize| {
        let mut event = event(number, EventType::AuthFailed, "GET", 0);
        event.data.ip = address.to_string();
        event
    };
    for address in 0..=MOST_ADDRESSES {
        leaf.offer(&from(address as u64, address));
    }
    leaf.offer(&from(999, 0));
    assert_eq!(leaf.tally().auth_failures, MOST_ADDRESSES as u64 + 2);
    assert_eq!(leaf.sources().len(), MOST_ADDRESSES);
    assert_eq!(leaf.sources()["0"].minutes[&0], (2, 0));
}

#[test]
fn long_labels_fill_a_leaf() {
    let mut leaf = Leaf::default();
    let mut long = event(0, EventType::ApiCall, "GET", 0);
    long.data.endpoint = "x".repeat(MOST_LABEL_BYTES - 4);
    leaf.offer(&long);
    assert!(!leaf.is_full());
    assert_eq!(
        leaf.offer(&event(1, EventType::ApiCall, "GET", 0)),
        Offer::Counted
    );
    assert!(leaf.is_full());
    assert_eq!(MOST_LABEL_BYTES, 65_536);
}

#[test]
fn a_full_leaf_still_knows_its_own_and_takes_no_other() {
    let mut leaf = Leaf::default();
    for number in 0..MOST_IDS as u64 {
        assert_eq!(
            leaf.offer(&event(number, EventType::ApiCall, "GET", 0)),
            Offer::Counted
        );
    }
    assert!(leaf.is_full());
    assert_eq!(
        leaf.offer(&event(7, EventType::ApiCall, "GET", 0)),
        Offer::Duplicate
    );
    assert_eq!(
        leaf.offer(&event(MOST_IDS as u64, EventType::ApiCall, "GET", 0)),
        Offer::Full
    );
    let response = Response {
        status: 200,
        latency: Some(40),
    };
    assert_eq!(
        leaf.report(&event(7, EventType::ApiCall, "GET", 0), response),
        Report::Taken
    );
    let stored = state::encode(&leaf).unwrap();
    assert!(stored.len() < 8 * 1024 + 200, "{} bytes", stored.len());
}
