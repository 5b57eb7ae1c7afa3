//! The aggregator's progress: one fold at a time, because the journal of an hour is one shard of
//! the table stream.

use lambda_host::mapping::model::Millis;

/// The fold's window in production, and the function's timeout.
const WINDOW: Millis = 60_000;
pub(super) const TIMEOUT: Millis = 300_000;
/// Facts folded per millisecond (B1), and bytes of a fact in the journal (B4).
const FACTS_A_MILLI: u64 = 1_000;
const FACT_BYTES: u64 = 16;
/// Size of a page of the journal, and the duration of its read.
const PAGE_BYTES: u64 = 1 << 20;
const PAGE_MILLIS: u64 = 15;
/// Duration of reading and writing a user's hour, how many run concurrently, and its write units.
const HOUR_MILLIS: u64 = 16;
const AT_ONCE: u64 = 32;
pub(super) const HOUR_WRITES: u64 = 2;
/// Bytes of memory per fact (B1: 97.7 MB for 600,000), and the function's memory.
const MEMORY_BYTES: u64 = 163;
const MEMORY: u64 = 1 << 30;

/// A fold in progress.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fold {
    facts: u64,
    /// Users whose hours it writes.
    pub(super) users: u64,
    ends: Millis,
    /// Of a thousand facts, the number that it finishes before its time is over.
    finishes: u64,
}

/// Facts that wait to be folded.
#[derive(Debug, Default)]
pub(super) struct Folding {
    facts: u64,
    since: Option<Millis>,
    under_way: Option<(Fold, Millis)>,
    /// Events of the current minute, all of which must fit into memory.
    minute: (Millis, u64),
}

impl Folding {
    /// Records that lines reached the journal: facts about known events of past minutes.
    pub(super) fn add_lines(&mut self, lines: u64, now: Millis) {
        self.facts += lines;
        self.since.get_or_insert(now);
    }

    /// Records that reports reached the journal.
    pub(super) fn add(&mut self, facts: u64, now: Millis) {
        self.add_lines(facts, now);
        let minute = now / 60_000;
        if self.minute.0 != minute {
            self.minute = (minute, 0);
        }
        self.minute.1 += facts;
    }

    /// Whether the facts of a minute exceed the function's memory.
    pub(super) const fn outgrows_memory(&self) -> bool {
        self.minute.1 * MEMORY_BYTES > MEMORY
    }

    /// How long the oldest fact has waited.
    pub(super) fn lag(&self, now: Millis) -> Millis {
        let under_way = self.under_way.map(|(_, since)| since);
        let since = under_way.or(self.since);
        since.map_or(0, |since| now - since)
    }

    /// Begins a fold if the window is over and no fold is in progress.
    pub(super) fn begin(
        &mut self,
        now: Millis,
        users: u64,
        writes_per_second: u64,
    ) -> Option<Fold> {
        let since = self.since.filter(|since| now - since >= WINDOW)?;
        if self.under_way.is_some() {
            return None;
        }
        let facts = std::mem::take(&mut self.facts);
        self.since = None;
        let users = distinct(facts, users);
        let pages = (facts * FACT_BYTES).div_ceil(PAGE_BYTES);
        let writing = users * HOUR_MILLIS / AT_ONCE;
        let throttled = users * HOUR_WRITES * 1_000 / writes_per_second.max(1);
        let millis = pages * PAGE_MILLIS + facts / FACTS_A_MILLI + writing.max(throttled);
        let millis = i64::try_from(millis).unwrap_or(Millis::MAX).max(1);
        let finishes = u64::try_from(TIMEOUT * 1_000 / millis.max(TIMEOUT)).unwrap_or(0);
        let fold = Fold {
            facts,
            users: users * finishes / 1_000,
            ends: now + millis.min(TIMEOUT),
            finishes,
        };
        self.under_way = Some((fold, since));
        Some(fold)
    }

    /// Ends the fold in progress if its time has come. If the tables do not respond, all of it is
    /// redelivered.
    pub(super) fn end(&mut self, now: Millis, tables_answer: bool) -> Option<Fold> {
        let (fold, since) = self.under_way.filter(|(fold, _)| fold.ends <= now)?;
        self.under_way = None;
        let done = if tables_answer {
            fold.facts * fold.finishes / 1_000
        } else {
            0
        };
        let left = fold.facts - done;
        if left > 0 {
            self.facts += left;
            // Minutes are folded oldest first: the finished part makes the rest younger.
            let done = i64::try_from(if tables_answer { fold.finishes } else { 0 }).unwrap_or(0);
            self.since = Some(since + (now - since) * done / 1_000);
        }
        Some(fold)
    }
}

impl Fold {
    /// Whether its time was over before it was done.
    pub(super) const fn is_cut_off(&self) -> bool {
        self.finishes < 1_000
    }
}

/// The expected number of distinct users of `calls` calls among `users`: all but (1 -
/// 1/users)^calls.
fn distinct(calls: u64, users: u64) -> u64 {
    const ONE: u128 = 1 << 50;
    let users = u128::from(users.max(1));
    let (mut absent, mut factor, mut left) = (ONE, ONE * (users - 1) / users, calls);
    while left > 0 {
        if left % 2 == 1 {
            absent = absent * factor / ONE;
        }
        factor = factor * factor / ONE;
        left /= 2;
    }
    u64::try_from(users * (ONE - absent) / ONE).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distinct_users_are_those_expected() {
        assert_eq!(distinct(1, 1_000), 1);
        // 1 - 1/e of them.
        assert_eq!(distinct(1_000_000, 1_000_000), 632_120);
        assert_eq!(distinct(600_000, 10_000), 10_000);
    }

    #[test]
    fn a_fold_out_of_time_is_redelivered_for_the_rest() {
        let mut folding = Folding::default();
        folding.add(10_000_000, 0);
        let fold = folding.begin(60_000, 10_000_000, 4_000).unwrap();
        assert_eq!(fold.ends, 360_000);
        assert!(
            folding
                .end(360_000, true)
                .is_some_and(|fold| fold.is_cut_off())
        );
        assert!(folding.facts > 0 && folding.facts < 10_000_000);
        assert!(folding.lag(360_000) < 360_000);
    }
}
