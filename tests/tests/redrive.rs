//! `errors`, `replay` and `events` on the deployed system: failed records count once they can, and
//! other counts do not change, even if records are submitted again many times.

use std::time::{Duration, Instant};

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use domain::event::UsageEvent;
use domain::id::EventId;
use domain::names::Function;
use domain::table::{self, ItemKey, Timing};
use domain::time::UnixMillis;
use serde_json::{Value, json};
use tests::system::{
    ANALYTICS_TABLE, Hours, System, USAGE_TABLE, deploy, event, json_of, log_line,
};

const PATIENCE: Duration = Duration::from_mins(1);
const ANN: &str = "user-stats?email=ann@example.com";
const USER: &str = "ann@example.com";
/// Records that the processor gave up.
const QUEUE: &str = "complical-usage-dlq-local";
/// Changes that the aggregator gave up.
const QUEUE_OF_CHANGES: &str = "complical-aggregator-dlq-local";
/// Lines that the reconciler gave up.
const QUEUE_OF_LINES: &str = "complical-reconcile-dlq-local";

/// An event that is too far ahead to be counted, for this many seconds.
fn ahead(number: u64, seconds: i64) -> UsageEvent {
    let mut event = event(number);
    event.time = event.time.plus_millis(5 * 60_000 + seconds * 1_000);
    let random = [u8::try_from(number).unwrap(); 10];
    event.id = EventId::mint(event.time.0.unsigned_abs(), random);
    event
}

fn errors(system: &System) -> Value {
    json_of(&system.place.run("errors list --json"))
}

