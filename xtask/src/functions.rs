//! The functions' zips.
//!
//! cargo-lambda builds the binaries. The zips are made here, so that equal binaries make equal
//! zips: one entry, a fixed time, fixed permissions.

mod elf;
mod fresh;
mod remap;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::Context as _;
use domain::names::Function;
use sha2::{Digest, Sha256};
use stacks::environment::{Architecture, Environment};
use stacks::{FunctionAsset, FunctionAssets};
use zip::write::SimpleFileOptions;

use crate::clock;
use crate::context::Context;
use crate::context::is_embedded;
use crate::jobs::Job;
use crate::local::{Tools, Zig};
use crate::stop::Stop;

/// The file that Lambda starts.
const BOOTSTRAP: &str = "bootstrap";

/// The target of a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flavour {
    pub(crate) architecture: Architecture,
    /// Optimised for AWS, or built quickly for this machine.
    pub(crate) release: bool,
}

impl Flavour {
    /// The flavour of an environment: quick builds for the embedded AWS, release builds otherwise;
    /// for the architecture given on the command line, or else in the environment file.
    pub(crate) fn of(
        environment: &Environment,
        asked: Option<Architecture>,
    ) -> anyhow::Result<Self> {
        let architecture = asked.unwrap_or_else(|| environment.architecture());
        let embedded = is_embedded(environment);
        let host = Architecture::host();
        if embedded && architecture != host {
            return Err(Stop::usage(format!(
                "functions of `{}` run on this machine, which is `{host}`: they cannot be built for `{architecture}`",
                environment.name
            ))
            .hint("leave out `--arch`, and `architecture` in the environment file")
            .into());
        }
        Ok(Self {
            architecture,
            release: !embedded,
        })
    }

    const fn folder(self) -> &'static str {
        if self.release {
            self.architecture.as_str()
        } else {
            "local"
        }
    }

    /// cargo's target triple.
    const fn target(self) -> &'static str {
        match self.architecture {
            Architecture::Arm64 => "aarch64-unknown-linux-gnu",
            Architecture::X8664 => "x86_64-unknown-linux-gnu",
        }
    }
}

/// Builds every function and zips it. Compiles nothing if no source has changed.
pub(crate) async fn build(context: &Context, flavour: Flavour) -> anyhow::Result<FunctionAssets> {
    let binaries = binaries(context, flavour);
    let _alone = alone(&binaries).await?;
    let root = &context.functions_root;
    if !context.prebuilt && !fresh::is_fresh(root, flavour, &binaries) {
        let tools = Tools::ensure(context).await?;
        let begun = clock::now();
        compile(context, &tools, flavour, &Function::ALL, &binaries).await?;
        fresh::note(root, flavour, &binaries, begun)?;
    }
    zip(binaries, flavour).await
}

/// Builds these functions, while the others are built already, and zips all.
pub(crate) async fn rebuild(
    context: &Context,
    tools: &Tools,
    flavour: Flavour,
    functions: &[Function],
) -> anyhow::Result<FunctionAssets> {
    let binaries = binaries(context, flavour);
    let _alone = alone(&binaries).await?;
    compile(context, tools, flavour, functions, &binaries).await?;
    zip(binaries, flavour).await
}

/// The folder of binaries and zips.
fn binaries(context: &Context, flavour: Flavour) -> PathBuf {
    let built = context.functions_root.join("target/functions");
    built.join(flavour.folder())
}

async fn zip(binaries: PathBuf, flavour: Flavour) -> anyhow::Result<FunctionAssets> {
    tokio::task::spawn_blocking(move || zip_all(&binaries, flavour))
        .await
        .context("zipping the functions")?
}

/// Waits until no other command builds or zips into `binaries`; keeps others out while it is held.
async fn alone(binaries: &Path) -> anyhow::Result<std::fs::File> {
    let path = binaries.join("lock");
    let taken = path.clone();
    let lock = move || -> std::io::Result<std::fs::File> {
        if let Some(folder) = taken.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let file = std::fs::File::create(&taken)?;
        file.lock()?;
        Ok(file)
    };
    tokio::task::spawn_blocking(lock)
        .await?
        .with_context(|| format!("taking the lock `{}`", path.display()))
}

async fn compile(
    context: &Context,
    tools: &Tools,
    flavour: Flavour,
    functions: &[Function],
    binaries: &Path,
) -> anyhow::Result<()> {
    context.out.step("building the functions");
    let mut lambda = Job::new(tools.cargo_lambda())
        .args(["lambda", "build", "--lambda-dir"])
        .args([binaries])
        .args(
            functions
                .iter()
                .flat_map(|function| [selection(flavour), function.folder()]),
        )
        .args(options(flavour))
        .current_dir(&context.functions_root)
        .env("PATH", path_with(&tools.bin())?);
    if flavour.release {
        check_target(flavour).await?;
        let zig = Zig::ensure(context).await?;
        // cargo-zigbuild, which is inside cargo-lambda, finds a Python with zig through this
        // variable.
        let flags = remap::flags(&context.functions_root).await?;
        lambda = lambda
            .env("CARGO_ZIGBUILD_PYTHON_PATH", zig.python())
            .env(remap::VARIABLE, flags);
    }
    lambda
        .run(context.out)
        .await
        .context(Stop::failed("the functions were not built"))
}

