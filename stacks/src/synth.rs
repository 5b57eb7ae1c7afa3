//! From an environment to its assembly.

use std::fmt;

use domain::names::{Function, TrackingMode, env};

use crate::assembly::{Assembly, StackArtifact};
use crate::assets::{self, FunctionAssets};
use crate::cfn::Problem;
use crate::constructs::Stack;
use crate::environment::{Environment, LOCAL_ACCOUNT, Refusal};
use crate::metering::{StackContext, api, data, kinesis};
use crate::{linters, local, rules};

/// Why an environment has no assembly.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SynthError {
    /// A function was not built.
    #[error("function `{}` has no zip; build it first", of.folder())]
    NoAsset {
        /// The function.
        of: Function,
    },
    /// A setting cannot be passed to the functions.
    #[error("`{setting}` cannot be written as JSON")]
    Variable {
        /// The setting.
        setting: &'static str,
        /// The cause.
        source: serde_json::Error,
    },
    /// Two routes match the same calls.
    #[error("two routes match the same calls")]
    Routes(#[from] domain::route::RoutesError),
    /// A stack contains something that AWS would refuse.
    #[error("stack `{stack}` cannot be deployed:{}", List(problems))]
    Invalid {
        /// The stack.
        stack: String,
        /// The problems, each with its place.
        problems: Vec<Problem>,
    },
}

/// Problems, one per line.
struct List<'a>(&'a [Problem]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in self.0 {
            write!(f, "\n  {problem}")?;
        }
        Ok(())
    }
}

/// CloudFormation's message for a template whose functions were not built.
const NOT_BUILT: &str = "Made by `cargo xtask synth --no-build`, for review only: no function is built. \
                         `cargo xtask deploy` builds and deploys.";

/// The stacks of an environment, in the order of their deployment: data, then the stream's (in
/// stream mode), then the API's. They are deleted in the reverse order.
///
/// # Errors
///
/// If a function has no zip, or anything breaks a limit that AWS publishes or a rule of this crate:
/// all problems, each with the logical id and property.
pub fn synthesise(
    environment: &Environment,
    assets: &FunctionAssets,
) -> Result<Assembly, SynthError> {
    assembled(environment, assets, None)
}

/// The same for review, without building functions: templates that CloudFormation refuses to
/// deploy, and nothing to publish.
///
/// # Errors
///
/// As [`synthesise`].
pub fn synthesise_unbuilt(environment: &Environment) -> Result<Assembly, SynthError> {
    let assets = assets::unbuilt(environment.architecture());
    assembled(environment, &assets, Some(NOT_BUILT))
}

/// The stacks; with a reason, so that none can be deployed.
fn assembled(
    environment: &Environment,
    assets: &FunctionAssets,
    undeployable: Option<&'static str>,
) -> Result<Assembly, SynthError> {
    let context = StackContext::new(environment, assets);
    let mut stacks = vec![data::stack(&context)?];
    if environment.mode() == TrackingMode::Stream {
        stacks.push(kinesis::stack(&context)?);
    }
    stacks.push(api::stack(&context)?);

    let mut before: Vec<String> = Vec::new();
    let mut artifacts = Vec::new();
    for stack in stacks {
        let mut stack = stack;
        if let Some(reason) = undeployable {
            stack.template().never_deploy(reason);
        }
        let mut artifact = artifact(environment, stack, before.clone())?;
        if undeployable.is_some() {
            artifact.assets.clear();
        }
        before.push(artifact.name.clone());
        artifacts.push(artifact);
    }
    Ok(Assembly {
        environment: environment.name.clone(),
        account: match &environment.account {
            Some(account) => account.to_string(),
            None if environment.is_local() => LOCAL_ACCOUNT.to_owned(),
            None => "unknown-account".to_owned(),
        },
        region: environment.region.to_string(),
        mode: environment.mode(),
        stacks: artifacts,
    })
}

/// The problem that makes the file undeployable before any function is built: the stacks are
/// synthesised over stand-ins. Stream mode declares every resource.
pub(crate) fn refusal(environment: &Environment) -> Option<Refusal> {
    let environment = environment.clone().with_analytics(Some(true));
    let stand_ins = assets::unbuilt(environment.architecture());
    match synthesise(&environment, &stand_ins) {
        Ok(_) => None,
        Err(error) => {
            let setting = match &error {
                SynthError::Invalid { problems, .. } => problems.first().map_or("", setting),
                SynthError::Variable { setting, .. } => setting,
                SynthError::Routes(_) => "upstream",
                SynthError::NoAsset { .. } => "",
            };
            Some(Refusal::new(setting, error.to_string()))
        }
    }
}

