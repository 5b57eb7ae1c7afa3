//! One pass: folds minutes from the journal and offers the results to everything above them.
//!
//! Order matters only where a crash or a concurrent closing must not show: the journal before the marks
//! of days, rosters before hours, children before parents. Everything else may happen in any order and
//! more than once.

use std::collections::{BTreeMap, BTreeSet};

use domain::counts::Hour;
use domain::fold::{FoldedMinute, MinuteFold};
use domain::mark::{DayMark, Round};
use domain::table::{ItemKey, Listed};
use domain::time::{UnixMillis, Window};
use runtime::journal::{Found, Journal};
use runtime::store::{Store, StoreError, Stored, unreadable};
use runtime::together::together;

use crate::addresses::{self, AddressWork};
use crate::cache::Cache;
use crate::everybody::{Everybody, Gain, Retention};
use crate::growth::Growth;
use crate::parked::{self, Parked};
use crate::thresholds::Counted;
use crate::users::{DayState, HourWork, Users};

/// The users and addresses to which a pass offers what it folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whom {
    /// Users and addresses that a new entry names.
    Named,
    /// All users that the minutes name.
    All,
    /// Likewise, but the closing of the day offers its totals once all hours are done.
    Closing,
}

impl Whom {
    pub(crate) fn includes(self, is_new: bool) -> bool {
        is_new || self != Self::Named
    }
}

/// The result of a pass.
#[derive(Debug, Default)]
pub(crate) struct Done {
    /// How much the totals over all users grew.
    pub(crate) gain: Gain,
    /// How much the counts of users grew, by plan.
    pub(crate) growth: Growth,
    /// Items that it could not read or write, and that no retry can.
    pub(crate) parked: Vec<Parked>,
    /// The users that it counted.
    pub(crate) counted: Counted,
    /// The closed days that nothing is to be done for now, each with the version of its mark.
    pub(crate) closed: BTreeMap<UnixMillis, u64>,
}

impl Done {
    /// Remembers whom the minutes count, for the looks at their quotas. The looks at the users of a closed day
    /// follow from its mark.
    fn count(&mut self, minutes: &[&FoldedMinute], whom: Whom) {
        if whom == Whom::Closing {
            return;
        }
        for folded in minutes {
            for (email, user) in &folded.users {
                let units = user.slot.counts.tally.units;
                if units == 0 || !whom.includes(user.is_new) {
                    continue;
                }
                let minutes = self.counted.minutes.entry(email.clone()).or_default();
                minutes.insert(folded.minute, units);
            }
        }
    }
}

/// The tables that a pass reads and writes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pass<'a, S> {
    pub(crate) analytics: &'a S,
    pub(crate) usage: &'a S,
    pub(crate) retention: Retention,
    pub(crate) cache: Option<&'a Cache>,
    pub(crate) now: UnixMillis,
}

