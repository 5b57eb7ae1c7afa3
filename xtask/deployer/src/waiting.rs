//! Waits for AWS.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::error::Error;

/// How often to poll, and for how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    pub(crate) poll: Duration,
    pub(crate) seconds: u64,
}

impl Patience {
    /// Polls until there is a result. `what` names what it waits for, in case none arrives in time.
    pub(crate) async fn until<T>(
        self,
        what: impl FnOnce() -> String,
        mut ask: impl AsyncFnMut() -> Result<Option<T>, Error>,
    ) -> Result<T, Error> {
        let started = Instant::now();
        loop {
            if let Some(answer) = ask().await? {
                return Ok(answer);
            }
            if started.elapsed().as_secs() >= self.seconds {
                return Err(Error::TimedOut {
                    what: what(),
                    seconds: self.seconds,
                });
            }
            sleep(self.poll).await;
        }
    }
}
