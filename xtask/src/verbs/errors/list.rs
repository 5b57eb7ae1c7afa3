//! `errors list`: items that could not be processed, and the number of dead letters in each queue.

use deployer::{ErrorTable, Queues, SetAside};
use serde::Serialize;

use crate::aws::{nothing_deployed, reach};
use crate::context::Context;
use crate::stop::Exit;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    errors: Vec<Listing>,
    /// In all queues together; `None` if there is no queue.
    dead_letters: Option<u64>,
    /// By queue.
    #[serde(skip)]
    queues: Vec<(String, u64)>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Listing {
    reason: String,
    message: String,
    shard_id: String,
    sequence_number: String,
    received_at: String,
    payload_size: u64,
}

impl From<SetAside> for Listing {
    fn from(record: SetAside) -> Self {
        Self {
            reason: record.reason,
            message: record.message,
            shard_id: record.shard_id,
            sequence_number: record.sequence_number,
            received_at: record.received_at,
            payload_size: record.payload_size,
        }
    }
}

pub(super) async fn run(context: &Context) -> anyhow::Result<Exit> {
    let reached = reach(context).await?;
    if reached.stacks().await?.is_empty() {
        return Err(nothing_deployed(&reached.environment).into());
    }
    let names = reached.environment.names();
    let table = ErrorTable::new(&reached.session, &names);
    let errors = table.describe().await?;
    let queues = Queues::new(&reached.session);
    let mut depths = Vec::new();
    for queue in names.dead_letter_queues() {
        if let Some(depth) = queues.depth(&queue).await? {
            depths.push((queue, depth));
        }
    }
    let listed = Listed {
        errors: errors.into_iter().map(Listing::from).collect(),
        dead_letters: sum(&depths),
        queues: depths,
    };
    context.out.answer(&listed, Listed::text)?;
    Ok(Exit::Done)
}

/// `None` if there are no queues.
fn sum(queues: &[(String, u64)]) -> Option<u64> {
    (!queues.is_empty()).then(|| queues.iter().map(|(_, depth)| depth).sum())
}

impl Listed {
    fn text(&self) -> String {
        let mut lines: Vec<String> = self
            .errors
            .iter()
            .map(|error| {
                format!(
                    "{:<24}  {:<13} {:>7} B  {} {}  {}",
                    error.received_at,
                    error.reason,
                    error.payload_size,
                    error.shard_id,
                    error.sequence_number,
                    error.message
                )
            })
            .collect();
        lines.push(format!("errors: {}", self.errors.len()));
        lines.push(match self.dead_letters {
            Some(letters) => format!("dead letters: {letters}"),
            None => "dead letters: there is no queue".to_owned(),
        });
        let held = self.queues.iter().filter(|(_, depth)| *depth > 0);
        lines.extend(held.map(|(queue, depth)| format!("  {depth} in `{queue}`")));
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_has_the_members_of_the_contract() {
        let record = SetAside {
            reason: "malformed".into(),
            message: "no JSON".into(),
            shard_id: "shardId-000000000000".into(),
            sequence_number: "42".into(),
            received_at: "2026-12-01T00:00:00Z".into(),
            payload_size: 7,
            payload: Vec::new(),
        };
        let listed = Listed {
            errors: vec![record.into()],
            dead_letters: Some(3),
            queues: vec![("a".into(), 3), ("b".into(), 0)],
        };
        assert_eq!(
            serde_json::to_value(&listed).unwrap(),
            serde_json::json!({
                "errors": [{
                    "reason": "malformed", "message": "no JSON",
                    "shardId": "shardId-000000000000", "sequenceNumber": "42",
                    "receivedAt": "2026-12-01T00:00:00Z", "payloadSize": 7,
                }],
                "deadLetters": 3,
            })
        );
        let text = listed.text();
        assert!(
            text.ends_with("errors: 1\ndead letters: 3\n  3 in `a`"),
            "{text}"
        );
        assert_eq!((sum(&listed.queues), sum(&[])), (Some(3), None));
    }
}
