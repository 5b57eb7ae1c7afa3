//! The rules of metering, pure: events, API keys, journal entries, folds, counts, plans, and the
//! names that the functions and the stacks share.
//!
//! Nothing here reads a clock, the environment or the network, and nothing here knows AWS: every
//! decision follows from the arguments alone. That lets the fault model drive the same code through
//! millions of schedules.

pub mod access_log;
pub mod address;
pub mod alert;
pub mod bill;
pub mod calendar;
pub mod counts;
pub mod delivery;
pub mod dimension;
pub mod duration;
pub mod endpoint;
pub mod entry;
pub mod event;
pub mod fold;
pub mod gateway;
pub mod id;
pub mod key;
pub mod key_calls;
pub mod limit;
pub mod log_size;
pub mod mark;
pub mod meter;
pub mod names;
pub mod notice;
mod pack;
pub mod plan;
pub mod response;
pub mod route;
#[cfg(any(test, feature = "sample"))]
pub mod sample;
pub mod seen;
pub mod sign_in;
pub mod state;
pub mod table;
pub mod tally;
pub mod time;
pub mod usage;
pub mod webhook;
mod wire;
