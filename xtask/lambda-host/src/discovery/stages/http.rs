//! The HTTP APIs: their routes with integrations and authorization, and their stages.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::methods::{SECRET, function_of, revealed, strings};
use super::{group_of, text};
use crate::{
    emulator::{Emulator, EmulatorError},
    front::{AccessLog, Api, Authorization, Cors, HttpApi, Mapping, Passed, Route, Stage, Target},
    ids,
};

/// The timeout of an integration that sets none
/// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html>).
const INTEGRATION_MILLIS: u64 = 30_000;

/// Every stage of every HTTP API.
pub(super) async fn stages(emulator: &Emulator, region: &str) -> Result<Vec<Stage>, EmulatorError> {
    let mut found = Vec::new();
    let apis = emulator.get("apigateway", "/v2/apis").await?;
    for api in items(&apis) {
        let Some(id) = text(api, "apiId").filter(|_| text(api, "protocolType") == Some("HTTP"))
        else {
            continue;
        };
        let served = HttpApi {
            routes: routes(emulator, id).await?,
            cors: cors(api),
        };
        let path = format!("/v2/apis/{id}/stages");
        let listed = emulator.get("apigateway", &path).await?;
        for stage in items(&listed) {
            if let Some(name) = text(stage, "stageName") {
                found.push(Stage {
                    api_id: id.to_owned(),
                    name: name.to_owned(),
                    region: region.to_owned(),
                    access_log: access_log(stage),
                    api: Api::Http(served.clone()),
                });
            }
        }
    }
    Ok(found)
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    let items = list.get("items").and_then(Value::as_array);
    items.into_iter().flatten()
}

/// The items of a list below an API, by their ids.
async fn by_id(
    emulator: &Emulator,
    api: &str,
    list: &str,
    id: &str,
) -> Result<BTreeMap<String, Value>, EmulatorError> {
    let path = format!("/v2/apis/{api}/{list}");
    let listed = emulator.get("apigateway", &path).await?;
    let named = items(&listed).filter_map(|item| Some((text(item, id)?.to_owned(), item.clone())));
    Ok(named.collect())
}

async fn routes(emulator: &Emulator, api: &str) -> Result<Vec<Route>, EmulatorError> {
    let authorizers = by_id(emulator, api, "authorizers", "authorizerId").await?;
    let integrations = by_id(emulator, api, "integrations", "integrationId").await?;
    let mut routes = Vec::new();
    for route in by_id(emulator, api, "routes", "routeId").await?.values() {
        let Some(key) = text(route, "routeKey") else {
            continue;
        };
        let integration =
            text(route, "target").and_then(|target| target.strip_prefix("integrations/"));
        let integration = integration.and_then(|id| integrations.get(id));
        routes.push(Route {
            key: key.to_owned(),
            authorization: authorization(route, &authorizers),
            target: match integration {
                Some(integration) => target(emulator, integration).await,
                None => Target::Unknown,
            },
        });
    }
    Ok(routes)
}

fn authorization(route: &Value, authorizers: &BTreeMap<String, Value>) -> Authorization {
    match text(route, "authorizationType") {
        None | Some("NONE") => Authorization::Open,
        Some("CUSTOM") => text(route, "authorizerId")
            .and_then(|id| authorizers.get(id))
            .filter(|authorizer| is_supported(authorizer))
            .and_then(|authorizer| function_of(text(authorizer, "authorizerUri")?))
            .map_or(Authorization::Unknown, Authorization::Function),
        Some(_) => Authorization::Unknown,
    }
}

/// The front calls authorizers without an identity source, by payload 2.0 with simple responses, and
/// caches nothing.
fn is_supported(authorizer: &Value) -> bool {
    let sources = authorizer.get("identitySource").and_then(Value::as_array);
    text(authorizer, "authorizerPayloadFormatVersion") == Some("2.0")
        && authorizer.get("enableSimpleResponses") == Some(&Value::Bool(true))
        && authorizer
            .get("authorizerResultTtlInSeconds")
            .and_then(Value::as_u64)
            == Some(0)
        && sources.is_none_or(|sources| sources.is_empty() || is_default(sources))
}

