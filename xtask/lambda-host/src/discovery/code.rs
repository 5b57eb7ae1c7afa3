//! A function's code: downloaded once per version, unpacked, and removed when it is no longer
//! deployed.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{
    HostError,
    emulator::{Emulator, EmulatorError},
    function::FunctionSpec,
};

/// The folder with a function's unpacked code.
pub(super) async fn unpack(
    emulator: &Emulator,
    code_dir: &Path,
    name: &str,
    sha: &str,
    function: &Value,
) -> Result<PathBuf, HostError> {
    let target = folder(code_dir, name, sha);
    if target.join("bootstrap").exists() {
        return Ok(target);
    }
    let location = function
        .pointer("/Code/Location")
        .and_then(Value::as_str)
        .ok_or_else(|| EmulatorError::Unreadable {
            call: format!("lambda:GetFunction {name}"),
            missing: "Code.Location",
        })?;
    let archive = emulator.download(path_of(location)).await?;
    let (name, unpacked) = (name.to_owned(), target.clone());
    tokio::task::spawn_blocking(move || extract(&name, &archive, &unpacked))
        .await
        .map_err(|error| HostError::io("unpack", &target, io::Error::other(error)))??;
    Ok(target)
}

/// The location names the emulator's host; only its path and query are useful.
fn path_of(location: &str) -> &str {
    location
        .split_once("://")
        .and_then(|(_, rest)| rest.find('/').and_then(|start| rest.get(start..)))
        .unwrap_or(location)
}

/// Base64 is not a valid file name: `/` and `+` are replaced.
fn folder(code_dir: &Path, name: &str, sha: &str) -> PathBuf {
    code_dir
        .join(name)
        .join(sha.replace('/', "_").replace('+', "-").replace('=', ""))
}

/// Unpacks beside the target and renames, so that an existing folder is complete.
fn extract(name: &str, archive: &[u8], target: &Path) -> Result<(), HostError> {
    let part = target.with_extension("part");
    remove(&part)?;
    let code = |source| HostError::Code {
        function: name.to_owned(),
        source,
    };
    let mut archive = zip::ZipArchive::new(io::Cursor::new(archive)).map_err(code)?;
    archive.extract(&part).map_err(code)?;
    let bootstrap = part.join("bootstrap");
    let executable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(&bootstrap, executable)
        .map_err(|source| HostError::io("make executable", &bootstrap, source))?;
    remove(target)?;
    fs::rename(&part, target).map_err(|source| HostError::io("rename to", target, source))
}

fn remove(path: &Path) -> Result<(), HostError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(HostError::io("remove", path, error))
        }
        _ => Ok(()),
    }
}

/// Removes code that no function uses. A process that still runs it keeps its open file.
pub(super) fn prune(code_dir: &Path, specs: &[FunctionSpec]) {
    let Ok(functions) = fs::read_dir(code_dir) else {
        return;
    };
    let versions = functions
        .flatten()
        .filter_map(|function| fs::read_dir(function.path()).ok())
        .flatten()
        .flatten();
    for version in versions {
        let path = version.path();
        if !specs.iter().any(|spec| spec.task_root == path)
            && let Err(error) = fs::remove_dir_all(&path)
        {
            tracing::warn!(path = %path.display(), %error, "cannot remove old code");
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn archive() -> Vec<u8> {
        let mut zip = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
        zip.start_file("bootstrap", zip::write::SimpleFileOptions::default())
            .unwrap();
        zip.write_all(b"#!/bin/sh\n").unwrap();
        zip.finish().unwrap().into_inner()
    }

    #[test]
    fn the_unpacked_bootstrap_can_be_executed() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("f").join("sha");
        extract("f", &archive(), &target).unwrap();
        let mode = fs::metadata(target.join("bootstrap"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o111, 0o111);
    }

    #[test]
    fn an_archive_that_is_none_names_the_function() {
        let folder = tempfile::tempdir().unwrap();
        let error = extract("f", b"not a zip", &folder.path().join("x")).unwrap_err();
        assert!(error.to_string().contains("`f`"), "{error}");
    }

    #[test]
    fn the_emulators_own_address_is_not_used() {
        assert_eq!(
            path_of("http://localhost:4566/_ministack/x?y=z"),
            "/_ministack/x?y=z"
        );
    }
}
