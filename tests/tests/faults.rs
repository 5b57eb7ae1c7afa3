//! The fault model: under any faults in any order, each event counts once and none is lost.

use std::process::Command;
use std::time::Duration;

use tests::faults::{Extent, run};
use tests::synthesised::root;

/// The number of schedules, unless `FAULTS_SCHEDULES` overrides it; fewer if the time runs out.
const SCHEDULES: u64 = 50_000;
/// The time after which no schedule begins.
const WITHIN: Duration = Duration::from_secs(150);

/// A number that can be set for a run.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place where this suite takes settings"
)]
fn given(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("`{name}` is `{text}`, expected a whole number")))
}

#[test]
fn each_event_counts_once_whatever_goes_wrong() {
    let (schedules, seed) = (given("FAULTS_SCHEDULES"), given("FAULTS_SEED"));
    let extent = Extent {
        schedules: schedules.unwrap_or(SCHEDULES),
        seed: seed.unwrap_or(0),
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        within: schedules.is_none().then_some(WITHIN),
    };
    let report = run(extent, |_| ());
    assert!(report.schedules > 0, "no schedule was run");
    let violations: Vec<String> = report.violations.iter().map(ToString::to_string).collect();
    assert!(violations.is_empty(), "\n{}", violations.join("\n\n"));
}

/// `cargo run --bin mutants` checks that the model finds them. That takes long.
#[test]
fn every_deliberate_defect_still_applies() {
    let folder = root().join("tests/mutants");
    let patches: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "patch"))
        .collect();
    assert!(patches.len() >= 30, "{patches:?}");
    let readme = std::fs::read_to_string(root().join("tests/mutants/README.md")).unwrap();
    for patch in patches {
        let name = patch.file_stem().unwrap().to_string_lossy();
        assert!(
            readme.contains(&format!("| `{name}` |")),
            "no row for {name}"
        );
        let mut apply = Command::new("git");
        apply.current_dir(root()).args(["apply", "--check"]);
        let output = apply.arg(&patch).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {said}", patch.display());
    }
}
