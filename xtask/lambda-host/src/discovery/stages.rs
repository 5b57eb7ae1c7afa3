//! The stages of the deployed APIs. Of REST APIs with the access log of the deployed template, the
//! gateway responses in effect, and the integration of each method.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::DeployedResource;
use crate::{
    emulator::{Emulator, EmulatorError},
    front::{AccessLog, Api, GatewayResponse, RestApi, Stage},
};

mod http;
mod methods;

/// Every stage by its name; a name that two APIs use belongs to the one listed last.
pub(crate) async fn stages(
    emulator: &Emulator,
    region: &str,
    resources: &[DeployedResource],
) -> Result<BTreeMap<String, Stage>, EmulatorError> {
    let mut found = BTreeMap::new();
    let streamed = streamed(resources);
    let apis = emulator.get("apigateway", "/restapis?limit=500").await?;
    for api in items(&apis) {
        let Some(id) = text(api, "id") else { continue };
        let served = methods::resources(emulator, id, &streamed).await?;
        let binary = api.get("binaryMediaTypes").and_then(Value::as_array);
        let binary = binary.is_some_and(|types| types.iter().any(|of| of == "*/*"));
        let gateway_responses = emulator
            .get("apigateway", &format!("/restapis/{id}/gatewayresponses"))
            .await?;
        let stages = emulator
            .get("apigateway", &format!("/restapis/{id}/stages"))
            .await?;
        for stage in items(&stages) {
            let Some(name) = text(stage, "stageName") else {
                continue;
            };
            found.insert(
                name.to_owned(),
                Stage {
                    api_id: id.to_owned(),
                    name: name.to_owned(),
                    region: region.to_owned(),
                    access_log: access_log(stage, id, name, resources),
                    api: Api::Rest(RestApi {
                        gateway_responses: items(&gateway_responses)
                            .filter_map(gateway_response)
                            .collect(),
                        resources: served.clone(),
                        binary,
                    }),
                },
            );
        }
    }
    let of_http = http::stages(emulator, region).await?.into_iter();
    found.extend(of_http.map(|stage| (stage.name.clone(), stage)));
    Ok(found)
}

/// API Gateway lists items under `item`, or under `_embedded.item`; a single item may stand without
/// a list.
fn items(list: &Value) -> impl Iterator<Item = &Value> {
    let found = list.get("item").or_else(|| list.pointer("/_embedded/item"));
    let array = found.and_then(Value::as_array).into_iter().flatten();
    array.chain(found.filter(|found| found.is_object()))
}

fn text<'a>(value: &'a Value, member: &str) -> Option<&'a str> {
    value
        .get(member)
        .and_then(Value::as_str)
        .filter(|text| !text.is_empty())
}

/// The URIs of integrations whose responses are streamed.
fn streamed(resources: &[DeployedResource]) -> BTreeSet<&str> {
    let methods = resources
        .iter()
        .filter(|resource| resource.kind == "AWS::ApiGateway::Method");
    let integrations = methods.filter_map(|method| method.properties.get("Integration"));
    integrations
        .filter(|integration| text(integration, "ResponseTransferMode") == Some("STREAM"))
        .filter_map(|integration| text(integration, "Uri"))
        .collect()
}

/// The emulator keeps the settings of a stage created through its API, and loses those of a stage
/// created by CloudFormation: for those, the template has them.
fn access_log(
    stage: &Value,
    api_id: &str,
    name: &str,
    resources: &[DeployedResource],
) -> Option<AccessLog> {
    if let Some(settings) = stage.get("accessLogSettings")
        && let (Some(format), Some(arn)) =
            (text(settings, "format"), text(settings, "destinationArn"))
    {
        return Some(AccessLog {
            group: group_of(arn)?,
            format: format.to_owned(),
        });
    }
    let declared = resources.iter().find(|resource| {
        resource.kind == "AWS::ApiGateway::Stage"
            && resource.physical_id == name
            && api_of(resource, resources).is_none_or(|api| api == api_id)
    })?;
    let settings = declared.properties.get("AccessLogSetting")?;
    let destination = settings.get("DestinationArn")?;
    let group = match destination.as_str() {
        Some(arn) => group_of(arn)?,
        None => referenced(destination, declared, resources)?.to_owned(),
    };
    Some(AccessLog {
        group,
        format: text(settings, "Format")?.to_owned(),
    })
}

