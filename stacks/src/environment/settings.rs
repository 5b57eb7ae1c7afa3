//! The sections of the environment file.

use std::borrow::Cow;
use std::fmt;

use domain::names::{EmailIsVerified, LEAST_RETENTION_DAYS};
use domain::notice::Kind;
use domain::webhook::Format;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};

use super::address::{Address, KeySetAddress};
use super::jwks::Jwks;
use super::sign_in::SignIn;
use super::text::{Bounded, Email, WebhookName, Words};

/// Whether usage goes through the stream, or directly to the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Analytics {
    /// `false`: no stream, the authorizer appends each event itself. The variable
    /// `ENABLE_KINESIS_ANALYTICS`, if set, overrides it.
    pub enabled: bool,
}

impl Default for Analytics {
    fn default() -> Self {
        Self { enabled: true }
    }
}

/// The usage stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "StreamSection")]
#[schemars(with = "StreamSection")]
pub struct Stream {
    /// Its capacity.
    pub capacity: StreamCapacity,
    /// Hours for which records are kept.
    pub retention_hours: Bounded<24, 8760>,
}

/// The capacity of a stream. An on-demand stream has no shard count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamCapacity {
    /// AWS scales it.
    OnDemand,
    /// By shards: 1 MB or 1,000 records per second each.
    Provisioned {
        /// Shards that a new stream starts with.
        shards: u32,
        /// The fewest that it is scaled to.
        least: u32,
        /// The most that it is scaled to.
        most: u32,
    },
}

impl StreamCapacity {
    /// The fewest and the most shards, if the scaler scales the stream.
    pub const fn scaled(self) -> Option<(u32, u32)> {
        match self {
            Self::Provisioned { least, most, .. } if least < most => Some((least, most)),
            Self::Provisioned { .. } | Self::OnDemand => None,
        }
    }
}

/// `stream` in the form of the file.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Stream")]
struct StreamSection {
    /// `provisioned`: by shards. `onDemand`: scaled by AWS.
    #[serde(default)]
    mode: StreamMode,
    /// Shards of the stream; by default 2. With `minShards` below `maxShards` only a new stream
    /// starts with this number: an existing one keeps the number that it was scaled to.
    shards: Option<Bounded<1, 500>>,
    /// The fewest shards that the stream is scaled to; by default `shards`.
    min_shards: Option<Bounded<1, 500>>,
    /// The most shards that the stream is scaled to; by default `shards`.
    max_shards: Option<Bounded<1, 500>>,
    /// Hours for which records are kept.
    #[serde(default = "week")]
    retention_hours: Bounded<24, 8760>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum StreamMode {
    #[default]
    Provisioned,
    OnDemand,
}

const fn week() -> Bounded<24, 8760> {
    Bounded::clamped(168)
}

impl Default for Stream {
    fn default() -> Self {
        Self {
            capacity: StreamCapacity::Provisioned {
                shards: 2,
                least: 2,
                most: 2,
            },
            retention_hours: week(),
        }
    }
}

impl TryFrom<StreamSection> for Stream {
    type Error = String;

