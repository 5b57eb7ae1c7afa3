//! One metered call: made with its own key, and followed until it is counted and measured.

use std::time::Duration;

use anyhow::Context as _;
use deployer::{CountTables, Deployed, Metrics};
use domain::names::{METRIC_DIMENSION, StackKind, api_metric, kinesis_metric};
use domain::table::ItemKey;
use domain::time::{UnixMillis, Window};
use tokio::time::Instant;

use super::{Check, has};
use crate::aws::Reached;
use crate::clock;
use crate::context::Context;
use crate::verbs::deploy::lag;
use crate::verbs::keys;
use crate::verbs::outputs;
use crate::verbs::traffic::answered::Answered;
use crate::verbs::traffic::widest_plan;

/// How long the API may take to let a call through after a deploy.
const ANSWER: Duration = Duration::from_mins(1);
/// How long a count may take in addition to the windows that it waits for.
const COUNT: Duration = Duration::from_mins(1);
/// How long metrics may take: CloudWatch shows them within minutes.
const METRICS: Duration = Duration::from_mins(5);
const METRICS_LOCALLY: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(250);
/// A key left behind by a killed run expires after this long.
const KEY_MILLIS: i64 = 900_000;
/// From an event's time until it is in the journal, when everything is warm.
const LATENCY_MILLIS: f64 = 500.0;
/// The same where all functions and AWS itself share the processors of one machine.
const LATENCY_MILLIS_LOCALLY: f64 = 1_000.0;

/// The user of every check: one, so that bills and lists of users do not fill up with them.
const USER: &str = "verify@example.com";

/// The result of the call.
pub(super) struct Counted {
    pub(super) checks: Vec<Check>,
    pub(super) seconds: Option<f64>,
}

/// A call in progress.
struct Call<'a> {
    context: &'a Context,
    reached: &'a Reached,
    url: String,
    key: String,
    client: reqwest::Client,
    started: UnixMillis,
    /// The calls of earlier checks in the hour of `started`.
    earlier: u64,
    has_stream: bool,
}

/// Makes the call, waits until it is counted, and checks its metrics.
pub(super) async fn make(
    context: &Context,
    reached: &Reached,
    found: &[(StackKind, Deployed)],
) -> anyhow::Result<Counted> {
    let plan = widest_plan(&reached.environment).context("the environment has no plan")?;
    // If no route can be called as it is, any path works: it is decided on, and counted if let
    // through.
    let paths = outputs::callable(&reached.environment);
    let path = paths.first().map_or("/", String::as_str);
    let started = clock::now();
    let expires = started.plus_millis(KEY_MILLIS);
    let tables = CountTables::new(&reached.session, &reached.environment.names());
    let earlier = tables.usage(&ItemKey::hour(USER, started)).await?;
    let key = keys::make(reached, USER, plan, Some(expires)).await?;
    let call = Call {
        context,
        reached,
        url: format!("{}{path}", reached.api_url(found)?),
        key: key.key.clone(),
        client: reqwest::Client::builder()
            .timeout(Duration::from_secs(30))
            // The key is for the API that is checked, and for no other.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .context("making an HTTP client")?,
        started,
        earlier: earlier.map_or(0, |hour| hour.total_calls),
        has_stream: has(found, StackKind::Kinesis),
    };
    let followed = call.follow().await;
    // Even after a failure: the key must not outlive the check.
    keys::end(reached, &key.key).await?;
    followed
}

