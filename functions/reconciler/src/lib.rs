//! The reconciler: reads the gateway's access log, the second report of every call.
//!
//! A line carries the id that the authorizer minted, and ends in the same idempotent update as the
//! stream's record: a call that was counted gets its status and latency, one that the stream never
//! saw is counted now. Which of the two reports comes first, how often each comes and in which
//! company changes nothing.
//!
//! A line whose call no leaf holds waits in a queue first: the stream may just be slower, and what
//! is counted here is told as a call that only the log knew.

pub mod handler;
pub mod invocation;
pub mod line;
pub mod settings;
