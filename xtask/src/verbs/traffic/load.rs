//! Makes the calls: each at its time, whether or not earlier ones got their response.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use stacks::environment::ApiKind;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::User;
use super::answered::Answered;
use crate::output::Output;

/// Concurrent calls. Beyond that the schedule slips, and the report mentions it.
const AT_ONCE: usize = 256;
/// A call sent later than this after its time counts as late.
const LATE: Duration = Duration::from_millis(100);
const ANSWER: Duration = Duration::from_secs(30);

/// The calls to make.
#[derive(Debug)]
pub(super) struct Load {
    /// The kind of the API that is called.
    pub(super) kind: ApiKind,
    pub(super) rate: u32,
    pub(super) duration: Duration,
    pub(super) method: reqwest::Method,
    /// URLs, used in turn.
    pub(super) urls: Vec<String>,
}

/// The calls that were made.
#[derive(Debug)]
pub(super) struct Sent {
    /// Calls that were let through, user by user.
    pub(super) accepted: Vec<u64>,
    /// Responses by status; `error` for calls without a response.
    pub(super) statuses: BTreeMap<String, u64>,
    late: u64,
    elapsed: Duration,
}

impl Load {
    /// Number of calls.
    fn calls(&self) -> u64 {
        let millis = u64::try_from(self.duration.as_millis()).unwrap_or(u64::MAX);
        (u64::from(self.rate).saturating_mul(millis) / 1_000).max(1)
    }

    /// When a call is due, from the start.
    fn due(&self, call: u64) -> Duration {
        Duration::from_nanos(call.saturating_mul(1_000_000_000) / u64::from(self.rate))
    }

    /// Makes every call, users in turn, and waits for every response.
    pub(super) async fn run(&self, out: Output, users: &[User]) -> anyhow::Result<Sent> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(ANSWER)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .context("making an HTTP client")?;
        let calls = self.calls();
        out.step(&format!("sending {calls} calls at {} a second", self.rate));
        let permits = Arc::new(Semaphore::new(AT_ONCE));
        let mut answers = JoinSet::new();
        let mut sent = Sent {
            accepted: vec![0; users.len()],
            statuses: BTreeMap::new(),
            late: 0,
            elapsed: Duration::ZERO,
        };
        let start = Instant::now();
        // Every user calls every path.
        let turns = self.urls.iter().cycle();
        let turns = turns.flat_map(|url| users.iter().enumerate().map(move |user| (url, user)));
        for (call, (url, (user, who))) in (0..calls).zip(turns) {
            tokio::time::sleep_until(start + self.due(call)).await;
            let permit = Arc::clone(&permits).acquire_owned().await?;
            if start.elapsed() > self.due(call) + LATE {
                sent.late += 1;
            }
            let request = client.request(self.method.clone(), url);
            let request = request.header("x-api-key", &who.key);
            let kind = self.kind;
            answers.spawn(async move {
                let answered = match request.send().await {
                    Ok(answer) => Some(Answered::of(kind, answer).await),
                    Err(_) => None,
                };
                drop(permit);
                (user, answered)
            });
            while let Some(done) = answers.try_join_next() {
                sent.add(done?);
            }
        }
        sent.elapsed = start.elapsed();
        while let Some(done) = answers.join_next().await {
            sent.add(done?);
        }
        Ok(sent)
    }
}

impl Sent {
    fn add(&mut self, (user, answered): (usize, Option<Answered>)) {
        let name = answered.map_or_else(
            || "error".to_owned(),
            |answered| answered.status.to_string(),
        );
        *self.statuses.entry(name).or_default() += 1;
        let accepted = answered.is_some_and(|answered| answered.let_through);
        if let (true, Some(count)) = (accepted, self.accepted.get_mut(user)) {
            *count += 1;
        }
    }

    /// Reports if the requested rate was not reached.
    pub(super) fn report(&self, out: Output, load: &Load) {
        if self.late > 0 {
            out.warning(&format!(
                "{} of {} calls were sent over {} ms late: this machine or the API did not keep up; \
                 they took {:.1} s instead of {:.1} s",
                self.late,
                load.calls(),
                LATE.as_millis(),
                self.elapsed.as_secs_f64(),
                load.duration.as_secs_f64()
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_spread_evenly() {
        let load = Load {
            kind: ApiKind::Rest,
            rate: 50,
            duration: Duration::from_secs(30),
            method: reqwest::Method::GET,
            urls: Vec::new(),
        };
        assert_eq!(load.calls(), 1_500);
        assert_eq!(load.due(0), Duration::ZERO);
        assert_eq!(load.due(1), Duration::from_millis(20));
        assert_eq!(load.due(1_499), Duration::from_millis(29_980));
    }

    #[test]
    fn calls_are_summed_up_by_user_and_by_status() {
        let mut sent = Sent {
            accepted: vec![0, 0],
            statuses: BTreeMap::new(),
            late: 0,
            elapsed: Duration::ZERO,
        };
        for (user, status, let_through) in [(0, 200, true), (1, 404, true), (1, 429, false)] {
            let answered = Answered {
                status,
                let_through,
                is_certain: true,
            };
            sent.add((user, Some(answered)));
        }
        sent.add((0, None));
        assert_eq!(sent.accepted, [1, 1]);
        assert_eq!(sent.statuses.get("error"), Some(&1));
        assert_eq!(sent.statuses.values().sum::<u64>(), 4);
    }
}
