//! Support for the tests of this crate.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

pub(crate) mod gateway;
mod tables;
mod world;

pub(crate) use tables::Table;
pub(crate) use world::{SHARDS, World, tokens};

/// The result of a future that never waits: tables in memory respond at once.
pub(crate) fn ready<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..1_000 {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
    panic!("it waits for something");
}
