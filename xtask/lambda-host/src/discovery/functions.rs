//! The deployed functions.

use std::{collections::BTreeMap, path::Path, time::Duration};

use serde_json::Value;

use super::code;
use crate::{
    HostError,
    emulator::{Emulator, EmulatorError},
    function::FunctionSpec,
};

/// Every deployed function, with its code unpacked under `code_dir`; code of other versions is
/// removed from there.
pub(crate) async fn functions(
    emulator: &Emulator,
    code_dir: &Path,
) -> Result<Vec<FunctionSpec>, HostError> {
    let mut specs = Vec::new();
    for configuration in list(emulator).await? {
        let Some(name) = text(&configuration, "FunctionName") else {
            continue;
        };
        // Other runtimes stay with the emulator: the host runs `bootstrap` and nothing else.
        if !text(&configuration, "Runtime").is_some_and(|runtime| runtime.starts_with("provided")) {
            continue;
        }
        let function = emulator
            .get("lambda", &format!("/2015-03-31/functions/{name}"))
            .await?;
        let sha = text(&configuration, "CodeSha256").unwrap_or_default();
        let task_root = code::unpack(emulator, code_dir, name, sha, &function).await?;
        specs.push(spec(&function, &configuration, name, sha, task_root));
    }
    code::prune(code_dir, &specs);
    Ok(specs)
}

async fn list(emulator: &Emulator) -> Result<Vec<Value>, EmulatorError> {
    let mut found = Vec::new();
    let mut path = "/2015-03-31/functions/".to_owned();
    loop {
        let page = emulator.get("lambda", &path).await?;
        found.extend(
            page.get("Functions")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .cloned(),
        );
        match text(&page, "NextMarker") {
            Some(marker) => path = format!("/2015-03-31/functions/?Marker={marker}"),
            None => return Ok(found),
        }
    }
}

fn spec(
    function: &Value,
    configuration: &Value,
    name: &str,
    sha: &str,
    task_root: std::path::PathBuf,
) -> FunctionSpec {
    let number = |member: &str, default: u64| {
        configuration
            .get(member)
            .and_then(Value::as_u64)
            .unwrap_or(default)
    };
    FunctionSpec {
        name: name.to_owned(),
        arn: text(configuration, "FunctionArn")
            .unwrap_or_default()
            .to_owned(),
        handler: text(configuration, "Handler")
            .unwrap_or("bootstrap")
            .to_owned(),
        // Lambda's defaults: 3 seconds, 128 MB.
        timeout: Duration::from_secs(number("Timeout", 3)),
        memory_mb: u32::try_from(number("MemorySize", 128)).unwrap_or(u32::MAX),
        environment: variables(configuration),
        code_sha256: sha.to_owned(),
        task_root,
        log_group: configuration
            .pointer("/LoggingConfig/LogGroup")
            .and_then(Value::as_str)
            .map_or_else(|| format!("/aws/lambda/{name}"), str::to_owned),
        reserved_concurrency: function
            .pointer("/Concurrency/ReservedConcurrentExecutions")
            .and_then(Value::as_u64)
            .and_then(|reserved| usize::try_from(reserved).ok()),
    }
}

/// The function's variables. If the log is JSON, Lambda adds the level of the application log.
fn variables(configuration: &Value) -> BTreeMap<String, String> {
    let level = configuration.pointer("/LoggingConfig/ApplicationLogLevel");
    let level = level.and_then(Value::as_str).map(str::to_owned);
    configuration
        .pointer("/Environment/Variables")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
        .chain(level.map(|level| ("AWS_LAMBDA_LOG_LEVEL".to_owned(), level)))
        .collect()
}

fn text<'a>(value: &'a Value, member: &str) -> Option<&'a str> {
    value
        .get(member)
        .and_then(Value::as_str)
        .filter(|text| !text.is_empty())
}
