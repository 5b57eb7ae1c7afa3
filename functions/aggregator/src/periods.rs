//! Hands over closed periods: one `period.closed` event per user who has any count in the month.
//!
//! A month's bills are of the periods that begin in it. By which calendars they end is noted before the
//! first of them is made: the next month's begin by the same ones, even if a deploy changes the plans in
//! between.
//!
//! Once every day that a month's periods touch is sealed, ticks go through the users that the
//! closings of its days listed, in one order, some at a time. Each bill is stored under an id that
//! derives from user and month, its id is sent to the queue, and only then the month's mark moves
//! past the user. A tick that dies is repeated, two at once do no harm: the bill follows from sealed
//! days and has the same id, the first stored one stays, and the mark moves only under its version.

use std::collections::{BTreeMap, BTreeSet};

use domain::bill::{self, Bill, Calendars, Noted, Terms};
use domain::counts::Sum;
use domain::mark::{DayMark, Round, SEAL_AFTER_DAYS};
use domain::plan::Plans;
use domain::state;
use domain::table::{self, ItemKey, MARKS};
use domain::time::{UnixMillis, Window};
use runtime::log::Chain;
use runtime::queue::{Queue, SendError};
use runtime::store::{
    self, Condition, NewItem, Query, Shown, Store, StoreError, Written, unreadable,
};
use runtime::together::together;
use serde::{Deserialize, Serialize};

use crate::close::Over;
use crate::lists::{Lists, Place};

/// The most users whose days cannot be read before the month waits for a release that reads them.
const MOST_OWED: usize = 100;
/// Days after the end of a month's last period during which its bills are handed over: by then its days
/// are sealed.
const WITHIN_DAYS: i64 = 40;
/// Days after a month's end by which its periods have ended.
const OVERHANG_DAYS: i64 = 31;
/// Days for which a day's users are needed: the month before that of a report may have begun with it,
/// or on the day after.
pub(crate) const LIST_DAYS: i64 = 32 + 31 + OVERHANG_DAYS + WITHIN_DAYS;
/// Days for which a bill is kept for the notifier, from the end of its period.
const BILL_DAYS: i64 = 120;

/// Hands over closed periods.
#[derive(Debug)]
pub struct Periods<'a, S, Q> {
    /// The usage table.
    pub usage: &'a S,
    /// The queue that takes the ids of bills.
    pub queue: &'a Q,
    /// The plans.
    pub plans: &'a Plans,
}

/// How far a month is handed over.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Progress {
    /// Everybody up to this user of this bucket is done, except the owed ones.
    at: Place,
    /// Users whose days could not be read. Every tick tries them again.
    owed: BTreeSet<String>,
}

impl Progress {
    fn is_done(&self) -> bool {
        self.at.is_end() && self.owed.is_empty()
    }
}

/// A period that was not handed over.
#[derive(Debug, thiserror::Error)]
pub enum HandOverError {
    /// The table.
    #[error("cannot read or note what is handed over")]
    Store(#[from] StoreError),
    /// The queue.
    #[error("cannot queue a closed period")]
    Send(#[from] SendError),
}

/// Whether the calendars by which a month's periods begin and end are still to be noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unnoted {
    from: bool,
    to: bool,
}

/// A month whose bills are made.
#[derive(Debug)]
struct Month {
    start: UnixMillis,
    terms: Terms,
    /// The first and the last of its days.
    span: (UnixMillis, UnixMillis),
}

impl Month {
    fn days(&self) -> impl Iterator<Item = UnixMillis> + use<> {
        let (first, last) = self.span;
        let next = |day: &UnixMillis| Some(Window::Day.end(*day));
        std::iter::successors(Some(first), next).take_while(move |day| *day <= last)
    }
}

impl<S: Store, Q: Queue> Periods<'_, S, Q> {
    /// Notes, before any day of a new environment has a mark, that every period is handed over. In
    /// an environment that closed days before this release, lists of their users may have expired:
    /// there, the first period is the first one that begins later.
    pub async fn begin(&self, now: UnixMillis) -> Result<(), StoreError> {
        self.since(now).await.map(drop)
    }

    pub(crate) async fn since(&self, now: UnixMillis) -> Result<UnixMillis, StoreError> {
        let key = ItemKey::periods_mark();
        if let Some(stored) = self.usage.get(&key).await? {
            return state::decode(&stored.state).map_err(unreadable(&key));
        }
        let days = Query::states(MARKS, "DAY#", store::after("DAY#"));
        let is_new = self.usage.query(&days).await?.items.is_empty();
        let since = if is_new { UnixMillis(0) } else { now };
        let item = NewItem {
            version: 1,
            state: state::encode(&since).map_err(unreadable(&key))?,
            shown: Shown::default(),
            condition: Condition::Version(0),
        };
        match self.usage.put(&key, item).await? {
            Written::Done { .. } | Written::Refused { current: None } => Ok(since),
            Written::Refused {
                current: Some(first),
            } => state::decode(&first.state).map_err(unreadable(&key)),
        }
    }

