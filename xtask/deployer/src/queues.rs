//! Queues: their depth and their messages.

use std::time::Duration;

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

    /// The queue of this name; `None` if it does not exist.
    pub async fn find(&self, queue: &str) -> Result<Option<Queue>, Error> {
        let url = self.client.get_queue_url().queue_name(queue).send().await;
        let url = match url.map_err(failed("GetQueueUrl")) {
            Ok(found) => found.queue_url.ok_or(Error::Incomplete {
                operation: "GetQueueUrl",
                member: "QueueUrl",
            })?,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(Some(Queue {
            client: self.client.clone(),
            url,
        }))
    }

    /// Messages in the queue, including those in flight; `None` if the queue does not exist.
    pub async fn depth(&self, queue: &str) -> Result<Option<u64>, Error> {
        match self.find(queue).await? {
            Some(queue) => Ok(Some(queue.depth().await?)),
            None => Ok(None),
        }
    }

    /// Messages in all of these queues together; `None` if none of them exists.
    pub async fn depths(&self, queues: &[String]) -> Result<Option<u64>, Error> {
        let mut sum = None;
        for queue in queues {
            if let Some(depth) = self.depth(queue).await? {
                sum = Some(sum.unwrap_or(0) + depth);
            }
        }
        Ok(sum)
    }
}

/// A queue.
#[derive(Debug, Clone)]
pub struct Queue {
    client: aws_sdk_sqs::Client,
    url: String,
}

/// A received message: no other consumer receives it until it is released or its visibility timeout
/// ends.
#[derive(Debug, Clone)]
pub struct Message {
    /// Its id, the same however often it is received.
    pub id: String,
    /// Its content.
    pub body: String,
    receipt: String,
}

impl Queue {
    /// Messages in the queue, including those in flight.
    pub async fn depth(&self) -> Result<u64, Error> {
        let counts = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        ];
        let answer = self
            .client
            .get_queue_attributes()
            .queue_url(&self.url)
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
        Ok(counts.into_iter().map(count).sum())
    }

    /// Sends a message.
    pub async fn send(&self, body: &str) -> Result<(), Error> {
        let request = self.client.send_message().queue_url(&self.url);
        let sent = request.message_body(body).send().await;
        sent.map(|_| ()).map_err(failed("SendMessage"))
    }

    /// Receives some messages, if there are any, and hides them from others for the given time (at
    /// most 12 hours).
    pub async fn receive(&self, ours_for: Duration) -> Result<Vec<Message>, Error> {
        let seconds = i32::try_from(ours_for.as_secs()).unwrap_or(43_200);
        let received = self
            .client
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(10)
            .visibility_timeout(seconds)
            // Long polling queries every server of the queue: short polling may miss messages.
            .wait_time_seconds(1)
            .send()
            .await
            .map_err(failed("ReceiveMessage"))?;
        let messages = received.messages.unwrap_or_default().into_iter();
        Ok(messages
            .filter_map(|message| {
                Some(Message {
                    id: message.message_id?,
                    body: message.body?,
                    receipt: message.receipt_handle?,
                })
            })
            .collect())
    }

    /// Deletes a message.
    pub async fn delete(&self, message: &Message) -> Result<(), Error> {
        self.client
            .delete_message()
            .queue_url(&self.url)
            .receipt_handle(&message.receipt)
            .send()
            .await
            .map_err(failed("DeleteMessage"))?;
        Ok(())
    }

    /// Releases a message: it may be received again at once.
    pub async fn release(&self, message: &Message) -> Result<(), Error> {
        self.client
            .change_message_visibility()
            .queue_url(&self.url)
            .receipt_handle(&message.receipt)
            .visibility_timeout(0)
            .send()
            .await
            .map_err(failed("ChangeMessageVisibility"))?;
        Ok(())
    }
}
