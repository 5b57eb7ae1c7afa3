//! Users' hours, days, months and all time.
//!
//! An hour accepts slots of minutes. Each replaces only a slot of lower rank, under the version
//! that was read. Once a day's mark stands, its hours are written together with the day, in one
//! transaction: from then on the day is the sum of its hours at every moment, so readers may move
//! from one to the other. Months and all time are sums of what is stored below them, and replace
//! only a sum of lower rank.

use domain::counts::{Hour, Slot, Sum};
use domain::table::{self, ItemKey};
use domain::time::{UnixMillis, Window};
use runtime::store::{
    self, Condition, NewItem, Query, Shown, Store, StoreError, Stored, Written, unreadable,
};

use crate::cache::{Cache, Guess};
use crate::growth::Growth;

/// How often an item is read again after a concurrent write between its read and its write.
const MOST_CONFLICTS: u32 = 50;

/// Slots for one user's hour.
#[derive(Debug)]
pub(crate) struct HourWork<'a> {
    pub(crate) user: &'a str,
    pub(crate) hour: UnixMillis,
    pub(crate) slots: Vec<(u8, &'a Slot)>,
    /// The known content of the table.
    pub(crate) held: Option<Stored>,
}

/// What a fold knows about the closing of an hour's day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DayState {
    /// The closing has not begun.
    Open,
    /// The closing has begun: the fold offers everything above the hour.
    Begun,
    /// The fold is part of the closing, which offers everything above once all hours are done.
    Closing,
}

/// The users of one usage table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Users<'a, S> {
    pub(crate) store: &'a S,
    pub(crate) hour_days: i64,
    /// The cache of hours that are written again and again.
    pub(crate) cache: Option<&'a Cache>,
}

impl<'a, S: Store> Users<'a, S> {
    /// The stored hour, from memory if possible.
    pub(crate) async fn held(
        &self,
        user: &str,
        hour: UnixMillis,
    ) -> Result<Option<Stored>, StoreError> {
        let key = ItemKey::hour(user, hour);
        let guess = self.cache.map(|cache| cache.guess(&key, hour));
        match guess.unwrap_or(Guess::Unknown) {
            Guess::Held(stored) => Ok(Some(stored)),
            Guess::Absent => Ok(None),
            Guess::Unknown => self.store.get(&key).await,
        }
    }

    /// Offers slots to a user's hour. Once the day's closing has begun, this writes hour and day
    /// together, and then month and all time, whether or not they changed: a fold that died in
    /// between passes here again. Returns how much the hour grew.
    pub(crate) async fn offer(
        &self,
        mut work: HourWork<'a>,
        day: DayState,
    ) -> Result<Growth, StoreError> {
        let key = ItemKey::hour(work.user, work.hour);
        for _ in 0..MOST_CONFLICTS {
            let (mut hour, version) = read_hour(&key, work.hour, work.held.as_ref())?;
            let before = hour.totals();
            let offered = work.slots.iter();
            let changed = offered.fold(false, |changed, (minute, slot)| {
                hour.offer(*minute, slot) | changed
            });
            if !changed {
                if day == DayState::Begun {
                    self.offer_day(work.user, work.hour).await?;
                }
                return Ok(Growth::default());
            }
            let item = self.item(&key, &hour, version)?;
            let written = match day {
                DayState::Open => self.alone(&key, work.hour, item).await?,
                DayState::Begun | DayState::Closing => {
                    self.with_day(&work, &hour, (&key, item)).await?
                }
            };
            if let Written::Refused { current } = written {
                work.held = current;
                continue;
            }
            if day == DayState::Begun {
                self.offer_above_day(work.user, work.hour).await?;
            }
            let slots = work.slots.iter().map(|(_, slot)| *slot);
            return Ok(Growth::of_hour(slots, before, hour.totals()));
        }
        Err(StoreError::Contended { key })
    }

    fn item(&self, key: &ItemKey, hour: &Hour, version: u64) -> Result<NewItem, StoreError> {
        Ok(NewItem {
            version: version + 1,
            state: hour.encode().map_err(unreadable(key))?,
            shown: Shown {
                totals: Some(hour.totals()),
                expires_at: Some(Window::Hour.end(hour.start()).plus_days(self.hour_days)),
                by_time: None,
            },
            condition: Condition::Version(version),
        })
    }

    async fn alone(
        &self,
        key: &ItemKey,
        hour: UnixMillis,
        item: NewItem,
    ) -> Result<Written, StoreError> {
        let stored = Stored {
            version: item.version,
            state: item.state.clone(),
        };
        let written = self.store.put(key, item).await;
        if let Some(cache) = self.cache {
            match &written {
                Ok(Written::Done { .. }) => cache.keep(key, hour, stored),
                Ok(Written::Refused { .. }) | Err(_) => cache.forget(key),
            }
        }
        written
    }

