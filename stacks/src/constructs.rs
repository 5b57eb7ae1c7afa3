//! Resources with safe defaults, written by hand over the generated types.
//!
//! A construct declares resources that belong together (a function, its role, its log group),
//! encrypts, retains and limits by default, and offers grants that allow exactly what they name.
//! Logical ids come from the caller as literals and never change. No construct knows what this
//! project deploys: that is in `data.rs`, `kinesis.rs` and `api.rs`.
//!
//! # A stack of your own
//!
//! Begin with a [`Stack`], declare the resources that hold data, then those that work on it:
//!
//! ```
//! use std::collections::BTreeMap;
//!
//! use stacks::FileAsset;
//! use stacks::constructs::{
//!     Architecture, Encryption, Function, FunctionLog, FunctionSettings, Key, Stack, Table, TableSettings,
//! };
//!
//! let mut stack = Stack::new("Orders", "Orders, and what ships them");
//! let orders = Table::new(
//!     &mut stack,
//!     "OrdersTable",
//!     &TableSettings {
//!         name: "orders",
//!         key: Key { partition: "id", sort: None },
//!         indexes: &[],
//!         expires: None,
//!         stream: None,
//!         protected: true,
//!         encryption: Encryption::Managed,
//!     },
//! );
//! let shipper = Function::new(
//!     &mut stack,
//!     "Shipper",
//!     FunctionSettings {
//!         name: "shipper",
//!         description: "Ships orders",
//!         code: FileAsset::new("shipper.zip", "d41d8cd98f00b204", "my-assets"),
//!         architecture: Architecture::Arm64,
//!         memory: 256,
//!         timeout: 30,
//!         variables: BTreeMap::from([("ORDERS", orders.name().into())]),
//!         log: FunctionLog::kept(30),
//!         reserved: None,
//!         tracing: false,
//!     },
//! );
//! // The function's role gets this action on this table, and nothing else.
//! orders.grant(&shipper, ["dynamodb:GetItem"]);
//!
//! let template = stack.synthesise().expect("nothing is wrong with it");
//! assert!(template.contains(r#""DeletionPolicy": "Retain""#));
//! assert!(template.contains(r#""dynamodb:GetItem""#));
//! ```
//!
//! [`Stack::synthesise`] reports all problems at once, each with its place: whatever AWS would
//! refuse, and whatever breaks a [rule](crate::rules).
//!
//! ```
//! use stacks::constructs::{Encryption, Queue, QueueKind, QueueSettings, Stack};
//!
//! let mut stack = Stack::new("Orders", "");
//! let settings = QueueSettings {
//!     name: "orders.fifo",
//!     kind: QueueKind::Standard,
//!     dead_letters: None,
//!     encryption: Encryption::Managed,
//! };
//! Queue::new(&mut stack, "Orders", &settings);
//! let problems = stack.synthesise().unwrap_err();
//! assert_eq!(
//!     problems[0].to_string(),
//!     "`Orders`: `orders.fifo` holds a full stop; the kind of queue decides on `.fifo`"
//! );
//! ```
//!
//! # Watching it
//!
//! A [`Metric`] is a value, and so is arithmetic over metrics: there are no ids to mistype. Alarms
//! and dashboards accept both.
//!
//! ```
//! use stacks::constructs::{
//!     Alarm, AlarmSettings, Comparison, Dashboard, Metric, Missing, Period, Stack, Statistic,
//!     Topic, Widget,
//! };
//!
//! let mut stack = Stack::new("Orders", "");
//! let metric = |name| Metric::new("Orders", name, Statistic::Sum, Period::FIVE_MINUTES);
//! let failed = metric("Failed") * 100.0 / metric("Placed");
//! Alarm::new(
//!     &mut stack,
//!     "OrdersFail",
//!     AlarmSettings {
//!         name: "orders-fail",
//!         description: "More than one order in a hundred fails".into(),
//!         watched: failed.clone().into(),
//!         breaches: Comparison::Above(1.0),
//!         periods: 3,
//!         breaching: 3,
//!         missing: Missing::Fine,
//!         topic: &Topic::named("oncall"),
//!     },
//! );
//! Dashboard::default()
//!     .row([
//!         Widget::graph("Orders", Period::FIVE_MINUTES)
//!             .line("placed", metric("Placed"))
//!             .line("failed", metric("Failed")),
//!         Widget::graph("Failed (%)", Period::FIVE_MINUTES).line("failed", failed),
//!     ])
//!     .declare(&mut stack, "Dashboard", "orders");
//! let template = stack.synthesise().unwrap();
//! assert!(template.contains(r#""Expression": "(m1 * 100) / m2""#));
//! ```
//!
//! # Your own key
//!
//! A resource that accepts an [`Encryption`] accepts an [`EncryptionKey`]'s: every grant then also
//! grants the use of that key, on its ARN.
//!
//! # Resources without a construct
//!
//! [`Stack::template`] accepts every type of [`cfn`](crate::cfn), and [`Function::grants`] any
//! [`Statement`](crate::cfn::policy::Statement); the rules apply to them all the same. If a rule
//! must be broken, [`Template::explain`](crate::cfn::Template::explain) writes the reason into the
//! template.

mod alarm;
mod bucket;
mod dashboard;
mod encryption;
mod event_source;
mod firewall;
mod function;
mod grants;
mod http_api;
mod metered_api;
mod metric;
mod queue;
mod rest_api;
mod routes;
mod schedule;
mod secret;
mod stack;
mod stream;
mod subscription;
mod table;
mod topic;

pub use crate::cfn::lambda::{
    FunctionArchitectures as Architecture, FunctionLoggingConfigApplicationLogLevel as LogLevel,
};
pub use crate::metering::{UsagePipeline, UsagePipelineSettings};
pub use alarm::{Alarm, AlarmSettings, Comparison, Missing, Watched};
pub use bucket::{Bucket, BucketSettings};
pub use dashboard::{Dashboard, Widget};
pub use encryption::{Encryption, EncryptionKey};
pub use event_source::{EventSource, EventSourceSettings, Start};
pub use firewall::Firewall;
pub use function::{Function, FunctionLog, FunctionSettings, Invoked};
pub use grants::{Grantee, Grants};
pub use http_api::{HttpApi, HttpApiSettings, HttpAuthorizer, HttpCors, HttpIntegration};
pub(crate) use metered_api::{GATEWAY_RESPONSES, log_format};
pub use metered_api::{MeteredApi, MeteredApiSettings};
pub use metric::{Expression, Metric, Percentile, Period, Statistic};
pub use queue::{Delivery, Queue, QueueKind, QueueSettings};
pub use rest_api::{Authorizer, GatewayResponse, RestApi, RestApiSettings};
pub use routes::{Access, Integration, Passage, Preflight, Sent, Verb};
pub use schedule::{DailySchedule, ScheduleRule};
pub use secret::{Secret, SecretSettings};
pub use stack::Stack;
pub use stream::{Capacity, Stream, StreamSettings};
pub use subscription::Subscription;
pub use table::{Index, Key, Projection, StreamView, Table, TableSettings};
pub use topic::Topic;
