//! The host, seen from outside: real function processes, and the host itself as a process.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod aws;
mod faithful;
mod host;
mod instances;

use std::path::PathBuf;

/// An example of this crate, built beside the tests.
fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.ancestors().nth(2).unwrap().join("examples").join(name);
    assert!(path.exists(), "`{}` is not built", path.display());
    path
}
