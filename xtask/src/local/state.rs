//! `state.json`: what commands need to know about a local environment from earlier commands.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::process::ProcessRecord;
use crate::stop::Stop;

/// Incremented when a field changes its meaning.
const FORMAT: u32 = 1;

/// The state. It holds secrets of the local environment, so only its owner may read the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct State {
    format: u32,
    /// The embedded AWS.
    pub(crate) emulator: Option<ProcessRecord>,
    /// The host of functions.
    pub(crate) host: Option<ProcessRecord>,
    /// The demo's upstream, if the last deploy was one of it.
    pub(crate) demo: Option<ProcessRecord>,
    /// The last ports, reused if they are free.
    pub(crate) emulator_port: Option<u16>,
    pub(crate) host_port: Option<u16>,
    /// The key that `outputs` prints.
    pub(crate) demo_key: Option<DemoKey>,
    /// The key that signs bearer tokens: PKCS #8, base64.
    pub(crate) signing_key: Option<String>,
}

/// An API key in full, for the local environment alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct DemoKey {
    pub(crate) id: String,
    pub(crate) key: String,
}

impl Default for State {
    fn default() -> Self {
        Self {
            format: FORMAT,
            emulator: None,
            host: None,
            demo: None,
            emulator_port: None,
            host_port: None,
            demo_key: None,
            signing_key: None,
        }
    }
}

impl State {
    /// The state in the file; an empty state if there is no file.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(error) => {
                return Err(error).with_context(|| format!("reading `{}`", path.display()));
            }
        };
        let unusable = || {
            Stop::failed(format!("`{}` is not a state that this version wrote", path.display()))
                .hint("end the processes of the local environment and delete its folder; its data is lost")
        };
        let state: Self = serde_json::from_str(&text).with_context(unusable)?;
        if state.format == FORMAT {
            Ok(state)
        } else {
            Err(unusable().into())
        }
    }

    /// Writes the state atomically: a reader sees either the old or the new one.
    pub(crate) fn write(&self, path: &Path) -> anyhow::Result<()> {
        let writing = || format!("writing `{}`", path.display());
        let text = serde_json::to_string_pretty(self).with_context(writing)?;
        let partial = path.with_extension("json.partial");
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&partial)
            .with_context(writing)?;
        file.write_all(text.as_bytes()).with_context(writing)?;
        file.sync_all().with_context(writing)?;
        std::fs::rename(&partial, path).with_context(writing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_state_reads_back_and_only_its_owner_may_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.json");
        assert_eq!(State::read(&path).unwrap(), State::default());
        let state = State {
            demo_key: Some(DemoKey {
                id: "key_1".into(),
                key: "secret".into(),
            }),
            host_port: Some(4000),
            ..State::default()
        };
        state.write(&path).unwrap();
        assert_eq!(State::read(&path).unwrap(), state);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    /// As a release without the demo wrote it.
    #[test]
    fn an_earlier_state_reads_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.json");
        let text = r#"{"format": 1, "emulator": null, "host": null, "emulatorPort": 4000,
            "hostPort": 4001, "demoKey": null, "signingKey": null}"#;
        std::fs::write(&path, text).unwrap();
        let state = State::read(&path).unwrap();
        assert_eq!((state.host_port, state.demo), (Some(4001), None));
    }

    #[test]
    fn a_state_of_another_version_is_refused_with_a_hint() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.json");
        for text in ["{\"format\": 99}", "{", "{\"format\": 1, \"unknown\": 1}"] {
            std::fs::write(&path, text).unwrap();
            let error = State::read(&path).unwrap_err();
            assert!(crate::stop::hint_of(&error).is_some(), "{text}");
        }
    }
}
