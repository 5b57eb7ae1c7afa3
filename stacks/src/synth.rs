//! From an environment to its assembly.

use std::fmt;

use domain::names::{Function, TrackingMode};

use crate::assembly::{Assembly, StackArtifact};
use crate::assets::FunctionAssets;
use crate::cfn::Problem;
use crate::constructs::Stack;
use crate::context::Context;
use crate::environment::{Environment, LOCAL_ACCOUNT};
use crate::{api, data, kinesis, local, rules};

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
    /// The plans cannot be handed to the functions.
    #[error("the plans cannot be written as JSON")]
    Plans {
        /// Why not.
        source: serde_json::Error,
    },
    /// The routes cannot be told apart.
    #[error("the routes cannot be told apart")]
    Routes(#[from] domain::route::RoutesError),
    /// A stack holds what AWS would refuse.
    #[error("stack `{stack}` cannot be deployed:{}", List(problems))]
    Invalid {
        /// The stack.
        stack: String,
        /// Each with its place.
        problems: Vec<Problem>,
    },
}

/// Problems, one a line.
struct List<'a>(&'a [Problem]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in self.0 {
            write!(f, "\n  {problem}")?;
        }
        Ok(())
    }
}

/// The stacks of an environment, in the order in which they are deployed: data, then the stream's
/// (in stream mode), then the API's. They are deleted in the reverse order.
///
/// # Errors
///
/// Where a function has no zip, and where anything breaks a limit that AWS publishes or a rule of
/// this crate: all of it, each with the logical id and property.
pub fn synthesise(
    environment: &Environment,
    assets: &FunctionAssets,
) -> Result<Assembly, SynthError> {
    let context = Context::new(environment, assets);
    let mut stacks = vec![data::stack(&context)?];
    if environment.mode() == TrackingMode::Stream {
        stacks.push(kinesis::stack(&context)?);
    }
    stacks.push(api::stack(&context)?);

    let mut before: Vec<String> = Vec::new();
    let mut artifacts = Vec::new();
    for stack in stacks {
        let artifact = artifact(environment, stack, before.clone())?;
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

fn artifact(
    environment: &Environment,
    stack: Stack,
    depends_on: Vec<String>,
) -> Result<StackArtifact, SynthError> {
    let (name, mut template, assets) = stack.into_parts();
    let tags = tags(environment);
    template.tag(&tags);
    rules::check(&mut template);
    let parameters = template.parameters().map(ToOwned::to_owned).collect();
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
        parameters,
        unsupported_locally,
        tags,
    })
}

/// The environment file's tags, and which environment it is.
fn tags(environment: &Environment) -> std::collections::BTreeMap<String, String> {
    let given = environment.tags.iter();
    let given = given.map(|(key, value)| (key.to_string(), value.to_string()));
    let own = (
        format!("{}:environment", environment.resource_prefix),
        environment.name.clone(),
    );
    given.chain([own]).collect()
}
