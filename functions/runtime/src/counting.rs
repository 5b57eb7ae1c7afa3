//! Counts events into leaves, each once.
//!
//! Nothing here rests on which events come together or in which order: the leaf's ids decide.

use std::collections::BTreeMap;

use domain::event::{DEDUPE_HORIZON_DAYS, UsageEvent};
use domain::leaf::{Leaf, LeafKey, Offer};
use domain::table::ItemKey;
use domain::time::{UnixMillis, Window};

use crate::store::{self, Shown, Store, StoreError, Updated, update};

/// Events of one row of leaves.
#[derive(Debug, Default)]
pub struct Row<'a> {
    events: Vec<&'a UsageEvent>,
}

/// What became of the events of one row.
#[derive(Debug)]
pub struct Counted<'a> {
    /// Events that were counted now.
    pub counted: Vec<&'a UsageEvent>,
    /// Events that had been counted before.
    pub duplicates: Vec<&'a UsageEvent>,
    /// The leaves as they are now.
    pub leaves: Vec<(LeafKey, Updated<Leaf>)>,
}

/// Splits events into rows: each row is counted on its own, and one that fails fails alone.
pub fn rows<'a>(events: impl IntoIterator<Item = &'a UsageEvent>) -> BTreeMap<LeafKey, Row<'a>> {
    let mut rows: BTreeMap<LeafKey, Row<'a>> = BTreeMap::new();
    for event in events {
        rows.entry(LeafKey::of(event))
            .or_default()
            .events
            .push(event);
    }
    rows
}

impl<'a> Row<'a> {
    /// Counts the row's events, starting from its first leaf.
    ///
    /// The next leaf is looked at only once the one before it is stored full: an id in a later
    /// leaf is therefore in none before, and whoever walks the row finds it.
    pub async fn count<S: Store>(
        self,
        store: &S,
        first: LeafKey,
    ) -> Result<Counted<'a>, StoreError> {
        let mut result = Counted {
            counted: Vec::new(),
            duplicates: Vec::new(),
            leaves: Vec::new(),
        };
        let mut pending = self.events;
        let mut key = first;
        while !pending.is_empty() {
            let (updated, offers) = offer(store, &key, &pending).await?;
            let mut rest = Vec::new();
            for (event, offer) in pending.into_iter().zip(offers) {
                match offer {
                    Offer::Counted => result.counted.push(event),
                    Offer::Duplicate => result.duplicates.push(event),
                    Offer::Full => rest.push(event),
                }
            }
            pending = rest;
            let next = key.next();
            result.leaves.push((key, updated));
            key = next;
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
        key = key.next();
    }
}

/// Offers events to one leaf in one write; says what became of each.
async fn offer<S: Store>(
    store: &S,
    key: &LeafKey,
    events: &[&UsageEvent],
) -> Result<(Updated<Leaf>, Vec<Offer>), StoreError> {
    let mut offers = Vec::new();
    let expires_at = Window::Hour
        .end(key.hour)
        .plus_days(DEDUPE_HORIZON_DAYS + 1);
    let updated = update(
        store,
        &ItemKey::leaf(key),
        |leaf: &mut Leaf| {
            offers = events.iter().map(|event| leaf.offer(event)).collect();
            offers.contains(&Offer::Counted)
        },
        |leaf| shown(leaf, expires_at),
    )
    .await?;
    Ok((updated, offers))
}

fn shown(leaf: &Leaf, expires_at: UnixMillis) -> Shown {
    Shown {
        tally: Some(leaf.tally()),
        expires_at: Some(expires_at),
        by_time: None,
    }
}
