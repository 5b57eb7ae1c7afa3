//! The deployed resources, as Rust types.
//!
//! [`synthesise`] turns an [`Environment`] and the functions' zips into an [`Assembly`]: the three
//! stacks of the contract as CloudFormation templates, and the files to publish for them. Equal
//! inputs give equal bytes. Nothing here reads a clock, an environment variable or the network;
//! `xtask` deploys.
//!
//! - [`environment`]: the environment file; every error in it has a line and a column.
//! - [`constructs`]: resources with safe defaults and grants, and a guide to a stack of your own;
//!   `examples/worker.rs` is one.
//! - [`cfn`]: CloudFormation's types, generated, for what has no construct; and its JSON.
//! - [`attach`]: the declarations that your own API needs to be metered, in six languages;
//!   `examples/own_api.rs` is a stack with one.
//! - [`rules`]: the rules that every stack must keep, whatever it contains.
//!
//! `FAULTS.md` lists which mistakes are found by the compiler, by construction, by synthesis, and
//! by cfn-lint, which checks all templates in the tests. AWS's own `cloudformation-validate` is not
//! among them: the crate requires a newer compiler than the pinned one, would be built by everyone
//! who runs a test, and found only one of 25 seeded faults that cfn-lint had missed.
//!
//! # An environment, synthesised
//!
//! ```
//! use std::path::Path;
//!
//! use stacks::environment::Architecture;
//! use stacks::{Environment, Function, FunctionAsset, synthesise};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("environments/test.yaml");
//! let environment = Environment::load(&file)?;
//! let zips = Function::ALL.map(|function| {
//!     let zip = format!("target/{}.zip", function.folder()).into();
//!     let architecture = Architecture::Arm64;
//!     (function, FunctionAsset { sha256: "00".repeat(32), zip, architecture })
//! });
//! let assembly = synthesise(&environment, &zips.into())?;
//! let names: Vec<&str> = assembly.stacks.iter().map(|stack| stack.name.as_str()).collect();
//! assert_eq!(
//!     names,
//!     ["CompliCal-Data-test", "CompliCal-Kinesis-test", "CompliCal-API-test"]
//! );
//! # Ok(())
//! # }
//! ```
//!
//! # Deploying an assembly
//!
//! Deploy [`Assembly::stacks`] in order, and delete them in the reverse order. Before each, publish
//! its [`StackArtifact::assets`]: replace `${AWS::AccountId}` and `${AWS::Region}` in
//! [`FileAsset::bucket`] by the target account and region, or use [`assets_bucket`]. Templates name
//! no account and no region, and have no parameters. One role has a fixed name, so that a later
//! deploy finds it: deploying requires `CAPABILITY_NAMED_IAM`.
//!
//! [`synthesise_unbuilt`] produces templates for review without building a function. Each contains
//! a rule that CloudFormation never finds satisfied, so it cannot be deployed.
//!
//! The embedded AWS does not support everything. [`StackArtifact::unsupported_locally`] lists what,
//! for the user to see. The resources that it refuses ([`StackArtifact::metric_math_alarms`]) must
//! be removed from the `Resources` of the template that is sent to it: nothing refers to an alarm
//! by `Ref`, so the rest stays valid.
//!
//! # API Gateway's settings for the whole account
//!
//! API Gateway has one role for logs per account and region. The API stack sets one if the account
//! has none, under a fixed name and retained: destroying an environment takes it from no other, and
//! deploying it again adopts it. A role that the account already has is left alone: the deploying
//! program checks for it, and declares it with [`Environment::leaving_gateway_account`].

pub mod attach;
pub mod cfn;
pub mod constructs;
pub mod environment;
pub mod rules;

mod access;
mod assembly;
mod assets;
mod linters;
mod local;
mod metering;
mod synth;

pub use access::roles;
pub use assembly::{Assembly, AssemblyError, StackArtifact};
pub use assets::{FileAsset, FunctionAsset, FunctionAssets, assets_bucket};
pub use domain::names::{Function, Names, StackKind, TrackingMode};
pub use environment::{Environment, EnvironmentError};
pub use local::Unsupported;
pub use metering::kinesis::USAGE_STREAM;
pub use synth::{SynthError, synthesise, synthesise_unbuilt};
