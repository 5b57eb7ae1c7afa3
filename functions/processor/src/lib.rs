//! The processor: counts the records of the usage stream, each event once, and sets aside what is
//! no event.
//!
//! It decides nothing by which records come together: a batch may be split, repeated or delivered
//! by somebody else in another order.

pub mod handler;
pub mod settings;
