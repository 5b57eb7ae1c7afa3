//! Dependencies that no source names: every build compiles them for nothing.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Metadata, Package, SUITES};

/// The unused dependencies of every crate but the suites', which also names dependencies of others
/// to give them the same features.
pub(super) fn unused(metadata: &Metadata, files: &[String], root: &Path) -> Vec<String> {
    let sources = sources(metadata, files, root);
    let mut found = Vec::new();
    for package in metadata.packages.iter().filter(|of| of.name != SUITES) {
        let text = sources.get(package.folder()).map_or("", String::as_str);
        let unused = package.dependencies.iter().filter(|dependency| {
            let name = dependency.rename.as_ref().unwrap_or(&dependency.name);
            !names(text, &name.replace('-', "_"))
        });
        found.extend(unused.map(|dependency| {
            format!(
                "crate `{}` does not use `{}`: remove it from its `Cargo.toml`",
                package.name, dependency.name
            )
        }));
    }
    found
}

/// The sources of each crate, by its folder. A file belongs to the innermost crate around it.
fn sources<'a>(
    metadata: &'a Metadata,
    files: &[String],
    root: &Path,
) -> BTreeMap<&'a Path, String> {
    let mut sources: BTreeMap<&Path, String> = metadata
        .packages
        .iter()
        .map(|package| (package.folder(), String::new()))
        .collect();
    let files = files.iter().map(|file| root.join(file));
    for file in files.filter(|file| file.extension().is_some_and(|of| of == "rs")) {
        let owner = file.ancestors().find(|folder| sources.contains_key(folder));
        let text = owner.and_then(|owner| sources.get_mut(owner));
        if let (Some(text), Ok(source)) = (text, std::fs::read_to_string(&file)) {
            text.push_str(&source);
        }
    }
    sources
}

/// Whether a path in the source begins with this crate.
fn names(source: &str, name: &str) -> bool {
    source.match_indices(name).any(|(at, _)| {
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let before = source.get(..at).and_then(|text| text.chars().next_back());
        let after = source.get(at + name.len()..).unwrap_or_default();
        !before.is_some_and(is_part) && ["::", ";", " as "].iter().any(|end| after.starts_with(end))
    })
}

impl Package {
    fn folder(&self) -> &Path {
        self.manifest_path.parent().unwrap_or(&self.manifest_path)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Dependency;
    use super::*;

    fn dependency(name: &str, rename: Option<&str>) -> Dependency {
        Dependency {
            name: name.to_owned(),
            rename: rename.map(str::to_owned),
            kind: None,
        }
    }

    #[test]
    fn a_dependency_that_no_source_of_its_crate_names_is_found() {
        let root = tempfile::tempdir().unwrap();
        let files = ["a/src/lib.rs", "a/b/src/lib.rs"];
        let sources = [
            "use other_time::Clock; fn f() { serde_json::to_string(); }",
            "use tokio as runtime; // untokio::main",
        ];
        for (file, source) in files.iter().zip(sources) {
            let path = root.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, source).unwrap();
        }
        let package = |name: &str, folder: &str, dependencies| Package {
            name: name.to_owned(),
            manifest_path: root.path().join(folder).join("Cargo.toml"),
            dependencies,
        };
        let metadata = Metadata {
            packages: vec![
                package(
                    "a",
                    "a",
                    vec![
                        dependency("time", Some("other_time")),
                        dependency("serde-json", None),
                        dependency("tokio", None),
                    ],
                ),
                package(
                    "b",
                    "a/b",
                    vec![dependency("tokio", None), dependency("main", None)],
                ),
                package("tests", "tests", vec![dependency("tokio", None)]),
            ],
        };
        let files = files.map(str::to_owned);
        assert_eq!(
            unused(&metadata, &files, root.path()),
            [
                "crate `a` does not use `tokio`: remove it from its `Cargo.toml`",
                "crate `b` does not use `main`: remove it from its `Cargo.toml`",
            ]
        );
    }
}
