//! `destroy`: deletes stacks in an order in which nothing is lost; in `local`, deletes everything.

use std::io::ErrorKind;

use anyhow::Context as _;
use clap::Args;
use deployer::{Deployed, Stacks, Tables};
use domain::names::StackKind;
use stacks::environment::Environment;

use super::deploy::{drain, selected};
use crate::aws::{Reached, STACKS, deletable, reach};
use crate::consent::Consent;
use crate::context::Context;
use crate::context::is_embedded;
use crate::local::{Demo, Emulator, HostProcess, Local, Lock, State};
use crate::stop::{Exit, Stop};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The stacks; all by default
    #[arg(value_name = "STACK")]
    pub(crate) stacks: Vec<String>,
    #[command(flatten)]
    pub(crate) consent: Consent,
    /// On AWS: delete the tables with all counts, and the reports, too
    #[arg(long, conflicts_with = "keep_data")]
    pub(crate) delete_data: bool,
    /// In `local`: keep the data for the next deploy
    #[arg(long)]
    pub(crate) keep_data: bool,
}

pub(crate) async fn run(context: &Context, args: Arguments) -> anyhow::Result<Exit> {
    let environment = context.environment()?;
    let mut kinds = selected(&environment, &args.stacks)?;
    kinds.reverse();
    let embedded = is_embedded(&environment);
    check_options(&environment, embedded, &args)?;
    if embedded && args.stacks.is_empty() {
        return everything_local(context, &environment, &args).await;
    }
    if embedded && context.local().running().await?.is_none() {
        nothing(context, &environment);
        return Ok(Exit::Done);
    }
    // Everything else that changes a local environment waits for this one, or is refused.
    let _lock = if embedded {
        Some(Lock::wait(&context.local(), context.out).await?)
    } else {
        None
    };
    let reached = reach(context).await?;
    let deployed = reached.stacks().await?;
    if args.delete_data {
        check_tables(&deployed, &kinds)?;
    }
    let (found, stay) = chosen(deployed, &kinds);
    if found.is_empty() && !args.delete_data {
        nothing(context, &environment);
        return Ok(Exit::Done);
    }
    deletable(found.iter().map(|(_, stack)| stack))?;
    let question = question(&environment, &found, &args);
    if !agreed(context, &args, &found, &question).await? {
        return Ok(if args.consent.dry_run {
            Exit::Done
        } else {
            Exit::Failed
        });
    }
    delete_stacks(context, &reached, &found, &stay).await?;
    if args.delete_data {
        delete_tables(context, &reached).await?;
        delete_reports(context, &reached).await?;
    }
    if reached.running.is_none() && reached.stacks().await?.is_empty() {
        clear_bucket(context, &reached, args.delete_data).await?;
    }
    context.out.step("destroyed");
    Ok(Exit::Done)
}

/// Refuses options that do not apply to this kind of environment.
fn check_options(
    environment: &Environment,
    embedded: bool,
    args: &Arguments,
) -> anyhow::Result<()> {
    let name = &environment.name;
    if embedded && args.delete_data {
        return Err(Stop::usage(format!(
            "`--delete-data` is for AWS: in `{name}` all data is deleted unless `--keep-data` is given"
        ))
        .into());
    }
    if !embedded && args.keep_data {
        return Err(Stop::usage(format!(
            "`--keep-data` is for `local`: in `{name}` the tables stay unless `--delete-data` is given"
        ))
        .into());
    }
    Ok(())
}

/// Refuses to delete the tables of a stack that stays: CloudFormation would go on believing in
/// them, and no later deploy would create them again.
fn check_tables(deployed: &[(StackKind, Deployed)], kinds: &[StackKind]) -> anyhow::Result<()> {
    let standing = deployed
        .iter()
        .find(|(kind, _)| *kind == StackKind::Data && !kinds.contains(kind));
    let Some((_, stack)) = standing else {
        return Ok(());
    };
    Err(Stop::usage(format!(
        "`--delete-data` deletes the tables of `{name}`, which is not among the stacks to destroy: name \
         `{name}` too, or none for all stacks",
        name = stack.name
    ))
    .into())
}

fn nothing(context: &Context, environment: &Environment) {
    context
        .out
        .step(&format!("nothing is deployed in `{}`", environment.name));
}

/// Existing stacks.
type Found = Vec<(StackKind, Deployed)>;

/// The selected stacks that exist, in the order of their deletion, and those that stay.
fn chosen(found: Found, kinds: &[StackKind]) -> (Found, Found) {
    let (mut chosen, stay): (Found, Found) = found
        .into_iter()
        .partition(|(kind, _)| kinds.contains(kind));
    chosen.sort_by_key(|(kind, _)| kinds.iter().position(|other| other == kind));
    (chosen, stay)
}

