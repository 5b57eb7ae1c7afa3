//! The mode changes while calls are made: nothing is lost, nothing counts twice, and whatever keeps
//! counts stays as it is.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test fails by panicking, and this one also reports"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::system::{System, json_of};

const USERS: usize = 4;
/// Before a caller calls again.
const PACE: Duration = Duration::from_millis(60);
/// How long calls are made in each mode, besides the time that a deploy takes.
const BETWEEN: Duration = Duration::from_secs(4);
/// How long statuses may take to follow: a window of the second track, and some.
const PATIENCE: Duration = Duration::from_mins(1);

/// A user, and how their calls ended.
struct User {
    email: String,
    key: String,
    accepted: AtomicU64,
}

/// Calls of every user, until they are stopped.
struct Calls {
    users: Arc<Vec<User>>,
    stop: Arc<AtomicBool>,
    callers: Vec<tokio::task::JoinHandle<BTreeMap<u16, u64>>>,
}

impl Calls {
    fn begin(system: &System) -> Self {
        let users = (0..USERS).map(|number| {
            let email = format!("user{number}@example.com");
            let key = system.key(&email)["key"].as_str().unwrap().to_owned();
            User {
                email,
                key,
                accepted: AtomicU64::new(0),
            }
        });
        let users: Arc<Vec<User>> = Arc::new(users.collect());
        let stop = Arc::new(AtomicBool::new(false));
        let callers = (0..USERS).map(|place| {
            let (users, stop) = (Arc::clone(&users), Arc::clone(&stop));
            let (client, url) = (system.client.clone(), system.url("deadlines?country=AU"));
            tokio::spawn(async move {
                let user = &users[place];
                let mut statuses = BTreeMap::new();
                while !stop.load(Ordering::Relaxed) {
                    let request = client.get(&url).header("x-api-key", &user.key);
                    let answer = request.send().await;
                    let status = answer.map_or(0, |answer| answer.status().as_u16());
                    *statuses.entry(status).or_default() += 1;
                    user.accepted
                        .fetch_add(u64::from(status == 200), Ordering::Relaxed);
                    tokio::time::sleep(PACE).await;
                }
                statuses
            })
        });
        let callers = callers.collect();
        Self {
            users,
            stop,
            callers,
        }
    }

    fn accepted(&self) -> u64 {
        let users = self.users.iter();
        users
            .map(|user| user.accepted.load(Ordering::Relaxed))
            .sum()
    }

    /// Stops; says how often each status was answered.
    async fn end(&mut self) -> BTreeMap<u16, u64> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all: BTreeMap<u16, u64> = BTreeMap::new();
        for caller in self.callers.drain(..) {
            for (status, count) in caller.await.unwrap() {
                *all.entry(status).or_default() += count;
            }
        }
        all
    }
}

/// Changes the mode while calls are made; says how many were accepted meanwhile.
async fn switch(system: &mut System, calls: &Calls, enabled: &str, mode: &str) -> u64 {
    let before = calls.accepted();
    system.place.set("ENABLE_KINESIS_ANALYTICS", enabled);
    let deployed = tokio::task::block_in_place(|| system.place.run("deploy --yes --json"));
    system.outputs = json_of(&deployed);
    assert_eq!(system.text("/mode"), mode);
    let mut steps = deployed.stderr.split("=> ");
    let data = steps.find(|step| step.starts_with("stack `CompliCal-Data-local`"));
    assert!(data.unwrap().contains("nothing changed"), "{data:?}");
    eprintln!("{mode} after {} calls", calls.accepted());
    tokio::time::sleep(BETWEEN).await;
    calls.accepted() - before
}

/// Every accepted call of a user is counted once, wherever it is shown.
async fn each_call_counts_once(system: &System, user: &User) {
    let accepted = user.accepted.load(Ordering::Relaxed);
    let question = format!("user-stats?email={}", user.email);
    system.until(&question, "/totalCalls", accepted).await;
    let start = Instant::now();
    loop {
        let stats = system.analytics(&question).await;
        assert_eq!(stats["totalCalls"], accepted, "{stats:#}");
        let hours = system.hours(&user.email).await.total_calls;
        assert!(hours <= accepted, "{hours} of {accepted}");
        let answered = json!([{"status": 200, "count": accepted}]);
        if hours == accepted && stats["statuses"] == answered {
            break;
        }
        assert!(start.elapsed() < PATIENCE, "{hours} in hours: {stats:#}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let minutes = "timeseries?granularity=minute&duration=1h";
    let minutes = format!("{minutes}&email={}", user.email);
    system.until_sum(&minutes, "totalCalls", accepted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn switching_modes_under_traffic_loses_and_doubles_nothing() {
    let mut system = System::deploy();
    let mut calls = Calls::begin(&system);
    tokio::time::sleep(BETWEEN).await;
    for (enabled, mode) in [("false", "synchronous"), ("true", "stream")] {
        let accepted = switch(&mut system, &calls, enabled, mode).await;
        assert!(
            accepted > 50,
            "{accepted} calls during the change to {mode}"
        );
    }
    let statuses = calls.end().await;
    eprintln!("answers: {statuses:?}");
    assert_eq!(statuses.keys().collect::<Vec<_>>(), [&200], "{statuses:?}");
    for user in calls.users.iter() {
        each_call_counts_once(&system, user).await;
    }
    let events: Vec<Value> = system.events("--from 1h");
    let modes = |mode: &str| {
        let events = events.iter();
        let of_mode = events.filter(|event| event["data"]["mode"].as_str() == Some(mode));
        of_mode.count() as u64
    };
    // The stream's events do not name their mode.
    assert!(modes("synchronous") > 0);
    assert!(modes("synchronous") < calls.accepted());
    assert_eq!(events.len() as u64, calls.accepted());
}
