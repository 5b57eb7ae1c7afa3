//! Looks at the quota of each user of each closed day, so that no alert depends on an instance's memory.
//!
//! A fold looks at the users that it counted, and both may die before the look. So does a closing. But the mark
//! of a closed day stays. Ticks go through the users that the closings listed, a day at a time and oldest
//! first, once after the day is closed and once after it is sealed. Everything that counts in a day counts
//! before one of the two. The mark of the looks moves past users once their alerts are stored and queued, and
//! under its version: a tick that dies is repeated under the same ids, and two at once do no harm.

use std::collections::{BTreeMap, BTreeSet};

use domain::mark::LOOKED_AFTER_DAYS;
use domain::state;
use domain::table::ItemKey;
use domain::time::{UnixMillis, Window};
use runtime::log::Chain;
use runtime::queue::Queue;
use runtime::store::{Condition, NewItem, Shown, Store, StoreError, Written, unreadable};
use runtime::together::together;
use serde::{Deserialize, Serialize};

use crate::close::Over;
use crate::lists::{Lists, Place};
use crate::thresholds::{LookError, Thresholds};

/// The most users whose sums cannot be read before looks wait for a release that reads them.
const MOST_OWED: usize = 100;

/// The stored progress of the looks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Looked {
    /// The days at whose users all looks are made, each with the version of the day's mark.
    days: BTreeMap<UnixMillis, u64>,
    /// The day whose users are next, the version of its mark, and the place up to which looks are made.
    at: Option<(UnixMillis, u64, Place)>,
    /// Users of a day whose sums could not be read. Every tick tries them again.
    owed: BTreeSet<(UnixMillis, String)>,
}

impl Looked {
    /// The users of these days are looked at, and of no others. Each day has the version of its mark.
    pub const fn at_all_of(days: BTreeMap<UnixMillis, u64>) -> Self {
        Self {
            days,
            at: None,
            owed: BTreeSet::new(),
        }
    }

    /// The place up to which the users of a closed day are done.
    fn place(&self, (day, version): (UnixMillis, u64)) -> Place {
        match &self.at {
            Some((of, at, place)) if (*of, *at) == (day, version) => place.clone(),
            _ => Place::default(),
        }
    }

    /// Notes that the users of a closed day are done up to a place.
    fn reach(&mut self, (day, version): (UnixMillis, u64), place: Place) {
        if place.is_end() {
            self.days.insert(day, version);
            self.at = None;
        } else {
            self.at = Some((day, version, place));
        }
    }

    /// Forgets days that ticks no longer look after.
    fn tidy(&mut self, now: UnixMillis) {
        let oldest = Window::Day.start(now).plus_days(-LOOKED_AFTER_DAYS - 1);
        self.days.retain(|day, _| *day >= oldest);
        self.owed.retain(|(day, _)| *day >= oldest);
    }
}

impl<S: Store, Q: Queue> Thresholds<S, Q> {
    /// Looks at the users of closed days that are not looked at yet, oldest day first, until the time is over.
    /// `closed` holds each closed day with the version of its mark.
    ///
    /// # Errors
    ///
    /// The table or the queue. The next tick goes on from the last progress that was noted.
    pub async fn look_at_closed(
        &self,
        closed: &BTreeMap<UnixMillis, u64>,
        now: UnixMillis,
        over: Over<'_>,
    ) -> Result<(), LookError> {
        let key = ItemKey::looks_mark();
        let (mut looked, mut version) = match self.usage.get(&key).await? {
            Some(stored) => {
                let looked: Looked = state::decode(&stored.state).map_err(unreadable(&key))?;
                (looked, stored.version)
            }
            None => (Looked::default(), 0),
        };
        let before = looked.owed.len();
        looked.owed = self.looks(std::mem::take(&mut looked.owed), now).await?;
        if looked.owed.len() != before && !self.note(&looked, &mut version, now).await? {
            return Ok(());
        }
        for day in closed.iter().map(|(day, version)| (*day, *version)) {
            if looked.days.get(&day.0) == Some(&day.1) {
                continue;
            }
            let mut lists = Lists::new(&self.usage, vec![day.0]);
            let mut place = looked.place(day);
            while !place.is_end() {
                if over() || looked.owed.len() >= MOST_OWED {
                    return Ok(());
                }
                let users;
                (users, place) = lists.next(&place).await?;
                let users = users.into_iter().map(|user| (day.0, user)).collect();
                looked.owed.extend(self.looks(users, now).await?);
                looked.reach(day, place.clone());
                if !self.note(&looked, &mut version, now).await? {
                    // Another tick works on it.
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Looks at users of days. Returns those whose sums cannot be read.
    async fn looks(
        &self,
        users: BTreeSet<(UnixMillis, String)>,
        now: UnixMillis,
    ) -> Result<BTreeSet<(UnixMillis, String)>, LookError> {
        let looks = users.into_iter().map(|(day, user)| async move {
            match self.look_at_day(&user, day, now).await {
                Ok(()) => Ok(None),
                Err(LookError::Store(error)) if error.parked().is_some() => {
                    tracing::error!(user, error = %Chain(&error), "a quota waits for a sum that this release cannot read");
                    Ok(Some((day, user)))
                }
                Err(error) => Err(error),
            }
        });
        let owed = together(looks.collect()).await?;
        Ok(owed.into_iter().flatten().collect())
    }

    /// Notes the progress, unless another tick was first.
    async fn note(
        &self,
        looked: &Looked,
        version: &mut u64,
        now: UnixMillis,
    ) -> Result<bool, StoreError> {
        let key = ItemKey::looks_mark();
        let mut looked = looked.clone();
        looked.tidy(now);
        let item = NewItem {
            version: *version + 1,
            state: state::encode(&looked).map_err(unreadable(&key))?,
            shown: Shown::default(),
            condition: Condition::Version(*version),
        };
        let written = self.usage.put(&key, item).await?;
        *version += 1;
        Ok(matches!(written, Written::Done { .. }))
    }
}

#[cfg(test)]
mod tests;
