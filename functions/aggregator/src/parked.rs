//! Parked items: what cannot be read or written, facts that disagree, and amounts without a call.
//! They are recorded under `PK = ERRORS`; parked items are owed until they work.
//!
//! A parked item is listed under its minute, so that the tick knows which minute to fold again.
//! Everything else goes on.

use domain::entry::EntryError;
use domain::event::Reason;
use domain::event::Rejection;
use domain::fold::{FoldedMinute, Unclaimed};
use domain::table::{ERRORS, ItemKey};
use domain::time::{UnixMillis, Window};
use runtime::errors::{self, Position};
use runtime::log::Chain;
use runtime::store::{self, Query, Store, StoreError};

use crate::fold::Whom;

/// Prefix of the sort keys of parked items.
const PARKED: &str = "parked";
/// Roughly how many items one tick retries; it may be a few more.
const MOST_OWED: usize = 100;
/// The source named for facts that disagree.
const CONFLICT: &str = "conflict";
/// The source named for amounts without a call.
const UNCLAIMED: &str = "unclaimed";

/// An item that cannot be read or written, and the minutes that must be folded again for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parked {
    key: ItemKey,
    minutes: Vec<UnixMillis>,
    reason: Reason,
    message: String,
}

impl Parked {
    /// An entry of the journal that does not decode.
    pub(crate) fn entry(key: ItemKey, minute: UnixMillis, error: &EntryError) -> Self {
        Self {
            key,
            minutes: vec![minute],
            reason: Reason::Unreadable,
            message: error.to_string(),
        }
    }
}

/// Turns an error that no retry can fix into a parked item.
pub(crate) fn or_parked(
    done: Result<(), StoreError>,
    key: &ItemKey,
    minutes: Vec<UnixMillis>,
) -> Result<Option<Parked>, StoreError> {
    let Err(error) = done else {
        return Ok(None);
    };
    let reason = match error {
        StoreError::TooLarge { .. } => Reason::TooLarge,
        StoreError::Unreadable { .. } => Reason::Unreadable,
        error => return Err(error),
    };
    Ok(Some(Parked {
        key: error.parked().unwrap_or(key).clone(),
        minutes,
        reason,
        message: Chain(&error).to_string(),
    }))
}

/// Records what was parked.
pub(crate) async fn tell<S: Store>(
    store: &S,
    parked: &[Parked],
    now: UnixMillis,
) -> Result<(), StoreError> {
    for item in parked {
        let rejection = Rejection::new(item.reason, item.message.clone());
        for minute in &item.minutes {
            let source = source(*minute);
            let place = format!("{}/{}", item.key.pk, item.key.sk);
            tracing::error!(minute = %minute, item = place, message = %rejection.message, "an item is parked");
            let position = Position {
                shard_id: &source,
                sequence_number: &place,
            };
            errors::set_aside(store, position, &[], &rejection, now).await?;
        }
    }
    Ok(())
}

fn source(minute: UnixMillis) -> String {
    format!("{PARKED}#{}", Window::Minute.label(minute))
}

/// What is owed: minutes with a parked item, and the keys under which that item is recorded.
pub(crate) async fn owed<S: Store>(store: &S) -> Result<Vec<(UnixMillis, ItemKey)>, StoreError> {
    let from = format!("{PARKED}#");
    let mut query = Query::states(ERRORS, &from, store::after(&from));
    let mut rows = Vec::new();
    while rows.len() < MOST_OWED {
        let page = store.query(&query).await?;
        rows.extend(page.items);
        match page.next {
            Some(next) => query.after = Some(next),
            None => break,
        }
    }
    let minutes = rows.into_iter().filter_map(|row| {
        let label = row.sk.strip_prefix(&from)?.get(..16)?;
        let minute = Window::Minute.parse_label(label)?;
        Some((minute, ItemKey::new(ERRORS, row.sk)))
    });
    Ok(minutes.collect())
}

/// The keys under which a parked item is recorded.
pub(crate) fn told(item: &Parked) -> impl Iterator<Item = ItemKey> + '_ {
    let place = format!("{}/{}", item.key.pk, item.key.sk);
    let minutes = item.minutes.iter();
    minutes.map(move |minute| ItemKey::error(&source(*minute), &place))
}

/// Records facts that disagree about an event, one item per event.
pub(crate) async fn conflicts<S: Store>(
    store: &S,
    minutes: &[&FoldedMinute],
    whom: Whom,
    now: UnixMillis,
) -> Result<(), StoreError> {
    let conflicts = minutes.iter().flat_map(|folded| &folded.conflicts);
    for conflict in conflicts.filter(|conflict| whom.includes(conflict.is_new)) {
        let message = format!(
            "counted as {}; also told: {}",
            conflict.counted, conflict.other
        );
        let rejection = Rejection::new(Reason::Conflict, message);
        let id = conflict.id.to_string();
        let position = Position {
            shard_id: CONFLICT,
            sequence_number: &id,
        };
        errors::set_aside(store, position, &[], &rejection, now).await?;
    }
    Ok(())
}

/// Records amounts without a call, one item per call and meter. Until its day is closed, an amount
/// may be earlier in the journal than its call.
pub(crate) async fn unclaimed<S: Store>(
    store: &S,
    minutes: &[&FoldedMinute],
    now: UnixMillis,
) -> Result<(), StoreError> {
    for amount in minutes.iter().flat_map(|folded| &folded.unclaimed) {
        let Unclaimed {
            call,
            meter,
            amount,
        } = amount;
        let message = format!(
            "{amount} {meter}: no call `{call}` was in the journal when its day was closed"
        );
        let rejection = Rejection::new(Reason::UnknownCall, message);
        let place = format!("{call}/{meter}");
        let position = Position {
            shard_id: UNCLAIMED,
            sequence_number: &place,
        };
        errors::set_aside(store, position, &[], &rejection, now).await?;
    }
    Ok(())
}
