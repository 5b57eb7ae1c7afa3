//! `errors redrive`: submits what could not be processed to processor and reconciler again, and
//! makes the aggregator fold again what it gave up.
//!
//! An item or message is deleted only when every record of it was appended or, for messages, is
//! recorded under `PK = ERRORS`. The fold counts each event once, so a run can be interrupted or
//! repeated at any point.

use std::collections::BTreeMap;

use deployer::{ErrorTable, Page, SetAside, Source, Start, StreamRecord, Streams};
use domain::time::UnixMillis;
use serde::Serialize;

use crate::aws::Reached;
use crate::context::Context;
use crate::delivery::{Delivered, Delivery};
use crate::stop::Exit;

/// Items or messages.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Pile {
    pub(super) found: u64,
    pub(super) deleted: u64,
    pub(super) kept: u64,
}

#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Redriven {
    /// Records under `PK = ERRORS`.
    pub(super) errors: Pile,
    /// Messages of the dead-letter queues.
    pub(super) dead_letters: Pile,
    /// Events appended to the journal, for the first time or again.
    pub(super) appended: u64,
    /// Records refused again.
    pub(super) set_aside: u64,
    /// Records and letters that failed at every attempt, and are kept.
    pub(super) failed: u64,
    /// Minutes of the journal folded again.
    pub(super) minutes_folded: u64,
}

/// The context of a redrive.
pub(super) struct Redrive<'a> {
    pub(super) context: &'a Context,
    pub(super) reached: &'a Reached,
    pub(super) delivery: Delivery,
    pub(super) streams: Streams,
    pub(super) stream: String,
    /// Whether there is a processor; synchronous mode has none.
    pub(super) has_processor: bool,
    pub(super) done: Redriven,
    pub(super) table: ErrorTable,
}

impl Redrive<'_> {
    pub(super) async fn errors(&mut self) -> anyhow::Result<()> {
        let mut next = None;
        loop {
            let (page, more) = self.table.read(next).await?;
            let mut sources: BTreeMap<String, Vec<SetAside>> = BTreeMap::new();
            for record in page.into_iter().filter(is_offered) {
                self.done.errors.found += 1;
                let records = sources.entry(record.shard_id.clone());
                records.or_default().push(record);
            }
            for (source, records) in sources {
                let is_of_stream = records
                    .iter()
                    .all(|record| record.source() == Source::Stream);
                if !is_of_stream {
                    self.of_log(&source, records).await?;
                } else if self.has_processor {
                    self.of_shard(&source, records).await?;
                } else {
                    self.without_processor(&source, &records);
                }
            }
            match more {
                Some(more) => next = Some(more),
                None => return Ok(()),
            }
        }
    }

    fn without_processor(&mut self, shard: &str, records: &[SetAside]) {
        self.done.errors.kept += records.len() as u64;
        self.done.failed += records.len() as u64;
        self.context.out.warning(&format!(
            "{} records of {shard} stay: there is no processor without the stream; set \
             `analytics.enabled: true` and deploy to bring it back",
            records.len()
        ));
    }

    async fn of_log(&mut self, log: &str, lines: Vec<SetAside>) -> anyhow::Result<()> {
        let (cut, whole): (Vec<_>, Vec<_>) = lines.into_iter().partition(SetAside::is_cut);
        for line in cut {
            self.done.errors.kept += 1;
            self.context.out.warning(&format!(
                "{log} {} stays: only the first {} of its {} bytes are known",
                line.sequence_number,
                line.payload.len(),
                line.payload_size
            ));
        }
        let delivered = self.delivery.offer_lines(log, &whole).await?;
        self.settle(&whole, &delivered).await
    }

    async fn of_shard(&mut self, shard: &str, records: Vec<SetAside>) -> anyhow::Result<()> {
        let mut whole = Vec::new();
        let mut offered = Vec::new();
        for record in records {
            if let Some(of_stream) = self.whole(shard, &record).await? {
                whole.push(of_stream);
                offered.push(record);
            } else {
                self.done.errors.kept += 1;
                self.context.out.warning(&format!(
                    "{shard} {} stays: only the first {} of its {} bytes are known, and the \
                     stream no longer has it",
                    record.sequence_number,
                    record.payload.len(),
                    record.payload_size
                ));
            }
        }
        let delivered = self.delivery.offer(shard, &whole).await?;
        self.settle(&offered, &delivered).await
    }

    /// Deletes the items of records that were appended.
    async fn settle(&mut self, offered: &[SetAside], delivered: &Delivered) -> anyhow::Result<()> {
        for record in offered {
            let position = &record.sequence_number;
            if delivered.set_aside.contains(position) || delivered.failed.contains(position) {
                self.done.errors.kept += 1;
            } else {
                self.table.delete(record).await?;
                self.done.errors.deleted += 1;
            }
        }
        self.add(delivered);
        Ok(())
    }

    /// The complete record, if anything still holds it.
    async fn whole(&self, shard: &str, record: &SetAside) -> anyhow::Result<Option<StreamRecord>> {
        let position = record.sequence_number.as_str();
        if record.is_cut() {
            let found = self.read(shard, position, position).await?;
            return Ok(found.into_iter().next());
        }
        Ok(Some(StreamRecord {
            sequence_number: position.to_owned(),
            // Counts do not depend on it, and the item lacks it.
            partition_key: String::new(),
            arrived: record.received_at.parse().unwrap_or(UnixMillis(0)),
            data: record.payload.clone(),
        }))
    }

    /// The records of a shard from one position to another, both included, as far as the stream
    /// still holds them.
    pub(super) async fn read(
        &self,
        shard: &str,
        first: &str,
        last: &str,
    ) -> anyhow::Result<Vec<StreamRecord>> {
        let mut found: Vec<StreamRecord> = Vec::new();
        loop {
            let last_read = found.last().map(|record| record.sequence_number.clone());
            let start = last_read.as_deref().map_or(Start::At(first), Start::After);
            let mut next = self.streams.iterator(&self.stream, shard, start).await?;
            let mut is_over = true;
            while let Some(iterator) = next {
                let Some(page) = self.streams.page(&iterator).await? else {
                    // The iterator has expired: another one continues.
                    is_over = false;
                    break;
                };
                let has_all = take(&mut found, &page, first, last);
                next = page.next.filter(|_| !has_all);
            }
            if is_over {
                return Ok(found);
            }
        }
    }

    pub(super) fn add(&mut self, delivered: &Delivered) {
        self.done.appended += delivered.appended;
        self.done.set_aside += delivered.set_aside.len() as u64;
        self.done.failed += delivered.failed.len() as u64;
    }
}

