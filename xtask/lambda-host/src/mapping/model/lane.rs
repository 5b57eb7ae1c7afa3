//! A lane: consecutive batches of one shard. Records with equal partition keys are in the same
//! lane, so that their order holds for any number of parallel lanes.

use std::collections::VecDeque;

use super::{
    Action, Millis, Settings,
    batch::{Batch, Condition, Discarded, Entry, Invocation},
    earlier,
    response::Finished,
};

/// Delay before the first retry; each further one waits twice as long as the previous one.
const FIRST_DELAY: Millis = 100;
/// The longest delay of a retry.
const LONGEST_DELAY: Millis = 10_000;
/// Delay before an invocation that could not be made is tried again.
const NOT_INVOKED_DELAY: Millis = 250;
/// `{"Records":[` and `]}`.
const ENVELOPE_BYTES: usize = 14;

#[derive(Debug)]
pub(super) struct Lane<P> {
    /// Records that are in no batch yet, with the time they were read.
    queue: VecDeque<(Millis, Entry<P>)>,
    /// Batches in progress: the first is being invoked or waits for its retry, the others are the
    /// remains of splitting.
    begun: VecDeque<Batch<P>>,
    in_flight: Option<u64>,
}

impl<P> Default for Lane<P> {
    fn default() -> Self {
        Self {
            queue: VecDeque::new(),
            begun: VecDeque::new(),
            in_flight: None,
        }
    }
}

/// Collects a lane's results.
pub(super) struct LaneReport<'a, P> {
    pub(super) shard: &'a str,
    /// Ordinals of finished records: processed, or given up.
    pub(super) done: &'a mut Vec<u64>,
    pub(super) actions: &'a mut Vec<Action<P>>,
}

impl<P> LaneReport<'_, P> {
    fn done(&mut self, entries: &[Entry<P>]) {
        self.done.extend(entries.iter().map(|entry| entry.ordinal));
    }

    fn discard(&mut self, condition: Condition, entries: &[Entry<P>], invocations: u32) {
        self.done(entries);
        if let (Some(first), Some(last)) = (entries.first(), entries.last()) {
            self.actions.push(Action::Discard(Discarded {
                condition,
                shard: self.shard.to_owned(),
                first: first.sequence.clone(),
                last: last.sequence.clone(),
                first_arrived: first.arrived,
                last_arrived: last.arrived,
                records: entries.len(),
                invocations,
            }));
        }
    }
}

impl<P: Clone> Lane<P> {
    pub(super) fn push(&mut self, now: Millis, entry: Entry<P>) {
        self.queue.push_back((now, entry));
    }

    pub(super) const fn in_flight(&self) -> Option<u64> {
        self.in_flight
    }

    /// Begins everything that can begin now, and lowers `wake` to the time of the next action.
    pub(super) fn advance(
        &mut self,
        settings: &Settings,
        now: Millis,
        ended: bool,
        next_invocation: &mut u64,
        report: &mut LaneReport<'_, P>,
        wake: &mut Option<Millis>,
    ) {
        if self.in_flight.is_some() {
            return;
        }
        self.drop_old_batches(settings, now, report);
        if self.begun.is_empty() {
            self.drop_old_records(settings, now, report);
            if let Some(ready_at) = self.ready_at(settings, ended) {
                if now >= ready_at {
                    let batch = Batch::new(self.take_batch(settings), now);
                    self.begun.push_back(batch);
                } else {
                    earlier(wake, ready_at);
                }
            }
        }
        let Some(batch) = self.begun.front() else {
            return;
        };
        if now < batch.not_before {
            earlier(wake, batch.not_before);
            return;
        }
        let id = *next_invocation;
        *next_invocation += 1;
        self.in_flight = Some(id);
        report.actions.push(Action::Invoke(Invocation {
            id,
            shard: report.shard.to_owned(),
            records: batch
                .entries
                .iter()
                .map(|entry| entry.payload.clone())
                .collect(),
            last_arrived: batch.entries.last().map_or(now, |entry| entry.arrived),
        }));
    }

    /// Handles the end of the first batch's invocation.
    pub(super) fn finished(
        &mut self,
        settings: &Settings,
        now: Millis,
        outcome: &Finished,
        report: &mut LaneReport<'_, P>,
    ) {
        self.in_flight = None;
        let Some(mut batch) = self.begun.pop_front() else {
            return;
        };
        if *outcome == Finished::NotInvoked {
            batch.not_before = now + NOT_INVOKED_DELAY;
            self.begun.push_front(batch);
            return;
        }
        batch.invocations += 1;
        match failed_from(settings, &batch, outcome) {
            None => report.done(&batch.entries),
            Some(0) => self.failed(settings, now, batch, report),
            Some(at) => {
                let rest = batch.split_off(at);
                report.done(&batch.entries);
                if settings.bisect {
                    // The function said where to split the batch: this uses up no retry.
                    self.retry(now, rest);
                } else {
                    self.failed(settings, now, rest, report);
                }
            }
        }
    }