/// Whether the stream must be empty before its stack goes. Only an API that stays reports what the
/// stream loses, from its access log. The API may be gone since an earlier run that was interrupted.
fn drains(stream: &Deployed, stay: &[(StackKind, Deployed)]) -> bool {
    let api_stays = stay.iter().any(|(kind, _)| *kind == StackKind::Api);
    stream.is_up() && !api_stays
}

fn question(
    environment: &Environment,
    found: &[(StackKind, Deployed)],
    args: &Arguments,
) -> String {
    let has_reports = environment.reports.is_some();
    let stacks = found.iter().map(|(_, stack)| format!("`{}`", stack.name));
    let mut what: Vec<_> = stacks.collect();
    if args.delete_data {
        what.push("its tables with every key, count and event".to_owned());
        if has_reports {
            what.push("its reports".to_owned());
        }
    }
    let kept = match (args.delete_data, has_reports) {
        (true, _) => "",
        (false, true) => "; tables and reports are kept",
        (false, false) => "; tables are kept",
    };
    let what = what.join(", ");
    format!("delete {what} of environment `{}`{kept}?", environment.name)
}

async fn agreed(
    context: &Context,
    args: &Arguments,
    found: &[(StackKind, Deployed)],
    question: &str,
) -> anyhow::Result<bool> {
    for (_, stack) in found {
        context.out.detail(&format!("- `{}`", stack.name));
    }
    if args.consent.dry_run {
        return Ok(false);
    }
    if args.consent.yes || context.confirm(question).await? {
        return Ok(true);
    }
    context.out.warning("declined: nothing was changed");
    Ok(false)
}

/// Deletes stacks, the API first, and the stream only when it is drained.
async fn delete_stacks(
    context: &Context,
    reached: &Reached,
    found: &[(StackKind, Deployed)],
    stay: &[(StackKind, Deployed)],
) -> anyhow::Result<()> {
    let (stacks, out) = (Stacks::new(&reached.session), context.out);
    for (kind, stack) in found {
        // It may have begun to change since it was found.
        let Some(stack) = stacks.settled(&stack.id, &out).await? else {
            continue;
        };
        if *kind == StackKind::Kinesis && drains(&stack, stay) {
            drain(context, reached).await?;
        }
        out.step(&format!("deleting stack `{}`", stack.name));
        stacks.delete(&stack, &out).await?;
    }
    Ok(())
}

async fn delete_tables(context: &Context, reached: &Reached) -> anyhow::Result<()> {
    let names = reached.environment.names();
    let tables = Tables::new(&reached.session);
    for table in [
        names.analytics_table(),
        names.usage_table(),
        names.api_keys_table(),
    ] {
        context.out.step(&format!("deleting table `{table}`"));
        if !tables.delete(&table).await? {
            context.out.detail("it is not there");
        }
    }
    Ok(())
}

async fn delete_reports(context: &Context, reached: &Reached) -> anyhow::Result<()> {
    let bucket = reached.report_bucket();
    if bucket.remove().await? {
        context.out.step(&format!(
            "removed bucket `{}` with all reports",
            bucket.name()
        ));
    }
    Ok(())
}

/// Empties the bucket of the functions' code. The bucket stays, unless everything is deleted for
/// good: an empty bucket costs nothing, and S3 withholds the name of a deleted one from the next
/// deploy for up to an hour.
async fn clear_bucket(context: &Context, reached: &Reached, for_good: bool) -> anyhow::Result<()> {
    let bucket = reached.assets_bucket();
    let name = bucket.name();
    if for_good {
        if bucket.remove().await? {
            context.out.step(&format!("removed bucket `{name}`"));
        }
    } else if bucket.empty().await? {
        context.out.step(&format!(
            "emptied bucket `{name}`, which stays for the next deploy; `--delete-data` removes it"
        ));
    }
    Ok(())
}

/// Ends the local environment.
async fn everything_local(
    context: &Context,
    environment: &Environment,
    args: &Arguments,
) -> anyhow::Result<Exit> {
    let local = context.local();
    if !local.dir().exists() {
        nothing(context, environment);
        return Ok(Exit::Done);
    }
    let data = if args.keep_data {
        "its data is kept"
    } else {
        "all its data is deleted"
    };
    context.out.detail(&format!(
        "- the local environment in `{}`; {data}",
        local.dir().display()
    ));
    if args.consent.dry_run {
        return Ok(Exit::Done);
    }
    let harmless = args.keep_data || args.consent.yes;
    if !harmless
        && !context
            .out
            .confirm("stop the local environment and delete its data?")
            .await?
    {
        context.out.warning("declined: nothing was changed");
        return Ok(Exit::Failed);
    }
    let lock = Lock::wait(&local, context.out).await?;
    if args.keep_data {
        keep_data(context, &local).await?;
    } else {
        end_processes(&local, &state_of_wreck(context, &local)).await?;
        remove_dir(&local)?;
    }
    lock.remove();
    context.out.step("destroyed");
    Ok(Exit::Done)
}

