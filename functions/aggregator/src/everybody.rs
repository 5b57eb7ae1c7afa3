//! The totals over all users by minute, hour and day, the callers of a minute, and the users active
//! in an hour.
//!
//! Each is one absolute value that replaces only a value of lower rank. The fold that changed a
//! minute sums its hour; the closing of a day sums its hours.

use std::collections::BTreeSet;

use domain::counts::Sum;
use domain::event::Subject;
use domain::fold::FoldedMinute;
use domain::state::{self, StateError};
use domain::table::{self, ItemKey};
use domain::time::{UnixMillis, Window};
use runtime::store::{
    self, Condition, Document, NewItem, Query, Shown, Store, StoreError, Stored, Value, Written,
    unreadable,
};
use sha2::{Digest, Sha256};

use crate::users::sum_item;

/// How long aggregates are kept, in days. Days and longer windows are kept for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Entries of the journal.
    pub raw: i64,
    /// Minute aggregates.
    pub minutes: i64,
    /// Hour aggregates.
    pub hours: i64,
}

/// Days for which a roster is kept: the day that it belongs to is sealed by then.
const ROSTER_DAYS: i64 = 14;
/// Bits of an hour's or day's version that hold its number of users: enough for a million.
const USER_BITS: u32 = 20;
/// How often an hour or a day is summed again after a concurrent offer of more.
const MOST_CONFLICTS: u32 = 20;
/// A sort key below every sort key of a partition.
const FIRST: &str = " ";

/// How much a minute's totals grew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Gain {
    /// Accepted calls.
    pub calls: u64,
    /// Calls without a valid key.
    pub auth_failures: u64,
    /// Calls over the rate limit or the quota.
    pub rate_limited: u64,
    /// Facts that arrived again.
    pub repeats: u64,
}

impl Gain {
    /// Adds another minute's gain.
    pub const fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.auth_failures += other.auth_failures;
        self.rate_limited += other.rate_limited;
        self.repeats += other.repeats;
    }

    fn between(before: &Sum, after: &Sum) -> Self {
        let (one, other) = (&before.counts.tally, &after.counts.tally);
        Self {
            calls: other.calls.saturating_sub(one.calls),
            auth_failures: other.auth_failures.saturating_sub(one.auth_failures),
            rate_limited: other.rate_limited.saturating_sub(one.rate_limited),
            repeats: after.repeats.saturating_sub(before.repeats),
        }
    }
}

/// The totals over all users in one analytics table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Everybody<'a, S> {
    pub(crate) store: &'a S,
    pub(crate) retention: Retention,
}