/// The local AWS writes this source where the template has none.
fn is_default(sources: &[Value]) -> bool {
    matches!(sources, [Value::String(one)] if one == "$request.header.Authorization")
}

async fn target(emulator: &Emulator, integration: &Value) -> Target {
    let uri = text(integration, "integrationUri").unwrap_or_default();
    match text(integration, "integrationType") {
        Some("AWS_PROXY") if text(integration, "payloadFormatVersion") == Some("2.0") => {
            let function = function_of(uri).unwrap_or_else(|| ids::resource_of(uri).to_owned());
            Target::Function(function)
        }
        Some("HTTP_PROXY") => upstream(emulator, integration, uri)
            .await
            .map_or(Target::Unknown, Target::Upstream),
        _ => Target::Unknown,
    }
}

async fn upstream(emulator: &Emulator, integration: &Value, uri: &str) -> Option<Passed> {
    let mut mappings = Vec::new();
    for (key, value) in strings(integration, "requestParameters") {
        let value = if value.contains(SECRET) {
            revealed(emulator, &value).await?
        } else {
            value
        };
        mappings.push(Mapping::parse(&key, value)?);
    }
    let millis = integration.get("timeoutInMillis").and_then(Value::as_u64);
    Some(Passed {
        uri: uri.to_owned(),
        mappings,
        timeout: Duration::from_millis(millis.unwrap_or(INTEGRATION_MILLIS)),
    })
}

fn access_log(stage: &Value) -> Option<AccessLog> {
    let settings = stage.get("accessLogSettings")?;
    Some(AccessLog {
        group: group_of(text(settings, "destinationArn")?)?,
        format: text(settings, "format")?.to_owned(),
    })
}

/// The configuration, in the service's form or in that of a template: the local AWS keeps that.
fn cors(api: &Value) -> Option<Cors> {
    let cors = api.get("corsConfiguration")?;
    let member = |name: &str| {
        let mut letters = name.chars();
        let first = letters.next().unwrap_or_default().to_ascii_uppercase();
        let in_template = format!("{first}{}", letters.as_str());
        cors.get(name).or_else(|| cors.get(&in_template))
    };
    let texts = |name: &str| -> Vec<String> {
        let values = member(name).and_then(Value::as_array);
        let values = values.into_iter().flatten().filter_map(Value::as_str);
        values.map(str::to_owned).collect()
    };
    Some(Cors {
        origins: texts("allowOrigins"),
        headers: texts("allowHeaders"),
        methods: texts("allowMethods"),
        exposed: texts("exposeHeaders"),
        credentials: member("allowCredentials").and_then(Value::as_bool) == Some(true),
        max_age: member("maxAge").and_then(Value::as_i64),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_configuration_is_read_in_both_forms() {
        let service = json!({"corsConfiguration": {
            "allowOrigins": ["https://a.example"], "allowHeaders": ["x-api-key"],
            "allowMethods": ["GET"], "allowCredentials": true, "maxAge": 600}});
        let template = json!({"corsConfiguration": {
            "AllowOrigins": ["https://a.example"], "AllowHeaders": ["x-api-key"],
            "AllowMethods": ["GET"], "AllowCredentials": true, "MaxAge": 600}});
        assert_eq!(cors(&service), cors(&template));
        assert_eq!(cors(&service).and_then(|cors| cors.max_age), Some(600));
        assert_eq!(cors(&json!({"apiId": "a"})), None);
    }

    #[test]
    fn an_authorizer_that_may_go_unasked_is_not_supported() {
        let mut authorizer = json!({
            "authorizerPayloadFormatVersion": "2.0",
            "enableSimpleResponses": true,
            "authorizerResultTtlInSeconds": 0,
        });
        assert!(is_supported(&authorizer));
        for (member, value) in [
            ("authorizerResultTtlInSeconds", json!(300)),
            ("identitySource", json!(["$request.header.x-api-key"])),
            ("enableSimpleResponses", json!(false)),
        ] {
            let before = authorizer.clone();
            authorizer[member] = value;
            assert!(!is_supported(&authorizer), "{member}");
            authorizer = before;
        }
    }
}
