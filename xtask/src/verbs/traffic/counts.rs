//! The analytics API's counts, user by user.

use std::time::Duration;

use anyhow::Context as _;
use serde::Deserialize;
use tokio::time::Instant;

use super::User;
use crate::output::Output;
use crate::stop::Stop;

/// How long counts may take to be complete.
const PATIENCE: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(250);
/// Once complete, counts are checked again after this long: a duplicate would appear late.
const SETTLE: Duration = Duration::from_secs(2);

/// Reads counts.
#[derive(Debug)]
pub(in crate::verbs) struct Counter {
    client: reqwest::Client,
    url: String,
    token: String,
}

/// Calls sent and calls counted.
#[derive(Debug, PartialEq)]
pub(in crate::verbs) struct Counts {
    pub(in crate::verbs) counted: u64,
    pub(in crate::verbs) missing: u64,
    pub(in crate::verbs) extra: u64,
    /// From the last response until all calls were counted; `None` if they never were.
    pub(in crate::verbs) seconds: Option<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UserStats {
    total_calls: u64,
}

impl Counter {
    pub(in crate::verbs) fn new(api: &str, token: &str) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(30))
            .build();
        Ok(Self {
            client: client.context("making an HTTP client")?,
            url: format!("{api}/v1/analytics/user-stats"),
            token: token.to_owned(),
        })
    }

    /// The calls counted for each user.
    pub(in crate::verbs) async fn all(&self, users: &[User]) -> anyhow::Result<Vec<u64>> {
        let counts = users.iter().map(|user| self.one(&user.email));
        futures_util::future::try_join_all(counts).await
    }

    /// The calls counted for one user.
    pub(in crate::verbs) async fn one(&self, email: &str) -> anyhow::Result<u64> {
        let answer = self
            .client
            .get(format!("{}?email={email}", self.url))
            .bearer_auth(&self.token)
            .send()
            .await
            .with_context(|| format!("reading the counts of `{email}`"))?;
        let status = answer.status();
        let text = answer.text().await.context("reading counts")?;
        if !status.is_success() {
            return Err(Stop::failed(format!(
                "the analytics API answered {status} for `{email}`: {text}"
            ))
            .into());
        }
        let user: UserStats = serde_json::from_str(&text)
            .with_context(|| format!("the analytics API answered `{text}`"))?;
        Ok(user.total_calls)
    }

    /// Waits until every accepted call is counted, or until the timeout.
    pub(in crate::verbs) async fn until_counted(
        &self,
        out: Output,
        users: &[User],
        before: &[u64],
        accepted: &[u64],
    ) -> anyhow::Result<Counts> {
        out.step("waiting until they are counted");
        let start = Instant::now();
        loop {
            let now = self.all(users).await?;
            let counts = compare(before, &now, accepted);
            let elapsed = start.elapsed();
            if counts.missing == 0 {
                tokio::time::sleep(SETTLE).await;
                let settled = compare(before, &self.all(users).await?, accepted);
                return Ok(Counts {
                    seconds: Some(elapsed.as_secs_f64()),
                    ..settled
                });
            }
            if elapsed >= PATIENCE {
                return Ok(counts);
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

/// Each user separately: one call too many for one user does not compensate for another's.
fn compare(before: &[u64], now: &[u64], accepted: &[u64]) -> Counts {
    let mut counts = Counts {
        counted: 0,
        missing: 0,
        extra: 0,
        seconds: None,
    };
    for ((before, now), accepted) in before.iter().zip(now).zip(accepted) {
        let counted = now.saturating_sub(*before);
        counts.counted += counted;
        counts.missing += accepted.saturating_sub(counted);
        counts.extra += counted.saturating_sub(*accepted);
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_users_extra_call_does_not_hide_anothers_missing_one() {
        let counts = compare(&[10, 0], &[16, 4], &[5, 5]);
        assert_eq!((counts.counted, counts.missing, counts.extra), (10, 1, 1));
    }
}
