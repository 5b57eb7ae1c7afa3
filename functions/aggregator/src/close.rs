//! Closes days: folds everything of a day again from the journal and offers it upwards.
//!
//! The day's mark holds the progress of the closing. A tick works on it in slices that fit into one
//! invocation. A slice that dies is done again, and two concurrent ticks do no harm: the mark
//! advances only under its version.

use std::collections::{BTreeMap, BTreeSet};

use domain::event::HORIZON_DAYS;
use domain::fold::{FoldedMinute, MinuteFold};
use domain::mark::{DayMark, LOOKED_AFTER_DAYS, Round, Step};
use domain::state;
use domain::table::{self, ItemKey, MARKS, USER_BUCKETS, user_bucket};
use domain::time::{UnixMillis, Window};
use runtime::journal::Found;
use runtime::store::{
    self, Condition, Document, NewItem, Query, Shown, Store, StoreError, Value, Written, unreadable,
};
use runtime::together::together;

use crate::fold::{Done, Pass, Whom, add, read_mark};
use crate::parked;
use crate::periods::LIST_DAYS;

/// Slots after which a slice offers what it has folded, because they are held in memory.
const MOST_SLOTS: usize = 100_000;
/// Facts after which a slice offers what it has folded.
const MOST_FACTS: u64 = 500_000;
/// Days before the end of [`LOOKED_AFTER_DAYS`] by which a new environment begins to close a day.
const DAYS_TO_SEAL: i64 = 4;
/// Days for which the closing goes on with days that are not sealed: ticks may have been missing, and one such
/// day holds up its month.
const UNSEALED_DAYS: i64 = 35;
const MINUTE: i64 = 60_000;

/// Whether the invocation's time for work is over.
pub type Over<'a> = &'a (dyn Fn() -> bool + Sync);

/// A day's mark and its version, if it can be read.
type Marked = Result<(DayMark, u64), StoreError>;

