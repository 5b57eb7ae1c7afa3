//! `replay`: reads the stream again and submits every record to the processor once more.
//!
//! All shards advance together, the one furthest behind in time first, and a shard only once its
//! parents are at their end. So there is one time up to which everything was replayed: the command
//! reports it as it goes, and an interrupted run can continue from there. The processor appends
//! each event again and the fold drops what it already has, so a run from any time, any number of
//! times, is safe.

use std::collections::BTreeSet;
use std::time::Duration;

use clap::Args;
use deployer::{Shard, Start, Streams};
use domain::names::StackKind;
use domain::time::UnixMillis;
use serde::Serialize;
use tokio::time::Instant;

use crate::aws::{nothing_deployed, reach};
use crate::clock;
use crate::consent::{Consent, agreed};
use crate::context::Context;
use crate::delivery::{Delivered, Delivery};
use crate::duration::span;
use crate::duration::{Past, past};
use crate::output::counted;
use crate::stop::{Exit, Stop};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The first record: `6h` ago, or a time
    #[arg(long, value_name = "T", value_parser = past)]
    pub(crate) from: Past,
    /// The last record; now by default
    #[arg(long, value_name = "T", value_parser = past)]
    pub(crate) to: Option<Past>,
    #[command(flatten)]
    pub(crate) consent: Consent,
}

/// A shard supports five reads per second from all readers together, and its mapping makes one of
/// them.
const EACH_SHARD: Duration = Duration::from_millis(300);
/// Delay after a read that was throttled.
const THROTTLED: Duration = Duration::from_secs(1);
/// How often progress is reported.
const TELL: Duration = Duration::from_secs(5);

#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Replayed {
    /// Records read.
    read: u64,
    /// Events appended to the journal, most of them again.
    appended: u64,
    /// Records set aside, most of them again.
    set_aside: u64,
    /// Records that failed at every attempt.
    failed: u64,
}

/// A shard that is being read.
#[derive(Debug)]
struct Reader {
    shard: String,
    iterator: Option<String>,
    last: Option<String>,
    /// Everything before this in the shard was read.
    at: UnixMillis,
    not_before: Instant,
}

/// The shards of a replay: those that wait for their parents, and those being read.
#[derive(Debug)]
struct Shards {
    waiting: Vec<Shard>,
    known: BTreeSet<String>,
    over: BTreeSet<String>,
    at_work: Vec<Reader>,
}

pub(crate) async fn run(context: &Context, args: &Arguments) -> anyhow::Result<Exit> {
    let (from, to) = span(args.from, args.to, clock::now())?;
    let reached = reach(context).await?;
    let found = reached.stacks().await?;
    if found.is_empty() {
        return Err(nothing_deployed(&reached.environment).into());
    }
    let name = &reached.environment.name;
    let stream = reached.environment.names().usage_stream();
    let streams = Streams::new(&reached.session);
    let shards = if found.iter().any(|(kind, _)| *kind == StackKind::Kinesis) {
        streams.shards(&stream).await?
    } else {
        None
    };
    let Some(shards) = shards else {
        return Err(Stop::failed(format!("`{name}` has no stream to replay")).into());
    };
    let what = format!(
        "the records of `{stream}` from {from} to {to}, in {} shards",
        shards.len()
    );
    if args.consent.dry_run {
        context.out.step(&format!("would submit {what}"));
        return Ok(Exit::Done);
    }
    let question = format!("submit {what}, to the processor of `{name}` again?");
    if !agreed(context, &reached.environment, args.consent, &question).await? {
        return Ok(Exit::Failed);
    }
    context.out.step(&format!("offering {what}"));
    let mut replay = Replay {
        context,
        streams,
        stream,
        delivery: Delivery::new(&reached),
        from,
        to,
        done: Replayed::default(),
        told: Instant::now(),
    };
    replay.run(Shards::new(shards)).await?;
    let failed = replay.done.failed;
    context.out.answer(&replay.done, Replayed::text)?;
    if failed > 0 {
        return Err(Stop::failed(format!(
            "the processor failed on {} at every attempt",
            counted(failed, "record")
        ))
        .hint("check `cargo xtask logs processor`, then run the same command again")
        .into());
    }
    Ok(Exit::Done)
}

struct Replay<'a> {
    context: &'a Context,
    streams: Streams,
    stream: String,
    delivery: Delivery,
    from: UnixMillis,
    to: UnixMillis,
    done: Replayed,
    told: Instant,
}

