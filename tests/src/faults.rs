//! The fault model: runs the functions' own code through schedules of traffic and of everything
//! that can go wrong, against an oracle that knows what was sent and accepted.
//!
//! A schedule follows from its seed, and runs on one thread in virtual time. Each call to a table
//! or the stream pauses, and the schedule decides which call continues, which is refused, which
//! response is lost and which caller dies. The mappings of the streams to their functions are the
//! Lambda host's own model. The analytics API is queried while the schedule runs. In some schedules the
//! authorizers' own limiter decides calls. Once the system
//! has come to rest, and once days are closed and sealed, every count in every table is compared
//! with the oracle's, and so are the alerts and bills whose ids were sent.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod amounts;
mod check;
mod feed;
mod limits;
mod log;
mod oracle;
mod questions;
pub mod random;
pub mod schedule;
mod shrink;
mod task;
mod traffic;
mod weather;
mod world;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use runtime::memory::{Done, MemoryStore};
use schedule::Schedule;
use tokio::runtime::{Builder, Runtime};
pub use traffic::event_record;
use world::World;

/// Violations after which a run gives up: one is enough to work with.
const ENOUGH: usize = 3;

/// The result of a run.
#[derive(Debug, serde::Serialize)]
pub struct Report {
    /// Number of schedules.
    pub schedules: u64,
    /// Duration in seconds.
    pub seconds: f64,
    /// Wrong counts.
    pub violations: Vec<Violation>,
}

/// A schedule that ended with a wrong count.
#[derive(Debug, serde::Serialize)]
pub struct Violation {
    /// Its seed.
    pub seed: u64,
    /// The wrong count.
    pub wrong: String,
    /// The fewest of its steps that still produce a violation, one per line.
    pub shrunk: Vec<String>,
}

/// The extent of a run.
#[derive(Debug, Clone, Copy)]
pub struct Extent {
    /// The most schedules to run.
    pub schedules: u64,
    /// The first seed; it increases by one with each schedule.
    pub seed: u64,
    /// Threads, each with its own schedules.
    pub threads: usize,
    /// The time after which no schedule begins.
    pub within: Option<Duration>,
}

/// Runs schedules until they are done, time is over, or enough violations were found. After each
/// one, `progress` receives the number done.
///
/// # Panics
///
/// If a schedule panics, which is a defect of the suite.
pub fn run(extent: Extent, progress: impl Fn(u64) + Sync) -> Report {
    let began = Instant::now();
    let (next, done) = (AtomicU64::new(0), AtomicU64::new(0));
    let violations = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..extent.threads.max(1) {
            scope.spawn(|| {
                let runtime = runtime();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let late = extent
                        .within
                        .is_some_and(|within| began.elapsed() >= within);
                    let found = violations.lock().expect("nobody panics with it").len();
                    if number >= extent.schedules || late || found >= ENOUGH {
                        return;
                    }
                    let seed = extent.seed.wrapping_add(number);
                    if let Err(wrong) = attempt(&runtime, &Schedule::draw(seed)) {
                        let violation = shrink::shrunk(&runtime, seed, wrong);
                        violations
                            .lock()
                            .expect("nobody panics with it")
                            .push(violation);
                    }
                    progress(done.fetch_add(1, Ordering::Relaxed) + 1);
                }
            });
        }
    });
    Report {
        schedules: done.into_inner(),
        seconds: began.elapsed().as_secs_f64(),
        violations: violations.into_inner().expect("nobody panics with it"),
    }
}

/// A runtime whose time stands still unless a schedule moves it.
fn runtime() -> Runtime {
    let mut builder = Builder::new_current_thread();
    builder.enable_time().start_paused(true);
    builder.build().expect("a runtime without I/O starts")
}

/// Runs one schedule and returns the violation, if any.
fn attempt(runtime: &Runtime, schedule: &Schedule) -> Result<(), String> {
    let attempt = || {
        runtime.block_on(async {
            let mut world = World::new(schedule);
            world.run(schedule).await
        })
    };
    catch_unwind(AssertUnwindSafe(attempt)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("panicked: {}", text.unwrap_or_default()))
    })
}

/// A schedule's table, and all calls to it.
pub struct Traced {
    /// The table in memory after the schedule.
    pub table: MemoryStore,
    /// Every call that took effect, in order, with its result.
    pub calls: Vec<Done>,
}

/// Runs one schedule without actions that change tables behind the functions' backs. Returns its
/// analytics and its usage table, both checked against the oracle.
///
/// # Errors
///
/// The wrong count.
pub fn traced(seed: u64) -> Result<[Traced; 2], String> {
    let mut schedule = Schedule::draw(seed);
    schedule.steps.retain(|step| step.action.is_of_functions());
    runtime().block_on(async {
        let mut world = World::traced(&schedule);
        world.run(&schedule).await?;
        let traced = |table: &MemoryStore| Traced {
            calls: table.traced(),
            table: table.clone(),
        };
        Ok([traced(&world.analytics), traced(&world.usage)])
    })
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seed,
            wrong,
            shrunk,
        } = self;
        writeln!(f, "cargo xtask test --faults 1 --seed {seed}")?;
        writeln!(f, "{wrong}")?;
        write!(f, "  {}", shrunk.join("\n  "))
    }
}