    /// Handles a batch that failed from its first record on.
    fn failed(
        &mut self,
        settings: &Settings,
        now: Millis,
        mut batch: Batch<P>,
        report: &mut LaneReport<'_, P>,
    ) {
        if settings.bisect && batch.entries.len() > 1 {
            let rest = batch.split_off(batch.entries.len() / 2);
            self.begun.push_front(rest);
            self.retry(now, batch);
        } else if settings.max_retries.is_some_and(|max| batch.retries >= max) {
            report.discard(
                Condition::RetryAttemptsExhausted,
                &batch.entries,
                batch.invocations,
            );
        } else {
            batch.retries += 1;
            self.retry(now, batch);
        }
    }

    fn retry(&mut self, now: Millis, mut batch: Batch<P>) {
        let doublings = batch.invocations.saturating_sub(1).min(16);
        batch.not_before = now + (FIRST_DELAY << doublings).min(LONGEST_DELAY);
        self.begun.push_front(batch);
    }

    /// Gives up the records of batches in progress that have become too old.
    fn drop_old_batches(
        &mut self,
        settings: &Settings,
        now: Millis,
        report: &mut LaneReport<'_, P>,
    ) {
        while let Some(batch) = self.begun.front_mut() {
            let old = batch
                .entries
                .iter()
                .take_while(|entry| is_old(settings, now, entry))
                .count();
            if old > 0 {
                let rest = batch.split_off(old);
                report.discard(
                    Condition::RecordAgeExceeded,
                    &batch.entries,
                    batch.invocations,
                );
                *batch = rest;
            }
            if !batch.entries.is_empty() {
                return;
            }
            self.begun.pop_front();
        }
    }

    fn drop_old_records(
        &mut self,
        settings: &Settings,
        now: Millis,
        report: &mut LaneReport<'_, P>,
    ) {
        let old = self
            .queue
            .iter()
            .take_while(|(_, entry)| is_old(settings, now, entry))
            .count();
        let entries: Vec<Entry<P>> = self.queue.drain(..old).map(|(_, entry)| entry).collect();
        report.discard(Condition::RecordAgeExceeded, &entries, 0);
    }

    /// When to invoke the queued records: at once if a batch is full, its payload is full, no
    /// window is set or no more records can arrive; otherwise at the end of the window.
    fn ready_at(&self, settings: &Settings, ended: bool) -> Option<Millis> {
        let (read, _) = self.queue.front()?;
        let full = ended
            || self.batch_length(settings) < self.queue.len()
            || self.queue.len() >= settings.batch_size;
        Some(if full { *read } else { read + settings.window })
    }

    /// Number of queued records that fit into one batch; at least one.
    fn batch_length(&self, settings: &Settings) -> usize {
        let mut bytes = ENVELOPE_BYTES;
        let fitting = self
            .queue
            .iter()
            .take(settings.batch_size)
            .take_while(|(_, entry)| {
                bytes += entry.bytes + 1;
                bytes <= settings.max_payload
            })
            .count();
        fitting.max(1)
    }

    fn take_batch(&mut self, settings: &Settings) -> Vec<Entry<P>> {
        let length = self.batch_length(settings).min(self.queue.len());
        self.queue.drain(..length).map(|(_, entry)| entry).collect()
    }
}

/// The index of the first record that failed; `None` if all succeeded.
fn failed_from<P>(settings: &Settings, batch: &Batch<P>, outcome: &Finished) -> Option<usize> {
    match outcome {
        Finished::Failure | Finished::NotInvoked => Some(0),
        Finished::ItemFailures(failed) if settings.report_item_failures => {
            let at = |sequence: &String| {
                batch
                    .entries
                    .iter()
                    .position(|entry| entry.sequence == *sequence)
            };
            // An identifier that is not in the batch fails the whole batch.
            let places: Option<Vec<usize>> = failed.iter().map(at).collect();
            Some(
                places
                    .and_then(|places| places.into_iter().min())
                    .unwrap_or(0),
            )
        }
        // Without `ReportBatchItemFailures` the response is ignored.
        Finished::Success | Finished::ItemFailures(_) => None,
    }
}

fn is_old<P>(settings: &Settings, now: Millis, entry: &Entry<P>) -> bool {
    settings
        .max_age
        .is_some_and(|max| now - entry.arrived > max)
}
