//! The scaler and its surroundings, against APIs that answer as AWS does: its reads and requests, and
//! deploys that do not undo its changes.

use std::time::{Duration, Instant};

use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{Dimension, MetricDatum};
use domain::names::kinesis_metric;
use domain::time::UnixMillis;
use scaler::cloudwatch::{CloudWatch, Watch as _};
use scaler::decision::{Bounds, Decision, Load};
use scaler::handler::{Looked, Scaler};
use scaler::kinesis::{Asked, Found, KinesisStream, Scalable as _};
use serde_json::Value;
use tests::cloud::Cloud;
use tests::place::Ended;
use tests::server::Server;

const STREAM: &str = "complical-usage-stream-test";
const MINUTE: i64 = 60_000;
const PATIENCE: Duration = Duration::from_secs(30);

/// The start of the current minute.
fn minute() -> UnixMillis {
    let now = jiff::Timestamp::now().as_millisecond();
    UnixMillis(now - now.rem_euclid(MINUTE))
}

/// Waits until the stream is at rest. Returns the number of its shards.
async fn settled(stream: &KinesisStream) -> u32 {
    let start = Instant::now();
    loop {
        if let Found::Active(shards) = stream.find().await.unwrap() {
            return shards;
        }
        assert!(start.elapsed() < PATIENCE, "shards are still being made");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn put(
    client: &aws_sdk_cloudwatch::Client,
    (namespace, name): (&str, &str),
    (dimension, value): (&str, &str),
    points: impl IntoIterator<Item = (UnixMillis, f64)>,
) {
    let dimension = Dimension::builder().name(dimension).value(value).build();
    let data = points.into_iter().map(|(at, value)| {
        MetricDatum::builder()
            .metric_name(name)
            .dimensions(dimension.clone())
            .timestamp(DateTime::from_millis(at.0))
            .value(value)
            .build()
    });
    let request = client.put_metric_data().namespace(namespace);
    let request = request.set_metric_data(Some(data.collect()));
    request.send().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_reads_the_load_and_changes_the_shards() {
    let aws = Server::ministack().await;
    let metrics = aws_sdk_cloudwatch::Client::new(&aws.sdk().await);
    let now = minute();
    let ago = |minutes: i64| now.plus_millis(-minutes * MINUTE);
    let of_stream = ("StreamName", STREAM);
    for (name, value) in [
        ("IncomingBytes", 1_000.0),
        ("IncomingRecords", 100_000.0),
        ("WriteProvisionedThroughputExceeded", 3.0),
    ] {
        let points = [(ago(3), value), (ago(2), value + 1.0)];
        put(&metrics, ("AWS/Kinesis", name), of_stream, points).await;
    }
    let own = ("CompliCal/Kinesis", kinesis_metric::SHARDS);
    let seen = (2..200).step_by(2).map(|minutes| (ago(minutes), 2.0));
    put(&metrics, own, ("Environment", "test"), seen).await;
    let elsewhere = [(ago(4), 9.0)];
    put(&metrics, own, ("Environment", "prod"), elsewhere).await;
    let watch = CloudWatch {
        client: metrics,
        stream: STREAM.to_owned(),
        namespace: "CompliCal/Kinesis".to_owned(),
        environment: "test".to_owned(),
    };
    let series = watch.day(now).await.unwrap();
    let load = |more: u64| Load {
        bytes: 1_000 + more,
        records: 100_000 + more,
        throttled: 3 + more,
    };
    assert_eq!(series.loads, [(ago(3), load(0)), (ago(2), load(1))].into());
    assert_eq!(series.shards.len(), 99);
    assert!(series.shards.values().all(|shards| *shards == 2));

    // Another server provides the stream: the embedded AWS neither splits nor merges shards.
    let kinesis = Server::kinesis().await;
    let client = aws_sdk_kinesis::Client::new(&kinesis.sdk().await);
    let create = client.create_stream().stream_name(STREAM).shard_count(2);
    create.send().await.unwrap();
    let stream = KinesisStream::new(client, STREAM);
    assert_eq!(settled(&stream).await, 2);
    let scaler = Scaler {
        stream: stream.clone(),
        watch,
        bounds: Bounds { least: 1, most: 8 },
    };
    let looked = scaler.look(now).await.unwrap();
    assert_eq!(looked, Looked::At(2, Decision::Change(4)));
    assert_eq!(settled(&stream).await, 4);
    // More than double is beyond AWS's limits.
    assert!(stream.scale(9).await.is_err());
    let missing = KinesisStream::new(
        aws_sdk_kinesis::Client::new(&kinesis.sdk().await),
        "elsewhere",
    );
    assert!(missing.find().await.is_err());
}

#[track_caller]
fn deploy(cloud: &Cloud) -> Ended {
    let ended = tokio::task::block_in_place(|| cloud.place.run("deploy --env test --yes"));
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    ended
}

/// Changes the stream's section of the environment file.
fn stream_of(cloud: &Cloud, given: &str, instead: &str) {
    let file = cloud.place.dir().join("environments/test.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains(given), "{text}");
    std::fs::write(&file, text.replacen(given, instead, 1)).unwrap();
}

/// The number of shards in the deployed template.
async fn declared(cloud: &Cloud) -> Value {
    let stacks = aws_sdk_cloudformation::Client::new(&cloud.sdk().await);
    let template = stacks.get_template().stack_name("CompliCal-Kinesis-test");
    let template = template.send().await.unwrap().template_body.unwrap();
    let template: Value = serde_json::from_str(&template).unwrap();
    template["Resources"]["UsageStream"]["Properties"]["ShardCount"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deploy_leaves_a_scaled_stream_its_shards_and_takes_new_bounds_over() {
    let cloud = Cloud::start(Server::ministack().await).await;
    let client = aws_sdk_kinesis::Client::new(&cloud.sdk().await);
    let stream = KinesisStream::new(client.clone(), STREAM);
    deploy(&cloud);
    assert_eq!(settled(&stream).await, 2);
    assert_eq!(stream.scale(4).await.unwrap(), Asked::Begun);

    let unchanged = deploy(&cloud);
    assert!(
        unchanged.stderr.contains("nothing changed"),
        "{unchanged:#?}"
    );
    assert_eq!(settled(&stream).await, 4);

    // New bounds move the file's `shards`. The stream keeps its own, and the scaler gets the bounds.
    let given = "shards: 2\n  minShards: 1\n  maxShards: 4";
    stream_of(&cloud, given, "shards: 3\n  minShards: 3\n  maxShards: 6");
    deploy(&cloud);
    assert_eq!(declared(&cloud).await, 2);
    assert_eq!(settled(&stream).await, 4);
    let functions = aws_sdk_lambda::Client::new(&cloud.sdk().await);
    let scaler = functions
        .get_function_configuration()
        .function_name("CompliCal-Kinesis-test-ShardScaler");
    let variables = scaler.send().await.unwrap().environment.unwrap();
    let variables = variables.variables.unwrap();
    assert_eq!(
        (&*variables["LEAST_SHARDS"], &*variables["MOST_SHARDS"]),
        ("3", "6")
    );

    // Without bounds the file decides.
    let given = "shards: 3\n  minShards: 3\n  maxShards: 6";
    stream_of(&cloud, given, "shards: 5");
    deploy(&cloud);
    assert_eq!(declared(&cloud).await, 5);
    let gone = functions
        .get_function_configuration()
        .function_name("CompliCal-Kinesis-test-ShardScaler");
    assert!(gone.send().await.is_err());
}
