//! `logs`: the functions' logs. In `local` the host keeps a file for each function; on AWS they are
//! in CloudWatch Logs.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use deployer::{LogLine, Logs};
use domain::names::{Function, Names};
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
    /// Lines about one call, in every function and in the gateway's access log: its event id or its
    /// request id
    #[arg(long, value_name = "ID")]
    pub(crate) event: Option<String>,
}

fn pattern(text: &str) -> Result<Regex, String> {
    Regex::new(text).map_err(|error| format!("invalid pattern `{text}`: {error}"))
}

const POLL: Duration = Duration::from_secs(1);
/// Marks of an error: a level, or the text that Lambda writes when a function dies.
const ALARMING: [&str; 3] = ["\"level\":\"ERROR\"", "ERROR", "Task timed out"];

/// The name of the gateway's access log beside those of the functions.
const ACCESS: &str = "access";

/// A line and its time, if known.
type Line = (Option<UnixMillis>, String);
/// The name of a log: a function's folder, or [`ACCESS`].
type Source = &'static str;

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
    let mut groups = Groups::of(&reached, &filter);
    if reached.running.is_none() {
        groups.add_functions(&functions);
    }
    // Functions log no id of a call that succeeds. The gateway logs every call.
    if args.event.is_some() {
        groups.add(ACCESS, reached.environment.names().access_log());
    }
    let mut files = match &reached.running {
        Some(_) => Files::of(context, &reached, &functions),
        None => Files::default(),
    };
    let shown = follow(context, &filter, &mut files, &mut groups, args.follow).await?;
    if let (0, Some(id)) = (shown, &args.event) {
        context.out.step(&format!(
            "no line names this call: `cargo xtask explain {id}` shows what the journal knows of it"
        ));
    }
    Ok(Exit::Done)
}