impl Replay<'_> {
    async fn run(&mut self, mut shards: Shards) -> anyhow::Result<()> {
        loop {
            for shard in shards.ready() {
                let start = Start::Time(self.from);
                let iterator = self.streams.iterator(&self.stream, &shard, start).await?;
                shards.begin(shard, iterator, self.from);
            }
            let Some(mut reader) = shards.furthest_behind() else {
                return Ok(());
            };
            self.tell(reader.at);
            if self.read(&mut reader).await? {
                shards.over.insert(reader.shard);
            } else {
                shards.at_work.push(reader);
            }
        }
    }

    /// Reads a page and submits it. Returns whether the shard is finished.
    async fn read(&mut self, reader: &mut Reader) -> anyhow::Result<bool> {
        tokio::time::sleep_until(reader.not_before).await;
        reader.not_before = Instant::now() + EACH_SHARD;
        let Some(iterator) = reader.iterator.take() else {
            return Ok(true);
        };
        let page = match self.streams.page(&iterator).await {
            Err(error) if error.code() == Some("ProvisionedThroughputExceededException") => {
                reader.iterator = Some(iterator);
                reader.not_before = Instant::now() + THROTTLED;
                return Ok(false);
            }
            page => page?,
        };
        let Some(mut page) = page else {
            let from = self.from;
            let start = reader
                .last
                .as_deref()
                .map_or(Start::Time(from), Start::After);
            let again = self.streams.iterator(&self.stream, &reader.shard, start);
            reader.iterator = again.await?;
            return Ok(false);
        };
        let is_at_its_end = page.records.is_empty() && page.behind_millis == 0;
        let before = page.records.len();
        page.records.retain(|record| record.arrived <= self.to);
        let is_past = page.records.len() < before;
        if let Some(last) = page.records.last() {
            reader.last = Some(last.sequence_number.clone());
            reader.at = reader.at.max(last.arrived);
        } else {
            let at = clock::now().plus_millis(-page.behind_millis);
            reader.at = reader.at.max(at.min(self.to));
        }
        reader.iterator = page.next;
        self.done.read += page.records.len() as u64;
        let delivered = self.delivery.offer(&reader.shard, &page.records).await?;
        self.add(&delivered);
        Ok(is_at_its_end || is_past || reader.iterator.is_none())
    }

    fn add(&mut self, delivered: &Delivered) {
        self.done.appended += delivered.appended;
        self.done.set_aside += delivered.set_aside.len() as u64;
        self.done.failed += delivered.failed.len() as u64;
    }

    /// Reports progress at intervals.
    fn tell(&mut self, at: UnixMillis) {
        if self.told.elapsed() < TELL {
            return;
        }
        self.told = Instant::now();
        self.context.out.detail(&format!(
            "{} records up to {at}; if interrupted, continue with `--from {at}`",
            self.done.read
        ));
    }
}

impl Shards {
    fn new(waiting: Vec<Shard>) -> Self {
        Self {
            known: waiting.iter().map(|shard| shard.id.clone()).collect(),
            waiting,
            over: BTreeSet::new(),
            at_work: Vec::new(),
        }
    }

    /// The waiting shards whose parents are finished. A parent that the stream no longer lists
    /// counts as finished.
    fn ready(&mut self) -> Vec<String> {
        let (known, over) = (&self.known, &self.over);
        let is_over = |parent: &String| over.contains(parent) || !known.contains(parent);
        let (ready, waiting): (Vec<Shard>, _) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|shard| shard.parents.iter().all(is_over));
        self.waiting = waiting;
        ready.into_iter().map(|shard| shard.id).collect()
    }

    fn begin(&mut self, shard: String, iterator: Option<String>, at: UnixMillis) {
        self.at_work.push(Reader {
            shard,
            iterator,
            last: None,
            at,
            not_before: Instant::now(),
        });
    }

    /// Takes out the shard that is furthest behind.
    fn furthest_behind(&mut self) -> Option<Reader> {
        let readers = self.at_work.iter().enumerate();
        let (place, _) = readers.min_by_key(|(_, reader)| reader.at)?;
        Some(self.at_work.swap_remove(place))
    }
}

impl Replayed {
    fn text(&self) -> String {
        format!(
            "read {}, appended {}, set aside {}, failed {}\n\
             events that were counted before stay counted once",
            self.read, self.appended, self.set_aside, self.failed
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(id: &str, parents: &[&str]) -> Shard {
        Shard {
            id: id.into(),
            parents: parents.iter().map(|parent| (*parent).to_owned()).collect(),
        }
    }

    #[tokio::test]
    async fn a_shard_waits_for_those_it_was_made_of() {
        let mut shards = Shards::new(vec![
            shard("merged", &["left", "right"]),
            shard("left", &["forgotten"]),
            shard("right", &["forgotten"]),
        ]);
        assert_eq!(shards.ready(), ["left", "right"]);
        shards.over.insert("left".into());
        assert_eq!(shards.ready(), [""; 0]);
        shards.over.insert("right".into());
        assert_eq!(shards.ready(), ["merged"]);
    }

    #[tokio::test]
    async fn the_shard_furthest_behind_goes_first() {
        let mut shards = Shards::new(Vec::new());
        shards.begin("late".into(), None, UnixMillis(9));
        shards.begin("early".into(), None, UnixMillis(3));
        let first = shards.furthest_behind().map(|reader| reader.shard);
        assert_eq!(first.as_deref(), Some("early"));
    }
}
