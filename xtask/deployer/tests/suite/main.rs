//! The deployer against a scripted AWS, which sends the responses of the test and records its
//! requests.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod adoption;
mod bucket;
mod logs;
mod quotas;
mod scripted;
mod tables;
