//! `status`: the health of the system on one screen, for someone who does not know AWS.

use std::time::Duration;

use clap::Args;
use deployer::{AlarmState, Deployed, Metrics, Queues, Stacks, Streams};
use domain::names::{Function, METRIC_DIMENSION, StackKind, TrackingMode, kinesis_metric};
use domain::time::{UnixMillis, Window};
use serde::Serialize;

use super::deploy::lag;
use crate::aws::{Reached, STACKS, deployed_mode, nothing_deployed, reach};
use crate::clock;
use crate::context::Context;
use crate::output::counted;
use crate::stop::Exit;

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Arguments {
    /// Refresh every few seconds, until Ctrl-C
    #[arg(long)]
    pub(crate) watch: bool,
}

/// The span over which incoming and processed records are summed.
const WINDOW_MILLIS: i64 = 3_600_000;
/// The span that counts as "now".
const NOW_MILLIS: i64 = 300_000;
/// A lag up to this is normal with the windows of the environment files.
const LAG_MILLIS: u64 = 120_000;
/// How many alarms fit one screen, each with what to do.
const MOST_ALARMS: usize = 4;
/// Interval of `--watch`.
const AGAIN: Duration = Duration::from_secs(3);

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    environment: String,
    mode: &'static str,
    /// Problems; empty if all is well.
    troubles: Vec<String>,
    stacks: Vec<StackStatus>,
    /// Stacks of the mode that do not exist.
    missing: Vec<String>,
    stream: Option<StreamStatus>,
    /// Calls counted in the last five minutes.
    calls_now: Option<u64>,
    /// The lag of the journal and the counts behind the calls.
    lag_ms: Option<u64>,
    /// Time of the oldest call that is not counted yet; null if every call is.
    oldest_uncounted: Option<String>,
    alarms: Vec<AlarmState>,
    dead_letters: Option<u64>,
    incoming: Option<u64>,
    processed: Option<u64>,
    last_deploy: Option<String>,
}

