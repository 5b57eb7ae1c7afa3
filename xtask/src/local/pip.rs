//! pip's own settings, without those about the place of installation.
//!
//! A user's index, proxy or certificate must apply, but `user`, `target` and the like would put the
//! tools outside their virtual environment, or make pip refuse to install at all. pip ignores a
//! setting only if all of its files are ignored, so everything else is passed as variables
//! (<https://pip.pypa.io/en/stable/topics/configuration/>).

use std::collections::BTreeMap;
use std::path::Path;

use crate::jobs::Job;

/// Settings about where, or whether, to install.
const PLACES: [&str; 9] = [
    "break-system-packages",
    "config-file",
    "dry-run",
    "home",
    "prefix",
    "python",
    "root",
    "target",
    "user",
];

/// Sections of settings; later ones win over earlier ones.
const SECTIONS: [&str; 3] = ["global", "install", ":env:"];

/// `pip` of a virtual environment, with the user's settings, installing into that environment.
pub(super) async fn pip(python: &Path) -> anyhow::Result<Job> {
    // pip takes `PIP_USER` and the like for options of `config list` too, which then shows the settings
    // of that place alone.
    let listed = Job::new(python)
        .args(["-m", "pip", "config", "list"])
        .env("PIP_USER", "0")
        .env("PIP_GLOBAL", "0")
        .env("PIP_SITE", "0")
        .read()
        .await?;
    let settings = settings(&String::from_utf8_lossy(&listed.stdout));
    let job = Job::new(python).without("PIP_").args(["-m", "pip"]);
    let job = job.env("PIP_CONFIG_FILE", "/dev/null");
    Ok(settings.into_iter().fold(job, |job, (name, value)| {
        let name = name.to_ascii_uppercase().replace('-', "_");
        job.env(&format!("PIP_{name}"), value)
    }))
}

/// Parses `pip config list`, by name: `section.name='value'` per line, with the value in Python's
/// notation.
fn settings(listed: &str) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::new();
    for section in SECTIONS {
        for line in listed.lines() {
            let named = line
                .strip_prefix(section)
                .and_then(|rest| rest.strip_prefix('.'))
                .and_then(|rest| rest.split_once('='));
            if let Some((name, value)) = named
                && !PLACES.contains(&name)
            {
                settings.insert(name.to_owned(), unquoted(value));
            }
        }
    }
    settings
}

/// Parses a string in the notation of Python's `repr`.
fn unquoted(value: &str) -> String {
    let inner = ['\'', '"']
        .iter()
        .find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
    let mut text = String::new();
    let mut escaped = false;
    for character in inner.unwrap_or(value).chars() {
        match (escaped, character) {
            (false, '\\') => escaped = true,
            // A list has one value per line in a file, and is separated by blanks in a variable.
            (true, 'n' | 'r' | 't') => {
                text.push(' ');
                escaped = false;
            }
            (_, other) => {
                text.push(other);
                escaped = false;
            }
        }
    }
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_holds_and_a_place_does_not() {
        let listed = "global.index-url='https://one.example/simple'\n\
            global.cert='/etc/ca.pem'\n\
            global.user='yes'\n\
            install.target='/somewhere'\n\
            install.find-links='\\n/a\\n/b'\n\
            freeze.timeout='10'\n\
            :env:.index-url='https://two.example/simple'\n\
            :env:.user='yes'\n\
            :env:.config-file='/home/a/pip.conf'\n";
        let settings = settings(listed);
        let settings: Vec<_> = settings
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        assert_eq!(
            settings,
            [
                ("cert", "/etc/ca.pem"),
                ("find-links", "/a /b"),
                ("index-url", "https://two.example/simple"),
            ]
        );
    }

    #[test]
    fn a_value_is_read_as_python_writes_it() {
        assert_eq!(unquoted("'a'"), "a");
        assert_eq!(unquoted("\"it's\""), "it's");
        assert_eq!(unquoted("'it\\'s \\\\ here'"), "it's \\ here");
    }
}
