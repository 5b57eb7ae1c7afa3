//! An example or two of every verb, for `--help` and the reference.

use clap::Command;

/// A verb, without `cargo xtask`; and command lines, each with its effect.
type Verb = (&'static str, &'static [(&'static str, &'static str)]);

const EXAMPLES: &[Verb] = &[
    (
        "deploy",
        &[
            (
                "deploy",
                "the whole system on this machine, and a `curl` line that works",
            ),
            (
                "deploy --demo",
                "the same before a small shop, metered by the routes of its OpenAPI document",
            ),
            ("deploy --env test --dry-run", "what would change on AWS"),
            (
                "deploy --env test --yes",
                "without questions, as in a pipeline",
            ),
            (
                "deploy --watch",
                "each saved change of a function, run at once",
            ),
        ],
    ),
    (
        "diff",
        &[
            (
                "diff --env test",
                "each changed property with its old and its new value",
            ),
            (
                "diff --env prod --exit-code",
                "exit code 3 if anything differs",
            ),
            (
                "diff --env prod --revert-drift",
                "also what somebody changed by hand since the last deploy",
            ),
        ],
    ),
    (
        "rollback",
        &[(
            "rollback --env test",
            "no call is refused or lost; `deploy` goes back to the file's mode",
        )],
    ),
    (
        "destroy",
        &[
            ("destroy", "everything stops, and nothing is left"),
            (
                "destroy --env test",
                "the tables and reports stay, and the next deploy adopts them",
            ),
            (
                "destroy --env test --delete-data",
                "the tables and reports are deleted too",
            ),
        ],
    ),
    (
        "synth",
        &[
            ("synth --env prod", "the cloud assembly, in `cdk.out`"),
            (
                "synth --check",
                "exit code 3 if something generated is out of date",
            ),
        ],
    ),
    (
        "build",
        &[(
            "build --env test",
            "the zips that a deploy to `test` publishes",
        )],
    ),
    (
        "attach",
        &[
            ("attach --as cdk", "the lines that your own stack needs"),
            (
                "attach --as terraform --kind http",
                "those of an HTTP API in Terraform",
            ),
            (
                "attach --env test --check --api a1b2c3d4e5 --stage v1",
                "what is missing or wrong on a live API",
            ),
        ],
    ),
    (
        "outputs",
        &[(
            "outputs --json",
            "addresses; in `local` also the demo key and an admin token",
        )],
    ),
    (
        "keys create",
        &[
            (
                "keys create --email ann@example.com --plan free",
                "the secret is shown only this once",
            ),
            (
                "keys create --email ann@example.com --plan free --expires 30d",
                "a key for a month",
            ),
        ],
    ),
    (
        "keys list",
        &[("keys list --json", "every key, without its secret")],
    ),
    (
        "keys rotate",
        &[(
            "keys rotate key_0123456789abcdef --grace 7d",
            "a new secret at once; the old one works for a week more",
        )],
    ),
    (
        "keys set",
        &[(
            "keys set key_0123456789abcdef --rate 5 --burst 10",
            "five calls a second of this key, within its user's rate",
        )],
    ),
    (
        "keys import",
        &[
            (
                "keys import --hash 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824 --email ann@example.com --plan free",
                "a caller keeps the key of another system; only its SHA-256 is stored",
            ),
            (
                "keys import --from-api-gateway --usage-plan a1b2c3 --email-from tag:owner --plan pro",
                "the callers of one usage plan keep their keys",
            ),
        ],
    ),
    (
        "keys revoke",
        &[(
            "keys revoke key_0123456789abcdef",
            "refused within 30 seconds",
        )],
    ),
    (
        "users list",
        &[("users list", "users whose limits differ from their plan's")],
    ),
    (
        "users set",
        &[
            (
                "users set ann@example.com --quota 50000",
                "units per period, over all keys of the user",
            ),
            (
                "users set ann@example.com --by-plan",
                "the plan's limits again",
            ),
        ],
    ),
    (
        "usage export",
        &[
            (
                "usage export --month 2026-11 --format csv",
                "final usage of each user; the same bytes each time",
            ),
            (
                "usage export --month 2026-11 --format parquet --out usage.parquet",
                "the same with types, for a data warehouse",
            ),
        ],
    ),
    (
        "report",
        &[
            (
                "report --out usage.html",
                "the last week whose counts are final, as a page to send by mail",
            ),
            (
                "report --env prod --month 2026-11 --format csv",
                "a month for a spreadsheet: a row per user, per plan, and for the total",
            ),
        ],
    ),
    (
        "webhooks list",
        &[(
            "webhooks list",
            "each endpoint's deliveries, the latest first",
        )],
    ),
    (
        "webhooks redrive",
        &[(
            "webhooks redrive",
            "retries deliveries that were given up after a day",
        )],
    ),
    (
        "webhooks secret",
        &[(
            "webhooks secret billing --rotate",
            "both secrets sign for 24 hours",
        )],
    ),
    (
        "webhooks test",
        &[
            (
                "webhooks test https://example.com/hooks/usage",
                "one signed event, sent from this machine",
            ),
            (
                "webhooks test billing --event period-closed",
                "a sample of the event that hands over a closed period",
            ),
        ],
    ),
    (
        "block",
        &[
            ("block 192.0.2.7", "refused with 401 within 30 seconds"),
            ("block ann@example.com", "every key of the user"),
        ],
    ),
    (
        "unblock",
        &[("unblock 192.0.2.7", "accepted again within 30 seconds")],
    ),
    (
        "token",
        &[
            (
                "token --email ann@example.com --admin",
                "may read all users' data",
            ),
            (
                "token --email my-api@example.com --write",
                "may report what its calls used",
            ),
        ],
    ),
    (
        "traffic",
        &[(
            "traffic --rps 50 --duration 30s",
            "ends with calls sent and calls counted",
        )],
    ),
    (
        "verify",
        &[("verify --env test", "exit code 1 names what is missing")],
    ),
    (
        "status",
        &[
            ("status --env prod", "is everything well?"),
            ("status --watch", "the same, refreshed every few seconds"),
        ],
    ),
    (
        "logs",
        &[
            (
                "logs processor --follow",
                "its lines of the last hour, and new ones as they are written",
            ),
            (
                "logs --grep ERROR --since 1d",
                "every function's errors of a day",
            ),
            (
                "logs --event 019ab02e-7c5d-7f00-8000-000000000000",
                "one call through all functions",
            ),
        ],
    ),
    (
        "errors list",
        &[("errors list", "what could not be counted, and why")],
    ),
    (
        "errors redrive",
        &[("errors redrive --dry-run", "what would be submitted again")],
    ),
    (
        "replay",
        &[(
            "replay --from 6h",
            "counts stay exact, even if it runs many times",
        )],
    ),
    (
        "events",
        &[(
            "events --from 1h --user ann@example.com",
            "one event a line, each once",
        )],
    ),
    (
        "dashboard",
        &[
            (
                "dashboard --open",
                "the CloudWatch dashboard of operations, with this environment's metrics",
            ),
            (
                "dashboard --env prod --name plan-free",
                "the one of a plan; `security` is another",
            ),
        ],
    ),
    (
        "iam",
        &[(
            "iam --env test",
            "the minimal roles to deploy and to operate, as a template",
        )],
    ),
    (
        "cost",
        &[
            (
                "cost --env prod --calls 10M",
                "the month's bill, by service",
            ),
            (
                "cost --env prod --calls 1B --shape users=5000,peak=20",
                "for other traffic",
            ),
        ],
    ),
    (
        "prices",
        &[(
            "prices --region eu-central-1 --out prices.json",
            "a table for `cost --prices prices.json`",
        )],
    ),
    (
        "explain",
        &[
            (
                "explain 019ab02e-7c5d-7f00-8000-000000000000",
                "an event: who decided, which entries report it, which sums hold it",
            ),
            (
                "explain f7a1c9d2-3b0e-4c55-9a6b-0d5c1f2e3a4b --since 7d",
                "the same by the gateway's request id",
            ),
        ],
    ),
    (
        "schema",
        &[
            ("schema environment", "for an editor"),
            ("schema openapi", "the analytics API"),
        ],
    ),
    (
        "completions",
        &[
            (
                "completions bash > ~/.cargo-xtask.bash",
                "then, in `~/.bashrc`, after cargo's own completion: `source ~/.cargo-xtask.bash`",
            ),
            (
                "completions zsh > ~/.zfunc/_cargo-xtask",
                "with `~/.zfunc` in `fpath`",
            ),
            (
                "completions fish > ~/.config/fish/conf.d/cargo-xtask.fish",
                "read by every new shell",
            ),
        ],
    ),
    (
        "bench",
        &[("bench B4", "what DynamoDB bills per 1,000 calls")],
    ),
    (
        "test",
        &[
            ("test", "every suite"),
            (
                "test --faults 1000000 --seed 7",
                "a million randomised schedules",
            ),
            (
                "test --fuzz=10 key token",
                "what libFuzzer invents, for two readers of foreign input",
            ),
        ],
    ),
    (
        "check",
        &[(
            "check",
            "dependencies between crates, and forbidden contents of the tree",
        )],
    ),
    (
        "codegen",
        &[(
            "codegen --check",
            "exit code 3 if generated files are out of date",
        )],
    ),
];

