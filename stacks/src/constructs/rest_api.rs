//! A REST API: its stage, its access log, its authorizer, its gateway responses.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use domain::problem;
use sha2::{Digest, Sha256};

use super::function::Invoked;
use super::metric::{Metric, Period, Statistic};
use super::routes::{Paths, invocation_uri, permission, stage_url};
use super::stack::Stack;
use crate::cfn::{Arn, Handle, Id, LogicalId, Val, apigateway, logs};

/// A REST API with one stage.
#[derive(Debug)]
pub struct RestApi {
    name: String,
    stage: String,
    handle: Handle<apigateway::RestApi>,
    pub(super) paths: Paths,
    /// The parts of the deployed API.
    parts: Vec<LogicalId>,
    throttle: (u32, u32),
    tracing: bool,
}

/// The settings of a REST API.
#[derive(Clone, Copy, Debug)]
pub struct RestApiSettings<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its purpose.
    pub description: &'a str,
    /// The name of its stage: the first part of every path.
    pub stage: &'a str,
    /// Whether bodies are passed on byte for byte. Otherwise the gateway treats them as UTF-8
    /// texts.
    pub binary: bool,
    /// Calls per second that the stage accepts, and its burst.
    pub throttle: (u32, u32),
    /// Whether X-Ray traces its calls.
    pub tracing: bool,
    /// Its TLS security policy; AWS's default if `None`.
    pub tls_policy: Option<&'a str>,
}

/// A gateway response, which the gateway itself sends.
#[derive(Clone, Copy, Debug)]
pub struct GatewayResponse<'a> {
    /// The type of response.
    pub to: apigateway::GatewayResponseResponseType,
    /// Its HTTP status, unless it is the gateway's own.
    pub status: Option<u16>,
    /// Its headers, by name: a value in single quotes, or one of the gateway's variables.
    pub headers: &'a [(&'a str, &'a str)],
    /// Its code, for programs: a template of a text.
    pub error: &'a str,
    /// What it says to people: a template of a JSON string with its quotes, because one of the
    /// gateway's variables brings its own.
    pub message: &'a str,
}

