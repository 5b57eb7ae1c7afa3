//! Dead letters: Lambda's messages about records that it gave up. They name positions, not records
//! (Lambda Developer Guide, "Retain discarded batch records").

use std::collections::BTreeSet;
use std::time::Duration;

use deployer::{Leaves, Message, Queue, Queues};
use domain::time::UnixMillis;
use serde::Deserialize;

use super::redrive::Redrive;
use crate::clock;

/// How long a message is ours: longer than its records take.
const OURS: Duration = Duration::from_mins(15);
/// A leaf lives eight days from its hour on: those that changed longer ago may be gone.
const LEAVES_LIVE_DAYS: i64 = 7;

/// A message of an event source mapping.
#[derive(Debug, Deserialize)]
struct Letter {
    #[serde(rename = "KinesisBatchInfo")]
    of_stream: Option<Batch>,
    #[serde(rename = "DDBStreamBatchInfo")]
    of_table: Option<Batch>,
}

/// Where the records were that were given up.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Batch {
    shard_id: String,
    start_sequence_number: String,
    end_sequence_number: String,
    #[serde(rename = "approximateArrivalOfFirstRecord")]
    first_arrived: Option<String>,
}

/// What a message is about.
#[derive(Debug, PartialEq, Eq)]
enum About {
    /// Records of the usage stream.
    Records(Batch),
    /// Changes of leaves.
    Leaves(Batch),
    /// Nothing that is known here.
    Unknown,
}

impl About {
    fn of(body: &str) -> Self {
        match serde_json::from_str(body) {
            Ok(Letter {
                of_stream: Some(batch),
                ..
            }) => Self::Records(batch),
            Ok(Letter {
                of_table: Some(batch),
                ..
            }) => Self::Leaves(batch),
            _ => Self::Unknown,
        }
    }
}

/// Works every message off that is there.
pub(super) async fn redrive(redrive: &mut Redrive<'_>) -> anyhow::Result<()> {
    let names = redrive.reached.environment.names();
    let queues = Queues::new(&redrive.reached.session);
    let Some(queue) = queues.find(&names.dead_letter_queue()).await? else {
        return Ok(());
    };
    redrive.context.out.step("working the dead letters off");
    let mut kept = Vec::new();
    let mut of_leaves = Vec::new();
    let ended = each(redrive, &queue, &mut kept, &mut of_leaves).await;
    // Also after a failure: nobody should wait for what is still there.
    for message in &kept {
        queue.release(message).await?;
    }
    ended
}

/// Has the reconciler take again what it gave up.
pub(super) async fn redrive_lines(redrive: &mut Redrive<'_>) -> anyhow::Result<()> {
    let names = redrive.reached.environment.names();
    let queues = Queues::new(&redrive.reached.session);
    let Some(queue) = queues.find(&names.reconcile_dead_letter_queue()).await? else {
        return Ok(());
    };
    let mut kept = Vec::new();
    let ended = each_of_lines(redrive, &queue, &mut kept).await;
    for message in &kept {
        queue.release(message).await?;
    }
    ended
}

async fn each_of_lines(
    redrive: &mut Redrive<'_>,
    queue: &Queue,
    kept: &mut Vec<Message>,
) -> anyhow::Result<()> {
    loop {
        let messages = queue.receive(OURS).await?;
        if messages.is_empty() {
            return Ok(());
        }
        for message in messages {
            redrive.done.dead_letters.found += 1;
            if redrive
                .delivery
                .reconcile(&message.id, &message.body)
                .await?
            {
                done(redrive, queue, &message).await?;
            } else {
                let why = "the reconciler failed again: `cargo xtask logs reconciler` says why";
                keep(redrive, kept, message, why);
            }
        }
    }
}

async fn each(
    redrive: &mut Redrive<'_>,
    queue: &Queue,
    kept: &mut Vec<Message>,
    of_leaves: &mut Vec<Message>,
) -> anyhow::Result<()> {
    let mut seen = BTreeSet::new();
    loop {
        let messages = queue.receive(OURS).await?;
        // What comes back after its time was seen to before: everything has had its turn.
        if messages.iter().all(|message| seen.contains(&message.id)) {
            kept.extend(messages);
            break;
        }
        for message in messages {
            if !seen.insert(message.id.clone()) {
                kept.push(message);
                continue;
            }
            redrive.done.dead_letters.found += 1;
            let why_kept = match About::of(&message.body) {
                About::Records(batch) => records(redrive, &batch).await?,
                About::Leaves(batch) if batch.is_younger_than(LEAVES_LIVE_DAYS, clock::now()) => {
                    of_leaves.push(message);
                    continue;
                }
                About::Leaves(_) => Some(
                    "the leaves it is about are gone: their roll-ups can only be made anew \
                     from raw events"
                        .to_owned(),
                ),
                About::Unknown => Some(format!(
                    "it names no records of a stream: {}",
                    message.body.chars().take(200).collect::<String>()
                )),
            };
            match why_kept {
                None => done(redrive, queue, &message).await?,
                Some(why) => keep(redrive, kept, message, &why),
            }
        }
    }
    if of_leaves.is_empty() {
        return Ok(());
    }
    let failed = hand_leaves_on(redrive).await?;
    for message in of_leaves.drain(..) {
        if failed == 0 {
            done(redrive, queue, &message).await?;
        } else {
            let why = format!("the aggregator failed with {failed} leaves");
            keep(redrive, kept, message, &why);
        }
    }
    Ok(())
}

