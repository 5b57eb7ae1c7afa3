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
mod region;
mod settings;
mod sign_in;
mod text;
mod upstream;

use std::collections::BTreeMap;
use std::path::Path;

use domain::dimension::{Declared, Source};
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
pub use region::Partition;
pub use settings::{
    Aggregator, Alarms, Analytics, Architecture, Auth, LogDays, LogLevel, Logs, Processor,
    Reconciler, Retention, Stream, StreamCapacity, Webhook, WebhookFormat, Webhooks,
};
pub use sign_in::SignIn;
pub use text::{
    Account, ApiId, Bounded, CorsMethod, Email, FieldName, HeaderName, KeyArn, PageOrigin, Region,
    ResourcePrefix, SecretKey, SecretName, StackPrefix, StageName, TagKey, TagValue, TimeZone,
    TlsPolicy, Weighed, Words,
};
pub use upstream::{Identity, Secret, Upstream};

/// The account of an embedded AWS.
pub const LOCAL_ACCOUNT: &str = "000000000000";
/// The path of the sample, which is metered if the file declares no upstream.
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
    /// Whether the account has a role for API Gateway's logs that is not this environment's. This
    /// is detected, not read: see [`Environment::leaving_gateway_account`].
    #[serde(skip)]
    pub leaves_gateway_account: bool,
    /// The AWS account, twelve digits. By default the account of the credentials.
    pub account: Option<Account>,
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

    /// Units for a route that does not exist would have no effect.
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

    /// No call has a variable of a route that does not exist, or a header that the gateway sets.
    fn valueless(&self) -> Option<Refusal> {
        let routes = self.routes();
        let has = |name: &str| {
            routes
                .iter()
                .any(|route| route.variables().any(|of| of == name))
        };
        let reserved = self.upstream.as_ref().map(Upstream::reserved_headers);
        let reserved = reserved.unwrap_or_default();
        let problem = |(name, of): (&String, &Declared)| match &of.source {
            // The routes of an attached API are its own.
            Source::Path(variable) if self.attached.is_empty() && !has(variable) => Some(format!(
                "dimensions: `{name}` is the variable `{variable}` of a route, and no route has it: \
                 write it as in `GET /users/{{{variable}}}` of `upstream.routes`"
            )),
            Source::Header(header) if reserved.contains(&header.as_str()) => Some(format!(
                "dimensions: `{name}` is the header `{header}`, which the gateway sets and no call may \
                 carry"
            )),
            Source::Path(_) | Source::Query(_) | Source::Header(_) => None,
        };
        let sources = sources(&self.dimensions);
        let message = sources.0.iter().find_map(problem)?;
        Some(Refusal::new("dimensions", message))
    }

    /// A hard quota is exact, and an amount is known only after its call was let through.
    fn unmeasurable(&self) -> Option<Refusal> {
        let (meter, _) = self.meters.iter().find(|(_, of)| of.counts_to_quota)?;
        let is_hard =
            |plan: &Plan| plan.limit_mode == LimitMode::Hard && plan.monthly_quota.is_some();
        let (plan, _) = self.plans.iter().find(|(_, plan)| is_hard(plan))?;
        Some(Refusal::new(
            "meters",
            format!(
                "meters: `{meter}` counts to the quota, and the quota of plan `{plan}` is hard: amounts \
                 are known only after their call, so no quota of them is exact; make it `soft`, or leave \
                 out `countsToQuota`"
            ),
        ))
    }

    /// Executions of a function that does not exist.
    fn uncollected(&self) -> Option<Refusal> {
        let reserved = self.concurrency.collector?.get();
        self.meters.is_empty().then(|| {
            Refusal::new(
                "concurrency.collector",
                format!(
                    "`concurrency.collector` is {reserved}, but the collector needs `meters`; \
                     leave it out"
                ),
            )
        })
    }

    /// Checks that involve several keys of the file, or the stacks that follow from them.
    fn refusal(&self) -> Option<Refusal> {
        self.unsigned()
            .or_else(|| self.unreachable())
            .or_else(|| self.untaggable())
            .or_else(|| self.unenforced())
            .or_else(|| self.unkept())
            .or_else(|| self.unscalable())
            .or_else(|| self.overpromised())
            .or_else(|| self.elsewhere())
            .or_else(|| self.bucketless())
            .or_else(|| self.unroutable())
            .or_else(|| self.valueless())
            .or_else(|| self.unmeasurable())
            .or_else(|| self.uncollected())
            .or_else(|| crate::synth::refusal(self))
    }

    /// S3 accepts names of 63 characters, and the bucket's name also contains the account and the
    /// region.
    fn bucketless(&self) -> Option<Refusal> {
        const MOST: usize = 63;
        let name = crate::assets::named(self, LOCAL_ACCOUNT, self.region.as_str());
        let excess = name.len().checked_sub(MOST).filter(|excess| *excess > 0)?;
        Some(Refusal::new(
            "resourcePrefix",
            format!(
                "the bucket for the functions' code would be called `{name}` (with the account's number): {} \
                 characters, S3 accepts {MOST}; shorten `resourcePrefix` or the file's name by {excess}",
                name.len()
            ),
        ))
    }

    /// Outside `local`, which gets its own key pair, an issuer must sign the tokens.
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

    /// AWS cannot reach anything on the machine that deploys to it.
    fn unreachable(&self) -> Option<Refusal> {
        let loopback = [
            (
                "auth.jwksUrl",
                self.auth.jwks_url.as_ref().map(KeySetAddress::is_loopback),
            ),
            (
                "auth.signIn",
                self.auth.sign_in.as_ref().map(SignIn::is_loopback),
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
            format!("`{setting}` is on this machine, which AWS cannot reach"),
        ))
    }

    fn endpoint_is_remote(&self) -> bool {
        let here = self.endpoint.as_ref().is_some_and(Address::is_loopback);
        !self.is_local() && !here
    }

    /// The embedded AWS supports neither encryption with a key, nor tracing, nor a firewall or TLS.
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
                "`{setting}` has no effect in `local`, whose embedded AWS does not support it; leave it out"
            ),
        ))
    }

    /// Only a REST API has a firewall, or an address with a choice of TLS versions (API Gateway
    /// Developer Guide, "Choose between REST APIs and HTTP APIs", "Security policies for REST APIs").
    fn unkept(&self) -> Option<Refusal> {
        let settings = [
            ("waf", self.waf.is_some()),
            ("tlsPolicy", self.tls_policy.is_some()),
        ];
        let (setting, _) = settings
            .into_iter()
            .find(|(_, set)| *set && self.gateway == ApiKind::Http)?;
        Some(Refusal::new(
            setting,
            format!(
                "`{setting}` has no effect with `gateway: http`: AWS offers it for REST APIs alone; leave it \
                 out, or set `gateway: rest`"
            ),
        ))
    }

    /// The embedded AWS drops the records of a stream whose shards change, and measures no stream.
    fn unscalable(&self) -> Option<Refusal> {
        self.stream.capacity.scaled().filter(|_| self.is_local())?;
        Some(Refusal::new(
            "stream",
            "stream: `local` scales no stream, because its embedded AWS drops the records of shards \
             that change; leave out `minShards` and `maxShards`",
        ))
    }

    /// A plan whose users the gateway would refuse below their rate.
    fn overpromised(&self) -> Option<Refusal> {
        let (most, _) = self.throttle.within(&self.region);
        let (name, plan) = self
            .plans
            .iter()
            .find(|(_, plan)| plan.rate_per_second.get() > most)?;
        Some(Refusal::new(
            match self.throttle.rate_per_second {
                None => "plans",
                Some(_) => "throttle.ratePerSecond",
            },
            format!(
                "plan `{name}` promises {} calls a second, and the gateway accepts {most} from all \
                 callers together: raise `throttle.ratePerSecond`, and the account's quota with it",
                plan.rate_per_second.get()
            ),
        ))
    }

    /// A key encrypts only in its own region. In China, AWS documents neither the services' names by
    /// which roles may use a key, nor the principal that its policy must name for logs.
    fn elsewhere(&self) -> Option<Refusal> {
        let key = &self.encryption.as_ref()?.key;
        if self.region.partition() == Partition::China {
            return Some(Refusal::new(
                "encryption",
                format!(
                    "`encryption` is not supported in `{}`: roles use a key only through DynamoDB, and \
                     AWS does not document the name by which its key service knows that in China; leave \
                     it out, and AWS's own keys encrypt everything",
                    self.region
                ),
            ));
        }
        (key.region() != self.region.as_str()).then(|| {
            Refusal::new(
                "encryption.key",
                format!(
                    "the key is in region `{}`, the environment in `{}`",
                    key.region(),
                    self.region
                ),
            )
        })
    }

    /// AWS accepts 50 tags per resource; IAM, for one, does not accept two keys that differ only in
    /// case.
    fn untaggable(&self) -> Option<Refusal> {
        const MOST: usize = 49;
        if self.tags.len() > MOST {
            let message = format!(
                "{} tags are given, {MOST} are allowed: AWS accepts 50 per resource, and one names the \
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
            "the tag `{twice}` occurs twice, ignoring case, or is the one that names the environment"
        );
        Some(Refusal::new("tags", message))
    }
}

/// A setting that cannot be deployed: its place in the file, and the reason.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// Keys from the outside in: `auth.jwks`. Empty if no single one is to blame.
    pub(crate) setting: &'static str,
    /// The given value and what is expected.
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
