//! The rules of metering, pure: events, API keys, leaves, roll-ups, plans, and the names that the
//! functions and the stacks share.
//!
//! Nothing here reads a clock, the environment or the network, and nothing here knows AWS: what
//! is decided follows from the arguments alone. That is what lets the fault model drive the same
//! code through a million schedules.

pub mod access_log;
pub mod delivery;
pub mod event;
pub mod id;
pub mod key;
pub mod leaf;
pub mod names;
pub mod plan;
pub mod response;
pub mod rollup;
pub mod roster;
#[cfg(any(test, feature = "sample"))]
pub mod sample;
pub mod security;
pub mod seen;
pub mod state;
pub mod table;
pub mod tally;
pub mod time;
