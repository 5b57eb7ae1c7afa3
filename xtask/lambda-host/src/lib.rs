//! Runs deployed functions on this machine as they run on Lambda.
//!
//! The host runs beside the local AWS and supplies what that lacks: real execution environments
//! behind the Runtime and Extensions APIs, event source mappings with the documented semantics, and
//! a front for the API that writes access logs. It reads from the local AWS what to run. Functions
//! cannot tell the host from Lambda and get nothing that Lambda would not give them.
//!
//! # What it does
//!
//! - **Discovery**: it reads functions, mappings and stages from the local AWS, at the start and
//!   whenever `deploy` asks it to.
//! - **Instances**: one process per execution environment. The host unpacks the zip, offers the
//!   Runtime API and the Extensions API, and stops an idle process (`SIGSTOP`) as Lambda freezes an
//!   environment. [`reap`] kills what a host that died left behind.
//! - **Mappings** ([`mapping`]): batches, windows, partial responses, bisecting, retries, lanes and
//!   destinations, for streams and for table streams. [`mapping::model`] decides, and is pure.
//! - **Front**: REST and HTTP APIs as API Gateway serves them: authorizer, routes, integrations,
//!   gateway responses, access log. It proxies to an upstream byte for byte.
//!
//! # Starting one
//!
//! ```no_run
//! use std::path::Path;
//!
//! use lambda_host::{HostConfig, HostError, serve};
//!
//! # async fn run() -> Result<(), HostError> {
//! let config = HostConfig::read(Path::new("host.json"))?;
//! serve(config).await
//! # }
//! ```

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