/// How cargo selects a function: by package for AWS, so that it has no feature that only the
/// commands need; by binary for this machine, so that it shares their dependencies.
const fn selection(flavour: Flavour) -> &'static str {
    if flavour.release {
        "--package"
    } else {
        "--bin"
    }
}

/// cargo-lambda's options. For this machine plain cargo links, as for everything else here; for AWS
/// zig links, against Lambda's C library.
fn options(flavour: Flavour) -> Vec<&'static str> {
    match (flavour.release, flavour.architecture) {
        (false, _) => vec!["--compiler", "cargo"],
        (true, Architecture::Arm64) => vec!["--release", "--arm64"],
        (true, Architecture::X8664) => vec!["--release", "--x86-64"],
    }
}

fn path_with(first: &Path) -> anyhow::Result<std::ffi::OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(first.to_owned()).chain(std::env::split_paths(&path));
    std::env::join_paths(folders).context("putting the tools first in `PATH`")
}

/// Reports what is missing for a release build, before cargo-lambda does so late and at length.
async fn check_target(flavour: Flavour) -> anyhow::Result<()> {
    let target = flavour.target();
    let libraries = Job::new("rustc")
        .args(["--print", "target-libdir", "--target", target])
        .read()
        .await?;
    let folder = String::from_utf8_lossy(&libraries.stdout).trim().to_owned();
    if !Path::new(&folder).is_dir() {
        return Err(
            Stop::failed(format!("Rust cannot compile for `{target}` yet"))
                .hint(format!(
                    "`rustup target add {target}`, or choose another `--arch`"
                ))
                .into(),
        );
    }
    Ok(())
}

/// The compression effort: a smaller zip starts faster on Lambda, a quick one starts sooner here.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Effort {
    Little,
    Most,
}

impl Effort {
    const fn of(flavour: Flavour) -> Self {
        if flavour.release {
            Self::Most
        } else {
            Self::Little
        }
    }

    /// The Deflate level.
    const fn level(self) -> i64 {
        match self {
            Self::Little => 1,
            Self::Most => 9,
        }
    }
}

fn zip_all(binaries: &Path, flavour: Flavour) -> anyhow::Result<FunctionAssets> {
    let mut assets = FunctionAssets::new();
    for function in Function::ALL {
        let folder = binaries.join(function.folder());
        let asset = zip_one(&folder, flavour)
            .with_context(|| format!("zipping function `{}`", function.folder()))?;
        assets.insert(function, asset);
    }
    Ok(assets)
}

/// Zips a binary, unless the zip beside it was made from the same binary, by size and modification
/// time, with the same effort.
fn zip_one(folder: &Path, flavour: Flavour) -> anyhow::Result<FunctionAsset> {
    let path = folder.join(BOOTSTRAP);
    let architecture = runs_on(&path, flavour)?;
    let effort = Effort::of(flavour);
    let mark = mark(&path).context("reading the binary")?;
    let mark = format!("{mark}-{}", effort.level());
    let of_binary = folder.join("zip.of");
    let zip = folder.join("bootstrap.zip");
    let known = std::fs::read_to_string(&of_binary).unwrap_or_default();
    if let Some((of, sha256)) = known.split_once(' ')
        && of == mark
        && zip.is_file()
    {
        return Ok(FunctionAsset {
            sha256: sha256.to_owned(),
            zip,
            architecture,
        });
    }
    let binary = std::fs::read(&path).context("reading the binary")?;
    let bytes = zipped(&binary, effort)?;
    let sha256 = hex(&bytes);
    write_whole(&zip, &bytes)?;
    write_whole(&of_binary, format!("{mark} {sha256}").as_bytes())?;
    Ok(FunctionAsset {
        sha256,
        zip,
        architecture,
    })
}

/// The binary's architecture, read from the binary itself and compared with the target.
fn runs_on(path: &Path, flavour: Flavour) -> anyhow::Result<Architecture> {
    let wanted = flavour.architecture;
    let found = elf::architecture(path)
        .with_context(|| format!("`{}` cannot run on Lambda", path.display()))?;
    if found == wanted {
        return Ok(found);
    }
    Err(Stop::failed(format!(
        "`{}` is built for `{found}`, the functions are to run on `{wanted}`",
        path.display()
    ))
    .hint(format!(
        "remove it, and build it again: `cargo xtask build --arch {wanted}` with the same `--env`"
    ))
    .into())
}

