//! The host, seen from outside: real function processes, and the host itself as a process.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod authorizer;
mod aws;
#[path = "../../examples/bench/cloud.rs"]
#[allow(dead_code, reason = "the benchmarks use the rest")]
mod cloud;
mod faithful;
mod host;
mod http;
mod instances;
mod proxy;

use std::path::PathBuf;

/// An example of this crate, built beside the tests.
fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.ancestors().nth(2).unwrap().join("examples").join(name);
    assert!(path.exists(), "`{}` is not built", path.display());
    path
}

/// The target directory, which also holds the installed tools.
fn target() -> PathBuf {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target");
    PathBuf::from(root).canonicalize().unwrap()
}
