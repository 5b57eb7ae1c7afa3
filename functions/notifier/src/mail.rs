//! The alarm topic, whose subscribers get alerts by email.

use std::error::Error;
use std::future::Future;

use aws_sdk_sns::Client;

/// Longest subject that SNS accepts
/// (<https://docs.aws.amazon.com/sns/latest/api/API_Publish.html>).
const LONGEST_SUBJECT: usize = 99;

/// The topic did not accept an alert.
#[derive(Debug, thiserror::Error)]
#[error("the topic did not accept an alert")]
pub struct MailError {
    /// The cause.
    pub source: Box<dyn Error + Send + Sync>,
}

/// Notifies people.
pub trait Mail: Send + Sync {
    /// Sends a text.
    fn send(&self, subject: &str, text: &str)
    -> impl Future<Output = Result<(), MailError>> + Send;
}

/// [`Mail`] by an SNS topic.
#[derive(Debug, Clone)]
pub struct SnsTopic {
    client: Client,
    arn: String,
}

impl SnsTopic {
    /// The topic `arn`, reached by `client`.
    pub fn new(client: Client, arn: impl Into<String>) -> Self {
        Self {
            client,
            arn: arn.into(),
        }
    }
}

impl Mail for SnsTopic {
    async fn send(&self, subject: &str, text: &str) -> Result<(), MailError> {
        let end = subject.floor_char_boundary(LONGEST_SUBJECT);
        let request = self
            .client
            .publish()
            .topic_arn(&self.arn)
            .subject(subject.get(..end).unwrap_or_default())
            .message(text);
        request.send().await.map(|_| ()).map_err(|error| MailError {
            source: error.into(),
        })
    }
}
