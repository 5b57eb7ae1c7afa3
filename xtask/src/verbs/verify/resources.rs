//! Checks that declared resources exist.

use deployer::{Deployed, Inspector, Stacks, StreamFacts};
use domain::names::{Function, StackKind, TrackingMode};
use stacks::environment::{Environment, StreamCapacity};

use super::{Check, has};
use crate::aws::{Reached, deployed_mode};
use crate::output::counted;
use crate::verbs::dashboard;

type Found = [(StackKind, Deployed)];

/// Each stack, with every resource of its template.
pub(super) async fn of_stacks(reached: &Reached, found: &Found) -> anyhow::Result<Vec<Check>> {
    let stacks = Stacks::new(&reached.session);
    let mut checks = Vec::new();
    for (_, stack) in found {
        let declared = stacks.declared(stack).await?;
        let lacking = declared.lacking.iter();
        let lacking: Vec<_> = lacking
            .map(|(id, status)| format!("`{id}` {status}"))
            .collect();
        let detail = if lacking.is_empty() {
            format!(
                "{}, {} as declared",
                stack.status,
                counted(declared.resources, "resource")
            )
        } else {
            format!("{}; {}", stack.status, lacking.join(", "))
        };
        let name = format!("stack `{}`", stack.name);
        checks.push(Check::new(
            name,
            stack.is_well() && lacking.is_empty(),
            detail,
        ));
    }
    let mut wanted = vec![StackKind::Data, StackKind::Api];
    if deployed_mode(found) == TrackingMode::Stream {
        wanted.push(StackKind::Kinesis);
    }
    let names = reached.environment.names();
    let missing = wanted.into_iter().filter(|kind| !has(found, *kind));
    checks.extend(
        missing
            .map(|kind| Check::new(format!("stack `{}`", names.stack(kind)), false, "not there")),
    );
    Ok(checks)
}

/// The stream, in stream mode.
pub(super) async fn of_stream(reached: &Reached, found: &Found) -> anyhow::Result<Vec<Check>> {
    if !has(found, StackKind::Kinesis) {
        return Ok(Vec::new());
    }
    let stream = reached.environment.names().usage_stream();
    let facts = Inspector::new(&reached.session).stream(&stream).await?;
    let name = format!("stream `{stream}`");
    Ok(vec![match facts {
        None => Check::new(name, false, "not there"),
        Some(facts) => {
            let wrong = differences(&facts, &reached.environment, reached.running.is_some());
            let detail = format!(
                "{}, {}, {} h, {}",
                facts.status,
                counted(facts.shards, "shard"),
                facts.retention_hours,
                if facts.encrypted {
                    "encrypted"
                } else {
                    "not encrypted"
                }
            );
            if wrong.is_empty() {
                Check::new(name, true, detail)
            } else {
                Check::new(name, false, format!("{detail}: {}", wrong.join(", ")))
            }
        }
    }])
}

/// The differences between the stream and the environment file. Shards may have been split or
/// merged since. The embedded AWS encrypts nothing.
fn differences(facts: &StreamFacts, environment: &Environment, embedded: bool) -> Vec<String> {
    let mut wrong = Vec::new();
    if facts.status != "ACTIVE" {
        wrong.push("it is not `ACTIVE`".to_owned());
    }
    let hours = environment.stream.retention_hours.get();
    if i64::from(facts.retention_hours) != i64::from(hours) {
        wrong.push(format!("the file says {hours} h"));
    }
    if let StreamCapacity::Provisioned { least, most, .. } = environment.stream.capacity {
        let shards = u32::try_from(facts.shards).unwrap_or(0);
        if !(least..=most).contains(&shards) {
            wrong.push(if least == most {
                format!("the file says {}", counted(least, "shard"))
            } else {
                format!("the file says {least} to {most} shards")
            });
        }
    }
    if !facts.encrypted && !embedded {
        wrong.push("it must be encrypted".to_owned());
    }
    wrong
}

