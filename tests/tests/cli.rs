//! The command line as a shell sees it: exit code, stdout, stderr. Nothing is deployed here.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tests::place::{Ended, Place};

/// A valid environment file, for tests to break.
const SOUND: &str = "region: ap-south-1\n\
    plans:\n  free: {ratePerSecond: 10, burst: 20, monthlyQuota: null}\n\
    auth:\n  issuer: https://issuer.example\n  audience: metering\n  jwksUrl: https://issuer.example/keys\n";

#[test]
fn help_lists_the_verbs_that_are_there_and_no_other() {
    let help = Place::new().run("--help");
    assert_eq!(help.code, Some(0));
    assert_eq!(help.stderr, "");
    let (_, commands) = help.stdout.split_once("Commands:\n").unwrap();
    let (commands, _) = commands.split_once("\n\n").unwrap();
    let listed: Vec<_> = commands
        .lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    let there = "deploy diff rollback destroy synth build attach outputs keys users usage report webhooks block unblock token traffic verify status logs errors replay events dashboard iam cost prices explain schema completions bench test check codegen";
    assert_eq!(listed, there.split(' ').collect::<Vec<_>>());
}

/// Price lists of Mumbai, but of DynamoDB alone.
async fn price_lists() -> String {
    let list = serde_json::json!({
        "publicationDate": "2026-11-20T09:00:00Z",
        "products": {"W": {"sku": "W", "attributes": {"usagetype": "APS3-WriteRequestUnits"}}},
        "terms": {"OnDemand": {"W": {"W.O": {"priceDimensions": {"W.O.T": {
            "beginRange": "0",
            "endRange": "Inf",
            "pricePerUnit": {"USD": "0.0000007200"},
        }}}}}},
    });
    let path = "/AmazonDynamoDB/current/ap-south-1/index.json";
    let router =
        axum::Router::new().route(path, axum::routing::get(move || async { axum::Json(list) }));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prices_come_from_the_price_list_and_cost_uses_them() {
    let place = Place::new();
    let lists = price_lists().await;
    let file = place.dir().join("prices.json");
    let run = |args: &str| tokio::task::block_in_place(|| place.run(args));
    let made = run(&format!(
        "prices --from {lists} --out {} --json",
        file.display()
    ));
    assert_eq!(made.code, Some(0), "{made:#?}");
    let said: serde_json::Value = serde_json::from_str(&made.stdout).unwrap();
    assert_eq!(said["date"], "2026-11-20");
    assert_eq!(said["listed"], 1);
    assert!(
        made.stderr
            .contains("that of this repository's table stays"),
        "{made:#?}"
    );

    let bill = run(&format!(
        "cost --calls 10M --json --prices {}",
        file.display()
    ));
    assert_eq!(bill.code, Some(0), "{bill:#?}");
    let bill: serde_json::Value = serde_json::from_str(&bill.stdout).unwrap();
    let doubts = bill["prices"]["doubts"].as_array().unwrap();
    let doubted = |name: &str| {
        doubts
            .iter()
            .any(|doubt| doubt.as_str().unwrap().starts_with(name))
    };
    assert!(
        doubted("tableReads ") && !doubted("tableWrites "),
        "{doubts:?}"
    );
    assert_eq!(bill["prices"]["date"], "2026-11-20");

    run(&format!("prices --from {lists} --region eu-north-9")).fails(2, &["`eu-north-9`", "hint:"]);
    let nobody = "prices --from http://127.0.0.1:9";
    run(nobody).fails(1, &["http://127.0.0.1:9", "hint: without network"]);
}

#[test]
fn the_bill_adds_up_without_anything_built_or_deployed() {
    let ended = Place::new().run("cost --calls 10M --json");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let bill: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    // Exact: dollars with six decimals, as text.
    let micros = |value: &serde_json::Value| -> u64 {
        let digits = value.as_str().unwrap().replace('.', "");
        digits.parse().unwrap()
    };
    let items = bill["items"].as_array().unwrap();
    let sum: u64 = items.iter().map(|item| micros(&item["monthly"])).sum();
    let total = micros(&bill["total"]["monthly"]);
    // Each item is rounded to a millionth.
    assert!(sum.abs_diff(total) <= items.len() as u64, "{sum}, {total}");
    assert_eq!(bill["mode"], "stream");
    assert!(!bill["advice"].as_array().unwrap().is_empty());
}

#[test]
fn an_invalid_command_line_is_a_usage_error() {
    let place = Place::new();
    place.run("deplyo").fails(2, &["deplyo", "deploy"]);
    place.run("status --dry-run").fails(2, &["--dry-run"]);
    place.run("outputs --yes").fails(2, &["--yes"]);
    place.run("diff --dry-run").fails(2, &["--dry-run"]);
    place
        .run("logs --grep (")
        .fails(2, &["invalid pattern `(`"]);
    place.run("explain").fails(2, &["<ID>"]);
    place
        .run("report --week 2026-11")
        .fails(2, &["invalid week `2026-11`", "`2026-W47`"]);
    place.run("completions tcsh").fails(2, &["tcsh", "fish"]);
    place.run("errors list --dry-run").fails(2, &["--dry-run"]);
    place.run("replay").fails(2, &["--from"]);
    place.run("cost").fails(2, &["--calls"]);
    place
        .run("cost --calls 1.5M")
        .fails(2, &["invalid number of calls `1.5M`"]);
    place
        .run("cost --calls 10M --shape users=0")
        .fails(2, &["invalid `users=0`"]);
    place
        .run("cost --calls 10M --prices nowhere.json")
        .fails(2, &["cannot read `nowhere.json`"]);
    place
        .run("replay --from soon")
        .fails(2, &["invalid time `soon`"]);
    place
        .run("replay --from 1h --to 2h")
        .fails(2, &["nothing between `--from`"]);
    place.run("events").fails(2, &["--from"]);
    place
        .run("events --from 1h --dry-run")
        .fails(2, &["--dry-run"]);
    place
        .run("events --from 1h --to 2h")
        .fails(2, &["nothing between `--from`"]);
    place
        .run("deploy --watch --dry-run")
        .fails(2, &["--watch", "--dry-run"]);
    place.run("bench B0").fails(2, &["B0", "B2", "B3", "B7"]);
    place
        .run("traffic --rps 0")
        .fails(2, &["--rps", "1..=100000"]);
    place
        .run("traffic --rps 1 --duration 5w")
        .fails(2, &["invalid duration `5w`", "`90s`"]);
    place
        .run("destroy --delete-data --keep-data")
        .fails(2, &["--keep-data"]);
}

#[test]
fn an_unknown_environment_names_the_known() {
    Place::new().run("outputs --env nowhere").fails(
        2,
        &[
            "no environment `nowhere`",
            "`local`",
            "`prod`",
            "hint: copy",
        ],
    );
}

#[test]
fn a_valid_environment_file_of_your_own_is_read() {
    let place = Place::new().with_environment(SOUND);
    // Refused because of `token` itself, not because of the file.
    place
        .run("token --env custom --email a@b.example")
        .fails(2, &["`local` only", "https://issuer.example"]);
}

#[test]
fn an_unknown_key_is_refused_with_its_place_before_anything_is_built() {
    let place = Place::new().with_environment(&format!("{SOUND}retention:\n  rawDayz: 3\n"));
    let ended = place.run("deploy --env custom");
    ended.fails(2, &["custom.yaml:9:3", "rawDayz"]);
    assert!(!ended.stderr.contains("building"), "{ended:#?}");
}

#[test]
fn a_bad_region_is_refused_with_its_place_and_what_is_allowed() {
    let spoiled = SOUND.replace("ap-south-1", "mumbai");
    Place::new()
        .with_environment(&spoiled)
        .run("deploy --env custom")
        .fails(2, &["custom.yaml:1:", "`mumbai`"]);
}

#[test]
fn a_setting_that_can_never_work_is_refused_before_anything_is_built() {
    let key_set = "jwksUrl: https://issuer.example/keys";
    for (given, instead, said) in [
        (
            key_set,
            "jwksUrl: http://issuer.example/keys",
            "custom.yaml:7:12: auth.jwksUrl: ",
        ),
        (
            key_set,
            "jwks: {keys: []}",
            "custom.yaml:7:9: auth.jwks: there are no keys",
        ),
        ("region: ap-south-1", "tags: {team: a&b}", "custom.yaml:1:"),
        (
            "region: ap-south-1",
            "upstream: https://api.example/?a=1",
            "custom.yaml:1:11: upstream: ",
        ),
    ] {
        let spoiled = SOUND.replace(given, instead);
        for verb in ["synth", "deploy", "build"] {
            let ended = Place::new()
                .with_environment(&spoiled)
                .run(&format!("{verb} --env custom"));
            ended.fails(2, &[said]);
            assert!(!ended.stderr.contains("building"), "{ended:#?}");
        }
    }
}

#[test]
fn a_bad_switch_in_the_environment_is_refused() {
    Place::new()
        .with("ENABLE_KINESIS_ANALYTICS", "maybe")
        .run("deploy")
        .fails(
            2,
            &["`ENABLE_KINESIS_ANALYTICS` is `maybe`", "`true` or `false`"],
        );
}

#[test]
fn an_unknown_stack_plan_or_function_is_a_usage_error_that_names_the_known() {
    let place = Place::new();
    place
        .run("deploy CompliCal-Nope-local")
        .fails(2, &["`CompliCal-Nope-local`", "`CompliCal-Data-local`"]);
    place
        .run("keys create --email a@b.example --plan gold")
        .fails(2, &["no plan `gold`", "`free`"]);
    place
        .run("keys create --email nobody --plan free")
        .fails(2, &["`nobody` is not an email"]);
    place
        .run("logs nothing")
        .fails(2, &["no function `nothing`", "`authorizer`"]);
}

#[test]
fn where_nothing_is_deployed_verbs_say_so_and_how_to_deploy() {
    let place = Place::new();
    for verb in [
        "outputs",
        "status",
        "keys list",
        "errors list",
        "errors redrive",
        "replay --from 1h",
        "events --from 1h",
        "dashboard",
        "report",
        "traffic --rps 1",
        "rollback --yes",
        "verify",
        "explain some-request",
        "logs",
        "token --email a@b.example",
    ] {
        place.run(verb).fails(
            1,
            &[
                "nothing is deployed in `local`",
                "hint: deploy first: `cargo xtask deploy`",
            ],
        );
    }
}

#[test]
fn destroying_nothing_is_done_at_once() {
    let ended = Place::new().run("destroy");
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert_eq!(ended.stdout, "");
    assert!(ended.stderr.contains("nothing is deployed in `local`"));
}

#[test]
fn destroying_data_without_a_terminal_and_without_yes_is_declined() {
    let place = Place::new();
    let local = place.dir().join("local");
    std::fs::create_dir(&local).unwrap();
    let declined = place.run("destroy");
    assert_eq!(declined.code, Some(1), "{declined:#?}");
    assert!(
        declined
            .stderr
            .contains("hint: add `--yes`, or run the command on a terminal"),
        "{declined:#?}"
    );
    assert!(local.exists());
    let shown = place.run("destroy --dry-run");
    assert_eq!(shown.code, Some(0), "{shown:#?}");
    assert!(local.exists());
    assert_eq!(place.run("destroy --yes").code, Some(0));
    assert!(!local.exists());
}

#[test]
fn an_unreadable_state_is_reported_and_does_not_stop_destroy() {
    let place = Place::new();
    let local = place.dir().join("local");
    std::fs::create_dir(&local).unwrap();
    std::fs::write(local.join("state.json"), "{half").unwrap();
    place.run("outputs").fails(1, &["state.json", "hint:"]);
    // It gets its state folder in the same way as the embedded AWS.
    let mut left = Command::new("sleep")
        .arg("60")
        .env("STATE_DIR", local.join("aws/state"))
        .spawn()
        .unwrap();
    let ended = place.run("destroy --yes");
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert!(ended.stderr.contains("state.json"), "{ended:#?}");
    assert!(!local.exists());
    let found = left.try_wait().unwrap();
    let _ended = left.kill();
    assert!(found.is_some(), "a process of the wreck still runs");
}

#[test]
fn a_missing_python_is_named_with_the_version_and_the_way_out() {
    let place = Place::new().with("PYTHON", "/nowhere/python3");
    place.run("deploy").fails(
        1,
        &[
            "needs Python 3.10 or newer",
            "`/nowhere/python3` does not run",
            "hint: install Python",
            "PYTHON=",
        ],
    );
}

#[test]
fn an_old_python_is_named_with_its_version_and_the_way_out() {
    let place = Place::new();
    let python = place.dir().join("python3");
    std::fs::write(&python, "#!/bin/sh\necho 3.8\n").unwrap();
    std::fs::set_permissions(&python, std::fs::Permissions::from_mode(0o755)).unwrap();
    let place = place.with("PYTHON", python.display().to_string());
    place.run("deploy").fails(
        1,
        &[
            "needs Python 3.10 or newer",
            "is 3.8",
            "hint: install Python",
        ],
    );
}

#[test]
fn a_second_deploy_at_once_is_refused_and_an_environment_of_its_own_named() {
    let place = Place::new();
    let lock = std::fs::File::create(place.dir().join("local.lock")).unwrap();
    lock.lock().unwrap();
    place.run("deploy").fails(
        1,
        &[
            "another command is changing the local environment",
            "hint:",
            "--local-dir",
        ],
    );
}

#[test]
fn a_local_environment_whose_processes_died_is_reported_with_both_remedies() {
    let place = Place::new();
    let local = place.dir().join("local");
    std::fs::create_dir(&local).unwrap();
    let died = r#"{"pid": 1, "started": 1, "port": 1, "settings": ""}"#;
    let state = format!(
        r#"{{"format": 1, "emulator": {died}, "host": {died}, "emulatorPort": null, "hostPort": null, "demoKey": null, "signingKey": null}}"#
    );
    std::fs::write(local.join("state.json"), state).unwrap();
    for verb in ["status", "verify", "rollback --yes"] {
        place.run(verb).fails(
            1,
            &[
                "does not respond",
                "hint:",
                "cargo xtask deploy",
                "cargo xtask destroy",
            ],
        );
    }
    assert_eq!(place.run("destroy --yes").code, Some(0));
}

#[test]
fn a_taken_port_is_refused_with_its_owner_before_anything_is_built() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let ended = Place::new().run(&format!("deploy --port {port}"));
    let owner = format!("process {}", std::process::id());
    ended.fails(1, &[&format!("port {port} is taken by"), &owner, "hint:"]);
    assert!(!ended.stderr.contains("building"), "{ended:#?}");
}

