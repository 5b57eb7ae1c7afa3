//! Which attempts are repeated and for how long, and what Kinesis's responses mean.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use aws_config::{BehaviorVersion, Region};
use aws_sdk_kinesis::config::Credentials;
use axum::Router;
use axum::http::StatusCode;
use base64::Engine as _;
use domain::event::{EventData, EventType, Subject};
use domain::id::EventId;
use domain::names::TrackingMode;
use domain::time::UnixMillis;
use tokio::time::Instant;

use super::*;

fn event() -> UsageEvent {
    UsageEvent {
        id: EventId::mint(1_795_363_445_000, [7; 10]),
        source: "/complical/test/api".to_owned(),
        event_type: EventType::ApiCall,
        time: UnixMillis(1_795_363_445_000),
        subject: Subject::user("ann@example.com"),
        data: EventData {
            key_id: None,
            plan: None,
            method: "GET".to_owned(),
            endpoint: "/v1/deadlines".to_owned(),
            units: 1,
            dimensions: Vec::new(),
            ip: "192.0.2.1".to_owned(),
            user_agent: None,
            request_id: None,
            stage: None,
            mode: TrackingMode::Stream,
            reason: None,
        },
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Answer {
    Accepted,
    Missing,
    Refused,
    Throttled,
    Unavailable,
    Never,
}

/// A stream that returns the scripted responses, then accepts everything.
struct Scripted(Mutex<VecDeque<Answer>>);

impl Scripted {
    fn new(answers: &[Answer]) -> Self {
        Self(Mutex::new(answers.iter().copied().collect()))
    }

    fn unused(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

impl EventStream for Scripted {
    fn name(&self) -> &'static str {
        "usage"
    }

    async fn put(&self, _: &UsageEvent, _: &str) -> Result<(), PutError> {
        let stream = self.name().to_owned();
        let answer = self.0.lock().unwrap().pop_front();
        match answer.unwrap_or(Answer::Accepted) {
            Answer::Accepted => Ok(()),
            Answer::Missing => Err(PutError::StreamMissing { stream }),
            Answer::Refused => Err(PutError::Refused {
                stream,
                source: "no".into(),
            }),
            Answer::Throttled => Err(PutError::Throttled {
                stream,
                source: "slower".into(),
            }),
            Answer::Unavailable => Err(PutError::Unavailable {
                stream,
                source: "reset".into(),
            }),
            Answer::Never => std::future::pending().await,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_passing_failure_is_retried_and_a_lasting_one_is_not() {
    use Answer::{Missing, Refused, Throttled, Unavailable};
    for (answers, accepted, unused) in [
        (&[][..], true, 0),
        (&[Unavailable], true, 0),
        (&[Throttled, Unavailable], true, 0),
        (&[Throttled, Throttled, Throttled], false, 0),
        (
            &[Unavailable, Unavailable, Unavailable, Unavailable],
            false,
            1,
        ),
        (&[Missing, Unavailable], false, 1),
        (&[Refused, Unavailable], false, 1),
    ] {
        let stream = Scripted::new(answers);
        let put = put_with_retries(&stream, &event(), "ann@example.com", Retries::BRIEF).await;
        assert_eq!(put.is_ok(), accepted, "{answers:?}");
        assert_eq!(stream.unused(), unused, "{answers:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_may_have_succeeded_is_reported_even_if_the_stream_is_gone_by_the_next() {
    let stream = Scripted::new(&[Answer::Unavailable, Answer::Missing]);
    let put = put_with_retries(&stream, &event(), "ann@example.com", Retries::BRIEF).await;
    assert!(matches!(put, Err(PutError::Unavailable { .. })), "{put:?}");
    let stream = Scripted::new(&[Answer::Throttled, Answer::Missing]);
    let put = put_with_retries(&stream, &event(), "ann@example.com", Retries::BRIEF).await;
    assert!(
        matches!(put, Err(PutError::StreamMissing { .. })),
        "{put:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_never_answers_is_given_up_in_time() {
    let began = Instant::now();
    let stream = Scripted::new(&[Answer::Unavailable, Answer::Never]);
    let put = put_with_retries(&stream, &event(), "ann@example.com", Retries::BRIEF).await;
    assert!(matches!(put, Err(PutError::Unavailable { .. })));
    assert_eq!(began.elapsed(), Retries::BRIEF.within);
}

/// A Kinesis that sends one response to every request, and the requests that it received.
async fn kinesis(
    status: StatusCode,
    body: &'static str,
) -> (KinesisStream, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let record = Arc::clone(&asked);
    let router = Router::new().fallback(move |request: String| {
        record.lock().unwrap().push(request);
        async move {
            let kind = [("content-type", "application/x-amz-json-1.1")];
            (status, kind, body)
        }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (stream_at(&endpoint), asked)
}

fn stream_at(endpoint: &str) -> KinesisStream {
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("ap-south-1"))
        .endpoint_url(endpoint)
        .credentials_provider(aws_sdk_kinesis::config::SharedCredentialsProvider::new(
            Credentials::for_tests(),
        ))
        .build();
    KinesisStream::new(&config, "usage")
}

#[tokio::test]
async fn an_event_is_put_whole_under_its_partition_key() {
    let accepted = r#"{"ShardId": "shardId-000000000000", "SequenceNumber": "1"}"#;
    let (stream, asked) = kinesis(StatusCode::OK, accepted).await;
    stream.put(&event(), "ann@example.com#3").await.unwrap();
    let asked = asked.lock().unwrap();
    let request: serde_json::Value = serde_json::from_str(&asked[0]).unwrap();
    assert_eq!(request["StreamName"], "usage");
    assert_eq!(request["PartitionKey"], "ann@example.com#3");
    let data = base64::engine::general_purpose::STANDARD
        .decode(request["Data"].as_str().unwrap())
        .unwrap();
    assert_eq!(UsageEvent::decode(&data), Ok(event()));
}

#[tokio::test]
async fn an_answer_means_what_the_api_says_and_the_sdk_repeats_no_request() {
    for (status, body, expected) in [
        (
            400,
            r#"{"__type": "ResourceNotFoundException"}"#,
            Answer::Missing,
        ),
        (
            400,
            r#"{"__type": "ProvisionedThroughputExceededException"}"#,
            Answer::Throttled,
        ),
        (
            400,
            r#"{"__type": "KMSThrottlingException"}"#,
            Answer::Throttled,
        ),
        (
            400,
            r#"{"__type": "AccessDeniedException"}"#,
            Answer::Refused,
        ),
        (
            400,
            r#"{"__type": "InvalidArgumentException"}"#,
            Answer::Refused,
        ),
        (
            500,
            r#"{"__type": "InternalFailureException"}"#,
            Answer::Unavailable,
        ),
        (503, "", Answer::Unavailable),
    ] {
        let (stream, asked) = kinesis(StatusCode::from_u16(status).unwrap(), body).await;
        assert_eq!(
            meaning(&stream.put(&event(), "ann@example.com").await),
            expected,
            "{body}"
        );
        assert_eq!(asked.lock().unwrap().len(), 1, "{body}");
    }
    let nowhere = stream_at("http://127.0.0.1:1");
    let unreachable = nowhere.put(&event(), "ann@example.com").await;
    assert_eq!(meaning(&unreachable), Answer::Unavailable);
}

fn meaning(put: &Result<(), PutError>) -> Answer {
    match put {
        Ok(()) => Answer::Accepted,
        Err(PutError::StreamMissing { .. }) => Answer::Missing,
        Err(PutError::Refused { .. }) => Answer::Refused,
        Err(PutError::Throttled { .. }) => Answer::Throttled,
        Err(PutError::Unavailable { .. }) => Answer::Unavailable,
    }
}
