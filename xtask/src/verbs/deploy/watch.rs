//! `deploy --watch`: changes saved under `functions/` run in the local system a moment later.
//!
//! A change takes the same path as every deploy, through the stack that declares the function: the
//! running system matches the stacks, and a later deploy finds no difference. Only steps that a
//! saved change cannot affect are skipped.
//!
//! Files are polled rather than watched: polling some two hundred files takes a millisecond and
//! works on every file system, and the file itself records when it was saved.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use domain::names::{Function, StackKind};
use domain::time::UnixMillis;
use sha2::{Digest as _, Sha256};
use stacks::FunctionAssets;
use stacks::environment::Environment;

use super::review::Decision;
use super::{Deployment, finish, in_order};
use crate::clock;
use crate::context::Context;
use crate::context::is_embedded;
use crate::functions::{self, Flavour};
use crate::local::{Lock, Tools, host};
use crate::stop::{Exit, Stop};

/// How often to poll files.
const POLL: Duration = Duration::from_millis(100);
/// How long files must stay unchanged: an editor may save several files, or one in several steps.
const SETTLED: Duration = Duration::from_millis(50);
/// The folder of functions in their workspace.
const FUNCTIONS: &str = "functions";

/// Refuses to watch if that is meaningless.
pub(super) fn check(context: &Context, environment: &Environment) -> anyhow::Result<()> {
    if !is_embedded(environment) {
        return Err(Stop::usage(format!(
            "`--watch` is for `local`: deploy `{}` to change what runs there",
            environment.name
        ))
        .into());
    }
    if context.prebuilt {
        return Err(Stop::usage("`--watch` builds functions, `--prebuilt` does not").into());
    }
    Ok(())
}

/// The deployed assembly, and how it was built.
pub(super) struct Built {
    pub(super) tools: Tools,
    pub(super) flavour: Flavour,
    pub(super) assets: FunctionAssets,
}

/// Deploys change after change, until interrupted.
pub(super) async fn run(
    mut deployment: Deployment<'_>,
    mut sources: Sources,
    mut built: Built,
) -> anyhow::Result<Exit> {
    let context = deployment.context;
    let hushed = context.hushed();
    deployment.context = &hushed;
    let selection = deployment.stacks.clone();
    context
        .out
        .step("waiting for saved changes under `functions/`; Ctrl-C ends the waiting");
    // Changes that were saved and are not live yet: a failed build leaves them to the next one.
    let mut changed = BTreeSet::new();
    loop {
        let saved = sources.next_change().await?;
        changed.extend(saved.functions);
        let live = change(context, &mut deployment, &selection, &mut built, &changed).await;
        match live {
            Ok(live) => {
                changed.clear();
                context.out.step(&told(&live, clock::now().0 - saved.at.0));
            }
            Err(error) => {
                context.out.failure(&error);
                context.out.step("waiting for the next change");
            }
        }
    }
}

fn told(live: &[Function], millis: i64) -> String {
    let names: Vec<_> = live.iter().map(|function| function.folder()).collect();
    if names.is_empty() {
        return "saved, but no function changed".to_owned();
    }
    let tenths = (millis + 50) / 100;
    let (seconds, tenth) = (tenths / 10, tenths % 10);
    format!("{} live after {seconds}.{tenth} s", names.join(", "))
}

/// Builds the changes and runs them. Returns the functions that changed.
async fn change(
    context: &Context,
    deployment: &mut Deployment<'_>,
    selection: &[StackKind],
    built: &mut Built,
    changed: &BTreeSet<Function>,
) -> anyhow::Result<Vec<Function>> {
    let functions: Vec<_> = changed.iter().copied().collect();
    let assets = functions::rebuild(context, &built.tools, built.flavour, &functions).await?;
    let environment = &deployment.reached.environment;
    deployment.assembly =
        stacks::synthesise(environment, &assets).context("synthesising the stacks")?;
    deployment
        .assembly
        .write(&context.root.join("cdk.out"))
        .context("writing the assembly to `cdk.out`")?;
    let others: Vec<_> = Function::ALL
        .into_iter()
        .filter(|function| assets.get(function) != built.assets.get(function))
        .filter(|function| selection.contains(&function.stack()))
        .filter(|function| deployment.artifact(function.stack()).is_some())
        .collect();
    if !others.is_empty() {
        let kinds: Vec<_> = others.iter().map(|function| function.stack()).collect();
        deployment.stacks = in_order(&kinds);
        let _lock = match &deployment.reached.running {
            Some(_) => Some(Lock::take(&deployment.context.local())?),
            None => None,
        };
        deploy(deployment).await?;
        confirm(deployment, &others, &assets).await?;
    }
    built.assets = assets;
    Ok(others)
}