impl<S: Store> Pass<'_, S> {
    /// Works on every day that needs it, oldest first, until the time is over.
    pub(crate) async fn close_days(
        &self,
        over: Over<'_>,
        done: &mut Done,
    ) -> Result<(), StoreError> {
        let mut marks = self.day_marks().await?;
        let today = Window::Day.start(self.now);
        // A day before the first marked one and past the horizon never held a call. Without any
        // mark, ticks may have been missing since the first call. A day that begins to be closed
        // must have time left to be sealed: an unsealed one would hold up its month for good.
        let first = marks
            .keys()
            .next()
            .copied()
            .unwrap_or(today.plus_days(-LOOKED_AFTER_DAYS + DAYS_TO_SEAL));
        let mut day = first.min(today.plus_days(-HORIZON_DAYS));
        while day < today && !over() {
            let closed = match marks.remove(&day).transpose() {
                Ok(mark) => self.close_day(day, mark, over, done).await,
                Err(error) => Err(error),
            };
            // A day that cannot be read does not hold up the others.
            if let Some(mark) = parked::or_parked(closed, &ItemKey::day_mark(day), vec![day])? {
                parked::tell(self.analytics, std::slice::from_ref(&mark), self.now).await?;
                done.parked.push(mark);
            }
            day = Window::Day.end(day);
        }
        Ok(())
    }

    /// The marks of days. A mark of a later release is an error for that day alone.
    async fn day_marks(&self) -> Result<BTreeMap<UnixMillis, Marked>, StoreError> {
        let from = ItemKey::day_mark(self.now.plus_days(-UNSEALED_DAYS)).sk;
        let to = ItemKey::day_mark(self.now).sk;
        let rows = store::all(self.usage, Query::states(MARKS, from, to)).await?;
        let marks = rows.into_iter().filter_map(|row| {
            let day = Window::Day.parse_label(row.sk.strip_prefix("DAY#")?)?;
            Some((day, row.sk, row.version, row.bytes?))
        });
        let marks = marks.map(|(day, sk, version, bytes)| {
            let mark = state::decode(&bytes).map_err(unreadable(&ItemKey::new(MARKS, sk)));
            (day, mark.map(|mark: DayMark| (mark, version)))
        });
        Ok(marks.collect())
    }

    async fn close_day(
        &self,
        day: UnixMillis,
        known: Option<(DayMark, u64)>,
        over: Over<'_>,
        done: &mut Done,
    ) -> Result<(), StoreError> {
        let (mut mark, mut version) = match known {
            Some((mark, version)) => (Some(mark), version),
            None => (None, 0),
        };
        let known_version = version;
        loop {
            let mut step = DayMark::step(mark.as_ref(), day, self.now);
            if step == Step::Seal && self.waits_for_parked(day).await? {
                step = Step::Wait;
            }
            // Those that rest for long are looked at.
            let is_recent =
                day >= self.now.plus_days(-LOOKED_AFTER_DAYS) || version > known_version;
            if step == Step::Wait && is_recent && mark.as_ref().is_some_and(DayMark::is_at_rest) {
                done.closed.insert(day, version);
            }
            if step == Step::Wait || over() {
                return Ok(());
            }
            let mut next = mark.unwrap_or_else(|| DayMark::begin(self.now));
            let known = done.parked.len();
            let is_work = self.step(day, step, &mut next, over, done).await?;
            // Before the mark moves past them: nothing else comes back to them.
            let parked = done.parked.get(known..).unwrap_or_default();
            parked::tell(self.analytics, parked, self.now).await?;
            // An hour without calls is read again rather than noted in the mark.
            if is_work {
                if !self.put_mark(day, &next, version).await? {
                    // Another tick works on it.
                    return Ok(());
                }
                version += 1;
            }
            mark = Some(next);
        }
    }

    /// Does one step and returns whether there was anything to do.
    async fn step(
        &self,
        day: UnixMillis,
        step: Step,
        next: &mut DayMark,
        over: Over<'_>,
        done: &mut Done,
    ) -> Result<bool, StoreError> {
        match step {
            Step::Wait | Step::Begin => {}
            Step::Seal => next.seal(),
            Step::Fold { minute } => return self.slice(day, minute, next, over, done).await,
            Step::Users { bucket } => {
                let last = self.offer_users(day, bucket, done).await?;
                next.offered(last);
            }
            Step::Finish => {
                self.everybody().day(day).await?;
                let is_sealing = next.round == Round::Sealing;
                if is_sealing && self.waits_for_parked(day).await? {
                    next.put_off();
                } else {
                    next.finish();
                }
            }
        }
        Ok(true)
    }

    /// Whether a day is not sealed yet because an item of it is parked. It does not wait for longer than its
    /// journal and its month can.
    async fn waits_for_parked(&self, day: UnixMillis) -> Result<bool, StoreError> {
        let days = self.retention.raw.min(LOOKED_AFTER_DAYS - DAYS_TO_SEAL);
        Ok(self.now < day.plus_days(days) && parked::is_owed(self.analytics, day).await?)
    }

    async fn put_mark(
        &self,
        day: UnixMillis,
        mark: &DayMark,
        version: u64,
    ) -> Result<bool, StoreError> {
        let key = ItemKey::day_mark(day);
        let item = NewItem {
            version: version + 1,
            state: state::encode(mark).map_err(unreadable(&key))?,
            shown: Shown::default(),
            condition: Condition::Version(version),
        };
        let written = self.usage.put(&key, item).await?;
        Ok(matches!(written, Written::Done { .. }))
    }

    /// Folds a part of an hour, from `minute` of the day on, and offers it. Returns whether there
    /// was any.
    async fn slice(
        &self,
        day: UnixMillis,
        minute: u16,
        mark: &mut DayMark,
        over: Over<'_>,
        done: &mut Done,
    ) -> Result<bool, StoreError> {
        let hour = u8::try_from(minute / 60).unwrap_or(23);
        let end = u16::from(hour) * 60 + 60;
        let start = day.plus_millis(i64::from(minute) * MINUTE);
        let last = day.plus_millis((i64::from(end) - 1) * MINUTE);
        // The second round checks whether anything arrived since the first.
        if let Some(rank) = mark.rank(hour)
            && minute.is_multiple_of(60)
            && self.facts(start, last).await? == Some(rank)
        {
            mark.folded(end, hour, 0);
            return Ok(false);
        }
        let mut slice = Slice::new(start, over);
        let journal = self.journal();
        let take = |found| slice.take(found, &mut done.parked);
        match journal.read(start, last, take).await {
            Ok(()) => slice.finish_minute(),
            // The slice is full: the next one takes the rest.
            Err(StoreError::OutOfTime) => {}
            Err(error) => return Err(error),
        }
        // Most hours of most days of a quiet environment are empty.
        if !slice.folded.is_empty() {
            self.offer(&slice.folded, Whom::Closing, done).await?;
            self.list_users(&slice.folded, minute).await?;
        }
        let until = slice.next.map_or(end, |next| {
            u16::try_from(next.since(day) / MINUTE).unwrap_or(end)
        });
        mark.folded(until, hour, slice.facts);
        Ok(!slice.folded.is_empty())
    }

    /// Number of distinct facts in some minutes of an hour; `None` if an entry cannot be read, which
    /// only a fold parks.
    async fn facts(&self, from: UnixMillis, to: UnixMillis) -> Result<Option<u64>, StoreError> {
        let mut facts = 0;
        let mut fold = MinuteFold::new(from);
        let mut unreadable = Vec::new();
        let show = |found: Found| {
            if found.minute != fold.minute() {
                facts += fold.facts();
                fold = MinuteFold::new(found.minute);
            }
            add(&mut fold, found, false, &mut unreadable);
            Ok(())
        };
        self.journal().read(from, to, show).await?;
        Ok(unreadable.is_empty().then(|| facts + fold.facts()))
    }

    /// Lists the users that the minutes name, so that their days are offered once all hours are
    /// done.
    async fn list_users(&self, minutes: &[FoldedMinute], part: u16) -> Result<(), StoreError> {
        let Some(first) = minutes.first() else {
            return Ok(());
        };
        let mut buckets: BTreeMap<u8, BTreeSet<&String>> = BTreeMap::new();
        for email in minutes.iter().flat_map(|folded| folded.users.keys()) {
            buckets.entry(user_bucket(email)).or_default().insert(email);
        }
        for (bucket, users) in buckets {
            let key = ItemKey::day_users(first.minute, bucket, usize::from(part));
            let list = state::encode_packed(&users).map_err(unreadable(&key))?;
            let document = Document {
                attributes: vec![(table::attribute::STATE, Value::Bytes(list))],
                expires_at: Some(first.minute.plus_days(LIST_DAYS)),
            };
            self.usage.keep(&key, document).await?;
        }
        Ok(())
    }

    /// Offers the days of a bucket's users, their months and all time. If the lists of all further
    /// buckets fit into one page, offers those too. Returns the last bucket that it offered.
    async fn offer_users(
        &self,
        day: UnixMillis,
        bucket: u8,
        done: &mut Done,
    ) -> Result<u8, StoreError> {
        let pk = table::day_users(day);
        let from = format!("{bucket:02}#");
        let page = self
            .usage
            .query(&Query::states(&pk, &from, store::after("")))
            .await?;
        let (rows, last) = if page.next.is_none() {
            (page.items, USER_BUCKETS - 1)
        } else {
            let query = Query::states(&pk, &from, store::after(&from));
            (store::all(self.usage, query).await?, bucket)
        };
        let mut users: BTreeSet<String> = BTreeSet::new();
        for row in rows {
            let key = ItemKey::new(&pk, &row.sk);
            let names = row.bytes.unwrap_or_default();
            users.extend(state::decode_packed::<Vec<String>>(&names).map_err(unreadable(&key))?);
        }
        let offers = users.iter().map(|user| async move {
            let key = ItemKey::day(user, day);
            let offered = self.users().offer_day(user, day).await;
            parked::or_parked(offered, &key, vec![day])
        });
        let parked = together(offers.collect()).await?;
        done.parked.extend(parked.into_iter().flatten());
        Ok(last)
    }

    /// Marks days to be closed again, on behalf of an operator who restored a table.
    pub(crate) async fn close_again(
        &self,
        from: UnixMillis,
        to: UnixMillis,
    ) -> Result<u64, StoreError> {
        let mut days = 0;
        let mut day = Window::Day.start(from);
        while day <= to {
            if let Some((mut mark, version)) = read_mark(self.usage, day).await? {
                mark.redo();
                days += u64::from(self.put_mark(day, &mark, version).await?);
            }
            day = Window::Day.end(day);
        }
        Ok(days)
    }
}

