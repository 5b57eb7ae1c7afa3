//! Items that spill over: each takes so much, and once it is full the next takes what it does not
//! know, so that none grows beyond what a table takes.
//!
//! Like the leaves of a subject: an item that is full never takes anything new, and the next is
//! looked at only once the one before it is stored full. Whatever was taken is found again. All who
//! write the items of one table have to go by the same [`Limits`].

use crate::store::{Shown, Store, StoreError, Updated, update};
use domain::table::ItemKey;
use serde::{Serialize, de::DeserializeOwned};

/// How much one item takes before the next takes over. A later release may lower these, and never raise
/// them while items of before live: a full one would have room again for what the next one holds.
/// Roughly 100 KB each; what an item holds may still grow, and a table takes 400 KB
/// (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html>).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Leaves in a busy subject's minute.
    pub leaves: usize,
    /// Parts in everybody's minute, of which most callers have one.
    pub parts: usize,
    /// Users in a roster, eight bytes each.
    pub users: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            leaves: 250,
            parts: 1_000,
            users: 4_000,
        }
    }
}

/// What became of a thing that was offered to an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It changed the item.
    Changed,
    /// The item knows it already.
    Known,
    /// The item does not know it, and has no room.
    Full,
}

/// Offers `things` to the items whose keys are those of `key`, one after the other; gives each that was
/// offered something as it is now, with its number.
pub async fn offer<S, T, I>(
    store: &S,
    key: impl Fn(u32) -> ItemKey,
    things: Vec<I>,
    take: impl Fn(&mut T, &I) -> Taken + Sync,
    show: impl Fn(&T) -> Shown + Send + Sync,
) -> Result<Vec<(u32, Updated<T>)>, StoreError>
where
    S: Store,
    T: Serialize + DeserializeOwned + Default + Send,
    I: Send + Sync,
{
    let mut items = Vec::new();
    let mut pending = things;
    for number in 0.. {
        if pending.is_empty() {
            break;
        }
        let mut fates = Vec::new();
        let change = |item: &mut T| {
            fates.clear();
            fates.extend(pending.iter().map(|thing| take(item, thing)));
            fates.contains(&Taken::Changed)
        };
        let updated = update(store, &key(number), change, &show).await?;
        let offered = pending.into_iter().zip(fates);
        let left = offered.filter(|(_, taken)| *taken == Taken::Full);
        pending = left.map(|(thing, _)| thing).collect();
        items.push((number, updated));
    }
    Ok(items)
}
