//! What the functions share and `domain` may not know: AWS, the clock, the environment, and the
//! order of reads and writes by which counts stay exact.
//!
//! No rule of counting is decided here; see `domain` for those.

pub mod aws;
pub mod clock;
pub mod counting;
pub mod dynamo;
pub mod errors;
pub mod log;
#[cfg(any(test, feature = "memory"))]
pub mod memory;
pub mod metrics;
pub mod post_response;
pub mod queue;
pub mod random;
pub mod raw;
pub mod rolling;
pub mod settings;
pub mod spill;
pub mod store;
pub mod stream;
pub mod together;
