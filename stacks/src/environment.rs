//! The environment file: a user's decisions, read into types that hold only what can be deployed.
//!
//! Every check happens while reading, so that an error knows the line and column of the value.
//! `synth` checks what only the stacks show, such as names that get too long and variables that
//! take too much space. This module reads no environment variable: its caller overrides settings
//! with [`Environment::with_analytics`].

mod address;
mod attachment;
mod cors;
mod dimensions;
mod error;
mod jwks;
mod limits;
mod meters;
mod openapi;
mod plans;
mod refusal;
mod region;
mod reports;
mod settings;
mod sign_in;
mod text;
mod upstream;

use std::collections::BTreeMap;
use std::path::Path;

use domain::names::{Names, TrackingMode};
use domain::route::{OTHER, Route};
use schemars::JsonSchema;
use serde::Deserialize;

pub use address::{Address, KeySetAddress, UpstreamAddress};
pub use attachment::{ApiKind, Attached};
pub use cors::{Cors, Origins};
pub use dimensions::Dimension;
pub(crate) use dimensions::sources;
pub use error::{EnvironmentError, Place};
pub use jwks::{Jwks, Key};
pub use limits::{Concurrency, Encryption, Throttle, Waf};
pub use meters::Meter;
pub use plans::{LimitMode, Plan};
pub(crate) use refusal::Refusal;
pub use region::Partition;
pub use reports::Reports;
pub use settings::{
    Aggregator, Alarms, Analytics, Architecture, Auth, Dashboards, LogDays, LogLevel, Logs,
    Processor, Reconciler, Retention, Stream, StreamCapacity, Webhook, WebhookFormat, Webhooks,
};
pub use sign_in::SignIn;
pub use text::{
    Account, ApiId, Bounded, CorsMethod, Email, FieldName, HeaderName, KeyArn, PageOrigin, Region,
    ResourcePrefix, SecretKey, SecretName, StackPrefix, StageName, TagKey, TagValue, TimeZone,
    TlsPolicy, Weighed, Words,
};
pub use upstream::{Identity, ResponseTransferMode, Secret, Upstream};

/// The account of an embedded AWS.
pub const LOCAL_ACCOUNT: &str = "000000000000";
/// The path of the sample, which is metered if the file declares no upstream.
pub const SAMPLE: &str = "/v1/deadlines";
/// Environments that are production unless their file says otherwise.
const PRODUCTION: [&str; 2] = ["prod", "production"];
/// The environment that runs on the embedded AWS.
pub const LOCAL: &str = "local";

