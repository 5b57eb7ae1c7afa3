//! The cost of the counting core, measured in this process: no network, no Lambda, no DynamoDB.
//!
//! Each benchmark returns its figures without judging them: `cargo xtask bench` holds the targets
//! and shows them beside the figures. A wrong result, as opposed to a slow one, ends the program.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark whose subject fails has no figure to give"
)]

pub mod cost;
pub mod cpu;
pub mod peer;
pub mod scale;
pub mod schedules;

mod callers;
mod delayed;
mod process;

use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

/// The runtime of a function: one thread.
fn runtime() -> Runtime {
    let mut builder = Builder::new_current_thread();
    builder.enable_time();
    builder.build().expect("a runtime without I/O starts")
}

/// The rate per second of `count` in `time`.
fn per_second(count: u64, time: Duration) -> u64 {
    let nanos = time.as_nanos().max(1);
    let rate = u128::from(count) * 1_000_000_000 / nanos;
    u64::try_from(rate).unwrap_or(u64::MAX)
}
