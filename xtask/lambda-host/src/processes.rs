//! The record of every process the host starts, so that none outlives it.
//!
//! A process is recorded by pid *and* start time: after the host was killed, a pid may belong to
//! someone else. The kernel's parent-death signal is not used: it follows the thread that
//! started the child, not the process, and the host starts children from pooled threads.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

use crate::HostError;

/// How long a killed process may take to disappear.
const GONE_WITHIN: Duration = Duration::from_secs(5);

/// The records, one file a process, in a folder of the state directory.
#[derive(Debug, Clone)]
pub(crate) struct ProcessRecords {
    folder: PathBuf,
}

impl ProcessRecords {
    pub(crate) fn open(state_dir: &Path) -> Result<Self, HostError> {
        let folder = folder(state_dir);
        fs::create_dir_all(&folder)
            .map_err(|source| HostError::io("create the folder", &folder, source))?;
        Ok(Self { folder })
    }

    /// Records a process that was just started.
    pub(crate) fn add(&self, pid: Pid) -> io::Result<()> {
        let started = start_time(pid)
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the process has ended"))?;
        fs::write(self.folder.join(pid.to_string()), started.to_string())
    }

    /// Forgets a process that has ended.
    pub(crate) fn remove(&self, pid: Pid) {
        let path = self.folder.join(pid.to_string());
        if let Err(error) = fs::remove_file(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %path.display(), %error, "cannot remove a process record");
        }
    }
}

fn folder(state_dir: &Path) -> PathBuf {
    state_dir.join("processes")
}

/// Kills the process groups that an earlier host left behind, and waits until they are gone.
///
/// Only processes whose start time is the recorded one are touched. Returns how many were killed.
/// A state directory that does not exist has none.
///
/// # Errors
/// The records cannot be read, or a process may not be killed.
pub fn reap(state_dir: &Path) -> Result<usize, HostError> {
    let folder = folder(state_dir);
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(source) => return Err(HostError::io("read the folder", &folder, source)),
    };
    let mut killed = 0;
    for entry in entries {
        let path = entry
            .map_err(|source| HostError::io("read the folder", &folder, source))?
            .path();
        if let Some(pid) = still_ours(&path) {
            kill_group(pid)
                .map_err(|errno| HostError::io("kill the process of", &path, errno.into()))?;
            wait_until_gone(pid);
            killed += 1;
        }
        fs::remove_file(&path).map_err(|source| HostError::io("remove", &path, source))?;
    }
    Ok(killed)
}

fn still_ours(record: &Path) -> Option<Pid> {
    let pid = Pid::from_raw(record.file_name()?.to_str()?.parse().ok()?);
    let recorded: u64 = fs::read_to_string(record).ok()?.trim().parse().ok()?;
    (start_time(pid)? == recorded).then_some(pid)
}

/// Kills a process group; one that has ended is no error. `SIGKILL` ends stopped processes too.
pub(crate) fn kill_group(pid: Pid) -> Result<(), Errno> {
    match killpg(pid, Signal::SIGKILL) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(errno) => Err(errno),
    }
}

fn wait_until_gone(pid: Pid) {
    let until = Instant::now() + GONE_WITHIN;
    while is_running(pid) && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn is_running(pid: Pid) -> bool {
    stat_fields(pid)
        .is_some_and(|fields| !matches!(fields.first().map(String::as_str), Some("Z" | "X")))
}

/// Start time in clock ticks since boot: field 22 of `/proc/PID/stat` (proc(5)).
fn start_time(pid: Pid) -> Option<u64> {
    stat_fields(pid)?.get(19)?.parse().ok()
}

/// The fields after the command name, which may itself hold spaces and parentheses.
fn stat_fields(pid: Pid) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::{os::unix::process::CommandExt as _, process::Command};

    use super::*;

    fn sleeper() -> std::process::Child {
        Command::new("sleep")
            .arg("60")
            .process_group(0)
            .spawn()
            .unwrap()
    }

    fn pid_of(child: &std::process::Child) -> Pid {
        Pid::from_raw(i32::try_from(child.id()).unwrap())
    }

    #[test]
    fn reap_kills_a_recorded_process_even_if_it_is_stopped() {
        let state = tempfile::tempdir().unwrap();
        let mut child = sleeper();
        let pid = pid_of(&child);
        ProcessRecords::open(state.path())
            .unwrap()
            .add(pid)
            .unwrap();
        killpg(pid, Signal::SIGSTOP).unwrap();

        assert_eq!(reap(state.path()).unwrap(), 1);
        assert!(!is_running(pid));
        assert_eq!(reap(state.path()).unwrap(), 0, "the record is gone too");
        child.wait().unwrap();
    }

    #[test]
    fn reap_spares_a_process_that_only_took_over_the_pid() {
        let state = tempfile::tempdir().unwrap();
        let mut child = sleeper();
        let pid = pid_of(&child);
        ProcessRecords::open(state.path()).unwrap();
        fs::write(folder(state.path()).join(pid.to_string()), "1").unwrap();

        assert_eq!(reap(state.path()).unwrap(), 0);
        assert!(is_running(pid));
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_state_directory_that_does_not_exist_holds_no_processes() {
        let state = tempfile::tempdir().unwrap();
        assert_eq!(reap(&state.path().join("absent")).unwrap(), 0);
    }
}