impl<'a, S: Store> Pass<'a, S> {
    pub(crate) const fn users(&self) -> Users<'a, S> {
        Users {
            store: self.usage,
            hour_days: self.retention.hours,
            cache: self.cache,
        }
    }

    pub(crate) const fn everybody(&self) -> Everybody<'a, S> {
        Everybody {
            store: self.analytics,
            retention: self.retention,
        }
    }

    pub(crate) const fn journal(&self) -> Journal<&'a S> {
        Journal {
            store: self.analytics,
            retention_days: self.retention.raw,
        }
    }

    /// Folds a minute whose entries `new` are new.
    pub(crate) async fn fold(
        &self,
        minute: UnixMillis,
        new: &BTreeSet<ItemKey>,
        parked: &mut Vec<Parked>,
    ) -> Result<FoldedMinute, StoreError> {
        let mut fold = MinuteFold::new(minute);
        let show = |found: Found| {
            let is_new = new.contains(&found.key);
            add(&mut fold, found, is_new, parked);
            Ok(())
        };
        self.journal().read(minute, minute, show).await?;
        Ok(fold.finish())
    }

    /// Offers folded minutes to everything above them.
    pub(crate) async fn offer(
        &self,
        minutes: &[FoldedMinute],
        whom: Whom,
        done: &mut Done,
    ) -> Result<(), StoreError> {
        let days: BTreeSet<UnixMillis> = minutes.iter().map(day_of).collect();
        // The minutes were read before the marks. Whatever they hold, a closing that begins after this look finds
        // in the journal, too.
        let marks = self.marks(&days).await?;
        // A sealed day never changes: its entries may be expiring.
        let open: Vec<&FoldedMinute> = minutes
            .iter()
            .filter(|folded| marks.get(&day_of(folded)) != Some(&Some(Round::Sealed)))
            .collect();
        let users = self.hours(&open, whom).await?;
        self.enter(&users).await?;
        let is_begun = |hour: UnixMillis| {
            let round = marks.get(&Window::Day.start(hour));
            round.is_some_and(Option::is_some)
        };
        let offers = users.into_iter().map(|work| {
            let key = ItemKey::hour(work.user, work.hour);
            let minutes = work.slots.iter();
            let minutes = minutes.map(|(minute, _)| minute_of(work.hour, *minute));
            let minutes = minutes.collect();
            let day = match (is_begun(work.hour), whom) {
                (false, _) => DayState::Open,
                (true, Whom::Closing) => DayState::Closing,
                (true, Whom::Named | Whom::All) => DayState::Begun,
            };
            async move {
                let mut growth = Growth::default();
                let offered = self.users().offer(work, day).await;
                let offered = offered.map(|grown| growth = grown);
                Ok::<_, StoreError>((growth, parked::or_parked(offered, &key, minutes)?))
            }
        });
        for (growth, parked) in together(offers.collect()).await? {
            done.growth.add(growth);
            done.parked.extend(parked);
        }
        self.addresses(&open, whom, done).await?;
        self.totals(&open, done).await?;
        parked::conflicts(self.analytics, &open, whom, self.now).await?;
        if whom == Whom::Closing {
            parked::unclaimed(self.analytics, &open, self.now).await?;
        }
        let changed: BTreeSet<UnixMillis> = open.iter().map(|folded| day_of(folded)).collect();
        if whom != Whom::Closing {
            for day in changed.iter().filter(|day| is_begun(**day)) {
                let offered = self.everybody().day(*day).await;
                let key = ItemKey::total(Window::Day, *day);
                done.parked
                    .extend(parked::or_parked(offered, &key, vec![*day])?);
            }
        }
        done.count(&open, whom);
        Ok(())
    }

    /// The hours that receive an offer, as the table holds them.
    async fn hours<'m>(
        &self,
        minutes: &[&'m FoldedMinute],
        whom: Whom,
    ) -> Result<Vec<HourWork<'m>>, StoreError>
    where
        'a: 'm,
    {
        let mut works: BTreeMap<(&'m str, UnixMillis), Vec<_>> = BTreeMap::new();
        for folded in minutes {
            let hour = Window::Hour.start(folded.minute);
            let named = folded
                .users
                .iter()
                .filter(|(_, user)| whom.includes(user.is_new));
            for (email, user) in named {
                let slots = works.entry((email, hour)).or_default();
                slots.push((folded.minute.minute_of_hour(), &user.slot));
            }
        }
        let works = works.into_iter().map(|((user, hour), slots)| async move {
            let held = self.users().held(user, hour).await?;
            Ok(HourWork {
                user,
                hour,
                slots,
                held,
            })
        });
        together(works.collect()).await
    }

    /// Enters users into the rosters of hours that know no call of theirs yet. This happens before
    /// the hours are written, so that a fold which dies in between finds them when it runs again.
    async fn enter(&self, works: &[HourWork<'_>]) -> Result<(), StoreError> {
        let mut rosters: BTreeMap<UnixMillis, BTreeSet<&str>> = BTreeMap::new();
        for work in works {
            let calls = |(_, slot): &(u8, &domain::counts::Slot)| slot.counts.tally.calls > 0;
            if work.slots.iter().any(calls) && !has_called(work.held.as_ref()) {
                rosters.entry(work.hour).or_default().insert(work.user);
            }
        }
        for (hour, users) in &rosters {
            self.everybody().enter(*hour, users).await?;
        }
        Ok(())
    }

    async fn addresses(
        &self,
        minutes: &[&FoldedMinute],
        whom: Whom,
        done: &mut Done,
    ) -> Result<(), StoreError> {
        let mut works: BTreeMap<(&str, UnixMillis), Vec<_>> = BTreeMap::new();
        for folded in minutes {
            let hour = Window::Hour.start(folded.minute);
            let named = folded
                .addresses
                .iter()
                .filter(|(_, of)| whom.includes(of.is_new));
            for (address, of) in named {
                let slots = works.entry((address, hour)).or_default();
                slots.push((folded.minute.minute_of_hour(), &of.failures));
            }
        }
        let works = works.into_iter().map(|((address, hour), slots)| {
            let key = ItemKey::address(hour, Listed::First, address);
            let minutes = slots.iter().map(|(minute, _)| minute_of(hour, *minute));
            let minutes = minutes.collect();
            let work = AddressWork {
                address,
                hour,
                slots,
            };
            async move {
                let offered = addresses::offer(self.analytics, work).await;
                parked::or_parked(offered, &key, minutes)
            }
        });
        let parked = together(works.collect()).await?;
        done.parked.extend(parked.into_iter().flatten());
        Ok(())
    }

    async fn totals(&self, minutes: &[&FoldedMinute], done: &mut Done) -> Result<(), StoreError> {
        let offers = minutes.iter().map(|folded| async move {
            // A minute whose entries could not be read offers nothing.
            let offered = match folded.everybody.rank {
                0 => Ok(Gain::default()),
                _ => self.everybody().minute(folded).await,
            };
            let mut gain = Gain::default();
            let offered = offered.map(|gained| gain = gained);
            let key = ItemKey::minute(folded.minute);
            let parked = parked::or_parked(offered, &key, vec![folded.minute])?;
            Ok::<_, StoreError>((gain, parked))
        });
        for (gain, parked) in together(offers.collect()).await? {
            done.gain.add(gain);
            done.parked.extend(parked);
        }
        let hours: BTreeSet<UnixMillis> = minutes
            .iter()
            .map(|folded| Window::Hour.start(folded.minute))
            .collect();
        for hour in hours {
            let offered = self.everybody().hour(hour).await;
            let key = ItemKey::total(Window::Hour, hour);
            let of_hour = minutes.iter().map(|folded| folded.minute);
            let of_hour = of_hour.filter(|minute| Window::Hour.start(*minute) == hour);
            done.parked
                .extend(parked::or_parked(offered, &key, of_hour.collect())?);
        }
        Ok(())
    }

    /// Rolls up a user's day if its closing has begun, and it is not sealed.
    pub(crate) async fn offer_begun_day(
        &self,
        user: &str,
        at: UnixMillis,
        done: &mut Done,
    ) -> Result<(), StoreError> {
        let day = Window::Day.start(at);
        let marks = self.marks(&BTreeSet::from([day])).await?;
        if !matches!(
            marks.get(&day),
            Some(Some(Round::Closing | Round::Closed | Round::Sealing))
        ) {
            return Ok(());
        }
        let offered = self.users().offer_day(user, day).await;
        let key = ItemKey::day(user, day);
        done.parked
            .extend(parked::or_parked(offered, &key, vec![day])?);
        Ok(())
    }

    /// The progress of each day's closing; `None` if it has not begun.
    async fn marks(
        &self,
        days: &BTreeSet<UnixMillis>,
    ) -> Result<BTreeMap<UnixMillis, Option<Round>>, StoreError> {
        let marks = days.iter().map(|day| async move {
            match read_mark(self.usage, *day).await {
                Ok(mark) => Ok((*day, mark.map(|(mark, _)| mark.round))),
                // A mark of a later release counts as present, with any content.
                Err(StoreError::Unreadable { .. }) => Ok((*day, Some(Round::Closing))),
                Err(error) => Err(error),
            }
        });
        Ok(together(marks.collect()).await?.into_iter().collect())
    }
}

/// Adds an entry to a fold, or parks it.
pub(crate) fn add(fold: &mut MinuteFold, found: Found, is_new: bool, parked: &mut Vec<Parked>) {
    let facts = found.facts.unwrap_or_default();
    if let Err(error) = fold.add(&facts, is_new) {
        parked.push(Parked::entry(found.key, found.minute, &error));
    }
}

/// The mark of a day and its version.
pub(crate) async fn read_mark<S: Store>(
    store: &S,
    day: UnixMillis,
) -> Result<Option<(DayMark, u64)>, StoreError> {
    let key = ItemKey::day_mark(day);
    let Some(stored) = store.get(&key).await? else {
        return Ok(None);
    };
    let mark = domain::state::decode(&stored.state).map_err(unreadable(&key))?;
    Ok(Some((mark, stored.version)))
}

fn has_called(held: Option<&Stored>) -> bool {
    let hour = held.and_then(|stored| Hour::decode(&stored.state).ok());
    hour.is_some_and(|hour| hour.totals().calls > 0)
}

fn minute_of(hour: UnixMillis, minute: u8) -> UnixMillis {
    hour.plus_millis(i64::from(minute) * 60_000)
}

fn day_of(folded: &FoldedMinute) -> UnixMillis {
    Window::Day.start(folded.minute)
}
