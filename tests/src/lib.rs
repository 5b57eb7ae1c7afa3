//! What the suites share. Nothing here asserts but what every suite expects of a command.

pub mod bench;
pub mod faults;
pub mod place;
pub mod proxy;
pub mod server;
pub mod synthesised;
pub mod system;
pub mod tools;
pub mod upstream;
