//! Reads a stream: its shards and records, in the form of Lambda's events.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use super::{
    filter::Filters,
    model::{Millis, Position, Record, ShardInfo},
    spec::{SourceKind, millis},
};
use crate::{
    emulator::{Emulator, EmulatorError, Service},
    ids,
};

/// The most records that `GetRecords` returns.
const KINESIS_PAGE: usize = 10_000;
const TABLE_PAGE: usize = 1_000;

/// A record's event JSON, as it appears in the `Records` of an invocation.
pub(super) type Payload = Arc<str>;

/// A stream.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) emulator: Emulator,
    pub(super) kind: SourceKind,
    pub(super) arn: String,
    pub(super) filters: Filters,
}

/// The result of a read.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) records: Vec<Record<Payload>>,
    pub(super) next: Option<String>,
    pub(super) behind: bool,
}

impl Source {
    const fn service(&self) -> Service {
        match self.kind {
            SourceKind::Kinesis => Service::Kinesis,
            SourceKind::TableStream => Service::DynamoDbStreams,
        }
    }

    /// The stream's shards.
    pub(super) async fn shards(&self) -> Result<Vec<ShardInfo>, EmulatorError> {
        let mut found = Vec::new();
        let mut input = match self.kind {
            SourceKind::Kinesis => json!({"StreamARN": self.arn}),
            SourceKind::TableStream => json!({"StreamArn": self.arn}),
        };
        loop {
            let action = match self.kind {
                SourceKind::Kinesis => "ListShards",
                SourceKind::TableStream => "DescribeStream",
            };
            let page = self.emulator.call(self.service(), action, &input).await?;
            let shards = page
                .get("Shards")
                .or_else(|| page.pointer("/StreamDescription/Shards"));
            found.extend(
                shards
                    .and_then(Value::as_array)
                    .into_iter()
                    .flatten()
                    .filter_map(shard),
            );
            let next = match self.kind {
                SourceKind::Kinesis => page.get("NextToken"),
                SourceKind::TableStream => page.pointer("/StreamDescription/LastEvaluatedShardId"),
            };
            input = match (self.kind, next.filter(|next| next.is_string())) {
                (_, None) => return Ok(found),
                (SourceKind::Kinesis, Some(token)) => json!({"NextToken": token}),
                (SourceKind::TableStream, Some(last)) => {
                    json!({"StreamArn": self.arn, "ExclusiveStartShardId": last})
                }
            };
        }
    }

    /// An iterator at a position, or at the oldest record if the position has been trimmed.
    pub(super) async fn iterator(
        &self,
        shard: &str,
        from: &Position,
    ) -> Result<String, EmulatorError> {
        match self.iterator_at(shard, from).await {
            Err(error) if error.code() == Some("TrimmedDataAccessException") => {
                tracing::warn!(
                    source = self.arn,
                    shard,
                    "the checkpoint is older than the stream's records"
                );
                self.iterator_at(shard, &Position::TrimHorizon).await
            }
            found => found,
        }
    }

    /// Table streams do not support times: there the caller skips older records.
    async fn iterator_at(&self, shard: &str, from: &Position) -> Result<String, EmulatorError> {
        let (stream, sequence) = match self.kind {
            SourceKind::Kinesis => ("StreamARN", "StartingSequenceNumber"),
            SourceKind::TableStream => ("StreamArn", "SequenceNumber"),
        };
        let mut input = Map::new();
        input.insert(stream.to_owned(), json!(self.arn));
        input.insert("ShardId".to_owned(), json!(shard));
        let kind = match from {
            Position::TrimHorizon => "TRIM_HORIZON",
            Position::Latest => "LATEST",
            Position::AtTimestamp(_) if self.kind == SourceKind::TableStream => "TRIM_HORIZON",
            Position::AtTimestamp(at) => {
                #[expect(clippy::cast_precision_loss, reason = "times fit 53 bits")]
                let seconds = *at as f64 / 1_000.0;
                input.insert("Timestamp".to_owned(), json!(seconds));
                "AT_TIMESTAMP"
            }
            Position::After(last) => {
                input.insert(sequence.to_owned(), json!(last));
                "AFTER_SEQUENCE_NUMBER"
            }
        };
        input.insert("ShardIteratorType".to_owned(), json!(kind));
        let answer = self
            .emulator
            .call(self.service(), "GetShardIterator", &Value::Object(input))
            .await?;
        answer
            .get("ShardIterator")
            .and_then(Value::as_str)
            .map(str::to_owned)
            .ok_or_else(|| EmulatorError::Unreadable {
                call: format!("GetShardIterator {shard}"),
                missing: "ShardIterator",
            })
    }

    /// Reads on from an iterator.
    pub(super) async fn read(
        &self,
        shard: &str,
        iterator: &str,
        not_before: Option<Millis>,
    ) -> Result<Page, EmulatorError> {
        let limit = match self.kind {
            SourceKind::Kinesis => KINESIS_PAGE,
            SourceKind::TableStream => TABLE_PAGE,
        };
        let input = json!({"ShardIterator": iterator, "Limit": limit});
        let page = self
            .emulator
            .call(self.service(), "GetRecords", &input)
            .await?;
        let listed = page.get("Records").and_then(Value::as_array);
        let records: Vec<Record<Payload>> = listed
            .into_iter()
            .flatten()
            .filter_map(|record| match self.kind {
                SourceKind::Kinesis => self.kinesis_record(shard, record),
                SourceKind::TableStream => self.table_record(record),
            })
            .map(|mut record| {
                record.matches &= not_before.is_none_or(|at| record.arrived >= at);
                record
            })
            .collect();
        let millis_behind = page.get("MillisBehindLatest").and_then(Value::as_i64);
        Ok(Page {
            behind: records.len() >= limit || millis_behind.is_some_and(|behind| behind > 0),
            records,
            next: page
                .get("NextShardIterator")
                .and_then(Value::as_str)
                .map(str::to_owned),
        })
    }

