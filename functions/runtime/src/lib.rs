//! What the functions share but `domain` must not know: AWS, the clock, the environment, the tables
//! and the journal in them.
//!
//! No rule of counting is decided here; `domain` holds those.
//!
//! A function is a `main` that reads its [`mod@settings`], makes its AWS clients ([`aws`]) and serves.
//! Its library does the work, over traits that this crate implements twice: for AWS, and in memory for
//! tests (feature `memory`).
//!
//! | for | modules |
//! |---|---|
//! | starting | [`mod@settings`], [`aws`], [`log`] |
//! | tables | [`store`] is the trait, [`dynamo`] its implementation; [`journal`], [`counters`], [`quota`] and [`errors`] are what lies in them |
//! | sending on | [`stream`], [`queue`] |
//! | HTTP | [`request`], [`response`] |
//! | work after the answer | [`post_response`]: an extension that the caller never waits for |
//! | all of them | [`clock`], [`random`], [`metrics`], [`together`] |
//!
//! [`settings!`] shows how a function declares its variables.
//!
//! # A function's library knows no AWS
//!
//! The same code runs over DynamoDB in Lambda and over memory in the fault model:
//!
//! ```
//! use domain::entry::Packer;
//! use domain::event::UsageEvent;
//! use domain::time::UnixMillis;
//! use runtime::journal::Journal;
//! use runtime::store::{Store, StoreError};
//!
//! /// Appends an event; a repeat writes the same item again.
//! async fn report<S: Store>(
//!     journal: &Journal<S>,
//!     event: &UsageEvent,
//!     now: UnixMillis,
//! ) -> Result<(), StoreError> {
//!     let event = event.borrowed();
//!     let mut packer = Packer::default();
//!     packer.report(&event);
//!     journal.append(packer, now).await
//! }
//! ```

pub mod aws;
pub mod clock;
pub mod counters;
pub mod dynamo;
pub mod errors;
pub mod journal;
pub mod log;
#[cfg(any(test, feature = "memory"))]
pub mod memory;
pub mod metrics;
pub mod post_response;
pub mod queue;
pub mod quota;
pub mod random;
pub mod request;
pub mod response;
pub mod settings;
pub mod store;
pub mod stream;
pub mod together;
