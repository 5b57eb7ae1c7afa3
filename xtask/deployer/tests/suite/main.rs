//! The deployer before an AWS that follows a script: it answers what the test says, and remembers what
//! it was asked.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod adoption;
mod bucket;
mod logs;
mod scripted;
mod tables;
