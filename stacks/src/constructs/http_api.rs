//! An HTTP API: its routes, its stage, its access log, its authorizer. It costs less than a REST API
//! and gives less: it has no gateway responses, so the authorizer can only refuse with 403
//! (<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-vs-rest.html>).

use std::collections::BTreeMap;

use super::function::{Function, Invoked};
use super::metric::{Metric, Period, Statistic};
use super::routes::{Passage, Sent, Verb, in_arn, invocation_uri, permission, stage_url};
use super::stack::Stack;
use crate::cfn::{Arn, Handle, Id, LogicalId, Val, apigatewayv2, join, logs};

/// The payload with which the gateway calls functions, as integrations and as authorizers
/// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>).
const PAYLOAD: &str = "2.0";
/// The payload of an integration with another API: the only one that AWS accepts.
const PAYLOAD_OF_UPSTREAM: &str = "1.0";
/// The timeout of integrations: a second less than the longest, and the same as a REST API's
/// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html>).
const INTEGRATION_MILLIS: i32 = 29_000;

/// An HTTP API with one stage. Every change of it is deployed at once.
#[derive(Debug)]
pub struct HttpApi {
    stage: String,
    handle: Handle<apigatewayv2::Api>,
    /// The integrations with functions, by the function's name.
    functions: BTreeMap<String, Handle<apigatewayv2::Integration>>,
    throttle: (u32, u32),
}

/// The settings of an HTTP API.
#[derive(Clone, Debug)]
pub struct HttpApiSettings<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its purpose.
    pub description: &'a str,
    /// The name of its stage: the first part of every path.
    pub stage: &'a str,
    /// Calls per second that the stage accepts, and its burst.
    pub throttle: (u32, u32),
    /// The pages that may call it from a browser. The gateway then answers preflights itself, and
    /// replaces the headers of integrations about it
    /// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-cors.html>).
    pub cors: Option<HttpCors>,
}

/// The pages that may call an HTTP API from a browser.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpCors {
    /// The origins of pages; `*` alone for any.
    pub origins: Vec<String>,
    /// The headers that they may send.
    pub headers: Vec<String>,
    /// The methods that they may use.
    pub methods: Vec<String>,
    /// Whether requests carry cookies and other credentials.
    pub credentials: bool,
    /// How long a browser caches the answer to a preflight.
    pub max_age_seconds: u32,
}