impl<S: Store> Everybody<'_, S> {
    /// Offers a minute and returns how much its totals grew.
    pub(crate) async fn minute(&self, folded: &FoldedMinute) -> Result<Gain, StoreError> {
        let at = folded.minute;
        let expires_at = Window::Minute.end(at).plus_days(self.retention.minutes);
        self.callers(folded, expires_at).await?;
        let key = ItemKey::minute(at);
        let sum = &folded.everybody;
        let item = sum_item(&key, sum, sum.rank, Condition::Lower, Some(expires_at))?;
        match self.store.put(&key, item).await? {
            Written::Done { before } => {
                // Only metrics depend on the previous value.
                let before = before.and_then(|stored| Sum::decode(&stored.state).ok());
                Ok(Gain::between(&before.unwrap_or_default(), sum))
            }
            Written::Refused { current } => {
                not_later(&key, current, sum.rank)?;
                Ok(Gain::default())
            }
        }
    }

    /// Offers a minute's callers. Most folds add only responses, so this reads the item first and
    /// writes it only if it differs. If facts disagree, callers may come and go, so the rank must
    /// rise with every fold.
    async fn callers(
        &self,
        folded: &FoldedMinute,
        expires_at: UnixMillis,
    ) -> Result<(), StoreError> {
        let key = ItemKey::callers(folded.minute);
        let rank = folded.everybody.rank;
        let state = state::encode_packed(&folded.callers).map_err(unreadable(&key))?;
        let held = self.store.get(&key).await?;
        let says_so = held.is_some_and(|held| held.state == state || held.version >= rank);
        if says_so && folded.conflicts.is_empty() {
            return Ok(());
        }
        let item = NewItem {
            version: rank,
            state,
            shown: Shown {
                expires_at: Some(expires_at),
                ..Shown::default()
            },
            condition: Condition::Lower,
        };
        match self.store.put(&key, item).await? {
            Written::Done { .. } => Ok(()),
            Written::Refused { current } => not_later(&key, current, rank).map(drop),
        }
    }

    /// Enters users into the roster of an hour. The entry's key follows from its content, so a
    /// repeat writes the same item again.
    pub(crate) async fn enter(
        &self,
        hour: UnixMillis,
        users: &BTreeSet<&str>,
    ) -> Result<(), StoreError> {
        if users.is_empty() {
            return Ok(());
        }
        let digests: BTreeSet<[u8; 8]> = users
            .iter()
            .map(|email| Subject::as_carried(email).digest())
            .collect();
        let bytes = digests.into_iter().collect::<Vec<_>>().concat();
        // One item holds some 40,000 users.
        for part in bytes.chunks(8 * 40_000) {
            let digest = Sha256::digest(part);
            let name = digest.iter().take(16).map(|byte| format!("{byte:02x}"));
            let key = ItemKey::new(table::roster(hour), name.collect::<String>());
            let document = Document {
                attributes: vec![(table::attribute::STATE, Value::Bytes(part.to_vec()))],
                expires_at: Some(Window::Hour.end(hour).plus_days(ROSTER_DAYS)),
            };
            self.store.keep(&key, document).await?;
        }
        Ok(())
    }

    /// The users of an hour, each as eight bytes.
    pub(crate) async fn roster(&self, hour: UnixMillis) -> Result<BTreeSet<[u8; 8]>, StoreError> {
        let query = Query::states(table::roster(hour), FIRST, store::after(""));
        let rows = store::all(self.store, query).await?;
        let bytes = rows.iter().filter_map(|row| row.bytes.as_deref());
        Ok(bytes
            .flat_map(|bytes| bytes.as_chunks::<8>().0)
            .copied()
            .collect())
    }

    /// Offers an hour as the sum of its minutes.
    pub(crate) async fn hour(&self, hour: UnixMillis) -> Result<(), StoreError> {
        let expires_at = Window::Hour.end(hour).plus_days(self.retention.hours);
        for _ in 0..MOST_CONFLICTS {
            let query = Query::states(table::minutes(hour), FIRST, store::after(""));
            let mut sum = self.sum(query).await?;
            if sum.rank == 0 {
                return Ok(());
            }
            sum.users = self.roster(hour).await?.len() as u64;
            if self
                .offer(Window::Hour, hour, &sum, Some(expires_at))
                .await?
            {
                return Ok(());
            }
        }
        let key = ItemKey::total(Window::Hour, hour);
        Err(StoreError::Contended { key })
    }

    /// Offers a day as the sum of its hours.
    pub(crate) async fn day(&self, day: UnixMillis) -> Result<(), StoreError> {
        let label = Window::Day.label(day);
        for _ in 0..MOST_CONFLICTS {
            let query = Query::states(table::totals(Window::Hour), &label, store::after(&label));
            let mut sum = self.sum(query).await?;
            if sum.rank == 0 {
                return Ok(());
            }
            let mut users = BTreeSet::new();
            for hour in 0..24 {
                let hour = Window::Day.start(day).plus_millis(hour * 3_600_000);
                users.extend(self.roster(hour).await?);
            }
            sum.users = users.len() as u64;
            if self.offer(Window::Day, day, &sum, None).await? {
                return Ok(());
            }
        }
        let key = ItemKey::total(Window::Day, day);
        Err(StoreError::Contended { key })
    }

    /// Sums the parts of one day and keeps its quarter hours.
    async fn sum(&self, query: Query) -> Result<Sum, StoreError> {
        let pk = query.pk.clone();
        let rows = store::all(self.store, query).await?.into_iter();
        let parts = rows.filter_map(|row| Some((row.sk, row.bytes?)));
        let mut sum = Sum::default();
        for (sk, bytes) in parts {
            let key = ItemKey::new(&pk, sk);
            sum.merge(&Sum::decode(&bytes).map_err(unreadable(&key))?);
        }
        Ok(sum)
    }

    /// Offers a sum and returns whether this sum, or one that knows as much, is stored now. Rosters
    /// count users, facts do not: of two sums of one rank, the one that knows more users is the
    /// later.
    async fn offer(
        &self,
        window: Window,
        at: UnixMillis,
        sum: &Sum,
        expires_at: Option<UnixMillis>,
    ) -> Result<bool, StoreError> {
        let key = ItemKey::total(window, at);
        let version = sum.rank << USER_BITS | sum.users.min((1 << USER_BITS) - 1);
        let mut item = sum_item(&key, sum, version, Condition::Lower, expires_at)?;
        item.shown.by_time = Some((window, at));
        Ok(match self.store.put(&key, item).await? {
            Written::Done { .. } => true,
            // A stored sum that knows more facts may know fewer users: read again.
            Written::Refused { current } => not_later(&key, current, version)?
                .is_none_or(|version| version >> USER_BITS <= sum.rank),
        })
    }
}

/// The version of the item that refused a write of `version`. If it is lower, a newer release wrote
/// the item: the write waits for a release that can read it.
fn not_later(
    key: &ItemKey,
    current: Option<Stored>,
    version: u64,
) -> Result<Option<u64>, StoreError> {
    match current {
        Some(stored) if stored.version < version => Err(StoreError::Unreadable {
            key: key.clone(),
            source: StateError::Format {
                found: stored.state.first().copied().unwrap_or(0),
            },
        }),
        current => Ok(current.map(|stored| stored.version)),
    }
}
