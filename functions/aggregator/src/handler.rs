//! Handles a batch of changes, a tick, and an operator's request.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;

use aws_lambda_events::event::dynamodb::EventRecord;
use domain::counts::Sum;
use domain::delivery::BatchAnswer;
use domain::fold::FoldedMinute;
use domain::report::Which;
use domain::table::{ItemKey, MARKS};
use domain::time::{UnixMillis, Window};
use runtime::log::Chain;
use runtime::store::{self, Condition, NewItem, Query, Shown, Store, StoreError, unreadable};
use serde::Deserialize;

use crate::batch::Work;
use crate::cache::Cache;
use crate::close::Over;
use crate::everybody::{Gain, Retention};
use crate::fold::{Done, Pass, Whom};
use crate::growth::Growth;
use crate::parked::{self, Owed};
use crate::thresholds::Counted;

/// Facts after which a pass offers what it has folded, because they are held in memory.
const MOST_FACTS: u64 = 300_000;
/// An hour needs no more beacons once its mark is this long past its end.
const BEACON_MILLIS: i64 = 10 * 60_000;
/// How far back hours get beacons: readers look two days back.
const BEACONS_REACH: i64 = 48 * 3_600_000;
/// Days for which the marks of hours are kept.
const MARK_DAYS: i64 = 15;

/// The payloads that invoke the aggregator.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Event {
    /// Changes of the analytics table.
    Batch {
        /// The changes.
        #[serde(rename = "Records")]
        records: Vec<EventRecord>,
    },
    /// An operator asks to close days again.
    Close {
        /// The days.
        close: Span,
    },
    /// An operator asks to fold minutes again.
    Fold {
        /// The minutes.
        fold: Span,
    },
    /// The day's schedule of reports.
    Report {
        /// The reports to make.
        report: Which,
    },
    /// The minute's tick of the schedule.
    Tick {
        /// The detail type of the event, which identifies it.
        #[serde(rename = "detail-type")]
        _detail_type: String,
    },
}

/// A span of time, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Span {
    /// Its first instant, in milliseconds since the epoch.
    pub from: UnixMillis,
    /// Its last instant, in milliseconds since the epoch.
    pub to: UnixMillis,
}

/// The aggregator over its two tables.
#[derive(Debug)]
pub struct Aggregator<S> {
    /// The analytics table.
    pub analytics: S,
    /// The usage table.
    pub usage: S,
    /// Retention by kind of item.
    pub retention: Retention,
    /// How long after its minute a call must be reported, in milliseconds. After that only the log
    /// knows the call.
    pub reported_within: i64,
    /// Hours that this instance wrote.
    pub cache: Memory,
}

/// An instance's memory of its writes: it saves reads and never holds a count.
#[derive(Debug, Default)]
pub struct Memory(pub(crate) Cache);

/// The result of a batch.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Folded {
    /// How much the totals over all users grew.
    pub gain: Gain,
    /// How much the counts of users grew, by plan.
    pub growth: Growth,
    /// Number of parked items.
    pub parked: u64,
    /// The users that it counted.
    pub counted: Counted,
}

/// The result of a tick.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Ticked {
    /// The result of the minutes it folded again.
    pub folded: Folded,
    /// The closed days that nothing is to be done for now, each with the version of its mark: it changes
    /// whenever a day is closed again.
    pub closed: BTreeMap<UnixMillis, u64>,
    /// Number of users with an accepted call in the current hour.
    pub users: u64,
    /// Calls that only the log knows, of the minute that has just become too old to be reported.
    pub reconciled: u64,
}

