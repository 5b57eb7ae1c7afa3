//! CloudFormation: values, resource types, templates. The only place that knows its JSON.
//!
//! The resource types are [generated] from AWS's published schema. A type with required properties
//! cannot be created without them; every scalar is a [`Val`], a literal or an intrinsic function;
//! an ARN's type names the resource:
//!
//! ```
//! use stacks::cfn::{Template, existing, kinesis, lambda};
//!
//! let mut template = Template::new("a stream and what reads it");
//! let stream = template.add(
//!     "UsageStream",
//!     kinesis::Stream::new().name("usage").shard_count(2),
//! );
//! template.add(
//!     "Reader",
//!     lambda::EventSourceMapping::new(existing("reader"))
//!         .event_source_arn(stream.arn())
//!         .starting_position(lambda::EventSourceMappingStartingPosition::TrimHorizon)
//!         .batch_size(100),
//! );
//! assert!(template.finish().is_ok());
//! ```
//!
//! Ranges, lengths and patterns are checked when a property is set; [`Template::finish`] reports
//! all problems, each with its place. This module decides nothing about what is deployed.

pub(crate) mod dashboard;
pub mod policy;

mod check;
mod intrinsic;
mod macros;
mod properties;
mod template;
mod value;

#[allow(
    clippy::all,
    clippy::pedantic,
    missing_docs,
    rustdoc::all,
    reason = "generated, with AWS's own words as documentation"
)]
pub mod generated;

pub use check::Problem;
pub use dashboard::dashboard_problems;
pub use generated::*;
pub use intrinsic::{account_id, join, partition, region, sub, url_suffix};
pub use properties::{Properties, ResourceType, Tags};
pub(crate) use template::{Declaration, sorted};
pub use template::{Handle, LogicalId, Output, Template};
pub use value::{
    Arn, Existing, Id, IntoList, IntoMap, Json, List, Literal, Map, Reference, Tag, Val, existing,
};

/// The items that generated modules use.
mod generate {
    pub(crate) use super::check::Check;
    pub(crate) use super::macros::{literals, property_type, references};
    pub(crate) use super::{
        Arn, Handle, Id, IntoList, IntoMap, Json, List, Map, Properties, ResourceType, Tag, Tags,
        Val,
    };
}
