//! The functions' zips.
//!
//! cargo-lambda builds the binaries; the zips are made here, so that equal binaries make equal
//! zips: one entry, a fixed time, fixed permissions.

mod fresh;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::Context as _;
use domain::names::Function;
use sha2::{Digest, Sha256};
use stacks::{FunctionAsset, FunctionAssets};
use zip::write::SimpleFileOptions;

use crate::cli::Arch;
use crate::clock;
use crate::context::Context;
use crate::jobs::Job;
use crate::local::Tools;
use crate::stop::Stop;

/// What Lambda starts.
const BOOTSTRAP: &str = "bootstrap";

/// What is built, and for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flavour {
    pub(crate) arch: Arch,
    /// Optimised, for AWS; else quickly built, for this machine.
    pub(crate) release: bool,
}

impl Flavour {
    /// The flavour of an environment: this machine's for the embedded AWS, else release builds.
    pub(crate) fn of(embedded: bool, asked: Option<Arch>) -> anyhow::Result<Self> {
        let host = Arch::host();
        if !embedded {
            let arch = asked.unwrap_or(Arch::Arm64);
            return Ok(Self {
                arch,
                release: true,
            });
        }
        match (asked, host) {
            (None, Some(arch)) => Ok(Self {
                arch,
                release: false,
            }),
            (Some(arch), Some(host)) if arch == host => Ok(Self {
                arch,
                release: false,
            }),
            _ => Err(Stop::usage(
                "functions of `local` run on this machine: `--arch` can only be its own",
            )
            .into()),
        }
    }

    fn folder(self) -> &'static str {
        match (self.arch, self.release) {
            (Arch::Arm64, true) => "arm64",
            (Arch::X86_64, true) => "x86_64",
            (_, false) => "local",
        }
    }
}

impl Arch {
    /// This machine's.
    pub(crate) fn host() -> Option<Self> {
        match std::env::consts::ARCH {
            "aarch64" => Some(Self::Arm64),
            "x86_64" => Some(Self::X86_64),
            _ => None,
        }
    }

    pub(crate) const fn target(self) -> &'static str {
        match self {
            Self::Arm64 => "aarch64-unknown-linux-gnu",
            Self::X86_64 => "x86_64-unknown-linux-gnu",
        }
    }
}

/// Builds every function and zips it. Nothing is compiled where no source changed since.
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

/// Builds these functions, the others being built, and zips all.
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

/// Where binaries and zips are kept.
fn binaries(context: &Context, flavour: Flavour) -> PathBuf {
    let built = context.functions_root.join("target/functions");
    built.join(flavour.folder())
}

async fn zip(binaries: PathBuf, flavour: Flavour) -> anyhow::Result<FunctionAssets> {
    let effort = Effort::of(flavour);
    tokio::task::spawn_blocking(move || zip_all(&binaries, effort))
        .await
        .context("zipping the functions")?
}

/// Waits until no other command builds or zips into `binaries`; holds others off while kept.
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
    if flavour.release {
        check_cross(tools, flavour.arch).await?;
    }
    let lambda = Job::new(tools.cargo_lambda())
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
    lambda
        .run(context.out)
        .await
        .context(Stop::failed("the functions were not built"))
}

/// What names a function to cargo: a package for AWS, so that it has no feature which only the
/// commands want; a binary for this machine, so that it shares their dependencies.
const fn selection(flavour: Flavour) -> &'static str {
    if flavour.release {
        "--package"
    } else {
        "--bin"
    }
}

/// cargo-lambda's options. For this machine plain cargo links, as it does for everything else
/// here; for AWS zig does, against the C library that Lambda has.
fn options(flavour: Flavour) -> Vec<&'static str> {
    match (flavour.release, flavour.arch) {
        (false, _) => vec!["--compiler", "cargo"],
        (true, Arch::Arm64) => vec!["--release", "--arm64"],
        (true, Arch::X86_64) => vec!["--release", "--x86-64"],
    }
}

fn path_with(first: &Path) -> anyhow::Result<std::ffi::OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(first.to_owned()).chain(std::env::split_paths(&path));
    std::env::join_paths(folders).context("putting the tools first in `PATH`")
}

/// Says what is missing for a release build before cargo-lambda does so late and at length.
async fn check_cross(tools: &Tools, arch: Arch) -> anyhow::Result<()> {
    let target = arch.target();
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
    let zig = Job::new("zig").args(["version"]).read().await;
    let module = Job::new(tools.python())
        .args(["-c", "import ziglang"])
        .read()
        .await;
    let found =
        |run: anyhow::Result<std::process::Output>| run.is_ok_and(|output| output.status.success());
    if found(zig) || found(module) {
        return Ok(());
    }
    Err(
        Stop::failed("functions for AWS are linked with zig, and there is none")
            .hint(format!(
                "install zig, or `{} -m pip install ziglang` (about 410 MB)",
                tools.python().display()
            ))
            .into(),
    )
}

/// How hard a zip is made small: a smaller one starts faster on Lambda, a quick one sooner here.
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

    /// Of Deflate.
    const fn level(self) -> i64 {
        match self {
            Self::Little => 1,
            Self::Most => 9,
        }
    }
}

fn zip_all(binaries: &Path, effort: Effort) -> anyhow::Result<FunctionAssets> {
    let mut assets = FunctionAssets::new();
    for function in Function::ALL {
        let folder = binaries.join(function.folder());
        let asset = zip_one(&folder, effort)
            .with_context(|| format!("zipping function `{}`", function.folder()))?;
        assets.insert(function, asset);
    }
    Ok(assets)
}

/// Zips a binary, unless the zip beside it is of the same binary, by its size and time of change,
/// and made with the same effort.
fn zip_one(folder: &Path, effort: Effort) -> anyhow::Result<FunctionAsset> {
    let path = folder.join(BOOTSTRAP);
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
        });
    }
    let binary = std::fs::read(&path).context("reading the binary")?;
    let bytes = zipped(&binary, effort)?;
    let sha256 = hex(&bytes);
    write_whole(&zip, &bytes)?;
    write_whole(&of_binary, format!("{mark} {sha256}").as_bytes())?;
    Ok(FunctionAsset { sha256, zip })
}

/// What changes when a file is written: its size and its time of change, in one word.
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

    #[test]
    fn a_zip_is_made_anew_only_for_another_binary() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(BOOTSTRAP), b"one").unwrap();
        let first = zip_one(dir.path(), Effort::Little).unwrap();
        let made = std::fs::metadata(&first.zip).unwrap().modified().unwrap();
        assert_eq!(
            zip_one(dir.path(), Effort::Little).unwrap().sha256,
            first.sha256
        );
        assert_eq!(
            std::fs::metadata(&first.zip).unwrap().modified().unwrap(),
            made
        );
        std::fs::write(dir.path().join(BOOTSTRAP), b"two").unwrap();
        assert_ne!(
            zip_one(dir.path(), Effort::Little).unwrap().sha256,
            first.sha256
        );
    }

    #[test]
    fn local_runs_on_this_machine_and_aws_on_arm() {
        assert_eq!(Flavour::of(false, None).unwrap().arch, Arch::Arm64);
        let local = Flavour::of(true, None).unwrap();
        assert_eq!((Some(local.arch), local.release), (Arch::host(), false));
        let other = match Arch::host() {
            Some(Arch::Arm64) => Arch::X86_64,
            _ => Arch::Arm64,
        };
        assert!(Flavour::of(true, Some(other)).is_err());
    }
}
