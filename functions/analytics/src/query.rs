//! Query parameters: each known and given once.

use std::collections::BTreeMap;

use domain::event::Subject;
use domain::key;

use crate::auth::Caller;
use crate::error::ApiError;
use crate::request::Request;

/// The parameter that names the user.
pub const EMAIL: &str = "email";

/// The parameters by name.
#[derive(Debug, Default)]
pub struct Query(BTreeMap<String, String>);

impl Query {
    /// The request's parameters, if each is among `known` and given once.
    pub fn of(request: &Request, known: &[&str]) -> Result<Self, ApiError> {
        let once = |(name, values): (&str, &[String])| {
            if !known.contains(&name) {
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

    /// The value of a parameter out of a few.
    pub fn one_of<T: Copy>(
        &self,
        name: &str,
        allowed: &[(&'static str, T)],
    ) -> Result<Option<T>, ApiError> {
        let Some(given) = self.get(name) else {
            return Ok(None);
        };
        if let Some((_, value)) = allowed.iter().find(|(text, _)| *text == given) {
            return Ok(Some(*value));
        }
        let allowed: Vec<String> = allowed
            .iter()
            .map(|(text, _)| format!("`{text}`"))
            .collect();
        let message = format!("expected {}, found `{given}`", allowed.join(", "));
        Err(ApiError::parameter(name, message))
    }

    /// The user that the request names, if it names one that the caller may see.
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

fn unknown(name: &str, known: &[&str]) -> ApiError {
    let allowed = match known {
        [] => "none".to_owned(),
        known => format!("`{}`", known.join("`, `")),
    };
    ApiError::parameter(
        name,
        format!("unknown parameter `{name}`, expected {allowed}"),
    )
}
