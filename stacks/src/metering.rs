//! The three stacks of an environment.
//!
//! Calls and events pass them in this order: the [`api`] reports each call to the stream of
//! [`kinesis`], whose processor appends it to the journal of [`data`], where the aggregator folds
//! it. The [`reconciler`] appends the access log's lines, the [`notifier`] sends alerts,
//! and the aggregator makes [`reports`].

mod context;
mod dashboard;
mod gate;
mod notifier;
mod pipeline;
mod reconciler;
mod reports;
mod watch;

pub(crate) mod api;
pub(crate) mod data;
pub(crate) mod kinesis;

pub(crate) use context::StackContext;
pub use pipeline::{UsagePipeline, UsagePipelineSettings};
