//! B5 and B11: the deployed local system, with real calls.
//!
//! They measure what `cargo xtask deploy` left running, over HTTP, with users of their own.

mod processes;

use std::time::{Duration, Instant};

use anyhow::Context as _;
use domain::names::StackKind;
use stacks::environment::ApiKind;
use tokio::task::JoinSet;

use super::figure::Figure;
use super::{Arguments, BenchmarkId};
use crate::aws::{Reached, reach};
use crate::context::Context;
use crate::stop::Stop;
use crate::verbs::outputs;
use crate::verbs::traffic::answered::Answered;
use crate::verbs::traffic::counts::{Counter, Counts};
use crate::verbs::traffic::{User, admin_token, make_users, revoke};
use processes::{Consumption, Processes};

/// Calls of B5, one after another.
const FRESH_CALLS: usize = 100;
/// How often B5 asks for a count.
const POLL: Duration = Duration::from_millis(20);
/// How long a call may take to be counted.
const PATIENCE: Duration = Duration::from_secs(30);
/// Concurrent callers of B11, each a user.
const CALLERS: u16 = 16;
/// How often B11 looks at the processes.
const SAMPLES_EVERY: Duration = Duration::from_secs(15);
/// The share of B11 after which caches are warm: growth counts from there.
const WARM: f64 = 0.2;

/// The local system, and the users of a run.
struct Local {
    kind: ApiKind,
    counter: Counter,
    /// The URL that is called.
    url: String,
    users: Vec<User>,
    client: reqwest::Client,
}

pub(super) async fn figures(
    context: &Context,
    ids: &[BenchmarkId],
    args: &Arguments,
) -> anyhow::Result<Vec<Figure>> {
    let reached = reach(context).await?;
    if reached.running.is_none() {
        return Err(Stop::usage("B5 and B11 measure `local` only").into());
    }
    // Keys last for all of it.
    let lasts = args.soak + PATIENCE * 2;
    let users = make_users(context, &reached, CALLERS, lasts).await?;
    let local = Local::of(context, &reached, users).await?;
    let measured = measure(context, &local, ids, args).await;
    // Even after a failure: keys must not outlive their run.
    revoke(&reached, &local.users).await?;
    measured
}

async fn measure(
    context: &Context,
    local: &Local,
    ids: &[BenchmarkId],
    args: &Arguments,
) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    if ids.contains(&BenchmarkId::Freshness) {
        context.out.step(&format!(
            "making {FRESH_CALLS} calls, each until it is counted"
        ));
        figures.extend(of_freshness(&local.freshness().await?));
    }
    if ids.contains(&BenchmarkId::Soak) {
        let processes = Processes::of(&context.local().state()?);
        figures.extend(of_soak(&local.soak(context, &processes, args.soak).await?));
    }
    Ok(figures)
}

impl Local {
    async fn of(context: &Context, reached: &Reached, users: Vec<User>) -> anyhow::Result<Self> {
        let found = reached.deployed().await?;
        let api = reached.api_url(&found)?;
        if !found.iter().any(|(kind, _)| *kind == StackKind::Data) {
            return Err(crate::aws::nothing_deployed(&reached.environment).into());
        }
        let paths = outputs::callable(&reached.environment);
        let path = paths.first().context(Stop::usage(
            "the environment declares no path that can be called without variables",
        ))?;
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(PATIENCE)
            .build();
        Ok(Self {
            kind: reached.environment.gateway,
            counter: Counter::new(&api, &admin_token(context, reached)?)?,
            url: format!("{api}{path}"),
            users,
            client: client.context("making an HTTP client")?,
        })
    }

    /// Whether the authorizer lets a call of this user through.
    async fn call(&self, user: &User) -> anyhow::Result<bool> {
        let request = self.client.get(&self.url).header("x-api-key", &user.key);
        let response = request.send().await.context("calling the API")?;
        Ok(Answered::of(self.kind, response).await.let_through)
    }

    /// From each response to the moment at which `user-stats` shows its call, shortest first.
    async fn freshness(&self) -> anyhow::Result<Vec<Duration>> {
        let user = self.users.first().context("a run has users")?;
        let mut counted = self.counter.one(&user.email).await?;
        let mut times = Vec::new();
        for _ in 0..FRESH_CALLS {
            anyhow::ensure!(
                self.call(user).await?,
                "a call of `{}` was refused",
                user.email
            );
            counted += 1;
            let answered = Instant::now();
            while self.counter.one(&user.email).await? < counted {
                anyhow::ensure!(answered.elapsed() < PATIENCE, "a call was not counted");
                tokio::time::sleep(POLL).await;
            }
            times.push(answered.elapsed());
        }
        times.sort_unstable();
        Ok(times)
    }

