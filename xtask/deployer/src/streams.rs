//! Streams: their shards and their records.

use std::cmp::Ordering;

use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::ShardIteratorType;
use domain::time::UnixMillis;

use crate::error::{Error, failed};
use crate::session::Session;

/// A shard, open or closed, whose records the stream still holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shard {
    /// Its id.
    pub id: String,
    /// Its parent shards: one after a split, two after a merge.
    pub parents: Vec<String>,
}

/// A record of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamRecord {
    /// Its position in its shard.
    pub sequence_number: String,
    /// The key that selected its shard.
    pub partition_key: String,
    /// When the stream accepted it.
    pub arrived: UnixMillis,
    /// Its content.
    pub data: Vec<u8>,
}

/// Where to begin reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start<'a> {
    /// The first record from this time on.
    Time(UnixMillis),
    /// The record at this position, or the next one that still exists.
    At(&'a str),
    /// The record after this position.
    After(&'a str),
}

/// The result of a read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Records in their order.
    pub records: Vec<StreamRecord>,
    /// Where to read the next page; `None` at the end of a closed shard.
    pub next: Option<String>,
    /// How far the page is behind the shard's end.
    pub behind_millis: i64,
}

/// The most records per read: few enough to be processed before the next iterator expires.
const PAGE: i32 = 1_000;

/// Compares sequence numbers, which are numbers of up to 128 digits.
pub fn compare_positions(one: &str, other: &str) -> Ordering {
    let number = |text: &str| {
        let digits = text.trim_start_matches('0').to_owned();
        (digits.len(), digits)
    };
    number(one).cmp(&number(other))
}

/// The account's streams.
#[derive(Debug, Clone)]
pub struct Streams {
    client: aws_sdk_kinesis::Client,
}

impl Streams {
    /// Streams reached through `session`.
    pub fn new(session: &Session) -> Self {
        Self {
            client: aws_sdk_kinesis::Client::new(session.config()),
        }
    }

    /// Open shards of the stream; `None` if the stream does not exist.
    pub async fn open_shards(&self, stream: &str) -> Result<Option<u32>, Error> {
        let summary = self
            .client
            .describe_stream_summary()
            .stream_name(stream)
            .send()
            .await;
        match summary.map_err(failed("DescribeStreamSummary")) {
            Ok(answer) => {
                let count = answer
                    .stream_description_summary()
                    .map(|summary| summary.open_shard_count);
                Ok(count.and_then(|count| u32::try_from(count).ok()))
            }
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The shards, including closed ones; `None` if the stream does not exist.
    pub async fn shards(&self, stream: &str) -> Result<Option<Vec<Shard>>, Error> {
        let mut found = Vec::new();
        let mut token = None;
        loop {
            let list = self.client.list_shards();
            // A request names the stream or a token, never both.
            let list = match token {
                None => list.stream_name(stream),
                Some(token) => list.next_token(token),
            };
            let page = match list.send().await.map_err(failed("ListShards")) {
                Ok(page) => page,
                Err(error) if error.is_not_found() => return Ok(None),
                Err(error) => return Err(error),
            };
            found.extend(page.shards().iter().map(|shard| {
                Shard {
                    id: shard.shard_id().to_owned(),
                    parents: [shard.parent_shard_id(), shard.adjacent_parent_shard_id()]
                        .into_iter()
                        .flatten()
                        .map(str::to_owned)
                        .collect(),
                }
            }));
            match page.next_token {
                Some(next) => token = Some(next),
                None => return Ok(Some(found)),
            }
        }
    }

    /// An iterator for [`page`](Self::page); `None` if the stream, shard or position is gone.
    pub async fn iterator(
        &self,
        stream: &str,
        shard: &str,
        start: Start<'_>,
    ) -> Result<Option<String>, Error> {
        let request = self
            .client
            .get_shard_iterator()
            .stream_name(stream)
            .shard_id(shard);
        let request = match start {
            Start::Time(at) => request
                .shard_iterator_type(ShardIteratorType::AtTimestamp)
                .timestamp(DateTime::from_millis(at.0)),
            Start::At(position) => request
                .shard_iterator_type(ShardIteratorType::AtSequenceNumber)
                .starting_sequence_number(position),
            Start::After(position) => request
                .shard_iterator_type(ShardIteratorType::AfterSequenceNumber)
                .starting_sequence_number(position),
        };
        match request.send().await.map_err(failed("GetShardIterator")) {
            Ok(found) => Ok(found.shard_iterator),
            Err(error) if error.is_not_found() => Ok(None),
            // The position belongs to another stream, for example one of the same name that was
            // recreated.
            Err(error) if error.code() == Some("InvalidArgumentException") => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads on from an iterator; `None` if the iterator has expired.
    pub async fn page(&self, iterator: &str) -> Result<Option<Page>, Error> {
        let read = self
            .client
            .get_records()
            .shard_iterator(iterator)
            .limit(PAGE)
            .send()
            .await;
        let page = match read.map_err(failed("GetRecords")) {
            Ok(page) => page,
            Err(error) if error.code() == Some("ExpiredIteratorException") => return Ok(None),
            Err(error) => return Err(error),
        };
        let behind_millis = page.millis_behind_latest().unwrap_or(0);
        let records = page.records.into_iter().map(|record| StreamRecord {
            sequence_number: record.sequence_number,
            partition_key: record.partition_key.unwrap_or_default(),
            arrived: record
                .approximate_arrival_timestamp
                .and_then(|time| time.to_millis().ok())
                .map_or(UnixMillis(0), UnixMillis),
            data: record.data.into_inner(),
        });
        Ok(Some(Page {
            records: records.collect(),
            next: page.next_shard_iterator,
            behind_millis,
        }))
    }

    /// Records that arrived in the stream from `since` on, read and counted one by one: for small
    /// streams whose reading costs nothing.
    pub async fn records_since(&self, stream: &str, since: UnixMillis) -> Result<u64, Error> {
        let mut shards = self
            .client
            .list_shards()
            .stream_name(stream)
            .send()
            .await
            .map_err(failed("ListShards"))?
            .shards
            .unwrap_or_default();
        let mut count = 0;
        while let Some(shard) = shards.pop() {
            count += self.records_of(stream, shard.shard_id(), since).await?;
        }
        Ok(count)
    }

    async fn records_of(&self, stream: &str, shard: &str, since: UnixMillis) -> Result<u64, Error> {
        let mut next = self
            .client
            .get_shard_iterator()
            .stream_name(stream)
            .shard_id(shard)
            .shard_iterator_type(ShardIteratorType::AtTimestamp)
            .timestamp(DateTime::from_millis(since.0))
            .send()
            .await
            .map_err(failed("GetShardIterator"))?
            .shard_iterator;
        let mut count = 0;
        while let Some(iterator) = next {
            let page = self
                .client
                .get_records()
                .shard_iterator(iterator)
                .send()
                .await
                .map_err(failed("GetRecords"))?;
            count += u64::try_from(page.records().len()).unwrap_or(0);
            let ended = page.records().is_empty() && page.millis_behind_latest().unwrap_or(0) == 0;
            next = page.next_shard_iterator.filter(|_| !ended);
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_compare_as_numbers() {
        assert_eq!(compare_positions("9", "10"), Ordering::Less);
        assert_eq!(compare_positions("0010", "10"), Ordering::Equal);
        let long = "49601189658422359378836298522902373528957594348623495186";
        assert_eq!(compare_positions(long, "9"), Ordering::Greater);
    }
}
