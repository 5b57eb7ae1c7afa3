//! Invokes functions, reads their policies, and what the account may run of them.

use aws_sdk_lambda::primitives::Blob;

use crate::error::{Error, failed};
use crate::session::Session;

/// The account's functions.
#[derive(Debug, Clone)]
pub struct Functions {
    client: aws_sdk_lambda::Client,
}

/// Concurrent executions of the account in the region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Executions {
    /// All that AWS grants.
    pub quota: u32,
    /// Those that no function has reserved.
    pub unreserved: u32,
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

    /// The account's concurrent executions in the region.
    pub async fn executions(&self) -> Result<Option<Executions>, Error> {
        let settings = self.client.get_account_settings().send().await;
        let settings = settings.map_err(failed("GetAccountSettings"))?;
        let number = |number: i32| u32::try_from(number).unwrap_or_default();
        Ok(settings.account_limit.map(|limit| {
            let quota = number(limit.concurrent_executions);
            Executions {
                quota,
                unreserved: limit.unreserved_concurrent_executions.map_or(quota, number),
            }
        }))
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
