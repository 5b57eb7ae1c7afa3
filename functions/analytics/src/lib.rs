//! The analytics API: usage of the metered API, for its users and for administrators.
//!
//! It reads the tables and never writes them.
//!
//! # Cost
//!
//! Every query is bounded, and its module documents the bound. In read units (a page of a query,
//! per 4 KB), as tests verify them:
//!
//! | query | of | units |
//! |---|---|---|
//! | `user-stats` | a user with eleven months behind them, on day 15, who calls every minute | 20, and 17 of the journal |
//! | `realtime` | all users: 100 users, a call a second, 30 addresses that fail | 18 |
//! | `realtime` | one of them | 14 |
//! | `timeseries` by day, 30 days | one user, all users | 12, 22 |
//! | `timeseries` by hour, 7 days | one user, all users | 10, 28 |
//! | `timeseries` by minute, 24 hours | one user, all users | 10, 33 |
//! | `timeseries` by day of Berlin, 30 days, with routes | all users | 47 |
//! | `timeseries` by hour of Kolkata, 6 days, with routes | all users | 153 |
//!
//! A request reads at most one megabyte of the journal and a page beyond it: 512 units.

pub mod anomalies;
pub mod baseline;
pub mod body;
pub mod buckets;
pub mod csv;
mod delivery;
pub mod endpoints;
pub mod error;
pub mod forecast;
pub mod fresh;
pub mod handler;
pub mod marks;
pub mod openapi;
pub mod outlook;
pub mod page;
pub mod paging;
pub mod parameters;
pub mod query;
pub mod ranking;
pub mod reader;
pub mod realtime;
pub mod settings;
#[cfg(test)]
mod testing;
pub mod timeseries;
pub mod user_stats;
pub mod users;