/// Lists until there are this many records set aside and dead letters.
async fn until_listed(system: &System, set_aside: usize, letters: Option<u64>) -> Value {
    let start = Instant::now();
    loop {
        let listed = errors(system);
        let found = listed["errors"].as_array().unwrap().len();
        let has_letters = letters.is_none_or(|letters| listed["deadLetters"] == letters);
        if found == set_aside && has_letters {
            return listed;
        }
        assert!(start.elapsed() < PATIENCE, "{listed:#}");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

fn redrive(system: &System) -> Value {
    json_of(&system.place.run("errors redrive --yes --json"))
}

async fn counted(system: &System) -> Value {
    let mut stats = system.analytics(ANN).await;
    for moving in ["currentPeriod", "asOf"] {
        stats.as_object_mut().unwrap().remove(moving);
    }
    stats
}

/// Waits until the usage table shows this many calls.
async fn until_shown(system: &System, calls: u64) {
    let start = Instant::now();
    loop {
        let shown = system.hours(USER).await;
        if shown.total_calls == calls {
            return;
        }
        let waits = shown.total_calls < calls && start.elapsed() < PATIENCE;
        assert!(waits, "{calls}: {shown:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Deletes the user's hours from the usage table.
async fn delete_hours(system: &System) {
    let tables = aws_sdk_dynamodb::Client::new(&system.sdk().await);
    for mut item in system.hour_items(USER).await {
        let mut key = |name: &str| item.remove(name).unwrap();
        let delete = tables.delete_item().table_name(USAGE_TABLE);
        let delete = delete.key("PK", key("PK")).key("SK", key("SK"));
        delete.send().await.unwrap();
    }
    assert_eq!(system.hours(USER).await, Hours::default());
}

/// A queue: its client and its URL.
async fn queue_of(system: &System, queue: &str) -> (aws_sdk_sqs::Client, String) {
    let queues = aws_sdk_sqs::Client::new(&system.sdk().await);
    let url = queues.get_queue_url().queue_name(queue).send().await;
    (queues, url.unwrap().queue_url.unwrap())
}

async fn send_letter(system: &System, queue: &str, body: &Value) {
    let (queues, url) = queue_of(system, queue).await;
    let send = queues.send_message().queue_url(url);
    send.message_body(body.to_string()).send().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_records_count_once_they_can_and_nothing_counts_twice() {
    let mut system = System::deploy();
    let key = system.key("ann@example.com");
    system.call(key["key"].as_str(), 20).await;
    system.until(ANN, "/totalCalls", 20).await;

    // Two records that are not events, one of them too long to be kept whole; and two events that
    // are not due yet, one of them too long as well.
    let long = [ahead(2, 8).to_json(), vec![b' '; 350_000]].concat();
    let records = [b"\xffno event".to_vec(), vec![b'x'; 400_000]];
    system.put(&records).await;
    let due = Instant::now() + Duration::from_secs(9);
    system.put(&[ahead(1, 8).to_json(), long]).await;
    let listed = until_listed(&system, 4, Some(0)).await;
    let of = |reason: &str| {
        let errors = listed["errors"].as_array().unwrap().iter();
        errors.filter(|error| error["reason"] == reason).count()
    };
    assert_eq!((of("malformed"), of("fromTheFuture")), (2, 2), "{listed:#}");

    let dry = system.place.run("errors redrive --dry-run");
    assert_eq!(dry.code, Some(0), "{dry:#?}");
    assert!(dry.stderr.contains("would submit 4 records"), "{dry:#?}");
    tokio::time::sleep(due.saturating_duration_since(Instant::now())).await;
    let none = json!({"found": 0, "deleted": 0, "kept": 0});
    assert_eq!(
        redrive(&system),
        json!({
            "errors": {"found": 4, "deleted": 2, "kept": 2}, "deadLetters": none,
            "appended": 2, "setAside": 2, "failed": 0, "minutesFolded": 0,
        })
    );
    assert_eq!(
        redrive(&system),
        json!({
            "errors": {"found": 2, "deleted": 0, "kept": 2}, "deadLetters": none,
            "appended": 0, "setAside": 2, "failed": 0, "minutesFolded": 0,
        })
    );
    system.until(ANN, "/totalCalls", 22).await;

    give_up(&system).await;
    let given_up = redrive(&system);
    assert_eq!(given_up["appended"], 15, "{given_up:#}");
    let letters = &given_up["deadLetters"];
    assert_eq!(letters["found"], letters["deleted"], "{given_up:#}");
    let again = redrive(&system);
    assert_eq!(again["deadLetters"], none, "{again:#}");
    system.until(ANN, "/totalCalls", 37).await;

    fold_again(&system).await;
    take_lines_again(&system).await;
    keep_what_is_gone(&system).await;
    replay_twice(&system).await;
    offer_lines_set_aside(&system).await;
    list_without_the_stream(&mut system).await;
    tell_what_is_counted_but_wrong(&system).await;
}

/// The processor gets the name of a table that its role does not allow, and gives its records up.
/// They do not come from calls: the second track would count those in the meantime.
async fn give_up(system: &System) {
    system.strict.expect_refusals_on("complical-nowhere");
    let table = [("ANALYTICS_TABLE", "complical-nowhere")];
    let before = system.set_variables(Function::Processor, &table).await;
    system.set_retries(Function::Processor, 1).await;
    let records: Vec<Vec<u8>> = (3..18).map(|number| event(number).to_json()).collect();
    system.put(&records).await;
    let start = Instant::now();
    while system.mapping(Function::Processor).await["discarded"] != 15 {
        assert!(start.elapsed() < PATIENCE, "records are not given up");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    system.replace_variables(Function::Processor, before).await;
    system.set_retries(Function::Processor, -1).await;
    let refused = format!(
        "the role of `{}` does not allow `dynamodb:PutItem` on \
         `arn:aws:dynamodb:ap-south-1:000000000000:table/complical-nowhere`",
        System::function(Function::Processor)
    );
    let sentences = system.strict.sentences();
    assert!(sentences.contains(&refused), "{sentences:?}");
    assert_ne!(errors(system)["deadLetters"], 0);
    assert_eq!(system.analytics(ANN).await["totalCalls"], 22);
}

/// The aggregator gave up changes of the journal: it folds the journal again.
async fn fold_again(system: &System) {
    until_shown(system, 37).await;
    delete_hours(system).await;
    let now = jiff::Timestamp::now().to_string();
    let letter = json!({"version": "1.0", "DDBStreamBatchInfo": {
        "shardId": "shardId-1", "startSequenceNumber": "1", "endSequenceNumber": "2",
        "approximateArrivalOfFirstRecord": now, "batchSize": 2, "streamArn": "arn"}});
    for _ in 0..2 {
        send_letter(system, QUEUE_OF_CHANGES, &letter).await;
    }

    let table = [("ANALYTICS_TABLE", "complical-nowhere")];
    let before = system.set_variables(Function::Aggregator, &table).await;
    let kept = system.place.run("errors redrive --yes --json");
    assert_eq!(kept.code, Some(1), "{kept:#?}");
    let stays = "2 dead letters of the aggregator stay: it failed to fold the hour";
    assert!(kept.stderr.contains(stays), "{kept:#?}");
    system.replace_variables(Function::Aggregator, before).await;
    let listed = system.place.run("errors list");
    let letters = format!("dead letters: 2\n  2 in `{QUEUE_OF_CHANGES}`");
    assert!(listed.stdout.contains(&letters), "{listed:#?}");

    let folded = redrive(system);
    let letters = json!({"found": 2, "deleted": 2, "kept": 0});
    assert_eq!(folded["deadLetters"], letters, "{folded:#}");
    assert!(folded["minutesFolded"].as_u64() > Some(0), "{folded:#}");
    assert_eq!(system.hours(USER).await.total_calls, 37);
}

/// Lines of the access log that were given up, the same ones twice; and a message without lines.
async fn take_lines_again(system: &System) {
    let line = json!({"id": "1", "message": log_line(&event(18))});
    let lines = json!({"messageType": "DATA_MESSAGE", "logGroup": "g", "logStream": "s",
        "logEvents": [line]});
    for _ in 0..2 {
        send_letter(system, QUEUE_OF_LINES, &lines).await;
        let taken = redrive(system);
        assert_eq!(taken["deadLetters"]["deleted"], 1, "{taken:#}");
        system.until(ANN, "/totalCalls", 38).await;
    }
    let none = json!({"awslogs": {"data": "nonsense"}});
    send_letter(system, QUEUE_OF_LINES, &none).await;
    let kept = system.place.run("errors redrive --yes --json");
    assert_eq!(kept.code, Some(1), "{kept:#?}");
    assert!(
        kept.stderr.contains("the reconciler failed again"),
        "{kept:#?}"
    );
    let (queues, url) = queue_of(system, QUEUE_OF_LINES).await;
    let purge = queues.purge_queue().queue_url(url);
    purge.send().await.unwrap();
}

/// A message about records that the stream no longer holds stays, with a warning.
async fn keep_what_is_gone(system: &System) {
    let letter = json!({"version": "1.0", "KinesisBatchInfo": {
        "shardId": "shardId-000000000000", "startSequenceNumber": "1",
        "endSequenceNumber": "2", "batchSize": 2, "streamArn": "arn"}});
    send_letter(system, QUEUE, &letter).await;
    let kept = system.place.run("errors redrive --yes --json");
    assert_eq!(kept.code, Some(1), "{kept:#?}");
    assert!(kept.stderr.contains("a dead letter stays"), "{kept:#?}");
    until_listed(system, 2, Some(1)).await;
}

/// Lines that were set aside: one can be counted by now, one never can, nor can a message without
/// lines.
async fn offer_lines_set_aside(system: &System) {
    let line = |id: &str, message: &str| json!({"id": id, "message": message});
    let lines = json!({"messageType": "DATA_MESSAGE", "logGroup": "/aws/g", "logStream": "s",
        "logEvents": [line("1", "{no line"), line("2", &log_line(&ahead(19, 15)))]});
    let due = Instant::now() + Duration::from_secs(16);
    for body in [lines, json!("no lines")] {
        send_letter(system, QUEUE_OF_LINES, &body).await;
    }
    // The letter that was kept before is still there.
    let refused = system.place.run("errors redrive --yes --json");
    assert_eq!(refused.code, Some(1), "{refused:#?}");
    let listed = until_listed(system, 5, None).await;
    let position = |error: &Value| format!("{} {}", error["shardId"], error["reason"]);
    let errors = listed["errors"].as_array().unwrap();
    for expected in [
        r#""/aws/g/s" "malformed""#,
        r#""/aws/g/s" "fromTheFuture""#,
        r#""reconcile" "malformed""#,
    ] {
        assert!(
            errors.iter().map(position).any(|one| one == expected),
            "{listed:#}"
        );
    }
    tokio::time::sleep(due.saturating_duration_since(Instant::now())).await;
    for (found, appended) in [(5, 1), (4, 0)] {
        let again = system.place.run("errors redrive --yes --json");
        let again: Value = serde_json::from_str(&again.stdout).unwrap();
        let errors = json!({"found": found, "deleted": appended, "kept": 4});
        assert_eq!(again["errors"], errors, "{again:#}");
        assert_eq!(again["appended"], appended, "{again:#}");
        system.until(ANN, "/totalCalls", 39).await;
    }
}

/// In synchronous mode lines are set aside as before, and no processor accepts records.
async fn list_without_the_stream(system: &mut System) {
    system.place.set("ENABLE_KINESIS_ANALYTICS", "false");
    system.outputs = deploy(&system.place);
    send_letter(system, QUEUE_OF_LINES, &json!("no lines either")).await;
    let dry = system.place.run("errors redrive --dry-run");
    assert!(dry.stderr.contains("would submit 4 records"), "{dry:#?}");
    let kept = system.place.run("errors redrive --yes --json");
    assert_eq!(kept.code, Some(1), "{kept:#?}");
    assert!(
        kept.stderr.contains("no processor without the stream"),
        "{kept:#?}"
    );
    let kept: Value = serde_json::from_str(&kept.stdout).unwrap();
    assert_eq!(
        (&kept["errors"], &kept["setAside"], &kept["failed"]),
        (
            &json!({"found": 4, "deleted": 0, "kept": 4}),
            &json!(2),
            &json!(2)
        ),
        "{kept:#}"
    );
    // Two records of the stream, and three lines.
    until_listed(system, 5, Some(0)).await;
}

/// A conflict is counted and listed; an entry that cannot be read is parked, listed, and omitted
/// from `events`; the aggregator does both without the stream. Neither is submitted to a function
/// again.
async fn tell_what_is_counted_but_wrong(system: &System) {
    let one = event(20);
    let mut other = one.clone();
    "/v1/another".clone_into(&mut other.data.endpoint);
    let line = |id: &str, event: &UsageEvent| json!({"id": id, "message": log_line(event)});
    let lines = json!({"messageType": "DATA_MESSAGE", "logGroup": "/aws/g", "logStream": "s",
        "logEvents": [line("3", &one), line("4", &other)]});
    send_letter(system, QUEUE_OF_LINES, &lines).await;
    let listed = system.place.run("errors redrive --yes --json");
    let done: Value = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!(done["deadLetters"]["deleted"], 1, "{done:#}");
    let listed = until_listed(system, 6, Some(0)).await;
    let conflict = error_of(&listed, "conflict");
    assert_eq!(conflict["sequenceNumber"], one.id.to_string(), "{listed:#}");
    let message = conflict["message"].as_str().unwrap();
    assert!(message.contains("/v1/another"), "{message}");
    system.until(ANN, "/totalCalls", 40).await;
    assert_eq!(system.events("--from 1h").len(), 40);

    let (pk, sk) = put_nonsense(system).await;
    let listed = until_listed(system, 7, Some(0)).await;
    let parked = error_of(&listed, "unreadable");
    assert_eq!(parked["sequenceNumber"], format!("{pk}/{sk}"), "{listed:#}");
    let printed = system.place.run("events --from 1h --json");
    assert_eq!(printed.code, Some(1), "{printed:#?}");
    assert!(
        printed.stderr.contains(&format!("`{pk}`/`{sk}`")),
        "{printed:#?}"
    );
    let events: Value = serde_json::from_str(&printed.stdout).unwrap();
    assert_eq!(events["events"].as_array().unwrap().len(), 40);

    let dry = system.place.run("errors redrive --dry-run");
    assert!(dry.stderr.contains("would submit 5 records"), "{dry:#?}");
}

fn error_of<'a>(listed: &'a Value, reason: &str) -> &'a Value {
    let mut errors = listed["errors"].as_array().unwrap().iter();
    errors.find(|error| error["reason"] == reason).unwrap()
}

/// Writes an entry into the journal that no release has written. Returns its key.
async fn put_nonsense(system: &System) -> (String, String) {
    let at = UnixMillis::from(jiff::Timestamp::now());
    let key = ItemKey::new(table::journal(at), table::entry(at, Timing::InTime, "00ff"));
    let tables = aws_sdk_dynamodb::Client::new(&system.sdk().await);
    let put = tables.put_item().table_name(ANALYTICS_TABLE);
    let put = put.item("PK", AttributeValue::S(key.pk.clone()));
    let put = put.item("SK", AttributeValue::S(key.sk.clone()));
    let put = put.item("facts", AttributeValue::B(Blob::new([1, 2])));
    put.send().await.unwrap();
    (key.pk, key.sk)
}

/// Replays everything, twice.
async fn replay_twice(system: &System) {
    let before = counted(system).await;
    for _ in 0..2 {
        let replayed = json_of(&system.place.run("replay --from 1h --yes --json"));
        // 20 calls, 17 events put by hand, 2 records that are not events.
        let expected = json!(
            {"read": 39, "appended": 37, "setAside": 2, "failed": 0});
        assert_eq!(replayed, expected);
    }
    assert_eq!(counted(system).await, before);
    until_shown(system, 38).await;
    until_listed(system, 2, Some(1)).await;
    let none = json_of(&system.place.run("replay --from 1h --to 50m --yes --json"));
    assert_eq!(none["read"], 0, "{none:#}");
}
