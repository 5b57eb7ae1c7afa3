//! Concurrent work that waits for tables.

use std::future::Future;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

/// How many futures wait concurrently: otherwise a batch of many users would wait for one after the
/// other.
const AT_ONCE: usize = 32;

/// Runs all futures, some of them concurrently, and returns their results in the given order. The
/// first error, wherever it occurs, ends all of them.
pub async fn together<F, T, E>(work: Vec<F>) -> Result<Vec<T>, E>
where
    F: Future<Output = Result<T, E>>,
{
    // An idle system has none most of the time.
    if work.is_empty() {
        return Ok(Vec::new());
    }
    let work = stream::iter(work).buffered(AT_ONCE);
    work.try_collect().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use tokio::time::{Duration, sleep};

    #[tokio::test(start_paused = true)]
    async fn some_run_concurrently_and_all_results_are_in_order() {
        let (now, most) = (Cell::new(0), Cell::new(0));
        let work = |number: u64| {
            let (now, most) = (&now, &most);
            async move {
                now.set(now.get() + 1);
                most.set(most.get().max(now.get()));
                // The later in the list, the sooner it ends.
                sleep(Duration::from_millis(100 - number)).await;
                now.set(now.get() - 1);
                if number < 90 { Ok(number) } else { Err(number) }
            }
        };
        let done = together((0..90).map(work).collect()).await;
        assert_eq!(done, Ok((0..90).collect()));
        assert_eq!((now.get(), most.get()), (0, AT_ONCE));
        let done = together((80..100).map(work).collect()).await;
        assert_eq!(done, Err(90));
        for (few, expected) in [(0..0, Ok(vec![])), (7..8, Ok(vec![7])), (95..96, Err(95))] {
            assert_eq!(together(few.map(work).collect()).await, expected);
        }
    }
}
