//! Marks of days: how far a day's closing is.
//!
//! A day is closed twice. Both times everything of it is folded again from the journal and offered
//! to users' hours, then days, months and all time, so that no count rests on anybody having been
//! woken. After the first round its hours are not read any more, after the second nothing of it
//! moves.
//!
//! The mark is put *before* the first round, and a fold that finds it offers the day together with
//! the hour. A fold that had looked before the mark was put ends within [`FOLD_SECONDS`]; the first
//! round waits for that.

use serde::{Deserialize, Serialize};

use crate::names::FOLD_SECONDS;
use crate::table::USER_BUCKETS;
use crate::time::{UnixMillis, Window};

/// How long after a day's end its closing begins: what is on its way has come by then, and folds
/// that must offer the day as well are few.
pub const BEGIN_AFTER_MILLIS: i64 = 60 * 60_000;
/// How far two functions' clocks may be apart.
const SKEW_MILLIS: i64 = 15 * 60_000;
/// How long the first round waits after the mark.
pub const WAIT_MILLIS: i64 = FOLD_SECONDS as i64 * 1_000 + SKEW_MILLIS;
/// How many days after a day's end it is closed for the second time: what the stream still holds is
/// refused as too old by then.
pub const SEAL_AFTER_DAYS: i64 = 9;
/// Days that are looked after. Journals are kept for at least twelve.
pub const LOOKED_AFTER_DAYS: i64 = 20;
/// Minutes of a day.
const MINUTES: u16 = 24 * 60;

/// The mark of a day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayMark {
    /// When the mark was put.
    pub begun_at: UnixMillis,
    /// Which round is under way, or was the last.
    pub round: Round,
    /// Minutes folded in this round, then buckets of users offered.
    progress: u16,
    /// Facts of each hour as the first round folded them.
    pub ranks: Vec<u64>,
}

/// A round of a day's closing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Round {
    /// The first is under way: the day's hours are read.
    Closing,
    /// It is over: the day itself is read.
    Closed,
    /// The second is under way.
    Sealing,
    /// It is over: nothing moves.
    Sealed,
}

/// What a day's closing needs next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing, now.
    Wait,
    /// The mark is to be put.
    Begin,
    /// The second round is to be begun.
    Seal,
    /// The journal is to be folded from this minute of the day on.
    Fold {
        /// 0 to 1,439.
        minute: u16,
    },
    /// The users of a bucket are to be offered.
    Users {
        /// The bucket.
        bucket: u8,
    },
    /// The round is over, but for its mark.
    Finish,
}

impl DayMark {
    /// A mark that is put at `now`.
    pub fn begin(now: UnixMillis) -> Self {
        Self {
            begun_at: now,
            round: Round::Closing,
            progress: 0,
            ranks: vec![0; 24],
        }
    }

    /// What is to be done for `day` at `now`.
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
            Round::Closing if now.since(mark.begun_at) < WAIT_MILLIS => Step::Wait,
            Round::Closing | Round::Sealing => mark.next(),
            Round::Closed if since_end >= SEAL_AFTER_DAYS * 86_400_000 => Step::Seal,
            Round::Closed | Round::Sealed => Step::Wait,
        }
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

    /// The journal is folded up to this minute of the day, `facts` of them in `hour`.
    pub fn folded(&mut self, until: u16, hour: u8, facts: u64) {
        self.progress = until;
        if self.round == Round::Closing
            && let Some(rank) = self.ranks.get_mut(usize::from(hour))
        {
            *rank += facts;
        }
    }

    /// A bucket of users is offered.
    pub const fn offered(&mut self, bucket: u8) {
        self.progress = MINUTES + bucket as u16 + 1;
    }

    /// The round is over.
    pub const fn finish(&mut self) {
        self.round = match self.round {
            Round::Closing | Round::Closed => Round::Closed,
            Round::Sealing | Round::Sealed => Round::Sealed,
        };
    }

    /// The second round begins.
    pub const fn seal(&mut self) {
        self.round = Round::Sealing;
        self.progress = 0;
    }

    /// Begins the round anew, as an operator asks who restored a table: a closed day is closed again.
    pub fn redo(&mut self) {
        self.round = Round::Closing;
        self.progress = 0;
        self.ranks = vec![0; 24];
    }

    /// Facts of an hour as the first round folded them; `None` in the first round.
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
    fn a_day_is_closed_once_folds_from_before_the_mark_are_over_and_sealed_days_later() {
        let end = Window::Day.end(DAY);
        let begin = end.plus_millis(BEGIN_AFTER_MILLIS);
        let step = |mark: &DayMark, now| DayMark::step(Some(mark), DAY, now);
        assert_eq!(DayMark::step(None, DAY, begin.plus_millis(-1)), Step::Wait);
        assert_eq!(DayMark::step(None, DAY, begin), Step::Begin);
        let mut mark = DayMark::begin(begin);
        let ready = begin.plus_millis(WAIT_MILLIS);
        assert_eq!(step(&mark, ready.plus_millis(-1)), Step::Wait);
        assert_eq!(step(&mark, ready), Step::Fold { minute: 0 });
        mark.folded(60, 0, 7);
        mark.folded(90, 1, 2);
        mark.folded(120, 1, 3);
        assert_eq!(step(&mark, ready), Step::Fold { minute: 120 });
        mark.folded(MINUTES, 23, 0);
        for bucket in 0..USER_BUCKETS {
            assert_eq!(step(&mark, ready), Step::Users { bucket });
            mark.offered(bucket);
        }
        assert_eq!(step(&mark, ready), Step::Finish);
        assert_eq!(mark.rank(1), None);
        mark.finish();
        assert_eq!(
            (mark.round, step(&mark, ready)),
            (Round::Closed, Step::Wait)
        );
        let late = end.plus_days(SEAL_AFTER_DAYS);
        assert_eq!(step(&mark, late.plus_millis(-1)), Step::Wait);
        assert_eq!(step(&mark, late), Step::Seal);
        mark.seal();
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
        mark.redo();
        assert_eq!(mark.round, Round::Closing);
        assert_eq!(step(&mark, late), Step::Fold { minute: 0 });
    }
}
