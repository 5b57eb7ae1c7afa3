//! The integration of each method of a REST API, and its authorization.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};

use super::{items, text};
use crate::{
    emulator::{Emulator, EmulatorError, Service},
    front::{Authorization, Integration, Method, Mock, Proxy, Resource, Transfer},
    ids,
};

/// The prefix of a reference that CloudFormation would replace by a secret
/// (<https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/dynamic-references-secretsmanager.html>).
/// The emulator leaves it unresolved.
pub(super) const SECRET: &str = "{{resolve:secretsmanager:";
const INTEGRATION_MILLIS: u64 = 29_000;

/// The resources of an API that have a method. The emulator loses an integration's
/// `ResponseTransferMode`: `streamed` holds the URIs that the templates declare as streamed.
pub(super) async fn resources(
    emulator: &Emulator,
    api: &str,
    streamed: &BTreeSet<&str>,
) -> Result<Vec<Resource>, EmulatorError> {
    let authorizers = emulator
        .get(
            "apigateway",
            &format!("/restapis/{api}/authorizers?limit=500"),
        )
        .await?;
    let authorizers: BTreeMap<&str, String> = items(&authorizers)
        .filter_map(|authorizer| {
            let uri = text(authorizer, "authorizerUri")?;
            Some((text(authorizer, "id")?, function_of(uri)?))
        })
        .collect();
    let listed = emulator
        .get(
            "apigateway",
            &format!("/restapis/{api}/resources?embed=methods&limit=500"),
        )
        .await?;
    let mut resources = Vec::new();
    for resource in items(&listed) {
        let (Some(id), Some(path)) = (text(resource, "id"), text(resource, "path")) else {
            continue;
        };
        let mut methods = BTreeMap::new();
        let declared = resource.get("resourceMethods").and_then(Value::as_object);
        for (name, method) in declared.into_iter().flatten() {
            let method = Method {
                authorization: authorization(method, &authorizers),
                integration: integration(emulator, method, streamed).await,
            };
            methods.insert(name.clone(), method);
        }
        if !methods.is_empty() {
            resources.push(Resource {
                id: id.to_owned(),
                path: path.to_owned(),
                methods,
            });
        }
    }
    Ok(resources)
}

fn authorization(method: &Value, authorizers: &BTreeMap<&str, String>) -> Authorization {
    match text(method, "authorizationType") {
        None | Some("NONE") => Authorization::Open,
        Some("CUSTOM") => text(method, "authorizerId")
            .and_then(|id| authorizers.get(id))
            .map_or(Authorization::Unknown, |function| {
                Authorization::Function(function.clone())
            }),
        Some(_) => Authorization::Unknown,
    }
}

/// `arn:…:lambda:path/2015-03-31/functions/ARN/invocations`.
pub(super) fn function_of(uri: &str) -> Option<String> {
    let (_, arn) = uri.split_once("/functions/")?;
    let arn = arn.strip_suffix("/invocations").unwrap_or(arn);
    Some(ids::resource_of(arn).to_owned())
}

async fn integration(
    emulator: &Emulator,
    method: &Value,
    streamed: &BTreeSet<&str>,
) -> Integration {
    let Some(integration) = method.get("methodIntegration") else {
        return Integration::Unknown;
    };
    let uri = text(integration, "uri").unwrap_or_default();
    match text(integration, "type") {
        Some("AWS_PROXY") => function_of(uri).map_or(Integration::Unknown, Integration::Function),
        Some("HTTP_PROXY") => proxy(emulator, integration, uri, streamed)
            .await
            .map_or(Integration::Unknown, Integration::Proxy),
        Some("MOCK") => mock(integration).map_or(Integration::Unknown, Integration::Mock),
        _ => Integration::Unknown,
    }
}

async fn proxy(
    emulator: &Emulator,
    integration: &Value,
    uri: &str,
    streamed: &BTreeSet<&str>,
) -> Option<Proxy> {
    let mut headers = BTreeMap::new();
    for (target, source) in strings(integration, "requestParameters") {
        let Some(name) = target.strip_prefix("integration.request.header.") else {
            continue;
        };
        let source = if source.contains(SECRET) {
            revealed(emulator, &source).await?
        } else {
            source
        };
        headers.insert(name.to_owned(), source);
    }
    let millis = integration.get("timeoutInMillis").and_then(Value::as_u64);
    let timeout = Duration::from_millis(millis.unwrap_or(INTEGRATION_MILLIS));
    Some(Proxy {
        uri: uri.to_owned(),
        headers,
        transfer: if streamed.contains(uri) {
            Transfer::stream(timeout)
        } else {
            Transfer::Buffered { timeout }
        },
    })
}

/// A value with the secret in place of its reference. Without the secret the header is omitted: the
/// upstream would mistake the reference for it.
pub(super) async fn revealed(emulator: &Emulator, source: &str) -> Option<String> {
    let (before, rest) = source.split_once(SECRET)?;
    let (reference, after) = rest.split_once("}}")?;
    let mut parts = reference.split(':');
    let name = parts.next()?;
    let key = parts.nth(1).filter(|key| !key.is_empty());
    let asked = emulator
        .call(
            Service::SecretsManager,
            "GetSecretValue",
            &json!({ "SecretId": name }),
        )
        .await;
    let answer = asked
        .inspect_err(|error| {
            tracing::warn!(secret = name, %error, "the upstream's secret cannot be read: its calls fail");
        })
        .ok()?;
    let secret = answer.get("SecretString")?.as_str()?;
    let secret = match key {
        None => secret.to_owned(),
        Some(key) => {
            let members: Value = serde_json::from_str(secret).ok()?;
            members.get(key)?.as_str()?.to_owned()
        }
    };
    Some(format!("{before}{secret}{after}"))
}

fn mock(integration: &Value) -> Option<Mock> {
    let responses = integration.get("integrationResponses")?.as_object()?;
    let (status, response) = responses.iter().next()?;
    let headers = strings(response, "responseParameters");
    let headers = headers.into_iter().filter_map(|(target, source)| {
        let name = target.strip_prefix("method.response.header.")?.to_owned();
        let value = source.strip_prefix('\'')?.strip_suffix('\'')?.to_owned();
        Some((name, value))
    });
    let templates = strings(response, "responseTemplates");
    let template = templates.get("application/json");
    Some(Mock {
        status: status.parse().ok()?,
        headers: headers.collect(),
        origins: template.map_or_else(Vec::new, |template| Mock::origins_of(template)),
    })
}

/// The string members of an object.
pub(super) fn strings(value: &Value, member: &str) -> BTreeMap<String, String> {
    let members = value.get(member).and_then(Value::as_object);
    members
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
        .collect()
}