#[test]
fn options_of_the_other_side_are_refused() {
    let place = Place::new().with_environment(SOUND);
    place
        .run("deploy --env custom --port 4000")
        .fails(2, &["`--port`", "`local`"]);
    place
        .run("deploy --env custom --watch")
        .fails(2, &["`--watch` is for `local`"]);
    place
        .run("destroy --env custom --keep-data")
        .fails(2, &["`--keep-data` is for `local`"]);
    Place::new()
        .run("destroy --delete-data")
        .fails(2, &["`--delete-data` is for AWS"]);
}

#[test]
fn a_schema_is_one_json_document_on_stdout() {
    let ended = Place::new().run("schema environment");
    assert_eq!(ended.code, Some(0));
    assert_eq!(ended.stderr, "");
    let schema: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert!(schema.pointer("/properties/plans").is_some());
}

#[test]
fn without_a_name_every_schema_is_one_document() {
    let ended = Place::new().run("schema --json");
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let schemas: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    for pointer in [
        "/environment/properties/plans",
        "/event/properties/subject",
        "/answers/$defs/UserStats",
        "/openapi/paths",
    ] {
        assert!(schemas.pointer(pointer).is_some(), "{pointer}");
    }
}

#[test]
fn help_of_a_verb_shows_examples() {
    let help = Place::new().run("diff --help");
    assert_eq!(help.code, Some(0));
    assert!(
        help.stdout
            .contains("cargo xtask diff --env prod --exit-code"),
        "{help:#?}"
    );
}

