//! Prints everything: data to stdout, everything else to stderr.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the one module that prints; the lints keep it so"
)]

mod under_way;

use std::fmt;
use std::io::{BufRead, IsTerminal, Write};

use anyhow::Context as _;
use deployer::{Line, Progress, ResourceEvent, Tone};
use serde::Serialize;
use serde_json::Value;

use crate::interrupt;

/// The form and the destinations of a command's output.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
    quiet: bool,
    colours: Colours,
}

/// The streams that support colours.
#[derive(Debug, Clone, Copy)]
struct Colours {
    stderr: bool,
    stdout: bool,
}

/// Types for which AWS takes long enough to make a user wonder.
const SLOW: [&str; 2] = ["AWS::DynamoDB::Table", "AWS::Kinesis::Stream"];

/// The style of a word.
#[derive(Debug, Clone, Copy)]
enum Style {
    Error,
    Warning,
    Hint,
    Progress,
    Quiet,
}

impl Style {
    /// Select Graphic Rendition parameters (ECMA-48, 8.3.117).
    const fn code(self) -> &'static str {
        match self {
            Self::Error => "1;31",
            Self::Warning => "1;33",
            Self::Hint => "1;36",
            Self::Progress => "1;32",
            Self::Quiet => "2",
        }
    }
}

