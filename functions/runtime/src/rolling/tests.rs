//! What a busy caller's sums weigh, and that they lose nothing between leaf and day.

use domain::event::{EventType, MOST_LANES};
use domain::leaf::MOST_IDS;
use domain::sample;

use super::*;
use crate::memory::MemoryStore;

const HOUR: UnixMillis = UnixMillis(1_795_363_200_000);
/// Leaves that each lane fills in an hour at 5,000 calls a second over all of them.
const LEAVES_A_LANE: u32 = 71;
/// DynamoDB refuses larger items:
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html>.
const ITEM_LIMIT: usize = 400 * 1024;

fn full_leaf() -> Leaf {
    let mut leaf = Leaf::default();
    for number in 0..MOST_IDS as u64 {
        let minute = i64::try_from(number % 60).unwrap();
        let time = HOUR.plus_millis(minute * 60_000);
        let mut event = sample::event(number, "ann@example.com", EventType::ApiCall, time);
        event.data.endpoint = format!("/v1/accounts/{{id}}/statements/{}", number % 6);
        leaf.offer(&event);
    }
    leaf
}

fn keys() -> Vec<LeafKey> {
    let lanes = (0..MOST_LANES).flat_map(|lane| {
        (0..LEAVES_A_LANE).map(move |place| LeafKey {
            subject: Subject::user("ann@example.com"),
            hour: HOUR,
            lane,
            place,
        })
    });
    lanes.collect()
}

#[tokio::test]
async fn a_caller_at_five_thousand_calls_a_second_outgrows_no_item_and_loses_no_call() {
    let (leaves, usage) = (MemoryStore::default(), MemoryStore::default());
    let leaf = full_leaf();
    let keys = keys();
    let at: Vec<LeafAt<'_>> = keys
        .iter()
        .map(|key| LeafAt {
            key,
            version: 4_000,
            leaf: &leaf,
        })
        .collect();
    let rolling = Rolling {
        leaves: &leaves,
        usage: &usage,
        mode: TrackingMode::Stream,
    };
    rolling.users(&at).await.unwrap();
    let calls = (MOST_IDS * keys.len()) as u64;
    let subject = Subject::user("ann@example.com");
    let day = leaves.peek(&ItemKey::day(&subject, HOUR)).unwrap();
    let day: RollUp = domain::state::decode(&day.state).unwrap();
    assert_eq!(day.tally().calls, calls);
    assert_eq!(
        day.parts().map(|(name, _)| name).collect::<Vec<_>>(),
        ["16", "16.0.0"]
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
    assert!(largest < ITEM_LIMIT / 16, "{largest} bytes");
}
