//! The environment file: what a user decides, read into types that hold only what can be deployed.
//!
//! Every check happens while reading, so that an error knows the line and column of the value.
//! What only the stacks show, such as names that get too long and variables that take too much, is
//! asked of `synth`. This module reads no environment variable: its caller overrides with
//! [`Environment::with_analytics`].

mod address;
mod cors;
mod error;
mod jwks;
mod limits;
mod openapi;
mod plans;
mod region;
mod settings;
mod text;
mod upstream;

use std::collections::BTreeMap;
use std::path::Path;

use domain::names::{Names, TrackingMode};
use domain::route::{OTHER, Route};
use schemars::JsonSchema;
use serde::Deserialize;

pub use address::{Address, KeySetAddress, UpstreamAddress};
pub use cors::{Cors, Origins};
pub use error::{EnvironmentError, Place};
pub use jwks::{Jwks, Key};
pub use limits::{Concurrency, Encryption, Throttle, Waf};
pub use plans::{LimitMode, Plan};
pub use region::Partition;
pub use settings::{
    Aggregator, Alarms, Analytics, Architecture, Attached, Auth, LogDays, LogLevel, Logs,
    Processor, Reconciler, Retention, Stream, StreamCapacity, Webhook, WebhookFormat,
};
pub use text::{
    Account, ApiId, Bounded, CorsMethod, Email, FieldName, HeaderName, KeyArn, PageOrigin, Region,
    ResourcePrefix, SecretKey, SecretName, StackPrefix, TagKey, TagValue, TimeZone, TlsPolicy,
    Weighed, Words,
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
    /// Endpoints that alerts are posted to.
    #[serde(default, deserialize_with = "settings::webhooks")]
    #[schemars(with = "Vec<Webhook>")]
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
    /// How many calls the gateway takes.
    #[serde(default)]
    pub throttle: Throttle,
    /// Concurrent executions that are reserved.
    #[serde(default)]
    pub concurrency: Concurrency,
    /// The key that encrypts what is stored; AWS's own where absent.
    pub encryption: Option<Encryption>,
    /// Whether X-Ray traces calls and functions. AWS bills traces apart.
    #[serde(default)]
    pub tracing: bool,
    /// A web application firewall before the stage; none where absent.
    pub waf: Option<Waf>,
    /// Which versions and ciphers of TLS the API's address accepts; AWS's default where absent.
    pub tls_policy: Option<TlsPolicy>,
    /// Tags of every resource, at most 49: AWS takes 50, and one is the environment's.
    #[serde(default)]
    #[schemars(extend("maxProperties" = 49))]
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
        match environment.refusal() {
            None => Ok(environment),
            Some(Refusal { setting, message }) => Err(EnvironmentError::Value {
                path: path.to_owned(),
                place: Place::of_path(text, setting).unwrap_or(Place { line: 1, column: 1 }),
                message,
            }),
        }
    }

    /// The same environment, whose analytics API also trusts these keys: those of this machine.
    #[must_use]
    pub fn trusting(mut self, keys: Vec<Key>) -> Self {
        let trusted = self.auth.jwks.get_or_insert(Jwks { keys: Vec::new() });
        trusted.keys.extend(keys);
        self
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
    fn unroutable(&self) -> Option<Refusal> {
        let routes: Vec<String> = self.routes().iter().map(ToString::to_string).collect();
        let mut weighed = self.units.keys().map(Weighed::as_str);
        let unknown = weighed.find(|name| *name != OTHER && !routes.iter().any(|of| of == name))?;
        Some(Refusal::new(
            "units",
            format!(
                "units: `{unknown}` is not a route of this API: its routes are those of `upstream`, \
                 as they are written there"
            ),
        ))
    }

    /// What several keys of the file decide together, or with the stacks that follow from them.
    fn refusal(&self) -> Option<Refusal> {
        self.unsigned()
            .or_else(|| self.unreachable())
            .or_else(|| self.untaggable())
            .or_else(|| self.unenforced())
            .or_else(|| self.overpromised())
            .or_else(|| self.elsewhere())
            .or_else(|| self.bucketless())
            .or_else(|| self.unroutable())
            .or_else(|| crate::synth::refusal(self))
    }

    /// S3 takes names of 63 characters, and the bucket's holds the account and the region too.
    fn bucketless(&self) -> Option<Refusal> {
        const MOST: usize = 63;
        let name = crate::assets::named(self, LOCAL_ACCOUNT, self.region.as_str());
        let excess = name.len().checked_sub(MOST).filter(|excess| *excess > 0)?;
        Some(Refusal::new(
            "resourcePrefix",
            format!(
                "the bucket for the functions' code would be called `{name}` (with the account's number): {} \
                 characters, S3 takes {MOST}; shorten `resourcePrefix` or the file's name by {excess}",
                name.len()
            ),
        ))
    }

    /// Outside `local`, where a key pair is made for it, someone must sign the tokens.
    fn unsigned(&self) -> Option<Refusal> {
        let signed = self.auth.jwks_url.is_some() || self.auth.jwks.is_some();
        (!signed && !self.is_local()).then(|| {
            Refusal::new(
                "auth",
                "`auth` has neither `jwksUrl` nor `jwks`; nobody could read the analytics API: \
                 give the key set's address, or the key set",
            )
        })
    }

    /// AWS reaches nothing on the machine that deploys to it.
    fn unreachable(&self) -> Option<Refusal> {
        let loopback = [
            (
                "auth.jwksUrl",
                self.auth.jwks_url.as_ref().map(KeySetAddress::is_loopback),
            ),
            (
                "upstream",
                self.upstream
                    .as_ref()
                    .map(|upstream| upstream.url.is_loopback()),
            ),
        ];
        let (setting, _) = loopback
            .into_iter()
            .find(|(_, loopback)| *loopback == Some(true) && self.endpoint_is_remote())?;
        Some(Refusal::new(
            setting,
            format!("`{setting}` is on this machine, which AWS does not reach"),
        ))
    }

    fn endpoint_is_remote(&self) -> bool {
        let here = self.endpoint.as_ref().is_some_and(Address::is_loopback);
        !self.is_local() && !here
    }

    /// The embedded AWS neither encrypts with a key, nor traces, nor has a firewall or TLS.
    fn unenforced(&self) -> Option<Refusal> {
        let settings = [
            ("encryption", self.encryption.is_some()),
            ("tracing", self.tracing),
            ("waf", self.waf.is_some()),
            ("tlsPolicy", self.tls_policy.is_some()),
        ];
        let (setting, _) = settings
            .into_iter()
            .find(|(_, set)| *set && self.is_local())?;
        Some(Refusal::new(
            setting,
            format!(
                "`{setting}` has no effect in `local`, whose embedded AWS does without; leave it out"
            ),
        ))
    }

    /// A plan whose users the gateway would refuse below their rate.
    fn overpromised(&self) -> Option<Refusal> {
        let most = self.throttle.rate_per_second.get();
        let (name, plan) = self
            .plans
            .iter()
            .find(|(_, plan)| plan.rate_per_second.get() > most)?;
        Some(Refusal::new(
            if self.throttle == Throttle::default() {
                "plans"
            } else {
                "throttle.ratePerSecond"
            },
            format!(
                "plan `{name}` promises {} calls a second, and the gateway takes {most} of everybody \
                 together: raise `throttle.ratePerSecond`, and the account's quota with it",
                plan.rate_per_second.get()
            ),
        ))
    }

    /// A key encrypts in its own region only.
    fn elsewhere(&self) -> Option<Refusal> {
        let key = &self.encryption.as_ref()?.key;
        (key.region() != self.region.as_str()).then(|| {
            Refusal::new(
                "encryption.key",
                format!(
                    "the key is of region `{}`, the environment of `{}`",
                    key.region(),
                    self.region
                ),
            )
        })
    }

    /// AWS takes 50 tags a resource; IAM, for one, takes no two keys that differ in case alone.
    fn untaggable(&self) -> Option<Refusal> {
        const MOST: usize = 49;
        if self.tags.len() > MOST {
            let message = format!(
                "{} tags are given, {MOST} are allowed: AWS takes 50 a resource, and one names the \
                 environment",
                self.tags.len()
            );
            return Some(Refusal::new("tags", message));
        }
        let own = format!("{}:environment", self.resource_prefix);
        let mut keys = std::collections::BTreeSet::from([own.to_lowercase()]);
        let twice = self
            .tags
            .keys()
            .find(|key| !keys.insert(key.as_str().to_lowercase()))?;
        let message = format!(
            "the tag `{twice}` is there twice, case aside, or is the one that names the environment"
        );
        Some(Refusal::new("tags", message))
    }
}

/// A setting that cannot be deployed: its place in the file, and why.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// Keys from the outside in: `auth.jwks`. Empty where no single one is to blame.
    pub(crate) setting: &'static str,
    /// What was given and what is allowed.
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn new(setting: &'static str, message: impl Into<String>) -> Self {
        Self {
            setting,
            message: message.into(),
        }
    }
}
