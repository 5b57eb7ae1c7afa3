//! The deployed system at its highest rate, while its functions are killed, calls to tables and
//! stream fail or lose their response, and records are put twice; and the same while the stream's
//! shards are split and merged.
//!
//! `cargo xtask test --chaos` runs both. They take minutes, so the ordinary run omits them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use domain::names::Function;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tests::faults::random::Random;
use tests::proxy::{Proxy, Taken};
use tests::server::Server;
use tests::system::{STREAM, System, deploy};

/// Whether the second track recovers the calls that an authorizer lost when it was killed after its
/// response. Without it, such calls are the only difference allowed.
const RECONCILED: bool = true;
/// Number of calls, unless `CHAOS_CALLS` overrides it.
const CALLS: u64 = 20_000;
const USERS: usize = 8;
/// Calls between progress reports.
const PROGRESS: u64 = 1_000;
/// Concurrent calls.
const AT_ONCE: usize = 24;
/// How long counts may take to come to rest.
const PATIENCE: Duration = Duration::from_mins(5);
/// Counts that did not change for this long are at rest.
const REST: Duration = Duration::from_secs(8);

/// A number that can be set for a run.
#[expect(
    clippy::disallowed_methods,
    reason = "the only place where these tests read a setting"
)]
fn calls() -> u64 {
    let given = std::env::var("CHAOS_CALLS").ok();
    given.map_or(CALLS, |text| text.parse().unwrap())
}

/// A user, and the results of the calls made with their key.
struct User {
    email: String,
    key: String,
    accepted: AtomicU64,
    /// Calls that failed in transit: it is unknown whether they were decided on.
    unknown: AtomicU64,
}

/// The stream of a Kinesis whose shards split and merge.
struct Kinesis {
    client: aws_sdk_kinesis::Client,
    server: Server,
}

impl Kinesis {
    async fn start() -> Self {
        let server = Server::kinesis().await;
        let client = aws_sdk_kinesis::Client::new(&server.sdk().await);
        let create = client.create_stream().stream_name(STREAM);
        create.shard_count(2).send().await.unwrap();
        Self { client, server }
    }
}

/// The open shards: where their hash keys begin and end, and their ids.
async fn open_shards(client: &aws_sdk_kinesis::Client) -> Vec<(u128, u128, String)> {
    let mut open = Vec::new();
    let mut list = client.list_shards().stream_name(STREAM);
    loop {
        let page = list.send().await.unwrap();
        for shard in page.shards() {
            let range = shard.sequence_number_range().unwrap();
            if range.ending_sequence_number().is_none() {
                let keys = shard.hash_key_range().unwrap();
                let number = |text: &str| text.parse::<u128>().unwrap();
                let (from, to) = (keys.starting_hash_key(), keys.ending_hash_key());
                open.push((number(from), number(to), shard.shard_id().to_owned()));
            }
        }
        match page.next_token {
            Some(next) => list = client.list_shards().next_token(next),
            None => return open,
        }
    }
}

/// Splits and merges shards at random until it is asked to stop. Returns how often it did each.
async fn reshard(client: aws_sdk_kinesis::Client, stop: Arc<AtomicBool>) -> (u64, u64) {
    let mut random = Random::new(2);
    let (mut splits, mut merges) = (0, 0);
    while !stop.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_secs(5)).await;
        let mut open = open_shards(&client).await;
        open.sort();
        if open.len() < 2 || (open.len() < 6 && random.once_in(2)) {
            let (from, to, id) = &open[random.place(open.len())];
            let middle = (from + (to - from) / 2).to_string();
            let split = client.split_shard().stream_name(STREAM);
            let split = split.shard_to_split(id).new_starting_hash_key(middle);
            splits += u64::from(split.send().await.is_ok());
        } else {
            let at = random.place(open.len() - 1);
            let merge = client.merge_shards().stream_name(STREAM);
            let merge = merge.shard_to_merge(&open[at].2);
            let merge = merge.adjacent_shard_to_merge(&open[at + 1].2);
            merges += u64::from(merge.send().await.is_ok());
        }
    }
    (splits, merges)
}

/// The processes that run one of `functions` for this system: those that its host recorded.
fn instances(processes: &Path, functions: &[String]) -> Vec<Pid> {
    let recorded = fs::read_dir(processes).unwrap().flatten();
    recorded
        .filter_map(|record| record.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment
                .split(|byte| *byte == 0)
                .filter_map(|variable| {
                    std::str::from_utf8(variable)
                        .ok()?
                        .strip_prefix("AWS_LAMBDA_FUNCTION_NAME=")
                })
                .any(|name| functions.iter().any(|function| function == name))
        })
        .map(Pid::from_raw)
        .collect()
}

/// Kills instances at random until it is asked to stop. Returns how many.
async fn kill(processes: PathBuf, stop: Arc<AtomicBool>) -> u64 {
    let functions = [
        Function::Authorizer,
        Function::Processor,
        Function::Aggregator,
        Function::Reconciler,
    ]
    .map(System::function);
    let mut random = Random::new(1);
    let mut killed = 0;
    while !stop.load(Ordering::Relaxed) {
        let pause = u64::try_from(random.between(300, 1_200)).unwrap();
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let running = instances(&processes, &functions);
        if !running.is_empty() {
            let pid = running[random.place(running.len())];
            killed += u64::from(killpg(pid, Signal::SIGKILL).is_ok());
        }
    }
    killed
}

