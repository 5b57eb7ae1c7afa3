//! Marks of days: the progress of a day's closing.
//!
//! A day is closed twice. Each time the whole day is folded again from the journal and offered to
//! users' hours, then to days, months and all time, so that no count depends on any function having
//! been triggered. After the first round nothing reads its hours any more; after the second nothing
//! changes.
//!
//! The mark is written *before* the first round reads the journal, and a fold that finds it offers the
//! day together with the hour. A fold reads the journal before it looks for the mark. One that finds no
//! mark has therefore read nothing that the first round does not find in the journal as well.

use serde::{Deserialize, Serialize};

use crate::table::USER_BUCKETS;
use crate::time::{UnixMillis, Window};

/// How long after a day's end its closing begins. By then in-flight events have arrived, and few
/// later folds must offer the day as well.
pub const BEGIN_AFTER_MILLIS: i64 = 60 * 60_000;
/// How many days after a day's end it is closed for the second time: by then events still in the
/// stream are refused as too old.
pub const SEAL_AFTER_DAYS: i64 = 9;
/// Days that the closing looks after. Journals are kept for at least twelve.
pub const LOOKED_AFTER_DAYS: i64 = 20;
/// Minutes of a day.
const MINUTES: u16 = 24 * 60;

/// The mark of a day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayMark {
    /// When the mark was written.
    pub begun_at: UnixMillis,
    /// The round that is under way, or the last one.
    pub round: Round,
    /// Minutes folded in this round, then buckets of users offered.
    progress: u16,
    /// Facts of each hour, as counted by the first round.
    pub ranks: Vec<u64>,
}

/// A round of a day's closing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Round {
    /// The first round is under way: readers use the day's hours.
    Closing,
    /// The first round is over: readers use the day itself.
    Closed,
    /// The second round is under way.
    Sealing,
    /// The second round is over: nothing changes any more.
    Sealed,
}

/// The next step of a day's closing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing for now.
    Wait,
    /// Write the mark.
    Begin,
    /// Begin the second round.
    Seal,
    /// Fold the journal from this minute of the day on.
    Fold {
        /// 0 to 1,439.
        minute: u16,
    },
    /// Offer the users of a bucket.
    Users {
        /// The bucket.
        bucket: u8,
    },
    /// Mark the round as finished.
    Finish,
}

impl DayMark {
    /// A mark written at `now`.
    pub fn begin(now: UnixMillis) -> Self {
        Self {
            begun_at: now,
            round: Round::Closing,
            progress: 0,
            ranks: vec![0; 24],
        }
    }

    /// The next step for `day` at `now`.
    pub fn step(mark: Option<&Self>, day: UnixMillis, now: UnixMillis) -> Step {
        let since_end = now.since(Window::Day.end(day));
        let Some(mark) = mark else {
            return if since_end >= BEGIN_AFTER_MILLIS {
                Step::Begin
            } else {
                Step::Wait
            };
        };
        match mark.round {
            Round::Closing | Round::Sealing => mark.next(),
            Round::Closed if since_end >= SEAL_AFTER_DAYS * 86_400_000 => Step::Seal,
            Round::Closed | Round::Sealed => Step::Wait,
        }
    }

    /// Whether a round is over and the next one has not begun.
    pub const fn is_at_rest(&self) -> bool {
        matches!(self.round, Round::Closed | Round::Sealed)
    }

    fn next(&self) -> Step {
        if self.progress < MINUTES {
            return Step::Fold {
                minute: self.progress,
            };
        }
        match u8::try_from(self.progress - MINUTES) {
            Ok(bucket) if bucket < USER_BUCKETS => Step::Users { bucket },
            _ => Step::Finish,
        }
    }

    /// Records that the journal is folded up to this minute of the day, `facts` of them in `hour`.
    pub fn folded(&mut self, until: u16, hour: u8, facts: u64) {
        self.progress = until;
        if self.round == Round::Closing
            && let Some(rank) = self.ranks.get_mut(usize::from(hour))
        {
            *rank += facts;
        }
    }

    /// Records that a bucket of users has been offered.
    pub const fn offered(&mut self, bucket: u8) {
        self.progress = MINUTES + bucket as u16 + 1;
    }

    /// Finishes the round.
    pub const fn finish(&mut self) {
        self.round = match self.round {
            Round::Closing | Round::Closed => Round::Closed,
            Round::Sealing | Round::Sealed => Round::Sealed,
        };
    }

    /// Begins the second round.
    pub const fn seal(&mut self) {
        self.round = Round::Sealing;
        self.progress = 0;
    }

    /// Gives up the second round, which missed an item that cannot be read for now.
    pub const fn put_off(&mut self) {
        self.round = Round::Closed;
    }

    /// Begins the round again, for an operator who restored a table: a closed day is closed again.
    pub fn redo(&mut self) {
        self.round = Round::Closing;
        self.progress = 0;
        self.ranks = vec![0; 24];
    }

    /// Facts of an hour, as counted by the first round; `None` in the first round.
    pub fn rank(&self, hour: u8) -> Option<u64> {
        let rank = self.ranks.get(usize::from(hour)).copied();
        rank.filter(|_| self.round >= Round::Sealing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: UnixMillis = UnixMillis(1_795_305_600_000);

    #[test]
    fn a_day_is_closed_an_hour_after_its_end_and_sealed_days_later() {
        let end = Window::Day.end(DAY);
        let begin = end.plus_millis(BEGIN_AFTER_MILLIS);
        let step = |mark: &DayMark, now| DayMark::step(Some(mark), DAY, now);
        assert_eq!(DayMark::step(None, DAY, begin.plus_millis(-1)), Step::Wait);
        assert_eq!(DayMark::step(None, DAY, begin), Step::Begin);
        let mut mark = DayMark::begin(begin);
        assert_eq!(step(&mark, begin), Step::Fold { minute: 0 });
        mark.folded(60, 0, 7);
        mark.folded(90, 1, 2);
        mark.folded(120, 1, 3);
        assert_eq!(step(&mark, begin), Step::Fold { minute: 120 });
        mark.folded(MINUTES, 23, 0);
        for bucket in 0..USER_BUCKETS {
            assert_eq!(step(&mark, begin), Step::Users { bucket });
            mark.offered(bucket);
        }
        assert_eq!(step(&mark, begin), Step::Finish);
        assert_eq!((mark.rank(1), mark.is_at_rest()), (None, false));
        mark.finish();
        assert!(mark.is_at_rest());
        assert_eq!(
            (mark.round, step(&mark, begin)),
            (Round::Closed, Step::Wait)
        );
        let late = end.plus_days(SEAL_AFTER_DAYS);
        assert_eq!(step(&mark, late.plus_millis(-1)), Step::Wait);
        assert_eq!(step(&mark, late), Step::Seal);
        mark.seal();
        assert!(!mark.is_at_rest());
        assert_eq!(
            (mark.rank(0), mark.rank(1), mark.rank(24)),
            (Some(7), Some(5), None)
        );
        assert_eq!(step(&mark, late), Step::Fold { minute: 0 });
        mark.folded(MINUTES, 0, 9);
        assert_eq!(mark.rank(0), Some(7));
        mark.offered(USER_BUCKETS - 1);
        mark.finish();
        assert_eq!((mark.round, step(&mark, late)), (Round::Sealed, Step::Wait));
        mark.seal();
        mark.put_off();
        assert_eq!((mark.round, step(&mark, late)), (Round::Closed, Step::Seal));
        mark.redo();
        assert_eq!(mark.round, Round::Closing);
        assert_eq!(step(&mark, late), Step::Fold { minute: 0 });
    }
}
