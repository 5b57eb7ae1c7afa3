//! `logs`: the functions' logs. In `local` the host keeps a file for each function; on AWS they are
//! in CloudWatch Logs.

use std::collections::HashMap;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use deployer::Logs;
use domain::names::Function;
use domain::time::UnixMillis;
use regex_lite::Regex;
use serde_json::{Value, json};

use super::explain;
use crate::aws::{Reached, reach};
use crate::clock;
use crate::context::Context;
use crate::duration::{Past, past};
use crate::stop::{Exit, Stop};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// A function's folder name; all by default
    pub(crate) function: Option<String>,
    /// Continue as more lines are written
    #[arg(long)]
    pub(crate) follow: bool,
    /// Lines that match this regular expression
    #[arg(long, value_name = "PATTERN", value_parser = pattern)]
    pub(crate) grep: Option<Regex>,
    /// Lines since this time: `15m` ago, or a time
    #[arg(long, value_name = "T", value_parser = past, default_value = "1h")]
    pub(crate) since: Past,
    /// Lines about one call, in every function: its event id or its request id
    #[arg(long, value_name = "ID")]
    pub(crate) event: Option<String>,
}

fn pattern(text: &str) -> Result<Regex, String> {
    Regex::new(text).map_err(|error| format!("invalid pattern `{text}`: {error}"))
}

const POLL: Duration = Duration::from_secs(1);
/// Marks of an error: a level, or the text that Lambda writes when a function dies.
const ALARMING: [&str; 3] = ["\"level\":\"ERROR\"", "ERROR", "Task timed out"];

/// A line and its time, if known.
type Line = (Option<UnixMillis>, String);

/// The lines to show.
struct Filter {
    since: UnixMillis,
    grep: Option<Regex>,
    /// A line must contain one of these; if there are none, every line matches.
    names: Vec<String>,
}

pub(crate) async fn run(context: &Context, args: Arguments) -> anyhow::Result<Exit> {
    let functions = selected(args.function.as_deref())?;
    let reached = reach(context).await?;
    let names = match &args.event {
        Some(id) => explain::names_of(&reached, id).await?,
        None => Vec::new(),
    };
    let filter = Filter {
        since: args.since.before(clock::now()),
        grep: args.grep,
        names,
    };
    if reached.running.is_some() {
        follow_files(context, &reached, &functions, &filter, args.follow).await?;
    } else {
        follow_groups(context, &reached, &functions, &filter, args.follow).await?;
    }
    Ok(Exit::Done)
}

impl Filter {
    fn shows(&self, (at, text): &Line) -> bool {
        at.is_none_or(|at| at >= self.since)
            && self.grep.as_ref().is_none_or(|grep| grep.is_match(text))
            && (self.names.is_empty() || self.names.iter().any(|name| text.contains(name)))
    }
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
    filter: &Filter,
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
        let mut lines = Vec::new();
        for (function, file) in &files {
            let from = read_to.entry(*function).or_insert(0);
            let text = read_from(file, from)?;
            lines.extend(timed(&text).map(|line| (*function, line)));
        }
        print(context, filter, lines)?;
        if !follow {
            return Ok(());
        }
        tokio::time::sleep(POLL).await;
    }
}

/// A file's lines with the time at the start of each. A line without one belongs to the previous
/// line.
fn timed(text: &str) -> impl Iterator<Item = Line> {
    let mut last = None;
    text.lines().map(move |line| {
        let time = line.split_ascii_whitespace().next();
        last = time.and_then(|time| time.parse().ok()).or(last);
        (last, line.to_owned())
    })
}

/// The content added to a file since it was read up to `from`; empty if the file does not exist
/// yet.
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
    // An incomplete line is left for the next poll.
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
    filter: &Filter,
    follow: bool,
) -> anyhow::Result<()> {
    let names = reached.environment.names();
    let logs = Logs::new(&reached.session);
    let mut since: HashMap<Function, UnixMillis> = HashMap::new();
    loop {
        let mut lines = Vec::new();
        for function in functions {
            let from = since.entry(*function).or_insert(filter.since);
            let group = format!("/aws/lambda/{}", names.function(*function));
            let fresh = logs.since(&group, *from).await?;
            if let Some((newest, _)) = fresh.last() {
                *from = newest.plus_millis(1);
            }
            let fresh = fresh.into_iter();
            lines.extend(fresh.map(|(at, line)| (*function, (Some(at), line))));
        }
        print(context, filter, lines)?;
        if !follow {
            return Ok(());
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Prints lines of several functions in the order of their times.
fn print(
    context: &Context,
    filter: &Filter,
    mut lines: Vec<(Function, Line)>,
) -> anyhow::Result<()> {
    lines.sort_by_key(|(_, (at, _))| *at);
    let out = context.out;
    for (function, line) in lines {
        if !filter.shows(&line) {
            continue;
        }
        let (folder, text) = (function.folder(), line.1.trim_end());
        let json = json!({"function": folder, "line": text});
        out.line(&json, |_: &Value| {
            let place = Function::ALL.iter().position(|other| *other == function);
            let name = out.name(place.unwrap_or(0), &format!("{folder:<10}"));
            let text = if ALARMING.iter().any(|word| text.contains(word)) {
                out.alarming(text)
            } else {
                text.to_owned()
            };
            format!("{name} {text}")
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

    #[test]
    fn a_line_is_shown_for_its_time_its_words_and_its_call() {
        let text =
            "2026-11-27T20:00:00.000Z first\n  of two lines\n2026-11-27T20:00:01.000Z r1 last\n";
        let shown = |filter: &Filter| -> Vec<String> {
            let lines = timed(text).filter(|line| filter.shows(line));
            lines.map(|(_, line)| line).collect()
        };
        let mut filter = Filter {
            since: UnixMillis(0),
            grep: None,
            names: Vec::new(),
        };
        assert_eq!(shown(&filter).len(), 3);
        filter.since = "2026-11-27T20:00:00.500Z".parse().unwrap();
        assert_eq!(shown(&filter), ["2026-11-27T20:00:01.000Z r1 last"]);
        filter.since = UnixMillis(0);
        filter.grep = Some(Regex::new("^ +of").unwrap());
        assert_eq!(shown(&filter), ["  of two lines"]);
        filter.grep = None;
        filter.names = vec!["e1".into(), "r1".into()];
        assert_eq!(shown(&filter), ["2026-11-27T20:00:01.000Z r1 last"]);
    }
}
