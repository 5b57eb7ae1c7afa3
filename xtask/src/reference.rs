//! The reference of the commands, as a page, generated from the same definitions as `--help`.

use clap::{Arg, Command};

/// Its path from the repository's folder.
pub(crate) const PAGE: &str = "docs/commands.md";

const HEAD: &str = "# Commands

Every command is a verb of `cargo xtask`. Data goes to stdout, progress and messages to stderr. Verbs that
change something outside `local` ask first; without a terminal and without `--yes` the answer is no.

This page is generated from the definitions that `--help` is made of: `cargo xtask codegen` writes it.
";

/// The page.
pub(crate) fn page(commands: &Command) -> String {
    let mut command = commands.clone();
    command.build();
    let codes = command.get_after_help().map(|codes| format!("\n{codes}\n"));
    let head = [
        HEAD.to_owned(),
        "\n## Options of every verb\n\n".to_owned(),
        arguments(&globals(&command)),
        codes.unwrap_or_default(),
    ];
    let verbs = visible(&command).map(|verb| section(&command, verb, "cargo xtask", 2));
    head.into_iter().chain(verbs).collect()
}

fn visible(command: &Command) -> impl Iterator<Item = &Command> {
    let verbs = command.get_subcommands();
    verbs.filter(|verb| !verb.is_hide_set() && verb.get_name() != "help")
}

fn globals(command: &Command) -> Vec<&Arg> {
    let all = command.get_arguments();
    all.filter(|arg| arg.is_global_set() && !arg.is_hide_set())
        .collect()
}

fn section(all: &Command, verb: &Command, parent: &str, level: usize) -> String {
    let name = format!("{parent} {}", verb.get_name());
    let about = verb.get_about().map(ToString::to_string);
    let mut parts = vec![format!(
        "\n{} `{name}`\n\n{}.\n",
        "#".repeat(level),
        about.unwrap_or_default()
    )];
    let actions: Vec<_> = visible(verb).collect();
    let own = verb
        .get_arguments()
        .filter(|arg| !arg.is_hide_set() && !is_of_every_verb(all, arg));
    let own: Vec<_> = own.collect();
    if actions.is_empty() && !own.is_empty() {
        parts.push(format!("\n{}", arguments(&own)));
    }
    if let Some(examples) = verb.get_after_help() {
        let examples = examples.to_string();
        let lines: Vec<&str> = examples.lines().skip(1).collect();
        let lines: String = lines.chunks(2).map(example).collect();
        parts.push(format!("\n```sh\n{lines}```\n"));
    }
    let actions = actions.into_iter();
    parts.extend(actions.map(|action| section(all, action, &name, level + 1)));
    parts.concat()
}

fn is_of_every_verb(all: &Command, arg: &Arg) -> bool {
    let id = arg.get_id().as_str();
    id == "help" || globals(all).iter().any(|global| global.get_id() == id)
}

/// An example: its effect, then the command; `--help` shows them the other way round.
fn example(lines: &[&str]) -> String {
    match lines {
        [command, what] => format!("# {}\n{}\n", what.trim(), command.trim()),
        other => format!("{}\n", other.concat().trim()),
    }
}

fn arguments(args: &[&Arg]) -> String {
    let rows = args
        .iter()
        .map(|arg| format!("| {} | {} |\n", shown(arg), explained(arg)));
    format!("| | |\n|---|---|\n{}", rows.collect::<String>())
}

/// The argument in the form of the command line.
fn shown(arg: &Arg) -> String {
    let values = arg.get_value_names().unwrap_or_default().join(" ");
    let takes = arg.get_action().takes_values();
    let text = match arg.get_long() {
        None => format!("<{values}>"),
        Some(long) if takes => format!("--{long} {values}"),
        Some(long) => format!("--{long}"),
    };
    let short = arg.get_short().map(|short| format!(", `-{short}`"));
    format!("`{text}`{}", short.unwrap_or_default())
}

fn explained(arg: &Arg) -> String {
    let takes = arg.get_action().takes_values();
    let help = arg.get_help().map(ToString::to_string);
    let values: Vec<_> = arg
        .get_possible_values()
        .into_iter()
        .filter(|value| takes && !value.is_hide_set())
        .map(|value| format!("`{}`", value.get_name()))
        .collect();
    let default = arg.get_default_values().iter();
    let default: Vec<_> = default
        .filter(|_| takes)
        .map(|value| format!("`{}`", value.to_string_lossy()))
        .collect();
    let parts = [
        (": ", values.join(", ")),
        (", by default ", default.join(" ")),
    ];
    let parts = parts.into_iter().filter(|(_, text)| !text.is_empty());
    let parts = parts.map(|(word, text)| format!("{word}{text}"));
    let text = help.unwrap_or_default() + &parts.collect::<String>();
    text.replace('|', "\\|").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_holds_every_verb_with_its_options_and_examples() {
        let commands = crate::cli::command();
        let page = page(&commands);
        for text in [
            "## `cargo xtask deploy`",
            "### `cargo xtask keys create`",
            "`--exit-code`",
            "cargo xtask diff --env prod --exit-code\n",
            "| `--env NAME` | ",
            "by default `local`",
            "Exit codes: 0 done",
        ] {
            assert!(page.contains(text), "no {text:?} in {page}");
        }
        assert!(!page.contains("`cargo xtask host`"), "a hidden verb");
        assert_eq!(page, super::page(&commands));
    }
}
