//! Processes that outlive the command that started them.
//!
//! A pid alone does not identify a process, because pids are reused. Together with the start time
//! it does.

use std::path::Path;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// A process, and the settings it was started with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProcessRecord {
    pub(crate) pid: i32,
    /// Its start, in clock ticks since this machine's boot.
    pub(crate) started: u64,
    /// The loopback port it listens on.
    pub(crate) port: u16,
    /// A digest of its settings; if the digest differs, the process must be restarted.
    pub(crate) settings: String,
}

/// How often to check whether a process has ended.
const POLL: Duration = Duration::from_millis(50);
/// How often, and how many times, to check a process without arguments again.
const STARTING_POLL: Duration = Duration::from_millis(1);
const STARTING_LOOKS: u32 = 100;

impl ProcessRecord {
    /// The record of a process that was just started.
    pub(crate) fn of(pid: u32, port: u16, settings: String) -> Option<Self> {
        let pid = i32::try_from(pid).ok()?;
        Some(Self {
            pid,
            started: start_time(pid)?,
            port,
            settings,
        })
    }

    /// The processes that were started with this argument or variable, recorded or not: a command
    /// may be killed between starting a process and recording it.
    pub(crate) fn told(what: &str) -> Vec<Self> {
        let own = std::process::id();
        let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(|pid| *pid != own && was_told(*pid, what))
            .filter_map(|pid| Self::of(pid, 0, String::new()))
            .collect()
    }

    /// Whether the process is running and is the recorded one.
    pub(crate) fn is_alive(&self) -> bool {
        start_time(self.pid) == Some(self.started)
    }

    /// Asks the process to end, and kills it after `patience`. Returns whether it ended by itself.
    pub(crate) async fn stop(&self, patience: Duration) -> bool {
        if !self.is_alive() {
            return true;
        }
        self.signal(Signal::SIGTERM);
        // A stopped process receives no signal before it continues.
        self.signal(Signal::SIGCONT);
        if self.gone_within(patience).await {
            return true;
        }
        self.signal(Signal::SIGKILL);
        self.gone_within(Duration::from_secs(5)).await;
        false
    }

    async fn gone_within(&self, patience: Duration) -> bool {
        let until = tokio::time::Instant::now() + patience;
        while self.is_alive() {
            if tokio::time::Instant::now() >= until {
                return false;
            }
            tokio::time::sleep(POLL).await;
        }
        true
    }

    fn signal(&self, signal: Signal) {
        // The process may end between the check and the signal: then there is nothing to do.
        if self.is_alive() {
            let _ended = kill(Pid::from_raw(self.pid), signal);
        }
    }
}

/// Searches a process's arguments and variables, each terminated by a zero (proc(5)).
fn was_told(pid: u32, what: &str) -> bool {
    let process = Path::new("/proc").join(pid.to_string());
    let holds = |told: &[u8]| {
        told.split(|byte| *byte == 0)
            .any(|one| one == what.as_bytes())
    };
    let mut arguments = read_or_empty(&process.join("cmdline"));
    // A starter continues a moment before the new program's arguments and variables are readable. A
    // kernel thread never has any, nor a program.
    for _ in 0..STARTING_LOOKS {
        if !arguments.is_empty() || std::fs::read_link(process.join("exe")).is_err() {
            break;
        }
        std::thread::sleep(STARTING_POLL);
        arguments = read_or_empty(&process.join("cmdline"));
    }
    holds(&arguments) || holds(&read_or_empty(&process.join("environ")))
}

fn read_or_empty(file: &Path) -> Vec<u8> {
    std::fs::read(file).unwrap_or_default()
}

/// Start time of a running process: field 22 of `/proc/PID/stat` (proc(5)). A zombie has ended.
fn start_time(pid: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"));
    parse_stat(&stat.ok()?)
}

fn parse_stat(stat: &str) -> Option<u64> {
    // The command name, in parentheses, may itself contain spaces and parentheses.
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<_> = fields.split_ascii_whitespace().collect();
    let state = *fields.first()?;
    if state == "Z" || state == "X" {
        return None;
    }
    fields.get(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_name_may_hold_anything() {
        let after = (4..=21).map(|field| field.to_string()).collect::<Vec<_>>();
        let stat = format!("7 (a) b (c) S {} 4711 23", after.join(" "));
        assert_eq!(parse_stat(&stat), Some(4711));
        assert_eq!(parse_stat(&stat.replace(") S ", ") Z ")), None);
        assert_eq!(parse_stat("nonsense"), None);
    }

    #[test]
    fn a_process_is_found_by_a_variable_of_its_start() {
        let folder = tempfile::tempdir().unwrap();
        let what = format!("STATE_DIR={}", folder.path().display());
        assert_eq!(ProcessRecord::told(&what), []);
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .env("STATE_DIR", folder.path())
            .spawn()
            .unwrap();
        let found = ProcessRecord::told(&what);
        assert_eq!(found.len(), 1);
        assert_eq!(u32::try_from(found[0].pid).unwrap(), child.id());
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[tokio::test]
    async fn a_stopped_process_ends_by_itself() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let record = ProcessRecord::of(child.id(), 1, String::new()).unwrap();
        record.signal(Signal::SIGSTOP);
        assert!(record.stop(Duration::from_secs(5)).await);
        child.wait().unwrap();
    }

    #[tokio::test]
    async fn a_process_is_known_by_its_start_and_can_be_stopped() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let record = ProcessRecord::of(child.id(), 1, String::new()).unwrap();
        assert!(record.is_alive());
        let other = ProcessRecord {
            started: record.started + 1,
            ..record.clone()
        };
        assert!(!other.is_alive());
        assert!(other.stop(Duration::from_secs(1)).await);
        assert!(record.is_alive(), "another start time is another process");
        assert!(record.stop(Duration::from_secs(5)).await);
        assert!(!record.is_alive());
        child.wait().unwrap();
    }
}
