//! CloudFormation, assets and tables of one environment, through the AWS SDK.
//!
//! This crate talks to AWS, or to a substitute at another endpoint: nothing here knows which. It
//! prints nothing and asks nothing. It reports events to a [`Progress`]; the caller decides from a
//! [`Review`] whether a change may proceed.
//!
//! # A deployment
//!
//! 1. [`Session`] connects and says whose credentials these are ([`Caller`]).
//! 2. [`Bucket`] makes the environment's bucket safe and takes the assets that it lacks.
//! 3. [`Adoption`] compares tables that an earlier stack retained with the template.
//! 4. [`Stacks`] prepares a change set ([`Prepared`]) for a [`Request`]. Its [`Review`] lists each
//!    property with its old and new value, replacements first, and what IAM would allow anew.
//! 5. [`Stacks`] executes it and follows its [`ResourceEvent`]s. A [`StackFailure`] names the first
//!    cause, in AWS's words.
//!
//! Each step can be repeated, whatever state an earlier one left.
//!
//! [`Inspector`] compares what is there with what a template declares. [`Streams`], [`Journal`],
//! [`UsageTable`], [`Logs`] and [`Metrics`] read what a deployment has written.
//!
//! # What is deployed
//!
//! ```no_run
//! use deployer::{Error, Session, Stacks};
//!
//! # async fn run() -> Result<(), Error> {
//! let session = Session::connect("ap-south-1", None).await;
//! let stacks = Stacks::new(&session);
//! match stacks.find("CompliCal-API-test").await? {
//!     Some(deployed) => println!("{}", deployed.status),
//!     None => println!("nothing is deployed"),
//! }
//! # Ok(())
//! # }
//! ```

mod adoption;
mod assets;
mod attachment;
mod audit;
mod certainty;
mod change_sets;
mod changes;
mod counts;
mod dashboards;
mod description;
mod emulator;
mod error;
mod events;
mod follow;
mod functions;
mod gateway;
mod inspect;
mod journal;
mod keys;
mod logs;
mod metrics;
mod permissions;
mod queues;
mod recover;
#[cfg(test)]
mod scripted;
mod secrets;
mod session;
mod set_aside;
mod stacks;
mod states;
mod streams;
mod tables;
mod usage;
mod waiting;

pub use adoption::{Adoption, Difference};
pub use assets::Bucket;
pub use attachment::{ApiAuthorizer, ApiRoute, ApiStage, AttachedApi};
pub use audit::AuditLog;
pub use change_sets::{Prepared, Request};
pub use changes::{Action, Change, Drift, Line, PropertyChange, Replacement, Review, Tone};
pub use counts::{CountTables, StoredCounts};
pub use dashboards::Dashboards;
pub use emulator::{without_doubts, without_refused};
pub use error::{Error, StackFailure};
pub use events::{Progress, ResourceEvent};
pub use functions::{Executions, Functions};
pub use gateway::{GatewayAccount, GatewayKey, gateway_account, gateway_keys};
pub use inspect::{Declared, FunctionFacts, Inspector, StreamFacts, TableFacts};
pub use journal::{Journal, JournalEntry, JournalMinute, hours};
pub use keys::{KeyListing, KeyTable};
pub use logs::{LeftOver, LogLine, Logs, Subscription};
pub use metrics::{AlarmState, MetricSeries, Metrics};
pub use permissions::{Permission, widened};
pub use queues::{Message, Queue, Queues};
pub use secrets::{WebhookSecrets, secret_version};
pub use session::{Caller, Session};
pub use set_aside::{ErrorTable, NextPage, SetAside, Source};
pub use stacks::{Deployed, Stacks, Template};
pub use states::StateTable;
pub use streams::{Page, Shard, Start, StreamRecord, Streams, compare_positions};
pub use tables::Tables;
pub use usage::{UsageTable, UserDay};
