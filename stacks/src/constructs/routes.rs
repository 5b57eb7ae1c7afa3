//! The routes of a REST API: the integration of each path and method, and its access. What an HTTP
//! API's routes have in common with them is here too.

use std::collections::BTreeMap;

use super::function::{Function, Invoked};
use super::rest_api::{Authorizer, RestApi};
use super::stack::Stack;
use crate::cfn::{Handle, Id, LogicalId, Val, apigateway, join, lambda, sub};

/// An HTTP method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// `GET`
    Get,
    /// `POST`
    Post,
    /// `PATCH`
    Patch,
    /// `DELETE`
    Delete,
    /// `OPTIONS`
    Options,
    /// Every method.
    Any,
}

impl Verb {
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
            Self::Any => "ANY",
        }
    }

    /// The method in the form of an `execute-api` ARN.
    pub(super) const fn in_arn(self) -> &'static str {
        match self {
            Self::Any => "*",
            method => method.text(),
        }
    }
}

/// The integration of a route.
#[derive(Clone, Copy, Debug)]
pub enum Integration<'a> {
    /// A function that receives the whole request.
    Function(&'a Function),
    /// Another API.
    Upstream(Passage<'a>),
    /// The gateway itself, for preflights of browsers.
    Preflight(&'a Preflight),
}

/// The request that another API receives: everything that the caller sends, except for what is set
/// here.
#[derive(Clone, Copy, Debug)]
pub struct Passage<'a> {
    /// Its URL, to which the path is appended.
    pub address: &'a str,
    /// Headers by name. They replace headers of the same name that the caller sends.
    pub headers: &'a BTreeMap<String, Sent>,
    /// Whether its responses are streamed; a REST API's alone can be.
    pub streams: bool,
}

/// The value of a header that another API receives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The gateway's variable `$context.{name}`, such as `authorizer.email`.
    Variable(String),
    /// A text. CloudFormation may replace references in it.
    Text(String),
    /// The caller's value does not pass. A REST API cannot remove a header and sends `withheld`
    /// instead, for AWS does not document empty values (API Gateway Developer Guide, "Parameter
    /// mapping examples for REST APIs").
    Withheld,
}

impl Sent {
    /// The value in a REST API's mapping, in which a fixed one is in single quotes.
    fn in_rest_api(&self) -> String {
        match self {
            Self::Variable(variable) => format!("context.{variable}"),
            Self::Text(text) => format!("'{text}'"),
            Self::Withheld => "'withheld'".to_owned(),
        }
    }
}

/// The response to a browser's preflight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preflight {
    /// Headers by name, the same for every page.
    pub headers: BTreeMap<String, String>,
    /// Origins that `Access-Control-Allow-Origin` may name, if the request comes from one of them.
    /// Empty if a header names one for every page.
    pub origins: Vec<String>,
}

/// The access to a route.
#[derive(Clone, Copy, Debug)]
pub enum Access<'a> {
    /// Callers that the authorizer accepts.
    Authorized(&'a Authorizer),
    /// Everyone: the integration decides.
    Open,
}

/// The paths declared so far.
#[derive(Debug, Default)]
pub(super) struct Paths(BTreeMap<String, Handle<apigateway::Resource>>);

impl RestApi {
    /// Declares a route: its path's resources, its method `{id}`, and the permission
    /// `{id}Permission` if the integration is a function.
    pub fn route(
        &mut self,
        stack: &mut Stack,
        id: &'static str,
        (verb, path): (Verb, &str),
        integration: Integration<'_>,
        access: Access<'_>,
    ) {
        let resource = self.resource(stack, path);
        let mut method = apigateway::Method::new(apigateway::MethodRequired {
            http_method: verb.text().into(),
            resource_id: resource,
            rest_api_id: self.reference(),
        })
        .integration(match integration {
            Integration::Function(function) => to_function(function),
            Integration::Upstream(passage) => to_upstream(path, passage),
            Integration::Preflight(preflight) => to_browser(preflight),
        });
        match integration {
            Integration::Upstream(_) if is_greedy(path) => {
                method = method.request_parameters([("method.request.path.proxy", true)]);
            }
            Integration::Preflight(preflight) => {
                method = method.method_responses([told(preflight)]);
            }
            Integration::Upstream(_) | Integration::Function(_) => {}
        }
        method = match access {
            Access::Open => method.authorization_type("NONE"),
            Access::Authorized(authorizer) => method
                .authorization_type("CUSTOM")
                .authorizer_id(authorizer.reference()),
        };
        let method = stack.template().add(id, method);
        self.changes_with(&method);
        if let Integration::Function(function) = integration {
            self.permit(stack, id, verb, path, function);
        }
    }

