//! `traffic`: makes real calls, then compares calls sent with calls counted.
//!
//! A call counts as sent if the authorizer allowed it, with any status. The number of counted calls
//! is the growth of each user's counts in the analytics API during the run.

pub(super) mod answered;
pub(super) mod counts;
mod load;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use counts::Counter;
use domain::names::{ADMIN_SCOPE, StackKind};
use load::Load;
use serde::Serialize;
use stacks::environment::Environment;

use super::{keys, outputs, token};
use crate::aws::{Reached, reach};
use crate::clock;
use crate::context::Context;
use crate::duration::duration;
use crate::stop::{Exit, Stop};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Calls per second, over all users
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) rps: u32,
    /// Duration of the traffic
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "30s")]
    pub(crate) duration: Duration,
    /// Number of users, each with its own key
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u16).range(1..=1_000), default_value = "5")]
    pub(crate) users: u16,
    /// A path to call, with its query; several take turns. By default the `GET` routes of
    /// `upstream`, or the sample
    #[arg(long = "path", value_name = "PATH", value_parser = called_path)]
    pub(crate) paths: Vec<String>,
    /// The method of every call
    #[arg(long, value_name = "METHOD", value_parser = ["DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"], default_value = "GET", requires = "paths")]
    pub(crate) method: String,
}

/// A path of the API, to append to its URL.
fn called_path(text: &str) -> Result<String, String> {
    let is_path = text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_path.then(|| text.to_owned()).ok_or_else(|| {
        "expected a path such as `/users/7?full=true`, percent-encoded where that is needed"
            .to_owned()
    })
}

/// An admin's bearer token, for environments where tokens come from elsewhere.
const TOKEN_VARIABLE: &str = "METERING_TOKEN";
/// Keys created for a run expire this long after it, in case the run is killed.
const KEYS_OUTLIVE_MILLIS: i64 = 600_000;

/// The result of a run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct TrafficResult {
    sent: u64,
    statuses: BTreeMap<String, u64>,
    counted: u64,
    missing: u64,
    extra: u64,
    seconds_to_counted: Option<f64>,
}

/// A user of the run.
#[derive(Debug)]
pub(super) struct User {
    pub(super) email: String,
    pub(super) key: String,
}

pub(crate) async fn run(context: &Context, args: &Arguments) -> anyhow::Result<Exit> {
    let reached = reach(context).await?;
    let found = reached.deployed().await?;
    let api = reached.api_url(&found)?;
    if !found.iter().any(|(kind, _)| *kind == StackKind::Data) {
        return Err(crate::aws::nothing_deployed(&reached.environment).into());
    }
    let paths = paths(&reached.environment, args)?;
    let token = admin_token(context, &reached)?;
    let users = make_users(context, &reached, args.users, args.duration).await?;
    let load = Load {
        kind: reached.environment.gateway,
        rate: args.rps,
        duration: args.duration,
        method: args.method.parse().context("reading the method")?,
        urls: paths.iter().map(|path| format!("{api}{path}")).collect(),
    };
    let outcome = drive(context, &load, &api, &token, &users).await;
    // Even after a failure: keys must not outlive their run.
    revoke(&reached, &users).await?;
    let answer = outcome?;
    context.out.answer(&answer, TrafficResult::text)?;
    Ok(if answer.missing == 0 && answer.extra == 0 {
        Exit::Done
    } else {
        Exit::Failed
    })
}

/// The paths to call: those given, or those that the environment declares as callable.
fn paths(environment: &Environment, args: &Arguments) -> anyhow::Result<Vec<String>> {
    let paths = if args.paths.is_empty() {
        outputs::callable(environment)
    } else {
        args.paths.clone()
    };
    if paths.is_empty() {
        return Err(Stop::usage(
            "`traffic` does not know what to call: `upstream` names no `GET` route without variables",
        )
        .hint("give `--path /…`, more than once for several")
        .into());
    }
    Ok(paths)
}

