//! The order of response, work and the extension's next event, against an Extensions API.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use lambda_runtime::tower::{ServiceExt as _, service_fn};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{sleep, timeout};

use super::*;

type Recorder = UnboundedSender<&'static str>;

/// What happened, in order.
struct Record(UnboundedReceiver<&'static str>);

impl Record {
    fn new() -> (Recorder, Self) {
        let (recorder, record) = unbounded_channel();
        (recorder, Self(record))
    }

    async fn expect(&mut self, expected: &[&str]) {
        for expected in expected {
            let happened = timeout(Duration::from_secs(5), self.0.recv()).await;
            assert_eq!(happened.ok().flatten(), Some(*expected));
        }
    }

    fn expect_nothing_yet(&mut self) {
        assert_eq!(self.0.try_recv().ok(), None);
    }
}

/// An Extensions API that records each request for the next event, and responds when the test says
/// so.
struct Api {
    variables: Variables,
    invoke: UnboundedSender<Value>,
}

struct ApiState {
    recorder: Recorder,
    events: Mutex<UnboundedReceiver<Value>>,
}

impl Api {
    async fn start(recorder: Recorder) -> Self {
        let (invoke, events) = unbounded_channel();
        let state = Arc::new(ApiState {
            recorder,
            events: Mutex::new(events),
        });
        let router = Router::new()
            .route(
                "/2020-01-01/extension/register",
                post(|body: String| async move {
                    assert_eq!(body, r#"{"events":["INVOKE"]}"#);
                    ([("Lambda-Extension-Identifier", "ext-1")], "{}")
                }),
            )
            .route("/2020-01-01/extension/event/next", get(Self::next))
            .with_state(state);
        Self {
            variables: serve(router).await,
            invoke,
        }
    }

    async fn next(State(api): State<Arc<ApiState>>) -> Result<Json<Value>, StatusCode> {
        api.recorder.send("next").unwrap();
        let event = api.events.lock().await.recv().await;
        event.map(Json).ok_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn invoke(&self, request_id: &str, lasting: Duration) {
        let event = json!({
            "eventType": "INVOKE",
            "requestId": request_id,
            "deadlineMs": millis_ahead(lasting),
            "invokedFunctionArn": "arn:aws:lambda:ap-south-1:000000000000:function:f",
            "tracing": {"type": "X-Amzn-Trace-Id", "value": "Root=1"},
        });
        self.invoke.send(event).unwrap();
    }
}

async fn serve(router: Router) -> Variables {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    [(RUNTIME_API_VARIABLE, address)].into_iter().collect()
}

fn millis_ahead(lasting: Duration) -> i64 {
    clock::now().0 + i64::try_from(lasting.as_millis()).unwrap()
}

fn invocation(request_id: &str, lasting: Duration) -> LambdaInvocation {
    let mut context = Context::default();
    request_id.clone_into(&mut context.request_id);
    context.deadline = millis_ahead(lasting).try_into().unwrap();
    LambdaInvocation {
        parts: http::Response::new(()).into_parts().0,
        body: b"{}".as_slice().into(),
        context,
    }
}

const MINUTE: Duration = Duration::from_mins(1);

/// How the handling of an invocation ends.
#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    Answer,
    Error,
    Panic,
}

/// Handles one invocation as the runtime would: the handler defers work, then the response is
/// posted.
async fn handle(
    layer: AfterAnswer,
    deferral: Deferral,
    recorder: Recorder,
    invocation: LambdaInvocation,
    end: End,
) -> Result<(), Error> {
    let inner = service_fn(move |invocation: LambdaInvocation| {
        let (deferral, recorder) = (deferral.clone(), recorder.clone());
        async move {
            let work = {
                let recorder = recorder.clone();
                async move {
                    sleep(Duration::from_millis(30)).await;
                    recorder.send("work").unwrap();
                }
            };
            deferral.defer(&invocation.context, work).await;
            recorder.send("answer").unwrap();
            match end {
                End::Answer => Ok(()),
                End::Error => Err("not to be posted".into()),
                End::Panic => panic!("on purpose"),
            }
        }
    });
    let call = layer.layer(inner).oneshot(invocation);
    tokio::task::LocalSet::new()
        .run_until(async move { tokio::task::spawn_local(call).await })
        .await?
}

#[tokio::test]
async fn the_next_event_is_asked_for_only_when_the_work_is_done_however_the_handler_ends() {
    for end in [End::Answer, End::Error, End::Panic] {
        let (recorder, mut record) = Record::new();
        let api = Api::start(recorder.clone()).await;
        let function = PostResponse::register(&api.variables, "test").await;
        let deferral = function.deferral();
        let invocation = invocation("r1", MINUTE);
        let function = function.alongside(async |layer| {
            api.invoke("r1", MINUTE);
            let handled = handle(layer, deferral, recorder, invocation, end).await;
            assert_eq!(handled.is_ok(), end == End::Answer);
            std::future::pending().await
        });
        let expected = async {
            // The request for the first event races with its handling.
            let mut first = [record.0.recv().await, record.0.recv().await];
            first.sort_unstable();
            assert_eq!(first, [Some("answer"), Some("next")], "{end:?}");
            record.expect(&["work", "next"]).await;
        };
        tokio::select! {
            _ = function => panic!("the function ended"),
            () = expected => {}
        }
    }
}

#[tokio::test]
async fn an_invocation_without_work_is_over_with_its_answer() {
    let (recorder, mut record) = Record::new();
    let api = Api::start(recorder.clone()).await;
    let function = PostResponse::register(&api.variables, "test").await;
    let function = function.alongside(async |layer| {
        record.expect(&["next"]).await;
        api.invoke("r1", MINUTE);
        sleep(Duration::from_millis(30)).await;
        record.expect_nothing_yet();
        let inner = service_fn(async |_: LambdaInvocation| Ok(()));
        let call = layer.layer(inner).oneshot(invocation("r1", MINUTE));
        call.await.unwrap();
        record.expect(&["next"]).await;
        Ok(())
    });
    function.await.unwrap();
}

#[tokio::test]
async fn an_invocation_is_over_at_its_deadline_whether_or_not_it_was_answered() {
    let (recorder, mut record) = Record::new();
    let api = Api::start(recorder.clone()).await;
    let function = PostResponse::register(&api.variables, "test").await;
    let deferral = function.deferral();
    let function = function.alongside(async |layer| {
        record.expect(&["next"]).await;
        api.invoke("r1", Duration::from_millis(50));
        // No response yet.
        record.expect(&["next"]).await;
        let short = Duration::from_millis(50);
        let inner = service_fn(move |invocation: LambdaInvocation| {
            let deferral = deferral.clone();
            async move {
                let endless = std::future::pending();
                deferral.defer(&invocation.context, endless).await;
                Ok(())
            }
        });
        api.invoke("r2", MINUTE);
        let call = layer.layer(inner).oneshot(invocation("r2", short));
        call.await.unwrap();
        // The response is posted, with work that does not end.
        record.expect(&["next"]).await;
        Ok(())
    });
    function.await.unwrap();
}

#[tokio::test]
async fn without_an_extensions_api_the_work_is_done_before_the_answer() {
    let refusing = serve(Router::new()).await;
    let closed = [(RUNTIME_API_VARIABLE, "127.0.0.1:1")]
        .into_iter()
        .collect();
    let unnamed = Variables::from_iter([] as [(&str, &str); 0]);
    for variables in [refusing, closed, unnamed] {
        let (recorder, mut record) = Record::new();
        let function = PostResponse::register(&variables, "test").await;
        let deferral = function.deferral();
        let function = function.alongside(async |layer| {
            let invocation = invocation("r1", MINUTE);
            handle(layer, deferral, recorder, invocation, End::Answer).await
        });
        function.await.unwrap();
        record.expect(&["work", "answer"]).await;
    }
}

#[tokio::test]
async fn work_that_was_deferred_is_done_when_the_runtime_ends_in_the_middle() {
    let (recorder, mut record) = Record::new();
    let api = Api::start(recorder.clone()).await;
    let function = PostResponse::register(&api.variables, "test").await;
    let deferral = function.deferral();
    let function = function.alongside(async |layer| {
        let inner = service_fn(move |invocation: LambdaInvocation| {
            let (deferral, recorder) = (deferral.clone(), recorder.clone());
            async move {
                let work = async move { recorder.send("work").unwrap() };
                deferral.defer(&invocation.context, work).await;
                // The response is being posted.
                std::future::pending().await
            }
        });
        let call = layer.layer(inner).oneshot(invocation("r1", MINUTE));
        let posting = timeout(Duration::from_millis(20), call).await;
        assert!(posting.is_err());
        Err("the runtime failed".into())
    });
    assert_eq!(
        function.await.unwrap_err().to_string(),
        "the runtime failed"
    );
    let happened = [record.0.try_recv().unwrap(), record.0.try_recv().unwrap()];
    assert!(happened.contains(&"work"), "{happened:?}");
}

#[tokio::test]
async fn a_function_whose_extension_is_refused_an_event_ends_so_that_lambda_replaces_it() {
    let (recorder, _record) = Record::new();
    let api = Api::start(recorder).await;
    let function = PostResponse::register(&api.variables, "test").await;
    drop(api.invoke);
    let ended = function.alongside(|_| std::future::pending()).await;
    assert_eq!(
        ended.unwrap_err().to_string(),
        "`/2020-01-01/extension/event/next` of the Extensions API returned status 500 Internal Server Error"
    );
}

#[tokio::test(start_paused = true)]
async fn a_deadline_leaves_its_margin_and_is_none_where_it_is_past() {
    let left = |deadline: i64| {
        let mut context = Context::default();
        context.deadline = deadline.try_into().unwrap();
        let margin = Duration::from_secs(1);
        super::deadline(&context, margin) - Instant::now()
    };
    let minute_ahead = left(millis_ahead(MINUTE));
    assert!(minute_ahead <= Duration::from_secs(59), "{minute_ahead:?}");
    assert!(minute_ahead > Duration::from_secs(50), "{minute_ahead:?}");
    assert_eq!(left(600_000), Duration::from_secs(9));
}
