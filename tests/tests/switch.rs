//! The mode changes while calls are made: nothing is lost, nothing counts twice, and the resources
//! that hold counts do not change.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::system::{System, deploy, json_of};

const USERS: usize = 4;
/// The pause between a caller's calls.
const PACE: Duration = Duration::from_millis(60);
/// How long calls are made in each mode, besides the time that a deploy takes.
const BETWEEN: Duration = Duration::from_secs(4);
/// How long statuses may take to follow: a window of the second track, plus a margin.
const PATIENCE: Duration = Duration::from_mins(1);

/// A user, and the results of their calls.
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

    /// Stops the calls. Returns how often each status occurred.
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

/// Changes the mode while calls are made. Returns how many were accepted in the meantime.
async fn switch(system: &mut System, calls: &Calls, verb: &str, mode: &str) -> u64 {
    let before = calls.accepted();
    let changed = tokio::task::block_in_place(|| system.place.run(&format!("{verb} --yes --json")));
    system.outputs = json_of(&changed);
    assert_eq!(system.text("/mode"), mode);
    let mut steps = changed.stderr.split("=> ");
    let data = steps.find(|step| step.starts_with("stack `CompliCal-Data-local`"));
    assert!(
        data.is_none_or(|data| data.contains("nothing changed")),
        "{data:?}"
    );
    eprintln!("{mode} after {} calls", calls.accepted());
    tokio::time::sleep(BETWEEN).await;
    calls.accepted() - before
}

/// The changes that a verb would make.
fn plan(system: &System, verb: &str) -> Value {
    tokio::task::block_in_place(|| json_of(&system.place.run(&format!("{verb} --json"))))
}