fn users(system: &System) -> Arc<Vec<User>> {
    let mut users = Vec::new();
    for number in 0..USERS {
        let email = format!("user{number}@example.com");
        let key = system.key(&email)["key"].as_str().unwrap().to_owned();
        users.push(User {
            email,
            key,
            accepted: AtomicU64::new(0),
            unknown: AtomicU64::new(0),
        });
    }
    Arc::new(users)
}

/// Makes every call. Returns how often each status occurred.
async fn load(system: &System, users: &Arc<Vec<User>>, calls: u64) -> BTreeMap<u16, u64> {
    let next = Arc::new(AtomicU64::new(0));
    let url = system.url("deadlines?country=AU");
    let callers = (0..AT_ONCE).map(|_| {
        let (next, users, url) = (Arc::clone(&next), Arc::clone(users), url.clone());
        let client = system.client.clone();
        tokio::spawn(async move {
            let mut statuses: BTreeMap<u16, u64> = BTreeMap::new();
            loop {
                let call = next.fetch_add(1, Ordering::Relaxed);
                if call >= calls {
                    return statuses;
                }
                if call % PROGRESS == 0 {
                    eprintln!("{call} of {calls} calls");
                }
                let user = &users[usize::try_from(call).unwrap() % USERS];
                let request = client.get(&url).header("x-api-key", &user.key);
                let answer = request.send().await;
                let status = answer.map_or(0, |answer| answer.status().as_u16());
                *statuses.entry(status).or_default() += 1;
                let count = match status {
                    200 => &user.accepted,
                    _ => &user.unknown,
                };
                count.fetch_add(1, Ordering::Relaxed);
            }
        })
    });
    let mut all: BTreeMap<u16, u64> = BTreeMap::new();
    for caller in callers.collect::<Vec<_>>() {
        for (status, count) in caller.await.unwrap() {
            *all.entry(status).or_default() += count;
        }
    }
    all
}

async fn stats(system: &System, users: &[User]) -> Vec<Value> {
    let mut all = Vec::new();
    for user in users {
        let question = format!("user-stats?email={}", user.email);
        // Its reads fail like all others, and its function dies like all others.
        let mut answer = system.ask(&question).await;
        let start = Instant::now();
        while matches!(answer.0, 502 | 503) {
            assert!(start.elapsed() < PATIENCE, "{question}: {}", answer.1);
            tokio::time::sleep(Duration::from_millis(100)).await;
            answer = system.ask(&question).await;
        }
        assert_eq!(answer.0, 200, "{question}: {}", answer.1);
        // Time passes, even where the counts are at rest.
        answer.1.as_object_mut().unwrap().remove("asOf");
        all.push(answer.1);
    }
    all
}

/// Waits until nothing is in flight any more. Returns the counts.
async fn rest(system: &System, users: &[User]) -> Vec<Value> {
    let start = Instant::now();
    let mut last = stats(system, users).await;
    let mut since = Instant::now();
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = stats(system, users).await;
        let mut waits = Vec::new();
        for function in [Function::Processor, Function::Aggregator] {
            let age = system.mapping(function).await["iteratorAgeMs"].clone();
            if age != 0 {
                waits.push(format!("{function:?} is {age} ms behind"));
            }
        }
        // The second track is slower.
        let counted = |stats: &Value| stats["totalCalls"].as_u64().unwrap();
        for (user, stats) in users.iter().zip(&now) {
            let shown = system.hours(&user.email).await.total_calls;
            let (counted, accepted) = (counted(stats), read(&user.accepted));
            if (RECONCILED && counted < accepted) || shown != counted {
                let email = &user.email;
                waits.push(format!(
                    "{email}: {accepted} accepted, {counted} counted, {shown} shown"
                ));
            }
        }
        if !waits.is_empty() || now != last {
            since = Instant::now();
        }
        last = now;
        if since.elapsed() >= REST {
            return last;
        }
        assert!(start.elapsed() < PATIENCE, "no rest: {waits:#?} {last:#?}");
    }
}

/// The calls in the journal, by user: ids of accepted calls.
fn calls_of(system: &System) -> BTreeMap<String, BTreeSet<String>> {
    let mut calls: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for event in system.events("--from 3h") {
        let text = |name: &str| event[name].as_str().unwrap().to_owned();
        if text("type") == "API_CALL" {
            let is_new = calls.entry(text("subject")).or_default().insert(text("id"));
            assert!(is_new, "printed twice: {event:#}");
        }
    }
    calls
}