    /// Hands over the months that are final, oldest first, until the time is over.
    pub async fn hand_over(&self, now: UnixMillis, over: Over<'_>) -> Result<(), HandOverError> {
        // No month ends later than 31 days after it began.
        let mut month = Window::Month.start(now.plus_days(-WITHIN_DAYS - OVERHANG_DAYS - 31));
        while Window::Month.end(month).plus_days(SEAL_AFTER_DAYS) <= now {
            self.hand_over_month(month, now, over).await?;
            month = Window::Month.end(month);
        }
        Ok(())
    }

    async fn hand_over_month(
        &self,
        start: UnixMillis,
        now: UnixMillis,
        over: Over<'_>,
    ) -> Result<(), HandOverError> {
        let key = ItemKey::month_mark(start);
        let stored = self.usage.get(&key).await?;
        let (mut progress, mut version) = match &stored {
            Some(stored) => {
                let progress = state::decode::<Progress>(&stored.state);
                (progress.map_err(unreadable(&key))?, stored.version)
            }
            None => (Progress::default(), 0),
        };
        if progress.is_done() {
            return Ok(());
        }
        let (terms, unnoted) = self.terms(start, stored.is_some()).await?;
        let month = Month {
            start,
            span: terms.days(start),
            terms,
        };
        if !self.is_final(&month, now).await? || !self.note_calendars(&month, unnoted).await? {
            return Ok(());
        }
        let owed = std::mem::take(&mut progress.owed);
        let before = owed.len();
        progress.owed = self.bills(&month, owed.into_iter().collect()).await?;
        let mut is_changed = progress.owed.len() != before;
        let mut lists = Lists::new(self.usage, month.days().collect());
        loop {
            if is_changed {
                if !self.note(&key, &progress, version).await? {
                    // Another tick works on it.
                    return Ok(());
                }
                version += 1;
            }
            if progress.at.is_end() || over() || progress.owed.len() >= MOST_OWED {
                return Ok(());
            }
            let (users, last) = lists.next(&progress.at).await?;
            progress.owed.extend(self.bills(&month, users).await?);
            progress.at = last;
            is_changed = true;
        }
    }

    /// The calendars by which a month's periods begin and end, and which of them are not noted;
    /// `has_bills` if some of its bills were made.
    pub(crate) async fn terms(
        &self,
        month: UnixMillis,
        has_bills: bool,
    ) -> Result<(Terms, Unnoted), StoreError> {
        let before = Window::Month.start(month.plus_millis(-1));
        let mark = ItemKey::month_mark(before);
        let (from, to, mark) = tokio::try_join!(
            self.calendars(before),
            self.calendars(month),
            self.usage.get(&mark),
        )?;
        let before = Noted {
            calendars: from,
            has_bills: mark.is_some(),
        };
        let itself = Noted {
            calendars: to,
            has_bills,
        };
        let unnoted = Unnoted {
            from: before.calendars.is_none(),
            to: itself.calendars.is_none(),
        };
        Ok((Terms::noted(self.plans, before, itself), unnoted))
    }

    async fn calendars(&self, month: UnixMillis) -> Result<Option<Calendars>, StoreError> {
        let key = ItemKey::calendars(month);
        let stored = self.usage.get(&key).await?;
        let calendars = stored.map(|stored| state::decode(&stored.state));
        calendars.transpose().map_err(unreadable(&key))
    }

