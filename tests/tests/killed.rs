//! A deploy or a destroy that is killed at any moment: the next deploy succeeds, and the next destroy
//! leaves nothing.
//!
//! Kills take turns: of a first deploy, of an update, of a first deploy that is destroyed without a
//! repair, and of a destroy, after which the place is deployed again or destroyed at once. `cargo xtask
//! test --chaos` kills twenty times. `KILLS` sets another number, and `KILLS_SEED` picks other moments.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::faults::random::Random;
use tests::place::Place;
use tests::system::{deploy, json_of};

/// How often a command is killed.
const KILLS: u64 = 20;

const DEPLOY: &str = "deploy --yes";
const DESTROY: &str = "destroy --yes";

/// A number from the environment, for people who run the test by name.
#[expect(
    clippy::disallowed_methods,
    reason = "the only place where these tests read a setting"
)]
fn given(name: &str, usual: u64) -> u64 {
    let given = std::env::var(name).ok();
    given.map_or(usual, |text| text.parse().unwrap())
}

/// Runs a command, and kills it after at most `within`. Returns whether it was still running.
fn killed(place: &Place, command: &str, within: Duration, random: &mut Random) -> bool {
    let millis = random.below(u64::try_from(within.as_millis()).unwrap());
    let mut child = place
        .command(command)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(millis));
    let runs = child.try_wait().unwrap().is_none();
    child.kill().unwrap();
    child.wait().unwrap();
    eprintln!(
        "`{command}` killed after {millis} ms of {} ms, running: {runs}",
        within.as_millis()
    );
    runs
}

/// The deployment is complete and counts a call once: `verify` makes one and waits for it.
#[track_caller]
fn is_right(place: &Place, mode: &str) {
    let outputs = deploy(place);
    assert_eq!(outputs["mode"], mode, "{outputs}");
    let verified = json_of(&place.run("verify --json"));
    let checks = verified["checks"].as_array().unwrap();
    let failed: Vec<&Value> = checks.iter().filter(|check| check["ok"] != true).collect();
    assert!(failed.is_empty(), "{failed:?}");
    let stacks = json_of(&place.run("status --json"));
    let stacks = stacks["stacks"].as_array().unwrap().len();
    assert_eq!(stacks, if mode == "stream" { 3 } else { 2 });
}

/// Destroys. Nothing of the place is left, and no process refers to it.
#[track_caller]
fn is_clean(place: &Place) {
    let ended = place.run(DESTROY);
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert!(!place.dir().join("local").exists());
    let left = processes_of(place.dir());
    assert!(left.is_empty(), "{left:#?}");
}

/// The processes whose command or environment names the place.
fn processes_of(place: &Path) -> Vec<String> {
    let name = place.display().to_string();
    let all = fs::read_dir("/proc").unwrap().flatten();
    let all = all.filter(|entry| {
        let pid = entry.file_name().to_string_lossy().parse::<u32>();
        pid.is_ok_and(|pid| pid != std::process::id())
    });
    let described = all.map(|entry| {
        let read = |of| fs::read(entry.path().join(of)).unwrap_or_default();
        let text = [read("cmdline"), read("environ")].concat();
        String::from_utf8_lossy(&text).replace('\0', " ")
    });
    described.filter(|text| text.contains(&name)).collect()
}

#[test]
#[ignore = "takes minutes: `cargo xtask test --chaos`"]
fn killed_at_any_moment_the_next_command_ends_right() {
    let kills = given("KILLS", KILLS);
    let mut random = Random::new(given("KILLS_SEED", 1));
    let mut place = Place::new();
    let modes = ["stream", "synchronous"];
    let switch = |place: &mut Place, mode: &str| {
        place.set("ENABLE_KINESIS_ANALYTICS", (mode == "stream").to_string());
    };
    // The durations of a deploy and of a destroy on this machine.
    switch(&mut place, "stream");
    let begun = Instant::now();
    deploy(&place);
    let took = begun.elapsed();
    is_right(&place, "stream");
    let begun = Instant::now();
    is_clean(&place);
    let gone = begun.elapsed();
    let mut running = 0;
    for kill in 0..kills {
        let (first, then) = match kill % 2 {
            0 => (modes[0], modes[1]),
            _ => (modes[1], modes[0]),
        };
        switch(&mut place, first);
        match kill % 4 {
            0 => {
                running += u64::from(killed(&place, DEPLOY, took, &mut random));
                is_right(&place, first);
            }
            1 => {
                deploy(&place);
                switch(&mut place, then);
                running += u64::from(killed(&place, DEPLOY, took / 2, &mut random));
                is_right(&place, then);
            }
            2 => running += u64::from(killed(&place, DEPLOY, took, &mut random)),
            _ => {
                deploy(&place);
                running += u64::from(killed(&place, DESTROY, gone, &mut random));
                if kill % 8 == 3 {
                    is_right(&place, first);
                }
            }
        }
        is_clean(&place);
    }
    assert!(running > 0, "every command had ended before it was killed");
}
