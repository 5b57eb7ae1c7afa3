//! How functions reach AWS: region, endpoint and credentials from the environment, and short
//! timeouts.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};

/// How long a call may take, and how often it is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Timeout for establishing a connection.
    pub connect: Duration,
    /// Timeout for one attempt, including the connection.
    pub attempt: Duration,
    /// Total number of attempts by the SDK, with jittered pauses between them.
    pub attempts: u32,
}

impl Patience {
    /// For work that no caller waits for.
    pub const BACKGROUND: Self = Self {
        connect: Duration::from_secs(1),
        attempt: Duration::from_secs(3),
        attempts: 3,
    };

    /// For calls that a caller or the next call waits for.
    pub const CALLER: Self = Self {
        connect: Duration::from_millis(500),
        attempt: Duration::from_secs(1),
        attempts: 2,
    };

    /// The SDK's form of the timeouts.
    pub fn timeouts(self) -> TimeoutConfig {
        TimeoutConfig::builder()
            .connect_timeout(self.connect)
            .operation_attempt_timeout(self.attempt)
            .build()
    }

    /// The SDK's form of the number of attempts.
    pub fn retries(self) -> RetryConfig {
        RetryConfig::standard().with_max_attempts(self.attempts)
    }
}

/// The configuration of every client.
pub async fn config(patience: Patience) -> SdkConfig {
    aws_config::defaults(BehaviorVersion::latest())
        .timeout_config(patience.timeouts())
        .retry_config(patience.retries())
        .load()
        .await
}
