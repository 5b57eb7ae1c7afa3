//! The names that a stack declares and a function reads, each written once.
//!
//! Resource names follow from the two prefixes and the environment ([`Names`]). Environment
//! variables, metrics, table attributes and indexes are constants.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The environment variables of the functions.
pub mod env {
    /// The environment's name, and the value of the one dimension of every metric.
    pub const ENVIRONMENT: &str = "ENVIRONMENT";
    /// `source` of the usage events that this deployment mints.
    pub const EVENT_SOURCE: &str = "EVENT_SOURCE";
    /// Prefix of the keys that this deployment creates.
    pub const KEY_PREFIX: &str = "KEY_PREFIX";
    /// How the authorizer reports: a [`TrackingMode`](super::TrackingMode) in its text form.
    pub const TRACKING_MODE: &str = "TRACKING_MODE";
    /// Name of the usage stream.
    pub const USAGE_STREAM: &str = "USAGE_STREAM";
    /// Name of the table of API keys.
    pub const API_KEYS_TABLE: &str = "API_KEYS_TABLE";
    /// Name of the usage table.
    pub const API_USAGE_TABLE: &str = "API_USAGE_TABLE";
    /// Name of the analytics table.
    pub const ANALYTICS_TABLE: &str = "ANALYTICS_TABLE";
    /// Namespace of the metrics that the function emits.
    pub const METRICS_NAMESPACE: &str = "METRICS_NAMESPACE";
    /// Namespace of the metrics of each plan; empty if there are none.
    pub const PLAN_METRICS_NAMESPACE: &str = "PLAN_METRICS_NAMESPACE";
    /// The plans, a JSON object from plan name to [`Plan`](crate::plan::Plan).
    pub const PLANS: &str = "PLANS";
    /// The meters, a JSON object from the name to [`Meter`](crate::meter::Meter).
    pub const METERS: &str = "METERS";
    /// The routes under which calls are counted: [`Routes`](crate::route::Routes) in their text
    /// form, empty if the gateway's resources are the routes.
    pub const ROUTES: &str = "ROUTES";
    /// The routes of attached APIs, a JSON object from the API's id to
    /// [`Routes`](crate::route::Routes) in their text form; empty for none.
    pub const ATTACHED_ROUTES: &str = "ATTACHED_ROUTES";
    /// The dimensions, a JSON object from the name to [`Declared`](crate::dimension::Declared);
    /// empty for none.
    pub const DIMENSIONS: &str = "DIMENSIONS";
    /// Headers that the gateway sets for the upstream, separated by spaces: a call that carries one
    /// is refused.
    pub const RESERVED_HEADERS: &str = "RESERVED_HEADERS";
    /// Issuer that a bearer token must name.
    pub const AUTH_ISSUER: &str = "AUTH_ISSUER";
    /// Audience that a bearer token must name.
    pub const AUTH_AUDIENCE: &str = "AUTH_AUDIENCE";
    /// URL of the JSON Web Key Set that verifies bearer tokens; empty for none.
    pub const AUTH_JWKS_URL: &str = "AUTH_JWKS_URL";
    /// A JSON Web Key Set that is trusted in addition to the one at the URL; empty for none.
    pub const AUTH_JWKS: &str = "AUTH_JWKS";
    /// When a token's email identifies its bearer: an [`EmailIsVerified`](super::EmailIsVerified)
    /// in its text form.
    pub const AUTH_EMAIL_IS_VERIFIED: &str = "AUTH_EMAIL_IS_VERIFIED";
    /// The usage page's OIDC client, as JSON; empty for none.
    pub const AUTH_SIGN_IN: &str = "AUTH_SIGN_IN";
    /// URL of the queue in which lines of the access log wait for each other.
    pub const RECONCILE_QUEUE: &str = "RECONCILE_QUEUE";
    /// URL of the queue that takes alerts.
    pub const ALERT_QUEUE: &str = "ALERT_QUEUE";
    /// ARN of the topic that alerts are published to.
    pub const ALERT_TOPIC: &str = "ALERT_TOPIC";
    /// The endpoints of webhooks, a JSON list of [`Endpoint`](crate::webhook::Endpoint).
    pub const WEBHOOKS: &str = "WEBHOOKS";
    /// The part that the names of all webhooks' secrets start with.
    pub const WEBHOOK_SECRETS: &str = "WEBHOOK_SECRETS";
    /// Seconds of the window that collects lines of the access log: the reconciler delays each
    /// message until the next multiple of it.
    pub const RECONCILE_WINDOW_SECONDS: &str = "RECONCILE_WINDOW_SECONDS";
    /// Seconds after a call from which a line without the authorizer's report counts as
    /// reconciled: by then the stream would have brought the report.
    pub const RECONCILE_SECONDS: &str = "RECONCILE_SECONDS";
    /// Fewest shards of the usage stream.
    pub const LEAST_SHARDS: &str = "LEAST_SHARDS";
    /// Most shards of the usage stream.
    pub const MOST_SHARDS: &str = "MOST_SHARDS";
    /// The units of time that have scheduled reports, a JSON list of [`Unit`](crate::calendar::Unit).
    pub const REPORTS: &str = "REPORTS";
    /// Name of the bucket of scheduled reports; empty if there are none.
    pub const REPORT_BUCKET: &str = "REPORT_BUCKET";
    /// Days for which the journal is kept.
    pub const RAW_RETENTION_DAYS: &str = "RAW_RETENTION_DAYS";
    /// Days for which minute aggregates are kept.
    pub const MINUTE_RETENTION_DAYS: &str = "MINUTE_RETENTION_DAYS";
    /// Days for which hour aggregates are kept.
    pub const HOUR_RETENTION_DAYS: &str = "HOUR_RETENTION_DAYS";
}

