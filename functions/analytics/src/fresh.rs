//! The last minutes of the journal, which replace what the tables hold about them.
//!
//! An hour's mark states up to which minute its journal is certain to be folded. Earlier minutes
//! come from the stored counts; from that minute on they come from the journal alone, and their
//! stored counts are ignored.
//!
//! That keeps successive responses from going backwards. For an unfolded minute, only entries that
//! arrived in time are folded here: once the mark passes the minute, the stored counts hold all of
//! those, and late ones besides. If an unfolded minute's stored counts were used as well, a late
//! entry would show, and vanish as soon as the journal supplied that minute again.
//!
//! A minute is used entirely or not at all, oldest first, within [`MOST_BYTES`]. Cost: each
//! unfolded hour takes one query of everything since its first unfolded minute, of at most
//! [`MOST_BYTES`] and a page in total; without calls, one read unit.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use domain::counts::{Hour, Slot};
use domain::event::Subject;
use domain::fold::{FoldedMinute, MinuteFold};
use domain::table::Timing;
use domain::time::{UnixMillis, Window};
use runtime::journal::{Found, Journal};
use runtime::store::{Store, StoreError};

use crate::marks::Marks;

/// The most bytes of entries to read, including late ones.
pub const MOST_BYTES: usize = 1024 * 1024;

/// How much later than its `asOf` the latest call of an answer may be: the 29 s that the gateway
/// waits, in which entries are still appended, and a clock that is ahead by a minute.
const OVERHANG: i64 = 90_000;

/// The minutes that the journal supplies.
#[derive(Debug, Clone)]
pub struct Fresh {
    /// The minutes by their start.
    minutes: BTreeMap<UnixMillis, FoldedMinute>,
    /// For each hour with unfolded minutes, the first of them.
    from: BTreeMap<UnixMillis, UnixMillis>,
    as_of: UnixMillis,
}

impl Fresh {
    /// Reads the journal's unfolded minutes in the hours that `span` touches.
    pub async fn read<S: Store>(
        analytics: &S,
        marks: &Marks,
        span: Range<UnixMillis>,
    ) -> Result<Self, StoreError> {
        let journal = Journal {
            store: analytics,
            // Nothing is appended here, so retention has no effect.
            retention_days: 0,
        };
        let mut reading = Reading::default();
        for (hour, from) in marks.unfolded_from() {
            let last = Window::Hour.end(*hour).plus_millis(-1);
            if last < span.start || *hour >= span.end {
                continue;
            }
            match journal.read(*from, last, |found| reading.take(found)).await {
                Ok(()) => reading.finish_minute(),
                // The limit of bytes is reached.
                Err(StoreError::OutOfTime) => break,
                Err(error) => return Err(error),
            }
        }
        let now = marks.now();
        Ok(Self {
            minutes: reading.minutes,
            from: marks.unfolded_from().clone(),
            as_of: reading
                .left_out
                .map_or(now, |minute| minute.plus_millis(-OVERHANG).min(now)),
        })
    }

    /// The instant up to which everything appended in time is counted: now, or 90 s before the
    /// first minute that is left out. An earlier answer may hold calls of that minute if its own
    /// instant lies within these 90 s, and no answer with a later instant may hold fewer.
    pub const fn as_of(&self) -> UnixMillis {
        self.as_of
    }

    /// Whether the minute of `at` comes from the journal, and its stored counts are ignored.
    pub fn tells(&self, at: UnixMillis) -> bool {
        let from = self.from.get(&Window::Hour.start(at));
        from.is_some_and(|from| at >= *from)
    }

    /// The hours that come from the journal in part or entirely.
    pub fn hours(&self) -> impl Iterator<Item = UnixMillis> {
        self.from.keys().copied()
    }

    /// The minutes within `span`.
    pub fn minutes(&self, span: Range<UnixMillis>) -> impl Iterator<Item = &FoldedMinute> {
        // A range of a map panics if its end lies before its start.
        let from = self.minutes.range(span.start..);
        let minutes = from.map(|(_, folded)| folded);
        minutes.take_while(move |folded| folded.minute < span.end)
    }

    /// The users with an accepted call within `span`, in the form of rosters.
    pub fn callers(&self, span: Range<UnixMillis>) -> BTreeSet<[u8; 8]> {
        let users = self.minutes(span).flat_map(|folded| &folded.users);
        let called = users.filter(|(_, user)| user.slot.counts.tally.calls > 0);
        called
            .map(|(email, _)| Subject::as_carried(email).digest())
            .collect()
    }

    /// Replaces minutes of a user's stored hour.
    pub fn lay_over(&self, user: &str, hour: &mut Hour) {
        let start = hour.start();
        let minute_at = |minute: u8| start.plus_millis(i64::from(minute) * 60_000);
        let stored = hour.slots().map(|(minute, _)| minute);
        let ignored: Vec<u8> = stored
            .filter(|minute| self.tells(minute_at(*minute)))
            .collect();
        for minute in ignored {
            hour.set(minute, Slot::default());
        }
        for folded in self.minutes(start..Window::Hour.end(start)) {
            if let Some(user) = folded.users.get(user) {
                hour.set(folded.minute.minute_of_hour(), user.slot.clone());
            }
        }
    }
}

/// Entries collected so far, oldest minute first.
#[derive(Debug, Default)]
struct Reading {
    fold: Option<MinuteFold>,
    minutes: BTreeMap<UnixMillis, FoldedMinute>,
    bytes: usize,
    /// The first minute beyond the limit of bytes.
    left_out: Option<UnixMillis>,
}

impl Reading {
    fn take(&mut self, found: Found) -> Result<(), StoreError> {
        if self
            .fold
            .as_ref()
            .is_some_and(|fold| fold.minute() != found.minute)
        {
            self.finish_minute();
        }
        let facts = found.facts.unwrap_or_default();
        self.bytes += facts.len();
        // A spread minute's entries come through several shards, and the hour's mark vouches only
        // for one.
        if self.bytes > MOST_BYTES || found.is_spread {
            self.left_out = Some(found.minute);
            return Err(StoreError::OutOfTime);
        }
        let minute = found.minute;
        let fold = self.fold.get_or_insert_with(|| MinuteFold::new(minute));
        if found.timing == Timing::InTime {
            // The aggregator parks an entry that does not decode.
            let _ = fold.add(&facts, false);
        }
        Ok(())
    }

    fn finish_minute(&mut self) {
        if let Some(fold) = self.fold.take() {
            self.minutes.insert(fold.minute(), fold.finish());
        }
    }
}

#[cfg(test)]
mod tests;
