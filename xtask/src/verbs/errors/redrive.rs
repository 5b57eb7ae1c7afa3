//! `errors redrive`: what could not be counted is offered to processor and reconciler again.
//!
//! An item or message goes only when every record of it was counted, had been counted, or, for
//! messages, stands under `PK = ERRORS`. Both count each event once, so a run may be interrupted or
//! repeated at any point.

use std::collections::{BTreeMap, BTreeSet};

use deployer::{ErrorTable, Page, Queues, SetAside, Start, StreamRecord, Streams};
use domain::names::StackKind;
use domain::time::UnixMillis;
use serde::Serialize;

use super::dead_letters;
use crate::aws::{Reached, nothing_deployed, reach};
use crate::cli::Consent;
use crate::context::Context;
use crate::stop::Exit;
use crate::verbs::delivery::{Delivered, Delivery};
use crate::verbs::keys::agreed;

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
    /// Messages of the dead-letter queue.
    pub(super) dead_letters: Pile,
    /// Events counted now.
    pub(super) counted: u64,
    /// Events that had been counted before.
    pub(super) duplicates: u64,
    /// Records refused again.
    pub(super) set_aside: u64,
    /// Records that failed: nothing is known of them, and they are kept.
    pub(super) failed: u64,
    /// Leaves handed on to the roll-ups.
    pub(super) leaves: u64,
}

/// What a redrive works with.
pub(super) struct Redrive<'a> {
    pub(super) context: &'a Context,
    pub(super) reached: &'a Reached,
    pub(super) delivery: Delivery,
    pub(super) streams: Streams,
    pub(super) stream: String,
    /// There is none in synchronous mode.
    pub(super) has_processor: bool,
    pub(super) done: Redriven,
    /// Positions of the records that stay where they are.
    kept: BTreeSet<(String, String)>,
}

pub(super) async fn run(context: &Context, consent: Consent) -> anyhow::Result<Exit> {
    let reached = reach(context).await?;
    let found = reached.stacks().await?;
    if found.is_empty() {
        return Err(nothing_deployed(&reached.environment).into());
    }
    let names = reached.environment.names();
    let tables = ErrorTable::all(&reached.session, &names);
    if consent.dry_run {
        let queues = Queues::new(&reached.session);
        let letters = queues.depths(&names.dead_letter_queues()).await?;
        let mut set_aside = BTreeSet::new();
        for table in &tables {
            set_aside.extend(table.describe().await?.iter().map(position));
        }
        let set_aside = set_aside.len();
        context.out.step(&format!(
            "would offer {set_aside} records set aside and what {} dead letters name",
            letters.unwrap_or(0)
        ));
        return Ok(Exit::Done);
    }
    let question = format!(
        "offer what failed in `{}` to its functions again?",
        reached.environment.name
    );
    if !agreed(context, &reached.environment, consent, &question)? {
        return Ok(Exit::Failed);
    }
    let mut redrive = Redrive {
        context,
        reached: &reached,
        delivery: Delivery::new(&reached),
        streams: Streams::new(&reached.session),
        stream: names.usage_stream(),
        has_processor: found.iter().any(|(kind, _)| *kind == StackKind::Kinesis),
        done: Redriven::default(),
        kept: BTreeSet::new(),
    };
    context.out.step("offering the records set aside");
    for table in &tables {
        redrive.errors(table).await?;
    }
    dead_letters::redrive(&mut redrive).await?;
    dead_letters::redrive_lines(&mut redrive).await?;
    context.out.answer(&redrive.done, Redriven::text)?;
    Ok(redrive.done.exit())
}