/// Metric names of the namespace `{stackPrefix}/API`.
pub mod api_metric {
    /// Calls whose usage event the stream or the journal accepted.
    pub const USAGE_TRACKING_SUCCESS: &str = "UsageTrackingSuccess";
    /// Calls whose usage event neither accepted: only the access log still has it.
    pub const USAGE_TRACKING_FAILURE: &str = "UsageTrackingFailure";
    /// Calls answered 500 because it was impossible to decide whether their key is valid.
    pub const UNDECIDED_CALLS: &str = "UndecidedCalls";
}

/// Metric names of the namespace `{stackPrefix}/Kinesis`.
pub mod kinesis_metric {
    /// Records that the processor finished: appended or set aside.
    pub const PROCESSED_RECORDS: &str = "ProcessedRecords";
    /// Milliseconds from an event's time until it is in the journal.
    pub const PROCESSING_LATENCY: &str = "ProcessingLatency";
    /// Events of type `API_CALL` counted.
    pub const TOTAL_API_CALLS: &str = "TotalAPICalls";
    /// Users with at least one call in the current hour.
    pub const UNIQUE_USERS: &str = "UniqueUsers";
    /// Events of type `API_AUTH_FAILED` counted.
    pub const AUTH_FAILURES: &str = "AuthFailures";
    /// Events of type `API_RATE_LIMITED` counted.
    pub const RATE_LIMITED: &str = "RateLimited";
    /// Repeated events, which count once.
    pub const DUPLICATES_DROPPED: &str = "DuplicatesDropped";
    /// Records set aside under `PK = ERRORS`.
    pub const RECORDS_FAILED: &str = "RecordsFailed";
    /// Items parked under `PK = ERRORS` because they cannot be read or outgrew their table.
    pub const ITEMS_PARKED: &str = "ItemsParked";
    /// Alert deliveries that were given up.
    pub const DELIVERIES_FAILED: &str = "DeliveriesFailed";
    /// Calls that only the access log reported.
    pub const RECONCILED_CALLS: &str = "ReconciledCalls";
    /// Open shards of the usage stream, while none is being made.
    pub const SHARDS: &str = "Shards";
    /// 1 if the stream needs more shards than it gets, otherwise 0.
    pub const SCALING_REFUSED: &str = "ScalingRefused";
}

/// Metric names of the namespace `{stackPrefix}/Plans`, which has a second dimension,
/// [`PLAN_DIMENSION`].
pub mod plan_metric {
    /// Events of type `API_CALL` counted for users of the plan.
    pub const CALLS: &str = "Calls";
    /// Units of those calls.
    pub const UNITS: &str = "Units";
    /// Events of type `API_RATE_LIMITED` counted for users of the plan.
    pub const RATE_LIMITED: &str = "RateLimited";
}