#[derive(Debug, Serialize)]
struct StackStatus {
    name: String,
    status: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct StreamStatus {
    shards: u32,
    iterator_age_ms: Option<u64>,
}

pub(crate) async fn run(context: &Context, args: Arguments) -> anyhow::Result<Exit> {
    let reached = reach(context).await?;
    let first = collect(&reached).await?;
    if !args.watch {
        context.out.answer(&first, Status::text)?;
        return Ok(Exit::Done);
    }
    context.out.screen(&first, Status::text)?;
    loop {
        tokio::time::sleep(AGAIN).await;
        match collect(&reached).await {
            Ok(status) => context.out.screen(&status, Status::text)?,
            // A call that AWS throttles, or a lost connection, must not end what is watched for hours.
            Err(error) => context.out.warning(&format!("{error:#}; trying again")),
        }
    }
}

async fn collect(reached: &Reached) -> anyhow::Result<Status> {
    let found = reached.stacks().await?;
    if found.is_empty() {
        return Err(nothing_deployed(&reached.environment).into());
    }
    let names = reached.environment.names();
    let session = &reached.session;
    let now = clock::now();
    let window = (now.plus_millis(-WINDOW_MILLIS), now);
    let stream = stream(reached).await?;
    let aggregator = lag::iterator_age_of(reached, Function::Aggregator).await?;
    let processor = stream.as_ref().and_then(|stream| stream.iterator_age_ms);
    let lag_ms = [aggregator, processor].into_iter().flatten().max();
    let mut status = Status {
        environment: reached.environment.name.clone(),
        mode: deployed_mode(&found).as_str(),
        troubles: Vec::new(),
        stacks: found
            .iter()
            .map(|(_, stack)| StackStatus {
                name: stack.name.clone(),
                status: stack.status.clone(),
            })
            .collect(),
        missing: missing(&found)
            .into_iter()
            .map(|kind| names.stack(kind))
            .collect(),
        calls_now: calls_now(reached, now).await?,
        lag_ms,
        oldest_uncounted: lag_ms.filter(|lag| *lag > 0).map(|lag| {
            let lag = i64::try_from(lag).unwrap_or(i64::MAX);
            now.plus_millis(-lag).to_string()
        }),
        alarms: alarms(reached, &found).await?,
        dead_letters: Queues::new(session)
            .depths(&names.dead_letter_queues())
            .await?,
        incoming: match &stream {
            Some(_) => Some(lag::incoming(reached, window).await?),
            None => None,
        },
        processed: processed(reached, &found, window).await?,
        last_deploy: last_deploy(reached, &found).await?,
        stream,
    };
    status.troubles = status.found_troubles();
    Ok(status)
}

/// The stacks of the deployed mode that are not among those found.
fn missing(found: &[(StackKind, Deployed)]) -> Vec<StackKind> {
    let stream = deployed_mode(found) == TrackingMode::Stream;
    let wanted = STACKS.into_iter();
    let wanted = wanted.filter(|kind| *kind != StackKind::Kinesis || stream);
    wanted
        .filter(|kind| !found.iter().any(|(other, _)| other == kind))
        .collect()
}

async fn stream(reached: &Reached) -> anyhow::Result<Option<StreamStatus>> {
    let stream = reached.environment.names().usage_stream();
    let shards = Streams::new(&reached.session).open_shards(&stream).await?;
    Ok(match shards {
        Some(shards) => Some(StreamStatus {
            shards,
            iterator_age_ms: lag::iterator_age(reached).await?,
        }),
        None => None,
    })
}

async fn alarms(
    reached: &Reached,
    found: &[(StackKind, Deployed)],
) -> anyhow::Result<Vec<AlarmState>> {
    let stacks = Stacks::new(&reached.session);
    let mut names = Vec::new();
    for (_, stack) in found {
        let alarms = stacks.resources(&stack.id, "AWS::CloudWatch::Alarm");
        names.extend(alarms.await?);
    }
    Ok(Metrics::new(&reached.session).alarms(&names).await?)
}

async fn calls_now(reached: &Reached, now: UnixMillis) -> anyhow::Result<Option<u64>> {
    let environment = &reached.environment;
    let from = Window::Minute.start(now.plus_millis(-NOW_MILLIS));
    let sum = Metrics::new(&reached.session)
        .sum(
            &environment.names().kinesis_namespace(),
            kinesis_metric::TOTAL_API_CALLS,
            (METRIC_DIMENSION, &environment.name),
            (from, now),
        )
        .await?;
    Ok(Some(lag::whole(sum.unwrap_or(0.0))))
}

/// When a stack was last changed.
async fn last_deploy(
    reached: &Reached,
    found: &[(StackKind, Deployed)],
) -> anyhow::Result<Option<String>> {
    let stacks = Stacks::new(&reached.session);
    let mut newest: Option<UnixMillis> = None;
    for (_, stack) in found {
        newest = newest.max(stacks.changed_at(stack).await?);
    }
    Ok(newest.map(|at| at.to_string()))
}

async fn processed(
    reached: &Reached,
    found: &[(StackKind, Deployed)],
    window: (UnixMillis, UnixMillis),
) -> anyhow::Result<Option<u64>> {
    if !found.iter().any(|(kind, _)| *kind == StackKind::Kinesis) {
        return Ok(None);
    }
    let environment = &reached.environment;
    let sum = Metrics::new(&reached.session)
        .sum(
            &environment.names().kinesis_namespace(),
            kinesis_metric::PROCESSED_RECORDS,
            (METRIC_DIMENSION, &environment.name),
            window,
        )
        .await?;
    Ok(Some(lag::whole(sum.unwrap_or(0.0))))
}

impl StackStatus {
    fn is_well(&self) -> bool {
        let status = self.status.clone();
        let stack = Deployed {
            status,
            ..Deployed::default()
        };
        stack.is_well()
    }
}

impl Status {
    /// The problems, the worst first.
    fn found_troubles(&self) -> Vec<String> {
        let missing = self.missing.iter();
        let mut troubles: Vec<_> = missing
            .map(|stack| format!("stack `{stack}` is missing"))
            .collect();
        for stack in &self.stacks {
            if !stack.is_well() {
                troubles.push(format!("stack `{}` is `{}`", stack.name, stack.status));
            }
        }
        let ringing = self.ringing().count();
        if ringing > 0 {
            troubles.push(counted(ringing, "alarm"));
        }
        if let Some(letters) = self.dead_letters.filter(|letters| *letters > 0) {
            let letters = usize::try_from(letters).unwrap_or(usize::MAX);
            troubles.push(counted(letters, "dead letter"));
        }
        if let Some(lag) = self.lag_ms.filter(|lag| *lag > LAG_MILLIS) {
            troubles.push(format!("counts are {} behind", seconds(lag)));
        }
        troubles
    }