/// Whether a function can process it. The tick folds a parked item's minute again by itself, as
/// soon as a release can read the item; a conflict reports an event that is counted; an amount
/// without a call is in the journal.
pub(super) fn is_offered(record: &SetAside) -> bool {
    matches!(record.source(), Source::Stream | Source::Log)
}

/// Collects the records between the positions. Returns whether no more can follow.
fn take(found: &mut Vec<StreamRecord>, page: &Page, first: &str, last: &str) -> bool {
    use std::cmp::Ordering::{Equal, Greater, Less};
    for record in &page.records {
        let position = record.sequence_number.as_str();
        if deployer::compare_positions(position, first) == Less {
            continue;
        }
        match deployer::compare_positions(position, last) {
            Less => found.push(record.clone()),
            Equal => {
                found.push(record.clone());
                return true;
            }
            Greater => return true,
        }
    }
    page.records.is_empty() && page.behind_millis == 0
}

impl Redriven {
    pub(super) fn exit(&self) -> Exit {
        if self.failed > 0 || self.dead_letters.kept > 0 {
            Exit::Failed
        } else {
            Exit::Done
        }
    }

    pub(super) fn text(&self) -> String {
        let pile = |what: &str,
                    Pile {
                        found,
                        deleted,
                        kept,
                    }: &Pile| {
            format!("{what}: {found} found, {deleted} done, {kept} kept")
        };
        let mut lines = vec![
            pile("records set aside", &self.errors),
            pile("dead letters", &self.dead_letters),
            format!(
                "appended {}, refused again {}, failed {}; each event counts once",
                self.appended, self.set_aside, self.failed
            ),
        ];
        if self.minutes_folded > 0 {
            lines.push(format!("minutes folded again: {}", self.minutes_folded));
        }
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(position: &str) -> StreamRecord {
        StreamRecord {
            sequence_number: position.into(),
            partition_key: "k".into(),
            arrived: UnixMillis(0),
            data: Vec::new(),
        }
    }

    fn page(positions: &[&str], behind_millis: i64) -> Page {
        Page {
            records: positions.iter().map(|position| record(position)).collect(),
            next: Some("next".into()),
            behind_millis,
        }
    }

    #[test]
    fn records_are_taken_from_the_first_position_to_the_last() {
        let mut found = Vec::new();
        assert!(!take(&mut found, &page(&["8", "9"], 5), "9", "11"));
        assert!(!take(&mut found, &page(&[], 5), "9", "11"), "a gap");
        assert!(take(&mut found, &page(&["10", "11", "12"], 5), "9", "11"));
        assert_eq!(found, ["9", "10", "11"].map(record));
        let mut trimmed = Vec::new();
        assert!(take(&mut trimmed, &page(&["12"], 0), "9", "11"));
        assert!(take(&mut trimmed, &page(&[], 0), "9", "11"), "the end");
        assert_eq!(trimmed, []);
    }

    #[test]
    fn a_second_refusal_is_an_answer_and_a_failure_is_not() {
        let mut done = Redriven {
            set_aside: 3,
            ..Redriven::default()
        };
        assert_eq!(done.exit(), Exit::Done);
        done.failed = 1;
        assert_eq!(done.exit(), Exit::Failed);
    }
}
