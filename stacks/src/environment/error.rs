//! What is wrong with an environment file, and where.

use std::fmt;
use std::path::{Path, PathBuf};

/// Why an environment cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnvironmentError {
    /// The file is not there or not readable.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file's name cannot be an environment's.
    #[error("`{}`: {message}", path.display())]
    Name {
        /// The file.
        path: PathBuf,
        /// What is allowed.
        message: String,
    },
    /// A key is unknown, or a value cannot be.
    #[error("{}:{place}: {message}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// Where in it.
        place: Place,
        /// What was given and what is allowed.
        message: String,
    },
}

/// A place in a file, both counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl Place {
    /// Where a key's value stands, or the key where its value is on the lines below it. Keys of
    /// block mappings only, as deep as they are there: `stream.shards` where only `stream` is
    /// there gives that.
    pub(super) fn of_path(text: &str, path: &str) -> Option<Self> {
        let mut found = None;
        let mut lines = text.lines().enumerate();
        let mut outer: Option<usize> = None;
        for key in path.split('.') {
            let place = lines.by_ref().find_map(|(index, line)| {
                let indent = line.len() - line.trim_start().len();
                let value = value_of(line.trim_start(), key)?;
                let inside = outer.is_none_or(|outer| indent > outer);
                inside.then_some((index, indent, value))
            });
            let Some((index, indent, value)) = place else {
                break;
            };
            outer = Some(indent);
            found = Some(Self {
                line: index + 1,
                column: 1 + indent + value,
            });
        }
        found
    }
}

/// Where the value of a key's line stands: after the key, or where the key stands for one whose
/// value is on later lines. Nothing for a line of another key.
fn value_of(line: &str, key: &str) -> Option<usize> {
    let rest = line.strip_prefix(key)?.strip_prefix(':')?;
    let value = rest.trim_start();
    if value.is_empty() || value.starts_with('#') {
        return Some(0);
    }
    Some(line.len() - value.len())
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

impl EnvironmentError {
    /// What is wrong with the value that a message names first: `upstream.openapi: …`.
    pub(super) fn placed(path: &Path, text: &str, message: String) -> Self {
        Self::Value {
            path: path.to_owned(),
            place: of_prefix(text, &message).unwrap_or(Place { line: 1, column: 1 }),
            message,
        }
    }

    pub(super) fn invalid(path: &Path, text: &str, error: &serde_yaml::Error) -> Self {
        let said = error.to_string();
        let place = error
            .location()
            .map_or(Place { line: 1, column: 1 }, |at| Place {
                line: at.line(),
                column: at.column(),
            });
        let message = said
            .strip_suffix(&format!(" at line {} column {}", place.line, place.column))
            .unwrap_or(&said);
        let place = match unknown(message) {
            Some(key) => of_unknown(text, place, key),
            // What concerns several keys is found when the parser is past them, and placed at
            // their section's start: the key named first in the message stands below it.
            None => of_prefix(text, message).map_or(place, |named| named.max(place)),
        };
        Self::Value {
            path: path.to_owned(),
            place,
            message: with_suggestion(message),
        }
    }
}

/// Where the path stands that a message begins with: `stream.shards: …`.
fn of_prefix(text: &str, message: &str) -> Option<Place> {
    let (path, _) = message.split_once(": ")?;
    let keys = path
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '-');
    keys.then(|| Place::of_path(text, path)).flatten()
}

/// The key of serde's "unknown field" message.
fn unknown(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("unknown field `")?;
    rest.split_once('`').map(|(key, _)| key)
}

/// Where an unknown key stands: the parser names the place after it.
fn of_unknown(text: &str, at: Place, key: &str) -> Place {
    let lines: Vec<&str> = text.lines().collect();
    let from = at.line.min(lines.len());
    for index in (0..from).rev() {
        let Some(line) = lines.get(index) else {
            continue;
        };
        let start = line.len() - line.trim_start().trim_start_matches("- ").len();
        let rest = line.get(start..).unwrap_or_default();
        let rest = rest.strip_prefix(['"', '\'']).unwrap_or(rest);
        if rest.strip_prefix(key).is_some_and(|rest| {
            let rest = rest.strip_prefix(['"', '\'']).unwrap_or(rest);
            rest.trim_start().starts_with(':')
        }) {
            return Place {
                line: index + 1,
                column: start + 1,
            };
        }
    }
    at
}

/// Adds the nearest allowed key to "unknown field …, expected one of …".
fn with_suggestion(message: &str) -> String {
    let message = message.replace("unknown field", "unknown key");
    let Some((_, rest)) = message.split_once("unknown key `") else {
        return message;
    };
    let Some((key, allowed)) = rest.split_once('`') else {
        return message;
    };
    let nearest = allowed
        .split('`')
        .skip(1)
        .step_by(2)
        .map(|name| (distance(key, name), name))
        .min();
    match nearest {
        Some((edits, name)) if edits <= 1 + key.len() / 4 => {
            format!("{message}; did you mean `{name}`?")
        }
        _ => message,
    }
}

/// Edits between two names, case apart (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, letter) in one.to_lowercase().chars().enumerate() {
        let mut diagonal = index;
        let mut left = index + 1;
        let mut next = vec![left];
        for (above, theirs) in row.iter().skip(1).zip(&other) {
            let replaced = diagonal + usize::from(letter != *theirs);
            left = replaced.min(above + 1).min(left + 1);
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}
