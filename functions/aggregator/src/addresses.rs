//! Addresses that fail: one small item per address and hour, written when the address fails. No
//! list is ever rewritten as a whole.

use domain::counts::{AddressHour, Failures};
use domain::state;
use domain::table::{ItemKey, Listed};
use domain::time::{UnixMillis, Window};
use runtime::store::{Condition, NewItem, Shown, Store, StoreError, Stored, Written, unreadable};

/// Failures in one clock hour from which an address is listed first: of five failures within any
/// sixty minutes, at least three fall into one clock hour.
pub const LISTED_FROM: u64 = 3;
/// Days for which failures are kept.
const DAYS: i64 = 14;
/// How often an item is read again after a concurrent write.
const MOST_CONFLICTS: u32 = 50;

/// Failures of one address in one hour.
#[derive(Debug)]
pub(crate) struct AddressWork<'a> {
    pub(crate) address: &'a str,
    pub(crate) hour: UnixMillis,
    pub(crate) slots: Vec<(u8, &'a Failures)>,
}

/// Offers slots to an address's hour.
pub(crate) async fn offer<S: Store>(store: &S, work: AddressWork<'_>) -> Result<(), StoreError> {
    let key = |listed| ItemKey::address(work.hour, listed, work.address);
    let [first, last] = [key(Listed::First), key(Listed::Last)];
    for _ in 0..MOST_CONFLICTS {
        // Two concurrent folds may write one item each: both are read here, and readers merge them
        // too.
        let (listed, before) = (store.get(&first).await?, store.get(&last).await?);
        let mut hour = read(&first, listed.as_ref())?;
        for (minute, slot) in &read(&last, before.as_ref())?.slots {
            hour.offer(*minute, slot);
        }
        let offered = work.slots.iter();
        let changed = offered.fold(false, |changed, (minute, slot)| {
            hour.offer(*minute, slot) | changed
        });
        if !changed {
            return Ok(());
        }
        let (key, held) = if hour.total() >= LISTED_FROM || listed.is_some() {
            (&first, &listed)
        } else {
            (&last, &before)
        };
        let version = held.as_ref().map_or(0, |stored| stored.version);
        let item = NewItem {
            version: version + 1,
            state: state::encode(&hour).map_err(unreadable(key))?,
            shown: Shown {
                expires_at: Some(Window::Hour.end(work.hour).plus_days(DAYS)),
                ..Shown::default()
            },
            condition: Condition::Version(version),
        };
        if let Written::Done { .. } = store.put(key, item).await? {
            return Ok(());
        }
    }
    Err(StoreError::Contended { key: first })
}

fn read(key: &ItemKey, stored: Option<&Stored>) -> Result<AddressHour, StoreError> {
    match stored {
        Some(stored) => state::decode(&stored.state).map_err(unreadable(key)),
        None => Ok(AddressHour::default()),
    }
}
