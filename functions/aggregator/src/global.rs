//! Counts of everybody: minute, hour and day; who was active; which addresses fail.
//!
//! A minute is kept in buckets of subjects ([`bucket_of`]), so that no item grows with the number
//! of users; each bucket hands its absolute counts on to the minute, the minute to the hour, the
//! hour to the day.

use std::collections::{BTreeMap, BTreeSet};

use domain::event::{DEDUPE_HORIZON_DAYS, Subject};
use domain::rollup::{Part, RollUp};
use domain::roster::{BUCKETS, Roster, bucket_of};
use domain::security::Failures;
use domain::table::{self, ItemKey};
use domain::time::{UnixMillis, Window};
use runtime::store::{self, Shown, Store, StoreError, Updated, update};

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
}

type Buckets = BTreeMap<(UnixMillis, u8), Updated<RollUp>>;

impl<S: Store> Global<'_, S> {
    /// Takes changed leaves into the counts of everybody.
    pub async fn take(&self, changes: &[Change]) -> Result<(), StoreError> {
        let buckets = self.minute_buckets(changes).await?;
        let rosters = self.rosters(changes).await?;
        self.hand_on(buckets, rosters).await?;
        self.failures(changes).await
    }

    /// Hands on again what the buckets of the minutes from `from` to `to` hold: mends what a run
    /// that died between two writes left behind.
    pub async fn mend(&self, from: UnixMillis, to: UnixMillis) -> Result<(), StoreError> {
        let mut buckets = Buckets::new();
        let mut minute = Window::Minute.start(from);
        while minute <= to {
            for bucket in 0..BUCKETS {
                let key = ItemKey::minute_bucket(minute, bucket);
                if let Some(stored) = self.store.get(&key).await? {
                    let state = store::read(&key, &stored)?;
                    buckets.insert(
                        (minute, bucket),
                        Updated {
                            version: stored.version,
                            state,
                        },
                    );
                }
            }
            minute = Window::Minute.end(minute);
        }
        self.hand_on(buckets, Vec::new()).await
    }

    /// Users active in the hour that `at` lies in.
    pub async fn users_of_hour(&self, at: UnixMillis) -> Result<u64, StoreError> {
        let key = ItemKey::global(Window::Hour, at);
        let Some(stored) = self.store.get(&key).await? else {
            return Ok(0);
        };
        Ok(store::read::<RollUp>(&key, &stored)?.users())
    }

    async fn minute_buckets(&self, changes: &[Change]) -> Result<Buckets, StoreError> {
        let mut parts: BTreeMap<(UnixMillis, u8), Vec<(String, Part)>> = BTreeMap::new();
        for change in changes {
            for minute in &change.minutes {
                let at = change.key.hour.plus_millis(i64::from(*minute) * 60_000);
                let part = Part {
                    version: change.version,
                    tally: change.leaf.minute(*minute),
                    ..Part::default()
                };
                let bucket = bucket_of(&change.key.subject);
                let named = (table::subject_part(&change.key), part);
                parts.entry((at, bucket)).or_default().push(named);
            }
        }
        let mut buckets = Buckets::new();
        for ((minute, bucket), parts) in parts {
            let key = ItemKey::minute_bucket(minute, bucket);
            let change = |roll_up: &mut RollUp| take_all(roll_up, &parts);
            let show = |roll_up: &RollUp| self.shown(Window::Minute, minute, roll_up, false);
            buckets.insert(
                (minute, bucket),
                update(self.store, &key, change, show).await?,
            );
        }
        Ok(buckets)
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
        let mut counts = Vec::new();
        for ((window, start, bucket), users) in users {
            let key = ItemKey::roster(window, start, bucket);
            let expires_at = window.end(start).plus_days(DEDUPE_HORIZON_DAYS + 1);
            let shown = Shown {
                expires_at: Some(expires_at),
                ..Shown::default()
            };
            let enter = |roster: &mut Roster| {
                users
                    .iter()
                    .fold(false, |entered, user| roster.enter(user) | entered)
            };
            let roster = update(self.store, &key, enter, |_| shown.clone()).await?;
            let users = roster.state.users();
            counts.push(RosterCount {
                window,
                start,
                bucket,
                version: roster.version,
                users,
            });
        }
        Ok(counts)
    }

    async fn hand_on(&self, buckets: Buckets, rosters: Vec<RosterCount>) -> Result<(), StoreError> {
        let mut minutes: BTreeMap<UnixMillis, Vec<(u8, Updated<RollUp>)>> = BTreeMap::new();
        for ((minute, bucket), rolled) in buckets {
            minutes.entry(minute).or_default().push((bucket, rolled));
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
        buckets: &[(u8, Updated<RollUp>)],
    ) -> Result<Updated<RollUp>, StoreError> {
        let change = |roll_up: &mut RollUp| {
            let mut changed = false;
            for (bucket, rolled) in buckets {
                let name = bucket.to_string();
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
                let bucket = count.bucket.to_string();
                changed |= roll_up.take_users(&bucket, count.version, count.users);
            }
            changed
        };
        let show = |roll_up: &RollUp| self.shown(window, start, roll_up, true);
        update(self.store, &ItemKey::global(window, start), change, show).await
    }

    async fn failures(&self, changes: &[Change]) -> Result<(), StoreError> {
        let mut slots: BTreeMap<(UnixMillis, u8), Vec<&Change>> = BTreeMap::new();
        for change in changes
            .iter()
            .filter(|change| !change.leaf.sources().is_empty())
        {
            let slot = (change.key.hour, bucket_of(&change.key.subject));
            slots.entry(slot).or_default().push(change);
        }
        for ((hour, bucket), changes) in slots {
            let days = at_least_horizon(self.retention.minutes);
            let expires_at = Window::Hour.end(hour).plus_days(days);
            let shown = Shown {
                expires_at: Some(expires_at),
                ..Shown::default()
            };
            let take = |failures: &mut Failures| {
                changes.iter().fold(
                    false,
                    |changed,
                     Change {
                         key, version, leaf, ..
                     }| {
                        let part = table::subject_part(key);
                        failures.take(&part, *version, leaf.sources()) | changed
                    },
                )
            };
            update(self.store, &ItemKey::security(hour, bucket), take, |_| {
                shown.clone()
            })
            .await?;
        }
        Ok(())
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

/// Days that an aggregate is kept: as long as its leaves can change, whatever is configured. One
/// that was deleted before would begin anew, and what is above it takes no earlier version.
fn at_least_horizon(days: i64) -> i64 {
    days.max(DEDUPE_HORIZON_DAYS + 1)
}

/// How many users one bucket of a window holds.
struct RosterCount {
    window: Window,
    start: UnixMillis,
    bucket: u8,
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
