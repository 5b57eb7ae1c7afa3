//! Counts of everybody: minute, hour and day; who was active; which addresses fail.
//!
//! A minute is kept in buckets of subjects ([`bucket_of`]), and a bucket in a row of items of which
//! each takes so many and no more, so that none grows with the number of callers; each hands its
//! absolute counts on to the minute, the minute to the hour, the hour to the day.

use std::collections::{BTreeMap, BTreeSet};

use domain::event::Subject;
use domain::leaf::{Place, Sources};
use domain::rollup::{Part, RollUp};
use domain::roster::{BUCKETS, Roster, bucket_of};
use domain::security::Failures;
use domain::table::{self, BucketPlace, ItemKey, SubjectPart};
use domain::time::{UnixMillis, Window};
use runtime::rolling::{Busy, SUMS_LIVE_DAYS};
use runtime::spill::{self, Limits, Taken};
use runtime::store::{self, Shown, Store, StoreError, Updated, update};
use runtime::together::together;

use crate::change::Change;

/// How long aggregates are kept, in days. Days and longer are kept for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Minute aggregates.
    pub minutes: i64,
    /// Hour aggregates.
    pub hours: i64,
}

/// The counts of everybody in one analytics table.
#[derive(Debug, Clone, Copy)]
pub struct Global<'a, S> {
    /// The analytics table.
    pub store: &'a S,
    /// How long aggregates are kept.
    pub retention: Retention,
    /// How much one item takes.
    pub limits: Limits,
}

type Buckets = BTreeMap<(UnixMillis, BucketPlace), Updated<RollUp>>;

/// The name of a part, its version, and where failures came from.
type FailuresOf = (String, u64, Sources);