impl Output {
    pub(crate) fn new(json: bool, quiet: bool) -> Self {
        // https://no-color.org: set and not empty, whatever its value.
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            json,
            quiet,
            colours: Colours {
                stderr: !no_colour && std::io::stderr().is_terminal(),
                stdout: !no_colour && std::io::stdout().is_terminal(),
            },
        }
    }

    /// The same, without progress.
    pub(crate) const fn hushed(self) -> Self {
        Self {
            quiet: true,
            ..self
        }
    }

    /// The same, with progress if `asks`: nobody agrees to what was not shown.
    pub(crate) const fn before_a_question(self, asks: bool) -> Self {
        Self {
            quiet: self.quiet && !asks,
            ..self
        }
    }

    pub(crate) const fn is_json(self) -> bool {
        self.json
    }

    pub(crate) const fn is_quiet(self) -> bool {
        self.quiet
    }

    /// Prints the command's result: as JSON, or as the text that `text` makes of it.
    pub(crate) fn answer<T: Serialize>(
        self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> anyhow::Result<()> {
        let document = if self.json {
            serde_json::to_string_pretty(value).context("writing JSON")?
        } else {
            text(value)
        };
        Self::print(&document)
    }

    /// Prints one of many results, while more may come: as JSON, one document per line.
    pub(crate) fn line<T: Serialize>(
        self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> anyhow::Result<()> {
        let document = if self.json {
            serde_json::to_string(value).context("writing JSON")?
        } else {
            text(value)
        };
        Self::print(&document)
    }

    /// Prints a result that replaces the previous one on a terminal; elsewhere it follows it.
    pub(crate) fn screen<T: Serialize>(
        self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> anyhow::Result<()> {
        /// Erase all, cursor home (ECMA-48, 8.3.39 and 8.3.21).
        const CLEAR: &str = "\u{1b}[2J\u{1b}[H";
        let clears = !self.json && std::io::stdout().is_terminal();
        self.line(value, |value| {
            let clear = if clears { CLEAR } else { "" };
            format!("{clear}{}\n", text(value))
        })
    }

    /// One of several names that lines begin with, each in its own colour.
    pub(crate) fn name(self, number: usize, name: &str) -> String {
        // Cyan, magenta, blue, green, yellow, and their bright siblings.
        const COLOURS: [u8; 10] = [36, 35, 34, 32, 33, 96, 95, 94, 92, 93];
        let colour = COLOURS.get(number % COLOURS.len()).unwrap_or(&0);
        if self.colours.stdout {
            format!("\u{1b}[{colour}m{name}\u{1b}[0m")
        } else {
            name.to_owned()
        }
    }

    /// A text in the style of errors.
    pub(crate) fn alarming(self, text: &str) -> String {
        painted(self.colours.stdout, Style::Error, text)
    }

    /// Prints a line of another program's stdout.
    pub(crate) fn raw(line: &str) -> anyhow::Result<()> {
        Self::print(line)
    }

    /// Writes a file to stdout, byte for byte.
    pub(crate) fn bytes(file: &[u8]) -> anyhow::Result<()> {
        let mut stdout = std::io::stdout().lock();
        let written = stdout.write_all(file).and_then(|()| stdout.flush());
        written.context("writing to stdout")
    }

    /// Whether stdout is a terminal.
    pub(crate) fn is_terminal() -> bool {
        std::io::stdout().is_terminal()
    }

    /// Starts a list that is printed item by item: as JSON, one document with the member `name`;
    /// otherwise one item per line.
    pub(crate) fn list(self, name: &str) -> anyhow::Result<Document> {
        if self.json {
            Self::print(&format!("{{{}: [", Value::from(name)))?;
        }
        Ok(Document {
            json: self.json,
            has_items: false,
        })
    }

    fn print(document: &str) -> anyhow::Result<()> {
        Self::print_if_read(document).map(drop)
    }

    /// Prints a document and returns whether anyone still reads. A reader such as `| head` closes
    /// stdout when it has seen enough.
    fn print_if_read(document: &str) -> anyhow::Result<bool> {
        let mut stdout = std::io::stdout().lock();
        match writeln!(stdout, "{}", document.trim_end()).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
            other => other.map(|()| true).context("writing to stdout"),
        }
    }

    fn paint(self, style: Style, text: &str) -> String {
        painted(self.colours.stderr, style, text)
    }

    /// Prints a line of a review within a step.
    pub(crate) fn review(self, line: &Line) {
        self.detail(&toned(self.colours.stderr, line));
    }

    /// Prints a line of a review as part of a result.
    pub(crate) fn review_data(self, line: &Line) -> String {
        toned(self.colours.stdout, line)
    }

    /// Announces a step.
    pub(crate) fn step(self, text: &str) {
        if !self.quiet {
            eprintln!("{} {text}", self.paint(Style::Progress, "=>"));
        }
    }

    /// Prints a detail of a step.
    pub(crate) fn detail(self, text: &str) {
        if !self.quiet {
            eprintln!("   {text}");
        }
    }

    /// Prints a detail that few users need.
    pub(crate) fn aside(self, text: &str) {
        if !self.quiet {
            eprintln!("   {}", self.paint(Style::Quiet, text));
        }
    }

    /// Prints a message that the user should see even with `--quiet`.
    pub(crate) fn warning(self, text: &str) {
        eprintln!("{} {text}", self.paint(Style::Warning, "warning:"));
    }

    /// Prints an error, its causes, and a hint.
    pub(crate) fn failure(self, error: &anyhow::Error) {
        eprintln!("{} {error}", self.paint(Style::Error, "error:"));
        let mut said = error.to_string();
        for cause in error.chain().skip(1) {
            let text = cause.to_string();
            // Some libraries repeat their source's message in their own.
            if !said.ends_with(&text) {
                eprintln!("  caused by: {text}");
            }
            said = text;
        }
        if let Some(hint) = crate::stop::hint_of(error) {
            self.hint(&hint);
        }
    }

    fn hint(self, text: &str) {
        eprintln!("{} {text}", self.paint(Style::Hint, "hint:"));
    }

    /// Reports that the user pressed Ctrl-C, and what goes on without this command.
    pub(crate) fn interrupted(self) {
        let goes_on = under_way::said();
        eprintln!(
            "\n{} interrupted{goes_on}",
            self.paint(Style::Error, "error:")
        );
    }

    /// Asks a question; without a terminal the answer is no.
    pub(crate) async fn confirm(self, question: &str) -> anyhow::Result<bool> {
        let answer = self.ask(question, "[y/N]").await?;
        Ok(matches!(answer.as_deref(), Some("y" | "Y" | "yes")))
    }

    /// Asks for a name, to prevent a yes out of habit; without a terminal the answer is no.
    pub(crate) async fn confirm_by_name(self, question: &str, name: &str) -> anyhow::Result<bool> {
        let answer = self.ask(question, &format!("[type `{name}`]")).await?;
        Ok(answer.as_deref() == Some(name))
    }

    /// The answer to a question; `None` without a terminal. Another thread reads it, so that an
    /// interrupt ends the question.
    async fn ask(self, question: &str, choice: &str) -> anyhow::Result<Option<String>> {
        if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
            eprintln!("{question} {choice} no (not a terminal)");
            self.hint("add `--yes`, or run the command on a terminal");
            return Ok(None);
        }
        eprint!("{} {choice} ", self.paint(Style::Warning, question));
        std::io::stderr().flush().context("asking")?;
        let answer = tokio::task::spawn_blocking(|| {
            let mut answer = String::new();
            std::io::stdin()
                .lock()
                .read_line(&mut answer)
                .map(|_| answer)
        });
        let answer = interrupt::asking(answer).await??;
        let answer = answer.context("reading the answer")?;
        Ok(Some(answer.trim().to_owned()))
    }
}

