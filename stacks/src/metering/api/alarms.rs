//! The alarms on the gateway and on everything that a call waits for.

use domain::names::{AUTHORIZER_SECONDS, Function as Of, TrackingMode, api_metric};

use super::gateway::OwnApi;
use crate::constructs::{
    Comparison, Expression, Function, Metric, Percentile, Period, Queue, Statistic,
};
use crate::metering::context::StackContext;
use crate::metering::pipeline::UsagePipeline;
use crate::metering::watch::{Lasting, Watch, settled, unanswered};

/// The names of this stack's alarms except the reconciler's, as the dashboard shows them.
pub(crate) const ALARMS: [&str; 9] = [
    TRACKING_FAILURES,
    NO_TRACKING_SUCCESS,
    ACCESS_LOG_IDLE,
    GATEWAY_ERRORS,
    UNDECIDED_CALLS,
    AUTHORIZER_THROTTLES,
    AUTHORIZER_DURATION,
    BACKGROUND_THROTTLES,
    CONCURRENCY,
];
pub(crate) const TRACKING_FAILURES: &str = "tracking-failures";
const NO_TRACKING_SUCCESS: &str = "no-tracking-success";
const ACCESS_LOG_IDLE: &str = "access-log-idle";
pub(crate) const GATEWAY_ERRORS: &str = "gateway-errors";
pub(crate) const UNDECIDED_CALLS: &str = "undecided-calls";
pub(crate) const AUTHORIZER_THROTTLES: &str = "authorizer-throttles";
const AUTHORIZER_DURATION: &str = "authorizer-duration";
const BACKGROUND_THROTTLES: &str = "background-throttles";
const CONCURRENCY: &str = "concurrency";

/// Calls of a minute whose events neither the stream nor the table may refuse.
pub(crate) const UNTRACKED_A_MINUTE: f64 = 10.0;
/// Seconds within which a call's line has passed from the access log through the reconciler to the
/// queue: CloudWatch Logs delivers most lines within seconds.
const LINE_SECONDS: u32 = 120;
/// How long a streamed response may take. Its line comes at its end.
const STREAM_SECONDS: u32 = 900;

/// The stage's metrics.
pub(super) struct Stage {
    /// Calls of five minutes, and those with a 5xx response.
    calls: Metric,
    errors: Metric,
    /// The period that the access log's lines may take, and its calls.
    logging: Period,
    logged: Metric,
}

impl Stage {
    pub(super) fn of(context: &StackContext<'_>, api: &OwnApi) -> Self {
        let logging = settled(if context.environment.streams_responses() {
            LINE_SECONDS + STREAM_SECONDS
        } else {
            LINE_SECONDS
        });
        Self {
            calls: api.calls(Period::FIVE_MINUTES),
            errors: api.server_errors(Period::FIVE_MINUTES),
            logged: api.calls(logging),
            logging,
        }
    }

    /// Calls with a 5xx response in percent of all; 0 for a single one, which proves nothing.
    fn share(&self) -> Expression {
        const ERRORS_TO_JUDGE: f64 = 2.0;
        let errors = Expression::from(self.errors.clone());
        errors
            .clone()
            .at_least(ERRORS_TO_JUDGE)
            .choose(errors * 100.0 / self.calls.clone(), 0.0)
    }
}

/// All alarms.
pub(super) fn of(
    context: &StackContext<'_>,
    authorizer: &Function,
    stage: &Stage,
) -> Vec<Watch<'static>> {
    let mut alarms = Vec::from(of_authorizer(context, authorizer));
    alarms.push(idle_log(context, stage));
    alarms.extend(answers(context, authorizer, stage));
    alarms.extend(capacity(context));
    alarms
}

/// The alarms on the authorizer that hold for every API.
pub(crate) fn of_authorizer(context: &UsagePipeline, authorizer: &Function) -> [Watch<'static>; 3] {
    let sum = |name, period| context.api_metric(name, Statistic::Sum, period);
    let period = settled(AUTHORIZER_SECONDS);
    let calls = authorizer.metric("Invocations", Statistic::Sum, period);
    let tracked = sum(api_metric::USAGE_TRACKING_SUCCESS, period);
    [
        Watch {
            id: "TrackingFailures",
            noun: TRACKING_FAILURES,
            means: "Neither the stream nor the table accepted the events of more than ten calls in \
                    a minute. The reconciler recovers them from the access log within minutes, so \
                    counts are late, not lost. Check `cargo xtask logs authorizer`.",
            watched: sum(api_metric::USAGE_TRACKING_FAILURE, Period::MINUTE).into(),
            breaches: Comparison::Above(UNTRACKED_A_MINUTE),
            lasting: Lasting::ONCE,
        },
        Watch {
            id: "NoTrackingSuccess",
            noun: NO_TRACKING_SUCCESS,
            means: "The authorizer answers calls but reports none of them. The reconciler recovers \
                    them from the access log, so counts are late, not lost. Check `cargo xtask \
                    logs authorizer`.",
            watched: unanswered(calls, tracked).into(),
            breaches: Comparison::Above(0.0),
            lasting: Lasting::TWICE,
        },
        Watch {
            id: "AuthorizerThrottles",
            noun: AUTHORIZER_THROTTLES,
            means: "Lambda refuses to run the authorizer: its reserved concurrency or the \
                    account's is used up. These calls get 500 and do not count. Raise \
                    `concurrency.authorizer`, or ask AWS for concurrent executions: one serves ten \
                    calls a second.",
            watched: authorizer
                .metric("Throttles", Statistic::Sum, Period::MINUTE)
                .into(),
            breaches: Comparison::Above(0.0),
            lasting: Lasting::ONCE,
        },
    ]
}

