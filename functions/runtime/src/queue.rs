//! A queue that delivers each message after a delay.
//!
//! Messages may arrive more than once and in any order: nothing here deduplicates them.

use std::error::Error;
use std::future::Future;

use aws_sdk_sqs::Client;

/// Longest message in bytes. SQS accepts at least 262,144
/// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>).
pub const MOST_MESSAGE_BYTES: usize = 200_000;
/// Longest delay of a message in seconds, from the same page.
pub const MOST_DELAY_SECONDS: u32 = 900;

/// The queue did not accept a message, or did not respond.
#[derive(Debug, thiserror::Error)]
#[error("the queue did not accept a message")]
pub struct SendError {
    /// The cause.
    pub source: Box<dyn Error + Send + Sync>,
}

/// A queue that delivers messages later.
pub trait Queue: Send + Sync {
    /// Sends a message of at most [`MOST_MESSAGE_BYTES`], to be delivered after `delay_seconds`, at
    /// most [`MOST_DELAY_SECONDS`].
    fn send(
        &self,
        body: String,
        delay_seconds: u32,
    ) -> impl Future<Output = Result<(), SendError>> + Send;
}

/// [`Queue`] on SQS.
#[derive(Debug, Clone)]
pub struct SqsQueue {
    client: Client,
    url: String,
}

impl SqsQueue {
    /// The queue at `url`, reached by `client`.
    pub fn new(client: Client, url: impl Into<String>) -> Self {
        Self {
            client,
            url: url.into(),
        }
    }
}

impl Queue for SqsQueue {
    async fn send(&self, body: String, delay_seconds: u32) -> Result<(), SendError> {
        let delay = i32::try_from(delay_seconds).unwrap_or(i32::MAX);
        let request = self.client.send_message().queue_url(&self.url);
        let request = request.message_body(body).delay_seconds(delay);
        let sent = request.send().await;
        sent.map(|_| ()).map_err(|error| SendError {
            source: error.into(),
        })
    }
}