    fn try_from(section: StreamSection) -> Result<Self, String> {
        let capacity = match section.mode {
            StreamMode::OnDemand => on_demand(&section)?,
            StreamMode::Provisioned => provisioned(&section)?,
        };
        Ok(Self {
            capacity,
            retention_hours: section.retention_hours,
        })
    }
}

fn on_demand(section: &StreamSection) -> Result<StreamCapacity, String> {
    let given = [
        ("shards", section.shards),
        ("minShards", section.min_shards),
        ("maxShards", section.max_shards),
    ];
    match given.iter().find(|(_, count)| count.is_some()) {
        Some((key, _)) => Err(format!(
            "stream.{key}: has no meaning with `mode: onDemand`; leave it out, or give `mode: provisioned`"
        )),
        None => Ok(StreamCapacity::OnDemand),
    }
}

fn provisioned(section: &StreamSection) -> Result<StreamCapacity, String> {
    let [given, least, most] =
        [section.shards, section.min_shards, section.max_shards].map(|of| of.map(Bounded::get));
    let usual = 2.max(least.unwrap_or(1)).min(most.unwrap_or(500));
    let shards = given.unwrap_or(usual);
    let (least, most) = (least.unwrap_or(shards), most.unwrap_or(shards));
    if least > most {
        return Err(format!(
            "stream.minShards: `{least}` is more than `maxShards`, which is {most}"
        ));
    }
    if least > shards || shards > most {
        return Err(format!(
            "stream.shards: `{shards}` lies outside `minShards` {least} to `maxShards` {most}"
        ));
    }
    Ok(StreamCapacity::Provisioned {
        shards,
        least,
        most,
    })
}

/// How the processor reads records from the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Processor {
    /// The most records per batch.
    pub batch_size: Bounded<1, 10_000>,
    /// Concurrent batches per shard; each subject stays in order.
    pub parallelization_factor: Bounded<1, 10>,
    /// Seconds that a batch waits to fill: fewer invocations, later counts.
    pub batching_window_seconds: Bounded<0, 300>,
}

impl Default for Processor {
    fn default() -> Self {
        Self {
            batch_size: Bounded::clamped(100),
            parallelization_factor: Bounded::clamped(10),
            batching_window_seconds: Bounded::clamped(1),
        }
    }
}

/// How the aggregator folds the journal into counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Aggregator {
    /// Seconds for which changes of the journal are collected before they are folded: fewer writes,
    /// later metrics and alerts. Responses of the analytics API do not wait for it.
    pub window_seconds: Bounded<0, 300>,
}

impl Default for Aggregator {
    fn default() -> Self {
        Self {
            window_seconds: Bounded::clamped(60),
        }
    }
}

/// How the reconciler appends the access log's lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Reconciler {
    /// Seconds for which lines of the access log are collected before they are appended: fewer
    /// writes. A call's status and latency, and calls that only the log knows, appear after that.
    pub window_seconds: Bounded<0, 900>,
}

impl Default for Reconciler {
    fn default() -> Self {
        Self {
            window_seconds: Bounded::clamped(300),
        }
    }
}

/// How long data is kept. Days, months and all-time counts are kept for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Retention {
    /// Days for which raw events are kept. At least 12: a day is counted a second time nine days
    /// after it ended.
    #[serde(deserialize_with = "counted_again")]
    pub raw_days: Bounded<LEAST_RETENTION_DAYS, 3650>,
    /// Days for which minutes are kept.
    pub minute_days: Bounded<1, 3650>,
    /// Days for which hours are kept. At least 12: a day is counted a second time nine days after
    /// it ended.
    #[serde(deserialize_with = "counted_again")]
    pub hour_days: Bounded<LEAST_RETENTION_DAYS, 3650>,
}

/// Reads the retention of something from which days are counted again.
fn counted_again<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Bounded<LEAST_RETENTION_DAYS, 3650>, D::Error> {
    Bounded::because(
        deserializer,
        "a day is counted a second time nine days after it ended, and what it is counted from \
         must not expire before",
    )
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            raw_days: Bounded::clamped(90),
            minute_days: Bounded::clamped(7),
            hour_days: Bounded::clamped(90),
        }
    }
}

/// Dashboards beside that of operations. An account has three for nothing; each further one costs $3 a
/// month.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Dashboards {
    /// One for each plan, with three metrics of the plan, which cost $0.90 a month together.
    pub plans: bool,
    /// One for security: who is refused, why, and from where.
    pub security: bool,
}

/// The functions' and the gateway's logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Logs {
    /// Days for which log lines are kept; one of the numbers that CloudWatch Logs supports.
    pub retention_days: LogDays,
    /// The level of the functions' own lines. Of Lambda's lines only warnings are written.
    pub level: LogLevel,
}

/// The level of a function's lines. To Lambda, metrics are lines of level `info`, so no level is
/// above it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum LogLevel {
    /// Its actions and their data.
    Trace,
    /// Its actions.
    Debug,
    /// Events that operators should know about.
    #[default]
    Info,
}