/// The reconciler forwards each line of the access log to its queue, whoever called what.
fn idle_log(context: &StackContext<'_>, stage: &Stage) -> Watch<'static> {
    let queue = context.names.reconcile_queue();
    let forwarded = Queue::sent_to(&queue, stage.logging);
    Watch {
        id: "AccessLogIdle",
        noun: ACCESS_LOG_IDLE,
        means: "Calls arrive but no line of the access log reaches the reconciler's queue: the \
                gateway writes no log, or the log's subscription is gone. Calls that the stream or \
                the table took count, but without status and latency. An event that neither took \
                is not recovered until this is fixed. Check `cargo xtask logs reconciler`, and \
                deploy the API stack again.",
        watched: unanswered(stage.logged.clone(), forwarded).into(),
        breaches: Comparison::Above(0.0),
        lasting: Lasting::TWICE,
    }
}

fn answers(
    context: &StackContext<'_>,
    authorizer: &Function,
    stage: &Stage,
) -> [Watch<'static>; 3] {
    let minute = Period::MINUTE;
    let p99 = Statistic::Percentile(Percentile::P99);
    [
        Watch {
            id: "GatewayErrors",
            noun: GATEWAY_ERRORS,
            means: "More than one call in a hundred gets a 5xx, from the API behind the gateway or \
                    because the authorizer fails. Accepted calls count, others do not. \
                    `user-stats` shows the statuses. Check `cargo xtask logs authorizer` and the \
                    API behind the gateway.",
            watched: stage.share().into(),
            breaches: Comparison::Above(1.0),
            lasting: Lasting::TWICE,
        },
        Watch {
            id: "UndecidedCalls",
            noun: UNDECIDED_CALLS,
            means: "The key table does not answer, so the authorizer cannot decide whether keys \
                    are valid. These calls get 500 and do not count. Cached keys still pass. Check \
                    `cargo xtask logs authorizer` and `keys-table-throttles`.",
            watched: context
                .api_metric(api_metric::UNDECIDED_CALLS, Statistic::Sum, minute)
                .into(),
            breaches: Comparison::Above(0.0),
            lasting: Lasting::ONCE,
        },
        Watch {
            id: "AuthorizerDuration",
            noun: AUTHORIZER_DURATION,
            means: "One call in a hundred waits more than a second for the authorizer. Callers \
                    wait; counts are not affected. Check `keys-table-throttles` and `cargo xtask \
                    logs authorizer`.",
            watched: authorizer.metric("Duration", p99, minute).into(),
            breaches: Comparison::Above(1_000.0),
            lasting: Lasting::MOSTLY,
        },
    ]
}

fn capacity(context: &StackContext<'_>) -> [Watch<'static>; 2] {
    [
        Watch {
            id: "BackgroundThrottles",
            noun: BACKGROUND_THROTTLES,
            means: "Lambda refuses to run functions that count, notify or serve the analytics API, \
                    `/v1/keys` and `/v1/usage/events`. Counting and alerts are redelivered, so they \
                    are late, not lost; the APIs answer 500. Ask AWS for concurrent executions, or raise `concurrency`.",
            watched: throttled(context).into(),
            breaches: Comparison::Above(0.0),
            lasting: Lasting::MOSTLY,
        },
        Watch {
            id: "Concurrency",
            noun: CONCURRENCY,
            means: "The account uses more than 80 % of its concurrent executions in this region. \
                    Once they are used up, calls get 500 and do not count. Ask AWS for more, or \
                    reserve some for the authorizer: `concurrency.authorizer`.",
            watched: concurrency().into(),
            breaches: Comparison::Above(80.0),
            lasting: Lasting::MOSTLY,
        },
    ]
}

/// Throttles of every function except the authorizer.
fn throttled(context: &StackContext<'_>) -> Expression {
    let streaming = context.environment.mode() == TrackingMode::Stream;
    let scaled = context.environment.stream.capacity.scaled().is_some();
    let metered = !context.environment.meters.is_empty();
    let mut functions = vec![
        Of::Aggregator,
        Of::Reconciler,
        Of::Notifier,
        Of::Analytics,
        Of::Keys,
    ];
    functions.extend(streaming.then_some(Of::Processor));
    functions.extend((streaming && scaled).then_some(Of::Scaler));
    functions.extend(metered.then_some(Of::Collector));
    let throttles = functions.into_iter().map(|of| {
        let name = context.names.function(of);
        let metric = Function::metric_of(&name, "Throttles", Statistic::Sum, Period::MINUTE);
        Expression::from(metric).filled(0.0)
    });
    throttles
        .reduce(|sum, throttles| sum + throttles)
        .unwrap_or(Expression::Number(0.0))
}

/// Concurrent executions of the account in the region, in percent of its quota.
fn concurrency() -> Expression {
    let used = Metric::new(
        "AWS/Usage",
        "ConcurrentExecutions",
        Statistic::Maximum,
        Period::MINUTE,
    );
    let used = [
        ("Service", "Lambda"),
        ("Resource", "ConcurrentExecutions"),
        ("Type", "Resource"),
        ("Class", "None"),
    ]
    .into_iter()
    .fold(used, |metric, (name, value)| metric.dimension(name, value));
    let used = Expression::from(used);
    used.clone() * 100.0 / used.service_quota()
}
