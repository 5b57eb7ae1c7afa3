//! Dead letters: Lambda's messages about records that it gave up. They contain positions, not
//! records (Lambda Developer Guide, "Retain discarded batch records").
//!
//! Records of the usage stream are read again while the stream holds them. Changes of the journal
//! need no reading: the journal itself is folded again. The reconciler's messages contain the lines
//! themselves.

use std::collections::BTreeSet;
use std::time::Duration;

use deployer::{Message, Queue, Queues};
use domain::event::FUTURE_TOLERANCE_MILLIS;
use domain::time::{UnixMillis, Window};
use serde::Deserialize;

use super::redrive::Redrive;
use crate::clock;

/// How long we hold a message: longer than its records take.
const OURS: Duration = Duration::from_mins(15);

/// A message of an event source mapping.
#[derive(Debug, Deserialize)]
struct Letter {
    #[serde(rename = "KinesisBatchInfo")]
    of_stream: Option<Batch>,
}

/// The position of the records that were given up.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Batch {
    shard_id: String,
    start_sequence_number: String,
    end_sequence_number: String,
}

impl Batch {
    /// The records of the usage stream that a message refers to.
    fn of(body: &str) -> Option<Self> {
        serde_json::from_str::<Letter>(body).ok()?.of_stream
    }
}

/// Redrives every queue.
pub(super) async fn redrive(redrive: &mut Redrive<'_>) -> anyhow::Result<()> {
    let names = redrive.reached.environment.names();
    let queues = Queues::new(&redrive.reached.session);
    let found = queues.find(&names.dead_letter_queue()).await?;
    if let Some(queue) = found {
        let out = redrive.context.out;
        out.step("redriving the processor's dead letters");
        let mut kept = Vec::new();
        let ended = of_processor(redrive, &queue, &mut kept).await;
        released(&queue, &kept, ended).await?;
    }
    let found = queues.find(&names.aggregator_dead_letter_queue()).await?;
    if let Some(queue) = found {
        let mut letters = Vec::new();
        let ended = of_aggregator(redrive, &queue, &mut letters).await;
        released(&queue, &letters, ended).await?;
    }
    let found = queues.find(&names.reconcile_dead_letter_queue()).await?;
    if let Some(queue) = found {
        let mut kept = Vec::new();
        let ended = of_reconciler(redrive, &queue, &mut kept).await;
        released(&queue, &kept, ended).await?;
    }
    Ok(())
}

/// Releases the remaining messages, even after a failure: the next run must not wait for them.
async fn released(
    queue: &Queue,
    kept: &[Message],
    ended: anyhow::Result<()>,
) -> anyhow::Result<()> {
    for message in kept {
        queue.release(message).await?;
    }
    ended
}

async fn of_reconciler(
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
            let Message { id, body, .. } = &message;
            if redrive.delivery.reconcile(id, body).await? {
                done(redrive, queue, &message).await?;
            } else {
                let why = "the reconciler failed again, see `cargo xtask logs reconciler`";
                keep(redrive, kept, message, why);
            }
        }
    }
}

async fn of_processor(
    redrive: &mut Redrive<'_>,
    queue: &Queue,
    kept: &mut Vec<Message>,
) -> anyhow::Result<()> {
    let mut seen = BTreeSet::new();
    loop {
        let messages = queue.receive(OURS).await?;
        // A message that comes back after its time was handled before: everything has had its turn.
        if messages.iter().all(|message| seen.contains(&message.id)) {
            kept.extend(messages);
            return Ok(());
        }
        for message in messages {
            if !seen.insert(message.id.clone()) {
                kept.push(message);
                continue;
            }
            redrive.done.dead_letters.found += 1;
            let why_kept = match Batch::of(&message.body) {
                Some(batch) => records(redrive, &batch).await?,
                None => Some(format!(
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
}

/// Whatever changes a letter is about, their entries are in the journal. Days before yesterday are
/// folded again when they are closed; yesterday and today are folded now.
async fn of_aggregator(
    redrive: &mut Redrive<'_>,
    queue: &Queue,
    letters: &mut Vec<Message>,
) -> anyhow::Result<()> {
    loop {
        let messages = queue.receive(OURS).await?;
        if messages.is_empty() {
            break;
        }
        letters.extend(messages);
    }
    if letters.is_empty() {
        return Ok(());
    }
    redrive.done.dead_letters.found += letters.len() as u64;
    if let Err(hour) = fold_open_days(redrive).await? {
        let out = redrive.context.out;
        out.warning(&format!(
            "{} dead letters of the aggregator stay: it failed to fold the hour of {hour} again, \
             see `cargo xtask logs aggregator`",
            letters.len()
        ));
        redrive.done.dead_letters.kept += letters.len() as u64;
        redrive.done.failed += letters.len() as u64;
        return Ok(());
    }
    while let Some(message) = letters.last() {
        queue.delete(message).await?;
        redrive.done.dead_letters.deleted += 1;
        letters.pop();
    }
    Ok(())
}

/// Folds yesterday's and today's hours again; otherwise returns the hour that failed.
async fn fold_open_days(redrive: &mut Redrive<'_>) -> anyhow::Result<Result<(), UnixMillis>> {
    let now = clock::now();
    let mut hour = Window::Day.start(now).plus_days(-1);
    let out = redrive.context.out;
    out.step(&format!(
        "folding the journal again from {hour} for the aggregator's dead letters"
    ));
    // An event may be ahead of this clock, in the next hour.
    let last = now.plus_millis(FUTURE_TOLERANCE_MILLIS);
    while hour <= last {
        match redrive.delivery.fold_hour(hour).await? {
            Some(minutes) => redrive.done.minutes_folded += minutes,
            None => return Ok(Err(hour)),
        }
        hour = Window::Hour.end(hour);
    }
    Ok(Ok(()))
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

/// Reads the records again and submits them. Returns the reason if the message must stay.
async fn records(redrive: &mut Redrive<'_>, batch: &Batch) -> anyhow::Result<Option<String>> {
    let Batch {
        shard_id: shard,
        start_sequence_number: first,
        end_sequence_number: last,
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
            "the processor failed on {failed} of the records {first} to {last} of {shard}"
        )));
    }
    Ok((!is_whole).then(|| {
        format!(
            "the stream no longer has all of the records {first} to {last} of {shard}; {} were \
             offered",
            found.len()
        )
    }))
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
    fn a_message_names_records_of_the_stream() {
        let batch = Batch {
            shard_id: "shardId-000000000001".into(),
            start_sequence_number: "7".into(),
            end_sequence_number: "9".into(),
        };
        assert_eq!(Batch::of(RECORDS), Some(batch));
        let of_table = RECORDS.replace("KinesisBatchInfo", "DDBStreamBatchInfo");
        for other in ["", "{}", "[1]", r#"{"KinesisBatchInfo": {}}"#, &of_table] {
            assert_eq!(Batch::of(other), None, "{other}");
        }
    }
}
