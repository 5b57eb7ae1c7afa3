//! A function's settings, read from its environment variables once, when it starts.
//!
//! [`settings!`](crate::settings!) declares a struct of settings. The list of its variables comes
//! from the same declaration, so a test can compare it with what the stack sets. Nothing else reads
//! variables, and nothing has a default: a missing variable is a mistake in the stack.

use std::collections::BTreeMap;
use std::fmt;

use domain::dimension::Sources;
use domain::meter::Meters;
use domain::names::{EmailIsVerified, TrackingMode};
use domain::plan::Plans;
use domain::report::Units;
use domain::route::{AttachedRoutes, Routes};
use domain::sign_in::SignIn;
use domain::webhook::Endpoints;

/// The variables of a process.
#[derive(Clone)]
pub struct Variables(BTreeMap<String, String>);

impl Variables {
    /// The variables of this process. A value that is not UTF-8 counts as missing.
    pub fn of_process() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self(std::env::vars_os().filter_map(text).collect())
    }

    /// The value of a variable, if it is set.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Variables {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        let pair = |(name, value): (N, V)| (name.into(), value.into());
        Self(variables.into_iter().map(pair).collect())
    }
}

impl fmt::Debug for Variables {
    /// Names only: variables also carry the process's credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// A type that a variable can hold.
pub trait Setting: Sized {
    /// The valid values, for the person who has to fix the variable.
    const ALLOWED: &'static str;

    /// Parses `text`; `None` if it is invalid.
    fn parse(text: &str) -> Option<Self>;
}

impl Setting for String {
    const ALLOWED: &'static str = "a text that is not empty";

    fn parse(text: &str) -> Option<Self> {
        (!text.trim().is_empty()).then(|| text.to_owned())
    }
}

/// A variable that must be set; an empty value means none.
impl Setting for Option<String> {
    const ALLOWED: &'static str = "any text, empty for none";

    fn parse(text: &str) -> Option<Self> {
        Some(String::parse(text))
    }
}

impl Setting for TrackingMode {
    const ALLOWED: &'static str = "`stream` or `synchronous`";

    fn parse(text: &str) -> Option<Self> {
        Self::parse(text)
    }
}

impl Setting for EmailIsVerified {
    const ALLOWED: &'static str = "`claimed` or `always`";

    fn parse(text: &str) -> Option<Self> {
        Self::parse(text)
    }
}

impl Setting for Plans {
    const ALLOWED: &'static str = "a JSON object from plan name to plan";

    fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

impl Setting for Endpoints {
    const ALLOWED: &'static str = "a JSON list of endpoints";

    fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

impl Setting for Units {
    const ALLOWED: &'static str = "a JSON list of `week` and `month`";

    fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

impl Setting for Meters {
    const ALLOWED: &'static str = "a JSON object from meter name to meter";

    fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

impl Setting for Sources {
    const ALLOWED: &'static str =
        "a JSON object from the name of a dimension to its source, empty for none";

    fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::default());
        }
        serde_json::from_str(text).ok()
    }
}

impl Setting for Option<SignIn> {
    const ALLOWED: &'static str = "a JSON object with the client of the page, empty for none";

    fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(None);
        }
        serde_json::from_str(text).ok()
    }
}

impl Setting for Routes {
    const ALLOWED: &'static str = "a table of routes, empty for none";

    fn parse(text: &str) -> Option<Self> {
        Self::from_variable(text)
    }
}

impl Setting for AttachedRoutes {
    const ALLOWED: &'static str =
        "a JSON object from the id of an API to a table of routes, empty for none";

    fn parse(text: &str) -> Option<Self> {
        Self::from_variable(text)
    }
}

/// Words separated by spaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words(pub Vec<String>);

impl Setting for Words {
    const ALLOWED: &'static str = "words between spaces, empty for none";

    fn parse(text: &str) -> Option<Self> {
        Some(Self(text.split_whitespace().map(str::to_owned).collect()))
    }
}

/// A retention in days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Days(pub u32);

impl Setting for Days {
    const ALLOWED: &'static str = "a whole number of days from 1 to 36500";

    fn parse(text: &str) -> Option<Self> {
        let days = text.parse().ok()?;
        (1..=36_500).contains(&days).then_some(Self(days))
    }
}

/// A number of seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seconds(pub u32);

impl Setting for Seconds {
    const ALLOWED: &'static str = "a whole number of seconds";

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok().map(Self)
    }
}

/// The invalid variables, with which a function cannot start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct SettingsError {
    problems: Vec<Problem>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Problem {
    variable: &'static str,
    given: Option<String>,
    expected: &'static str,
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the function's environment variables are invalid")?;
        for (position, problem) in self.problems.iter().enumerate() {
            let separator = if position == 0 { ": " } else { "; " };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            variable, expected, ..
        } = self;
        match &self.given {
            None => write!(f, "`{variable}` is not set, expected {expected}"),
            Some(given) => write!(f, "`{variable}` is `{given}`, expected {expected}"),
        }
    }
}

