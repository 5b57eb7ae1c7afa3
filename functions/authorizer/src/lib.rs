//! The authorizer: answers who may call the API, and reports each decision as one usage event.
//!
//! Between request and answer lies one look-up of the key, cached; where a plan's limits are hard, also
//! one conditional write. The event is reported after the answer, and so is everything else that this
//! instance tells or asks the tables. A key is never logged, stored or sent on: only its hash leaves the request. No event is
//! kept from one invocation to the next.

pub mod answer;
pub mod blocks;
pub mod cache;
pub mod decision;
pub mod event;
pub mod handler;
pub mod keys;
pub mod limits;
pub mod request;
pub mod settings;
pub mod spread;
#[cfg(test)]
mod testing;
pub mod tracking;
pub mod tries;