fn api_of<'a>(stage: &DeployedResource, resources: &'a [DeployedResource]) -> Option<&'a str> {
    referenced(stage.properties.get("RestApiId")?, stage, resources)
}

/// The physical id of the resource to which a `Ref` or `Fn::GetAtt` refers, at any depth of the
/// value.
fn referenced<'a>(
    value: &Value,
    by: &DeployedResource,
    resources: &'a [DeployedResource],
) -> Option<&'a str> {
    let named = |logical_id: &str| {
        resources
            .iter()
            .find(|other| other.stack == by.stack && other.logical_id == logical_id)
            .map(|other| other.physical_id.as_str())
    };
    match value {
        Value::String(text) => {
            // `Fn::GetAtt` may be written `LogicalId.Arn`.
            named(text).or_else(|| named(text.split('.').next().unwrap_or_default()))
        }
        Value::Array(values) => values
            .iter()
            .find_map(|value| referenced(value, by, resources)),
        Value::Object(members) => members
            .values()
            .find_map(|value| referenced(value, by, resources)),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

/// `arn:aws:logs:REGION:ACCOUNT:log-group:NAME`, with or without `:*`.
fn group_of(arn: &str) -> Option<String> {
    let (_, name) = arn.split_once(":log-group:")?;
    Some(name.trim_end_matches(":*").to_owned())
}

fn gateway_response(response: &Value) -> Option<(String, GatewayResponse)> {
    let kind = text(response, "responseType")?;
    // Only customised responses: the defaults are API Gateway's.
    if response
        .get("defaultResponse")
        .and_then(Value::as_bool)
        .unwrap_or(false)
    {
        return None;
    }
    let strings = |member: &str| -> BTreeMap<String, String> {
        response
            .get(member)
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
            .collect()
    };
    Some((
        kind.to_owned(),
        GatewayResponse {
            status: text(response, "statusCode").and_then(|status| status.parse().ok()),
            parameters: strings("responseParameters"),
            templates: strings("responseTemplates"),
        },
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use serde_json::json;

    use super::*;

    fn resource(
        logical_id: &str,
        kind: &str,
        physical_id: &str,
        properties: Value,
    ) -> DeployedResource {
        DeployedResource {
            stack: "S".to_owned(),
            logical_id: logical_id.to_owned(),
            physical_id: physical_id.to_owned(),
            kind: kind.to_owned(),
            properties,
        }
    }

    #[test]
    fn the_template_supplies_the_access_log_that_the_emulator_drops() {
        let resources = [
            resource(
                "Log",
                "AWS::Logs::LogGroup",
                "/aws/apigateway/x",
                Value::Null,
            ),
            resource("Api", "AWS::ApiGateway::RestApi", "abc", Value::Null),
            resource(
                "Stage",
                "AWS::ApiGateway::Stage",
                "local",
                json!({
                    "RestApiId": {"Ref": "Api"},
                    "AccessLogSetting": {
                        "DestinationArn": {"Fn::GetAtt": ["Log", "Arn"]},
                        "Format": "$context.requestId"
                    }
                }),
            ),
        ];
        let log = access_log(
            &json!({"accessLogSettings": {}}),
            "abc",
            "local",
            &resources,
        )
        .unwrap();
        assert_eq!(
            (log.group.as_str(), log.format.as_str()),
            ("/aws/apigateway/x", "$context.requestId")
        );
        assert!(access_log(&json!({}), "other", "local", &resources).is_none());
    }

    #[test]
    fn a_log_group_is_found_in_both_forms_of_its_arn() {
        let arn = "arn:aws:logs:ap-south-1:000000000000:log-group:/a/b";
        assert_eq!(group_of(arn).unwrap(), "/a/b");
        assert_eq!(group_of(&format!("{arn}:*")).unwrap(), "/a/b");
    }
}