/// A number and its noun, whose plural ends in `s`.
pub(crate) fn counted<N: fmt::Display + PartialEq + From<u8> + Copy>(
    number: N,
    noun: &str,
) -> String {
    let plural = if number == N::from(1) { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

fn painted(colour: bool, style: Style, text: &str) -> String {
    if colour {
        format!("\u{1b}[{}m{text}\u{1b}[0m", style.code())
    } else {
        text.to_owned()
    }
}

fn toned(colour: bool, line: &Line) -> String {
    match line.tone {
        Tone::Danger => painted(colour, Style::Error, &line.text),
        Tone::Widening => painted(colour, Style::Warning, &line.text),
        Tone::Plain => line.text.clone(),
    }
}

/// How long a resource took, and how many of all are done.
fn pace(event: &ResourceEvent) -> String {
    let took = event
        .took
        .map(|took| format!(" {:.0} s", took.as_secs_f64()));
    let place = event.place;
    let place = place.map(|(done, total)| format!(" [{done} of {total}]"));
    format!("{}{}", took.unwrap_or_default(), place.unwrap_or_default())
}

/// A list that is being printed.
#[derive(Debug)]
pub(crate) struct Document {
    json: bool,
    has_items: bool,
}

impl Document {
    /// Prints an item and returns whether anyone still reads.
    pub(crate) fn item(&mut self, item: &Value) -> anyhow::Result<bool> {
        let comma = if self.json && self.has_items { "," } else { "" };
        self.has_items = true;
        Output::print_if_read(&format!("{comma}{item}"))
    }

    /// Completes the document.
    pub(crate) fn end(&self) -> anyhow::Result<()> {
        if self.json {
            Output::print("]}")?;
        }
        Ok(())
    }
}

impl Progress for Output {
    fn resource(&self, event: &ResourceEvent) {
        under_way::note(event);
        // Each resource is reported once, when it is done; only long waits report their start.
        let begins = event.status.ends_with("_IN_PROGRESS");
        if begins && !event.is_of_the_stack() && !SLOW.contains(&event.kind.as_str()) {
            return;
        }
        let reason = event.reason.as_deref().map_or(String::new(), |reason| {
            // CloudFormation's standard reasons carry no information.
            if matches!(reason, "Resource creation Initiated" | "User Initiated") {
                String::new()
            } else {
                format!(": {reason}")
            }
        });
        let line = format!(
            "{:<28} {} ({}){}{reason}",
            event.status,
            event.logical_id,
            event.kind,
            pace(event)
        );
        if event.is_cause_of_failure() {
            self.warning(&line);
        } else {
            self.aside(&line);
        }
    }

    fn note(&self, text: &str) {
        self.detail(text);
    }
}
