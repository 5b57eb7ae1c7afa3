//! The collector: takes what upstreams report of calls, and appends it to the journal.
//!
//! It appends facts and counts nothing: the fold finds the call of each amount. It never reads a
//! count, and writes nothing but entries.
//!
//! # Cost
//!
//! One write for each minute that a request's calls lie in. A call older than five minutes is
//! looked up first: that reads its minute of the journal, a read unit per 4 KB.

pub mod body;
pub mod collect;
pub mod error;
pub mod handler;
pub mod settings;
