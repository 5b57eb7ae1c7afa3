//! The reconciler: reads the gateway's access log, the second report of every call.
//!
//! A line carries the id that the authorizer minted, and reports the response to the call. The
//! reconciler appends it to the journal beside the authorizer's own report: the fold counts the
//! call once, in whatever order and however often either arrives, and also counts a call that only
//! the log reports.

pub mod handler;
pub mod invocation;
pub mod line;
pub mod metrics;
mod reading;
pub mod settings;