/// The state, or an empty one if it cannot be read: a broken environment must still be removable,
/// and its processes are found without the state.
fn state_of_wreck(context: &Context, local: &Local) -> State {
    local.state().unwrap_or_else(|error| {
        context.out.warning(&error.to_string());
        State::default()
    })
}

async fn end_processes(local: &Local, state: &State) -> anyhow::Result<()> {
    HostProcess::stop(local, state.host.as_ref()).await?;
    Demo::end(local, state).await;
    Emulator::stop_all(local, state.emulator.as_ref()).await;
    Ok(())
}

/// Deletes the stacks, which retain their tables, and makes the embedded AWS save those.
async fn keep_data(context: &Context, local: &Local) -> anyhow::Result<()> {
    let mut state = local.state()?;
    if local.running().await?.is_some() {
        let reached = reach(context).await?;
        let kinds: Vec<_> = STACKS.into_iter().rev().collect();
        let (found, stay) = chosen(reached.stacks().await?, &kinds);
        delete_stacks(context, &reached, &found, &stay).await?;
    }
    end_processes(local, &state).await?;
    state.host = None;
    state.demo = None;
    state.emulator = None;
    local.save(&state)?;
    for gone in [local.host_dir(), local.logs_dir()] {
        remove(&gone)?;
    }
    context
        .out
        .step(&format!("the data is kept in `{}`", local.dir().display()));
    Ok(())
}

fn remove_dir(local: &Local) -> anyhow::Result<()> {
    remove(local.dir())
}

fn remove(dir: &std::path::Path) -> anyhow::Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing `{}`", dir.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(kind: StackKind) -> (StackKind, Deployed) {
        let stack = Deployed {
            name: format!("{kind:?}"),
            status: "CREATE_COMPLETE".into(),
            ..Deployed::default()
        };
        (kind, stack)
    }

    #[test]
    fn the_question_names_what_goes_and_what_stays() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let file = root.join("../stacks/environments/test.yaml");
        let environment = Environment::load(&file).unwrap();
        let mut args = Arguments {
            stacks: Vec::new(),
            consent: crate::consent::Consent {
                dry_run: false,
                yes: false,
            },
            delete_data: false,
            keep_data: false,
        };
        let found = [stack(StackKind::Api)];
        assert_eq!(
            question(&environment, &found, &args),
            "delete `Api` of environment `test`; tables are kept?"
        );
        args.delete_data = true;
        assert_eq!(
            question(&environment, &[], &args),
            "delete its tables with every key, count and event of environment `test`?"
        );
        let text = std::fs::read_to_string(&file).unwrap() + "reports: {weekly: true}\n";
        let environment = Environment::parse("test", &file, &text).unwrap();
        assert_eq!(
            question(&environment, &[], &args),
            "delete its tables with every key, count and event, its reports of environment `test`?"
        );
        args.delete_data = false;
        assert_eq!(
            question(&environment, &found, &args),
            "delete `Api` of environment `test`; tables and reports are kept?"
        );
    }

    #[test]
    fn tables_go_only_with_their_stack() {
        let deployed = STACKS.map(stack);
        assert!(check_tables(&deployed, &[StackKind::Api, StackKind::Kinesis]).is_err());
        assert!(check_tables(&deployed, &STACKS).is_ok());
        // A stack that is gone believes in nothing.
        assert!(check_tables(&[stack(StackKind::Api)], &[StackKind::Api]).is_ok());
    }

    #[test]
    fn the_stream_is_emptied_unless_an_api_stays_that_reports_what_it_loses() {
        let (_, mut stream) = stack(StackKind::Kinesis);
        // Also where an earlier, interrupted run has deleted the API.
        assert!(drains(&stream, &[]));
        assert!(drains(&stream, &[stack(StackKind::Data)]));
        assert!(!drains(&stream, &[stack(StackKind::Api)]));
        stream.status = "UPDATE_ROLLBACK_COMPLETE".into();
        assert!(drains(&stream, &[]), "it works as before its update");
        stream.status = "ROLLBACK_COMPLETE".into();
        assert!(!drains(&stream, &[]), "it never worked");
    }

    #[test]
    fn the_api_goes_first_and_the_tables_last() {
        let found = STACKS.map(stack).to_vec();
        let kinds: Vec<_> = STACKS.into_iter().rev().collect();
        let order: Vec<_> = chosen(found, &kinds)
            .0
            .into_iter()
            .map(|(kind, _)| kind)
            .collect();
        assert_eq!(order, [StackKind::Api, StackKind::Kinesis, StackKind::Data]);
    }
}
