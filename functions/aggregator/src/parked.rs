//! Parked items: what cannot be read or written, facts that disagree, and amounts without a call.
//! They are recorded under `PK = ERRORS`; parked items are owed until they work.
//!
//! A parked item is listed under its minute, so that the tick knows which minute to fold again.
//! Everything else goes on.

use domain::entry::EntryError;
use domain::event::Reason;
use domain::event::Rejection;
use domain::fold::{FoldedMinute, Unclaimed};
use domain::table::{self, ERRORS, ItemKey};
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

/// A minute with a parked item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owed {
    pub(crate) minute: UnixMillis,
    /// The key under which the item is recorded.
    pub(crate) key: ItemKey,
}

impl Owed {
    fn parse(key: ItemKey) -> Option<Self> {
        let label = key.sk.strip_prefix(PARKED)?.get(1..17)?;
        let minute = Window::Minute.parse_label(label)?;
        Some(Self { minute, key })
    }

    /// The user whose hour, day or longer sum the item is.
    pub(crate) fn user(&self) -> Option<&str> {
        let (_, item) = self.key.sk.split_at_checked(PARKED.len() + 18)?;
        let (pk, _) = item.rsplit_once('/')?;
        table::parse_user(pk)
    }
}

/// Whether a minute of a day is owed.
pub(crate) async fn is_owed<S: Store>(store: &S, day: UnixMillis) -> Result<bool, StoreError> {
    let from = format!("{PARKED}#{}", Window::Day.label(day));
    let query = Query::states(ERRORS, &from, store::after(&from));
    Ok(!store.query(&query).await?.items.is_empty())
}

/// What is owed, in the order of minutes.
pub(crate) async fn owed<S: Store>(store: &S) -> Result<Vec<Owed>, StoreError> {
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
    let keys = rows.into_iter().map(|row| ItemKey::new(ERRORS, row.sk));
    Ok(keys.filter_map(Owed::parse).collect())
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
