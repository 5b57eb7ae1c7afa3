//! `verify`: checks after a deploy that every resource exists and one real call is counted.
//!
//! The steps are those that a person would take by hand: the stacks with every resource that they
//! declare, the stream, the tables, the functions, the mode in the authorizer's description, the
//! dashboard, the three questions of the analytics API, a metered call, its metrics, the items under
//! `PK = ERRORS`, and the latency.

mod call;
mod endpoints;
mod resources;

use deployer::{Deployed, ErrorTable};
use domain::names::StackKind;
use domain::time::UnixMillis;
use serde::Serialize;

use crate::aws::{Reached, reach};
use crate::clock;
use crate::context::Context;
use crate::stop::Exit;

/// The results of the checks.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Verification {
    checks: Vec<Check>,
    seconds_to_counted: Option<f64>,
}

/// One step.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Check {
    name: String,
    ok: bool,
    detail: String,
}

pub(crate) async fn run(context: &Context) -> anyhow::Result<Exit> {
    let reached = reach(context).await?;
    let verification = verify(context, &reached).await?;
    context.out.answer(&verification, Verification::text)?;
    Ok(verification.exit())
}

/// Takes every step, whatever the results of the previous ones.
pub(super) async fn verify(context: &Context, reached: &Reached) -> anyhow::Result<Verification> {
    let found = reached.deployed().await?;
    let mut verification = Verification {
        checks: Vec::new(),
        seconds_to_counted: None,
    };
    context.out.step("checking what is deployed");
    verification.add(resources::of_stacks(reached, &found).await?);
    verification.add(resources::of_stream(reached, &found).await?);
    verification.add(resources::of_tables(reached).await?);
    verification.add(resources::of_functions(reached, &found).await?);
    verification.add(resources::of_dashboards(reached).await?);
    verification.add(endpoints::of_analytics(context, reached, &found).await?);
    let started = clock::now();
    let counted = call::make(context, reached, &found).await?;
    verification.seconds_to_counted = counted.seconds;
    verification.add(counted.checks);
    verification.add(vec![of_errors(reached, started).await?]);
    Ok(verification)
}

/// Whether a stack is among those found.
fn has(found: &[(StackKind, Deployed)], wanted: StackKind) -> bool {
    found.iter().any(|(kind, _)| *kind == wanted)
}

/// Items set aside: there must be none since `started`.
async fn of_errors(reached: &Reached, started: UnixMillis) -> anyhow::Result<Check> {
    let names = reached.environment.names();
    let all = ErrorTable::new(&reached.session, &names).describe().await?;
    let since = all.iter().filter(|record| {
        let received = record.received_at.parse::<UnixMillis>();
        received.is_ok_and(|received| received >= started)
    });
    let (since, all) = (since.count(), all.len());
    let detail = match all {
        0 => "nothing is set aside".to_owned(),
        _ => {
            format!("{all} set aside, {since} of them during the check: `cargo xtask errors list`")
        }
    };
    Ok(Check::new("errors", since == 0, detail))
}

impl Check {
    fn new(name: impl Into<String>, ok: bool, detail: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ok,
            detail: detail.into(),
        }
    }
}

impl Verification {
    fn add(&mut self, checks: Vec<Check>) {
        self.checks.extend(checks);
    }

    /// The exit code of a command that only verifies.
    pub(super) fn exit(&self) -> Exit {
        if self.checks.iter().all(|check| check.ok) {
            Exit::Done
        } else {
            Exit::Failed
        }
    }

    /// One line per step, failures last.
    pub(super) fn text(&self) -> String {
        let (done, missing): (Vec<_>, Vec<_>) = self.checks.iter().partition(|check| check.ok);
        let line =
            |sign: &str, check: &Check| format!("{sign:<8}{:<44} {}", check.name, check.detail);
        let mut lines: Vec<_> = done.iter().map(|check| line("ok", check)).collect();
        lines.extend(missing.iter().map(|check| line("MISSING", check)));
        lines.push(match (missing.len(), self.seconds_to_counted) {
            (0, Some(seconds)) => {
                format!("everything exists; a call is counted after {seconds:.1} s")
            }
            (0, None) => "everything exists".to_owned(),
            (count, _) => format!("{count} of {} checks failed", self.checks.len()),
        });
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_comes_last_and_fails_the_command() {
        let mut verification = Verification {
            checks: vec![
                Check::new("table `t`", false, "not there"),
                Check::new("function `f`", true, "ready"),
            ],
            seconds_to_counted: None,
        };
        assert_eq!(verification.exit(), Exit::Failed);
        let text = verification.text();
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].starts_with("ok") && lines[1].starts_with("MISSING table `t`"));
        assert_eq!(lines[2], "1 of 2 checks failed");
        verification.checks.remove(0);
        verification.seconds_to_counted = Some(1.25);
        assert_eq!(verification.exit(), Exit::Done);
        assert!(
            verification
                .text()
                .ends_with("everything exists; a call is counted after 1.2 s")
        );
        assert_eq!(
            serde_json::to_value(&verification).unwrap(),
            serde_json::json!({"checks": [{"name": "function `f`", "ok": true, "detail": "ready"}],
                "secondsToCounted": 1.25})
        );
    }
}
