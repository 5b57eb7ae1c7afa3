//! The environment file: what a user decides, read into types that hold only what can be deployed.
//!
//! Every check happens while reading, so that an error knows the line and column of the value.
//! This module knows nothing of CloudFormation and reads no environment variable: whoever calls
//! overrides with [`Environment::with_analytics`].

mod cors;
mod error;
mod openapi;
mod plans;
mod settings;
mod text;
mod upstream;

use std::collections::BTreeMap;
use std::path::Path;

use domain::names::{Names, TrackingMode};
use domain::route::{OTHER, Route};
use schemars::JsonSchema;
use serde::Deserialize;

pub use cors::{Cors, Origins};
pub use error::{EnvironmentError, Place};
pub use plans::{LimitMode, Plan};
pub use settings::{
    Aggregator, Alarms, Analytics, Architecture, Attached, Auth, Jwks, LogDays, Logs, Processor,
    Reconciler, Retention, Stream, StreamCapacity, Webhook,
};
pub use text::{
    Account, Address, ApiId, Bounded, CorsMethod, Email, FieldName, HeaderName, PageOrigin, Region,
    ResourcePrefix, SecretKey, SecretName, StackPrefix, TagKey, TagValue, TimeZone,
    UpstreamAddress, Weighed,
};
pub use upstream::{Identity, Secret, Upstream};

/// The account that an embedded AWS has.
pub const LOCAL_ACCOUNT: &str = "000000000000";
/// The path of the sample, which is metered where the file names no upstream.
pub const SAMPLE: &str = "/v1/deadlines";
/// The environment that runs on the embedded AWS.
pub const LOCAL: &str = "local";

/// One environment: the contents of `stacks/environments/{name}.yaml`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Environment {
    /// The file's name without `.yaml`: part of every resource's name.
    #[serde(skip)]
    pub name: String,
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
    pub upstream: Option<Upstream>,
    /// What a call to a route weighs, where not one unit: `GET /search: 10`. `other` is what a call
    /// weighs that no route fits.
    #[serde(default)]
    pub units: BTreeMap<Weighed, Bounded<0, 1_000_000>>,
    /// Which pages may call the API from a browser. Where absent, preflights go to the upstream,
    /// unmetered.
    pub cors: Option<Cors>,
    /// APIs that exist already and are metered: their gateways may ask the authorizer.
    #[serde(default)]
    pub attached: Vec<Attached>,
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
        if let Some(upstream) = &mut environment.upstream {
            upstream
                .read_openapi(path)
                .map_err(|message| EnvironmentError::placed(path, text, message))?;
        }
        environment
            .check_units()
            .map_err(|message| EnvironmentError::placed(path, text, message))?;
        environment.check_auth(path, text)?;
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

    /// The routes under which calls are counted. Empty where the gateway's resources are the routes.
    pub fn routes(&self) -> Vec<Route> {
        match &self.upstream {
            Some(upstream) => upstream.routes.clone(),
            None => Route::new("GET", SAMPLE).into_iter().collect(),
        }
    }

    /// What a call to `route` weighs; to no route for `other`.
    pub fn units_of(&self, route: Option<&Route>) -> u32 {
        let name = route.map_or_else(|| OTHER.to_owned(), ToString::to_string);
        let given = self.units.iter();
        let mut given = given.filter(|(weighed, _)| weighed.as_str() == name);
        given.next().map_or(1, |(_, units)| units.get())
    }

    /// Units of a route that is none would weigh nothing.
    fn check_units(&self) -> Result<(), String> {
        let routes: Vec<String> = self.routes().iter().map(ToString::to_string).collect();
        let mut weighed = self.units.keys().map(Weighed::as_str);
        let unknown = weighed.find(|name| *name != OTHER && !routes.iter().any(|of| of == name));
        unknown.map_or(Ok(()), |name| {
            Err(format!(
                "units: `{name}` is not a route of this API: its routes are those of `upstream`, \
                 as they are written there"
            ))
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
