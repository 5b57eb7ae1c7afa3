//! Query parameters: each must be known and given once.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use domain::event::Subject;
use domain::key;

use crate::error::ApiError;
use crate::parameters::{Choice, EMAIL, Parameter, words};
use bearer::Caller;
use runtime::request::Request;

/// The parameters by name.
#[derive(Debug, Default)]
pub struct Query(BTreeMap<String, String>);

impl Query {
    /// The request's parameters, if each is among `known` and given once.
    pub fn of(request: &Request, known: &[Parameter]) -> Result<Self, ApiError> {
        let once = |(name, values): (&str, &[String])| {
            if !known.iter().any(|parameter| parameter.name == name) {
                return Err(unknown(name, known));
            }
            match values {
                [value] => Ok((name.to_owned(), value.clone())),
                _ => Err(ApiError::parameter(
                    name,
                    format!("`{name}` is given more than once"),
                )),
            }
        };
        let given = request.parameters().map(once);
        given.collect::<Result<_, _>>().map(Self)
    }

    /// The value of a parameter, if it is given.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The value of a parameter that accepts certain words.
    pub fn one_of<T: Choice>(&self, name: &str) -> Result<Option<T>, ApiError> {
        self.one_among(name, &words::<T>())
    }

    /// Likewise, where the message lists `known`.
    pub fn one_among<T: Choice>(&self, name: &str, known: &[&str]) -> Result<Option<T>, ApiError> {
        let Some(given) = self.get(name) else {
            return Ok(None);
        };
        if let Some((_, value)) = T::ALL.iter().find(|(word, _)| *word == given) {
            return Ok(Some(*value));
        }
        let expected = known.join("`, `");
        let message = format!("expected `{expected}`, found `{given}`");
        Err(ApiError::parameter(name, message))
    }

    /// The value of a parameter that accepts a whole number within `range`.
    pub fn whole(
        &self,
        name: &str,
        range: RangeInclusive<usize>,
    ) -> Result<Option<usize>, ApiError> {
        let Some(given) = self.get(name) else {
            return Ok(None);
        };
        let digits = given.bytes().all(|digit| digit.is_ascii_digit());
        let number = given.parse::<usize>().ok().filter(|_| digits);
        let number = number.filter(|number| range.contains(number));
        number.map(Some).ok_or_else(|| {
            let (least, most) = (range.start(), range.end());
            let message =
                format!("expected a whole number from {least} to {most}, found `{given}`");
            ApiError::parameter(name, message)
        })
    }

    /// The user that the request names, if it names one and the caller may see it.
    pub fn user(&self, caller: &Caller) -> Result<Option<Subject>, ApiError> {
        let Some(given) = self.get(EMAIL) else {
            return Ok(None);
        };
        let email = key::normal_email(given)
            .map_err(|error| ApiError::parameter(EMAIL, error.to_string()))?;
        if caller.admin || caller.email.as_deref() == Some(email.as_str()) {
            Ok(Some(Subject::user(&email)))
        } else {
            Err(ApiError::Forbidden { email })
        }
    }
}

/// The caller as a user.
pub fn themselves(caller: &Caller) -> Result<Subject, ApiError> {
    let email = caller.email.as_deref().map(Subject::user);
    email.ok_or_else(|| {
        ApiError::parameter(
            EMAIL,
            "the token names no user: its claim `email` is missing or not verified",
        )
    })
}

fn unknown(name: &str, known: &[Parameter]) -> ApiError {
    let known: Vec<&str> = known.iter().map(|parameter| parameter.name).collect();
    let expected = if known.is_empty() {
        "none".to_owned()
    } else {
        format!("`{}`", known.join("`, `"))
    };
    ApiError::parameter(
        name,
        format!("unknown parameter `{name}`, expected {expected}"),
    )
}
