//! The sample API: when taxes and returns fall due in a few countries.
//!
//! It is there so that there is something to meter. It knows nothing of keys and counts.

pub mod calendar;
pub mod handler;

/// The variables that the function reads: none.
pub const VARIABLES: &[&str] = &[];
