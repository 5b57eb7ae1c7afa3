//! How much lies in a queue.

use aws_sdk_sqs::types::QueueAttributeName;

use crate::error::{Error, failed};
use crate::session::Session;

/// The account's queues.
#[derive(Debug, Clone)]
pub struct Queues {
    client: aws_sdk_sqs::Client,
}

impl Queues {
    /// Queues reached through `session`.
    pub fn new(session: &Session) -> Self {
        Self {
            client: aws_sdk_sqs::Client::new(session.config()),
        }
    }

    /// Messages in the queue, in flight or not; `None` where there is no such queue.
    pub async fn depth(&self, queue: &str) -> Result<Option<u64>, Error> {
        let url = self.client.get_queue_url().queue_name(queue).send().await;
        let url = match url.map_err(failed("GetQueueUrl")) {
            Ok(found) => found.queue_url,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        };
        let counts = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        ];
        let answer = self
            .client
            .get_queue_attributes()
            .set_queue_url(url)
            .set_attribute_names(Some(counts.to_vec()))
            .send()
            .await
            .map_err(failed("GetQueueAttributes"))?;
        let attributes = answer.attributes();
        let count = |name| {
            attributes
                .and_then(|attributes| attributes.get(&name))
                .and_then(|count| count.parse::<u64>().ok())
                .unwrap_or(0)
        };
        Ok(Some(counts.into_iter().map(count).sum()))
    }
}
