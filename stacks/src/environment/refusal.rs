//! What makes a file undeployable although each of its values is valid: several keys that do not suit
//! each other, or the stacks that follow from them.

use domain::bill;
use domain::dimension::{Declared, Source};
use domain::gateway::PREFLIGHT;
use domain::plan::Calendar;
use domain::route::{OTHER, Route};
use domain::time::UnixMillis;

use super::{
    Address, ApiKind, Environment, KeySetAddress, LOCAL_ACCOUNT, LimitMode, Partition, Plan,
    SignIn, Upstream, Webhook, Weighed, settings::WebhookEvent, sources,
};

/// The first month of the years for which periods are checked, 2026-01.
const SOME_MONTH: UnixMillis = UnixMillis(1_767_225_600_000);

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

impl Environment {
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

    /// Calls of these routes would never reach the upstream, nor count: the gateway answers them.
    fn unreached(&self) -> Option<Refusal> {
        const OURS: [&str; 3] = ["/v1/analytics", "/v1/keys", "/v1/blocks"];
        const REPORTS: &str = "/v1/usage/events";
        let upstream = self.upstream.as_ref()?;
        let collects = !self.meters.is_empty();
        let is_taken = |route: &&Route| {
            let template = route.template();
            let below = |path: &str| {
                let rest = template.strip_prefix(path);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            };
            OURS.into_iter().any(below)
                || collects && template == REPORTS
                || route.method() == PREFLIGHT
        };
        let route = upstream.routes.iter().find(is_taken)?;
        Some(Refusal::new(
            match upstream.openapi {
                Some(_) => "upstream.openapi",
                None => "upstream.routes",
            },
            format!(
                "upstream: calls of `{route}` would not reach the API, because the gateway answers `OPTIONS` and, with \
                 what is below them, the paths `/v1/analytics`, `/v1/keys`, `/v1/blocks` and `/v1/usage/events`; \
                 leave the route out, or give it another path"
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

    /// A period that begins after one of the next month, on another plan, may have begun: a user who
    /// changes plans could have two bills of one call.
    fn unbillable(&self) -> Option<Refusal> {
        let plans = self.plans.iter();
        let mut plans = plans.map(|(name, plan)| (name, domain::plan::Plan::from(plan)));
        let is_billable = |of: &Calendar| bill::is_billable(of, SOME_MONTH);
        let (name, plan) = plans.find(|(_, plan)| !is_billable(&plan.calendar()))?;
        let (day, zone) = (u8::from(plan.period_anchor_day), &plan.timezone);
        Some(Refusal::new(
            "plans",
            format!(
                "plans: the `periodAnchorDay` of `{name}`, {day}, may be the last day of a month, which begins in \
                 `{zone}` when the next month has begun elsewhere; expected at most 27 in a zone that is more \
                 than ten hours behind UTC"
            ),
        ))
    }

    /// An endpoint that waits for what never happens.
    fn unreported(&self) -> Option<Refusal> {
        let waits = |webhook: &&Webhook| {
            let events = webhook.events.as_ref();
            events.is_some_and(|events| events.contains(&WebhookEvent::ReportReady))
        };
        let waiting = self.webhooks.iter().find(waits)?;
        self.reports.is_none().then(|| {
            Refusal::new(
                "webhooks",
                format!(
                    "webhooks: webhook `{}` receives `reportReady`, but there are no `reports`; add these, \
                     or leave the event out",
                    waiting.name
                ),
            )
        })
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
    pub(super) fn refusal(&self) -> Option<Refusal> {
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
            .or_else(|| self.unreached())
            .or_else(|| self.valueless())
            .or_else(|| self.unmeasurable())
            .or_else(|| self.unbillable())
            .or_else(|| self.uncollected())
            .or_else(|| self.unreported())
            .or_else(|| crate::synth::refusal(self))
    }

    /// S3 accepts names of 63 characters, and the bucket's name also contains the account and the
    /// region.
    fn bucketless(&self) -> Option<Refusal> {
        const MOST: usize = 63;
        let region = self.region.as_str();
        let of_reports = self.reports.as_ref();
        let (what, name) = match of_reports {
            Some(_) => ("reports", self.names().report_bucket(LOCAL_ACCOUNT, region)),
            None => (
                "the functions' code",
                crate::assets::named(&self.names(), LOCAL_ACCOUNT, region),
            ),
        };
        let excess = name.len().checked_sub(MOST).filter(|excess| *excess > 0)?;
        Some(Refusal::new(
            "resourcePrefix",
            format!(
                "the bucket for {what} would be called `{name}` (with the account's number): {} \
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

    /// Only a REST API has a firewall, an address with a choice of TLS versions, or streamed responses
    /// (API Gateway Developer Guide, "Choose between REST APIs and HTTP APIs", "Security policies for
    /// REST APIs", "Stream the integration response for your proxy integrations").
    fn unkept(&self) -> Option<Refusal> {
        let settings = [
            ("waf", self.waf.is_some()),
            ("tlsPolicy", self.tls_policy.is_some()),
            ("upstream.responseTransferMode", self.streams_responses()),
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
