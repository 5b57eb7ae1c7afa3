//! A schedule's end: everything gets through, days pass, and days are closed.

use std::collections::BTreeSet;

use domain::table::ItemKey;
use domain::time::{UnixMillis, Window};

use super::super::check;
use super::super::random::Random;
use super::super::schedule::{End, Failure};
use super::{Doing, World};

/// Days for which the stream keeps its records, and the table's stream its changes.
const STREAM_DAYS: i64 = 7;
const TABLE_STREAM_DAYS: i64 = 1;
/// Turns after which an undisturbed system must have come to rest.
const PATIENCE: u32 = 200_000;
const HOUR: i64 = 3_600_000;

impl World {
    /// Nothing goes wrong any more: everything gets through.
    pub(super) async fn come_to_rest(&mut self) -> Result<(), String> {
        self.calm();
        let was_older = !self.unreadable.is_empty();
        self.upgrade();
        self.settle().await?;
        // The tick owes parked items.
        if was_older || check::is_anything_parked(self) {
            self.tick_and_settle().await?;
        }
        Ok(())
    }

    /// No call fails any more, and both functions are invoked.
    fn calm(&mut self) {
        self.weather.clear();
        (self.records.down, self.changes.down) = (false, false);
        self.patience = None;
    }

    pub(super) async fn finish(&mut self, end: End) -> Result<(), String> {
        self.come_to_rest().await?;
        if !self.is_owed {
            check::check(self, End::Folded, &[])?;
        }
        let end = if self.is_owed { End::Sealed } else { end };
        if end == End::Folded {
            return Ok(());
        }
        // No instance lives for hours.
        self.start_aggregators();
        let last = Window::Day.end(self.latest());
        let is_first = self.is_first_closing();
        self.until(last.plus_millis(3 * HOUR));
        self.tick_and_settle().await?;
        self.wait(HOUR);
        let mut random = Random::new(self.seed);
        self.tick_badly(&mut random).await?;
        self.tick_and_settle().await?;
        // A look may have died with its instance, or missed what was folded meanwhile: the closing makes it. What
        // came to a closed day is looked at once the day is sealed.
        self.notices.alerts_are_due = is_first;
        if end >= End::Sealed {
            self.until(last.plus_days(9).plus_millis(HOUR));
            self.tick_badly(&mut random).await?;
            self.tick_twice(self.now()).await?;
            self.notices.alerts_are_due = true;
            // Hours expire before the month is handed over.
            check::check(self, End::Sealed, &[])?;
            self.hand_over(Window::Month.start(self.start)).await?;
        }
        if end == End::HandedOver {
            let last = Window::Month.start(last.plus_millis(-1));
            self.hand_over(last).await?;
        }
        let answers = self.answers_at_rest().await?;
        check::check(self, end, &answers)
    }

    async fn tick_twice(&mut self, at: UnixMillis) -> Result<(), String> {
        self.until(at);
        self.tick_and_settle().await?;
        self.wait(HOUR);
        self.tick_and_settle().await
    }

    /// Time passes until a month, and every one before it, must have been handed over: the two days
    /// after it are sealed. A day is closed before the ticks stop looking after it.
    async fn hand_over(&mut self, month: UnixMillis) -> Result<(), String> {
        let sealed = Window::Month.end(month).plus_days(11).plus_millis(HOUR);
        loop {
            let next = self.now().plus_days(9).min(sealed);
            if next <= self.now() || next == sealed {
                break;
            }
            self.tick_twice(next).await?;
        }
        self.until(sealed);
        let mut random = Random::new(self.seed);
        for _ in 0..random.place(3) {
            self.fail_a_tick(&mut random).await?;
        }
        self.tick_twice(sealed).await?;
        self.notices.last_month = Some(month);
        Ok(())
    }