#[test]
fn where_nothing_is_deployed_a_diff_adds_everything() {
    let place = Place::new();
    let ended = place.run("diff --exit-code --json --quiet");
    assert_eq!(ended.code, Some(3), "{ended:#?}");
    let plan: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(plan["differs"], true);
    assert_eq!(plan["mode"]["before"], serde_json::Value::Null);
    let stacks = plan["stacks"].as_array().unwrap();
    assert_eq!(stacks.len(), 3);
    for stack in stacks {
        assert_eq!(stack["action"], "create");
        let changes = stack["changes"].as_array().unwrap();
        assert!(changes.iter().all(|change| change["action"] == "add"));
        assert!(!changes.is_empty());
    }
    let shown = place.run("deploy --dry-run");
    assert_eq!(shown.code, Some(0), "{shown:#?}");
    assert!(
        shown
            .stdout
            .contains("+ ApiUsageTable (AWS::DynamoDB::Table)"),
        "{shown:#?}"
    );
    assert!(!place.dir().join("local/state.json").exists());
}

#[test]
fn the_rules_of_the_tree_hold() {
    let ended = Place::new().run("check");
    assert_eq!(ended.code, Some(0), "{ended:#?}");
}

/// Whether a process handles interrupts (`proc(5)`, `SigCgt`).
fn minds_interrupts(process: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    caught.is_some_and(|mask| mask & (1 << 1) != 0)
}

