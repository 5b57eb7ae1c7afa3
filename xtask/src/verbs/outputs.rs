//! `outputs`: the outputs of the stacks, and the keys of the local environment.

use std::collections::BTreeMap;

use deployer::Deployed;
use domain::names::{ADMIN_SCOPE, StackKind};
use serde::Serialize;
use stacks::environment::Environment;

use super::token;
use crate::aws::{self, Reached, reach};
use crate::context::Context;
use crate::stop::Exit;

/// The user of the printed admin token, which gives access to everyone's data.
pub(super) const DEMO_EMAIL: &str = "demo@example.com";

/// The result of `outputs` and `deploy`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Outputs {
    environment: String,
    region: String,
    mode: &'static str,
    api_url: String,
    dashboard_url: Option<String>,
    /// A path that can be called as it is.
    #[serde(skip)]
    callable: Option<String>,
    stacks: BTreeMap<String, BTreeMap<String, String>>,
    local: Option<LocalOutputs>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LocalOutputs {
    aws_endpoint: String,
    /// Missing if the key table is missing.
    demo_key: Option<String>,
    admin_token: String,
}

pub(crate) async fn run(context: &Context) -> anyhow::Result<Exit> {
    let reached = reach(context).await?;
    let outputs = collect(context, &reached).await?;
    context.out.answer(&outputs, Outputs::text)?;
    Ok(Exit::Done)
}

/// All current outputs.
pub(super) async fn collect(context: &Context, reached: &Reached) -> anyhow::Result<Outputs> {
    let found = reached.deployed().await?;
    let api_url = reached.api_url(&found)?;
    let local = match &reached.running {
        Some(running) => {
            let state = context.local().state()?;
            let issued = token::issue(&reached.environment, &state, DEMO_EMAIL, vec![ADMIN_SCOPE])?;
            Some(LocalOutputs {
                aws_endpoint: running.endpoint(),
                demo_key: state.demo_key.map(|demo| demo.key),
                admin_token: issued.token,
            })
        }
        None => None,
    };
    Ok(Outputs {
        environment: reached.environment.name.clone(),
        region: reached.session.region().to_owned(),
        mode: aws::deployed_mode(&found).as_str(),
        dashboard_url: dashboard_url(reached, &found, &api_url),
        callable: callable(&reached.environment).into_iter().next(),
        api_url,
        stacks: aws::outputs(&found),
        local,
    })
}

/// Paths that respond to a `GET` as they are: for an upstream, those that its routes name without
/// variables or with examples.
pub(super) fn callable(environment: &Environment) -> Vec<String> {
    match &environment.upstream {
        Some(upstream) => upstream.examples.clone(),
        None => vec!["/v1/deadlines?country=AU".to_owned()],
    }
}

/// The URL of the dashboard; the embedded AWS has no console, and shows the usage page instead.
fn dashboard_url(
    reached: &Reached,
    found: &[(StackKind, Deployed)],
    api_url: &str,
) -> Option<String> {
    if reached.running.is_some() {
        return Some(format!("{api_url}/v1/analytics/"));
    }
    found
        .iter()
        .find_map(|(_, stack)| stack.outputs.get("DashboardUrl").cloned())
}

impl Outputs {
    /// The outputs as text.
    pub(super) fn text(&self) -> String {
        let mut lines = vec![
            format!(
                "environment  {} ({}, {})",
                self.environment, self.region, self.mode
            ),
            format!("api          {}", self.api_url),
        ];
        if let Some(url) = &self.dashboard_url {
            lines.push(format!("dashboard    {url}"));
        }
        for (stack, outputs) in &self.stacks {
            lines.push(stack.clone());
            let outputs = outputs.iter();
            lines.extend(outputs.map(|(key, value)| format!("  {key} = {value}")));
        }
        if let Some(local) = &self.local {
            lines.push(format!("aws endpoint {}", local.aws_endpoint));
            if let Some(key) = &local.demo_key {
                lines.push(format!("demo key     {key}"));
            }
            lines.push(format!("admin token  {}", local.admin_token));
        }
        lines.join("\n")
    }

    /// A call that the user can make at once, if one is known to work.
    pub(super) fn curl(&self) -> Option<String> {
        let local = self.local.as_ref()?;
        Some(format!(
            "curl -H 'x-api-key: {}' '{}{}'",
            local.demo_key.as_ref()?,
            self.api_url,
            self.callable.as_ref()?,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_has_the_members_of_the_contract() {
        let outputs = Outputs {
            environment: "local".into(),
            region: "ap-south-1".into(),
            mode: "stream",
            api_url: "http://127.0.0.1:1/local".into(),
            dashboard_url: None,
            callable: Some("/v1/deadlines?country=AU".into()),
            stacks: BTreeMap::from([("S".into(), BTreeMap::from([("K".into(), "V".into())]))]),
            local: Some(LocalOutputs {
                aws_endpoint: "http://127.0.0.1:2".into(),
                demo_key: Some("k".into()),
                admin_token: "t".into(),
            }),
        };
        assert_eq!(
            serde_json::to_value(&outputs).unwrap(),
            serde_json::json!({
                "environment": "local", "region": "ap-south-1", "mode": "stream",
                "apiUrl": "http://127.0.0.1:1/local", "dashboardUrl": null,
                "stacks": {"S": {"K": "V"}},
                "local": {"awsEndpoint": "http://127.0.0.1:2", "demoKey": "k", "adminToken": "t"},
            })
        );
        let curl = outputs.curl().unwrap();
        assert_eq!(
            curl,
            "curl -H 'x-api-key: k' 'http://127.0.0.1:1/local/v1/deadlines?country=AU'"
        );
        let without = Outputs {
            callable: None,
            ..outputs
        };
        assert_eq!(without.curl(), None, "what may not work is not printed");
    }
}