/// Seconds that the authorizer may work on a call. After that only the stream or the access log can
/// bring its event.
pub const AUTHORIZER_SECONDS: u32 = 10;
/// Seconds that a fold may take: the aggregator's timeout. A day is folded again only once every
/// fold that began before its mark has ended.
pub const FOLD_SECONDS: u32 = 300;
/// The minimum retention of the journal and of hours, in days. A day is folded a second time nine
/// days after it ended; the data for that fold stays two days longer.
pub const LEAST_RETENTION_DAYS: u32 = 12;

/// The dimension that every metric carries.
pub const METRIC_DIMENSION: &str = "Environment";
/// The second dimension of the metrics of plans: a plan of the environment file.
pub const PLAN_DIMENSION: &str = "Plan";

/// The index of the API-key table by key id.
pub const KEYS_BY_ID_INDEX: &str = "byId";
/// The index of the API-key table by user, and within a user by time.
pub const KEYS_BY_EMAIL_INDEX: &str = "byEmail";
/// The index of the analytics table by time: it holds the hours and days of all users together
/// only.
pub const BY_TIME_INDEX: &str = "byTime";
/// The scope of a bearer token that grants access to all users' data.
pub const ADMIN_SCOPE: &str = "metering:admin";
/// The scope of a bearer token with which an upstream reports amounts of calls.
pub const WRITE_SCOPE: &str = "metering:write";
/// The error with which the authorizer makes the gateway answer 401.
pub const UNAUTHORIZED: &str = "Unauthorized";

/// Members of the authorizer's context, as the access log names them too.
pub mod context {
    /// Id of the usage event.
    pub const EVENT_ID: &str = "eventId";
    /// Id of the API key.
    pub const KEY_ID: &str = "keyId";
    /// The user.
    pub const EMAIL: &str = "email";
    /// The user's plan.
    pub const PLAN: &str = "plan";
    /// The [`TrackingMode`](super::TrackingMode) the decision was made in.
    pub const MODE: &str = "mode";
    /// Seconds until a denied call would be accepted.
    pub const RETRY_AFTER: &str = "retryAfter";
    /// The `RateLimit` header field for a denied call.
    pub const RATE_LIMIT: &str = "rateLimit";
    /// The `RateLimit-Policy` header field for a denied call.
    pub const RATE_LIMIT_POLICY: &str = "rateLimitPolicy";
    /// The error code for a denied call.
    pub const ERROR: &str = "limitError";
    /// The error message for a denied call.
    pub const MESSAGE: &str = "limitMessage";
    /// The template that the call is counted under.
    pub const ROUTE: &str = "route";
    /// The call's units.
    pub const UNITS: &str = "units";

    /// The content of lines of the access log.
    pub const LOGGED: [&str; 8] = [EVENT_ID, KEY_ID, EMAIL, PLAN, MODE, ROUTE, UNITS, ERROR];
}

/// A function of this workspace, with its folder and its deployed name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Function {
    /// Decides which calls to accept, and reports each decision.
    Authorizer,
    /// Appends the stream's events to the journal.
    Processor,
    /// Folds the journal into counts, and closes days.
    Aggregator,
    /// Serves the analytics API.
    Analytics,
    /// The sample API.
    Deadlines,
    /// Appends the calls in the access log to the journal.
    Reconciler,
    /// Delivers alerts.
    Notifier,
    /// Scales the stream's shards.
    Scaler,
    /// Appends what upstreams report of calls to the journal.
    Collector,
    /// Creates, rotates, revokes and lists API keys over HTTP.
    Keys,
}

impl Function {
    /// Every function.
    pub const ALL: [Self; 10] = [
        Self::Authorizer,
        Self::Processor,
        Self::Aggregator,
        Self::Analytics,
        Self::Deadlines,
        Self::Reconciler,
        Self::Notifier,
        Self::Scaler,
        Self::Collector,
        Self::Keys,
    ];

