//! The records of every process that the host starts, so that none outlives it.
//!
//! A process is recorded by pid *and* start time: after the host was killed, its pid may belong to
//! another process. If the host was killed before it could record a process, the process is
//! recognised by its code: Lambda sets a variable to the location of a function's code, and ours is
//! in a folder of the state directory. The kernel's parent-death signal is unsuitable: it follows
//! the thread that started the child, not the process, and the host starts children from pooled
//! threads.
//!
//! All of this comes from `/proc`: on systems without it, nothing is recorded and nothing found.

use std::{
    ffi::OsStr,
    fs::{self, File, TryLockError},
    io,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    sys::signal::{Signal, kill, killpg},
    unistd::{Pid, getpgid},
};

use crate::HostError;

/// The variable that holds the location of a function's code (Lambda's "Defined runtime environment
/// variables").
pub(crate) const TASK_ROOT: &str = "LAMBDA_TASK_ROOT";

/// How long a killed process may take to disappear.
const GONE_WITHIN: Duration = Duration::from_secs(5);
/// How often to check whether a process has disappeared.
const POLL: Duration = Duration::from_millis(5);

/// The records, one file per process, in a folder of the state directory.
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

    /// Hold it from before a process is started until it is recorded: [`reap`] waits for it.
    ///
    /// If the host is killed in the meantime, the lock lives on in the child until the child
    /// becomes the function: its copy of the file is closed when the function takes its place. Only
    /// then is the child distinguishable from other processes.
    pub(crate) fn starting(&self) -> io::Result<File> {
        let file = File::create(lock_file(&self.folder))?;
        file.lock_shared()?;
        Ok(file)
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

/// Beside the records, not among them.
fn lock_file(folder: &Path) -> PathBuf {
    folder.with_extension("lock")
}

/// The folder of unpacked code: every process that runs code from here belongs to the host.
pub(crate) fn code_dir(state_dir: &Path) -> PathBuf {
    let state_dir = fs::canonicalize(state_dir).unwrap_or_else(|_| state_dir.to_owned());
    state_dir.join("code")
}

/// Kills everything that an earlier host left behind, recorded or not, and waits until it is gone.
///
/// Kills only recorded process groups whose start time matches the record, and of other processes
/// only those whose code is in this state directory. Returns how many were killed. A state
/// directory that does not exist has none.
///
/// # Errors
/// The records cannot be read, a process cannot be killed, or a host keeps starting more.
pub fn reap(state_dir: &Path) -> Result<usize, HostError> {
    let folder = folder(state_dir);
    wait_for_starting(&folder)?;
    Ok(reap_recorded(&folder)? + reap_unrecorded(&code_dir(state_dir))?)
}

/// Waits until no process is between its start and its record.
fn wait_for_starting(folder: &Path) -> Result<(), HostError> {
    let path = lock_file(folder);
    let failed = |source| HostError::io("lock", &path, source);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(failed(source)),
    };
    let until = Instant::now() + GONE_WITHIN;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if Instant::now() < until => std::thread::sleep(POLL),
            Err(error) => return Err(failed(error.into())),
        }
    }
}

fn reap_recorded(folder: &Path) -> Result<usize, HostError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(source) => return Err(HostError::io("read the folder", folder, source)),
    };
    let mut killed = 0;
    for entry in entries {
        let path = entry
            .map_err(|source| HostError::io("read the folder", folder, source))?
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

/// Kills until nothing is found: a process may have started others before it was killed.
fn reap_unrecorded(code_dir: &Path) -> Result<usize, HostError> {
    let mut killed = 0;
    let until = Instant::now() + GONE_WITHIN;
    loop {
        let found = running_from(code_dir);
        if found.is_empty() || Instant::now() >= until {
            return Ok(killed);
        }
        for pid in found {
            // A function leads its own process group; a process that it started may have left the
            // group.
            let ended = match getpgid(Some(pid)) {
                Ok(group) if group == pid => kill_group(pid),
                _ => kill_one(pid),
            };
            ended.map_err(|errno| HostError::io("kill a process of", code_dir, errno.into()))?;
            wait_until_gone(pid);
            killed += 1;
        }
    }
}

/// The processes whose code is below `code_dir`.
fn running_from(code_dir: &Path) -> Vec<Pid> {
    let own = Pid::this();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .map(Pid::from_raw)
        .filter(|pid| *pid != own && task_root(*pid).is_some_and(|root| root.starts_with(code_dir)))
        .collect()
}

/// The code location in a process's environment. `None` also for a process of another user, and for
/// one that has ended.
fn task_root(pid: Pid) -> Option<PathBuf> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    environment
        .split(|byte| *byte == 0)
        .find_map(|variable| {
            variable
                .strip_prefix(TASK_ROOT.as_bytes())?
                .strip_prefix(b"=")
        })
        .map(|root| PathBuf::from(OsStr::from_bytes(root)))
}

