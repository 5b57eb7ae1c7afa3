//! `deploy --watch`: saved changes run a moment later, and code that does not compile changes
//! nothing.
//!
//! The functions belong to the test's own workspace, so no real sources change.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use domain::names::Function;
use serde_json::Value;
use tests::place::Place;
use tests::synthesised::root;

const PATIENCE: Duration = Duration::from_mins(3);

/// A local system that watches its own functions, and ends with the test even if that fails.
struct Watching {
    place: Place,
    functions: PathBuf,
    command: Child,
    client: reqwest::Client,
}

impl Watching {
    fn deploy() -> Self {
        let mut place = Place::new();
        let functions = place.dir().join("workspace");
        lay_out(&functions);
        place.set("XTASK_FUNCTIONS_DIR", functions.display().to_string());
        // The suites build the repository's functions beforehand, not these.
        place.set("XTASK_PREBUILT", "false");
        let command = place
            .command("deploy --yes --watch --json")
            .stdout(File::create(place.dir().join("stdout")).unwrap())
            .stderr(File::create(place.dir().join("stderr")).unwrap())
            .spawn()
            .unwrap();
        let watching = Self {
            place,
            functions,
            command,
            client: reqwest::Client::new(),
        };
        watching.until_said("waiting for saved changes", 1);
        watching
    }

    fn source(&self) -> PathBuf {
        self.functions.join("functions/analytics/src/main.rs")
    }

    fn save(&self, from: &str, to: &str) {
        let source = std::fs::read_to_string(self.source()).unwrap();
        assert!(source.contains(from), "{source}");
        std::fs::write(self.source(), source.replace(from, to)).unwrap();
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.place.dir().join("stderr")).unwrap()
    }

    fn until_said(&self, words: &str, times: usize) {
        let start = Instant::now();
        while self.said().matches(words).count() < times {
            let said = self.said();
            assert!(start.elapsed() < PATIENCE, "no `{words}`: {said}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The response of the changed function, through the API.
    async fn answer(&self) -> String {
        let outputs = std::fs::read(self.place.dir().join("stdout")).unwrap();
        let outputs: Value = serde_json::from_slice(&outputs).unwrap();
        let api = outputs.pointer("/apiUrl").and_then(Value::as_str).unwrap();
        let url = format!("{api}/v1/analytics/openapi.json");
        let answer = self.client.get(url).send().await.unwrap();
        answer.text().await.unwrap()
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ended = self.command.kill();
        let _ended = self.command.wait();
        let ended = self.place.run("destroy --yes");
        if !std::thread::panicking() {
            assert_eq!(ended.code, Some(0), "{ended:#?}");
        }
    }
}

/// A workspace with a stand-in for every function.
fn lay_out(workspace: &Path) {
    let write = |path: PathBuf, text: &str| {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let members = "[workspace]\nresolver = \"3\"\nmembers = [\"functions/*\"]\n";
    write(workspace.join("Cargo.toml"), members);
    let toolchain = "rust-toolchain.toml";
    std::fs::copy(root().join(toolchain), workspace.join(toolchain)).unwrap();
    for function in Function::ALL {
        let name = function.folder();
        let package = workspace.join("functions").join(name);
        let manifest =
            format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n");
        write(package.join("Cargo.toml"), &manifest);
        write(
            package.join("src/main.rs"),
            include_str!("watch/function.rs"),
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_saved_change_is_live_and_one_that_does_not_compile_changes_nothing() {
    let mut watching = Watching::deploy();
    assert_eq!(watching.answer().await, "first");

    watching.save("first", "second");
    watching.until_said("analytics live after ", 1);
    assert_eq!(watching.answer().await, "second");

    watching.save("fn main() {", "fn main() { nonsense");
    watching.until_said("waiting for the next change", 1);
    let said = watching.said();
    assert!(said.contains("nonsense"), "the compiler's words: {said}");
    assert!(said.contains("the functions were not built"), "{said}");
    assert_eq!(watching.answer().await, "second");

    watching.save("fn main() { nonsense", "fn main() {");
    watching.until_said("saved, but no function changed", 1);
    watching.save("second", "third");
    watching.until_said("analytics live after ", 2);
    assert_eq!(watching.answer().await, "third");
    assert!(
        !watching.said().contains("authorizer live"),
        "only what changed"
    );

    let interrupted = Command::new("kill")
        .args(["-INT", &watching.command.id().to_string()])
        .status()
        .unwrap();
    assert!(interrupted.success());
    assert_eq!(watching.command.wait().unwrap().code(), Some(130));
    assert_eq!(watching.answer().await, "third", "the system goes on");

    // The running code is what a deploy would deploy.
    let again = watching.place.run("deploy --yes");
    assert_eq!(again.code, Some(0), "{again:#?}");
    assert!(again.stderr.contains("=> nothing changed"), "{again:#?}");
    assert_eq!(watching.answer().await, "third");
}
