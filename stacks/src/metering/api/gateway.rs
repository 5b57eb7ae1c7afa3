//! The gateway in front of everything: a REST API or an HTTP API, as the environment file chooses.
//! Their resources have different logical ids: CloudFormation changes the type of none, so a change
//! of `gateway` replaces the API.

use domain::endpoint::Endpoint;
use domain::gateway::Gateway;
use domain::names::StackKind;

use super::{Functions, alarms, browsers, collector, keys, metered};
use crate::SynthError;
use crate::cfn::Val;
use crate::constructs::{
    Access, Authorizer, Firewall, Function, GATEWAY_RESPONSES, HttpApi, HttpApiSettings,
    HttpAuthorizer, HttpIntegration, Integration, Metric, Passage, Period, Preflight, RestApi,
    RestApiSettings, Stack, Statistic, Verb, log_format,
};
use crate::environment::{Cors, TlsPolicy};
use crate::metering::context::StackContext;
use crate::metering::gate::AccessLog;

/// The deployed API.
pub(super) struct Api {
    pub(super) url: Val<String>,
    pub(super) watched: alarms::Stage,
    pub(super) sample: Option<Function>,
}

/// Declares the API: its routes, its own responses and its stage.
pub(super) fn declare(
    context: &StackContext<'_>,
    stack: &mut Stack,
    functions: &Functions<'_>,
    log: &AccessLog,
) -> Result<Api, SynthError> {
    let mut api = match Gateway::from(context.environment.gateway) {
        Gateway::Rest => OwnApi::rest(context, stack, functions.authorizer),
        Gateway::Http => OwnApi::http(context, stack, functions.authorizer),
    };
    let sample = metered::declare(context, stack, &mut api)?;
    api.analytics(stack, functions.analytics);
    keys::routes(stack, &mut api, functions.keys);
    if let Some(collector) = functions.collector {
        collector::route(stack, &mut api, collector);
    }
    let url = api.url();
    let watched = alarms::Stage::of(context, &api);
    api.deploy(context, stack, log);
    Ok(Api {
        url,
        watched,
        sample,
    })
}

/// The API with its authorizer.
pub(super) enum OwnApi {
    Rest { api: RestApi, gate: Authorizer },
    Http { api: HttpApi, gate: HttpAuthorizer },
}

/// Who may call a route.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum To {
    /// Callers that the authorizer accepts: their calls are metered.
    Callers,
    /// Everyone: what answers decides.
    Everyone,
}

impl OwnApi {
    fn rest(context: &StackContext<'_>, stack: &mut Stack, authorizer: &Function) -> Self {
        let environment = context.environment;
        let mut api = RestApi::new(
            stack,
            "Api",
            &RestApiSettings {
                name: &context.names.stack(StackKind::Api),
                description: "Metered API",
                stage: &environment.name,
                // The analytics API compresses its responses, and an upstream may send any bytes.
                binary: true,
                throttle: environment.throttle.within(&environment.region),
                tracing: environment.tracing,
                tls_policy: environment.tls_policy.as_ref().map(TlsPolicy::as_str),
            },
        );
        let gate = api.authorizer(stack, "ApiKeyAuthorizer", authorizer);
        Self::Rest { api, gate }
    }

    fn http(context: &StackContext<'_>, stack: &mut Stack, authorizer: &Function) -> Self {
        let environment = context.environment;
        let mut api = HttpApi::new(
            stack,
            "HttpApi",
            &HttpApiSettings {
                name: &context.names.stack(StackKind::Api),
                description: "Metered API",
                stage: &environment.name,
                throttle: environment.throttle.within(&environment.region),
                cors: environment.cors.as_ref().map(browsers::configuration),
            },
        );
        let gate = api.authorizer(stack, "HttpApiKeyAuthorizer", authorizer);
        Self::Http { api, gate }
    }

    /// Declares a route that a function answers.
    pub(super) fn function(
        &mut self,
        stack: &mut Stack,
        id: &'static str,
        route: (Verb, &str),
        function: &Function,
        to: To,
    ) {
        match self {
            Self::Rest { api, gate } => {
                let answers = Integration::Function(function);
                api.route(stack, id, route, answers, to.access(gate));
            }
            Self::Http { api, gate } => {
                let answers = HttpIntegration::Function(function);
                api.route(stack, id, route, answers, to.authorizer(gate));
            }
        }
    }