impl<S: Store> Global<'_, S> {
    /// Takes changed leaves into the counts of everybody: the first of each hour and lane as they
    /// are, all others as what they add up to, which is fewer.
    pub async fn take(&self, changes: &[Change], busy: &Busy) -> Result<(), StoreError> {
        let buckets = self.minute_buckets(changes, busy).await?;
        let rosters = self.rosters(changes).await?;
        self.hand_on(buckets, rosters).await?;
        self.failures(changes, busy).await
    }

    /// Hands on again what the buckets of the minutes from `from` to `to` hold: mends what a run
    /// that died between two writes left behind.
    pub async fn mend(&self, from: UnixMillis, to: UnixMillis) -> Result<(), StoreError> {
        let mut buckets = Buckets::new();
        let mut minute = Window::Minute.start(from);
        while minute <= to {
            for bucket in 0..BUCKETS {
                self.read_bucket(minute, bucket, &mut buckets).await?;
            }
            minute = Window::Minute.end(minute);
        }
        self.hand_on(buckets, Vec::new()).await
    }

    async fn read_bucket(
        &self,
        minute: UnixMillis,
        bucket: u8,
        buckets: &mut Buckets,
    ) -> Result<(), StoreError> {
        for place in (0..).map(|number| BucketPlace { bucket, number }) {
            let key = ItemKey::minute_bucket(minute, place);
            let Some(stored) = self.store.get(&key).await? else {
                break;
            };
            let state: RollUp = store::read(&key, &stored)?;
            let is_last = state.len() < self.limits.parts;
            let version = stored.version;
            buckets.insert((minute, place), Updated { version, state });
            if is_last {
                break;
            }
        }
        Ok(())
    }

    /// Users active in the hour that `at` lies in.
    pub async fn users_of_hour(&self, at: UnixMillis) -> Result<u64, StoreError> {
        let key = ItemKey::global(Window::Hour, at);
        let Some(stored) = self.store.get(&key).await? else {
            return Ok(0);
        };
        Ok(store::read::<RollUp>(&key, &stored)?.users())
    }

    async fn minute_buckets(&self, changes: &[Change], busy: &Busy) -> Result<Buckets, StoreError> {
        let mut parts: BTreeMap<(UnixMillis, u8), Vec<OfSubject>> = BTreeMap::new();
        let mut add = |subject: &Subject, minute: UnixMillis, which: SubjectPart, part: Part| {
            let named = OfSubject {
                start: table::start_of_subject_part(subject),
                name: table::subject_part(subject, which),
                part,
            };
            let slot = (minute, bucket_of(subject));
            parts.entry(slot).or_default().push(named);
        };
        for change in changes
            .iter()
            .filter(|change| change.key.place == Place::First)
        {
            for minute in &change.minutes {
                let at = change.key.hour.plus_millis(i64::from(*minute) * 60_000);
                let part = Part {
                    version: change.version,
                    tally: change.leaf.minute(*minute),
                    ..Part::default()
                };
                let which = SubjectPart::First(change.key.lane);
                add(&change.key.subject, at, which, part);
            }
        }
        // Of a minute in which calls were only reported on, nothing here has changed.
        let counted = changes.iter().filter(|change| !change.minutes.is_empty());
        let counted: BTreeSet<(&Subject, UnixMillis)> = counted
            .filter_map(|change| Some((&change.key.subject, change.key.minute()?)))
            .collect();
        for ((subject, minute_part), rolled) in &busy.minutes {
            if counted.contains(&(subject, minute_part.minute())) {
                let which = SubjectPart::BusyMinute(*minute_part);
                add(subject, minute_part.minute(), which, part(rolled));
            }
        }
        let parts = parts.into_iter();
        let items = parts.map(|((minute, bucket), parts)| self.bucket(minute, bucket, parts));
        let items = together(items.collect()).await?;
        Ok(items.into_iter().flatten().collect())
    }

    async fn bucket(
        &self,
        minute: UnixMillis,
        bucket: u8,
        parts: Vec<OfSubject>,
    ) -> Result<Buckets, StoreError> {
        let key = |number| ItemKey::minute_bucket(minute, BucketPlace { bucket, number });
        let show = |roll_up: &RollUp| self.shown(Window::Minute, minute, roll_up, false);
        let take = |roll_up: &mut RollUp, of: &OfSubject| of.take(roll_up, self.limits.parts);
        let items = spill::offer(self.store, key, parts, take, show).await?;
        let items = items.into_iter();
        Ok(items
            .map(|(number, rolled)| ((minute, BucketPlace { bucket, number }), rolled))
            .collect())
    }

    /// Enters the users of changed leaves; says for each window and bucket how many there are.
    async fn rosters(&self, changes: &[Change]) -> Result<Vec<RosterCount>, StoreError> {
        let mut users: BTreeMap<(Window, UnixMillis, u8), BTreeSet<&Subject>> = BTreeMap::new();
        for Change { key, leaf, .. } in changes {
            if key.subject.email().is_none() || leaf.tally().calls == 0 {
                continue;
            }
            let bucket = bucket_of(&key.subject);
            for window in [Window::Hour, Window::Day] {
                let slot = (window, window.start(key.hour), bucket);
                users.entry(slot).or_default().insert(&key.subject);
            }
        }
        let counts = users
            .into_iter()
            .map(|((window, start, bucket), users)| self.roster(window, start, bucket, users));
        Ok(together(counts.collect()).await?.concat())
    }

    async fn roster(
        &self,
        window: Window,
        start: UnixMillis,
        bucket: u8,
        users: BTreeSet<&Subject>,
    ) -> Result<Vec<RosterCount>, StoreError> {
        let key = |number| ItemKey::roster(window, start, BucketPlace { bucket, number });
        let shown = expiring(window.end(start).plus_days(SUMS_LIVE_DAYS));
        let enter =
            |roster: &mut Roster, user: &&Subject| match roster.takes(user, self.limits.users) {
                false => Taken::Full,
                true if roster.enter(user) => Taken::Changed,
                true => Taken::Known,
            };
        let users = users.into_iter().collect();
        let items = spill::offer(self.store, key, users, enter, |_| shown.clone()).await?;
        let items = items.into_iter();
        Ok(items
            .map(|(number, roster)| RosterCount {
                window,
                start,
                place: BucketPlace { bucket, number },
                version: roster.version,
                users: roster.state.users(),
            })
            .collect())
    }

    async fn hand_on(&self, buckets: Buckets, rosters: Vec<RosterCount>) -> Result<(), StoreError> {
        let mut minutes: BTreeMap<UnixMillis, Vec<(BucketPlace, Updated<RollUp>)>> =
            BTreeMap::new();
        for ((minute, place), rolled) in buckets {
            minutes.entry(minute).or_default().push((place, rolled));
        }
        let mut hours: BTreeMap<UnixMillis, Vec<(String, Part)>> = BTreeMap::new();
        for (minute, buckets) in minutes {
            let rolled = self.minute(minute, &buckets).await?;
            let label = Window::Minute.label(minute);
            let name = label.get(14..).unwrap_or_default().to_owned();
            hours
                .entry(Window::Hour.start(minute))
                .or_default()
                .push((name, part(&rolled)));
        }
        let mut days: BTreeMap<UnixMillis, Vec<(String, Part)>> = BTreeMap::new();
        for (hour, parts) in hours {
            let rolled = self.longer(Window::Hour, hour, &parts, &rosters).await?;
            let label = Window::Hour.label(hour);
            let name = label.get(11..).unwrap_or_default().to_owned();
            days.entry(Window::Day.start(hour))
                .or_default()
                .push((name, part(&rolled)));
        }
        for (day, parts) in days {
            self.longer(Window::Day, day, &parts, &rosters).await?;
        }
        Ok(())
    }

    async fn minute(
        &self,
        minute: UnixMillis,
        buckets: &[(BucketPlace, Updated<RollUp>)],
    ) -> Result<Updated<RollUp>, StoreError> {
        let change = |roll_up: &mut RollUp| {
            let mut changed = false;
            for (place, rolled) in buckets {
                let name = place.to_string();
                changed |= roll_up.take(&name, part(rolled));
                changed |= roll_up.take_users(&name, rolled.version, active_users(&rolled.state));
            }
            changed
        };
        let show = |roll_up: &RollUp| self.shown(Window::Minute, minute, roll_up, true);
        update(
            self.store,
            &ItemKey::global(Window::Minute, minute),
            change,
            show,
        )
        .await
    }

    async fn longer(
        &self,
        window: Window,
        start: UnixMillis,
        parts: &[(String, Part)],
        rosters: &[RosterCount],
    ) -> Result<Updated<RollUp>, StoreError> {
        let change = |roll_up: &mut RollUp| {
            let mut changed = take_all(roll_up, parts);
            for count in rosters
                .iter()
                .filter(|count| (count.window, count.start) == (window, start))
            {
                let place = count.place.to_string();
                changed |= roll_up.take_users(&place, count.version, count.users);
            }
            changed
        };
        let show = |roll_up: &RollUp| self.shown(window, start, roll_up, true);
        update(self.store, &ItemKey::global(window, start), change, show).await
    }

    async fn failures(&self, changes: &[Change], busy: &Busy) -> Result<(), StoreError> {
        let mut slots: BTreeMap<(UnixMillis, u8), Vec<FailuresOf>> = BTreeMap::new();
        let mut add = |subject: &Subject, hour, which, version, sources: Sources| {
            if !sources.is_empty() {
                let named = (table::subject_part(subject, which), version, sources);
                let slot = (hour, bucket_of(subject));
                slots.entry(slot).or_default().push(named);
            }
        };
        for Change {
            key, version, leaf, ..
        } in changes.iter().filter(|change| change.key.is_first())
        {
            let sources = leaf.sources().clone();
            let which = SubjectPart::First(key.lane);
            add(&key.subject, key.hour, which, *version, sources);
        }
        for ((subject, hour), rolled) in &busy.hours {
            let sources = rolled.state.sources();
            add(
                subject,
                *hour,
                SubjectPart::BusyHour,
                rolled.version,
                sources,
            );
        }
        let days = at_least_horizon(self.retention.minutes);
        let taken = slots.into_iter().map(|((hour, bucket), parts)| async move {
            let key = ItemKey::security(hour, bucket);
            let shown = expiring(Window::Hour.end(hour).plus_days(days));
            let take = |failures: &mut Failures| {
                parts
                    .iter()
                    .fold(false, |changed, (name, version, sources)| {
                        failures.take(name, *version, sources) | changed
                    })
            };
            update(self.store, &key, take, |_| shown.clone()).await
        });
        together(taken.collect()).await.map(drop)
    }

    fn shown(&self, window: Window, start: UnixMillis, roll_up: &RollUp, by_time: bool) -> Shown {
        let days = match window {
            Window::Minute => Some(at_least_horizon(self.retention.minutes)),
            Window::Hour => Some(at_least_horizon(self.retention.hours)),
            Window::Day | Window::Month => None,
        };
        Shown {
            tally: Some(roll_up.tally()),
            expires_at: days.map(|days| window.end(start).plus_days(days)),
            by_time: by_time.then_some((window, start)),
        }
    }
}