/// A rollback is shown before it happens, and changes only the API and the stream's stack.
fn rollback_is_shown(system: &System) {
    let nothing = plan(system, "diff --exit-code");
    assert_eq!(nothing["differs"], false, "{nothing:#}");
    let shown = plan(system, "rollback --dry-run");
    assert_eq!(
        shown["mode"],
        json!({"before": "stream", "after": "synchronous"})
    );
    let stacks = shown["stacks"].as_array().unwrap().iter();
    let actions: Vec<_> = stacks
        .map(|stack| (stack["stack"].as_str().unwrap(), &stack["action"]))
        .collect();
    assert_eq!(
        actions,
        [
            ("CompliCal-API-local", &json!("update")),
            ("CompliCal-Kinesis-local", &json!("delete"))
        ]
    );
    let changes = shown["stacks"][0]["changes"].as_array().unwrap();
    let mut authorizer = changes
        .iter()
        .filter(|change| {
            change["logicalId"]
                .as_str()
                .unwrap()
                .starts_with("ApiKeyAuthorizer")
        })
        .flat_map(|change| change["properties"].as_array().unwrap());
    // Each property with its old and its new value.
    assert!(
        authorizer.any(|property| {
            let text = |name: &str| property[name].as_str().unwrap_or_default().to_owned();
            text("before").contains("Kinesis-enabled") && text("after").contains("synchronous")
        }),
        "{changes:#?}"
    );
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

/// Every step of the check passes in this mode, and reports how long a call took to be counted.
fn all_is_verified(system: &System) {
    let verified = plan(system, "verify");
    let checks = verified["checks"].as_array().unwrap();
    assert!(
        checks.iter().all(|check| check["ok"] == true),
        "{verified:#}"
    );
    let names: Vec<_> = checks
        .iter()
        .map(|check| check["name"].as_str().unwrap().to_owned())
        .collect();
    for name in [
        "stack `CompliCal-API-local`",
        "table `complical-api-usage-local`",
        "function `CompliCal-API-local-ApiKeyAuthorizerFunction`",
        "mode",
        "dashboard `complical-usage-analytics-local`",
        "dashboard `complical-security-local`",
        "dashboard `complical-plan-free-local`",
        "metered call",
        "count",
        "metric `UsageTrackingSuccess`",
        "metric `UsageTrackingFailure`",
        "metric `IncomingRecords`",
        "endpoint `/v1/analytics/realtime`",
        "endpoint `/v1/analytics/timeseries`",
        "endpoint `/v1/analytics/user-stats`",
        "errors",
    ] {
        assert!(
            names.iter().any(|other| other == name),
            "no {name}: {names:?}"
        );
    }
    assert!(verified["secondsToCounted"].as_f64().unwrap() > 0.0);
    eprintln!("counted after {} s", verified["secondsToCounted"]);
}

/// Everything known of one call, by its event id and by its request id.
fn a_call_is_explained(system: &System, event: &Value) {
    let id = event["id"].as_str().unwrap();
    let told = plan(system, &format!("explain {id}"));
    assert_eq!(told["id"], id);
    assert_eq!(told["countsAs"], "API_CALL");
    assert_eq!(told["event"]["data"]["status"], 200, "{told:#}");
    let reports = told["reports"].as_array().unwrap();
    let by: Vec<_> = reports.iter().map(|report| &report["by"]).collect();
    assert!(by.contains(&&json!("accessLog")), "{told:#}");
    let user = told["sums"]["user"].as_array().unwrap();
    assert!(
        user[0]["counts"]["totalCalls"].as_u64().unwrap() >= 1,
        "{told:#}"
    );
    assert_eq!(told["sums"]["day"], "open");
    if let Some(request) = event["data"]["requestId"].as_str() {
        let same = plan(system, &format!("explain {request}"));
        assert_eq!(same["id"], id);
    }
    // The gateway logs every call, the functions only those that fail.
    let logged = system.place.run(&format!("logs --event {id}"));
    assert_eq!(logged.code, Some(0), "{logged:#?}");
    assert!(
        logged
            .stdout
            .lines()
            .any(|line| line.starts_with("access ")),
        "{logged:#?}"
    );
    let text = system.place.run(&format!("explain {id}"));
    assert!(text.stdout.contains("accepted: one call"), "{text:#?}");
    let unknown = "00000000-0000-7000-8000-000000000000";
    let logged = system.place.run(&format!("logs --event {unknown}"));
    assert_eq!(
        (logged.code, logged.stdout.as_str()),
        (Some(0), ""),
        "{logged:#?}"
    );
    let way_on = format!("`cargo xtask explain {unknown}`");
    assert!(logged.stderr.contains(&way_on), "{logged:#?}");
    system
        .place
        .run(&format!("explain {unknown}"))
        .fails(1, &["counts nowhere", "hint:"]);
}

/// The status reports that all is well, in words and with the members of the contract.
fn all_is_well(system: &System, mode: &str) {
    let status = plan(system, "status");
    assert_eq!(status["mode"], mode);
    assert_eq!(status["deadLetters"], 0, "{status:#}");
    assert!(status["lastDeploy"].is_string(), "{status:#}");
    let alarms = status["alarms"].as_array().unwrap();
    assert!(
        alarms
            .iter()
            .all(|alarm| !alarm["description"].as_str().unwrap().is_empty()),
        "{alarms:#?}"
    );
    let text = system.place.run("status");
    assert!(text.stdout.lines().count() < 24, "{text:#?}");
    assert!(text.stdout.contains("dead letters none"), "{text:#?}");
}

/// A resource that somebody deleted by hand fails the check, and is named.
async fn what_is_missing_is_named(system: &System) {
    let dashboard = "complical-usage-analytics-local";
    let metrics = aws_sdk_cloudwatch::Client::new(&system.sdk().await);
    let delete = metrics.delete_dashboards().dashboard_names(dashboard);
    delete.send().await.unwrap();
    let verified = tokio::task::block_in_place(|| system.place.run("verify"));
    assert_eq!(verified.code, Some(1), "{verified:#?}");
    let lines = verified.stdout.lines();
    let missing: Vec<_> = lines.filter(|line| line.starts_with("MISSING")).collect();
    assert_eq!(missing.len(), 1, "{verified:#?}");
    assert!(missing[0].contains(dashboard), "{missing:?}");
}

/// An embedded AWS that died is started again by the next deploy, and calls are served.
async fn a_dead_emulator_is_started_again(system: &mut System) {
    let state = system.place.dir().join("local/state.json");
    let state = std::fs::read_to_string(state).unwrap();
    let state: Value = serde_json::from_str(&state).unwrap();
    let pid = state["emulator"]["pid"].to_string();
    let killed = std::process::Command::new("kill")
        .args(["-KILL", &pid])
        .status();
    assert!(killed.unwrap().success());
    let (outputs, key) = tokio::task::block_in_place(|| {
        let dead = system.place.run("status");
        assert!(dead.stderr.contains("does not respond"), "{dead:#?}");
        let outputs = deploy(&system.place);
        (outputs, system.key("gus@example.com"))
    });
    system.outputs = outputs;
    let statuses = system.call(key["key"].as_str(), 3).await;
    assert_eq!(statuses, BTreeMap::from([(200, 3)]));
}

/// Lines of one function, by pattern and by time.
fn logs_are_filtered(system: &System) {
    let all = system.place.run("logs authorizer --since 1h");
    assert_eq!(all.code, Some(0), "{all:#?}");
    assert!(all.stdout.lines().count() > 0, "{all:#?}");
    let none = system.place.run("logs authorizer --grep ^nothing$");
    assert_eq!(
        (none.code, none.stdout.as_str()),
        (Some(0), ""),
        "{none:#?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn switching_modes_under_traffic_loses_and_doubles_nothing() {
    let mut system = System::deploy();
    let mut calls = Calls::begin(&system);
    tokio::time::sleep(BETWEEN).await;
    rollback_is_shown(&system);
    tokio::task::block_in_place(|| all_is_verified(&system));
    for (verb, mode) in [("rollback", "synchronous"), ("deploy", "stream")] {
        let accepted = switch(&mut system, &calls, verb, mode).await;
        assert!(
            accepted > 50,
            "{accepted} calls during the change to {mode}"
        );
    }
    let again = plan(&system, "diff");
    assert_eq!(again["differs"], false, "{again:#}");
    let statuses = calls.end().await;
    eprintln!("answers: {statuses:?}");
    assert_eq!(statuses.keys().collect::<Vec<_>>(), [&200], "{statuses:?}");
    for user in calls.users.iter() {
        each_call_counts_once(&system, user).await;
    }
    let events: Vec<Value> = system.events("--from 1h");
    let of_users = |event: &&Value| {
        let subject = event["subject"].as_str().unwrap();
        subject.starts_with("user")
    };
    let events: Vec<Value> = events.iter().filter(of_users).cloned().collect();
    tokio::task::block_in_place(|| {
        a_call_is_explained(&system, &events[0]);
        all_is_well(&system, "stream");
        logs_are_filtered(&system);
    });
    let modes = |mode: &str| {
        let events = events.iter();
        let of_mode = events.filter(|event| event["data"]["mode"].as_str() == Some(mode));
        of_mode.count() as u64
    };
    // The stream's events do not name their mode.
    assert!(modes("synchronous") > 0);
    assert!(modes("synchronous") < calls.accepted());
    assert_eq!(events.len() as u64, calls.accepted());
    what_is_missing_is_named(&system).await;
    a_dead_emulator_is_started_again(&mut system).await;
}
