#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use super::*;
use domain::entry::Packer;
use domain::event::UsageEvent;
use domain::fold::{FoldedMinute, MinuteFold};
use domain::sample;
use runtime::memory::MemoryStore;

const NOW: UnixMillis = UnixMillis(1_795_363_445_007);
const ANN: &str = "ann@example.com";

struct World {
    table: MemoryStore,
    collector: Collector<MemoryStore>,
}

impl World {
    fn new() -> Self {
        let table = MemoryStore::default();
        let journal = Journal {
            store: table.clone(),
            retention_days: 90,
        };
        Self {
            table,
            collector: Collector { journal },
        }
    }

    async fn holds(&self, events: &[&UsageEvent]) {
        let borrowed: Vec<_> = events.iter().map(|event| event.borrowed()).collect();
        let mut packer = Packer::default();
        for event in &borrowed {
            packer.report(event);
        }
        self.collector.journal.append(packer, NOW).await.unwrap();
    }

    async fn collect(&self, amounts: &[&Amount]) -> Collected {
        let reports = amounts.iter().map(|amount| Report {
            id: Some(amount.meter.clone()),
            amount: Ok((*amount).clone()),
        });
        self.collector
            .collect(reports.collect(), NOW)
            .await
            .unwrap()
    }

    async fn fold(&self, minute: UnixMillis) -> FoldedMinute {
        let minute = Window::Minute.start(minute);
        let mut fold = MinuteFold::new(minute);
        let show = |found: Found| {
            fold.add(&found.facts.unwrap(), true).unwrap();
            Ok(())
        };
        let read = self.collector.journal.read(minute, minute, show).await;
        read.unwrap();
        fold.finish()
    }
}

fn call(number: u64, minutes_ago: i64) -> UsageEvent {
    let at = NOW.plus_millis(-minutes_ago * 60_000);
    sample::event(number, ANN, EventType::ApiCall, at)
}

fn tokens(of: &UsageEvent, amount: u64) -> Amount {
    Amount {
        call: of.id,
        meter: "tokens".to_owned(),
        amount,
        to_quota: true,
    }
}

fn counted(folded: &FoldedMinute) -> Option<u64> {
    let user = folded.users.get(ANN)?;
    user.slot.counts.tally.meters.get("tokens").copied()
}

#[tokio::test]
async fn an_amount_sent_again_counts_once() {
    let world = World::new();
    let call = call(1, 30);
    world.holds(&[&call]).await;
    for _ in 0..3 {
        let collected = world.collect(&[&tokens(&call, 70)]).await;
        assert_eq!((collected.accepted, collected.refused), (1, vec![]));
    }
    let folded = world.fold(call.time).await;
    assert_eq!(counted(&folded), Some(70));
    assert_eq!(
        folded.everybody.repeats, 0,
        "the same entry is the same item"
    );
}

#[tokio::test]
async fn a_young_call_may_come_after_its_amount() {
    let world = World::new();
    let call = call(1, 4);
    let collected = world.collect(&[&tokens(&call, 70)]).await;
    assert_eq!(collected.accepted, 1);
    assert_eq!(counted(&world.fold(call.time).await), None);
    world.holds(&[&call]).await;
    assert_eq!(counted(&world.fold(call.time).await), Some(70));
}

#[tokio::test]
async fn what_names_no_call_is_refused_and_holds_up_no_neighbour() {
    let world = World::new();
    let (known, unknown) = (call(1, 30), call(2, 30));
    let refused = sample::event(3, ANN, EventType::RateLimited, known.time);
    world.holds(&[&known, &refused]).await;
    let amounts = [&unknown, &known, &refused].map(|of| tokens(of, 70));
    let [one, other, third] = &amounts;
    let collected = world.collect(&[one, other, third]).await;
    assert_eq!(collected.accepted, 1);
    let told: Vec<_> = collected
        .refused
        .iter()
        .map(|refused| (refused.index, refused.error))
        .collect();
    assert_eq!(told, [(0, "unknownCall"), (2, "unknownCall")]);
    let folded = world.fold(known.time).await;
    assert_eq!((counted(&folded), folded.unclaimed), (Some(70), vec![]));
}

/// An entry of a later release may hold the call.
#[tokio::test]
async fn a_call_in_an_entry_that_cannot_be_read_may_be_there() {
    let world = World::new();
    let (known, unknown) = (call(1, 30), call(2, 30));
    world.holds(&[&known]).await;
    for key in world.table.keys() {
        world.table.tamper(&key, |bytes| bytes[0] = 250);
    }
    let collected = world.collect(&[&tokens(&unknown, 70)]).await;
    assert_eq!(collected.accepted, 1);
}

#[tokio::test]
async fn a_request_reads_a_bounded_number_of_minutes() {
    let world = World::new();
    let amounts = |minutes: i64| -> Vec<Amount> {
        let calls = (6..6 + minutes).map(|ago| tokens(&call(1, ago), 70));
        calls.collect()
    };
    let most = i64::try_from(MOST_MINUTES).unwrap();
    let given = amounts(most);
    let collected = world.collect(&given.iter().collect::<Vec<_>>()).await;
    assert_eq!(collected.refused.len(), MOST_MINUTES);
    let reports = amounts(most + 1).into_iter().map(|amount| Report {
        id: None,
        amount: Ok(amount),
    });
    let error = world.collector.collect(reports.collect(), NOW).await;
    assert!(matches!(
        error,
        Err(RequestError::TooSpread { minutes }) if minutes == MOST_MINUTES + 1
    ));
}