/// A token that may read every user's counts.
pub(super) fn admin_token(context: &Context, reached: &Reached) -> anyhow::Result<String> {
    if reached.running.is_some() {
        let state = context.local().state()?;
        let email = outputs::DEMO_EMAIL;
        return Ok(token::issue(&reached.environment, &state, email, vec![ADMIN_SCOPE])?.token);
    }
    let given = std::env::var_os(TOKEN_VARIABLE).and_then(|token| token.into_string().ok());
    given.filter(|token| !token.is_empty()).with_context(|| {
        Stop::usage(format!(
            "`traffic` reads counts from the analytics API, and has no bearer token for `{}`",
            reached.environment.name
        ))
        .hint(format!(
            "give one with the scope `metering:admin` in `{TOKEN_VARIABLE}`"
        ))
    })
}

/// The plan with the widest limits: no quota if possible, then the highest rate.
pub(super) fn widest_plan(environment: &Environment) -> Option<&str> {
    let plans = environment.plans.iter();
    let widest =
        plans.max_by_key(|(_, plan)| (plan.monthly_quota.is_none(), plan.rate_per_second.get()));
    widest.map(|(name, _)| name.as_str())
}

/// Creates users that exist only for this run, so that their counts are this run's alone.
pub(super) async fn make_users(
    context: &Context,
    reached: &Reached,
    number: u16,
    lasts: Duration,
) -> anyhow::Result<Vec<User>> {
    let plan = widest_plan(&reached.environment).context("the environment has no plan")?;
    context
        .out
        .step(&format!("making {number} users on plan `{plan}`"));
    let now = clock::now();
    let seconds = i64::try_from(lasts.as_secs()).unwrap_or(i64::MAX / 2_000);
    let expires = now.plus_millis(seconds * 1_000 + KEYS_OUTLIVE_MILLIS);
    let mut users = Vec::new();
    for number in 1..=number {
        let email = format!("traffic-{:x}-{number}@example.com", now.0);
        let made = keys::make(reached, &email, plan, Some(expires)).await?;
        users.push(User {
            email: made.email,
            key: made.key,
        });
    }
    Ok(users)
}

async fn drive(
    context: &Context,
    load: &Load,
    api: &str,
    token: &str,
    users: &[User],
) -> anyhow::Result<TrafficResult> {
    let counter = Counter::new(api, token)?;
    let before = counter.all(users).await?;
    let sent = load.run(context.out, users).await?;
    sent.report(context.out, load);
    let counts = counter
        .until_counted(context.out, users, &before, &sent.accepted)
        .await?;
    Ok(TrafficResult {
        sent: sent.accepted.iter().sum(),
        statuses: sent.statuses,
        counted: counts.counted,
        missing: counts.missing,
        extra: counts.extra,
        seconds_to_counted: counts.seconds,
    })
}

/// Revokes their keys.
pub(super) async fn revoke(reached: &Reached, users: &[User]) -> anyhow::Result<()> {
    for user in users {
        keys::end(reached, &user.key).await?;
    }
    Ok(())
}

impl TrafficResult {
    fn text(&self) -> String {
        let statuses: Vec<_> = self
            .statuses
            .iter()
            .map(|(status, count)| format!("{status} × {count}"))
            .collect();
        let mut lines = vec![format!("answers: {}", statuses.join(", "))];
        if let Some(seconds) = self.seconds_to_counted {
            lines.push(format!("counted {seconds:.1} s after the last answer"));
        }
        if self.missing > 0 || self.extra > 0 {
            lines.push(format!("missing {}, extra {}", self.missing, self.extra));
        }
        lines.push(format!("sent {}, counted {}", self.sent, self.counted));
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_ends_with_both_counts_and_has_the_members_of_the_contract() {
        let answer = TrafficResult {
            sent: 10,
            statuses: BTreeMap::from([("200".into(), 10), ("429".into(), 2)]),
            counted: 9,
            missing: 1,
            extra: 0,
            seconds_to_counted: None,
        };
        assert_eq!(
            answer.text(),
            "answers: 200 × 10, 429 × 2\nmissing 1, extra 0\nsent 10, counted 9"
        );
        assert_eq!(
            serde_json::to_value(&answer).unwrap(),
            serde_json::json!({"sent": 10, "statuses": {"200": 10, "429": 2}, "counted": 9,
                "missing": 1, "extra": 0, "secondsToCounted": null})
        );
    }
}
