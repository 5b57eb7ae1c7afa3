//! Invokes functions, and reads their policies.

use aws_sdk_lambda::primitives::Blob;

use crate::error::{Error, failed};
use crate::session::Session;

/// The account's functions.
#[derive(Debug, Clone)]
pub struct Functions {
    client: aws_sdk_lambda::Client,
}

impl Functions {
    /// Functions reached through `session`.
    pub fn new(session: &Session) -> Self {
        Self {
            client: aws_sdk_lambda::Client::new(session.config()),
        }
    }

    /// The policy of a function that says who may invoke it, as JSON; `None` if the function does not
    /// exist or has no policy.
    pub async fn policy(&self, function: &str) -> Result<Option<String>, Error> {
        let asked = self.client.get_policy().function_name(function);
        match asked.send().await.map_err(failed("GetPolicy")) {
            Ok(found) => Ok(found.policy),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Invokes a function and waits for its response.
    ///
    /// # Errors
    /// [`Error::FunctionFailed`] if the function ran without producing a response: it failed, ran
    /// out of time, or died.
    pub async fn invoke(&self, function: &str, payload: Vec<u8>) -> Result<Vec<u8>, Error> {
        let answer = self
            .client
            .invoke()
            .function_name(function)
            .payload(Blob::new(payload))
            .send()
            .await
            .map_err(failed("Invoke"))?;
        let body = answer.payload.map(Blob::into_inner).unwrap_or_default();
        match answer.function_error {
            None => Ok(body),
            Some(_) => Err(Error::FunctionFailed {
                function: function.to_owned(),
                said: String::from_utf8_lossy(&body).into_owned(),
            }),
        }
    }
}
