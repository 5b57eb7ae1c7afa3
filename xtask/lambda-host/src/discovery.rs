//! The current deployment, as the local AWS reports it.
//!
//! Function configuration, code, mappings and stages come from their own services. What the
//! emulator loses when CloudFormation creates it (a stage's access log, whether a mapping is
//! enabled) comes from the deployed template.

mod code;
mod functions;
mod mappings;
mod stacks;
mod stages;

pub(crate) use functions::functions;
pub(crate) use mappings::{mappings, switch_off};
pub(crate) use stacks::{DeployedResource, resources};
pub(crate) use stages::stages;
