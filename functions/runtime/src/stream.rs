//! Puts one event at a time into the usage stream.
//!
//! This module does its own retries, bounded in time and number; the SDK's retries are off. A put
//! whose response is lost is repeated, and the stream then holds the event twice: its id makes it
//! count once.

use std::error::Error;
use std::future::Future;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::timeout::TimeoutConfig;
use aws_sdk_kinesis::error::{ProvideErrorMetadata as _, SdkError};
use aws_sdk_kinesis::operation::put_record::PutRecordError;
use aws_sdk_kinesis::primitives::Blob;
use domain::event::UsageEvent;
use tokio::time::{sleep, timeout};

use crate::random;

/// Why a put failed. After [`Self::Unavailable`] the stream may hold the event nevertheless.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// The stream does not exist.
    #[error("stream `{stream}` does not exist")]
    StreamMissing {
        /// The stream.
        stream: String,
    },
    /// The stream refuses the request, and would refuse it again.
    #[error("stream `{stream}` refuses the record")]
    Refused {
        /// The stream.
        stream: String,
        /// The cause.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The stream is throttled.
    #[error("stream `{stream}` is throttled")]
    Throttled {
        /// The stream.
        stream: String,
        /// The cause.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The stream did not respond, or not in time.
    #[error("stream `{stream}` is unavailable")]
    Unavailable {
        /// The stream.
        stream: String,
        /// The cause.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl PutError {
    /// Whether another attempt may succeed.
    pub const fn is_passing(&self) -> bool {
        matches!(self, Self::Throttled { .. } | Self::Unavailable { .. })
    }
}

/// A stream of usage events.
pub trait EventStream: Send + Sync {
    /// The stream's name.
    fn name(&self) -> &str;

    /// Puts an event under a partition key, in one attempt.
    fn put(
        &self,
        event: &UsageEvent,
        partition_key: &str,
    ) -> impl Future<Output = Result<(), PutError>> + Send;
}

/// The bounds of the attempts at a put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    /// Number of attempts, including the first.
    pub attempts: u32,
    /// Longest pause after the first failed attempt; it doubles with each further one.
    pub pause: Duration,
    /// Time for all attempts and pauses.
    pub within: Duration,
}

impl Retries {
    /// Three attempts in a second and a half.
    pub const BRIEF: Self = Self {
        attempts: 3,
        pause: Duration::from_millis(100),
        within: Duration::from_millis(1_500),
    };

    /// One attempt.
    pub const NONE: Self = Self {
        attempts: 1,
        pause: Duration::ZERO,
        within: Duration::from_millis(700),
    };

    fn longest_pause(self, attempt: u32) -> Duration {
        self.pause * 2_u32.saturating_pow(attempt.saturating_sub(1))
    }
}

/// Puts an event, and repeats an attempt that failed transiently until `retries` is used up.
pub async fn put_with_retries<S: EventStream>(
    stream: &S,
    event: &UsageEvent,
    partition_key: &str,
    retries: Retries,
) -> Result<(), PutError> {
    let attempts = attempts(stream, (event, partition_key), retries);
    let put = timeout(retries.within, attempts);
    put.await.unwrap_or_else(|elapsed| {
        Err(PutError::Unavailable {
            stream: stream.name().to_owned(),
            source: elapsed.into(),
        })
    })
}

async fn attempts<S: EventStream>(
    stream: &S,
    (event, partition_key): (&UsageEvent, &str),
    retries: Retries,
) -> Result<(), PutError> {
    let mut attempt = 1;
    let mut unanswered = None;
    loop {
        match stream.put(event, partition_key).await {
            Err(error) if error.is_passing() && attempt < retries.attempts => {
                tracing::debug!(attempt, %error, "a put is repeated");
                if matches!(error, PutError::Unavailable { .. }) {
                    unanswered = Some(error);
                }
            }
            // An earlier attempt may have succeeded: the caller must know.
            Err(error) => return Err(unanswered.unwrap_or(error)),
            put => return put,
        }
        sleep(random::up_to(retries.longest_pause(attempt))).await;
        attempt += 1;
    }
}

/// [`EventStream`] on Kinesis.
#[derive(Debug, Clone)]
pub struct KinesisStream {
    client: Client,
    name: String,
}

impl KinesisStream {
    /// The stream `name`. Attempts end sooner than those of `config`, and the SDK repeats none.
    pub fn new(config: &SdkConfig, name: impl Into<String>) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_millis(500))
            .operation_attempt_timeout(Duration::from_millis(700))
            .build();
        let config = aws_sdk_kinesis::config::Builder::from(config)
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts)
            .build();
        Self {
            client: Client::from_conf(config),
            name: name.into(),
        }
    }

    fn error(&self, error: SdkError<PutRecordError>) -> PutError {
        let stream = self.name.clone();
        match fate(&error) {
            Fate::Missing => PutError::StreamMissing { stream },
            Fate::Throttled => PutError::Throttled {
                stream,
                source: error.into(),
            },
            Fate::Unavailable => PutError::Unavailable {
                stream,
                source: error.into(),
            },
            Fate::Refused => PutError::Refused {
                stream,
                source: error.into(),
            },
        }
    }
}

impl EventStream for KinesisStream {
    fn name(&self) -> &str {
        &self.name
    }

    async fn put(&self, event: &UsageEvent, partition_key: &str) -> Result<(), PutError> {
        let request = self
            .client
            .put_record()
            .stream_name(&self.name)
            .partition_key(partition_key)
            .data(Blob::new(event.to_json()));
        request
            .send()
            .await
            .map(|_| ())
            .map_err(|error| self.error(error))
    }
}

enum Fate {
    Missing,
    Throttled,
    Unavailable,
    Refused,
}

/// Codes of <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecord.html>.
fn fate(error: &SdkError<PutRecordError>) -> Fate {
    let status = error.raw_response().map(|answer| answer.status().as_u16());
    match (error.code(), status) {
        (Some("ResourceNotFoundException"), _) => Fate::Missing,
        (
            Some(
                "ProvisionedThroughputExceededException"
                | "KMSThrottlingException"
                | "LimitExceededException"
                | "ThrottlingException",
            ),
            _,
        ) => Fate::Throttled,
        (_, None | Some(500..)) => Fate::Unavailable,
        _ => Fate::Refused,
    }
}

#[cfg(test)]
mod tests;
