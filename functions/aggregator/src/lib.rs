//! The aggregator: rolls changed leaves up, for each user and for all.
//!
//! It is woken by the analytics table's stream and by a tick each minute. Everything it writes can
//! be written again in any order without changing a count; what it counts is decided in `domain`.

pub mod change;
pub mod global;
pub mod handler;
pub mod settings;