    /// Some of the ticks that close days die or fail while they look at quotas.
    async fn tick_badly(&mut self, random: &mut Random) -> Result<(), String> {
        if self.notices.with_quotas && random.once_in(2) {
            self.fail_a_tick(random).await?;
        }
        Ok(())
    }

    async fn fail_a_tick(&mut self, random: &mut Random) -> Result<(), String> {
        self.weather.plan(Failure::of_notices(random));
        self.tick_and_settle().await?;
        self.weather.clear();
        Ok(())
    }

    /// Whether no day with any fact has begun to be closed.
    fn is_first_closing(&self) -> bool {
        let minted = self.oracle.held.keys().map(|id| id.minted_at());
        let days: BTreeSet<UnixMillis> = minted.map(|at| Window::Day.start(at)).collect();
        let mut marks = days.into_iter().map(ItemKey::day_mark);
        marks.all(|mark| self.usage.peek(&mark).is_none())
    }

    fn latest(&self) -> UnixMillis {
        let held = self.oracle.held.keys();
        let held = held.chain(self.oracle.amounts.held.keys());
        held.map(|id| id.minted_at())
            .chain([self.now()])
            .max()
            .unwrap_or_default()
    }

    fn until(&self, at: UnixMillis) {
        self.wait(at.since(self.now()).max(0));
    }

    /// Days pass, each once everything has got through, and expired items are deleted.
    pub(super) async fn pass(&mut self, days: i64, random: &mut Random) -> Result<(), String> {
        if random.once_in(3) {
            self.downgrade(random.next());
        }
        if self.may_stay_unreadable(days) && random.once_in(2) {
            self.calm();
            self.settle().await?;
        } else {
            self.come_to_rest().await?;
        }
        for _ in 0..days {
            self.wait(23 * HOUR);
            self.tick_and_settle().await?;
            self.wait(HOUR);
            self.tick_and_settle().await?;
        }
        self.trim();
        self.expire_all(random).await
    }

    /// Whether a release that reads everything comes soon enough although it is not deployed for some days: a
    /// day is sealed without its unreadable items once its journal expires.
    fn may_stay_unreadable(&self, days: i64) -> bool {
        let held = self.oracle.held.keys();
        let oldest = held.chain(self.oracle.amounts.held.keys()).next();
        let until = self.now().plus_days(days + 1);
        oldest.is_none_or(|oldest| until < oldest.minted_at().plus_days(super::KEPT_DAYS - 1))
    }

    /// The streams drop what is too old for them, and whatever nobody took of it is gone.
    pub(super) fn trim(&mut self) {
        let now = self.now();
        let dropped = self.records.trim(now.plus_days(-STREAM_DAYS).0);
        self.oracle.dropped.extend(dropped);
        let given_up = self.changes.trim(now.plus_days(-TABLE_STREAM_DAYS).0);
        self.is_owed |= !given_up.is_empty();
        self.is_steady &= given_up.is_empty();
    }

    async fn tick_and_settle(&mut self) -> Result<(), String> {
        self.tick();
        self.settle().await
    }

    pub(super) async fn settle(&mut self) -> Result<(), String> {
        // Each task ends before the next one begins: without faults, pauses change nothing.
        self.pace.set_free(self.weather.is_clear());
        let settled = self.settle_tasks().await;
        self.pace.set_free(false);
        settled
    }

    async fn settle_tasks(&mut self) -> Result<(), String> {
        for _ in 0..PATIENCE {
            self.begin();
            let lines = self.log.all();
            self.forward(lines, true);
            self.append_messages(super::MESSAGES);
            if !self.tasks.is_empty() {
                self.complete_first().await;
            } else if self.records.is_done() && self.changes.is_done() && self.log.is_done() {
                return self.wrong.take().map_or(Ok(()), Err);
            } else {
                self.pass_time().await;
            }
        }
        let doing: Vec<&Doing> = self.tasks.iter().map(|task| &task.doing).collect();
        Err(format!("the system did not come to rest: {doing:?}"))
    }
}