fn still_ours(record: &Path) -> Option<Pid> {
    let pid = Pid::from_raw(record.file_name()?.to_str()?.parse().ok()?);
    let recorded: u64 = fs::read_to_string(record).ok()?.trim().parse().ok()?;
    (start_time(pid)? == recorded).then_some(pid)
}

/// Kills a process group; it is not an error if it has ended. `SIGKILL` ends stopped processes too.
pub(crate) fn kill_group(pid: Pid) -> Result<(), Errno> {
    match killpg(pid, Signal::SIGKILL) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(errno) => Err(errno),
    }
}

fn kill_one(pid: Pid) -> Result<(), Errno> {
    match kill(pid, Signal::SIGKILL) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(errno) => Err(errno),
    }
}

fn wait_until_gone(pid: Pid) {
    let until = Instant::now() + GONE_WITHIN;
    while is_running(pid) && Instant::now() < until {
        std::thread::sleep(POLL);
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

    /// A process with the variable that the host sets, naming code below `state_dir`.
    fn function_of(state_dir: &Path) -> std::process::Child {
        Command::new("sleep")
            .arg("60")
            .env_clear()
            .env(TASK_ROOT, code_dir(state_dir).join("f/sha"))
            .process_group(0)
            .spawn()
            .unwrap()
    }

    #[test]
    fn reap_kills_a_process_that_was_never_recorded_even_if_it_is_stopped() {
        let state = tempfile::tempdir().unwrap();
        let other = tempfile::tempdir().unwrap();
        let mut children = [function_of(state.path()), function_of(state.path())];
        let mut elsewhere = function_of(other.path());
        killpg(pid_of(&children[0]), Signal::SIGSTOP).unwrap();

        assert_eq!(reap(state.path()).unwrap(), 2);
        for child in &mut children {
            assert!(!is_running(pid_of(child)));
            child.wait().unwrap();
        }
        assert!(is_running(pid_of(&elsewhere)), "it is of another host");
        elsewhere.kill().unwrap();
        elsewhere.wait().unwrap();
    }

    #[test]
    fn reap_kills_what_a_function_started_and_let_go() {
        let state = tempfile::tempdir().unwrap();
        let mut child = Command::new("setsid")
            .args(["--fork", "sleep", "60"])
            .env(TASK_ROOT, code_dir(state.path()).join("f/sha"))
            .process_group(0)
            .spawn()
            .unwrap();
        child.wait().unwrap();
        // A process that is replacing its program has no environment for a moment.
        let until = Instant::now() + GONE_WITHIN;
        let runs_sleep = |pid: &Pid| {
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm"));
            name.is_ok_and(|name| name.trim_end() == "sleep")
        };
        let mut left = running_from(&code_dir(state.path()));
        while !left.iter().any(runs_sleep) && Instant::now() < until {
            std::thread::sleep(POLL);
            left = running_from(&code_dir(state.path()));
        }
        assert_eq!(left.len(), 1);
        assert_eq!(reap(state.path()).unwrap(), 1);
        assert!(!is_running(left[0]));
    }

    // Between fork and exec, a child is indistinguishable from its parent.
    #[test]
    fn reap_waits_for_a_process_that_is_being_started() {
        let state = tempfile::tempdir().unwrap();
        let records = ProcessRecords::open(state.path()).unwrap();
        let starting = records.starting().unwrap();
        let (state_dir, path) = (state.path().to_owned(), state.path());
        let late = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(200));
            let child = function_of(&state_dir);
            drop(starting);
            child
        });
        assert_eq!(reap(path).unwrap(), 1);
        let mut child = late.join().unwrap();
        assert!(!is_running(pid_of(&child)));
        child.wait().unwrap();
    }

    #[test]
    fn a_state_directory_that_does_not_exist_holds_no_processes() {
        let state = tempfile::tempdir().unwrap();
        assert_eq!(reap(&state.path().join("absent")).unwrap(), 0);
    }
}
