//! One execution environment: a function process, and the Runtime and Extensions APIs it sees.
//!
//! [`event`] names what goes back and forth, [`lifecycle`] holds the rules of what may follow what, [`api`] speaks HTTP, [`process`] owns
//! the operating-system process. An instance gets its next event only when its runtime and every
//! extension registered for `INVOKE` wait for one.

mod api;
mod event;
mod lifecycle;
mod process;

pub(crate) use event::{Invocation, Origin};
pub(crate) use lifecycle::Instance;
pub(crate) use process::{Environment, Stop, start};
