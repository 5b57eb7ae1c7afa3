//! The scaler: changes the shard count of a provisioned stream with its load, between `minShards` and
//! `maxShards`.
//!
//! A schedule invokes it. [`decision`] holds the rules and reads no clock. [`handler`] reads the
//! metrics, decides, and changes the stream. No count depends on the scaler: the authorizer appends
//! refused events to the journal directly, at one write each.

pub mod cloudwatch;
pub mod decision;
pub mod handler;
pub mod kinesis;
pub mod settings;
