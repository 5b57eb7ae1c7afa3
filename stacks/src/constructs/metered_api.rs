//! A REST API in your own stack that an environment meters. The environment's authorizer decides
//! which calls to accept. The API writes to the environment's access log, and the reconciler reads
//! the lines there.
//!
//! The environment is deployed separately, before this stack. Its resources are found by name:
//! nothing else ties the stacks together.

mod log_format;
mod responses;

use std::collections::BTreeMap;

use domain::gateway::Gateway;
use domain::names::{Function as Of, Names};

use super::function::Invoked;
use super::rest_api::{Authorizer, RestApi, RestApiSettings};
use super::routes::{Access, Integration, Verb};
use super::stack::Stack;
use crate::cfn::{Handle, LogicalId, Val, apigateway, sub};

pub(crate) use log_format::log_format;
pub(crate) use responses::GATEWAY_RESPONSES;

/// A metered REST API with one stage.
#[derive(Debug)]
pub struct MeteredApi {
    api: RestApi,
    gate: Authorizer,
    log: String,
}

/// The settings of a metered API.
#[derive(Clone, Copy, Debug)]
pub struct MeteredApiSettings<'a> {
    /// The names of the environment that meters it:
    /// [`Environment::names`](crate::Environment::names).
    pub names: &'a Names,
    /// Its name.
    pub name: &'a str,
    /// Its purpose.
    pub description: &'a str,
    /// The name of its stage: the first part of every path.
    pub stage: &'a str,
    /// Calls per second that the stage accepts, and its burst.
    pub throttle: (u32, u32),
    /// Whether bodies are passed on byte for byte. Otherwise the gateway treats them as UTF-8
    /// texts.
    pub binary: bool,
}

impl MeteredApi {
    /// Declares the API `{id}`, its authorizer `{id}Authorizer` with the permission to call it, and
    /// the gateway's own responses.
    pub fn new(stack: &mut Stack, id: &'static str, settings: &MeteredApiSettings<'_>) -> Self {
        let own = RestApiSettings {
            name: settings.name,
            description: settings.description,
            stage: settings.stage,
            throttle: settings.throttle,
            tracing: false,
            tls_policy: None,
            binary: settings.binary,
        };
        let mut api = RestApi::new(stack, id, &own);
        let authorizer = Invoked::named(&settings.names.function(Of::Authorizer));
        let gate = LogicalId::from(format!("{id}Authorizer"));
        let gate = api.authorizer(stack, gate, authorizer);
        for (answer_id, answer) in &GATEWAY_RESPONSES {
            let answer_id = LogicalId::from(format!("{id}{answer_id}"));
            api.answer(stack, answer_id, answer, &BTreeMap::new());
        }
        Self {
            api,
            gate,
            log: settings.names.access_log(),
        }
    }

    /// Declares a route whose calls are metered, under the path as declared.
    pub fn route(
        &mut self,
        stack: &mut Stack,
        id: &'static str,
        route: (Verb, &str),
        integration: Integration<'_>,
    ) {
        let access = Access::Authorized(&self.gate);
        self.api.route(stack, id, route, integration, access);
    }

    /// Declares a route that is open to everyone and not metered.
    pub fn open_route(
        &mut self,
        stack: &mut Stack,
        id: &'static str,
        route: (Verb, &str),
        integration: Integration<'_>,
    ) {
        self.api.route(stack, id, route, integration, Access::Open);
    }

    /// Its URL, without a trailing slash.
    pub fn url(&self) -> Val<String> {
        self.api.url()
    }

    /// Declares the deployment and the stage `{id}`, after all routes.
    pub fn deploy(self, stack: &mut Stack, id: &'static str) -> Handle<apigateway::Stage> {
        let log = sub(format!(
            "arn:${{AWS::Partition}}:logs:${{AWS::Region}}:${{AWS::AccountId}}:log-group:{}",
            self.log
        ));
        self.api.deploy(stack, id, log, &log_format(Gateway::Rest))
    }
}