    /// The folder under `functions/`, which is also the package and the binary.
    pub const fn folder(self) -> &'static str {
        match self {
            Self::Authorizer => "authorizer",
            Self::Processor => "processor",
            Self::Aggregator => "aggregator",
            Self::Analytics => "analytics",
            Self::Deadlines => "deadlines",
            Self::Reconciler => "reconciler",
            Self::Notifier => "notifier",
            Self::Scaler => "scaler",
            Self::Collector => "collector",
            Self::Keys => "keys",
        }
    }

    /// The last part of the deployed name.
    const fn suffix(self) -> &'static str {
        match self {
            Self::Authorizer => "ApiKeyAuthorizerFunction",
            Self::Processor => "StreamProcessor",
            Self::Aggregator => "RealtimeAggregator",
            Self::Analytics => "AnalyticsApi",
            Self::Deadlines => "DeadlinesApi",
            Self::Reconciler => "Reconciler",
            Self::Notifier => "Notifier",
            Self::Scaler => "ShardScaler",
            Self::Collector => "UsageCollector",
            Self::Keys => "KeysApi",
        }
    }

    /// The stack that declares the function.
    pub const fn stack(self) -> StackKind {
        match self {
            Self::Aggregator | Self::Notifier => StackKind::Data,
            Self::Processor | Self::Scaler => StackKind::Kinesis,
            Self::Authorizer
            | Self::Analytics
            | Self::Deadlines
            | Self::Reconciler
            | Self::Collector
            | Self::Keys => StackKind::Api,
        }
    }
}

/// One of the three stacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StackKind {
    /// The tables, which outlive everything else, and the aggregator.
    Data,
    /// The stream and its processor; absent in synchronous mode.
    Kinesis,
    /// The metered API, the analytics API, the access log and the dashboard.
    Api,
}

/// How the authorizer reports its decisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TrackingMode {
    /// To the usage stream.
    Stream,
    /// To the journal directly.
    Synchronous,
}

impl TrackingMode {
    /// The text form, as variables, contexts and JSON carry it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Synchronous => "synchronous",
        }
    }

    /// The mode that `text` names.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Stream, Self::Synchronous]
            .into_iter()
            .find(|mode| mode.as_str() == text)
    }
}

impl fmt::Display for TrackingMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// When the email of a bearer token identifies its bearer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum EmailIsVerified {
    /// If the token says so: its claim `email_verified` is `true`.
    #[default]
    Claimed,
    /// Always: the issuer does not let users choose an email that is not theirs. A token with the
    /// claim `false` still identifies nobody.
    Always,
}

impl EmailIsVerified {
    /// The text form, as variables and environment files carry it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Claimed => "claimed",
            Self::Always => "always",
        }
    }

    /// Parses the text form.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Claimed, Self::Always]
            .into_iter()
            .find(|when| when.as_str() == text)
    }
}

/// The names of one environment's resources.
///
/// ```
/// # use domain::names::{Function, Names, StackKind};
/// let names = Names::new("complical", "CompliCal", "test");
/// assert_eq!(names.stack(StackKind::Api), "CompliCal-API-test");
/// assert_eq!(names.usage_stream(), "complical-usage-stream-test");
/// assert_eq!(names.function(Function::Processor), "CompliCal-Kinesis-test-StreamProcessor");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    resource_prefix: String,
    stack_prefix: String,
    environment: String,
}

impl Names {
    /// Names under the two prefixes of the environment file.
    pub fn new(
        resource_prefix: impl Into<String>,
        stack_prefix: impl Into<String>,
        environment: impl Into<String>,
    ) -> Self {
        Self {
            resource_prefix: resource_prefix.into(),
            stack_prefix: stack_prefix.into(),
            environment: environment.into(),
        }
    }

    /// Prefix of the names of tables, stream, queues and dashboards.
    pub fn resource_prefix(&self) -> &str {
        &self.resource_prefix
    }

    /// The environment's name.
    pub fn environment(&self) -> &str {
        &self.environment
    }

    /// `complical-{noun}-test`: for resources whose name only the stacks read.
    pub fn resource(&self, noun: &str) -> String {
        format!("{}-{noun}-{}", self.resource_prefix, self.environment)
    }

