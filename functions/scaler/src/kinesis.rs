//! Describes and changes the stream through Kinesis.

use std::future::Future;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::error::SdkError;
use aws_sdk_kinesis::operation::update_shard_count::UpdateShardCountError;
use aws_sdk_kinesis::types::{ScalingType, StreamStatus};

/// The current state of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// It is at rest with this many open shards.
    Active(u32),
    /// It is being changed.
    Changing,
}

/// The result of a request for a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// It is under way.
    Begun,
    /// Another change is under way.
    Changing,
    /// A limit of AWS forbids it.
    Limited,
}

/// Kinesis did not respond, or its response is incomplete.
#[derive(Debug, thiserror::Error)]
#[error("`{operation}` of stream `{stream}` failed")]
pub struct StreamError {
    operation: &'static str,
    stream: String,
    source: Box<dyn std::error::Error + Send + Sync>,
}

/// A stream that can be scaled.
pub trait Scalable: Send + Sync {
    /// Its current state.
    fn find(&self) -> impl Future<Output = Result<Found, StreamError>> + Send;

    /// Requests this many shards.
    fn scale(&self, shards: u32) -> impl Future<Output = Result<Asked, StreamError>> + Send;
}

/// A Kinesis stream.
#[derive(Debug, Clone)]
pub struct KinesisStream {
    client: Client,
    name: String,
}

impl KinesisStream {
    /// The stream of this name.
    pub fn new(client: Client, name: impl Into<String>) -> Self {
        let name = name.into();
        Self { client, name }
    }

    fn failed<E: std::error::Error + Send + Sync + 'static>(
        &self,
        operation: &'static str,
        error: E,
    ) -> StreamError {
        StreamError {
            operation,
            stream: self.name.clone(),
            source: Box::new(error),
        }
    }
}

impl Scalable for KinesisStream {
    async fn find(&self) -> Result<Found, StreamError> {
        const OPERATION: &str = "DescribeStreamSummary";
        let request = self.client.describe_stream_summary();
        let answer = request.stream_name(&self.name).send().await;
        let answer = answer.map_err(|error| self.failed(OPERATION, error))?;
        let summary = answer.stream_description_summary;
        Ok(match summary {
            Some(summary) if summary.stream_status == StreamStatus::Active => {
                Found::Active(u32::try_from(summary.open_shard_count).unwrap_or(0))
            }
            _ => Found::Changing,
        })
    }

    async fn scale(&self, shards: u32) -> Result<Asked, StreamError> {
        let request = self.client.update_shard_count().stream_name(&self.name);
        let request = request
            .target_shard_count(i32::try_from(shards).unwrap_or(i32::MAX))
            .scaling_type(ScalingType::UniformScaling);
        match request.send().await {
            Ok(_) => Ok(Asked::Begun),
            Err(SdkError::ServiceError(refused)) => match refused.err() {
                UpdateShardCountError::LimitExceededException(_) => Ok(Asked::Limited),
                UpdateShardCountError::ResourceInUseException(_) => Ok(Asked::Changing),
                _ => Err(self.failed("UpdateShardCount", SdkError::ServiceError(refused))),
            },
            Err(error) => Err(self.failed("UpdateShardCount", error)),
        }
    }
}