/// Reads variables and collects what is wrong with them. The expansion of
/// [`settings!`](crate::settings!) uses it.
#[derive(Debug)]
pub struct Reader<'a> {
    variables: &'a Variables,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    /// A reader of `variables`.
    pub fn new(variables: &'a Variables) -> Self {
        Self {
            variables,
            problems: Vec::new(),
        }
    }

    /// The value of a variable; `None` if there is a problem with it.
    pub fn read<T: Setting>(&mut self, variable: &'static str) -> Option<T> {
        let given = self.variables.get(variable);
        let value = given.and_then(T::parse);
        if value.is_none() {
            self.problems.push(Problem {
                variable,
                given: given.map(str::to_owned),
                expected: T::ALLOWED,
            });
        }
        value
    }

    /// All problems found.
    pub fn into_error(self) -> SettingsError {
        SettingsError {
            problems: self.problems,
        }
    }
}

/// Declares a struct of settings, each with the variable that holds it.
///
/// ```
/// use domain::names::{TrackingMode, env};
///
/// runtime::settings! {
///     /// The settings of this function.
///     pub struct Settings {
///         /// How to report.
///         pub mode: TrackingMode = env::TRACKING_MODE,
///         /// Where to report.
///         pub stream: String = env::USAGE_STREAM,
///     }
/// }
///
/// assert_eq!(Settings::VARIABLES, ["TRACKING_MODE", "USAGE_STREAM"]);
/// let variables = [("TRACKING_MODE", "fast")].into_iter().collect();
/// assert_eq!(
///     Settings::read(&variables).unwrap_err().to_string(),
///     "the function's environment variables are invalid: \
///      `TRACKING_MODE` is `fast`, expected `stream` or `synchronous`; \
///      `USAGE_STREAM` is not set, expected a text that is not empty",
/// );
/// ```
#[macro_export]
macro_rules! settings {
    (
        $(#[$meta:meta])*
        $visibility:vis struct $name:ident {
            $( $(#[$field_meta:meta])* $field_visibility:vis $field:ident: $kind:ty = $variable:expr, )+
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone)]
        $visibility struct $name {
            $( $(#[$field_meta])* $field_visibility $field: $kind, )+
        }

        impl $name {
            /// The variables that this struct reads.
            $visibility const VARIABLES: &'static [&'static str] = &[$($variable),+];

            /// Reads every setting, or reports the problem with every invalid variable.
            $visibility fn read(
                variables: &$crate::settings::Variables,
            ) -> ::std::result::Result<Self, $crate::settings::SettingsError> {
                let mut reader = $crate::settings::Reader::new(variables);
                $( let $field = reader.read::<$kind>($variable); )+
                match ($($field,)+) {
                    ($(::std::option::Option::Some($field),)+) => ::std::result::Result::Ok(Self { $($field),+ }),
                    _ => ::std::result::Result::Err(reader.into_error()),
                }
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    settings! {
        /// One of each kind.
        struct Sample {
            text: String = "TEXT",
            optional: Option<String> = "OPTIONAL",
            mode: TrackingMode = "MODE",
            plans: Plans = "PLANS",
            kept: Days = "KEPT",
        }
    }

    const PLANS: &str = r#"{"free": {"ratePerSecond": 5, "burst": 10}}"#;

    #[test]
    fn every_kind_of_setting_is_read() {
        let variables = [
            ("TEXT", "a"),
            ("OPTIONAL", ""),
            ("MODE", "synchronous"),
            ("PLANS", PLANS),
            ("KEPT", "90"),
            ("OTHER", "ignored"),
        ];
        let sample = Sample::read(&variables.into_iter().collect()).unwrap();
        assert_eq!(sample.text, "a");
        assert_eq!(sample.optional, None);
        assert_eq!(sample.mode, TrackingMode::Synchronous);
        assert_eq!(sample.plans["free"].burst, 10);
        assert_eq!(sample.kept, Days(90));
    }

    #[test]
    fn every_bad_variable_is_named_at_once() {
        let variables = [
            ("TEXT", " "),
            ("MODE", "Stream"),
            ("PLANS", "[]"),
            ("KEPT", "0"),
        ];
        let error = Sample::read(&variables.into_iter().collect()).unwrap_err();
        let text = error.to_string();
        for variable in Sample::VARIABLES {
            assert!(text.contains(&format!("`{variable}` is ")), "{text}");
        }
        assert!(text.contains("`OPTIONAL` is not set"), "{text}");
        assert!(text.contains("`KEPT` is `0`, expected a whole"), "{text}");
    }

    #[test]
    fn values_of_variables_are_not_printed() {
        let variables: Variables = [("AWS_SECRET_ACCESS_KEY", "hidden")].into_iter().collect();
        assert_eq!(format!("{variables:?}"), r#"{"AWS_SECRET_ACCESS_KEY"}"#);
    }
}
