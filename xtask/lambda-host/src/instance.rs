//! One execution environment: a function process, and its Runtime and Extensions APIs.
//!
//! [`event`] defines the messages, [`lifecycle`] holds the rules of their order, [`api`] speaks
//! HTTP, and [`process`] owns the operating-system process. An instance receives its next event
//! only when its runtime and every extension registered for `INVOKE` wait for one.

mod api;
mod event;
mod lifecycle;
mod process;

pub(crate) use event::{Invocation, Origin};
pub(crate) use lifecycle::Instance;
pub(crate) use process::{Environment, Stop, start};