/// Every table, with its key and its stream.
pub(super) async fn of_tables(reached: &Reached) -> anyhow::Result<Vec<Check>> {
    let names = reached.environment.names();
    let inspector = Inspector::new(&reached.session);
    let mut checks = Vec::new();
    for (table, key, streams) in [
        (names.api_keys_table(), None, false),
        (names.usage_table(), Some("PK, SK"), false),
        (names.analytics_table(), Some("PK, SK"), true),
    ] {
        let name = format!("table `{table}`");
        let Some(facts) = inspector.table(&table).await? else {
            checks.push(Check::new(name, false, "not there"));
            continue;
        };
        let mut wrong = Vec::new();
        if facts.status != "ACTIVE" {
            wrong.push("it is not `ACTIVE`".to_owned());
        }
        if let Some(key) = key.filter(|key| *key != facts.key) {
            wrong.push(format!("its key must be {key}"));
        }
        if streams && !facts.streams {
            wrong.push("its changes must be streamed".to_owned());
        }
        let is_sound = wrong.is_empty();
        wrong.insert(0, format!("{}, key {}", facts.status, facts.key));
        checks.push(Check::new(name, is_sound, wrong.join(", ")));
    }
    Ok(checks)
}

/// Every function of the mode; the authorizer's description names the mode.
pub(super) async fn of_functions(reached: &Reached, found: &Found) -> anyhow::Result<Vec<Check>> {
    let names = reached.environment.names();
    let inspector = Inspector::new(&reached.session);
    let mode = deployed_mode(found);
    let scales = reached.environment.stream.capacity.scaled().is_some();
    let collects = !reached.environment.meters.is_empty();
    let mut checks = Vec::new();
    for function in Function::ALL {
        // If its stack is missing, the function is not reported: the stack is.
        if !has(found, function.stack()) {
            continue;
        }
        let deployed = names.function(function);
        let name = format!("function `{deployed}`");
        match inspector.function(&deployed).await? {
            // A sample that does not exist in an environment with its own API.
            None if function == Function::Deadlines => {}
            None if function == Function::Scaler && !scales => {}
            None if function == Function::Collector && !collects => {}
            None => checks.push(Check::new(name, false, "not there")),
            Some(facts) => {
                let ready = if facts.ready { "ready" } else { "not ready" };
                let detail = format!("{ready}, {}", facts.architecture);
                checks.push(Check::new(name, facts.ready, detail));
                if function == Function::Authorizer {
                    checks.push(of_description(&facts.description, mode));
                }
            }
        }
    }
    Ok(checks)
}

/// Whether the authorizer's description names the deployed mode.
fn of_description(description: &str, mode: TrackingMode) -> Check {
    let told = match mode {
        TrackingMode::Stream => "Kinesis-enabled authorizer for real-time analytics",
        TrackingMode::Synchronous => "Enhanced authorizer with synchronous usage tracking",
    };
    Check::new(
        "mode",
        description == told,
        format!("{mode}: `{description}`"),
    )
}

/// The dashboards.
pub(super) async fn of_dashboards(reached: &Reached) -> anyhow::Result<Vec<Check>> {
    let inspector = Inspector::new(&reached.session);
    let mut checks = Vec::new();
    for (_, dashboard) in dashboard::all(&reached.environment) {
        let widgets = inspector.dashboard(&dashboard).await?;
        let name = format!("dashboard `{dashboard}`");
        checks.push(match widgets {
            None => Check::new(name, false, "not there"),
            Some(widgets) => Check::new(name, widgets > 0, counted(widgets, "widget")),
        });
    }
    Ok(checks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_that_differs_from_the_file_is_reported() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let file = root.join("../stacks/environments/local.yaml");
        let environment = Environment::load(&file).unwrap();
        let mut facts = StreamFacts {
            status: "ACTIVE".into(),
            shards: 2,
            retention_hours: 168,
            encrypted: true,
        };
        assert!(differences(&facts, &environment, false).is_empty());
        facts.retention_hours = 24;
        facts.shards = 5;
        facts.encrypted = false;
        assert_eq!(
            differences(&facts, &environment, false),
            [
                "the file says 168 h",
                "the file says 2 shards",
                "it must be encrypted"
            ]
        );
        assert_eq!(differences(&facts, &environment, true).len(), 2);
    }

    #[test]
    fn the_description_must_tell_the_deployed_mode() {
        let stream = "Kinesis-enabled authorizer for real-time analytics";
        assert!(of_description(stream, TrackingMode::Stream).ok);
        assert!(!of_description(stream, TrackingMode::Synchronous).ok);
    }
}
