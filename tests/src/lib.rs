//! Code that the suites share. It asserts only what every suite expects of a command.

pub mod alarms;
pub mod bench;
pub mod browser;
pub mod call;
pub mod cloud;
pub mod faults;
pub mod issuer;
pub mod place;
pub mod policy;
pub mod proxy;
pub mod server;
pub mod strict;
pub mod synthesised;
pub mod system;
pub mod terminal;
pub mod tools;
pub mod upstream;

/// The fault model spends much of its time on small allocations.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
