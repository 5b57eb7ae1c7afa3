//! The analytics API: what was counted, for those who may see it.
//!
//! Reads the tables and never writes them.

pub mod answer;
pub mod auth;
pub mod buckets;
pub mod csv;
pub mod error;
pub mod handler;
pub mod keyset;
pub mod openapi;
pub mod overlay;
pub mod query;
pub mod ranking;
pub mod reading;
pub mod realtime;
pub mod settings;
#[cfg(test)]
mod testing;
pub mod timeseries;
pub mod user_stats;
