//! The bucket of scheduled reports.

use std::error::Error;
use std::future::Future;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::Builder;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::primitives::ByteStream;

/// Timeout for one attempt: a table of many users has megabytes.
const ATTEMPT: Duration = Duration::from_secs(30);

/// The bucket did not accept a file.
#[derive(Debug, thiserror::Error)]
#[error("the bucket did not accept `{key}`")]
pub struct PutError {
    /// The file's key.
    pub key: String,
    /// The cause.
    pub source: Box<dyn Error + Send + Sync>,
}

/// Files by key.
pub trait Bucket: Send + Sync {
    /// Writes a file, or replaces it.
    fn put(
        &self,
        key: &str,
        media_type: &'static str,
        text: String,
    ) -> impl Future<Output = Result<(), PutError>> + Send;
}

/// [`Bucket`] on S3.
#[derive(Debug, Clone)]
pub struct S3Bucket {
    client: Client,
    name: String,
}

impl S3Bucket {
    /// The bucket called `name`. An endpoint other than AWS's own has no host name for each bucket.
    pub fn new(config: &aws_config::SdkConfig, name: impl Into<String>) -> Self {
        let is_elsewhere = config.endpoint_url().is_some();
        let timeouts = TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT);
        let own = Builder::from(config)
            .force_path_style(is_elsewhere)
            .timeout_config(timeouts.build());
        Self {
            client: Client::from_conf(own.build()),
            name: name.into(),
        }
    }
}

impl Bucket for S3Bucket {
    async fn put(&self, key: &str, media_type: &'static str, text: String) -> Result<(), PutError> {
        let request = self.client.put_object().bucket(&self.name).key(key);
        let request = request.content_type(media_type);
        let sent = request.body(ByteStream::from(text.into_bytes())).send();
        sent.await.map(|_| ()).map_err(|error| PutError {
            key: key.to_owned(),
            source: error.into(),
        })
    }
}
