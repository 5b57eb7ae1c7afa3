//! The messages between the host and an instance.

use std::sync::Arc;

use axum::body::Bytes;

/// The origin of an invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The local AWS, which writes START, END and REPORT lines to the log group by itself.
    Emulator,
    /// The host: its mappings, or a program that embeds it.
    Host,
}

/// One invocation, as the instance sees it.
#[derive(Debug)]
pub(crate) struct Invocation {
    pub(crate) request_id: String,
    pub(crate) origin: Origin,
    /// `X-Amzn-Trace-Id` of the request, if present.
    pub(crate) trace_id: Option<String>,
    pub(crate) payload: Bytes,
}

/// An event for the runtime or an extension.
#[derive(Debug)]
pub(crate) enum Event {
    Invoke {
        invocation: Arc<Invocation>,
        deadline_ms: u128,
    },
    Shutdown {
        reason: &'static str,
        deadline_ms: u128,
    },
}

/// The events for which an extension can register.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Registration {
    pub(crate) invoke: bool,
    pub(crate) shutdown: bool,
}

/// A request of the process that does not fit the state of the instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The runtime requested an event before it responded to the last one, or responded twice.
    InvalidTransition,
    /// The request id is not that of the current invocation.
    InvalidRequestId,
    /// Extensions register before the runtime's first `next`.
    RegistrationClosed,
    UnknownExtension,
    /// The instance is shutting down.
    Gone,
}
