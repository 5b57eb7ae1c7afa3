//! HTTP APIs, API Gateway's version 2.

use aws_sdk_apigatewayv2::Client;

use super::{ApiAuthorizer, ApiRoute, ApiStage, AttachedApi, there};
use crate::error::{Error, failed};
use crate::session::Session;

pub(super) async fn read(session: &Session, api: &str, stage: &str) -> Result<AttachedApi, Error> {
    let client = Client::new(session.config());
    Ok(AttachedApi {
        routes: routes(&client, api).await?,
        authorizers: authorizers(&client, api).await?,
        stage: there(self::stage(&client, api, stage).await)?,
        denied: None,
    })
}

async fn routes(client: &Client, api: &str) -> Result<Vec<ApiRoute>, Error> {
    let mut found = Vec::new();
    let mut token = None;
    loop {
        let asked = client.get_routes().api_id(api).set_next_token(token);
        let page = asked.send().await.map_err(failed("GetRoutes"))?;
        found.extend(page.items.unwrap_or_default().into_iter().map(|route| {
            ApiRoute {
                name: route.route_key.unwrap_or_default(),
                authorization: route
                    .authorization_type
                    .map_or_else(|| "NONE".to_owned(), |kind| kind.as_str().to_owned()),
                authorizer: route.authorizer_id,
            }
        }));
        match page.next_token {
            Some(next) => token = Some(next),
            None => return Ok(found),
        }
    }
}

async fn authorizers(client: &Client, api: &str) -> Result<Vec<ApiAuthorizer>, Error> {
    let mut found = Vec::new();
    let mut token = None;
    loop {
        let asked = client.get_authorizers().api_id(api).set_next_token(token);
        let page = asked.send().await.map_err(failed("GetAuthorizers"))?;
        found.extend(page.items.unwrap_or_default().into_iter().map(authorizer));
        match page.next_token {
            Some(next) => token = Some(next),
            None => return Ok(found),
        }
    }
}

fn authorizer(set: aws_sdk_apigatewayv2::types::Authorizer) -> ApiAuthorizer {
    ApiAuthorizer {
        id: set.authorizer_id.unwrap_or_default(),
        kind: set
            .authorizer_type
            .map_or_else(String::new, |kind| kind.as_str().to_owned()),
        uri: set.authorizer_uri,
        role: set
            .authorizer_credentials_arn
            .filter(|role| !role.is_empty()),
        // An answer can be cached only with an identity source, and then the API returns the time.
        cache_seconds: set.authorizer_result_ttl_in_seconds.unwrap_or_default(),
        identity_sources: set.identity_source.unwrap_or_default(),
        payload: set.authorizer_payload_format_version,
        takes_simple_answers: set.enable_simple_responses.unwrap_or_default(),
    }
}

async fn stage(client: &Client, api: &str, stage: &str) -> Result<ApiStage, Error> {
    let asked = client.get_stage().api_id(api).stage_name(stage);
    let found = asked.send().await.map_err(failed("GetStage"))?;
    let (log, log_format) = found
        .access_log_settings
        .map_or((None, None), |log| (log.destination_arn, log.format));
    Ok(ApiStage {
        log,
        log_format,
        variables: found
            .stage_variables
            .unwrap_or_default()
            .into_iter()
            .collect(),
    })
}
