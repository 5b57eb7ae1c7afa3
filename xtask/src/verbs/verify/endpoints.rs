//! The three questions of the analytics API, asked over HTTP.
//!
//! Only the local environment can sign a token. Elsewhere the questions are asked without one: the
//! API is there if it refuses them for that alone.

use std::time::Duration;

use anyhow::Context as _;
use deployer::Deployed;
use domain::names::{ADMIN_SCOPE, StackKind};
use reqwest::StatusCode;

use super::Check;
use crate::aws::Reached;
use crate::context::Context;
use crate::verbs::token;

/// Each question with what it needs.
const QUESTIONS: [&str; 3] = [
    "realtime",
    "timeseries?granularity=minute&duration=1h",
    "user-stats",
];
/// The user who asks. Nobody has to know them.
const ASKER: &str = "verify@example.com";

/// Asks every question.
pub(super) async fn of_analytics(
    context: &Context,
    reached: &Reached,
    found: &[(StackKind, Deployed)],
) -> anyhow::Result<Vec<Check>> {
    let client = reqwest::Client::builder()
        .timeout(Duration::from_secs(30))
        .build()
        .context("making an HTTP client")?;
    let token = match reached.running {
        Some(_) => {
            let (environment, state) = (&reached.environment, context.local().state()?);
            let issued = token::issue(environment, &state, ASKER, vec![ADMIN_SCOPE])?;
            Some(issued.token)
        }
        None => None,
    };
    let mut checks = Vec::new();
    for question in QUESTIONS {
        let url = format!("{}/v1/analytics/{question}", reached.api_url(found)?);
        let request = client.get(url);
        let request = match &token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let answered = request.send().await.map(|answer| answer.status());
        checks.push(of_answer(
            question,
            token.is_some(),
            answered.map_err(|error| error.to_string()),
        ));
    }
    Ok(checks)
}

/// The check of an answer, to a question with or without a token.
fn of_answer(question: &str, signed: bool, answered: Result<StatusCode, String>) -> Check {
    let (name, _) = question.split_once('?').unwrap_or((question, ""));
    let name = format!("endpoint `/v1/analytics/{name}`");
    let (expected, with) = if signed {
        (StatusCode::OK, "with a token")
    } else {
        (StatusCode::UNAUTHORIZED, "without a token, as it must")
    };
    match answered {
        Ok(status) if status == expected => {
            Check::new(name, true, format!("answers {status} {with}"))
        }
        Ok(status) => {
            let detail = format!("answers {status}, expected {expected}");
            Check::new(name, false, detail)
        }
        Err(error) => Check::new(name, false, format!("does not answer: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_there_if_it_answers_a_token_and_refuses_the_rest() {
        let ok = |signed, status| of_answer("user-stats", signed, Ok(status)).ok;
        assert!(ok(true, StatusCode::OK) && !ok(true, StatusCode::UNAUTHORIZED));
        assert!(ok(false, StatusCode::UNAUTHORIZED) && !ok(false, StatusCode::OK));
        assert!(!ok(false, StatusCode::FORBIDDEN));
        let gone = of_answer("timeseries?a=b", true, Err("refused".into()));
        assert_eq!(gone.name, "endpoint `/v1/analytics/timeseries`");
        assert!(!gone.ok);
    }
}
