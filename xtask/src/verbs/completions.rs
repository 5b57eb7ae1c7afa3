//! `completions`: scripts that complete `cargo xtask` in a shell.
//!
//! The words after `cargo xtask` are completed like those of a separate program. Shells differ in
//! how cargo's own completion yields to it.

use clap::Command;
use clap::{Args, ValueEnum};
use clap_complete::Shell as Generator;

use crate::output::Output;
use crate::stop::Exit;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The shell
    pub(crate) shell: Shell,
}

/// A shell for which completions exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    /// GNU Bash.
    Bash,
    /// Z shell.
    Zsh,
    /// fish.
    Fish,
}

/// Bash has one completion for `cargo`: this one, which calls cargo's for everything else.
const BASH: &str = r#"
_cargo_xtask() {
    if [[ ${COMP_CWORD} -ge 2 && ${COMP_WORDS[1]} == xtask ]]; then
        COMP_WORDS=("${COMP_WORDS[@]:1}")
        COMP_CWORD=$((COMP_CWORD - 1))
        _xtask xtask "$2" "$3"
    elif declare -F _cargo > /dev/null; then
        _cargo "$@"
    fi
}
complete -o bashdefault -o default -F _cargo_xtask cargo
"#;

/// fish completes the words as if they followed `xtask`.
const FISH: &str = r"
function __cargo_xtask_complete
    set -l words (commandline -opc) (commandline -ct)
    complete -C (string join ' ' -- xtask $words[3..])
end
complete -c cargo -n '__fish_seen_subcommand_from xtask' -f -a '(__cargo_xtask_complete)'
";

pub(crate) fn run(shell: Shell, all: &Command) -> anyhow::Result<Exit> {
    Output::raw(&script(shell, all))?;
    Ok(Exit::Done)
}

fn script(shell: Shell, all: &Command) -> String {
    match shell {
        Shell::Bash => generated(Generator::Bash, "xtask", all) + BASH,
        // zsh's completion of cargo calls `_cargo-VERB` for verbs that it does not know.
        Shell::Zsh => generated(Generator::Zsh, "cargo-xtask", all),
        Shell::Fish => generated(Generator::Fish, "xtask", all) + FISH,
    }
}

fn generated(shell: Generator, name: &'static str, all: &Command) -> String {
    let verbs = all.get_subcommands().filter(|verb| !verb.is_hide_set());
    let mut shown = Command::new(name)
        .args(all.get_arguments())
        .subcommands(verbs.cloned())
        .disable_help_subcommand(true);
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut shown, name, &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::command;
    use std::process::Command as Program;

    /// The completions that Bash offers for a command line whose last word is incomplete.
    fn offered(words: &str) -> Vec<String> {
        let count = words.split(' ').count();
        let ask = format!(
            "COMP_WORDS=({words} ''); COMP_CWORD={count}; _cargo_xtask cargo '' xtask; printf '%s\\n' \"${{COMPREPLY[@]}}\""
        );
        let script = format!("{}\n{ask}", script(Shell::Bash, &command()));
        let output = Program::new("bash").args(["-c", &script]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn bash_completes_verbs_actions_and_options_behind_cargo() {
        let has = |words: &str, word: &str| offered(words).iter().any(|offer| offer == word);
        assert!(has("cargo xtask", "deploy"));
        assert!(has("cargo xtask keys", "create"));
        assert!(has("cargo xtask diff", "--exit-code"));
        assert!(!has("cargo xtask", "host"), "a hidden verb");
        assert!(!has("cargo build", "deploy"));
    }

    #[test]
    fn other_shells_complete_the_same_verbs() {
        for shell in [Shell::Zsh, Shell::Fish] {
            let script = script(shell, &command());
            assert!(script.contains("exit-code"), "{script}");
        }
        assert!(script(Shell::Zsh, &command()).starts_with("#compdef cargo-xtask"));
    }
}
