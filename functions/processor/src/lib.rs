//! The processor: appends the events of the usage stream to the journal, and sets other records
//! aside.
//!
//! It does not detect duplicates, and nothing depends on which records share a batch: a batch may
//! be split, repeated or delivered in another order, and each event counts once.

pub mod handler;
pub mod metrics;
pub mod settings;
