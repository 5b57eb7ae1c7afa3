//! The context of every verb: the repository, the environment, the output.

use std::path::{Path, PathBuf};

use stacks::environment::Environment;

use crate::local::{Demo, Local, SigningKey};
use crate::options::Global;
use crate::output::Output;
use crate::stop::Stop;

/// Overrides `analytics.enabled` of the environment file, if set.
const ANALYTICS_VARIABLE: &str = "ENABLE_KINESIS_ANALYTICS";

/// The context of a command.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    pub(crate) out: Output,
    pub(crate) root: PathBuf,
    /// The workspace that holds `functions/`.
    pub(crate) functions_root: PathBuf,
    /// The folder of the assembly that `deploy` deploys.
    pub(crate) assembly_dir: PathBuf,
    /// Whether to use the functions as last built.
    pub(crate) prebuilt: bool,
    /// The URL at which the function host reaches the embedded AWS, if it is not the embedded AWS
    /// itself.
    pub(crate) host_aws_endpoint: Option<String>,
    name: String,
    local_dir: PathBuf,
    environments_dir: PathBuf,
}

/// Whether an environment has its own embedded AWS.
pub(crate) fn is_embedded(environment: &Environment) -> bool {
    environment.is_local() && environment.endpoint.is_none()
}

impl Context {
    pub(crate) fn new(global: &Global) -> Self {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = manifest.parent().unwrap_or(manifest).to_owned();
        let or = |given: &Option<PathBuf>, usual: &str| match given {
            Some(dir) => std::path::absolute(dir).unwrap_or_else(|_| dir.clone()),
            None => root.join(usual),
        };
        let local_dir = or(&global.local_dir, "target/local");
        let environments_dir = or(&global.environments_dir, "stacks/environments");
        let functions_root = or(&global.functions_dir, "");
        let assembly_dir = or(&global.assembly_dir, "cdk.out");
        Self {
            out: Output::new(global.json, global.quiet),
            root,
            functions_root,
            assembly_dir,
            prebuilt: global.prebuilt,
            host_aws_endpoint: global.host_aws_endpoint.clone(),
            name: global.env.clone(),
            local_dir,
            environments_dir,
        }
    }

    /// The folder of builds and tools.
    pub(crate) fn target(&self) -> PathBuf {
        self.root.join("target")
    }

    /// The same context with less output.
    pub(crate) fn hushed(&self) -> Self {
        Self {
            out: self.out.hushed(),
            ..self.clone()
        }
    }

    /// The environment, checked.
    pub(crate) fn environment(&self) -> anyhow::Result<Environment> {
        let folder = &self.environments_dir;
        let path = folder.join(format!("{}.yaml", self.name));
        if !path.is_file() {
            return Err(self.unknown_environment(folder).into());
        }
        let environment = Environment::load(&path)
            .map_err(|error| Stop::usage(relative(&error.to_string(), &self.root)))?;
        Ok(environment.with_analytics(analytics_override()?))
    }

    /// The environment as it was last deployed: in `local` before the demo's upstream, if that runs.
    pub(crate) fn environment_as_deployed(&self) -> anyhow::Result<Environment> {
        let environment = self.environment()?;
        if !is_embedded(&environment) || environment.upstream.is_some() {
            return Ok(environment);
        }
        // A state that cannot be read is reported by the commands that need it.
        let state = self.local().state().unwrap_or_default();
        match state.demo {
            Some(demo) => Demo::before(environment, &self.root, demo.port),
            None => Ok(environment),
        }
    }

    fn unknown_environment(&self, folder: &Path) -> Stop {
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                name.strip_suffix(".yaml").map(|name| format!("`{name}`"))
            })
            .collect();
        names.sort();
        Stop::usage(format!(
            "there is no environment `{}`: `{}` has {}",
            self.name,
            relative(&folder.display().to_string(), &self.root),
            names.join(", ")
        ))
        .hint(format!(
            "copy one of them to `{}`",
            relative(
                &folder
                    .join(&self.name)
                    .with_extension("yaml")
                    .display()
                    .to_string(),
                &self.root
            )
        ))
    }

    /// The environment. If it has an embedded AWS, its analytics API also trusts the key that signs
    /// this machine's tokens, in addition to the keys in the file.
    pub(crate) fn trusting_this_machine(
        &self,
        environment: Environment,
    ) -> anyhow::Result<Environment> {
        if !is_embedded(&environment) {
            return Ok(environment);
        }
        Ok(match self.local().state()?.signing_key {
            Some(key) => environment.trusting(vec![SigningKey::parse(&key)?.jwk()]),
            None => environment,
        })
    }

    /// Asks whether a change may proceed; in production the answer is the environment's name.
    pub(crate) async fn confirm(&self, question: &str) -> anyhow::Result<bool> {
        if self.environment()?.is_production() {
            self.out.confirm_by_name(question, &self.name).await
        } else {
            self.out.confirm(question).await
        }
    }

    /// The local environment's folder.
    pub(crate) fn local(&self) -> Local {
        Local::new(self.local_dir.clone())
    }
}

/// Makes paths relative to the repository's folder, as the user knows them.
fn relative(message: &str, root: &Path) -> String {
    message.replace(&format!("{}/", root.display()), "")
}

fn analytics_override() -> anyhow::Result<Option<bool>> {
    let Some(value) = std::env::var_os(ANALYTICS_VARIABLE) else {
        return Ok(None);
    };
    match value.to_str() {
        Some("true") => Ok(Some(true)),
        Some("false") => Ok(Some(false)),
        Some("") => Ok(None),
        _ => Err(Stop::usage(format!(
            "`{ANALYTICS_VARIABLE}` is `{}`: expected `true` or `false`",
            value.display()
        ))
        .into()),
    }
}
