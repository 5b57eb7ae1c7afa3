//! The workloads of B4: the callers, their rates, and the windows of writes.

use super::super::callers::Spread;

/// A workload.
#[derive(Debug, Clone, Copy)]
pub(super) struct Work {
    pub(super) name: &'static str,
    pub(super) users: u32,
    pub(super) spread: Spread,
    /// Of all users together.
    pub(super) calls_in_1000_s: i64,
    /// The stream's window; `None` in synchronous mode.
    pub(super) batch_millis: Option<i64>,
    /// The table stream's window.
    pub(super) fold_millis: i64,
    /// The duration of the calls, from the start of the day on.
    pub(super) seconds: i64,
}

/// A hundred calls a second, a batch a second.
const STEADY: Work = Work {
    name: "W1",
    users: 10,
    spread: Spread::Even,
    calls_in_1000_s: 100_000,
    batch_millis: Some(1_000),
    fold_millis: 60_000,
    seconds: 2 * 3_600,
};

/// Ten million calls a month: 3.86 per second, through the whole day except its last minute.
const MONTHLY: Work = Work {
    name: "W5",
    users: 1_000,
    spread: Spread::Zipf,
    calls_in_1000_s: 3_860,
    batch_millis: Some(10_000),
    seconds: 86_400 - 60,
    ..STEADY
};

/// All workloads.
pub(super) const WORKS: [Work; 7] = [
    STEADY,
    Work {
        name: "W2",
        users: 100,
        ..STEADY
    },
    Work {
        name: "W3",
        users: 1_000,
        spread: Spread::Zipf,
        seconds: 4 * 3_600,
        ..STEADY
    },
    Work {
        name: "W4",
        users: 1,
        calls_in_1000_s: 1_000_000,
        batch_millis: Some(500),
        seconds: 60,
        ..STEADY
    },
    MONTHLY,
    Work {
        name: "W5, fold window 10 s",
        fold_millis: 10_000,
        ..MONTHLY
    },
    Work {
        name: "W6",
        batch_millis: None,
        ..MONTHLY
    },
];
