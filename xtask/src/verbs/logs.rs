//! `logs`: what the functions wrote. In `local` the host keeps a file for each; on AWS they are
//! in CloudWatch Logs.

use std::collections::HashMap;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use deployer::Logs;
use domain::names::Function;
use domain::time::UnixMillis;

use crate::aws::{Reached, reach};
use crate::cli;
use crate::clock;
use crate::context::Context;
use crate::stop::{Exit, Stop};

/// How far back a look goes.
const PAST_MILLIS: i64 = 3_600_000;
const POLL: Duration = Duration::from_secs(1);

pub(super) async fn run(context: &Context, args: cli::Logs) -> anyhow::Result<Exit> {
    let functions = selected(args.function.as_deref())?;
    let reached = reach(context).await?;
    if reached.running.is_some() {
        follow_files(context, &reached, &functions, args.follow).await?;
    } else {
        follow_groups(context, &reached, &functions, args.follow).await?;
    }
    Ok(Exit::Done)
}

fn selected(folder: Option<&str>) -> anyhow::Result<Vec<Function>> {
    let Some(folder) = folder else {
        return Ok(Function::ALL.to_vec());
    };
    let found = Function::ALL
        .into_iter()
        .find(|function| function.folder() == folder);
    found.map(|function| vec![function]).ok_or_else(|| {
        let known = Function::ALL.map(|function| format!("`{}`", function.folder()));
        Stop::usage(format!(
            "there is no function `{folder}`: there are {}",
            known.join(", ")
        ))
        .into()
    })
}

async fn follow_files(
    context: &Context,
    reached: &Reached,
    functions: &[Function],
    follow: bool,
) -> anyhow::Result<()> {
    let names = reached.environment.names();
    let folder = context.local().logs_dir();
    let files: Vec<(Function, PathBuf)> = functions
        .iter()
        .map(|function| {
            let file = format!("{}.log", names.function(*function));
            (*function, folder.join(file))
        })
        .collect();
    let mut read_to = HashMap::new();
    loop {
        for (function, file) in &files {
            let from = read_to.entry(*function).or_insert(0);
            let text = read_from(file, from)?;
            print(context, *function, text.lines())?;
        }
        if !follow {
            return Ok(());
        }
        tokio::time::sleep(POLL).await;
    }
}

/// What a file has gained since it was read to `from`; nothing where there is no file yet.
fn read_from(file: &PathBuf, from: &mut u64) -> anyhow::Result<String> {
    let mut opened = match std::fs::File::open(file) {
        Ok(opened) => opened,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(error).with_context(|| format!("reading `{}`", file.display())),
    };
    let mut bytes = Vec::new();
    opened
        .seek(SeekFrom::Start(*from))
        .and_then(|_| opened.read_to_end(&mut bytes))
        .with_context(|| format!("reading `{}`", file.display()))?;
    // A line that is still being written is left for the next look.
    let whole = bytes
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    bytes.truncate(whole);
    *from += u64::try_from(whole).unwrap_or(0);
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

async fn follow_groups(
    context: &Context,
    reached: &Reached,
    functions: &[Function],
    follow: bool,
) -> anyhow::Result<()> {
    let names = reached.environment.names();
    let logs = Logs::new(&reached.session);
    let mut since: HashMap<Function, UnixMillis> = HashMap::new();
    let start = clock::now().plus_millis(-PAST_MILLIS);
    loop {
        for function in functions {
            let from = since.entry(*function).or_insert(start);
            let group = format!("/aws/lambda/{}", names.function(*function));
            let lines = logs.since(&group, *from).await?;
            if let Some((newest, _)) = lines.last() {
                *from = newest.plus_millis(1);
            }
            print(
                context,
                *function,
                lines.iter().map(|(_, line)| line.as_str()),
            )?;
        }
        if !follow {
            return Ok(());
        }
        tokio::time::sleep(POLL).await;
    }
}

fn print<'a>(
    context: &Context,
    function: Function,
    lines: impl Iterator<Item = &'a str>,
) -> anyhow::Result<()> {
    for line in lines {
        let line = serde_json::json!({"function": function.folder(), "line": line.trim_end()});
        context.out.line(&line, |_| {
            let text = line.get("line").and_then(serde_json::Value::as_str);
            format!("{:<10} {}", function.folder(), text.unwrap_or_default())
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_on_from_its_last_whole_line() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("log");
        let mut from = 0;
        assert_eq!(read_from(&file, &mut from).unwrap(), "");
        std::fs::write(&file, "one\ntw").unwrap();
        assert_eq!(read_from(&file, &mut from).unwrap(), "one\n");
        std::fs::write(&file, "one\ntwo\n").unwrap();
        assert_eq!(read_from(&file, &mut from).unwrap(), "two\n");
        assert_eq!(read_from(&file, &mut from).unwrap(), "");
    }

    #[test]
    fn an_unknown_function_is_a_usage_error_that_names_the_known() {
        let error = selected(Some("nothing")).unwrap_err();
        assert_eq!(crate::stop::exit_of(&error), Exit::Usage);
        assert!(error.to_string().contains("`authorizer`"));
    }
}
