//! The environment file: what a user decides, read into types that hold only what can be deployed.
//!
//! Every check happens while reading, so that an error knows the line and column of the value.
//! This module knows nothing of CloudFormation and reads no environment variable: whoever calls
//! overrides with [`Environment::with_analytics`].

mod error;
mod plans;
mod region;
mod settings;
mod text;

use std::collections::BTreeMap;
use std::path::Path;

use domain::names::{Names, TrackingMode};
use schemars::JsonSchema;
use serde::Deserialize;

pub use error::{EnvironmentError, Place};
pub use plans::{LimitMode, Plan};
pub use region::Partition;
pub use settings::{
    Aggregator, Alarms, Analytics, Architecture, Auth, Jwks, LogDays, Logs, Processor, Reconciler,
    Retention, Stream, StreamCapacity, Webhook,
};
pub use text::{
    Account, Address, Bounded, Email, Region, ResourcePrefix, StackPrefix, TagKey, TagValue,
    TimeZone,
};

/// The account that an embedded AWS has.
pub const LOCAL_ACCOUNT: &str = "000000000000";
/// The environment that runs on the embedded AWS.
pub const LOCAL: &str = "local";

/// One environment: the contents of `stacks/environments/{name}.yaml`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Environment {
    /// The file's name without `.yaml`: part of every resource's name.
    #[serde(skip)]
    pub name: String,
    /// Whether the account has a role for API Gateway's logs that is not this environment's. Found
    /// out, not read: see [`Environment::leaving_gateway_account`].
    #[serde(skip)]
    pub leaves_gateway_account: bool,
    /// The AWS account, twelve digits. Where absent, that of the credentials is deployed to.
    pub account: Option<Account>,
    /// The AWS region.
    #[serde(default)]
    pub region: Region,
    /// What the names of tables, stream, queue and dashboard begin with.
    #[serde(default)]
    pub resource_prefix: ResourcePrefix,
    /// What the names of stacks, functions and metric namespaces begin with.
    #[serde(default)]
    pub stack_prefix: StackPrefix,
    /// An AWS-compatible endpoint that someone else runs; absent for AWS itself.
    pub endpoint: Option<Address>,
    /// The functions' instruction set: `arm64` where absent, for `local` this machine's.
    pub architecture: Option<Architecture>,
    /// Whether usage takes the stream, or goes to the journal directly.
    #[serde(default)]
    pub analytics: Analytics,
    /// The usage stream.
    #[serde(default)]
    pub stream: Stream,
    /// How the processor takes records from the stream.
    #[serde(default)]
    pub processor: Processor,
    /// How the aggregator folds the journal into counts.
    #[serde(default)]
    pub aggregator: Aggregator,
    /// How the reconciler appends the access log's lines.
    #[serde(default)]
    pub reconciler: Reconciler,
    /// How long data is kept.
    #[serde(default)]
    pub retention: Retention,
    /// The functions' and the gateway's logs.
    #[serde(default)]
    pub logs: Logs,
    /// Plan name to what its users may use. At least one.
    #[serde(deserialize_with = "plans::plans")]
    #[schemars(with = "BTreeMap<String, Plan>", length(min = 1))]
    pub plans: BTreeMap<String, Plan>,
    /// Who signs the bearer tokens of the analytics API.
    #[serde(default)]
    pub auth: Auth,
    /// Addresses that are told of thresholds. None can be given yet.
    #[serde(default, deserialize_with = "settings::webhooks")]
    #[schemars(length(max = 0))]
    pub webhooks: Vec<Webhook>,
    /// Who is told of alarms.
    #[serde(default)]
    pub alarms: Alarms,
    /// The API that is metered; where absent, the sample answers.
    pub upstream: Option<Address>,
    /// Tags of every resource.
    #[serde(default)]
    pub tags: BTreeMap<TagKey, TagValue>,
}

impl Environment {
    /// Reads an environment file. The environment's name is the file's.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or holds an unknown key or a value that cannot be: the error
    /// says the line, the column, what was given and what is allowed.
    pub fn load(path: &Path) -> Result<Self, EnvironmentError> {
        let text = std::fs::read_to_string(path).map_err(|source| EnvironmentError::Read {
            path: path.to_owned(),
            source,
        })?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        Self::parse(&name, path, &text)
    }