/// Everything that the stream accepted is in the journal. Reports where the stream put the missing
/// events.
fn each_is_there(taken: &[Taken], calls: &BTreeMap<String, BTreeSet<String>>, mapping: &Value) {
    let missing: Vec<_> = taken
        .iter()
        .filter(|taken| {
            let of_user = calls.get(taken.event.subject.as_str());
            !of_user.is_some_and(|ids| ids.contains(&taken.event.id.to_string()))
        })
        .map(|taken| (&taken.shard, &taken.sequence_number, taken.event.time))
        .collect();
    assert!(missing.is_empty(), "{missing:#?}\n{mapping:#}");
}

/// The disturbances of the system under load.
struct Ordeal {
    took: Duration,
    statuses: BTreeMap<u16, u64>,
    killed: u64,
    /// Splits and merges, if the stream supports them.
    resharded: Option<(u64, u64)>,
}

/// Makes every call under all faults.
async fn ordeal(
    system: &System,
    stream: Option<&Kinesis>,
    users: &Arc<Vec<User>>,
    calls: u64,
) -> Ordeal {
    let stop = Arc::new(AtomicBool::new(false));
    let processes = system.place.dir().join("local/host/processes");
    let killing = tokio::spawn(kill(processes, Arc::clone(&stop)));
    let resharding =
        stream.map(|stream| tokio::spawn(reshard(stream.client.clone(), Arc::clone(&stop))));
    let begun = Instant::now();
    let statuses = load(system, users, calls).await;
    let took = begun.elapsed();
    stop.store(true, Ordering::Relaxed);
    let resharded = match resharding {
        Some(resharding) => Some(resharding.await.unwrap()),
        None => None,
    };
    Ordeal {
        took,
        statuses,
        killed: killing.await.unwrap(),
        resharded,
    }
}

fn read(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}

/// A user's usage equals the content of the journal, down to method and endpoint, and does not
/// exceed the calls that got a response. Returns how many calls were accepted and how many counted.
fn compare(user: &User, stats: &Value, calls: &BTreeMap<String, BTreeSet<String>>) -> (u64, u64) {
    let counted = stats["totalCalls"].as_u64().unwrap();
    let held = calls.get(&user.email).map_or(0, BTreeSet::len);
    assert_eq!(counted, held as u64, "{stats:#}");
    let methods = json!([{"method": "GET", "totalCalls": counted}]);
    assert_eq!(stats["methods"], methods, "{stats:#}");
    let endpoints = json!([{"endpoint": "/v1/deadlines", "totalCalls": counted}]);
    assert_eq!(stats["endpoints"], endpoints, "{stats:#}");
    let accepted = read(&user.accepted);
    let most = accepted + read(&user.unknown);
    assert!(counted <= most, "{accepted} accepted: {stats:#}");
    assert!(
        !RECONCILED || counted >= accepted,
        "{accepted} accepted: {stats:#}"
    );
    (accepted, counted)
}

async fn chaos(stream: Option<Kinesis>) {
    let calls = calls();
    let mut system = System::deploy();
    let aws = system.strict.address().to_owned();
    let elsewhere = stream.as_ref().map(|stream| stream.server.endpoint.clone());
    let proxy = Proxy::start(&aws, elsewhere, 7).await;
    system.place.set("XTASK_HOST_AWS_ENDPOINT", proxy.address());
    system.outputs = deploy(&system.place);
    let users = users(&system);

    proxy.fail(true);
    let ordeal = ordeal(&system, stream.as_ref(), &users, calls).await;
    let stats = rest(&system, &users).await;
    proxy.fail(false);

    let of_journal = calls_of(&system);
    let taken = proxy.taken();
    let mapping = system.mapping(Function::Processor).await;
    each_is_there(&taken, &of_journal, &mapping);
    let (mut accepted, mut counted) = (0, 0);
    for (user, stats) in users.iter().zip(&stats) {
        let (of_user, counted_of_user) = compare(user, stats, &of_journal);
        accepted += of_user;
        counted += counted_of_user;
    }
    let days = "timeseries?granularity=day&duration=2d";
    system.until_sum(days, "totalCalls", counted).await;
    assert_eq!(system.set_aside().await, [] as [Vec<u8>; 0]);
    let traffic = proxy.traffic();
    let report = json!({
        "calls": calls, "seconds": ordeal.took.as_secs(), "statuses": ordeal.statuses,
        "accepted": accepted, "counted": counted, "gap": accepted.saturating_sub(counted),
        "takenByStream": taken.len(), "killed": ordeal.killed,
        "splitsAndMerges": ordeal.resharded, "putAgain": read(&traffic.again),
        "callsToTablesAndStream": read(&traffic.calls),
        "refused": read(&traffic.refused), "answersLost": read(&traffic.lost),
    });
    eprintln!("{report:#}");
    assert!(ordeal.killed > 0 && read(&traffic.again) > 0 && read(&traffic.lost) > 0);
    let has_both = |(splits, merges)| splits > 0 && merges > 0;
    assert!(ordeal.resharded.is_none_or(has_both), "{report:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: `cargo xtask test --chaos`"]
async fn counts_are_equal_while_functions_die_and_calls_fail() {
    chaos(None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: `cargo xtask test --chaos`"]
async fn counts_are_equal_while_shards_are_split_and_merged() {
    chaos(Some(Kinesis::start().await)).await;
}