/// A number of days that CloudWatch Logs supports (`PutRetentionPolicy`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogDays(u32);

impl LogDays {
    const ALLOWED: [u32; 22] = [
        1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557,
        2922, 3288, 3653,
    ];

    /// Days.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl<'de> Deserialize<'de> for LogDays {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_u64(LogDaysVisitor)
    }
}

impl JsonSchema for LogDays {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "LogDays".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "enum": Self::ALLOWED })
    }
}

struct LogDaysVisitor;

impl Visitor<'_> for LogDaysVisitor {
    type Value = LogDays;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of days that CloudWatch Logs allows")
    }

    fn visit_u64<E: Error>(self, given: u64) -> Result<LogDays, E> {
        let days = u32::try_from(given).ok();
        let days = days.filter(|days| LogDays::ALLOWED.contains(days));
        days.map(LogDays).ok_or_else(|| {
            let allowed: Vec<String> = LogDays::ALLOWED.iter().map(ToString::to_string).collect();
            E::custom(format!(
                "`{given}` days is not a retention of CloudWatch Logs: expected one of {}",
                allowed.join(", ")
            ))
        })
    }
}

impl Default for Logs {
    fn default() -> Self {
        Self {
            retention_days: LogDays(30),
            level: LogLevel::Info,
        }
    }
}

/// The issuer of the bearer tokens of the analytics API.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(try_from = "AuthSection")]
#[schemars(with = "AuthSection")]
pub struct Auth {
    /// The required `iss` of a token.
    pub issuer: Option<Words>,
    /// The required `aud` of a token.
    pub audience: Option<Words>,
    /// The URL of the key set.
    pub jwks_url: Option<KeySetAddress>,
    /// The key set itself.
    pub jwks: Option<Jwks>,
    /// When a token's email identifies its bearer.
    pub email_is_verified: EmailIsVerified,
    /// How the usage page signs users in.
    pub sign_in: Option<SignIn>,
}

/// `auth` in the form of the file.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Auth")]
struct AuthSection {
    /// The required `iss` of a token.
    issuer: Option<Words>,
    /// The required `aud` of a token.
    audience: Option<Words>,
    /// The URL of the key set, with `https`; not together with `jwks`.
    jwks_url: Option<KeySetAddress>,
    /// The key set itself; not together with `jwksUrl`.
    jwks: Option<Jwks>,
    /// `claimed`: a token's email identifies its bearer only if the token says
    /// `email_verified: true`. `always`: the issuer does not let users choose an email that is not
    /// theirs.
    #[serde(default)]
    email_is_verified: Verified,
    /// The OIDC client with which the usage page signs users in. Without it, users bring
    /// a bearer token.
    sign_in: Option<SignIn>,
}

#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "EmailIsVerified")]
enum Verified {
    #[default]
    Claimed,
    Always,
}

impl TryFrom<AuthSection> for Auth {
    type Error = &'static str;

    fn try_from(section: AuthSection) -> Result<Self, Self::Error> {
        if section.jwks_url.is_some() && section.jwks.is_some() {
            return Err("auth.jwks: conflicts with `jwksUrl`; give one of them");
        }
        let signed = section.jwks_url.is_some() || section.jwks.is_some();
        if signed && (section.issuer.is_none() || section.audience.is_none()) {
            return Err(
                "auth: a key set needs `issuer` and `audience`; without them any token that \
                        it signs would be accepted",
            );
        }
        if let Some(sign_in) = &section.sign_in
            && section.audience.as_ref() != Some(&sign_in.client_id)
        {
            return Err(
                "auth.signIn.clientId: is not the `audience`, so the analytics API would \
                        refuse the tokens of the usage page; expected the same text",
            );
        }
        Ok(Self {
            issuer: section.issuer,
            audience: section.audience,
            jwks_url: section.jwks_url,
            jwks: section.jwks,
            email_is_verified: match section.email_is_verified {
                Verified::Claimed => EmailIsVerified::Claimed,
                Verified::Always => EmailIsVerified::Always,
            },
            sign_in: section.sign_in,
        })
    }
}

