//! `errors list`: the records set aside, and how many dead letters there are.

use std::collections::BTreeMap;

use deployer::{ErrorTable, Queues, SetAside};
use serde::Serialize;

use crate::aws::{nothing_deployed, reach};
use crate::context::Context;
use crate::stop::Exit;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    errors: Vec<Listing>,
    /// `None` where there is no queue.
    dead_letters: Option<u64>,
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
    let mut errors: BTreeMap<_, Listing> = BTreeMap::new();
    for table in ErrorTable::all(&reached.session, &names) {
        // A line that was refused in both modes stands in both tables: the later word counts.
        for record in table.describe().await? {
            let position = (record.shard_id.clone(), record.sequence_number.clone());
            let known = errors.get(&position);
            if known.is_none_or(|known| known.received_at < record.received_at) {
                errors.insert(position, Listing::from(record));
            }
        }
    }
    let queues = Queues::new(&reached.session);
    let listed = Listed {
        errors: errors.into_values().collect(),
        dead_letters: queues.depths(&names.dead_letter_queues()).await?,
    };
    context.out.answer(&listed, Listed::text)?;
    Ok(Exit::Done)
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
        let letters = self
            .dead_letters
            .map_or_else(|| "no queue of them".to_owned(), |depth| depth.to_string());
        lines.push(format!(
            "records set aside: {}; dead letters: {letters}",
            self.errors.len()
        ));
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
    }
}
