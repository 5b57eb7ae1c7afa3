//! What the functions share but `domain` must not know: AWS, the clock, the environment, the tables
//! and the journal in them.
//!
//! No rule of counting is decided here; `domain` holds those.

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