/// An item that shows nothing but when it may go.
fn expiring(expires_at: UnixMillis) -> Shown {
    Shown {
        expires_at: Some(expires_at),
        ..Shown::default()
    }
}

/// Days that an aggregate is kept: as long as its leaves can change, whatever is configured. One
/// that was deleted before would begin anew, and what is above it takes no earlier version.
fn at_least_horizon(days: i64) -> i64 {
    days.max(SUMS_LIVE_DAYS)
}

/// What a minute counts of one subject, or of a part of its leaves.
struct OfSubject {
    /// How the names of all parts of this subject begin.
    start: String,
    name: String,
    part: Part,
}

impl OfSubject {
    /// All parts of a subject stand in one item: it is counted there as one user.
    fn take(&self, roll_up: &mut RollUp, most: usize) -> Taken {
        let Self { start, name, part } = self;
        if roll_up.len() >= most && !roll_up.has_part_of(start) {
            Taken::Full
        } else if roll_up.take(name, part.clone()) {
            Taken::Changed
        } else {
            Taken::Known
        }
    }
}

/// How many users one item of a window's roster holds.
#[derive(Clone)]
struct RosterCount {
    window: Window,
    start: UnixMillis,
    place: BucketPlace,
    version: u64,
    users: u64,
}

fn take_all(roll_up: &mut RollUp, parts: &[(String, Part)]) -> bool {
    parts.iter().fold(false, |changed, (name, part)| {
        roll_up.take(name, part.clone()) | changed
    })
}

fn part(rolled: &Updated<RollUp>) -> Part {
    Part {
        version: rolled.version,
        tally: rolled.state.tally(),
        ..Part::default()
    }
}

/// Users with a call among the subjects of a bucket.
fn active_users(bucket: &RollUp) -> u64 {
    let users: BTreeSet<Subject> = bucket
        .parts()
        .filter(|(_, part)| part.tally.calls > 0)
        .filter_map(|(name, _)| table::subject_of_part(name))
        .filter(|subject| subject.email().is_some())
        .collect();
    users.len().try_into().unwrap_or(u64::MAX)
}
