//! The authorizer: decides which calls to accept, and reports each decision as one usage event.
//!
//! Between request and response lies one look-up of the key, usually answered by the cache. An
//! instance that nobody called for 25 seconds reads the list of blocked addresses as well, at the
//! same time. A hard limit takes one conditional write, or a second one after a wrong guess. At a
//! user's first call of a period, a hard quota also reads the period's usage. The event is reported
//! after the response, and so is every other exchange between this instance and the tables. A key
//! is never logged, stored or sent on: only its hash leaves the request. No event is kept from one
//! invocation to the next.

pub mod answer;
pub mod blocks;
pub mod cache;
pub mod decision;
pub mod event;
pub mod handler;
pub mod keys;
mod labels;
pub mod limits;
pub mod request;
pub mod settings;
pub mod spread;
#[cfg(test)]
mod testing;
pub mod tracking;
pub mod tries;