/// The integration of a route of an HTTP API.
#[derive(Clone, Copy, Debug)]
pub enum HttpIntegration<'a> {
    /// A function that receives the whole request.
    Function(&'a Function),
    /// Another API.
    Upstream(Passage<'a>),
}

/// An authorizer of an HTTP API that is called for every request: its responses are not cached.
#[derive(Clone, Debug)]
pub struct HttpAuthorizer(Handle<apigatewayv2::Authorizer>);

impl HttpApi {
    /// Declares the API.
    pub fn new(
        stack: &mut Stack,
        id: impl Into<LogicalId>,
        settings: &HttpApiSettings<'_>,
    ) -> Self {
        let mut api = apigatewayv2::Api::new()
            .name(settings.name)
            .description(settings.description)
            .protocol_type(apigatewayv2::ApiProtocolType::Http);
        if let Some(cors) = &settings.cors {
            api = api.cors_configuration(configuration(cors));
        }
        Self {
            stage: settings.stage.to_owned(),
            handle: stack.template().add(id, api),
            functions: BTreeMap::new(),
            throttle: settings.throttle,
        }
    }

    /// Its id.
    pub fn reference(&self) -> Val<Id<apigatewayv2::Api>> {
        self.handle.reference()
    }

    /// The name of its stage.
    pub fn stage(&self) -> &str {
        &self.stage
    }

    /// Its URL, without a trailing slash.
    pub fn url(&self) -> Val<String> {
        stage_url(self.reference().into(), &self.stage)
    }

    /// One of AWS's metrics about its stage: `Count`, `4xx`, `5xx`, `Latency`
    /// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-metrics.html>).
    pub fn metric(&self, name: &'static str, statistic: Statistic, period: Period) -> Metric {
        Metric::new("AWS/ApiGateway", name, statistic, period)
            .dimension("ApiId", self.reference())
            .dimension("Stage", &self.stage)
    }

    /// Declares an authorizer that receives the whole request, even one without a key, and is called
    /// every time: a cached response would be an uncounted call. It has no identity source, for
    /// without one in the request the gateway would refuse by itself, and nobody would count that.
    pub fn authorizer(
        &mut self,
        stack: &mut Stack,
        id: impl Into<LogicalId>,
        function: impl Into<Invoked>,
    ) -> HttpAuthorizer {
        let (id, function) = (id.into(), function.into());
        let handle = stack.template().add(
            id.clone(),
            apigatewayv2::Authorizer::new(apigatewayv2::AuthorizerRequired {
                api_id: self.reference(),
                authorizer_type: apigatewayv2::AuthorizerAuthorizerType::Request.into(),
                name: id.as_str().into(),
            })
            .authorizer_uri(invocation_uri(&function))
            .authorizer_payload_format_version(PAYLOAD)
            .authorizer_result_ttl_in_seconds(0)
            .enable_simple_responses(true),
        );
        let id = LogicalId::from(format!("{id}Permission"));
        let authorizer = ["/authorizers/".into(), handle.reference().into()];
        permission(
            stack,
            id,
            function.name,
            self.reference().into(),
            authorizer,
        );
        HttpAuthorizer(handle)
    }

    /// Declares the route `{id}Route`, and the permission `{id}Permission` if the integration is a
    /// function. Without an authorizer the route is open to everyone, and not metered.
    pub fn route(
        &mut self,
        stack: &mut Stack,
        id: &'static str,
        (verb, path): (Verb, &str),
        integration: HttpIntegration<'_>,
        authorizer: Option<&HttpAuthorizer>,
    ) {
        let target = match integration {
            HttpIntegration::Function(function) => self.function_integration(stack, function),
            HttpIntegration::Upstream(passage) => {
                self.upstream_integration(stack, id, path, passage)
            }
        };
        let mut route = apigatewayv2::Route::new(apigatewayv2::RouteRequired {
            api_id: self.reference(),
            route_key: format!("{} {path}", verb.text()).into(),
        })
        .target(join(["integrations/".into(), target.reference().into()]));
        route = match authorizer {
            None => route.authorization_type(apigatewayv2::RouteAuthorizationType::None),
            Some(HttpAuthorizer(authorizer)) => route
                .authorization_type(apigatewayv2::RouteAuthorizationType::Custom)
                .authorizer_id(authorizer.reference()),
        };
        stack
            .template()
            .add(LogicalId::from(format!("{id}Route")), route);
        if let HttpIntegration::Function(function) = integration {
            let called = format!("/{}/{}{}", self.stage, verb.in_arn(), in_arn(path));
            let name = function.handle().reference().into();
            let id = LogicalId::from(format!("{id}Permission"));
            permission(stack, id, name, self.reference().into(), [called.into()]);
        }
    }

    /// The integration `{function}Integration`, declared once.
    fn function_integration(
        &mut self,
        stack: &mut Stack,
        function: &Function,
    ) -> Handle<apigatewayv2::Integration> {
        let known = self.functions.get(function.name());
        if let Some(known) = known {
            return known.clone();
        }
        let integration = apigatewayv2::Integration::new(apigatewayv2::IntegrationRequired {
            api_id: self.reference(),
            integration_type: apigatewayv2::IntegrationIntegrationType::AwsProxy.into(),
        })
        .integration_uri(function.arn())
        .payload_format_version(PAYLOAD)
        .timeout_in_millis(INTEGRATION_MILLIS);
        let id = format!("{}Integration", function.handle().logical_id());
        let handle = stack.template().add(LogicalId::from(id), integration);
        let name = function.name().to_owned();
        self.functions.insert(name, handle.clone());
        handle
    }

    /// The integration `{id}Integration`.
    fn upstream_integration(
        &self,
        stack: &mut Stack,
        id: &'static str,
        path: &str,
        passage: Passage<'_>,
    ) -> Handle<apigatewayv2::Integration> {
        let address = passage.address.trim_end_matches('/');
        let path = path.replace("{proxy+}", "{proxy}");
        let parameters: BTreeMap<String, String> = passage.headers.iter().map(mapped).collect();
        let integration = apigatewayv2::Integration::new(apigatewayv2::IntegrationRequired {
            api_id: self.reference(),
            integration_type: apigatewayv2::IntegrationIntegrationType::HttpProxy.into(),
        })
        .integration_method("ANY")
        .integration_uri(format!("{address}{path}"))
        .payload_format_version(PAYLOAD_OF_UPSTREAM)
        .request_parameters(parameters)
        .timeout_in_millis(INTEGRATION_MILLIS);
        let id = LogicalId::from(format!("{id}Integration"));
        stack.template().add(id, integration)
    }

    /// Declares the stage, which deploys every change at once.
    pub fn deploy(
        self,
        stack: &mut Stack,
        id: impl Into<LogicalId>,
        log: Val<Arn<logs::LogGroup>>,
        format: &str,
    ) -> Handle<apigatewayv2::Stage> {
        let (rate, burst) = self.throttle;
        let every_route = apigatewayv2::StageRouteSettings::new()
            .throttling_rate_limit(f64::from(rate))
            .throttling_burst_limit(burst);
        let stage = apigatewayv2::Stage::new(apigatewayv2::StageRequired {
            api_id: self.reference().into(),
            stage_name: self.stage.as_str().into(),
        })
        .auto_deploy(true)
        .default_route_settings(every_route)
        .access_log_settings(
            apigatewayv2::StageAccessLogSettings::new()
                .destination_arn(log)
                .format(format),
        );
        stack.template().add(id, stage)
    }
}

fn configuration(cors: &HttpCors) -> apigatewayv2::ApiCors {
    apigatewayv2::ApiCors::new()
        .allow_origins(cors.origins.clone())
        .allow_headers(cors.headers.clone())
        .allow_methods(cors.methods.clone())
        .allow_credentials(cors.credentials)
        .max_age(cors.max_age_seconds)
}

/// A header of the request that an upstream receives, as a parameter mapping
/// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-parameter-mapping.html>).
fn mapped((name, sent): (&String, &Sent)) -> (String, String) {
    match sent {
        Sent::Variable(variable) => {
            let value = format!("$context.{variable}");
            (format!("overwrite:header.{name}"), value)
        }
        Sent::Text(text) => (format!("overwrite:header.{name}"), text.clone()),
        // AWS's own example of a removed header has this value.
        Sent::Withheld => (format!("remove:header.{name}"), "''".to_owned()),
    }
}
