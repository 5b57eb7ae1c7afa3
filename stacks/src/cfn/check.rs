//! Limits of a property, and the messages about values that break them.

use std::fmt;

use super::value::Scalar;

/// A value that breaks a limit: its place, the value, and what is expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// From the outside in: logical id, property, index or key.
    pub path: Vec<String>,
    /// The given value and what is expected.
    pub message: String,
}

impl Problem {
    /// A problem at the current place; containers prepend themselves to the path.
    pub(crate) fn here(message: impl Into<String>) -> Self {
        Self {
            path: Vec::new(),
            message: message.into(),
        }
    }

    /// The same, one container further out.
    pub(crate) fn within(mut self, container: &str) -> Self {
        self.path.insert(0, container.to_owned());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            return f.write_str(&self.message);
        }
        write!(f, "`{}`: {}", self.path.join("."), self.message)
    }
}

/// The limits that AWS publishes for a property. Only literals can be checked: the result of an
/// intrinsic function is known at deployment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Check {
    length: (u64, u64),
    items: (u64, u64),
    range: (f64, f64),
    one_of: &'static [i64],
    pattern: &'static str,
}

impl Check {
    pub(crate) const ANY: Self = Self {
        length: (0, u64::MAX),
        items: (0, u64::MAX),
        range: (f64::MIN, f64::MAX),
        one_of: &[],
        pattern: "",
    };

    /// Minimum and maximum length of a text.
    pub(crate) const fn length(mut self, least: u64, most: u64) -> Self {
        self.length = (least, most);
        self
    }

    /// Minimum and maximum number of items of a list.
    pub(crate) const fn items(mut self, least: u64, most: u64) -> Self {
        self.items = (least, most);
        self
    }

    /// Minimum and maximum of a number.
    pub(crate) const fn range(mut self, least: f64, most: f64) -> Self {
        self.range = (least, most);
        self
    }

    /// The valid whole numbers.
    pub(crate) const fn one_of(mut self, allowed: &'static [i64]) -> Self {
        self.one_of = allowed;
        self
    }

    /// A regular expression that a text must match.
    pub(crate) const fn pattern(mut self, pattern: &'static str) -> Self {
        self.pattern = pattern;
        self
    }

    /// Checks one scalar.
    pub(crate) fn scalar(&self, value: &Scalar, problems: &mut Vec<Problem>) {
        match value {
            Scalar::Text(text) => self.text(text, problems),
            Scalar::Integer(number) => self.integer(*number, problems),
            Scalar::Number(number) => self.number(*number, &number.to_string(), problems),
            Scalar::Boolean(_) | Scalar::Intrinsic(_) => {}
        }
    }

    /// Checks the number of items of a list.
    pub(crate) fn count(&self, items: usize, problems: &mut Vec<Problem>) {
        let count = u64::try_from(items).unwrap_or(u64::MAX);
        if count < self.items.0 || count > self.items.1 {
            let allowed = span(self.items);
            problems.push(Problem::here(format!(
                "{items} items, {allowed} are allowed"
            )));
        }
    }

    fn text(&self, text: &str, problems: &mut Vec<Problem>) {
        let characters = u64::try_from(text.chars().count()).unwrap_or(u64::MAX);
        if characters < self.length.0 || characters > self.length.1 {
            let allowed = span(self.length);
            problems.push(Problem::here(format!(
                "`{}` has {characters} characters, {allowed} are allowed",
                excerpt(text)
            )));
        }
        if self.pattern.is_empty() {
            return;
        }
        // The generator kept only patterns that compile.
        let matches = regex_lite::Regex::new(self.pattern).is_ok_and(|regex| regex.is_match(text));
        if !matches {
            problems.push(Problem::here(format!(
                "`{}` does not match `{}`",
                excerpt(text),
                self.pattern
            )));
        }
    }

    fn integer(&self, number: i64, problems: &mut Vec<Problem>) {
        if !self.one_of.is_empty() && !self.one_of.contains(&number) {
            let allowed: Vec<String> = self.one_of.iter().map(ToString::to_string).collect();
            problems.push(Problem::here(format!(
                "`{number}` is not allowed: expected one of {}",
                allowed.join(", ")
            )));
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "limits are far below 2^53, and so is every number near one"
        )]
        self.number(number as f64, &number.to_string(), problems);
    }

    fn number(&self, number: f64, shown: &str, problems: &mut Vec<Problem>) {
        let (least, most) = self.range;
        if !(least..=most).contains(&number) {
            let allowed = match (least > f64::MIN, most < f64::MAX) {
                (true, true) => format!("{least} to {most}"),
                (true, false) => format!("{least} and more"),
                _ => format!("{most} and less"),
            };
            problems.push(Problem::here(format!(
                "`{shown}` is out of range: expected {allowed}"
            )));
        }
    }
}

fn span((least, most): (u64, u64)) -> String {
    match (least, most) {
        (least, u64::MAX) => format!("at least {least}"),
        (0, most) => format!("at most {most}"),
        (least, most) => format!("{least} to {most}"),
    }
}

/// Enough of a long text to recognise it.
fn excerpt(text: &str) -> String {
    const SHOWN: usize = 80;
    if text.chars().count() <= SHOWN {
        return text.to_owned();
    }
    let start: String = text.chars().take(SHOWN).collect();
    format!("{start}…")
}