    /// Declares a route that another API answers.
    pub(super) fn upstream(
        &mut self,
        stack: &mut Stack,
        id: &'static str,
        route: (Verb, &str),
        passage: Passage<'_>,
        to: To,
    ) {
        match self {
            Self::Rest { api, gate } => {
                let answers = Integration::Upstream(passage);
                api.route(stack, id, route, answers, to.access(gate));
            }
            Self::Http { api, gate } => {
                let answers = HttpIntegration::Upstream(passage);
                api.route(stack, id, route, answers, to.authorizer(gate));
            }
        }
    }

    /// The answer to preflights that needs a route of its own. An HTTP API answers them without one
    /// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-cors.html>).
    pub(super) fn preflight(&self, cors: Option<&Cors>) -> Option<Preflight> {
        match self {
            Self::Rest { .. } => cors.map(browsers::preflight),
            Self::Http { .. } => None,
        }
    }

    /// Declares the route of a preflight's answer.
    pub(super) fn answer_preflights(
        &mut self,
        stack: &mut Stack,
        id: &'static str,
        path: &str,
        preflight: &Preflight,
    ) {
        if let Self::Rest { api, .. } = self {
            let answers = Integration::Preflight(preflight);
            api.route(stack, id, (Verb::Options, path), answers, Access::Open);
        }
    }

    /// Declares the routes of the analytics API, which verifies bearer tokens itself. The page is also
    /// served under `/v1/analytics/`.
    ///
    /// For a REST API, a path with a trailing slash names the same resource, and the slash stays in the
    /// event's `path` (<https://github.com/aws-powertools/powertools-lambda-python/pull/1577>). For an
    /// HTTP API it is another path, and no route may end with a slash; a greedy variable accepts it
    /// (<https://github.com/storacha/w3infra/pull/166>).
    fn analytics(&mut self, stack: &mut Stack, analytics: &Function) {
        match self {
            Self::Rest { .. } => {
                for endpoint in Endpoint::ALL {
                    let route = (Verb::Get, endpoint.path());
                    self.function(stack, endpoint.route_id(), route, analytics, To::Everyone);
                }
            }
            Self::Http { .. } => {
                let page = Endpoint::Page.path();
                let below = format!("{page}/{{proxy+}}");
                for (id, path) in [("AnalyticsPage", page), ("AnalyticsBelow", &below)] {
                    self.function(stack, id, (Verb::Get, path), analytics, To::Everyone);
                }
            }
        }
    }

    /// Calls in a period.
    pub(super) fn calls(&self, period: Period) -> Metric {
        match self {
            Self::Rest { api, .. } => api.metric("Count", Statistic::SampleCount, period),
            Self::Http { api, .. } => api.metric("Count", Statistic::Sum, period),
        }
    }

    /// Calls in a period with a 5xx response.
    pub(super) fn server_errors(&self, period: Period) -> Metric {
        match self {
            Self::Rest { api, .. } => api.metric("5XXError", Statistic::Sum, period),
            Self::Http { api, .. } => api.metric("5xx", Statistic::Sum, period),
        }
    }

    fn url(&self) -> Val<String> {
        match self {
            Self::Rest { api, .. } => api.url(),
            Self::Http { api, .. } => api.url(),
        }
    }

    fn deploy(self, context: &StackContext<'_>, stack: &mut Stack, log: &AccessLog) {
        match self {
            Self::Rest { api, .. } => deploy_rest(api, context, stack, log),
            Self::Http { api, .. } => {
                api.deploy(
                    stack,
                    "HttpStage",
                    log.group.arn(),
                    &log_format(Gateway::Http),
                );
            }
        }
    }
}

impl To {
    const fn access(self, gate: &Authorizer) -> Access<'_> {
        match self {
            Self::Callers => Access::Authorized(gate),
            Self::Everyone => Access::Open,
        }
    }

    const fn authorizer(self, gate: &HttpAuthorizer) -> Option<&HttpAuthorizer> {
        match self {
            Self::Callers => Some(gate),
            Self::Everyone => None,
        }
    }
}

/// Declares a REST API's own responses, its deployment and its stage, and what guards the stage.
fn deploy_rest(mut api: RestApi, context: &StackContext<'_>, stack: &mut Stack, log: &AccessLog) {
    let allowed = browsers::answered(context.environment.cors.as_ref());
    for (id, answer) in &GATEWAY_RESPONSES {
        api.answer(stack, *id, answer, &allowed);
    }
    let api_id = api.reference();
    let stage = api.deploy(stack, "Stage", log.group.arn(), &log_format(Gateway::Rest));
    if let Some(account) = &log.account {
        stack.template().depends_on(&stage, account);
    }
    if let Some(waf) = &context.environment.waf {
        let firewall = Firewall {
            name: &context.names.resource("firewall"),
            calls: waf.calls_per_five_minutes.get(),
        };
        firewall.guard(stack, "Firewall", &api_id, &stage);
    }
}
