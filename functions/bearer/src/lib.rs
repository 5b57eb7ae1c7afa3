//! Bearer tokens: who calls one of our own APIs, and what they may do.
//!
//! The analytics API, the collector and `/v1/keys` accept the same tokens. Each of them decides what
//! a caller may see or do.

pub mod keyset;
pub mod settings;
#[cfg(any(test, feature = "signing"))]
#[allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a test fails by panicking"
)]
pub mod signing;
mod verifier;

pub use verifier::{AuthError, Caller, Verifier};
