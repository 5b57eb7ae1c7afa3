//! What a busy caller's sums weigh, and that they lose nothing between leaf and day.

use domain::event::{EventType, MOST_LANES};
use domain::leaf::{MOST_IDS, Place};
use domain::response::Response;
use domain::sample;

use super::*;
use crate::memory::{Done, MemoryStore};

const HOUR: UnixMillis = UnixMillis(1_795_363_200_000);
/// Leaves that each lane fills in a minute at 500 calls a second: over all lanes 32,000 of them.
const LEAVES_A_MINUTE: u32 = 30;
/// DynamoDB refuses larger items:
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html>.
const ITEM_LIMIT: usize = 400 * 1024;

fn full_leaf(place: Place) -> Leaf {
    let mut leaf = Leaf::default();
    for number in 0..MOST_IDS as u64 {
        let minute = match place {
            Place::First => i64::try_from(number % 60).unwrap(),
            Place::OfMinute { minute, .. } => i64::from(minute),
        };
        let time = HOUR.plus_millis(minute * 60_000);
        let mut event = sample::event(number, "ann@example.com", EventType::ApiCall, time);
        event.data.endpoint = format!("/v1/accounts/{{id}}/statements/{}", number % 40);
        if number % 4 == 0 {
            event.event_type = EventType::AuthFailed;
            event.data.ip = format!("2001:db8::{number:x}");
        }
        leaf.offer(&event);
        // As many buckets as latencies between a millisecond and a minute have.
        let latency = u32::try_from(1_u64 << (number % 16)).unwrap();
        let latency = Some(latency + u32::try_from(number).unwrap() % latency);
        let status = 200 + u16::try_from(number % 5).unwrap();
        leaf.report(&event, Response { status, latency });
    }
    leaf
}

/// The places of the leaves that each lane fills in an hour.
fn places() -> Vec<Place> {
    let of_minutes = (0..60).flat_map(|minute| {
        (0..LEAVES_A_MINUTE).map(move |number| Place::OfMinute { minute, number })
    });
    std::iter::once(Place::First).chain(of_minutes).collect()
}

#[tokio::test]
async fn the_busiest_caller_that_lanes_are_made_for_outgrows_no_item_and_loses_no_call() {
    let (leaves, usage) = (MemoryStore::default(), MemoryStore::default());
    let places: Vec<(Place, Leaf)> = places()
        .into_iter()
        .map(|place| (place, full_leaf(place)))
        .collect();
    let keys: Vec<(LeafKey, &Leaf)> = (0..MOST_LANES)
        .flat_map(|lane| {
            places.iter().map(move |(place, leaf)| {
                let key = LeafKey {
                    subject: Subject::user("ann@example.com"),
                    hour: HOUR,
                    lane,
                    place: *place,
                };
                (key, leaf)
            })
        })
        .collect();
    let at: Vec<LeafAt<'_>> = keys
        .iter()
        .map(|(key, leaf)| LeafAt {
            key,
            version: 1_000,
            leaf,
        })
        .collect();
    let rolling = Rolling {
        leaves: &leaves,
        usage: &usage,
        mode: TrackingMode::Stream,
        limits: Limits::default(),
    };
    rolling.roll_up(&at).await.unwrap();
    let calls = (MOST_IDS * 3 / 4 * keys.len()) as u64;
    let subject = Subject::user("ann@example.com");
    let day = leaves.peek(&ItemKey::day(&subject, HOUR)).unwrap();
    let day: RollUp = domain::state::decode(&day.state).unwrap();
    assert_eq!(day.tally().calls, calls);
    assert_eq!(
        day.parts().map(|(name, _)| name).collect::<Vec<_>>(),
        ["16", "16+"]
    );
    let quarters = day.quarters().map(|quarter| quarter.calls);
    assert_eq!(quarters.iter().sum::<u64>(), calls);
    assert!(
        quarters
            .iter()
            .all(|quarter| quarter.abs_diff(calls / 4) < calls / 50)
    );
    let all_time = usage.peek(&ItemKey::all_time(&subject)).unwrap();
    let all_time: RollUp = domain::state::decode(&all_time.state).unwrap();
    assert_eq!(all_time.tally().calls, calls);
    let largest = leaves.items().into_iter().map(|(_, item)| item.state.len());
    let largest = largest.max().unwrap();
    assert!(largest < ITEM_LIMIT * 3 / 4, "{largest} bytes");
}

#[tokio::test]
async fn sums_show_their_totals_and_those_between_leaf_and_day_go_after_their_leaves() {
    let (leaves, usage) = (MemoryStore::default(), MemoryStore::default());
    leaves.trace();
    usage.trace();
    let place = Place::OfMinute {
        minute: 7,
        number: 0,
    };
    let key = LeafKey {
        subject: Subject::user("ann@example.com"),
        hour: HOUR,
        lane: 0,
        place,
    };
    let leaf = full_leaf(place);
    let at = LeafAt {
        key: &key,
        version: 1,
        leaf: &leaf,
    };
    let rolling = Rolling {
        leaves: &leaves,
        usage: &usage,
        mode: TrackingMode::Stream,
        limits: Limits::default(),
    };
    rolling.roll_up(&[at]).await.unwrap();
    let written = leaves.traced().into_iter().chain(usage.traced());
    let shown: Vec<_> = written
        .filter_map(|done| match done {
            Done::Put { key, item, .. } => Some((key.sk, item.shown)),
            _ => None,
        })
        .collect();
    let passing = Window::Hour.end(HOUR).plus_days(15);
    let expected = [
        ("2026-11-22T16:07#0", Some(passing)),
        ("2026-11-22T16", Some(passing)),
        ("2026-11-22", None),
        ("MONTH#2026-11", None),
        ("ALL", None),
    ];
    let expected = expected.map(|(sk, expires_at)| {
        let shown = Shown {
            tally: Some(leaf.tally()),
            expires_at,
            by_time: None,
        };
        (sk.to_owned(), shown)
    });
    assert_eq!(shown, expected);
}