/// The settings behind a function's variables: the one to blame for a variable that takes too much
/// space.
const OF_VARIABLES: [(&str, &str); 36] = [
    (env::ALERT_QUEUE, "resourcePrefix"),
    (env::ALERT_TOPIC, "resourcePrefix"),
    (env::ANALYTICS_TABLE, "resourcePrefix"),
    (env::API_KEYS_TABLE, "resourcePrefix"),
    (env::API_USAGE_TABLE, "resourcePrefix"),
    (env::ATTACHED_ROUTES, "attached"),
    (env::AUTH_AUDIENCE, "auth.audience"),
    (env::AUTH_EMAIL_IS_VERIFIED, "auth.emailIsVerified"),
    (env::AUTH_ISSUER, "auth.issuer"),
    (env::AUTH_JWKS, "auth.jwks"),
    (env::AUTH_JWKS_URL, "auth.jwksUrl"),
    (env::AUTH_SIGN_IN, "auth.signIn"),
    (env::DIMENSIONS, "dimensions"),
    (env::ENVIRONMENT, ""),
    (env::EVENT_SOURCE, "resourcePrefix"),
    (env::HOUR_RETENTION_DAYS, "retention.hourDays"),
    (env::KEY_PREFIX, "resourcePrefix"),
    (env::LEAST_SHARDS, "stream.minShards"),
    (env::METERS, "meters"),
    (env::METRICS_NAMESPACE, "stackPrefix"),
    (env::MINUTE_RETENTION_DAYS, "retention.minuteDays"),
    (env::MOST_SHARDS, "stream.maxShards"),
    (env::PLANS, "plans"),
    (env::PLAN_METRICS_NAMESPACE, "stackPrefix"),
    (env::RAW_RETENTION_DAYS, "retention.rawDays"),
    (env::RECONCILE_QUEUE, "resourcePrefix"),
    (env::RECONCILE_SECONDS, "reconciler.windowSeconds"),
    (env::RECONCILE_WINDOW_SECONDS, "reconciler.windowSeconds"),
    (env::REPORTS, "reports"),
    (env::REPORT_BUCKET, "resourcePrefix"),
    (env::RESERVED_HEADERS, "upstream"),
    (env::ROUTES, "upstream"),
    (env::TRACKING_MODE, "analytics"),
    (env::USAGE_STREAM, "resourcePrefix"),
    (env::WEBHOOKS, "webhooks"),
    (env::WEBHOOK_SECRETS, "resourcePrefix"),
];

/// The setting that causes a problem of a template.
fn setting(problem: &Problem) -> &'static str {
    let last = problem.path.last().map_or("", String::as_str);
    let variable = OF_VARIABLES.iter().find(|(variable, _)| *variable == last);
    match (variable, last) {
        (Some((_, setting)), _) => setting,
        (None, "FunctionName") => "stackPrefix",
        (None, property) if property.ends_with("Name") => "resourcePrefix",
        (None, _) => "",
    }
}

fn artifact(
    environment: &Environment,
    stack: Stack,
    depends_on: Vec<String>,
) -> Result<StackArtifact, SynthError> {
    let (name, mut template, assets) = stack.into_parts();
    let tags = tags(environment);
    template.tag(&tags);
    rules::check(&mut template);
    linters::explain(&mut template);
    let unsupported_locally = local::unsupported(&template);
    let template = template.finish().map_err(|problems| SynthError::Invalid {
        stack: name.clone(),
        problems,
    })?;
    Ok(StackArtifact {
        name,
        template,
        depends_on,
        assets,
        unsupported_locally,
        tags,
    })
}

/// The environment file's tags, and the tag with the environment's name.
fn tags(environment: &Environment) -> std::collections::BTreeMap<String, String> {
    let given = environment.tags.iter();
    let given = given.map(|(key, value)| (key.to_string(), value.to_string()));
    let own = (
        format!("{}:environment", environment.resource_prefix),
        environment.name.clone(),
    );
    given.chain([own]).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::collections::BTreeSet;
    use std::path::Path;

    use serde_json::Value;

    use super::*;

    #[test]
    fn every_variable_of_a_function_has_a_setting_to_blame() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("environments/test.yaml");
        let text = std::fs::read_to_string(&file).unwrap();
        let text = format!("{text}meters: {{tokens: {{}}}}\n");
        let environment = Environment::parse("test", &file, &text).unwrap();
        let assembly = synthesise_unbuilt(&environment).unwrap();
        let mut variables = BTreeSet::new();
        for stack in assembly.stacks {
            let template: Value = serde_json::from_str(&stack.template).unwrap();
            let resources = template.get("Resources").and_then(Value::as_object);
            for resource in resources.unwrap().values() {
                let set = resource.pointer("/Properties/Environment/Variables");
                let set = set.and_then(Value::as_object).into_iter().flatten();
                variables.extend(set.map(|(name, _)| name.clone()));
            }
        }
        let known: BTreeSet<String> = OF_VARIABLES.map(|(name, _)| name.to_owned()).into();
        assert_eq!(variables, known);
    }
}