/// Prints lines as they are written. Returns how many were there at the end, which comes only
/// without `continues`.
async fn follow(
    context: &Context,
    filter: &Filter,
    files: &mut Files,
    groups: &mut Groups,
    continues: bool,
) -> anyhow::Result<usize> {
    let mut read = groups.read().await?;
    loop {
        let mut lines = files.read()?;
        lines.append(&mut read);
        let shown = print(context, filter, lines)?;
        if !continues {
            return Ok(shown);
        }
        tokio::time::sleep(POLL).await;
        // A call that AWS throttles, or a lost connection, must not end what is followed for hours.
        read = groups.read().await.unwrap_or_else(|error| {
            context.out.warning(&format!("{error:#}; trying again"));
            Vec::new()
        });
    }
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

/// The files of the local host.
#[derive(Debug, Default)]
struct Files {
    /// Each with how far it was read.
    followed: Vec<(Source, PathBuf, u64)>,
}

impl Files {
    fn of(context: &Context, reached: &Reached, functions: &[Function]) -> Self {
        let names = reached.environment.names();
        let folder = context.local().logs_dir();
        let files = functions.iter().map(|function| {
            let file = format!("{}.log", names.function(*function));
            (function.folder(), folder.join(file), 0)
        });
        Self {
            followed: files.collect(),
        }
    }

    /// The lines that were added.
    fn read(&mut self) -> anyhow::Result<Vec<(Source, Line)>> {
        let mut lines = Vec::new();
        for (source, file, from) in &mut self.followed {
            let text = read_from(file, from)?;
            lines.extend(timed(&text).map(|line| (*source, line)));
        }
        Ok(lines)
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

/// Groups of CloudWatch Logs.
struct Groups {
    logs: Logs,
    names: Names,
    since: UnixMillis,
    followed: Vec<(Source, Followed)>,
}

/// A group that is read again and again. CloudWatch shows the lines of several instances late and
/// out of order, so the last minute is read again each time.
struct Followed {
    group: String,
    /// The time from which to read on.
    from: UnixMillis,
    /// The ids of the lines from then on that were returned already.
    known: BTreeMap<String, UnixMillis>,
}

/// How late a line may be. CloudWatch usually takes seconds.
const LATE_MILLIS: i64 = 60_000;

impl Followed {
    /// The lines that were not returned before.
    fn fresh(&mut self, lines: Vec<LogLine>) -> Vec<Line> {
        let fresh: Vec<_> = lines
            .into_iter()
            .filter(|line| self.known.insert(line.id.clone(), line.at).is_none())
            .map(|line| (Some(line.at), line.text))
            .collect();
        if let Some(newest) = self.known.values().max() {
            let from = newest.plus_millis(-LATE_MILLIS).max(self.from);
            self.known.retain(|_, at| *at >= from);
            self.from = from;
        }
        fresh
    }
}

impl Groups {
    fn of(reached: &Reached, filter: &Filter) -> Self {
        Self {
            logs: Logs::new(&reached.session),
            names: reached.environment.names(),
            since: filter.since,
            followed: Vec::new(),
        }
    }

    fn add_functions(&mut self, functions: &[Function]) {
        for function in functions {
            let group = format!("/aws/lambda/{}", self.names.function(*function));
            self.add(function.folder(), group);
        }
    }

    fn add(&mut self, source: Source, group: String) {
        let followed = Followed {
            group,
            from: self.since,
            known: BTreeMap::new(),
        };
        self.followed.push((source, followed));
    }

    /// The lines that were added.
    async fn read(&mut self) -> anyhow::Result<Vec<(Source, Line)>> {
        let mut found = Vec::new();
        for (_, followed) in &self.followed {
            found.push(self.logs.since(&followed.group, followed.from).await?);
        }
        // Only now: a line that is known is not returned again, so no later failure may drop it.
        let mut lines = Vec::new();
        for ((source, followed), found) in self.followed.iter_mut().zip(found) {
            let fresh = followed.fresh(found).into_iter();
            lines.extend(fresh.map(|line| (*source, line)));
        }
        Ok(lines)
    }
}

/// Prints lines of several logs in the order of their times. Returns how many it printed.
fn print(
    context: &Context,
    filter: &Filter,
    mut lines: Vec<(Source, Line)>,
) -> anyhow::Result<usize> {
    lines.sort_by_key(|(_, (at, _))| *at);
    let out = context.out;
    lines.retain(|(_, line)| filter.shows(line));
    for (source, line) in &lines {
        let text = line.1.trim_end();
        let json = json!({"function": source, "line": text});
        out.line(&json, |_: &Value| {
            let mut all = Function::ALL.iter();
            let place = all.position(|function| function.folder() == *source);
            let place = place.unwrap_or(Function::ALL.len());
            let name = out.name(place, &format!("{source:<10}"));
            let text = if ALARMING.iter().any(|word| text.contains(word)) {
                out.alarming(text)
            } else {
                text.to_owned()
            };
            format!("{name} {text}")
        })?;
    }
    Ok(lines.len())
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
    fn a_late_line_is_shown_and_no_line_twice() {
        let mut followed = Followed {
            group: "g".to_owned(),
            from: UnixMillis(0),
            known: BTreeMap::new(),
        };
        let line = |id: &str, at| LogLine {
            id: id.to_owned(),
            at: UnixMillis(at),
            text: format!("line {id}"),
        };
        let texts =
            |lines: Vec<Line>| -> Vec<String> { lines.into_iter().map(|(_, text)| text).collect() };
        let first = vec![line("a", 1_000), line("b", 100_000)];
        assert_eq!(texts(followed.fresh(first)), ["line a", "line b"]);
        assert_eq!(followed.from, UnixMillis(100_000 - LATE_MILLIS));
        // Of another instance, written before `b`.
        let second = vec![line("c", 99_000), line("b", 100_000)];
        assert_eq!(texts(followed.fresh(second)), ["line c"]);
        assert_eq!(texts(followed.fresh(Vec::new())), [""; 0]);
        assert_eq!(
            followed.known.len(),
            2,
            "what is not read again is forgotten"
        );
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