/// One environment: the contents of `stacks/environments/{name}.yaml`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Environment {
    /// The file's name without `.yaml`: part of every resource's name.
    #[serde(skip)]
    pub name: String,
    /// Whether the account has a role for API Gateway's logs that is not this environment's. This
    /// is detected, not read: see [`Environment::leaving_gateway_account`].
    #[serde(skip)]
    pub leaves_gateway_account: bool,
    /// The AWS account, twelve digits. By default the account of the credentials.
    pub account: Option<Account>,
    /// Whether a change is confirmed by typing the environment's name: by default in `prod` and
    /// `production`.
    pub production: Option<bool>,
    /// The AWS region.
    #[serde(default)]
    pub region: Region,
    /// Prefix of the names of tables, stream, queue and dashboard.
    #[serde(default)]
    pub resource_prefix: ResourcePrefix,
    /// Prefix of the names of stacks, functions and metric namespaces.
    #[serde(default)]
    pub stack_prefix: StackPrefix,
    /// The endpoint of an external AWS-compatible service; absent for AWS itself.
    pub endpoint: Option<Address>,
    /// The functions' instruction set: by default `arm64`, for `local` this machine's.
    pub architecture: Option<Architecture>,
    /// Whether usage goes through the stream, or directly to the journal.
    #[serde(default)]
    pub analytics: Analytics,
    /// The usage stream.
    #[serde(default)]
    pub stream: Stream,
    /// How the processor reads records from the stream.
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
    /// Plans by name, with the limits of their users. At least one.
    #[serde(deserialize_with = "plans::plans")]
    #[schemars(with = "BTreeMap<String, Plan>", length(min = 1))]
    pub plans: BTreeMap<String, Plan>,
    /// The issuer of the bearer tokens of the analytics API.
    #[serde(default)]
    pub auth: Auth,
    /// Endpoints to which alerts are posted.
    #[serde(default)]
    pub webhooks: Webhooks,
    /// The recipient of alarms.
    #[serde(default)]
    pub alarms: Alarms,
    /// Reports of final usage per user and plan: stored in a bucket, and announced by mail to the
    /// recipient of alarms and to webhooks. None by default.
    pub reports: Option<Reports>,
    /// Dashboards beside that of operations; none by default, because each costs money.
    #[serde(default)]
    pub dashboards: Dashboards,
    /// The API to meter; by default the sample.
    pub upstream: Option<Upstream>,
    /// The units of calls by route, if not one: `GET /search: 10`. `other` gives the units of a
    /// call that no route matches.
    #[serde(default)]
    pub units: BTreeMap<Weighed, Bounded<0, 1_000_000>>,
    /// Meters of usage that only the upstream knows, by name: `tokens: {countsToQuota: true}`. With
    /// any, `POST /v1/usage/events` accepts amounts of these from a token with the scope
    /// `metering:write`.
    #[serde(default, deserialize_with = "meters::meters")]
    #[schemars(with = "BTreeMap<String, Option<Meter>>", extend("maxProperties" = domain::meter::MOST_METERS))]
    pub meters: BTreeMap<String, Meter>,
    /// Values of calls by which usage is grouped, at most three: `{name: tenant, header: x-tenant}`.
    #[serde(default, deserialize_with = "dimensions::dimensions")]
    #[schemars(with = "Vec<Dimension>", length(max = domain::dimension::MOST_DIMENSIONS))]
    pub dimensions: Vec<Dimension>,
    /// Which pages may call the API from a browser. Without it, preflights go to the upstream,
    /// unmetered.
    pub cors: Option<Cors>,
    /// The kind of API in front: a REST API, or an HTTP API for less than a third of the price. An
    /// HTTP API cannot answer 401 or 429: it refuses every call with 403
    /// (`docs/existing-api.md#what-each-kind-can-give`). A change replaces the API, and so its
    /// address.
    #[serde(default)]
    pub gateway: ApiKind,
    /// Existing APIs to meter: their gateways may call the authorizer.
    #[serde(default, deserialize_with = "attachment::attached")]
    #[schemars(with = "Vec<Attached>")]
    pub attached: Vec<Attached>,
    /// How many calls the gateway accepts.
    #[serde(default)]
    pub throttle: Throttle,
    /// Reserved concurrent executions.
    #[serde(default)]
    pub concurrency: Concurrency,
    /// The key that encrypts stored data; by default AWS's own.
    pub encryption: Option<Encryption>,
    /// Whether X-Ray traces calls and functions; behind an HTTP API functions alone. AWS bills traces
    /// separately.
    #[serde(default)]
    pub tracing: bool,
    /// A web application firewall in front of the stage; none by default.
    pub waf: Option<Waf>,
    /// Which TLS versions and ciphers the API accepts; AWS's default if absent.
    pub tls_policy: Option<TlsPolicy>,
    /// Tags of every resource, at most 49: AWS accepts 50, and one is the environment's.
    #[serde(default)]
    #[schemars(extend("maxProperties" = 49))]
    pub tags: BTreeMap<TagKey, TagValue>,
}

