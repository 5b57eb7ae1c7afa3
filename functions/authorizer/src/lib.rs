//! The authorizer: answers who may call the API, and reports each decision as one usage event.
//!
//! Between request and answer lies one look-up of the key, cached; the event is reported after the
//! answer. A key is never logged, stored or sent on: only its hash leaves the request. No event is
//! kept from one invocation to the next.

pub mod answer;
pub mod cache;
pub mod decision;
pub mod event;
pub mod handler;
pub mod keys;
pub mod request;
pub mod settings;
pub mod spread;
#[cfg(test)]
mod testing;
pub mod tracking;