async fn deploy(deployment: &Deployment<'_>) -> anyhow::Result<()> {
    if deployment.change().await? == Decision::Declined {
        return Err(Stop::failed("the change was declined").into());
    }
    match &deployment.reached.running {
        Some(running) => finish::refresh(running).await,
        None => Ok(()),
    }
}

/// Fails unless the host runs the very code that was built.
async fn confirm(
    deployment: &Deployment<'_>,
    functions: &[Function],
    assets: &FunctionAssets,
) -> anyhow::Result<()> {
    let Some(running) = &deployment.reached.running else {
        return Ok(());
    };
    let status = host::status(&running.host()).await;
    let status = status.context("the function host does not report what it runs")?;
    let names = deployment.reached.environment.names();
    for function in functions {
        let zip = assets.get(function).context("the function was not built")?;
        let zip = std::fs::read(&zip.zip).context("reading what was built")?;
        let digest = BASE64_STANDARD.encode(Sha256::digest(zip));
        let name = names.function(*function);
        let runs = status.get("code").and_then(|code| code.get(&name));
        if runs.and_then(serde_json::Value::as_str) != Some(digest.as_str()) {
            return Err(Stop::failed(format!(
                "`{name}` is deployed, and the function host still runs other code"
            ))
            .into());
        }
    }
    Ok(())
}

/// A saved change.
#[derive(Debug, PartialEq, Eq)]
struct Saved {
    functions: BTreeSet<Function>,
    /// The earliest time at which it was saved.
    at: UnixMillis,
}

/// The files under `functions/` at the last poll.
#[derive(Debug)]
pub(super) struct Sources {
    root: PathBuf,
    files: Files,
    looked: UnixMillis,
}

/// Length and modification time, by path from `functions/`.
type Files = BTreeMap<PathBuf, (u64, UnixMillis)>;

impl Sources {
    /// Reads the functions of the workspace `root`.
    pub(super) fn look(root: &Path) -> anyhow::Result<Self> {
        let root = root.join(FUNCTIONS);
        let looked = clock::now();
        let files = look(&root)?;
        Ok(Self {
            root,
            files,
            looked,
        })
    }

    /// Waits until something was saved and saving has stopped.
    async fn next_change(&mut self) -> anyhow::Result<Saved> {
        let (mut looked, mut files) = self.again()?;
        while files == self.files {
            self.looked = looked;
            tokio::time::sleep(POLL).await;
            (looked, files) = self.again()?;
        }
        loop {
            tokio::time::sleep(SETTLED).await;
            let (later, settled) = self.again()?;
            if settled == files {
                break;
            }
            (looked, files) = (later, settled);
        }
        let saved = saved(&self.files, &files, self.looked, looked);
        (self.looked, self.files) = (looked, files);
        Ok(saved)
    }

    fn again(&self) -> anyhow::Result<(UnixMillis, Files)> {
        Ok((clock::now(), look(&self.root)?))
    }
}

fn look(root: &Path) -> anyhow::Result<Files> {
    let mut files = Files::new();
    collect(root, root, &mut files)
        .with_context(|| format!("looking at the files in `{}`", root.display()))?;
    Ok(files)
}

