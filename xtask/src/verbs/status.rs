//! `status`: how the stacks, the stream and the alarms are.

use deployer::{AlarmState, Metrics, Queues, Stacks, Streams};
use domain::names::{METRIC_DIMENSION, StackKind, kinesis_metric};
use domain::time::UnixMillis;
use serde::Serialize;

use super::deploy::lag;
use crate::aws::{Reached, deployed_mode, nothing_deployed, reach};
use crate::clock;
use crate::context::Context;
use crate::stop::Exit;

/// Incoming and processed records are summed over this long.
const WINDOW_MILLIS: i64 = 3_600_000;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    environment: String,
    mode: &'static str,
    stacks: Vec<StackStatus>,
    stream: Option<StreamStatus>,
    alarms: Vec<AlarmState>,
    dead_letters: Option<u64>,
    incoming: Option<u64>,
    processed: Option<u64>,
}

#[derive(Debug, Serialize)]
struct StackStatus {
    name: String,
    status: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct StreamStatus {
    shards: u32,
    iterator_age_ms: Option<u64>,
}

pub(super) async fn run(context: &Context) -> anyhow::Result<Exit> {
    let reached = reach(context).await?;
    let status = collect(&reached).await?;
    context.out.answer(&status, Status::text)?;
    Ok(Exit::Done)
}

async fn collect(reached: &Reached) -> anyhow::Result<Status> {
    let found = reached.stacks().await?;
    if found.is_empty() {
        return Err(nothing_deployed(&reached.environment).into());
    }
    let names = reached.environment.names();
    let session = &reached.session;
    let stacks = Stacks::new(session);
    let mut alarms = Vec::new();
    for (_, stack) in &found {
        alarms.extend(
            stacks
                .resources(&stack.id, "AWS::CloudWatch::Alarm")
                .await?,
        );
    }
    let shards = Streams::new(session)
        .open_shards(&names.usage_stream())
        .await?;
    let stream = match shards {
        Some(shards) => Some(StreamStatus {
            shards,
            iterator_age_ms: lag::iterator_age(reached).await?,
        }),
        None => None,
    };
    let now = clock::now();
    let window = (now.plus_millis(-WINDOW_MILLIS), now);
    Ok(Status {
        environment: reached.environment.name.clone(),
        mode: deployed_mode(&found).as_str(),
        stacks: found
            .iter()
            .map(|(_, stack)| StackStatus {
                name: stack.name.clone(),
                status: stack.status.clone(),
            })
            .collect(),
        alarms: Metrics::new(session).alarms(&alarms).await?,
        dead_letters: Queues::new(session)
            .depths(&names.dead_letter_queues())
            .await?,
        incoming: match &stream {
            Some(_) => Some(lag::incoming(reached, window).await?),
            None => None,
        },
        processed: processed(reached, &found, window).await?,
        stream,
    })
}

async fn processed(
    reached: &Reached,
    found: &[(StackKind, deployer::Deployed)],
    window: (UnixMillis, UnixMillis),
) -> anyhow::Result<Option<u64>> {
    if !found.iter().any(|(kind, _)| *kind == StackKind::Kinesis) {
        return Ok(None);
    }
    let environment = &reached.environment;
    let sum = Metrics::new(&reached.session)
        .sum(
            &environment.names().kinesis_namespace(),
            kinesis_metric::PROCESSED_RECORDS,
            (METRIC_DIMENSION, &environment.name),
            window,
        )
        .await?;
    Ok(Some(lag::whole(sum.unwrap_or(0.0))))
}

impl Status {
    fn text(&self) -> String {
        let mut lines = vec![format!("{} ({})", self.environment, self.mode)];
        lines.extend(
            self.stacks
                .iter()
                .map(|stack| format!("{:<28} {}", stack.name, stack.status)),
        );
        if let Some(stream) = &self.stream {
            let age = known(stream.iterator_age_ms);
            lines.push(format!(
                "stream: {} shards, iterator age {age} ms",
                stream.shards
            ));
        }
        lines.push(format!(
            "last hour: {} records in, {} processed; dead letters: {}",
            known(self.incoming),
            known(self.processed),
            known(self.dead_letters)
        ));
        let alarming: Vec<_> = self
            .alarms
            .iter()
            .filter(|alarm| alarm.state == "ALARM")
            .map(|alarm| alarm.name.as_str())
            .collect();
        lines.push(if alarming.is_empty() {
            format!("alarms: none of {} in ALARM", self.alarms.len())
        } else {
            format!("alarms in ALARM: {}", alarming.join(", "))
        });
        lines.join("\n")
    }
}

fn known(number: Option<u64>) -> String {
    number.map_or_else(|| "unknown".to_owned(), |number| number.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_has_the_members_of_the_contract() {
        let status = Status {
            environment: "local".into(),
            mode: "stream",
            stacks: vec![StackStatus {
                name: "S".into(),
                status: "CREATE_COMPLETE".into(),
            }],
            stream: Some(StreamStatus {
                shards: 2,
                iterator_age_ms: Some(0),
            }),
            alarms: vec![AlarmState {
                name: "a".into(),
                state: "OK".into(),
            }],
            dead_letters: Some(0),
            incoming: Some(5),
            processed: Some(5),
        };
        assert_eq!(
            serde_json::to_value(&status).unwrap(),
            serde_json::json!({
                "environment": "local", "mode": "stream",
                "stacks": [{"name": "S", "status": "CREATE_COMPLETE"}],
                "stream": {"shards": 2, "iteratorAgeMs": 0},
                "alarms": [{"name": "a", "state": "OK"}],
                "deadLetters": 0, "incoming": 5, "processed": 5,
            })
        );
    }
}