/// The command, with the examples of each verb under its help.
pub(super) fn added(command: Command) -> Command {
    EXAMPLES.iter().fold(command, |command, (verb, lines)| {
        let text = text(lines);
        let set = move |verb: Command| verb.after_help(text);
        match verb.split_once(' ') {
            None => command.mut_subcommand(verb, set),
            Some((verb, action)) => {
                command.mut_subcommand(verb, |verb| verb.mut_subcommand(action, set))
            }
        }
    })
}

fn text(lines: &[(&str, &str)]) -> String {
    let shown = lines
        .iter()
        .map(|(line, what)| format!("\n  cargo xtask {line}\n      {what}"));
    format!("Examples:{}", shown.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::super::{Cli, command};
    use super::*;
    use clap::Parser as _;

    #[test]
    fn every_verb_has_an_example_and_every_example_is_understood() {
        for (verb, lines) in EXAMPLES {
            for (line, _) in *lines {
                let words = line.split(" > ").next().unwrap().split_ascii_whitespace();
                let parsed = Cli::try_parse_from(std::iter::once("xtask").chain(words));
                assert!(parsed.is_ok(), "`{line}` of `{verb}`: {parsed:?}");
            }
        }
        for verb in command()
            .get_subcommands()
            .filter(|verb| !verb.is_hide_set())
        {
            let mut shown: Vec<_> = verb.get_subcommands().collect();
            if shown.is_empty() {
                shown.push(verb);
            }
            for command in shown {
                let name = command.get_name();
                assert!(
                    command.get_after_help().is_some(),
                    "`{name}` has no example"
                );
            }
        }
    }
}