/// Hidden files belong to editors, and build output is not a source. Files may come and go in the
/// meantime.
fn collect(root: &Path, folder: &Path, files: &mut Files) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if name.as_encoded_bytes().starts_with(b".") || name == "target" {
            continue;
        }
        let path = entry.path();
        let found = match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => collect(root, &path, files),
            Ok(metadata) => metadata.modified().map(|modified| {
                let path = path.strip_prefix(root).unwrap_or(&path).to_owned();
                files.insert(path, (metadata.len(), millis(modified)));
            }),
            Err(error) => Err(error),
        };
        match found {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn millis(time: SystemTime) -> UnixMillis {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// The differences, and since when: the latest modification time, if it lies between the two polls.
fn saved(before: &Files, after: &Files, looked: UnixMillis, now: UnixMillis) -> Saved {
    let gone = before.keys().filter(|path| !after.contains_key(*path));
    let other = after
        .iter()
        .filter(|(path, is)| before.get(*path) != Some(is));
    let at = other.clone().map(|(_, (_, modified))| *modified).max();
    let paths = gone.chain(other.map(|(path, _)| path));
    Saved {
        functions: paths.flat_map(|path| depending_on(path)).collect(),
        at: at.map_or(looked, |at| at.max(looked).min(now)),
    }
}

/// The functions that may depend on a file.
fn depending_on(path: &Path) -> Vec<Function> {
    let folder = path.iter().next();
    let own = Function::ALL
        .into_iter()
        .find(|function| folder.is_some_and(|folder| folder == function.folder()));
    own.map_or_else(|| Function::ALL.to_vec(), |function| vec![function])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(listed: &[(&str, u64, i64)]) -> Files {
        let listed = listed.iter();
        listed
            .map(|(path, length, at)| (PathBuf::from(path), (*length, UnixMillis(*at))))
            .collect()
    }

    #[test]
    fn a_saved_file_concerns_its_function_and_shared_rules_concern_all() {
        let before = files(&[("authorizer/src/main.rs", 1, 5), ("domain/src/id.rs", 1, 5)]);
        let of = |after: &[(&str, u64, i64)]| {
            saved(&before, &files(after), UnixMillis(10), UnixMillis(20))
        };
        let own = of(&[
            ("authorizer/src/main.rs", 1, 15),
            ("domain/src/id.rs", 1, 5),
        ]);
        assert_eq!(own.functions, BTreeSet::from([Function::Authorizer]));
        assert_eq!(own.at, UnixMillis(15));
        let shared = of(&[("authorizer/src/main.rs", 1, 5), ("domain/src/id.rs", 2, 5)]);
        assert_eq!(shared.functions, BTreeSet::from(Function::ALL));
        let gone = of(&[("domain/src/id.rs", 1, 5)]);
        assert_eq!(gone.functions, BTreeSet::from([Function::Authorizer]));
    }

    #[test]
    fn a_file_with_an_old_time_counts_from_the_last_look() {
        let after = files(&[("authorizer/src/main.rs", 1, 3)]);
        let saved = saved(&Files::new(), &after, UnixMillis(10), UnixMillis(20));
        assert_eq!(saved.at, UnixMillis(10));
    }

    #[test]
    fn files_of_editors_and_builds_are_not_sources() {
        let root = tempfile::tempdir().unwrap();
        for folder in ["authorizer/src", "target/debug"] {
            std::fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        for file in [
            "authorizer/src/a.rs",
            "authorizer/src/.a.rs.swp",
            "target/debug/a",
        ] {
            std::fs::write(root.path().join(file), "").unwrap();
        }
        let found: Vec<_> = look(root.path()).unwrap().into_keys().collect();
        assert_eq!(found, [PathBuf::from("authorizer/src/a.rs")]);
    }

    #[tokio::test]
    async fn changes_are_reported_after_they_settle_and_only_once() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("functions/analytics/a.rs");
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        let mut sources = Sources::look(root.path()).unwrap();
        std::fs::write(&file, "one").unwrap();
        let saved = sources.next_change().await.unwrap();
        assert_eq!(saved.functions, BTreeSet::from([Function::Analytics]));
        let more = tokio::time::timeout(POLL * 3, sources.next_change()).await;
        assert!(more.is_err(), "{more:?}");
    }

    #[test]
    fn live_functions_are_listed_with_tenths_of_a_second() {
        let both = [Function::Authorizer, Function::Processor];
        assert_eq!(told(&both, 3_149), "authorizer, processor live after 3.1 s");
        assert_eq!(told(&both[..1], 950), "authorizer live after 1.0 s");
        assert!(told(&[], 1).contains("no function"));
    }
}