async fn done(redrive: &mut Redrive<'_>, queue: &Queue, message: &Message) -> anyhow::Result<()> {
    queue.delete(message).await?;
    redrive.done.dead_letters.deleted += 1;
    Ok(())
}

fn keep(redrive: &mut Redrive<'_>, kept: &mut Vec<Message>, message: Message, why: &str) {
    redrive.done.dead_letters.kept += 1;
    let out = redrive.context.out;
    out.warning(&format!("a dead letter stays: {why}"));
    kept.push(message);
}

/// Reads the records again and offers them; says why the message must stay, if it must.
async fn records(redrive: &mut Redrive<'_>, batch: &Batch) -> anyhow::Result<Option<String>> {
    let Batch {
        shard_id: shard,
        start_sequence_number: first,
        end_sequence_number: last,
        ..
    } = batch;
    let found = redrive.read(shard, first, last).await?;
    let has = |position: &str| {
        let mut found = found.iter();
        found.any(|record| record.sequence_number == position)
    };
    let is_whole = has(first) && has(last);
    let delivered = redrive.delivery.offer(shard, &found).await?;
    let failed = delivered.failed.len();
    redrive.add(&delivered);
    if failed > 0 {
        return Ok(Some(format!(
            "the processor failed with {failed} of the records {first} to {last} of {shard}"
        )));
    }
    Ok((!is_whole).then(|| {
        format!(
            "the stream does not have all of the records {first} to {last} of {shard} any more; \
             {} were offered",
            found.len()
        )
    }))
}

/// The table's stream keeps its changes for a day, and an hour before that its mapping gives them up: they
/// are gone before anybody reads them again. The leaves are still there, and say all that the changes said.
async fn hand_leaves_on(redrive: &mut Redrive<'_>) -> anyhow::Result<usize> {
    let out = redrive.context.out;
    out.step("handing every leaf on to the roll-ups");
    let names = redrive.reached.environment.names();
    let leaves = Leaves::new(&redrive.reached.session, &names.analytics_table());
    let mut next = None;
    let mut failed = 0;
    loop {
        let (page, more) = leaves.read(next, clock::now()).await?;
        failed += redrive.delivery.hand_on(&page).await?;
        redrive.done.leaves += page.len() as u64;
        match more {
            Some(more) => next = Some(more),
            None => return Ok(failed),
        }
    }
}

impl Batch {
    fn is_younger_than(&self, days: i64, now: UnixMillis) -> bool {
        let arrived: Option<UnixMillis> = self
            .first_arrived
            .as_ref()
            .and_then(|text| text.parse().ok());
        arrived.is_some_and(|arrived| arrived.plus_days(days) > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDS: &str = r#"{"requestContext": {"condition": "RetryAttemptsExhausted"},
        "version": "1.0", "KinesisBatchInfo": {"shardId": "shardId-000000000001",
        "startSequenceNumber": "7", "endSequenceNumber": "9", "batchSize": 3,
        "approximateArrivalOfFirstRecord": "2026-12-01T00:00:00Z",
        "streamArn": "arn:aws:kinesis:ap-south-1:0:stream/s"}}"#;

    #[test]
    fn a_message_says_what_it_is_about() {
        let batch = || Batch {
            shard_id: "shardId-000000000001".into(),
            start_sequence_number: "7".into(),
            end_sequence_number: "9".into(),
            first_arrived: Some("2026-12-01T00:00:00Z".into()),
        };
        assert_eq!(About::of(RECORDS), About::Records(batch()));
        let of_table = RECORDS.replace("KinesisBatchInfo", "DDBStreamBatchInfo");
        assert_eq!(About::of(&of_table), About::Leaves(batch()));
        for other in ["", "{}", "[1]", r#"{"KinesisBatchInfo": {}}"#] {
            assert_eq!(About::of(other), About::Unknown, "{other}");
        }
        let arrived: UnixMillis = "2026-12-01T00:00:00Z".parse().unwrap();
        assert!(batch().is_younger_than(7, arrived.plus_days(6)));
        assert!(!batch().is_younger_than(7, arrived.plus_days(7)));
    }
}
