//! Runs deployed functions on this machine as they run on Lambda.
//!
//! The host runs beside the local AWS and supplies what that lacks: real execution environments
//! behind the Runtime and Extensions APIs, event source mappings with the documented semantics, and
//! a front for the REST API that writes access logs. It reads from the local AWS what to run.
//! Functions cannot tell the host from Lambda and get nothing that Lambda would not give them.

mod config;
mod discovery;
mod emulator;
mod error;
mod front;
mod function;
mod functions;
mod ids;
mod instance;
mod logs;
mod pool;
mod processes;
mod server;

pub mod mapping;

pub use config::HostConfig;
pub use emulator::EmulatorError;
pub use error::HostError;
pub use function::{FunctionSpec, Outcome};
pub use functions::Functions;
pub use pool::PoolStatus;
pub use processes::reap;
pub use server::serve;