/// Minutes of an hour, folded for a closing.
struct Slice<'a> {
    fold: MinuteFold,
    folded: Vec<FoldedMinute>,
    slots: usize,
    facts: u64,
    /// The first minute that the next slice starts with.
    next: Option<UnixMillis>,
    over: Over<'a>,
}

impl<'a> Slice<'a> {
    fn new(start: UnixMillis, over: Over<'a>) -> Self {
        Self {
            fold: MinuteFold::new(start),
            folded: Vec::new(),
            slots: 0,
            facts: 0,
            next: None,
            over,
        }
    }

    fn take(&mut self, found: Found, parked: &mut Vec<parked::Parked>) -> Result<(), StoreError> {
        if found.minute != self.fold.minute() {
            self.finish_minute();
            let is_enough = self.slots >= MOST_SLOTS || self.facts >= MOST_FACTS || (self.over)();
            if is_enough && !self.folded.is_empty() {
                self.next = Some(found.minute);
                return Err(StoreError::OutOfTime);
            }
            self.fold = MinuteFold::new(found.minute);
        }
        add(&mut self.fold, found, false, parked);
        Ok(())
    }

    fn finish_minute(&mut self) {
        let next = MinuteFold::new(self.fold.minute());
        let fold = std::mem::replace(&mut self.fold, next);
        if fold.facts() > 0 {
            self.facts += fold.facts();
            let folded = fold.finish();
            self.slots += folded.users.len();
            self.folded.push(folded);
        }
    }
}