impl Redrive<'_> {
    async fn errors(&mut self, table: &ErrorTable) -> anyhow::Result<()> {
        let mut next = None;
        loop {
            let (page, more) = table.read(next).await?;
            let mut sources: BTreeMap<String, Vec<SetAside>> = BTreeMap::new();
            for record in page {
                // A line that was refused in both modes stands in both tables.
                if self.kept.contains(&position(&record)) {
                    continue;
                }
                self.done.errors.found += 1;
                sources
                    .entry(record.shard_id.clone())
                    .or_default()
                    .push(record);
            }
            for (source, records) in sources {
                let is_stream = records.iter().all(SetAside::is_of_stream);
                if !is_stream {
                    self.of_log(table, &source, records).await?;
                } else if self.has_processor {
                    self.of_shard(table, &source, records).await?;
                } else {
                    for record in &records {
                        self.keep(record);
                    }
                    self.done.failed += records.len() as u64;
                    self.context.out.warning(&format!(
                        "{} records of {source} stay: there is no processor without the stream; \
                         `analytics.enabled: true` and a deploy bring it back",
                        records.len()
                    ));
                }
            }
            match more {
                Some(more) => next = Some(more),
                None => return Ok(()),
            }
        }
    }

    async fn of_log(
        &mut self,
        table: &ErrorTable,
        log: &str,
        lines: Vec<SetAside>,
    ) -> anyhow::Result<()> {
        let (cut, whole): (Vec<_>, Vec<_>) = lines.into_iter().partition(SetAside::is_cut);
        for line in cut {
            self.keep(&line);
            self.context.out.warning(&format!(
                "{log} {}: only the first {} of its {} bytes are known: it stays",
                line.sequence_number,
                line.payload.len(),
                line.payload_size
            ));
        }
        let delivered = self.delivery.offer_lines(log, &whole).await?;
        self.settle(table, &whole, &delivered).await
    }

    async fn of_shard(
        &mut self,
        table: &ErrorTable,
        shard: &str,
        records: Vec<SetAside>,
    ) -> anyhow::Result<()> {
        let mut whole = Vec::new();
        let mut offered = Vec::new();
        for record in records {
            if let Some(of_stream) = self.whole(shard, &record).await? {
                whole.push(of_stream);
                offered.push(record);
            } else {
                self.keep(&record);
                self.context.out.warning(&format!(
                    "{shard} {}: only the first {} of its {} bytes are known, and the stream \
                     does not have it any more: it stays",
                    record.sequence_number,
                    record.payload.len(),
                    record.payload_size
                ));
            }
        }
        let delivered = self.delivery.offer(shard, &whole).await?;
        self.settle(table, &offered, &delivered).await
    }

    /// Deletes the items of what is done with.
    async fn settle(
        &mut self,
        table: &ErrorTable,
        offered: &[SetAside],
        delivered: &Delivered,
    ) -> anyhow::Result<()> {
        for record in offered {
            let position = &record.sequence_number;
            if delivered.set_aside.contains(position) || delivered.failed.contains(position) {
                self.keep(record);
            } else {
                table.delete(record).await?;
                self.done.errors.deleted += 1;
            }
        }
        self.add(delivered);
        Ok(())
    }

    fn keep(&mut self, record: &SetAside) {
        self.done.errors.kept += 1;
        self.kept.insert(position(record));
    }

    /// The record with all its bytes, if anybody still has them.
    async fn whole(&self, shard: &str, record: &SetAside) -> anyhow::Result<Option<StreamRecord>> {
        let position = record.sequence_number.as_str();
        if record.is_cut() {
            let found = self.read(shard, position, position).await?;
            return Ok(found.into_iter().next());
        }
        Ok(Some(StreamRecord {
            sequence_number: position.to_owned(),
            // Nothing is counted by it; the item does not have it.
            partition_key: String::new(),
            arrived: record.received_at.parse().unwrap_or(UnixMillis(0)),
            data: record.payload.clone(),
        }))
    }

    /// The records of a shard from one position to another, both included, that the stream still
    /// has.
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
                    // The iterator is too old by now: another one goes on.
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
        self.done.counted += delivered.counted;
        self.done.duplicates += delivered.duplicates;
        self.done.set_aside += delivered.set_aside.len() as u64;
        self.done.failed += delivered.failed.len() as u64;
    }
}

fn position(record: &SetAside) -> (String, String) {
    (record.shard_id.clone(), record.sequence_number.clone())
}

/// Takes what lies between the positions; says whether nothing more can come.
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
    fn exit(&self) -> Exit {
        if self.failed > 0 || self.dead_letters.kept > 0 {
            Exit::Failed
        } else {
            Exit::Done
        }
    }

    fn text(&self) -> String {
        let pile = |what: &str,
                    Pile {
                        found,
                        deleted,
                        kept,
                    }: &Pile| {
            format!("{what}: {found} found, {deleted} done with, {kept} kept")
        };
        let mut lines = vec![
            pile("records set aside", &self.errors),
            pile("dead letters", &self.dead_letters),
            format!(
                "counted {}, counted before {}, refused {}, failed {}",
                self.counted, self.duplicates, self.set_aside, self.failed
            ),
        ];
        if self.leaves > 0 {
            lines.push(format!("leaves handed on: {}", self.leaves));
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
    fn what_is_refused_again_is_an_answer_and_what_failed_is_none() {
        let mut done = Redriven {
            set_aside: 3,
            ..Redriven::default()
        };
        assert_eq!(done.exit(), Exit::Done);
        done.failed = 1;
        assert_eq!(done.exit(), Exit::Failed);
    }
}
