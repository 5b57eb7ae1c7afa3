//! The aggregator: folds minutes of the journal into users' hours and everybody's totals, and closes
//! days.
//!
//! It is woken by the changes of the analytics table and once a minute. Changes only make counts
//! fresh: a day is closed by folding all of it again, whoever was woken or not. Everything here may be
//! done again, in any order and by several at once.

pub mod addresses;
pub mod batch;
mod cache;
pub mod close;
pub mod everybody;
pub mod fold;
pub mod handler;
pub mod metrics;
pub mod parked;
pub mod settings;
pub mod thresholds;
pub mod users;
