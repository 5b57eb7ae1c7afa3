//! Generates the resource types of `stacks` (`stacks/src/cfn/generated`) from the vendored
//! extract of AWS's published schema (`stacks/spec/cloudformation.json`).
//!
//! It is a separate crate so that a build of the stacks never waits for it. It reads only the
//! extract: no network, no other copy of the schema. `stacks/spec/extract.py` makes the extract.

mod extract;
mod names;
mod patterns;
mod references;
mod render;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use extract::Extract;

const EXTRACT: &str = "stacks/spec/cloudformation.json";
const GENERATED: &str = "stacks/src/cfn/generated";
const INDEX: &str = "stacks/src/cfn/generated.rs";

/// The result of a run, with paths relative to the workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every generated file matches the extract.
    UpToDate,
    /// These files differ from the extract; `--check` leaves them unchanged.
    OutOfDate(Vec<PathBuf>),
    /// These files were written or removed.
    Written(Vec<PathBuf>),
}

/// Why nothing was generated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CodegenError {
    /// A file could not be read, written or removed.
    #[error("cannot access `{path}`")]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// This generator cannot read the extract.
    #[error("`{EXTRACT}` is not an extract of format 1")]
    Extract {
        /// The position in the file.
        source: serde_json::Error,
    },
    /// Two items of the extract get the same Rust name.
    #[error("`{first}` and `{second}` would both be named `{name}`")]
    SameName {
        /// The Rust name.
        name: String,
        /// The first item with the name.
        first: String,
        /// The second item with the name.
        second: String,
    },
    /// rustfmt is missing or refused the generated text.
    #[error("rustfmt did not format the generated code: {message}")]
    Format {
        /// Its message.
        message: String,
    },
}

/// Generates, or with `check` only compares. `root` is the workspace's folder.
///
/// # Errors
///
/// If the extract cannot be read, or rustfmt cannot be run.
pub fn run(check: bool, root: &Path) -> Result<Outcome, CodegenError> {
    let extract = Extract::read(&root.join(EXTRACT))?;
    let wanted = files(&extract)?;
    let mut changed = Vec::new();
    for (file, text) in &wanted {
        let path = root.join(file);
        if std::fs::read_to_string(&path).ok().as_deref() != Some(text) {
            changed.push(file.clone());
            if !check {
                write(&path, text)?;
            }
        }
    }
    for file in stale(root, &wanted)? {
        if !check {
            let path = root.join(&file);
            std::fs::remove_file(&path).map_err(|source| CodegenError::File { path, source })?;
        }
        changed.push(file);
    }
    Ok(match (changed.is_empty(), check) {
        (true, _) => Outcome::UpToDate,
        (false, true) => Outcome::OutOfDate(changed),
        (false, false) => Outcome::Written(changed),
    })
}

/// The generated files by their paths in the workspace, formatted.
fn files(extract: &Extract) -> Result<BTreeMap<PathBuf, String>, CodegenError> {
    let folder = Path::new(GENERATED);
    let mut files = BTreeMap::new();
    let services = extract.services();
    for (service, resources) in &services {
        let text = render::service(extract, service, resources)?;
        files.insert(
            folder.join(format!("{}.rs", names::module(service))),
            format_rust(&text)?,
        );
    }
    files.insert(
        folder.join("actions.rs"),
        format_rust(&render::actions(extract))?,
    );
    let text = render::index(services.keys());
    files.insert(INDEX.into(), format_rust(&text)?);
    Ok(files)
}

/// Files in the folder of generated code that are not wanted.
fn stale(root: &Path, wanted: &BTreeMap<PathBuf, String>) -> Result<Vec<PathBuf>, CodegenError> {
    let folder = root.join(GENERATED);
    let Ok(entries) = std::fs::read_dir(&folder) else {
        return Ok(Vec::new());
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|source| CodegenError::File {
            path: folder.clone(),
            source,
        })?;
        let file = Path::new(GENERATED).join(entry.file_name());
        if !wanted.contains_key(&file) {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

fn write(path: &Path, text: &str) -> Result<(), CodegenError> {
    let file = |source| CodegenError::File {
        path: path.to_owned(),
        source,
    };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(file)?;
    }
    std::fs::write(path, text).map_err(file)
}

fn format_rust(text: &str) -> Result<String, CodegenError> {
    let failed = |message: String| CodegenError::Format { message };
    let mut child = Command::new("rustfmt")
        .args(["--edition", "2024", "--emit", "stdout"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|source| failed(source.to_string()))?;
    // rustfmt reads all input before it writes: filling its input first cannot block.
    if let Some(mut input) = child.stdin.take() {
        input
            .write_all(text.as_bytes())
            .map_err(|source| failed(source.to_string()))?;
    }
    let output = child
        .wait_with_output()
        .map_err(|source| failed(source.to_string()))?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    String::from_utf8(output.stdout).map_err(|source| failed(source.to_string()))
}
