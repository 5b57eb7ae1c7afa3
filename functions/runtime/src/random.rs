//! Randomness from the operating system.

use std::time::Duration;

/// The operating system provides no randomness.
#[derive(Debug, thiserror::Error)]
#[error("the operating system provided no random bytes")]
pub struct NoRandomness(#[source] getrandom::Error);

/// `N` random bytes.
pub fn bytes<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(NoRandomness)?;
    Ok(bytes)
}

/// A random span of up to `most`, so that clients that failed together do not retry together.
pub fn up_to(most: Duration) -> Duration {
    let share = bytes().map_or(u32::MAX, u32::from_be_bytes);
    most.mul_f64(f64::from(share) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_differ_and_stay_within_their_bound() {
        let most = Duration::from_millis(100);
        let spans: Vec<Duration> = (0..20).map(|_| up_to(most)).collect();
        assert!(spans.iter().all(|span| *span <= most));
        assert!(spans.iter().any(|span| *span != spans[0]));
    }
}
