//! How functions reach AWS: region, endpoint and credentials from the environment, and never long
//! to wait.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};

/// How long a call may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For a connection to stand.
    pub connect: Duration,
    /// For one attempt, the connection included.
    pub attempt: Duration,
    /// Attempts that the SDK makes in all, with jittered pauses between them.
    pub attempts: u32,
}

impl Patience {
    /// For work that nobody waits for.
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

    /// The SDK's form of the time limits.
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

/// What every client is made of.
pub async fn config(patience: Patience) -> SdkConfig {
    aws_config::defaults(BehaviorVersion::latest())
        .timeout_config(patience.timeouts())
        .retry_config(patience.retries())
        .load()
        .await
}