impl GatewayResponse<'_> {
    /// Its bodies by media type: templates of JSON.
    ///
    /// AWS documents that `Accept` selects among the mapping templates of an integration, by the
    /// media type alone, and that `application/json` is used without a match. About the templates of
    /// a gateway response it says only that their keys are content types
    /// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-swagger-extensions-gateway-responses.responseTemplates.html>).
    /// So `Content-Type` is left to the gateway, and problem details hold the code of plain JSON.
    fn templates(&self) -> [(&'static str, String); 2] {
        let Self { error, message, .. } = self;
        let status = self.status.map_or_else(String::new, |status| {
            let title = problem::title(status).unwrap_or_default();
            format!(r#""title":"{title}","status":{status},"#)
        });
        [
            (
                problem::JSON,
                format!(r#"{{"error":"{error}","message":{message}}}"#),
            ),
            (
                problem::MEDIA_TYPE,
                format!(r#"{{{status}"detail":{message},"error":"{error}"}}"#),
            ),
        ]
    }
}

/// An authorizer that is called for every request: its responses are not cached.
#[derive(Clone, Debug)]
pub struct Authorizer(Handle<apigateway::Authorizer>);

impl Authorizer {
    pub(super) fn reference(&self) -> Val<Id<apigateway::Authorizer>> {
        self.0.reference()
    }
}

impl RestApi {
    /// Declares the API.
    pub fn new(
        stack: &mut Stack,
        id: impl Into<LogicalId>,
        settings: &RestApiSettings<'_>,
    ) -> Self {
        let mut api = apigateway::RestApi::new()
            .name(settings.name)
            .description(settings.description)
            .endpoint_configuration(
                apigateway::RestApiEndpointConfiguration::new().types(["REGIONAL"]),
            );
        if let Some(policy) = settings.tls_policy {
            api = api.security_policy(policy);
            // Newer policies require one (API Gateway Developer Guide, "Security policies for REST
            // APIs").
            if policy.starts_with("SecurityPolicy_") {
                api = api.endpoint_access_mode("STRICT");
            }
        }
        if settings.binary {
            api = api.binary_media_types(["*/*"]);
        }
        let handle = stack.template().add(id, api);
        let mut api = Self {
            name: settings.name.to_owned(),
            stage: settings.stage.to_owned(),
            handle,
            paths: Paths::default(),
            parts: Vec::new(),
            throttle: settings.throttle,
            tracing: settings.tracing,
        };
        let itself = api.handle.clone();
        api.changes_with(&itself);
        api
    }

    /// Its id.
    pub fn reference(&self) -> Val<Id<apigateway::RestApi>> {
        self.handle.reference()
    }

    /// The root resource of all paths.
    pub(super) fn root(&self) -> Val<Id<apigateway::Resource>> {
        self.handle.root_resource_id().cast()
    }

    /// The name of its stage.
    pub fn stage(&self) -> &str {
        &self.stage
    }

    /// Its URL, without a trailing slash.
    pub fn url(&self) -> Val<String> {
        stage_url(self.reference().into(), &self.stage)
    }

    /// One of AWS's metrics about its stage: `Count`, `4XXError`, `5XXError`, `Latency`.
    pub fn metric(&self, name: &'static str, statistic: Statistic, period: Period) -> Metric {
        Metric::new("AWS/ApiGateway", name, statistic, period)
            .dimension("ApiName", &self.name)
            .dimension("Stage", &self.stage)
    }

    /// A change of this part needs a new deployment.
    pub(super) fn changes_with<R>(&mut self, part: &Handle<R>) {
        self.parts.push(part.logical_id().clone());
    }

    /// Declares an authorizer that receives the whole request, even one without a key, and is
    /// called every time: a cached response would be an uncounted call.
    pub fn authorizer(
        &mut self,
        stack: &mut Stack,
        id: impl Into<LogicalId>,
        function: impl Into<Invoked>,
    ) -> Authorizer {
        let (id, function) = (id.into(), function.into());
        let handle = stack.template().add(
            id.clone(),
            apigateway::Authorizer::new(apigateway::AuthorizerRequired {
                name: id.as_str().into(),
                rest_api_id: self.reference(),
                r#type: apigateway::AuthorizerType::Request.into(),
            })
            .authorizer_uri(invocation_uri(&function))
            .authorizer_result_ttl_in_seconds(0),
        );
        self.changes_with(&handle);
        let id = LogicalId::from(format!("{id}Permission"));
        let authorizer = ["/authorizers/".into(), handle.reference().into()];
        permission(
            stack,
            id,
            function.name,
            self.reference().into(),
            authorizer,
        );
        Authorizer(handle)
    }

    /// Declares a response of the gateway itself, with `common` headers in addition to its own.
    pub fn answer(
        &mut self,
        stack: &mut Stack,
        id: impl Into<LogicalId>,
        answer: &GatewayResponse<'_>,
        common: &BTreeMap<String, String>,
    ) {
        let mut response = apigateway::GatewayResponse::new(apigateway::GatewayResponseRequired {
            response_type: answer.to.into(),
            rest_api_id: self.reference(),
        })
        .response_templates(answer.templates());
        if let Some(status) = answer.status {
            response = response.status_code(status.to_string());
        }
        let own = answer.headers.iter();
        let own = own.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let headers: BTreeMap<String, String> = own
            .chain(common.clone())
            .map(|(name, value)| (format!("gatewayresponse.header.{name}"), value))
            .collect();
        if !headers.is_empty() {
            response = response.response_parameters(headers);
        }
        let handle = stack.template().add(id, response);
        self.changes_with(&handle);
    }

    /// Declares the deployment and the stage, after all routes. The deployment's logical id
    /// contains a digest of the API's parts: only then does CloudFormation deploy a change.
    pub fn deploy(
        self,
        stack: &mut Stack,
        id: &'static str,
        log: Val<Arn<logs::LogGroup>>,
        format: &str,
    ) -> Handle<apigateway::Stage> {
        let digest = self.digest(stack);
        let deployment = stack.template().add(
            LogicalId::from(format!("Deployment{digest}")),
            apigateway::Deployment::new(self.reference()).description(format!("API {digest}")),
        );
        for part in &self.parts {
            if part != self.handle.logical_id() {
                let part: Handle<()> = Handle::of(part.clone());
                stack.template().depends_on(&deployment, &part);
            }
        }
        let (rate, burst) = self.throttle;
        let every_method = apigateway::StageMethodSetting::new()
            .resource_path("/*")
            .http_method("*")
            .throttling_rate_limit(f64::from(rate))
            .throttling_burst_limit(burst);
        stack.template().add(
            id,
            apigateway::Stage::new(self.reference())
                .method_settings([every_method])
                .tracing_enabled(self.tracing)
                .stage_name(self.stage.as_str())
                .deployment_id(deployment.reference())
                .access_log_setting(
                    apigateway::StageAccessLogSetting::new()
                        .destination_arn(log)
                        .format(format),
                ),
        )
    }

    /// Sixteen hexadecimal digits over everything that a deployment freezes.
    fn digest(&self, stack: &mut Stack) -> String {
        let mut hash = Sha256::new();
        for part in &self.parts {
            hash.update(part.as_str());
            if let Some(declaration) = stack.template().resources().get(part) {
                for (name, value) in &declaration.properties {
                    hash.update(name);
                    hash.update(value.to_string());
                }
            }
        }
        let digest = hash.finalize();
        let mut text = String::new();
        for byte in digest.iter().take(8) {
            let _ = write!(text, "{byte:02x}");
        }
        text
    }
}