    /// Calls as fast as they are answered, for `lasts`.
    async fn soak(
        &self,
        context: &Context,
        processes: &Processes,
        lasts: Duration,
    ) -> anyhow::Result<Soaked> {
        context
            .out
            .step(&format!("{CALLERS} callers for {} s", lasts.as_secs()));
        let before = self.counter.all(&self.users).await?;
        let began = Instant::now();
        let mut callers = JoinSet::new();
        for (place, user) in self.users.iter().enumerate() {
            let (client, url, key) = (self.client.clone(), self.url.clone(), user.key.clone());
            let kind = self.kind;
            callers.spawn(async move {
                let mut accepted = 0_u64;
                while began.elapsed() < lasts {
                    let response = client.get(&url).header("x-api-key", &key).send().await?;
                    accepted += u64::from(Answered::of(kind, response).await.let_through);
                }
                Ok::<_, reqwest::Error>((place, accepted))
            });
        }
        let mut samples = Vec::new();
        while began.elapsed() < lasts {
            tokio::time::sleep(SAMPLES_EVERY.min(lasts)).await;
            samples.push((began.elapsed(), processes.consumption()?));
        }
        let mut accepted = vec![0; self.users.len()];
        while let Some(caller) = callers.join_next().await {
            let (place, calls) = caller?.context("calling the API")?;
            if let Some(of_user) = accepted.get_mut(place) {
                *of_user = calls;
            }
        }
        let took = began.elapsed();
        let counts = self
            .counter
            .until_counted(context.out, &self.users, &before, &accepted)
            .await?;
        Ok(Soaked {
            accepted: accepted.iter().sum(),
            took,
            samples,
            counts,
        })
    }
}

/// The result of B11.
struct Soaked {
    accepted: u64,
    took: Duration,
    /// Each with the time from the start.
    samples: Vec<(Duration, Consumption)>,
    counts: Counts,
}

fn of_freshness(times: &[Duration]) -> [Figure; 2] {
    const ID: &str = "B5";
    let at = |percent: usize| {
        let time = times.get((times.len() * percent / 100).min(times.len().saturating_sub(1)));
        time.map_or(0.0, |time| (time.as_secs_f64() * 1_000.0).round())
    };
    [
        Figure::new(ID, "answer to visible, p50", at(50), "ms").at_most(1_000.0),
        Figure::new(ID, "answer to visible, p95", at(95), "ms").at_most(2_000.0),
    ]
}

fn of_soak(soaked: &Soaked) -> Vec<Figure> {
    const ID: &str = "B11";
    /// Allocators return memory late, and a sample may fall between two batches.
    const FLAT: f64 = 1.1;
    let float = |number: u64| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
    let rate = (float(soaked.accepted) / soaked.took.as_secs_f64()).round();
    let wrong = soaked.counts.missing + soaked.counts.extra;
    let mut figures = vec![
        Figure::new(ID, "calls, all metered", rate, "calls/s"),
        Figure::new(ID, "calls that count wrongly", float(wrong), "calls").at_most(0.0),
    ];
    let seconds = soaked.counts.seconds.unwrap_or(f64::INFINITY);
    let lag = (seconds * 10.0).round() / 10.0;
    figures.push(Figure::new(ID, "last answer to all counted", lag, "s"));
    let warm = soaked.took.mul_f64(WARM);
    let from_warm = |of: fn(&Consumption) -> u64| {
        let mut warm = soaked.samples.iter().filter(|(at, _)| *at >= warm);
        let first = warm.next().map(|(_, used)| of(used));
        let last = warm.next_back().map(|(_, used)| of(used));
        first.zip(last)
    };
    let grown = |name: &str, of: fn(&Consumption) -> u64, unit: &'static str| {
        let (first, last) = from_warm(of)?;
        let figure = Figure::new(ID, name, float(last), unit);
        Some(
            figure
                .at_most(float(first) * FLAT)
                .beside("warm", float(first)),
        )
    };
    figures.extend(grown(
        "memory of host and functions at the end",
        |used| used.own_megabytes,
        "MB",
    ));
    figures.extend(grown(
        "memory of the embedded AWS at the end",
        |used| used.emulator_megabytes,
        "MB",
    ));
    figures.extend(grown(
        "open files of host and functions at the end",
        |used| used.own_files,
        "files",
    ));
    figures
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soaked(last: u64, missing: u64) -> Soaked {
        let used = |own_megabytes| Consumption {
            own_megabytes,
            emulator_megabytes: 300,
            own_files: 80,
        };
        let at = |seconds, megabytes| (Duration::from_secs(seconds), used(megabytes));
        Soaked {
            accepted: 6_000,
            took: Duration::from_mins(1),
            // The first is before the caches are warm.
            samples: vec![at(5, 20), at(15, 100), at(30, 100), at(60, last)],
            counts: Counts {
                counted: 6_000 - missing,
                missing,
                extra: 0,
                seconds: Some(1.26),
            },
        }
    }

    #[test]
    fn growth_and_wrong_counts_miss_their_targets() {
        let met = |soaked: &Soaked| -> Vec<_> {
            of_soak(soaked).iter().map(|figure| figure.met).collect()
        };
        let (yes, no) = (Some(true), Some(false));
        assert_eq!(met(&soaked(110, 0)), [None, yes, None, yes, yes, yes]);
        assert_eq!(met(&soaked(111, 1)), [None, no, None, no, yes, yes]);
    }

    #[test]
    fn freshness_is_given_by_its_percentiles() {
        let times: Vec<_> = (1..=100)
            .map(|tens| Duration::from_millis(tens * 21))
            .collect();
        let values = of_freshness(&times).map(|figure| (figure.value, figure.met));
        assert_eq!(values, [(1_071.0, Some(false)), (2_016.0, Some(false))]);
    }
}
