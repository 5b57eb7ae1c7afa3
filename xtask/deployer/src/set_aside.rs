//! Items that could not be processed: those under `PK = ERRORS` of the analytics table.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use domain::names::Names;
use domain::table::{ERRORS, ItemKey, attribute};

use crate::error::{Error, failed};
use crate::session::Session;

type Item = HashMap<String, AttributeValue>;

/// The attributes to read of an item besides its payload.
const DESCRIPTION: [&str; 6] = [
    attribute::REASON,
    attribute::MESSAGE,
    attribute::PAYLOAD_SIZE,
    attribute::SHARD_ID,
    attribute::SEQUENCE_NUMBER,
    attribute::RECEIVED_AT,
];

/// The origin of an item set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A record of the usage stream.
    Stream,
    /// A line of the access log, or a message of the reconciler's queue.
    Log,
    /// An item of a table that the aggregator cannot read or write. It is listed under the minute
    /// that must be folded again.
    Parked,
    /// An event whose reports disagree.
    Conflict,
    /// An amount whose call was not there when its day was closed.
    Unclaimed,
}

impl Source {
    fn of(shard_id: &str) -> Self {
        if shard_id.starts_with("parked#") {
            Self::Parked
        } else if shard_id == "conflict" {
            Self::Conflict
        } else if shard_id == "unclaimed" {
            Self::Unclaimed
        } else if shard_id.starts_with("shardId-") {
            // Amazon Kinesis Data Streams API reference, `Shard`.
            Self::Stream
        } else {
            Self::Log
        }
    }
}

/// A record that was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// The reason.
    pub reason: String,
    /// What is wrong with it.
    pub message: String,
    /// Its shard; for a line, its log; for a parked item, `parked#` and the minute.
    pub shard_id: String,
    /// Its position there; for a parked item, the item's key; for a conflict, the event's id;
    /// for an amount, its call and its meter.
    pub sequence_number: String,
    /// When it was set aside, RFC 3339.
    pub received_at: String,
    /// Its original size in bytes; more than `payload` holds if that was cut.
    pub payload_size: u64,
    /// Its bytes; empty if only descriptions were requested.
    pub payload: Vec<u8>,
}

impl SetAside {
    /// The origin of the item.
    pub fn source(&self) -> Source {
        Source::of(&self.shard_id)
    }

    /// Whether the payload was cut.
    pub fn is_cut(&self) -> bool {
        u64::try_from(self.payload.len()).is_ok_and(|kept| kept < self.payload_size)
    }

    fn of(item: &Item) -> Self {
        let text = |name: &str| {
            let value = item.get(name).and_then(|value| value.as_s().ok());
            value.cloned().unwrap_or_default()
        };
        let size = item
            .get(attribute::PAYLOAD_SIZE)
            .and_then(|value| value.as_n().ok())
            .and_then(|size| size.parse().ok());
        let payload = item
            .get(attribute::PAYLOAD)
            .and_then(|value| value.as_b().ok())
            .map(|bytes| bytes.as_ref().to_vec());
        Self {
            reason: text(attribute::REASON),
            message: text(attribute::MESSAGE),
            shard_id: text(attribute::SHARD_ID),
            sequence_number: text(attribute::SEQUENCE_NUMBER),
            received_at: text(attribute::RECEIVED_AT),
            payload_size: size.unwrap_or(0),
            payload: payload.unwrap_or_default(),
        }
    }
}

/// The start of the next page.
#[derive(Debug, Clone)]
pub struct NextPage(Item);

/// The records set aside in an environment.
#[derive(Debug, Clone)]
pub struct ErrorTable {
    client: aws_sdk_dynamodb::Client,
    table: String,
}

impl ErrorTable {
    /// The records in the environment's analytics table.
    pub fn new(session: &Session, names: &Names) -> Self {
        Self {
            client: aws_sdk_dynamodb::Client::new(session.config()),
            table: names.analytics_table(),
        }
    }

    /// Every record, by position, without payloads; none if the table does not exist.
    pub async fn describe(&self) -> Result<Vec<SetAside>, Error> {
        let mut found = Vec::new();
        let mut from = None;
        loop {
            let (page, next) = self.page(from, Some(DESCRIPTION)).await?;
            found.extend(page);
            match next {
                Some(next) => from = Some(next),
                None => return Ok(found),
            }
        }
    }

    /// Some complete records, by position, starting at `from` or at the first; and where to
    /// continue.
    pub async fn read(
        &self,
        from: Option<NextPage>,
    ) -> Result<(Vec<SetAside>, Option<NextPage>), Error> {
        self.page(from, None).await
    }

    async fn page(
        &self,
        from: Option<NextPage>,
        members: Option<[&str; 6]>,
    ) -> Result<(Vec<SetAside>, Option<NextPage>), Error> {
        let query = self
            .client
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .key_condition_expression("#pk = :errors")
            .expression_attribute_names("#pk", attribute::PK)
            .expression_attribute_values(":errors", AttributeValue::S(ERRORS.to_owned()))
            .set_exclusive_start_key(from.map(|NextPage(key)| key));
        let query = members.into_iter().flatten().fold(query, |query, member| {
            query.expression_attribute_names(format!("#{member}"), member)
        });
        let query = match members {
            Some(members) => {
                let members = members.map(|member| format!("#{member}"));
                query.projection_expression(members.join(", "))
            }
            None => query,
        };
        match query.send().await.map_err(failed("Query")) {
            Ok(page) => {
                let found = page.items().iter().map(SetAside::of).collect();
                Ok((found, page.last_evaluated_key.map(NextPage)))
            }
            Err(error) if error.is_not_found() => Ok((Vec::new(), None)),
            Err(error) => Err(error),
        }
    }

    /// Deletes a record's item; it is not an error if the item is gone already.
    pub async fn delete(&self, record: &SetAside) -> Result<(), Error> {
        let key = ItemKey::error(&record.shard_id, &record.sequence_number);
        self.client
            .delete_item()
            .table_name(&self.table)
            .key(attribute::PK, AttributeValue::S(key.pk))
            .key(attribute::SK, AttributeValue::S(key.sk))
            .send()
            .await
            .map_err(failed("DeleteItem"))?;
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use aws_sdk_dynamodb::primitives::Blob;

    use super::*;

    #[test]
    fn the_shard_says_where_an_item_comes_from() {
        for (shard_id, source) in [
            ("shardId-000000000001", Source::Stream),
            ("/aws/apigateway/x/access/s", Source::Log),
            (domain::delivery::QUEUE_POSITION, Source::Log),
            ("parked#2026-11-22T16:04", Source::Parked),
            ("conflict", Source::Conflict),
            ("unclaimed", Source::Unclaimed),
        ] {
            assert_eq!(Source::of(shard_id), source, "{shard_id}");
        }
    }

    #[test]
    fn a_payload_shorter_than_its_size_was_cut() {
        let item = |size: &str| {
            Item::from([
                (
                    attribute::PAYLOAD.to_owned(),
                    AttributeValue::B(Blob::new(b"abc")),
                ),
                (
                    attribute::PAYLOAD_SIZE.to_owned(),
                    AttributeValue::N(size.to_owned()),
                ),
            ])
        };
        assert!(!SetAside::of(&item("3")).is_cut());
        assert!(SetAside::of(&item("4")).is_cut());
    }
}
