//! The aggregator: folds minutes of the journal into users' hours and everybody's totals, closes
//! days, hands over closed periods, and makes reports of them.
//!
//! Changes of the analytics table and a schedule, once a minute, invoke it; another schedule asks for
//! reports. Changes only make
//! counts fresh: closing a day folds all of it again, whether or not changes were processed.
//! Everything here may run again, in any order and concurrently.

pub mod addresses;
pub mod batch;
pub mod bucket;
mod cache;
pub mod close;
pub mod everybody;
pub mod fold;
pub mod growth;
pub mod handler;
mod lists;
pub mod looks;
pub mod metrics;
pub mod parked;
pub mod periods;
pub mod reports;
pub mod settings;
pub mod thresholds;
pub mod users;
