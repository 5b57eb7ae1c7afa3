//! An API that is attached, as it stands: what of it decides whether its calls are metered.

mod http;
mod rest;

use std::collections::BTreeMap;

use domain::gateway::Gateway;

use crate::error::Error;
use crate::session::Session;

/// An API at one of its stages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AttachedApi {
    /// Its methods or routes, in the order of their names.
    pub routes: Vec<ApiRoute>,
    /// Its authorizers.
    pub authorizers: Vec<ApiAuthorizer>,
    /// The stage; `None` where it has none of that name.
    pub stage: Option<ApiStage>,
    /// The status of a call that its authorizer denies, where the API sets one.
    pub denied: Option<String>,
}

/// A method of a resource, or a route.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApiRoute {
    /// Such as `GET /orders/{id}`, or `$default`.
    pub name: String,
    /// What lets calls through: `NONE`, `CUSTOM`, `AWS_IAM`, `JWT`, …
    pub authorization: String,
    /// The id of the authorizer that is asked.
    pub authorizer: Option<String>,
}

/// An authorizer of an API.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApiAuthorizer {
    /// Its id.
    pub id: String,
    /// `REQUEST`, `TOKEN`, `JWT`, …
    pub kind: String,
    /// The function that it invokes, as a gateway names it.
    pub uri: Option<String>,
    /// The role that it invokes the function with; without one the function's policy must allow it.
    pub role: Option<String>,
    /// How long answers are kept.
    pub cache_seconds: i32,
    /// What a call must bring before the function is asked.
    pub identity_sources: Vec<String>,
    /// The payload of an HTTP API.
    pub payload: Option<String>,
    /// Whether it takes yes or no.
    pub takes_simple_answers: bool,
}

/// A stage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApiStage {
    /// The ARN that its access log goes to.
    pub log: Option<String>,
    /// The format of its access log.
    pub log_format: Option<String>,
    /// Its variables.
    pub variables: BTreeMap<String, String>,
}

impl AttachedApi {
    /// Looks at an API and one of its stages; `None` where there is no such API of this kind.
    ///
    /// A REST API's stage answers with what was last deployed to it, and this is what would be deployed
    /// next.
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

/// Nothing where what was asked for is not there.
fn there<T>(found: Result<T, Error>) -> Result<Option<T>, Error> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}