    /// Writes an hour and the day that it results in, both or neither.
    async fn with_day(
        &self,
        work: &HourWork<'_>,
        hour: &Hour,
        (key, item): (&ItemKey, NewItem),
    ) -> Result<Written, StoreError> {
        if let Some(cache) = self.cache {
            cache.forget(key);
        }
        let day_key = ItemKey::day(work.user, work.hour);
        // The day is read first: if its version still holds at the write, no hour of it changed in
        // between.
        let stored = self.store.get(&day_key).await?;
        let (known, version) = read_sum(&day_key, stored.as_ref())?;
        let mut day = hour.sum();
        for other in self.hours(work.user, work.hour).await? {
            if other.start() != work.hour {
                day.merge(&other.sum());
            }
        }
        let done = if day.rank > known.rank {
            let day = sum_item(
                &day_key,
                &day,
                version + 1,
                Condition::Version(version),
                None,
            )?;
            self.store.put_both((key, item), (&day_key, day)).await?
        } else {
            // The day has more facts than its hours: some of them were restored, and will be folded
            // again.
            return self.store.put(key, item).await;
        };
        if done {
            return Ok(Written::Done { before: None });
        }
        let current = self.store.get(key).await?;
        Ok(Written::Refused { current })
    }

    /// The hours of the day of `at`.
    async fn hours(&self, user: &str, at: UnixMillis) -> Result<Vec<Hour>, StoreError> {
        let day = Window::Day.label(at);
        let from = format!("HOUR#{day}");
        let query = Query::states(table::user(user), &from, store::after(&from));
        let rows = store::all(self.store, query).await?.into_iter();
        rows.filter_map(|row| Some((row.sk, row.bytes?)))
            .map(|(sk, bytes)| {
                let key = ItemKey::new(table::user(user), sk);
                Hour::decode(&bytes).map_err(unreadable(&key))
            })
            .collect()
    }

    /// Offers a day, as the sum of its hours, to itself, its month and all time.
    pub(crate) async fn offer_day(&self, user: &str, day: UnixMillis) -> Result<(), StoreError> {
        let key = ItemKey::day(user, day);
        for _ in 0..MOST_CONFLICTS {
            let stored = self.store.get(&key).await?;
            let (known, version) = read_sum(&key, stored.as_ref())?;
            let mut sum = Sum::default();
            for hour in self.hours(user, day).await? {
                sum.merge(&hour.sum());
            }
            if sum.rank <= known.rank {
                return self.offer_above_day(user, day).await;
            }
            let item = sum_item(&key, &sum, version + 1, Condition::Version(version), None)?;
            if let Written::Done { .. } = self.store.put(&key, item).await? {
                return self.offer_above_day(user, day).await;
            }
        }
        Err(StoreError::Contended { key })
    }

    /// Offers a month as the sum of its days, and all time as the sum of its months: children
    /// before parents.
    async fn offer_above_day(&self, user: &str, at: UnixMillis) -> Result<(), StoreError> {
        let days = format!("DAY#{}", Window::Month.label(at));
        self.offer_sum(user, &days, ItemKey::month(user, at))
            .await?;
        self.offer_sum(user, "MONTH#", ItemKey::all_time(user))
            .await
    }

    async fn offer_sum(&self, user: &str, from: &str, key: ItemKey) -> Result<(), StoreError> {
        let pk = table::user(user);
        let query = Query::states(&pk, from, store::after(from));
        let rows = store::all(self.store, query).await?.into_iter();
        let parts = rows.filter_map(|row| Some((row.sk, row.bytes?)));
        let parts = parts.map(|(sk, bytes)| {
            let key = ItemKey::new(&pk, sk);
            Sum::decode(&bytes).map_err(unreadable(&key))
        });
        let sum = Sum::of(&parts.collect::<Result<Vec<_>, _>>()?);
        let stored = self.store.get(&key).await?;
        let (known, _) = read_sum(&key, stored.as_ref())?;
        if sum.rank <= known.rank {
            return Ok(());
        }
        let item = sum_item(&key, &sum, sum.rank, Condition::Lower, None)?;
        // The table refuses it if a concurrent write offered more.
        self.store.put(&key, item).await.map(drop)
    }
}

fn read_hour(
    key: &ItemKey,
    start: UnixMillis,
    held: Option<&Stored>,
) -> Result<(Hour, u64), StoreError> {
    match held {
        Some(stored) => {
            let hour = Hour::decode(&stored.state).map_err(unreadable(key))?;
            Ok((hour, stored.version))
        }
        None => Ok((Hour::new(start), 0)),
    }
}

/// Reads a sum that may not exist.
pub(crate) fn read_sum(key: &ItemKey, stored: Option<&Stored>) -> Result<(Sum, u64), StoreError> {
    match stored {
        Some(stored) => {
            let sum = Sum::decode(&stored.state).map_err(unreadable(key))?;
            Ok((sum, stored.version))
        }
        None => Ok((Sum::default(), 0)),
    }
}

/// Encodes a sum as an item.
pub(crate) fn sum_item(
    key: &ItemKey,
    sum: &Sum,
    version: u64,
    condition: Condition,
    expires_at: Option<UnixMillis>,
) -> Result<NewItem, StoreError> {
    Ok(NewItem {
        version,
        state: sum.encode().map_err(unreadable(key))?,
        shown: Shown {
            totals: Some(sum.counts.tally.totals()),
            expires_at,
            by_time: None,
        },
        condition,
    })
}