#[test]
fn an_interrupt_ends_with_130_and_says_no_more_than_what_goes_on() {
    let place = Place::new();
    let functions = place.dir().join("functions");
    let built = functions.join("target/functions/local");
    std::fs::create_dir_all(&built).unwrap();
    // Every process that builds functions here waits for this lock.
    let lock = std::fs::File::create(built.join("lock")).unwrap();
    lock.lock().unwrap();
    let place = place.with("XTASK_FUNCTIONS_DIR", functions.display().to_string());
    let mut child = place
        .command("synth --check")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let patience = Instant::now() + Duration::from_secs(10);
    while !minds_interrupts(child.id()) {
        assert!(Instant::now() < patience, "it minds no interrupt");
        std::thread::sleep(Duration::from_millis(5));
    }
    let sent = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
    let patience = Instant::now() + Duration::from_secs(10);
    while child.try_wait().unwrap().is_none() {
        assert!(
            Instant::now() < patience,
            "still running 10 s after the interrupt"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    let ended: Ended = child.wait_with_output().unwrap().into();
    assert_eq!(ended.code, Some(130), "{ended:#?}");
    // Nothing goes on elsewhere.
    assert_eq!(ended.stderr.trim(), "error: interrupted", "{ended:#?}");
}

#[test]
fn a_full_disk_is_named_with_a_way_out() {
    let full = std::fs::File::create("/dev/full").unwrap();
    let place = Place::new();
    let mut command = place.command("schema environment");
    let child = command.stdout(full).stderr(Stdio::piped()).spawn().unwrap();
    let ended: Ended = child.wait_with_output().unwrap().into();
    assert_eq!(ended.code, Some(1), "{ended:#?}");
    assert!(
        ended.stderr.contains("No space left on device"),
        "{ended:#?}"
    );
    assert!(
        ended.stderr.contains("hint: the disk is full"),
        "{ended:#?}"
    );
}