impl Call<'_> {
    async fn follow(&self) -> anyhow::Result<Counted> {
        self.context.out.step("making a metered call");
        let answered = self.until_let_through().await;
        let sent = Instant::now();
        let let_through = answered.ok;
        let mut checks = vec![answered];
        if !let_through {
            return Ok(Counted {
                checks,
                seconds: None,
            });
        }
        self.context.out.step("waiting until it is counted");
        let seconds = self.until_counted(sent).await?;
        checks.push(match seconds {
            Some(seconds) => {
                let detail = format!("in the usage table after {seconds:.1} s");
                Check::new("count", true, detail)
            }
            None => Check::new("count", false, "the call is not in the usage table"),
        });
        if seconds.is_some() {
            self.context.out.step("waiting for its metrics");
            checks.extend(self.metrics().await?);
        }
        Ok(Counted { checks, seconds })
    }

    /// Calls until the gateway certainly lets a call through: new stages and keys take a moment.
    async fn until_let_through(&self) -> Check {
        let until = Instant::now() + ANSWER;
        loop {
            let (answered, said) = self.once().await;
            let let_through = answered.is_some_and(|answered| answered.let_through);
            let is_certain = answered.is_some_and(|answered| answered.is_certain);
            if let_through && is_certain || Instant::now() >= until {
                return Check::new("metered call", let_through, format!("{} {said}", self.url));
            }
            tokio::time::sleep(POLL * 4).await;
        }
    }

    /// Makes one call.
    async fn once(&self) -> (Option<Answered>, String) {
        let request = self.client.get(&self.url).header("x-api-key", &self.key);
        match request.send().await {
            Ok(answer) => {
                let status = answer.status();
                let kind = self.reached.environment.gateway;
                let answered = Answered::of(kind, answer).await;
                (Some(answered), format!("answered {status}"))
            }
            Err(error) => (None, format!("did not answer: {error}")),
        }
    }

    /// Seconds until the user's hour shows a call; `None` if it never does.
    async fn until_counted(&self, sent: Instant) -> anyhow::Result<Option<f64>> {
        let tables = CountTables::new(&self.reached.session, &self.reached.environment.names());
        let patience = COUNT + self.windows();
        loop {
            let mut hours = vec![(ItemKey::hour(USER, self.started), self.earlier)];
            let now = clock::now();
            if Window::Hour.start(now) != Window::Hour.start(self.started) {
                hours.push((ItemKey::hour(USER, now), 0));
            }
            for (hour, earlier) in hours {
                let hour = tables.usage(&hour).await?;
                if hour.is_some_and(|hour| hour.total_calls > earlier) {
                    return Ok(Some(sent.elapsed().as_secs_f64()));
                }
            }
            if sent.elapsed() >= patience {
                return Ok(None);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// How long a count waits because of the environment's own settings.
    fn windows(&self) -> Duration {
        let environment = &self.reached.environment;
        let seconds = u64::from(environment.aggregator.window_seconds.get())
            + u64::from(environment.processor.batching_window_seconds.get());
        Duration::from_secs(seconds)
    }

    /// The metrics of a counted call.
    async fn metrics(&self) -> anyhow::Result<Vec<Check>> {
        let names = self.reached.environment.names();
        let (api, kinesis) = (names.api_namespace(), names.kinesis_namespace());
        let mut checks = vec![
            self.metric(&api, api_metric::USAGE_TRACKING_SUCCESS)
                .await?,
            self.failures(&api).await?,
            self.metric(&kinesis, kinesis_metric::TOTAL_API_CALLS)
                .await?,
        ];
        if self.has_stream {
            checks.push(self.incoming().await?);
            checks.push(
                self.metric(&kinesis, kinesis_metric::PROCESSED_RECORDS)
                    .await?,
            );
            checks.push(self.latency(&kinesis).await?);
        }
        Ok(checks)
    }

    /// Calls since the start that neither the stream nor the journal took: there must be none. The
    /// authorizer measures successes and failures alike, and a success was measured by now.
    async fn failures(&self, namespace: &str) -> anyhow::Result<Check> {
        let metric = api_metric::USAGE_TRACKING_FAILURE;
        let dimension = (METRIC_DIMENSION, self.reached.environment.name.as_str());
        let sum = Metrics::new(&self.reached.session)
            .sum(namespace, metric, dimension, self.span())
            .await?;
        Ok(no_failure(lag::whole(sum.unwrap_or(0.0))))
    }

    /// Waits until the stream reports a record.
    async fn incoming(&self) -> anyhow::Result<Check> {
        let until = Instant::now() + self.patience();
        loop {
            let records = lag::incoming(self.reached, self.span()).await?;
            if records > 0 || Instant::now() >= until {
                let detail = format!("{records} into the stream since the call");
                return Ok(Check::new("metric `IncomingRecords`", records > 0, detail));
            }
            tokio::time::sleep(POLL * 4).await;
        }
    }

    /// Waits for a metric of the call.
    async fn metric(&self, namespace: &str, metric: &str) -> anyhow::Result<Check> {
        let metrics = Metrics::new(&self.reached.session);
        let dimension = (METRIC_DIMENSION, self.reached.environment.name.as_str());
        let until = Instant::now() + self.patience();
        let name = format!("metric `{metric}`");
        loop {
            let sum = metrics
                .sum(namespace, metric, dimension, self.span())
                .await?;
            match sum {
                Some(sum) if sum > 0.0 => {
                    return Ok(Check::new(name, true, format!("{sum:.0} in `{namespace}`")));
                }
                _ if Instant::now() >= until => {
                    let detail = format!("`{namespace}` has none since the call");
                    return Ok(Check::new(name, false, detail));
                }
                _ => tokio::time::sleep(POLL * 4).await,
            }
        }
    }

    /// The latency from the event's time to the journal. The first call wakes every function; if it
    /// was slow, more calls are made.
    async fn latency(&self, namespace: &str) -> anyhow::Result<Check> {
        let metrics = Metrics::new(&self.reached.session);
        let dimension = (METRIC_DIMENSION, self.reached.environment.name.as_str());
        let window = self
            .reached
            .environment
            .processor
            .batching_window_seconds
            .get();
        let warm = match self.reached.running {
            Some(_) => LATENCY_MILLIS_LOCALLY,
            None => LATENCY_MILLIS,
        };
        let most = warm + f64::from(window) * 1_000.0;
        let until = Instant::now() + self.patience();
        loop {
            let metric = kinesis_metric::PROCESSING_LATENCY;
            let minutes = metrics
                .averages(namespace, metric, dimension, self.span())
                .await?;
            let least = minutes.into_iter().reduce(f64::min);
            if let Some(least) = least.filter(|least| *least <= most) {
                let detail = format!("{least:.0} ms on average, at most {most:.0} ms");
                return Ok(Check::new("latency", true, detail));
            }
            if Instant::now() >= until {
                let said = least.map_or_else(
                    || "no value since the call".to_owned(),
                    |least| format!("{least:.0} ms on average, more than {most:.0} ms"),
                );
                return Ok(Check::new("latency", false, said));
            }
            if least.is_some() {
                self.once().await;
            }
            tokio::time::sleep(POLL * 4).await;
        }
    }

    fn patience(&self) -> Duration {
        if self.reached.running.is_some() {
            METRICS_LOCALLY
        } else {
            METRICS
        }
    }

    /// From the minute of the call to now: metrics carry the start of their minute.
    fn span(&self) -> (UnixMillis, UnixMillis) {
        (
            Window::Minute.start(self.started),
            Window::Minute.end(clock::now()),
        )
    }
}

/// The check of the calls that nothing took.
fn no_failure(failures: u64) -> Check {
    let detail = match failures {
        0 => "none since the call".to_owned(),
        _ => format!("{failures} since the call: only the access log still has them"),
    };
    let name = format!("metric `{}`", api_metric::USAGE_TRACKING_FAILURE);
    Check::new(name, failures == 0, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_only_the_access_log_has_fails_the_check() {
        assert!(no_failure(0).ok);
        let failed = no_failure(2);
        assert!(!failed.ok && failed.detail.starts_with("2 since the call"));
    }
}
