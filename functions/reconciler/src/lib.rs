//! The reconciler: reads the gateway's access log, the second report of every call.
//!
//! A line carries the id that the authorizer minted, and reports the response to the call. The
//! reconciler appends it to the journal beside the authorizer's own report. The fold counts the
//! call once, for any order and number of arrivals. It also counts a call that only the log
//! reports.

pub mod handler;
pub mod invocation;
pub mod line;
pub mod metrics;
mod reader;
pub mod settings;
