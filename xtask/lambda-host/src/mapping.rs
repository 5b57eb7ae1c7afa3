//! Event source mappings of Kinesis streams and table streams.
//!
//! [`model`] decides what to poll, invoke, retry, split and discard. It is pure: events in, actions
//! out, virtual time. The rest of this module is its real I/O. The emulator's own poller supports
//! neither partial batch responses nor bisecting, retry limits, parallel lanes or destinations,
//! neither for Kinesis nor (except destinations by age) for table streams: every mapping that a
//! stack declares is switched off there and polled here.

mod checkpoint;
mod destination;
mod filter;
mod manager;
pub mod model;
mod poller;
mod source;
mod spec;

pub(crate) use manager::Mappings;
pub(crate) use spec::MappingSpec;