/// The part of a file's metadata that changes when it is written: size and modification time, in
/// one word.
fn mark(path: &Path) -> std::io::Result<String> {
    let metadata = std::fs::metadata(path)?;
    let changed = metadata.modified()?.duration_since(UNIX_EPOCH);
    let nanos = changed.map_or(0, |since| since.as_nanos());
    Ok(format!("{}.{nanos}", metadata.len()))
}

fn write_whole(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let partial = path.with_extension("partial");
    std::fs::write(&partial, bytes)
        .and_then(|()| std::fs::rename(&partial, path))
        .with_context(|| format!("writing `{}`", path.display()))
}

/// A zip with the binary as `bootstrap`. Equal binaries give equal bytes.
pub(crate) fn zipped(binary: &[u8], effort: Effort) -> anyhow::Result<Vec<u8>> {
    let options = SimpleFileOptions::default()
        .compression_method(zip::CompressionMethod::Deflated)
        .compression_level(Some(effort.level()))
        .last_modified_time(zip::DateTime::default())
        .unix_permissions(0o755);
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    writer
        .start_file(BOOTSTRAP, options)
        .context("starting the zip")?;
    writer.write_all(binary).context("compressing")?;
    Ok(writer.finish().context("ending the zip")?.into_inner())
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes)
        .iter()
        .fold(String::new(), |mut text, byte| {
            let _infallible = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_binaries_make_equal_zips_whenever_they_were_built() {
        let one = zipped(b"binary", Effort::Little).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(10));
        assert_eq!(one, zipped(b"binary", Effort::Little).unwrap());
        assert_ne!(one, zipped(b"another", Effort::Little).unwrap());
        let mut archive = zip::ZipArchive::new(std::io::Cursor::new(one)).unwrap();
        let entry = archive.by_index(0).unwrap();
        assert_eq!(
            (entry.name(), entry.unix_mode()),
            (BOOTSTRAP, Some(0o100_755))
        );
    }

    /// For AWS and this machine's architecture.
    const HERE: Flavour = Flavour {
        architecture: Architecture::host(),
        release: true,
    };

    #[test]
    fn a_zip_is_made_anew_only_for_another_binary() {
        let dir = tempfile::tempdir().unwrap();
        let write = |text: &[u8]| {
            let binary = [&elf::header(HERE.architecture)[..], text].concat();
            std::fs::write(dir.path().join(BOOTSTRAP), binary).unwrap();
        };
        write(b"one");
        let first = zip_one(dir.path(), HERE).unwrap();
        assert_eq!(first.architecture, HERE.architecture);
        let made = std::fs::metadata(&first.zip).unwrap().modified().unwrap();
        assert_eq!(zip_one(dir.path(), HERE).unwrap().sha256, first.sha256);
        assert_eq!(
            std::fs::metadata(&first.zip).unwrap().modified().unwrap(),
            made
        );
        write(b"two!");
        assert_ne!(zip_one(dir.path(), HERE).unwrap().sha256, first.sha256);
    }

    #[test]
    fn a_binary_of_another_architecture_is_never_zipped() {
        let dir = tempfile::tempdir().unwrap();
        let other = Architecture::ALL
            .into_iter()
            .find(|one| *one != HERE.architecture)
            .unwrap();
        let bootstrap = dir.path().join(BOOTSTRAP);
        std::fs::write(&bootstrap, elf::header(HERE.architecture)).unwrap();
        zip_one(dir.path(), HERE).unwrap();
        // Even if a zip of it exists from before.
        let flavour = Flavour {
            architecture: other,
            ..HERE
        };
        let refused = zip_one(dir.path(), flavour).unwrap_err();
        let said = format!("is built for `{}`", HERE.architecture);
        assert!(refused.to_string().contains(&said), "{refused}");
        std::fs::write(&bootstrap, "#!/bin/sh").unwrap();
        assert!(zip_one(dir.path(), HERE).is_err());
    }

    #[test]
    fn the_environment_file_says_what_functions_run_on_unless_the_command_line_does() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../stacks/environments");
        let load = |name: &str| Environment::load(&root.join(name)).unwrap();
        let (local, mut test) = (load("local.yaml"), load("test.yaml"));
        let arm = Flavour::of(&test, None).unwrap();
        assert_eq!((arm.architecture, arm.release), (Architecture::Arm64, true));
        test.architecture = Some(Architecture::X8664);
        let of_file = Flavour::of(&test, None).unwrap();
        assert_eq!(of_file.architecture, Architecture::X8664);
        let asked = Flavour::of(&test, Some(Architecture::Arm64)).unwrap();
        assert_eq!(asked.architecture, Architecture::Arm64);

        let here = Flavour::of(&local, None).unwrap();
        assert_eq!(
            (here.architecture, here.release),
            (Architecture::host(), false)
        );
        for other in Architecture::ALL {
            let is_host = other == Architecture::host();
            assert_eq!(Flavour::of(&local, Some(other)).is_ok(), is_host);
        }
    }
}
