//! A queue that hands its messages out after a while.
//!
//! What is sent may come more than once and in any order: nothing here tells messages apart.

use std::error::Error;
use std::future::Future;

use aws_sdk_sqs::Client;

/// Bytes of one message at most: SQS takes 262,144
/// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>).
pub const MOST_MESSAGE_BYTES: usize = 200_000;

/// The queue did not take a message, or did not say so.
#[derive(Debug, thiserror::Error)]
#[error("the queue does not take a message")]
pub struct SendError {
    /// What happened.
    pub source: Box<dyn Error + Send + Sync>,
}

/// Something that keeps messages for later.
pub trait Queue: Send + Sync {
    /// Sends one message of at most [`MOST_MESSAGE_BYTES`].
    fn send(&self, body: String) -> impl Future<Output = Result<(), SendError>> + Send;
}

/// [`Queue`] on SQS.
#[derive(Debug, Clone)]
pub struct SqsQueue {
    client: Client,
    url: String,
}

impl SqsQueue {
    /// The queue at `url` as `client` reaches it.
    pub fn new(client: Client, url: impl Into<String>) -> Self {
        Self {
            client,
            url: url.into(),
        }
    }
}

impl Queue for SqsQueue {
    async fn send(&self, body: String) -> Result<(), SendError> {
        let request = self.client.send_message().queue_url(&self.url);
        let sent = request.message_body(body).send().await;
        sent.map(|_| ()).map_err(|error| SendError {
            source: error.into(),
        })
    }
}
