//! How wide a stream is, and what came into it.

use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::ShardIteratorType;
use domain::time::UnixMillis;

use crate::error::{Error, failed};
use crate::session::Session;

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

    /// Open shards of the stream; `None` where there is no such stream.
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

    /// Records that came into the stream from `since` on, read and counted one by one: for
    /// streams that are small and whose reading costs nothing.
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
