//! Event source mappings of Kinesis streams and table streams.
//!
//! [`model`] decides what is polled, invoked, retried, split and discarded, purely: events in,
//! actions out, virtual time. The rest of this module is its real I/O. The emulator's own poller
//! serves neither partial batch responses nor bisecting, retry limits, parallel lanes or
//! destinations, for Kinesis nor (destinations by age apart) for table streams: every mapping a
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
