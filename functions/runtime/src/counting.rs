//! Counts events into leaves, each once, and how they were answered.
//!
//! Nothing here rests on which events come together or in which order: the leaf's ids decide.

use std::collections::BTreeMap;

use domain::event::{DEDUPE_HORIZON_DAYS, UsageEvent};
use domain::leaf::{Leaf, LeafKey, Offer, Report};
use domain::response::Response;
use domain::table::ItemKey;
use domain::time::{UnixMillis, Window};

use crate::store::{self, Shown, Store, StoreError, Updated, update};

/// An event, and how it was answered where that is known.
#[derive(Debug, Clone, Copy)]
pub struct Told<'a> {
    /// The event.
    pub event: &'a UsageEvent,
    /// How it was answered.
    pub response: Option<Response>,
}

/// What becomes of an event that no leaf holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unheld {
    /// It is counted.
    Count,
    /// It is left alone, and named in [`Counted::absent`].
    Leave,
}

/// Events of one subject, hour and lane.
#[derive(Debug, Default)]
pub struct Row<'a> {
    events: Vec<Told<'a>>,
}

/// What became of the events of one row.
#[derive(Debug)]
pub struct Counted<'a> {
    /// Events that were counted now.
    pub counted: Vec<&'a UsageEvent>,
    /// Events that had been counted before.
    pub duplicates: Vec<&'a UsageEvent>,
    /// Events that no leaf holds, where such are left alone.
    pub absent: Vec<&'a UsageEvent>,
    /// The leaves as they are now.
    pub leaves: Vec<(LeafKey, Updated<Leaf>)>,
}

/// Splits events into rows: each row is counted on its own, and one that fails fails alone.
pub fn rows<'a>(events: impl IntoIterator<Item = &'a UsageEvent>) -> BTreeMap<LeafKey, Row<'a>> {
    told_rows(events.into_iter().map(|event| Told {
        event,
        response: None,
    }))
}

/// As [`rows`], of events with how they were answered.
pub fn told_rows<'a>(events: impl IntoIterator<Item = Told<'a>>) -> BTreeMap<LeafKey, Row<'a>> {
    let mut rows: BTreeMap<LeafKey, Row<'a>> = BTreeMap::new();
    for told in events {
        rows.entry(LeafKey::of(told.event))
            .or_default()
            .events
            .push(told);
    }
    rows
}

impl<'a> Row<'a> {
    /// Counts the row's events, starting from its first leaf.
    pub async fn count<S: Store>(
        self,
        store: &S,
        first: LeafKey,
    ) -> Result<Counted<'a>, StoreError> {
        self.walk(store, first, Unheld::Count).await
    }

    /// Takes the row's events and how they were answered, starting from its first leaf.
    ///
    /// What comes after a leaf is looked at only once that leaf is stored full: an id in a later
    /// leaf is therefore in none before, and whoever walks there finds it.
    pub async fn walk<S: Store>(
        self,
        store: &S,
        first: LeafKey,
        unheld: Unheld,
    ) -> Result<Counted<'a>, StoreError> {
        let mut result = Counted {
            counted: Vec::new(),
            duplicates: Vec::new(),
            absent: Vec::new(),
            leaves: Vec::new(),
        };
        // Behind the first leaf the way parts, by minutes; leaves later on it sort later.
        let mut pending = BTreeMap::from([(first, self.events)]);
        while let Some((key, events)) = pending.pop_first() {
            let (updated, fates) = offer(store, &key, &events, unheld).await?;
            for (told, fate) in events.into_iter().zip(fates) {
                match fate {
                    Fate::Counted => result.counted.push(told.event),
                    Fate::Duplicate => result.duplicates.push(told.event),
                    Fate::Absent => result.absent.push(told.event),
                    Fate::Full => pending.entry(key.after(told.event)).or_default().push(told),
                }
            }
            if updated.version > 0 {
                result.leaves.push((key, updated));
            }
        }
        Ok(result)
    }
}

/// Whether `event` was counted before, by what its leaves still know.
pub async fn is_counted<S: Store>(store: &S, event: &UsageEvent) -> Result<bool, StoreError> {
    let mut key = LeafKey::of(event);
    loop {
        let item = ItemKey::leaf(&key);
        let Some(stored) = store.get(&item).await? else {
            return Ok(false);
        };
        let leaf: Leaf = store::read(&item, &stored)?;
        if leaf.holds(event.id.short()) {
            return Ok(true);
        }
        if !leaf.is_full() {
            return Ok(false);
        }
        key = key.after(event);
    }
}

/// What became of an event in one leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Counted,
    Duplicate,
    /// Not here, and there is no room: the leaf that follows decides.
    Full,
    /// Not here, and not to be counted.
    Absent,
}