impl Environment {
    /// Reads an environment file. The file's name is the environment's name.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or contains an unknown key or an invalid value: the error states
    /// the line, the column, the given value and what is expected.
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
        for attached in &mut environment.attached {
            attached
                .read_routes(path)
                .map_err(|message| EnvironmentError::placed(path, text, message))?;
        }
        match environment.refusal() {
            None => Ok(environment),
            Some(Refusal { setting, message }) => Err(EnvironmentError::Value {
                path: path.to_owned(),
                place: Place::of_path(text, setting).unwrap_or(Place { line: 1, column: 1 }),
                message,
            }),
        }
    }

    /// The same environment, whose analytics API also trusts these keys, which belong to this
    /// machine.
    #[must_use]
    pub fn trusting(mut self, keys: Vec<Key>) -> Self {
        let trusted = self.auth.jwks.get_or_insert(Jwks { keys: Vec::new() });
        trusted.keys.extend(keys);
        self
    }

    /// The same environment before the API at `url`, whose routes the `OpenAPI` document has.
    ///
    /// # Errors
    ///
    /// If the file names an upstream already, if the document cannot be read, or if another setting
    /// does not suit these routes: the reason.
    pub fn before(mut self, url: &str, openapi: &Path) -> Result<Self, String> {
        if self.upstream.is_some() {
            return Err("the file has an `upstream` of its own".to_owned());
        }
        self.upstream = Some(Upstream::described(url, openapi)?);
        match self.refusal() {
            None => Ok(self),
            Some(Refusal { message, .. }) => Err(message),
        }
    }

    /// The same environment with analytics on or off, if something overrides the file:
    /// `ENABLE_KINESIS_ANALYTICS`, or a rollback.
    #[must_use]
    pub fn with_analytics(mut self, enabled: Option<bool>) -> Self {
        if let Some(enabled) = enabled {
            self.analytics.enabled = enabled;
        }
        self
    }

    /// The same environment, which either leaves the account's role for API Gateway's logs alone,
    /// or sets one.
    #[must_use]
    pub const fn leaving_gateway_account(mut self, leaves: bool) -> Self {
        self.leaves_gateway_account = leaves;
        self
    }

    /// The same environment, whose upstream's secret has this version at present.
    #[must_use]
    pub fn with_upstream_secret(mut self, version: Option<String>) -> Self {
        let secret = self.upstream.as_mut().and_then(|of| of.secret.as_mut());
        if let Some(secret) = secret {
            secret.version = version;
        }
        self
    }

    /// The same environment, whose stream was made with this many shards. The template of a scaled
    /// stream keeps that number for good: another one would undo the scaling.
    #[must_use]
    pub const fn with_stream_of(mut self, made_with: u32) -> Self {
        if let StreamCapacity::Provisioned {
            shards,
            least,
            most,
        } = &mut self.stream.capacity
            && *least < *most
        {
            *shards = made_with;
        }
        self
    }

    /// The file's JSON Schema, as in `stacks/environments/environment.schema.json`.
    pub fn schema() -> serde_json::Value {
        schemars::schema_for!(Self).to_value()
    }

    /// [`Environment::schema`] as the file's text: keys sorted, a trailing newline.
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

    /// Whether a change is confirmed by typing the environment's name.
    pub fn is_production(&self) -> bool {
        let by_name = || PRODUCTION.contains(&self.name.as_str());
        self.production.unwrap_or_else(by_name)
    }

    /// Whether the account gets a role with which a REST API writes its access log. An HTTP API needs none.
    pub(crate) fn sets_gateway_role(&self) -> bool {
        !self.leaves_gateway_account && self.gateway == ApiKind::Rest
    }

    /// Whether callers receive the upstream's responses while these still arrive.
    pub(crate) fn streams_responses(&self) -> bool {
        let upstream = self.upstream.as_ref();
        upstream.is_some_and(|of| of.response_transfer_mode == ResponseTransferMode::Stream)
    }

    /// The routes under which calls are counted. Empty if the gateway's resources are the routes.
    pub fn routes(&self) -> Vec<Route> {
        match &self.upstream {
            Some(upstream) => upstream.routes.clone(),
            None => Route::new("GET", SAMPLE).into_iter().collect(),
        }
    }

    /// The units of a call to `route`; `None` stands for `other`.
    pub fn units_of(&self, route: Option<&Route>) -> u32 {
        let name = route.map_or_else(|| OTHER.to_owned(), ToString::to_string);
        let given = self.units.iter();
        let mut given = given.filter(|(weighed, _)| weighed.as_str() == name);
        given.next().map_or(1, |(_, units)| units.get())
    }
}
