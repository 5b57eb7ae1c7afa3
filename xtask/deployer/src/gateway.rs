//! API Gateway's settings for the whole account.

use crate::error::{Error, failed};
use crate::session::Session;

/// The ARN of the role with which API Gateway writes the logs of all APIs of the account and
/// region; `None` if none is set.
pub async fn gateway_logs_role(session: &Session) -> Result<Option<String>, Error> {
    let account = aws_sdk_apigateway::Client::new(session.config())
        .get_account()
        .send()
        .await
        .map_err(failed("GetAccount"))?;
    Ok(account.cloudwatch_role_arn.filter(|arn| !arn.is_empty()))
}