/// Offers events to one leaf in one write; says what became of each.
async fn offer<S: Store>(
    store: &S,
    key: &LeafKey,
    events: &[Told<'_>],
    unheld: Unheld,
) -> Result<(Updated<Leaf>, Vec<Fate>), StoreError> {
    let mut fates = Vec::new();
    let expires_at = Window::Hour
        .end(key.hour)
        .plus_days(DEDUPE_HORIZON_DAYS + 1);
    let updated = update(
        store,
        &ItemKey::leaf(key),
        |leaf: &mut Leaf| {
            fates.clear();
            let mut changed = false;
            for told in events {
                let fate = fate(leaf, told.event, unheld);
                changed |= fate == Fate::Counted;
                if let Some(response) = told.response {
                    changed |= leaf.report(told.event, response) == Report::Taken;
                }
                fates.push(fate);
            }
            changed
        },
        |leaf| shown(leaf, expires_at),
    )
    .await?;
    Ok((updated, fates))
}

/// Counts an event, or looks for it.
fn fate(leaf: &mut Leaf, event: &UsageEvent, unheld: Unheld) -> Fate {
    match unheld {
        Unheld::Count => match leaf.offer(event) {
            Offer::Counted => Fate::Counted,
            Offer::Duplicate => Fate::Duplicate,
            Offer::Full => Fate::Full,
        },
        Unheld::Leave if leaf.holds(event.id.short()) => Fate::Duplicate,
        Unheld::Leave if leaf.is_full() => Fate::Full,
        Unheld::Leave => Fate::Absent,
    }
}

fn shown(leaf: &Leaf, expires_at: UnixMillis) -> Shown {
    Shown {
        tally: Some(leaf.tally()),
        expires_at: Some(expires_at),
        by_time: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{Call, Done, Fault, MemoryStore};
    use domain::event::EventType;
    use domain::leaf::MOST_IDS;
    use domain::sample;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test]
    async fn what_the_second_leaf_of_a_row_holds_is_found_behind_the_first() {
        let store = MemoryStore::default();
        let most = u64::try_from(MOST_IDS).unwrap();
        let event = |number: u64| {
            let time = UnixMillis(1_795_363_445_007);
            sample::event(number, "ann@example.com", EventType::ApiCall, time)
        };
        let events: Vec<UsageEvent> = (0..=most).map(event).collect();
        for (first, row) in rows(&events) {
            let done = row.count(&store, first).await.unwrap();
            assert_eq!((done.counted.len(), done.leaves.len()), (MOST_IDS + 1, 2));
        }
        let told: Vec<UsageEvent> = [0, most, most + 1].map(event).to_vec();
        for (event, counted) in told.iter().zip([true, true, false]) {
            assert_eq!(is_counted(&store, event).await.unwrap(), counted);
        }
        for (first, row) in rows(&told) {
            let done = row.walk(&store, first, Unheld::Leave).await.unwrap();
            assert_eq!(done.duplicates, [&told[0], &told[1]]);
            assert_eq!(done.absent, [&told[2]]);
        }
    }

    #[tokio::test]
    async fn a_leaf_is_written_where_a_call_or_a_response_is_new_and_may_go_after_eight_days() {
        let store = MemoryStore::default();
        store.trace();
        let time = UnixMillis(1_795_363_445_007);
        let event = |number| sample::event(number, "ann@example.com", EventType::ApiCall, time);
        let [known, new] = [event(0), event(1)];
        let response = Some(Response {
            status: 200,
            latency: Some(40),
        });
        let told = |event, response| Told { event, response };
        // Nothing to count, nothing there: nothing is handed on.
        // A call; its response; another call beside a response that is known; nothing new.
        for (calls, unheld, expected) in [
            (vec![told(&known, response)], Unheld::Leave, None),
            (vec![told(&known, None)], Unheld::Count, Some(1)),
            (vec![told(&known, response)], Unheld::Count, Some(2)),
            (
                vec![told(&new, None), told(&known, response)],
                Unheld::Count,
                Some(3),
            ),
            (
                vec![told(&known, response), told(&new, None)],
                Unheld::Leave,
                Some(3),
            ),
        ] {
            for (first, row) in told_rows(calls) {
                let done = row.walk(&store, first, unheld).await.unwrap();
                let versions = done.leaves.iter().map(|(_, updated)| updated.version);
                assert_eq!(versions.collect::<Vec<_>>(), Vec::from_iter(expected));
            }
        }
        let written: Vec<_> = store
            .traced()
            .into_iter()
            .filter_map(|done| match done {
                Done::Put { item, .. } => Some((item.version, item.shown.expires_at)),
                _ => None,
            })
            .collect();
        let end = Some(Window::Hour.end(time).plus_days(8));
        assert_eq!(written, [(1, end), (2, end), (3, end)]);
    }

    /// Half of what a shard takes goes through one lane, hour after hour: no batch may have to look
    /// through an hour's leaves.
    #[tokio::test]
    async fn a_lane_at_its_most_looks_through_a_minute_of_leaves_and_not_through_an_hour() {
        const PER_SECOND: u64 = 500;
        const MINUTES: u64 = 5;
        let store = MemoryStore::default();
        let reads = Arc::new(AtomicUsize::new(0));
        let of_batch = Arc::clone(&reads);
        store.inject(move |call, _| {
            of_batch.fetch_add(usize::from(call == Call::Get), Ordering::Relaxed);
            Fault::None
        });
        let hour = UnixMillis(1_795_363_200_000);
        let events: Vec<UsageEvent> = (0..PER_SECOND * 60 * MINUTES)
            .map(|number| {
                let at = i64::try_from(number * 1_000 / PER_SECOND).unwrap();
                let time = hour.plus_millis(at);
                sample::event(number, "ann@example.com", EventType::ApiCall, time)
            })
            .collect();
        let (mut counted, mut most) = (0, 0);
        for batch in events.chunks(100) {
            for (first, row) in rows(batch) {
                counted += row.count(&store, first).await.unwrap().counted.len();
            }
            most = most.max(reads.swap(0, Ordering::Relaxed));
        }
        assert_eq!(counted, events.len());
        let of_minute = usize::try_from(PER_SECOND).unwrap() * 60 / MOST_IDS;
        // The first leaf, those of the minute, and of the next where the batch ends in it.
        assert!((of_minute..=of_minute + 3).contains(&most), "{most} reads");
    }
}
