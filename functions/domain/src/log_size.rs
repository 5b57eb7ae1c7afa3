//! Sizes of the lines that the pipeline logs, in bytes, as CloudWatch Logs bills them: the message
//! and an overhead per line.
//!
//! `cargo xtask cost` prices logs with them. The suite `local` compares them with the lines of a
//! deployed system.

/// What CloudWatch Logs adds to the size of each line.
pub const OVERHEAD: u64 = 26;
/// A line of the access log, with a browser's user agent.
pub const ACCESS: u64 = 790 + OVERHEAD;
/// Lambda's own START, END and REPORT of an invocation, where the log's system level shows them.
pub const PLATFORM: u64 = 253 + 3 * OVERHEAD;
/// The metrics of one call, which the authorizer logs.
pub const CALL_METRICS: u64 = 230 + OVERHEAD;
/// The metrics of an invocation of any other function; those of a full batch are the longest.
pub const OTHER_METRICS: u64 = 700 + OVERHEAD;
