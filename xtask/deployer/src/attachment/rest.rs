//! REST APIs.

use aws_sdk_apigateway::Client;
use aws_sdk_apigateway::types::GatewayResponseType;

use super::{ApiAuthorizer, ApiRoute, ApiStage, AttachedApi, there};
use crate::error::{Error, failed};
use crate::session::Session;

/// Seconds for which answers are cached if an authorizer has no such setting
/// (<https://docs.aws.amazon.com/apigateway/latest/api/API_Authorizer.html>).
const DEFAULT_CACHE: i32 = 300;

/// The most resources per page
/// (<https://docs.aws.amazon.com/apigateway/latest/api/API_GetResources.html>).
const PAGE: i32 = 500;

pub(super) async fn read(session: &Session, api: &str, stage: &str) -> Result<AttachedApi, Error> {
    let client = Client::new(session.config());
    Ok(AttachedApi {
        routes: routes(&client, api).await?,
        authorizers: authorizers(&client, api).await?,
        stage: there(self::stage(&client, api, stage).await)?,
        denied: there(denied(&client, api).await)?.flatten(),
    })
}

async fn routes(client: &Client, api: &str) -> Result<Vec<ApiRoute>, Error> {
    let mut pages = client
        .get_resources()
        .rest_api_id(api)
        .embed("methods")
        .limit(PAGE)
        .into_paginator()
        .items()
        .send();
    let mut routes = Vec::new();
    while let Some(resource) = pages.next().await {
        let resource = resource.map_err(failed("GetResources"))?;
        let path = resource.path.unwrap_or_default();
        for (method, set) in resource.resource_methods.unwrap_or_default() {
            routes.push(ApiRoute {
                name: format!("{method} {path}"),
                authorization: set.authorization_type.unwrap_or_else(|| "NONE".to_owned()),
                authorizer: set.authorizer_id,
            });
        }
    }
    Ok(routes)
}

async fn authorizers(client: &Client, api: &str) -> Result<Vec<ApiAuthorizer>, Error> {
    let mut found = Vec::new();
    let mut position = None;
    loop {
        let asked = client
            .get_authorizers()
            .rest_api_id(api)
            .set_position(position);
        let page = asked.send().await.map_err(failed("GetAuthorizers"))?;
        found.extend(page.items.unwrap_or_default().into_iter().map(authorizer));
        match page.position {
            Some(next) => position = Some(next),
            None => return Ok(found),
        }
    }
}

fn authorizer(set: aws_sdk_apigateway::types::Authorizer) -> ApiAuthorizer {
    let sources = set.identity_source.unwrap_or_default();
    let sources = sources.split(',').map(str::trim);
    ApiAuthorizer {
        id: set.id.unwrap_or_default(),
        kind: set
            .r#type
            .map_or_else(String::new, |kind| kind.as_str().to_owned()),
        uri: set.authorizer_uri,
        role: set.authorizer_credentials.filter(|role| !role.is_empty()),
        cache_seconds: set
            .authorizer_result_ttl_in_seconds
            .unwrap_or(DEFAULT_CACHE),
        identity_sources: sources
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
            .collect(),
        payload: None,
        takes_simple_answers: false,
    }
}

async fn stage(client: &Client, api: &str, stage: &str) -> Result<ApiStage, Error> {
    let asked = client.get_stage().rest_api_id(api).stage_name(stage);
    let found = asked.send().await.map_err(failed("GetStage"))?;
    let (log, log_format) = found
        .access_log_settings
        .map_or((None, None), |log| (log.destination_arn, log.format));
    Ok(ApiStage {
        log,
        log_format,
        variables: found.variables.unwrap_or_default().into_iter().collect(),
    })
}

/// The status of a denied call.
async fn denied(client: &Client, api: &str) -> Result<Option<String>, Error> {
    let asked = client
        .get_gateway_response()
        .rest_api_id(api)
        .response_type(GatewayResponseType::AccessDenied);
    let found = asked.send().await.map_err(failed("GetGatewayResponse"))?;
    Ok(found.status_code)
}