    fn kinesis_record(&self, shard: &str, record: &Value) -> Option<Record<Payload>> {
        let sequence = record.get("SequenceNumber")?.as_str()?;
        let partition_key = record.get("PartitionKey")?.as_str()?;
        let arrived = record.get("ApproximateArrivalTimestamp")?.as_f64()?;
        let data = record.get("Data")?.as_str()?;
        let event = json!({
            "kinesis": {
                "kinesisSchemaVersion": "1.0",
                "partitionKey": partition_key,
                "sequenceNumber": sequence,
                "data": data,
                "approximateArrivalTimestamp": arrived,
            },
            "eventSource": "aws:kinesis",
            "eventVersion": "1.0",
            "eventID": format!("{shard}:{sequence}"),
            "eventName": "aws:kinesis:record",
            "invokeIdentityArn": format!("arn:aws:iam::{}:role/lambda-role", ids::account_of(&self.arn)),
            "awsRegion": ids::region_of(&self.arn),
            "eventSourceARN": self.arn,
        });
        let matches = self.filters.is_empty() || self.kinesis_matches(&event, data);
        Some(record_of(
            sequence,
            partition_key.to_owned(),
            millis(arrived),
            matches,
            &event,
        ))
    }

    /// Kinesis patterns match against the record's metadata and, under `data`, its decoded JSON.
    fn kinesis_matches(&self, event: &Value, data: &str) -> bool {
        let mut seen = event.get("kinesis").cloned().unwrap_or_default();
        let decoded = if self.filters.look_at_data() {
            STANDARD
                .decode(data)
                .ok()
                .and_then(|data| serde_json::from_slice(&data).ok())
        } else {
            None
        };
        if let Some(seen) = seen.as_object_mut() {
            seen.remove("data");
            seen.extend(decoded.map(|decoded| ("data".to_owned(), decoded)));
        }
        self.filters.pass(&seen)
    }

    fn table_record(&self, record: &Value) -> Option<Record<Payload>> {
        let change = record.get("dynamodb")?;
        let sequence = change.get("SequenceNumber")?.as_str()?;
        let created = change
            .get("ApproximateCreationDateTime")
            .and_then(Value::as_f64);
        let mut event = record.clone();
        event
            .as_object_mut()?
            .insert("eventSourceARN".to_owned(), json!(self.arn));
        // Changes of one item stay in order.
        let key = change.get("Keys")?.to_string();
        let matches = self.filters.pass(&event);
        Some(record_of(
            sequence,
            key,
            created.map_or(0, millis),
            matches,
            &event,
        ))
    }
}

fn record_of(
    sequence: &str,
    partition_key: String,
    arrived: Millis,
    matches: bool,
    event: &Value,
) -> Record<Payload> {
    let payload: Payload = Arc::from(event.to_string());
    Record {
        sequence: sequence.to_owned(),
        partition_key,
        arrived,
        bytes: payload.len(),
        matches,
        payload,
    }
}

fn shard(shard: &Value) -> Option<ShardInfo> {
    let text = |member: &str| shard.get(member).and_then(Value::as_str).map(str::to_owned);
    Some(ShardInfo {
        id: text("ShardId")?,
        parents: [text("ParentShardId"), text("AdjacentParentShardId")]
            .into_iter()
            .flatten()
            .collect(),
        closed: shard
            .pointer("/SequenceNumberRange/EndingSequenceNumber")
            .is_some_and(Value::is_string),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_a_stream_of_keys_is_handed_over_whole_with_its_time() {
        let pattern = json!({"eventName": ["INSERT", "MODIFY"]}).to_string();
        let source = Source {
            emulator: Emulator::new("http://127.0.0.1:9", "ap-south-1"),
            kind: SourceKind::TableStream,
            arn: "arn:of:the:stream".to_owned(),
            filters: Filters::read(Some(&json!({"Filters": [{"Pattern": pattern}]}))),
        };
        let change = |name: &str| {
            json!({"eventName": name, "eventSource": "aws:dynamodb", "dynamodb": {
                "ApproximateCreationDateTime": 1_795_363_445_i64, "StreamViewType": "KEYS_ONLY",
                "SequenceNumber": "7", "SizeBytes": 0,
                "Keys": {"PK": {"S": "JOURNAL#2026-11-22T16"}, "SK": {"S": "04#00ff"}}}})
        };
        let record = source.table_record(&change("MODIFY")).unwrap();
        assert!(record.matches);
        assert_eq!(record.arrived, 1_795_363_445_000);
        let mut expected = change("MODIFY");
        expected["eventSourceARN"] = json!("arn:of:the:stream");
        let event: Value = serde_json::from_str(&record.payload).unwrap();
        assert_eq!(event, expected);
        assert!(!source.table_record(&change("REMOVE")).unwrap().matches);
    }
}
