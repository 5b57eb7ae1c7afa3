//! This process's consumption so far, as Linux accounts for it
//! (<https://man7.org/linux/man-pages/man5/proc.5.html>).

use std::time::Duration;

/// Length of a clock tick in `/proc`: a hundredth of a second on every platform that Lambda runs on.
const TICK: Duration = Duration::from_millis(10);
/// Fields of `/proc/self/stat` between the command's name and the user time.
const BEFORE_USER_TIME: usize = 11;

/// Measures CPU time.
#[derive(Debug)]
pub(super) struct CpuClock(Duration);

impl CpuClock {
    pub(super) fn start() -> Self {
        Self(cpu_time())
    }

    /// CPU time used since the start.
    pub(super) fn used(&self) -> Duration {
        cpu_time().saturating_sub(self.0)
    }
}

/// CPU time of all threads, including ended ones, in user and kernel mode.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux mounts /proc");
    // The command's name, in parentheses, may contain spaces.
    let (_, fields) = stat.rsplit_once(')').expect("a command has a name");
    let times = fields.split_whitespace().skip(BEFORE_USER_TIME).take(2);
    times
        .map(|ticks| TICK * ticks.parse::<u32>().expect("times are numbers"))
        .sum()
}

/// The most memory that was resident at any time, in KB.
pub(super) fn peak_kilobytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux mounts /proc");
    let mut lines = status.lines();
    let peak = lines.find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|value| value.trim().strip_suffix(" kB"));
    let peak = peak.and_then(|kilobytes| kilobytes.trim().parse().ok());
    peak.expect("a process has a peak")
}
