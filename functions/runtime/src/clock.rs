//! The one place where a function reads the time.
//!
//! Rules take the time as an argument. A handler takes a [`Clock`], so that a test can set it.

use std::time::Duration;

use domain::time::UnixMillis;
use tokio::time::Instant;

/// A source of the current time. [`now`] is one, and so is any closure that returns an instant.
pub trait Clock: Send + Sync {
    /// The current instant.
    fn now(&self) -> UnixMillis;
}

impl<F: Fn() -> UnixMillis + Send + Sync> Clock for F {
    fn now(&self) -> UnixMillis {
        self()
    }
}

/// The current instant by the machine's clock.
pub fn now() -> UnixMillis {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where functions read the clock"
    )]
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let millis = since_epoch.map_or(0, |since| since.as_millis());
    UnixMillis(i64::try_from(millis).unwrap_or(i64::MAX))
}

/// The timer's reading at `at`, as seen from `now`; the current reading if `at` has passed.
pub fn instant_of(at: UnixMillis, now: UnixMillis) -> Instant {
    let ahead = u64::try_from(at.since(now)).unwrap_or(0);
    Instant::now() + Duration::from_millis(ahead)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_instant_lies_as_far_ahead_as_its_time_and_never_behind() {
        let at = UnixMillis(1_500);
        let present = Instant::now();
        assert_eq!(
            instant_of(at, UnixMillis(1_000)),
            present + Duration::from_millis(500)
        );
        assert_eq!(instant_of(at, UnixMillis(9_000)), present);
    }

    #[test]
    fn now_is_later_than_this_test_was_written() {
        let written: UnixMillis = "2026-11-01T00:00:00Z".parse().unwrap();
        assert!(now() > written);
    }
}