    fn ringing(&self) -> impl Iterator<Item = &AlarmState> {
        self.alarms.iter().filter(|alarm| alarm.state == "ALARM")
    }

    fn text(&self) -> String {
        let verdict = if self.troubles.is_empty() {
            "well".to_owned()
        } else {
            format!("NOT WELL: {}", self.troubles.join(", "))
        };
        let mut lines = vec![format!("{:<13}{verdict}", self.environment)];
        let mut say = |name: &str, text: String| lines.push(format!("{name:<13}{text}"));
        say(
            "mode",
            match &self.stream {
                Some(stream) => format!("{}, {}", self.mode, counted(stream.shards, "shard")),
                None => self.mode.to_owned(),
            },
        );
        say(
            "calls",
            format!("{} counted in the last five minutes", known(self.calls_now)),
        );
        say(
            "counted",
            match (self.lag_ms, &self.oldest_uncounted) {
                (Some(lag), Some(oldest)) => format!("all before {oldest}, {} ago", seconds(lag)),
                (Some(_), None) => "every call that has arrived".to_owned(),
                (None, _) => "unknown: no metric says how far behind the counts are".to_owned(),
            },
        );
        if self.stream.is_some() {
            let came = match self.incoming {
                Some(came) => counted(came, "record"),
                None => "unknown records".to_owned(),
            };
            let done = known(self.processed);
            say(
                "last hour",
                format!("{came} into the stream, {done} processed"),
            );
        }
        say(
            "dead letters",
            match self.dead_letters {
                Some(0) => "none".to_owned(),
                letters => format!("{}: `cargo xtask errors list` says which", known(letters)),
            },
        );
        say("stacks", self.stacks_said());
        say(
            "alarms",
            match self.ringing().count() {
                0 => format!("none of {}", self.alarms.len()),
                ringing => format!("{ringing} of {}", self.alarms.len()),
            },
        );
        lines.extend(self.ringing().take(MOST_ALARMS).flat_map(|alarm| {
            [
                format!("  {}", alarm.name),
                format!("    {}", alarm.description),
            ]
        }));
        let more = self.ringing().count().saturating_sub(MOST_ALARMS);
        if more > 0 {
            lines.push(format!(
                "  and {more} more: `cargo xtask status --json` lists all"
            ));
        }
        lines.join("\n")
    }

    fn stacks_said(&self) -> String {
        let changed = self.last_deploy.as_deref().unwrap_or("unknown");
        let all = self.stacks.iter();
        let all: Vec<_> = all
            .map(|stack| format!("{} {}", stack.name, stack.status))
            .collect();
        format!("last changed {changed}\n  {}", all.join("\n  "))
    }
}

fn known(number: Option<u64>) -> String {
    number.map_or_else(|| "unknown".to_owned(), |number| number.to_string())
}

/// Milliseconds as people say them.
fn seconds(millis: u64) -> String {
    match millis {
        0..1_000 => format!("{millis} ms"),
        1_000..120_000 => format!("{} s", millis / 1_000),
        120_000..7_200_000 => format!("{} min", millis / 60_000),
        _ => format!("{} h", millis / 3_600_000),
    }
}

#[cfg(test)]
mod tests;