/// The instruction set for which functions are built and on which they run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Architecture {
    /// AWS Graviton: a fifth cheaper per GB-second.
    #[serde(rename = "arm64")]
    Arm64,
    /// Intel and AMD.
    #[serde(rename = "x86_64")]
    X8664,
}

impl Architecture {
    /// Every instruction set that Lambda supports.
    pub const ALL: [Self; 2] = [Self::Arm64, Self::X8664];

    /// Lambda's name for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Arm64 => "arm64",
            Self::X8664 => "x86_64",
        }
    }

    /// The instruction set of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == name)
    }

    /// The instruction set of the current machine.
    pub const fn host() -> Self {
        if cfg!(target_arch = "aarch64") {
            Self::Arm64
        } else {
            Self::X8664
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An endpoint to which alerts are posted.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Webhook {
    /// Its name in `cargo xtask webhooks`.
    pub name: WebhookName,
    /// The URL to which events are posted: `https://…`, unless it may be private.
    pub url: Address,
    /// The format of the posted body.
    #[serde(default)]
    pub format: WebhookFormat,
    /// Whether the endpoint may have a private address, and no certificate.
    #[serde(default)]
    pub allow_private: bool,
    /// The events that it receives; all of them unless given.
    #[serde(default)]
    pub events: Option<Vec<WebhookEvent>>,
}

/// An event that an endpoint receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum WebhookEvent {
    /// `QUOTA_THRESHOLD_CROSSED`: a user crossed a threshold of its quota.
    QuotaThreshold,
    /// `period.closed`: a user's period is final.
    PeriodClosed,
    /// `report.ready`: a scheduled report is stored.
    ReportReady,
}

impl From<WebhookEvent> for Kind {
    fn from(event: WebhookEvent) -> Self {
        match event {
            WebhookEvent::QuotaThreshold => Self::QuotaThreshold,
            WebhookEvent::PeriodClosed => Self::PeriodClosed,
            WebhookEvent::ReportReady => Self::ReportReady,
        }
    }
}

/// The format of the posted body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum WebhookFormat {
    /// The event as `CloudEvents` JSON.
    #[default]
    CloudEvents,
    /// A text for chat systems such as Slack.
    Slack,
}

impl From<WebhookFormat> for Format {
    fn from(format: WebhookFormat) -> Self {
        match format {
            WebhookFormat::CloudEvents => Self::CloudEvents,
            WebhookFormat::Slack => Self::Slack,
        }
    }
}

/// The endpoints: each name once, and only private ones unencrypted.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(try_from = "Vec<Webhook>")]
#[schemars(with = "Vec<Webhook>")]
pub struct Webhooks(Vec<Webhook>);

impl std::ops::Deref for Webhooks {
    type Target = [Webhook];

    fn deref(&self) -> &[Webhook] {
        &self.0
    }
}

impl TryFrom<Vec<Webhook>> for Webhooks {
    type Error = String;

    fn try_from(webhooks: Vec<Webhook>) -> Result<Self, Self::Error> {
        let mut names = std::collections::BTreeSet::new();
        for webhook in &webhooks {
            let name = webhook.name.as_str();
            if !names.insert(name) {
                return Err(format!("webhooks: webhook `{name}` occurs twice"));
            }
            if webhook.events.as_ref().is_some_and(Vec::is_empty) {
                return Err(format!(
                    "webhooks: webhook `{name}` has no `events`: expected some of `quotaThreshold`, `periodClosed` and `reportReady`"
                ));
            }
            if !webhook.allow_private && !webhook.url.as_str().starts_with("https://") {
                return Err(format!(
                    "webhooks: webhook `{name}`: expected an `https://` address, or `allowPrivate: true`"
                ));
            }
        }
        Ok(Self(webhooks))
    }
}

/// The recipient of alarms.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Alarms {
    /// AWS asks it to confirm, then sends every alarm and every recovery.
    pub email: Option<Email>,
}