    /// Allows this route, and nothing else, to invoke the function.
    fn permit(
        &self,
        stack: &mut Stack,
        id: &'static str,
        verb: Verb,
        path: &str,
        function: &Function,
    ) {
        let called = format!("/{}/{}{}", self.stage(), verb.in_arn(), in_arn(path));
        let id = LogicalId::from(format!("{id}Permission"));
        let name = function.handle().reference().into();
        permission(stack, id, name, self.reference().into(), [called.into()]);
    }

    /// The resource of a path, and those above it, each declared once.
    fn resource(&mut self, stack: &mut Stack, path: &str) -> Val<Id<apigateway::Resource>> {
        let mut parent = self.root();
        let mut id = String::from("Path");
        for part in path.split('/').filter(|part| !part.is_empty()) {
            id.push_str(&identifier(part));
            let known = self.paths.0.get(&id).cloned();
            let handle = known.unwrap_or_else(|| {
                let handle = stack.template().add(
                    LogicalId::from(id.as_str()),
                    apigateway::Resource::new(apigateway::ResourceRequired {
                        parent_id: parent,
                        path_part: part.into(),
                        rest_api_id: self.reference(),
                    }),
                );
                self.changes_with(&handle);
                self.paths.0.insert(id.clone(), handle.clone());
                handle
            });
            parent = handle.reference();
        }
        parent
    }
}

/// The URL of an API's stage, without a trailing slash.
pub(super) fn stage_url(api: Val<String>, stage: &str) -> Val<String> {
    join([
        "https://".into(),
        api,
        sub::<String>(".execute-api.${AWS::Region}.${AWS::URLSuffix}/".to_owned()),
        stage.into(),
    ])
}

/// Allows one part of an API to invoke a function: a route, or an authorizer.
pub(super) fn permission<const N: usize>(
    stack: &mut Stack,
    id: LogicalId,
    function: Val<lambda::PermissionFunctionName>,
    api: Val<String>,
    part: [Val<String>; N],
) {
    let prefix = "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:";
    let source = [sub::<String>(prefix.to_owned()), api].into_iter();
    let source = join(source.chain(part));
    stack.template().add(
        id,
        lambda::Permission::new(lambda::PermissionRequired {
            action: "lambda:InvokeFunction".into(),
            function_name: function,
            principal: "apigateway.amazonaws.com".into(),
        })
        .source_arn(source.cast::<lambda::PermissionSourceArn>()),
    );
}

