//! The scaler: changes the shard count of a provisioned stream with its load, between `minShards` and
//! `maxShards`.
//!
//! A schedule invokes it. [`decision`] holds the rules and knows no clock; [`handler`] looks, decides
//! and changes. No count rests on it: what a stream does not take goes to the journal directly, at a
//! write a call.

pub mod cloudwatch;
pub mod decision;
pub mod handler;
pub mod kinesis;
pub mod settings;
