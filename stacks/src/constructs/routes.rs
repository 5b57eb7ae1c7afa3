//! The routes of a REST API: which path and verb goes where, and who may call it.

use std::collections::BTreeMap;

use super::function::Function;
use super::rest_api::{Authorizer, RestApi};
use super::stack::Stack;
use crate::cfn::{Handle, Id, LogicalId, Val, apigateway, join, lambda, sub};

/// A verb of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// `GET`
    Get,
    /// Every verb.
    Any,
}

impl Verb {
    const fn text(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Any => "ANY",
        }
    }

    /// As an `execute-api` ARN writes it.
    const fn in_arn(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Any => "*",
        }
    }
}

/// What answers a route.
#[derive(Clone, Copy, Debug)]
pub enum Integration<'a> {
    /// A function, given the whole request.
    Function(&'a Function),
    /// Another API at this address; the greedy path parameter is appended.
    Upstream(&'a str),
}

/// Who may call a route.
#[derive(Clone, Copy, Debug)]
pub enum Access<'a> {
    /// Whom the authorizer lets through.
    Authorized(&'a Authorizer),
    /// Everybody: what answers decides.
    Open,
}

/// The paths declared so far.
#[derive(Debug, Default)]
pub(super) struct Paths(BTreeMap<String, Handle<apigateway::Resource>>);

impl RestApi {
    /// Declares a route: its path's resources, its method `{id}`, and the permission
    /// `{id}Permission` where a function answers.
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
            Integration::Upstream(address) => to_upstream(address),
        });
        if matches!(integration, Integration::Upstream(_)) {
            method = method.request_parameters([("method.request.path.proxy", true)]);
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

    /// Lets this route, and nothing else, invoke the function.
    fn permit(
        &self,
        stack: &mut Stack,
        id: &'static str,
        verb: Verb,
        path: &str,
        function: &Function,
    ) {
        let source = join([
            sub::<String>(
                "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:".to_owned(),
            ),
            self.reference().into(),
            format!("/{}/{}{path}", self.stage(), verb.in_arn()).into(),
        ]);
        stack.template().add(
            LogicalId::from(format!("{id}Permission")),
            lambda::Permission::new(lambda::PermissionRequired {
                action: "lambda:InvokeFunction".into(),
                function_name: function.handle().reference().into(),
                principal: "apigateway.amazonaws.com".into(),
            })
            .source_arn(source.cast::<lambda::PermissionSourceArn>()),
        );
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
        .uri(invocation_uri(function))
}

/// What an upstream gets in place of the caller's key, which is the gateway's secret. A proxy passes
/// every header on; a mapping of the same name stands in for the caller's. A fixed value is in
/// single quotes, and is not empty for AWS documents no empty one (API Gateway Developer Guide,
/// "Parameter mapping examples for REST APIs").
const WITHHELD: &str = "'withheld'";

fn to_upstream(address: &str) -> apigateway::MethodIntegration {
    let address = address.trim_end_matches('/');
    apigateway::MethodIntegration::new(apigateway::MethodIntegrationType::HttpProxy)
        .integration_http_method("ANY")
        .uri(format!("{address}/{{proxy}}"))
        .request_parameters([
            (
                "integration.request.path.proxy",
                "method.request.path.proxy",
            ),
            ("integration.request.header.x-api-key", WITHHELD),
        ])
}

/// The address under which API Gateway invokes a function.
pub(super) fn invocation_uri(function: &Function) -> Val<String> {
    join([
        sub(
            "arn:${AWS::Partition}:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/"
                .to_owned(),
        ),
        function.arn().into(),
        "/invocations".into(),
    ])
}