    /// Reads an environment from the text of a file.
    ///
    /// # Errors
    ///
    /// As [`Environment::load`].
    pub fn parse(name: &str, path: &Path, text: &str) -> Result<Self, EnvironmentError> {
        text::environment_name(name).map_err(|message| EnvironmentError::Name {
            path: path.to_owned(),
            message,
        })?;
        let mut environment: Self = serde_yaml::from_str(text)
            .map_err(|source| EnvironmentError::invalid(path, text, &source))?;
        name.clone_into(&mut environment.name);
        environment.check_auth(path, text)?;
        environment.check_bucket(path, text)?;
        Ok(environment)
    }

    /// The same environment with analytics on or off, where something stronger than the file says
    /// so: `ENABLE_KINESIS_ANALYTICS`, or a rollback.
    #[must_use]
    pub fn with_analytics(mut self, enabled: Option<bool>) -> Self {
        if let Some(enabled) = enabled {
            self.analytics.enabled = enabled;
        }
        self
    }

    /// The same environment, which leaves the account's role for API Gateway's logs alone, or sets
    /// one.
    #[must_use]
    pub const fn leaving_gateway_account(mut self, leaves: bool) -> Self {
        self.leaves_gateway_account = leaves;
        self
    }

    /// The file's JSON Schema, as `stacks/environments/environment.schema.json` holds it.
    pub fn schema() -> serde_json::Value {
        schemars::schema_for!(Self).to_value()
    }

    /// [`Environment::schema`] as the file's text: keys sorted, a newline at the end.
    pub fn schema_text() -> String {
        format!("{:#}\n", crate::cfn::sorted(Self::schema()))
    }

    /// The names of its resources.
    pub fn names(&self) -> Names {
        Names::new(
            self.resource_prefix.as_str(),
            self.stack_prefix.as_str(),
            &self.name,
        )
    }

    /// How the authorizer reports.
    pub const fn mode(&self) -> TrackingMode {
        if self.analytics.enabled {
            TrackingMode::Stream
        } else {
            TrackingMode::Synchronous
        }
    }

    /// The functions' instruction set.
    pub fn architecture(&self) -> Architecture {
        let usual = if self.is_local() {
            Architecture::host()
        } else {
            Architecture::Arm64
        };
        self.architecture.unwrap_or(usual)
    }

    /// Whether it runs on the embedded AWS.
    pub fn is_local(&self) -> bool {
        self.name == LOCAL
    }

    /// S3 takes names of 63 characters, and the bucket's holds the account and the region too.
    fn check_bucket(&self, path: &Path, text: &str) -> Result<(), EnvironmentError> {
        const MOST: usize = 63;
        let name = crate::assets::named(self, LOCAL_ACCOUNT, self.region.as_str());
        let Some(excess) = name.len().checked_sub(MOST).filter(|excess| *excess > 0) else {
            return Ok(());
        };
        Err(EnvironmentError::Value {
            path: path.to_owned(),
            place: Place::of_path(text, "resourcePrefix").unwrap_or(Place { line: 1, column: 1 }),
            message: format!(
                "the bucket for the functions' code would be called `{name}` (with the account's number): {} \
                 characters, S3 takes {MOST}; shorten `resourcePrefix` or the file's name by {excess}",
                name.len()
            ),
        })
    }

    /// Outside `local`, where a key pair is made for it, someone must sign the tokens.
    fn check_auth(&self, path: &Path, text: &str) -> Result<(), EnvironmentError> {
        let signed = self.auth.jwks_url.is_some() || self.auth.jwks.is_some();
        if signed || self.is_local() {
            return Ok(());
        }
        Err(EnvironmentError::Value {
            path: path.to_owned(),
            place: Place::of_path(text, "auth").unwrap_or(Place { line: 1, column: 1 }),
            message: "`auth` has neither `jwksUrl` nor `jwks`; nobody could read the analytics \
                      API: give the key set's address, or the key set"
                .to_owned(),
        })
    }
}
