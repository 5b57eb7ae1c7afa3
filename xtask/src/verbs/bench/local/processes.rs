//! What the processes of the local system consume, as Linux accounts for it
//! (<https://man7.org/linux/man-pages/man5/proc.5.html>).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::local::{ProcessRecord, State};

/// The processes that `deploy` started.
pub(super) struct Processes {
    host: Option<i32>,
    emulator: Option<i32>,
}

/// At one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Consumption {
    /// Resident memory of the host and the functions that it runs.
    pub(super) own_megabytes: u64,
    /// Resident memory of the embedded AWS.
    pub(super) emulator_megabytes: u64,
    /// Open files of the host and its functions.
    pub(super) own_files: u64,
}

impl Processes {
    pub(super) fn of(state: &State) -> Self {
        let pid = |record: &Option<ProcessRecord>| record.as_ref().map(|record| record.pid);
        Self {
            host: pid(&state.host),
            emulator: pid(&state.emulator),
        }
    }

    pub(super) fn consumption(&self) -> anyhow::Result<Consumption> {
        let parents = parents()?;
        let own = with_children(&parents, self.host);
        let emulator = with_children(&parents, self.emulator);
        let megabytes = |pids: &[i32]| pids.iter().map(|pid| kilobytes(*pid)).sum::<u64>() / 1_024;
        Ok(Consumption {
            own_megabytes: megabytes(&own),
            emulator_megabytes: megabytes(&emulator),
            own_files: own.iter().map(|pid| open_files(*pid)).sum(),
        })
    }
}

/// Every process of this machine with its parent.
fn parents() -> anyhow::Result<BTreeMap<i32, i32>> {
    let entries = std::fs::read_dir("/proc").context("reading `/proc`, which only Linux has")?;
    let pids = entries.flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    Ok(pids
        .filter_map(|pid| Some((pid, number(pid, "PPid:")?.try_into().ok()?)))
        .collect())
}

/// A process, its children, theirs, and so on.
fn with_children(parents: &BTreeMap<i32, i32>, root: Option<i32>) -> Vec<i32> {
    let mut found: Vec<i32> = root.into_iter().collect();
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        let children = parents.iter().filter(|(_, of)| **of == parent);
        found.extend(children.map(|(child, _)| *child));
        next += 1;
    }
    found
}

/// 0 for a process that has ended.
fn kilobytes(pid: i32) -> u64 {
    number(pid, "VmRSS:").unwrap_or(0)
}

/// 0 for a process that has ended.
fn open_files(pid: i32) -> u64 {
    std::fs::read_dir(folder(pid).join("fd")).map_or(0, |files| files.count() as u64)
}

/// A number in the process's `status`.
fn number(pid: i32, name: &str) -> Option<u64> {
    let status = std::fs::read_to_string(folder(pid).join("status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

fn folder(pid: i32) -> PathBuf {
    Path::new("/proc").join(pid.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_of_children_belong_to_a_process() {
        let parents = BTreeMap::from([(2, 1), (3, 2), (4, 2), (5, 4), (6, 1)]);
        assert_eq!(with_children(&parents, Some(2)), [2, 3, 4, 5]);
        assert!(with_children(&parents, None).is_empty());
    }

    #[test]
    fn this_process_has_memory_files_and_a_parent() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(kilobytes(own) > 0 && open_files(own) > 0);
        assert!(parents().unwrap().contains_key(&own));
    }
}
