//! `replay`: the stream is read again, and every record offered to the processor once more.
//!
//! All shards go forward together, the one that is furthest behind in time first, and a shard only
//! once those that it was made of are at their end. So there is one time up to which everything
//! was replayed; it is told on the way, and an interrupted run goes on from there. What was counted
//! stays as it is: a run from any time, any number of times, is safe.

use std::collections::BTreeSet;
use std::time::Duration;

use deployer::{Shard, Start, Streams};
use domain::names::StackKind;
use domain::time::UnixMillis;
use serde::Serialize;
use tokio::time::Instant;

use super::delivery::{Delivered, Delivery};
use super::keys::agreed;
use crate::aws::{nothing_deployed, reach};
use crate::cli::Replay as Args;
use crate::clock;
use crate::context::Context;
use crate::stop::{Exit, Stop};

/// A shard is read five times a second at most, by everybody together, and its mapping reads once.
const EACH_SHARD: Duration = Duration::from_millis(300);
/// Before a shard is read again that was read too often or too fast.
const THROTTLED: Duration = Duration::from_secs(1);
/// How often is said how far it is.
const TELL: Duration = Duration::from_secs(5);

#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Replayed {
    /// Records read.
    read: u64,
    /// Events counted now: nobody had counted them.
    counted: u64,
    /// Events that had been counted before.
    duplicates: u64,
    /// Records set aside, most of them once more.
    set_aside: u64,
    /// Records that failed: nothing is known of them.
    failed: u64,
}

/// A shard that is read.
#[derive(Debug)]
struct Reader {
    shard: String,
    iterator: Option<String>,
    last: Option<String>,
    /// Everything of the shard that came before was read.
    at: UnixMillis,
    not_before: Instant,
}

/// The shards of a replay: those that wait for their parents, and those at work.
#[derive(Debug)]
struct Shards {
    waiting: Vec<Shard>,
    known: BTreeSet<String>,
    over: BTreeSet<String>,
    at_work: Vec<Reader>,
}

pub(super) async fn run(context: &Context, args: &Args) -> anyhow::Result<Exit> {
    let now = clock::now();
    let (from, to) = span(args, now)?;
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
        context.out.step(&format!("would offer {what}"));
        return Ok(Exit::Done);
    }
    let question = format!("offer {what}, to the processor of `{name}` again?");
    if !agreed(context, &reached.environment, args.consent, &question)? {
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
            "the processor failed with {failed} records at every attempt"
        ))
        .hint("`cargo xtask logs processor` says why; run the same command again once it is mended")
        .into());
    }
    Ok(Exit::Done)
}

/// From when to when: what comes after the command was given is not replayed, it is counted anyway.
fn span(args: &Args, now: UnixMillis) -> Result<(UnixMillis, UnixMillis), Stop> {
    let from = args.from.before(now);
    let to = args.to.map_or(now, |to| to.before(now));
    if from < to && from < now {
        Ok((from, to.min(now)))
    } else {
        Err(Stop::usage(format!(
            "there is nothing between `--from` {from} and `--to` {to}"
        )))
    }
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

    /// Reads a page and offers it; says whether the shard is over.
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
        self.done.counted += delivered.counted;
        self.done.duplicates += delivered.duplicates;
        self.done.set_aside += delivered.set_aside.len() as u64;
        self.done.failed += delivered.failed.len() as u64;
    }

    /// Says how far it is, now and then.
    fn tell(&mut self, at: UnixMillis) {
        if self.told.elapsed() < TELL {
            return;
        }
        self.told = Instant::now();
        self.context.out.detail(&format!(
            "{} records up to {at}; once interrupted, `--from {at}` goes on from here",
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

    /// The waiting shards that need not wait any more. A parent that the stream has forgotten is
    /// waited for no more than one that was read.
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

    /// Takes out the shard that everything waits for.
    fn furthest_behind(&mut self) -> Option<Reader> {
        let readers = self.at_work.iter().enumerate();
        let (place, _) = readers.min_by_key(|(_, reader)| reader.at)?;
        Some(self.at_work.swap_remove(place))
    }
}

impl Replayed {
    fn text(&self) -> String {
        format!(
            "read {}, counted {}, counted before {}, set aside {}, failed {}",
            self.read, self.counted, self.duplicates, self.set_aside, self.failed
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Consent;
    use crate::duration::{Past, past};

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

    #[test]
    fn a_span_is_not_empty_and_ends_with_the_present() {
        let now = UnixMillis(1_796_083_200_000);
        let asked = |from: &str, to: Option<&str>| {
            let given = |text: &str| past(text).unwrap_or(Past::At(now));
            let args = Args {
                from: given(from),
                to: to.map(given),
                consent: Consent {
                    dry_run: false,
                    yes: true,
                },
            };
            span(&args, now).ok()
        };
        assert_eq!(asked("1h", None), Some((now.plus_millis(-3_600_000), now)));
        let later = asked("1h", Some("2027-01-01T00:00:00Z"));
        assert_eq!(later, Some((now.plus_millis(-3_600_000), now)));
        assert_eq!(asked("1h", Some("2h")), None);
        assert_eq!(asked("2027-01-01T00:00:00Z", None), None);
    }
}
