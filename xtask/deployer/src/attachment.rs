//! A live attached API: the parts that decide whether its calls are metered.

mod http;
mod rest;

use std::collections::BTreeMap;

use domain::gateway::Gateway;

use crate::error::Error;
use crate::session::Session;

/// An API with one of its stages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AttachedApi {
    /// Its methods or routes, in the order of their names.
    pub routes: Vec<ApiRoute>,
    /// Its authorizers.
    pub authorizers: Vec<ApiAuthorizer>,
    /// The stage; `None` if the API has none of that name.
    pub stage: Option<ApiStage>,
    /// The status of a call that its authorizer denies, if the API sets one.
    pub denied: Option<String>,
}

/// A method of a resource, or a route.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApiRoute {
    /// Such as `GET /orders/{id}`, or `$default`.
    pub name: String,
    /// The type of authorization: `NONE`, `CUSTOM`, `AWS_IAM`, `JWT`, …
    pub authorization: String,
    /// The id of its authorizer.
    pub authorizer: Option<String>,
}

/// An authorizer of an API.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApiAuthorizer {
    /// Its id.
    pub id: String,
    /// `REQUEST`, `TOKEN`, `JWT`, …
    pub kind: String,
    /// The function that it invokes, in the gateway's form.
    pub uri: Option<String>,
    /// The role with which it invokes the function. Without one, the function's policy must allow
    /// the call.
    pub role: Option<String>,
    /// How long the gateway caches its answers.
    pub cache_seconds: i32,
    /// The parts that a call must have before the gateway calls the function.
    pub identity_sources: Vec<String>,
    /// The payload version of an HTTP API.
    pub payload: Option<String>,
    /// Whether simple responses are enabled: yes or no.
    pub takes_simple_answers: bool,
}

/// A stage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApiStage {
    /// The ARN of its access log's destination.
    pub log: Option<String>,
    /// The format of its access log.
    pub log_format: Option<String>,
    /// Its variables.
    pub variables: BTreeMap<String, String>,
}

impl AttachedApi {
    /// Reads an API and one of its stages; `None` if no API of this kind has the id.
    ///
    /// For a REST API this is the current definition. Its stage serves the one that was deployed last.
    pub async fn find(
        session: &Session,
        gateway: Gateway,
        api: &str,
        stage: &str,
    ) -> Result<Option<Self>, Error> {
        let found = match gateway {
            Gateway::Rest => rest::read(session, api, stage).await,
            Gateway::Http => http::read(session, api, stage).await,
        };
        let Some(mut found) = there(found)? else {
            return Ok(None);
        };
        found.routes.sort();
        Ok(Some(found))
    }
}

/// `None` if the requested item does not exist.
fn there<T>(found: Result<T, Error>) -> Result<Option<T>, Error> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}