/// `/v1/keys/{id}` → `/v1/keys/*`: the ARN holds the caller's path
/// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-control-access-using-iam-policies-to-invoke-api.html>).
pub(super) fn in_arn(path: &str) -> String {
    let parts = path.split('/');
    let parts = parts.map(|part| if part.starts_with('{') { "*" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

/// `user-stats` → `UserStats`, `{proxy+}` → `Proxy`, `openapi.json` → `OpenapiJson`.
fn identifier(part: &str) -> String {
    let words = part.split(|c: char| !c.is_ascii_alphanumeric());
    words
        .filter_map(|word| {
            let mut letters = word.chars();
            let first = letters.next()?.to_ascii_uppercase();
            Some(first.to_string() + letters.as_str())
        })
        .collect()
}

fn to_function(function: &Function) -> apigateway::MethodIntegration {
    apigateway::MethodIntegration::new(apigateway::MethodIntegrationType::AwsProxy)
        .integration_http_method("POST")
        .uri(invocation_uri(&function.into()))
}

/// The gateway's longest timeout for a response, which is also its default
/// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-execution-service-limits-table.html>).
const INTEGRATION_MILLIS: i32 = 29_000;
/// The longest time for a streamed response
/// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/response-streaming-http.html>).
const STREAMED_MILLIS: i32 = 900_000;

fn is_greedy(path: &str) -> bool {
    path.ends_with("{proxy+}")
}

fn to_upstream(path: &str, passage: Passage<'_>) -> apigateway::MethodIntegration {
    let address = passage.address.trim_end_matches('/');
    let path = path.replace("{proxy+}", "{proxy}");
    let mut parameters: BTreeMap<String, String> = passage
        .headers
        .iter()
        .map(|(name, sent)| {
            let name = format!("integration.request.header.{name}");
            (name, sent.in_rest_api())
        })
        .collect();
    if path.contains("{proxy}") {
        parameters.insert(
            "integration.request.path.proxy".to_owned(),
            "method.request.path.proxy".to_owned(),
        );
    }
    let integration =
        apigateway::MethodIntegration::new(apigateway::MethodIntegrationType::HttpProxy)
            .integration_http_method("ANY")
            .uri(format!("{address}{path}"))
            .request_parameters(parameters);
    if passage.streams {
        integration
            .timeout_in_millis(STREAMED_MILLIS)
            .response_transfer_mode(apigateway::MethodIntegrationResponseTransferMode::Stream)
    } else {
        integration.timeout_in_millis(INTEGRATION_MILLIS)
    }
}

/// The gateway treats bodies as bytes if `*/*` is a binary media type, and applies templates to
/// texts only: a body for a template is converted
/// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-payload-encodings-workflow.html>).
fn to_browser(preflight: &Preflight) -> apigateway::MethodIntegration {
    let headers = preflight.headers.iter();
    let parameters = headers
        .map(|(name, value)| {
            (
                format!("method.response.header.{name}"),
                format!("'{value}'"),
            )
        })
        .collect::<BTreeMap<String, String>>();
    let mut response = apigateway::MethodIntegrationResponse::new("204")
        .content_handling(apigateway::MethodIntegrationResponseContentHandling::ConvertToText)
        .response_parameters(parameters);
    if !preflight.origins.is_empty() {
        let template = named_origin(&preflight.origins);
        response = response.response_templates([("application/json", template)]);
    }
    apigateway::MethodIntegration::new(apigateway::MethodIntegrationType::Mock)
        .content_handling(apigateway::MethodIntegrationContentHandling::ConvertToText)
        .request_templates([("application/json", "{\"statusCode\":204}")])
        .integration_responses([response])
}

/// Names the requesting origin, if it is one of these. Clients choose the case of a header's name.
fn named_origin(origins: &[String]) -> String {
    let asked: Vec<String> = origins
        .iter()
        .map(|origin| format!("$origin==\"{origin}\""))
        .collect();
    let asked = asked.join(" || ");
    [
        "#set($origin=$input.params().header.get(\"origin\"))",
        "#if(!$origin)#set($origin=$input.params().header.get(\"Origin\"))#end",
        &format!("#if({asked})"),
        "#set($context.responseOverride.header.Access-Control-Allow-Origin=$origin)",
        "#end",
    ]
    .concat()
}

/// The headers that the response may have.
fn told(preflight: &Preflight) -> apigateway::MethodMethodResponse {
    let chosen = (!preflight.origins.is_empty()).then_some("Access-Control-Allow-Origin");
    let names = preflight.headers.keys().map(String::as_str).chain(chosen);
    let parameters = names
        .map(|name| (format!("method.response.header.{name}"), true))
        .collect::<BTreeMap<String, bool>>();
    apigateway::MethodMethodResponse::new("204").response_parameters(parameters)
}

/// The URI with which API Gateway invokes a function.
pub(super) fn invocation_uri(function: &Invoked) -> Val<String> {
    join([
        sub(
            "arn:${AWS::Partition}:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/"
                .to_owned(),
        ),
        function.arn.clone().into(),
        "/invocations".into(),
    ])
}