    /// Name of a stack.
    pub fn stack(&self, stack: StackKind) -> String {
        let noun = match stack {
            StackKind::Data => "Data",
            StackKind::Kinesis => "Kinesis",
            StackKind::Api => "API",
        };
        format!("{}-{noun}-{}", self.stack_prefix, self.environment)
    }

    /// Deployed name of a function.
    pub fn function(&self, function: Function) -> String {
        format!("{}-{}", self.stack(function.stack()), function.suffix())
    }

    /// The log group of the gateway's access log.
    pub fn access_log(&self) -> String {
        format!("/aws/apigateway/{}/access", self.stack(StackKind::Api))
    }

    /// The usage stream.
    pub fn usage_stream(&self) -> String {
        self.resource("usage-stream")
    }

    /// The table of API keys.
    pub fn api_keys_table(&self) -> String {
        self.resource("api-keys")
    }

    /// The usage table.
    pub fn usage_table(&self) -> String {
        self.resource("api-usage")
    }

    /// The analytics table.
    pub fn analytics_table(&self) -> String {
        self.resource("analytics")
    }

    /// The processor's dead-letter queue.
    pub fn dead_letter_queue(&self) -> String {
        self.resource("usage-dlq")
    }

    /// The aggregator's dead-letter queue.
    pub fn aggregator_dead_letter_queue(&self) -> String {
        self.resource("aggregator-dlq")
    }

    /// The queue in which lines of the access log wait for each other.
    pub fn reconcile_queue(&self) -> String {
        self.resource("reconcile")
    }

    /// The reconciler's dead-letter queue.
    pub fn reconcile_dead_letter_queue(&self) -> String {
        self.resource("reconcile-dlq")
    }

    /// The queue of alerts to deliver.
    pub fn alert_queue(&self) -> String {
        self.resource("alerts")
    }

    /// The notifier's dead-letter queue.
    pub fn alert_dead_letter_queue(&self) -> String {
        self.resource("alerts-dlq")
    }

    /// The bucket of scheduled reports. Names of buckets are the same for all accounts and regions, so
    /// it has those of the environment: `${AWS::AccountId}` and `${AWS::Region}` in a template.
    pub fn report_bucket(&self, account: &str, region: &str) -> String {
        format!("{}-{account}-{region}", self.resource("reports"))
    }

    /// The part that the names of all webhooks' secrets start with.
    pub fn webhook_secrets(&self) -> String {
        format!("{}/webhooks/{}/", self.resource_prefix, self.environment)
    }

    /// The secret that signs deliveries to a webhook.
    pub fn webhook_secret(&self, endpoint: &str) -> String {
        format!("{}{endpoint}", self.webhook_secrets())
    }

    /// Every dead-letter queue.
    pub fn dead_letter_queues(&self) -> [String; 3] {
        [
            self.dead_letter_queue(),
            self.aggregator_dead_letter_queue(),
            self.reconcile_dead_letter_queue(),
        ]
    }

    /// API Gateway's role for the logs of the whole account, if the account has no other.
    pub fn gateway_logs_role(&self) -> String {
        self.resource("gateway-logs")
    }

    /// The dashboard of operations.
    pub fn dashboard(&self) -> String {
        self.resource("usage-analytics")
    }

    /// The dashboard of security.
    pub fn security_dashboard(&self) -> String {
        self.resource("security")
    }

    /// The dashboard of a plan.
    pub fn plan_dashboard(&self, plan: &str) -> String {
        self.resource(&format!("plan-{plan}"))
    }

    /// Namespace of the API's metrics.
    pub fn api_namespace(&self) -> String {
        format!("{}/API", self.stack_prefix)
    }

    /// Namespace of the metrics about counting, in both modes.
    pub fn kinesis_namespace(&self) -> String {
        format!("{}/Kinesis", self.stack_prefix)
    }

    /// Namespace of the metrics of each plan.
    pub fn plans_namespace(&self) -> String {
        format!("{}/Plans", self.stack_prefix)
    }

    /// `source` of the usage events.
    pub fn event_source(&self) -> String {
        format!("/{}/{}/api", self.resource_prefix, self.environment)
    }
}
