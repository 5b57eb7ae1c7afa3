//! Problems of an environment file, and their positions.

use std::fmt;
use std::path::{Path, PathBuf};

/// Why an environment cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnvironmentError {
    /// The file does not exist or is unreadable.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The file's name is not valid for an environment.
    #[error("`{}`: {message}", path.display())]
    Name {
        /// The file.
        path: PathBuf,
        /// What is expected.
        message: String,
    },
    /// A key is unknown, or a value is invalid.
    #[error("{}:{place}: {message}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The position.
        place: Place,
        /// The given value and what is expected.
        message: String,
    },
}

/// A position in a file, both counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl Place {
    /// The position of a key's value, or of the key if its value is on the lines below it. Keys of
    /// block mappings only, as deep as they exist: `stream.shards` gives the position of `stream`
    /// if only that exists.
    pub(super) fn of_path(text: &str, path: &str) -> Option<Self> {
        let mut found = None;
        let mut lines = text.lines().enumerate();
        let mut outer: Option<usize> = None;
        for key in path.split('.') {
            let mut within = lines
                .by_ref()
                .take_while(|(_, line)| outer.is_none_or(|outer| !leaves(line, outer)));
            let place = within.find_map(|(index, line)| {
                let value = value_of(line.trim_start(), key)?;
                Some((index, indent(line), value))
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

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// Whether a line is not in the block below a key that is indented by `outer`.
fn leaves(line: &str, outer: usize) -> bool {
    let text = line.trim_start();
    !text.is_empty() && !text.starts_with('#') && indent(line) <= outer
}

/// The column of the value on a key's line: after the key, or at the key if its value is on later
/// lines. `None` for a line of another key.
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
    /// Places a problem at the value that its message names first: `upstream.openapi: …`.
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
            // A problem of several keys is found when the parser is past them, and placed at the
            // start of their section: the key named first in the message is below it.
            None => of_prefix(text, message).map_or(place, |named| named.max(place)),
        };
        Self::Value {
            path: path.to_owned(),
            place,
            message: with_suggestion(message),
        }
    }
}

/// The position of the path at the start of a message: `stream.shards: …`.
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

/// The position of an unknown key: the parser reports the position after it.
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

/// Adds the most similar valid key to "unknown field …, expected one of …".
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

/// The edit distance of two names, ignoring case (Levenshtein).
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