impl<S: Store> Aggregator<S> {
    fn pass(&self, now: UnixMillis) -> Pass<'_, S> {
        self.cache.0.tidy(now);
        Pass {
            analytics: &self.analytics,
            usage: &self.usage,
            retention: self.retention,
            cache: Some(&self.cache.0),
            now,
        }
    }

    /// Like [`Self::pass`], for minutes long past: the items that they write are not written again.
    fn old_pass(&self, now: UnixMillis) -> Pass<'_, S> {
        Pass {
            cache: None,
            ..self.pass(now)
        }
    }

    /// Folds the minutes that have new entries. If the time is over or a table refuses, the batch
    /// resumes at the first record that asks for an unfinished minute, and finished minutes stand.
    pub async fn batch(
        &self,
        records: &[EventRecord],
        now: UnixMillis,
        over: Over<'_>,
    ) -> (BatchAnswer, Folded) {
        let work = Work::of(records);
        let pass = self.pass(now);
        let mut done = Done::default();
        let mut finished = BTreeSet::new();
        let folded = self.fold_all(&pass, &work, over, &mut done, &mut finished);
        let ended = match folded.await {
            Ok(()) if work.first_undone(&finished).is_none() => self.note_progress(&work).await,
            ended => ended,
        };
        let answer = match (ended, work.first_undone(&finished)) {
            (Ok(()), None) => BatchAnswer::default(),
            (ended, undone) => {
                if let Err(error) = ended {
                    tracing::warn!(error = &error as &dyn Error, "minutes are folded again");
                }
                let first = records.first();
                let first = first.and_then(|record| record.change.sequence_number.as_deref());
                BatchAnswer::failed(undone.or(first))
            }
        };
        let parked = done.parked.len() as u64;
        let folded = Folded {
            gain: done.gain,
            growth: done.growth,
            parked,
            counted: done.counted,
        };
        (answer, folded)
    }

    async fn fold_all(
        &self,
        pass: &Pass<'_, S>,
        work: &Work,
        over: Over<'_>,
        done: &mut Done,
        finished: &mut BTreeSet<UnixMillis>,
    ) -> Result<(), StoreError> {
        let mut folded: Vec<FoldedMinute> = Vec::new();
        let mut facts = 0;
        for (minute, new) in &work.minutes {
            if over() {
                break;
            }
            let of_minute = pass.fold(*minute, new, &mut done.parked).await?;
            facts += of_minute.everybody.rank;
            folded.push(of_minute);
            if facts >= MOST_FACTS {
                self.offer(pass, &mut folded, done, finished).await?;
                facts = 0;
            }
        }
        self.offer(pass, &mut folded, done, finished).await
    }

    async fn offer(
        &self,
        pass: &Pass<'_, S>,
        folded: &mut Vec<FoldedMinute>,
        done: &mut Done,
        finished: &mut BTreeSet<UnixMillis>,
    ) -> Result<(), StoreError> {
        let folded = std::mem::take(folded);
        pass.offer(&folded, Whom::Named, done).await?;
        parked::tell(&self.analytics, &done.parked, pass.now).await?;
        finished.extend(folded.iter().map(|folded| folded.minute));
        Ok(())
    }

    /// Records up to where each hour's journal is folded: readers add what was appended since.
    async fn note_progress(&self, work: &Work) -> Result<(), StoreError> {
        for (hour, at) in &work.folded {
            let key = ItemKey::hour_mark(*hour);
            let item = NewItem {
                version: at.0.unsigned_abs(),
                state: Vec::new(),
                shown: Shown {
                    expires_at: Some(hour.plus_days(MARK_DAYS)),
                    ..Shown::default()
                },
                condition: Condition::Lower,
            };
            self.usage.put(&key, item).await?;
        }
        Ok(())
    }

    /// Does the work that no change triggers: beacons, parked items, days to close.
    pub async fn tick(&self, now: UnixMillis, over: Over<'_>) -> Result<Ticked, StoreError> {
        let pass = self.old_pass(now);
        self.beacons(&pass, now).await?;
        let mut done = Done::default();
        self.retry_parked(&pass, &mut done).await?;
        pass.close_days(over, &mut done).await?;
        let users = pass.everybody().roster(Window::Hour.start(now)).await?;
        Ok(Ticked {
            folded: Folded {
                gain: done.gain,
                growth: done.growth,
                parked: done.parked.len() as u64,
                counted: done.counted,
            },
            closed: done.closed,
            users: users.len() as u64,
            reconciled: self.reconciled(now).await?,
        })
    }

    /// Appends a beacon to the journal of each hour that no mark vouches for yet, from the first
    /// marked hour on: the hour's mark advances once everything appended before the beacon is
    /// folded.
    async fn beacons(&self, pass: &Pass<'_, S>, now: UnixMillis) -> Result<(), StoreError> {
        let oldest = Window::Hour.start(now.plus_millis(-BEACONS_REACH));
        let from = ItemKey::hour_mark(oldest).sk;
        let query = Query::states(MARKS, from, ItemKey::hour_mark(now).sk);
        let rows = store::all(&self.usage, query).await?.into_iter();
        let marks: BTreeMap<UnixMillis, u64> = rows
            .filter_map(|row| {
                let hour = Window::Hour.parse_label(row.sk.strip_prefix("HOUR#")?)?;
                Some((hour, row.version))
            })
            .collect();
        let current = Window::Hour.start(now);
        let recent = Window::Hour.start(now.plus_millis(-BEACON_MILLIS));
        let first = marks.keys().next().copied().unwrap_or(recent);
        let mut hour = first.min(recent);
        while hour <= current {
            let enough = Window::Hour.end(hour).plus_millis(BEACON_MILLIS);
            let mark = marks.get(&hour).copied().unwrap_or(0);
            if mark < enough.0.unsigned_abs() {
                pass.journal().beacon(hour, now).await?;
            }
            hour = Window::Hour.end(hour);
        }
        Ok(())
    }

    /// Folds minutes with parked items again and forgets the items that now work. If other items of
    /// a minute fail this time, they are parked first.
    async fn retry_parked(&self, pass: &Pass<'_, S>, done: &mut Done) -> Result<(), StoreError> {
        let owed = parked::owed(&self.analytics).await?;
        let minutes: BTreeSet<UnixMillis> = owed.iter().map(|owed| owed.minute).collect();
        for minute in minutes {
            let of_minute: Vec<&Owed> = owed.iter().filter(|of| of.minute == minute).collect();
            let mut again = Done::default();
            if let Err(error) = self.retry(pass, &of_minute, &mut again).await {
                tracing::warn!(error = %Chain(&error), "a parked minute is still owed");
                continue;
            }
            let still: BTreeSet<ItemKey> = again.parked.iter().flat_map(parked::told).collect();
            let is_owed = |key: ItemKey| owed.iter().any(|owed| owed.key == key);
            again.parked.retain(|item| !parked::told(item).all(is_owed));
            parked::tell(&self.analytics, &again.parked, pass.now).await?;
            done.parked.extend(again.parked);
            for owed in of_minute.iter().filter(|owed| !still.contains(&owed.key)) {
                self.analytics.delete(&owed.key).await?;
            }
            done.gain.add(again.gain);
            done.growth.add(again.growth);
            done.counted.add(again.counted);
        }
        Ok(())
    }

    /// Folds a minute again, and rolls up the day of each user of whom an item is parked: it may be a sum that
    /// no call of the minute leads to.
    async fn retry(
        &self,
        pass: &Pass<'_, S>,
        owed: &[&Owed],
        done: &mut Done,
    ) -> Result<(), StoreError> {
        let Some(minute) = owed.first().map(|owed| owed.minute) else {
            return Ok(());
        };
        let folded = pass
            .fold(minute, &BTreeSet::new(), &mut done.parked)
            .await?;
        pass.offer(&[folded], Whom::All, done).await?;
        let users: BTreeSet<&str> = owed.iter().filter_map(|owed| owed.user()).collect();
        for user in users {
            pass.offer_begun_day(user, minute, done).await?;
        }
        Ok(())
    }

    /// Calls that only the log knows, of the last minute whose reports would all be too late by
    /// now. Exactly one tick asks for each minute, once the minute is over: a tick within it would
    /// miss the rest.
    async fn reconciled(&self, now: UnixMillis) -> Result<u64, StoreError> {
        let open = Window::Minute.start(now.plus_millis(-self.reported_within));
        let minute = open.plus_millis(-60_000);
        let key = ItemKey::minute(minute);
        match self.analytics.get(&key).await? {
            Some(stored) => {
                let sum = Sum::decode(&stored.state).map_err(unreadable(&key))?;
                Ok(sum.unreported)
            }
            None => Ok(0),
        }
    }

    /// Folds every minute of a span again, for an operator. Returns how many had entries.
    pub async fn fold_again(&self, span: Span, now: UnixMillis) -> Result<u64, StoreError> {
        let pass = self.old_pass(now);
        let mut hour = Window::Hour.start(span.from);
        let mut minutes = 0;
        while hour <= span.to {
            minutes += self.fold_hour(&pass, hour).await?;
            hour = Window::Hour.end(hour);
        }
        Ok(minutes)
    }

    async fn fold_hour(&self, pass: &Pass<'_, S>, hour: UnixMillis) -> Result<u64, StoreError> {
        let mut minutes = BTreeSet::new();
        let last = Window::Hour.end(hour).plus_millis(-1);
        let note = |found: runtime::journal::Found| {
            minutes.insert(found.minute);
            Ok(())
        };
        pass.journal().read(hour, last, note).await?;
        for minute in &minutes {
            let mut done = Done::default();
            let folded = pass
                .fold(*minute, &BTreeSet::new(), &mut done.parked)
                .await?;
            pass.offer(&[folded], Whom::All, &mut done).await?;
            parked::tell(&self.analytics, &done.parked, pass.now).await?;
        }
        Ok(minutes.len() as u64)
    }

    /// Marks the days of a span to be closed again. Returns how many.
    pub async fn close_again(&self, span: Span, now: UnixMillis) -> Result<u64, StoreError> {
        self.old_pass(now).close_again(span.from, span.to).await
    }
}