    /// Notes the calendars by which a month's periods begin and end, before any bill of it exists. The
    /// first month of an environment has no month before it that noted where it begins. Returns false
    /// if another tick was first: it may know other plans.
    async fn note_calendars(&self, month: &Month, unnoted: Unnoted) -> Result<bool, StoreError> {
        let before = Window::Month.start(month.start.plus_millis(-1));
        for (is_unnoted, at, calendars) in [
            (unnoted.from, before, &month.terms.from),
            (unnoted.to, month.start, &month.terms.to),
        ] {
            if is_unnoted && !self.note_calendar(at, calendars).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn note_calendar(
        &self,
        month: UnixMillis,
        calendars: &Calendars,
    ) -> Result<bool, StoreError> {
        let key = ItemKey::calendars(month);
        let item = NewItem {
            version: 1,
            state: state::encode(calendars).map_err(unreadable(&key))?,
            shown: Shown::default(),
            condition: Condition::Version(0),
        };
        let written = self.usage.put(&key, item).await?;
        Ok(matches!(written, Written::Done { .. }))
    }

    /// Whether every day of the month is sealed, and all lists of its users are kept.
    async fn is_final(&self, month: &Month, now: UnixMillis) -> Result<bool, StoreError> {
        let (first, last) = month.span;
        let end = Window::Day.end(last);
        if !(end.plus_days(SEAL_AFTER_DAYS)..end.plus_days(WITHIN_DAYS)).contains(&now) {
            return Ok(false);
        }
        let rounds = self.rounds(month.span).await?;
        let is_sealed = bill::unsealed(&rounds, month.span).is_none();
        Ok(is_sealed && self.since(now).await? <= first)
    }

    /// How far the closing of days is, from the first day to the last.
    pub(crate) async fn rounds(
        &self,
        (first, last): (UnixMillis, UnixMillis),
    ) -> Result<BTreeMap<UnixMillis, Round>, StoreError> {
        let (from, to) = (ItemKey::day_mark(first).sk, ItemKey::day_mark(last).sk);
        let rows = store::all(self.usage, Query::states(MARKS, from, to)).await?;
        let rounds = rows.into_iter().filter_map(|row| {
            let day = Window::Day.parse_label(row.sk.strip_prefix("DAY#")?)?;
            // The mark of a later release says nothing: its day is not sealed yet.
            let mark: DayMark = state::decode(&row.bytes?).ok()?;
            Some((day, mark.round))
        });
        Ok(rounds.collect())
    }

    /// Hands over the bills of some users. Returns those whose days cannot be read.
    async fn bills(
        &self,
        month: &Month,
        users: Vec<String>,
    ) -> Result<BTreeSet<String>, HandOverError> {
        let bills = users.into_iter().map(|user| async move {
            match self.bill(month, &user).await {
                Ok(()) => Ok(None),
                Err(HandOverError::Store(error)) if error.parked().is_some() => {
                    tracing::error!(user, error = %Chain(&error), "a period waits for a day that this release cannot read");
                    Ok(Some(user))
                }
                Err(error) => Err(error),
            }
        });
        let owed = together(bills.collect()).await?;
        Ok(owed.into_iter().flatten().collect())
    }

    /// Stores a user's bill unless it is stored already, and sends its id to the queue.
    async fn bill(&self, month: &Month, user: &str) -> Result<(), HandOverError> {
        let days = self.days(month.span, user).await?;
        let Some(bill) = Bill::of(user, &days, &month.terms, month.start) else {
            return Ok(());
        };
        let id = bill.id();
        let key = ItemKey::alert(&id);
        let item = NewItem {
            version: 1,
            state: state::encode(&bill).map_err(unreadable(&key))?,
            shown: Shown {
                expires_at: Some(bill.end.plus_days(BILL_DAYS)),
                ..Shown::default()
            },
            condition: Condition::Version(0),
        };
        self.usage.put(&key, item).await?;
        let message = serde_json::json!({ "alert": id }).to_string();
        Ok(self.queue.send(message, 0).await?)
    }

    /// A user's days from the first to the last.
    pub(crate) async fn days(
        &self,
        (first, last): (UnixMillis, UnixMillis),
        user: &str,
    ) -> Result<Vec<(UnixMillis, Sum)>, StoreError> {
        let pk = table::user(user);
        let (from, to) = (ItemKey::day(user, first).sk, ItemKey::day(user, last).sk);
        let rows = store::all(self.usage, Query::states(&pk, from, to)).await?;
        let days = rows.into_iter().filter_map(|row| {
            let day = Window::Day.parse_label(row.sk.strip_prefix("DAY#")?)?;
            Some((day, row.sk, row.bytes?))
        });
        days.map(|(day, sk, bytes)| {
            let sum = Sum::decode(&bytes).map_err(unreadable(&ItemKey::new(&pk, sk)))?;
            Ok((day, sum))
        })
        .collect()
    }

    async fn note(
        &self,
        key: &ItemKey,
        progress: &Progress,
        version: u64,
    ) -> Result<bool, StoreError> {
        let item = NewItem {
            version: version + 1,
            state: state::encode(progress).map_err(unreadable(key))?,
            shown: Shown::default(),
            condition: Condition::Version(version),
        };
        let written = self.usage.put(key, item).await?;
        Ok(matches!(written, Written::Done { .. }))
    }
}

#[cfg(test)]
mod tests;
