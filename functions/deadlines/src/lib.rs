//! The sample API: due dates of taxes and returns in a few countries.
//!
//! It gives the system something to meter, and knows nothing about keys and counts.

pub mod calendar;
pub mod handler;

/// The variables that the function reads: none.
pub const VARIABLES: &[&str] = &[];
