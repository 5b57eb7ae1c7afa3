//! The alarms on the tables, and on the aggregator that folds the journal.

use domain::names::{FOLD_SECONDS, kinesis_metric as metric};

use crate::constructs::{
    Comparison, Expression, Function, Metric, Period, Queue, Statistic, Table,
};
use crate::metering::pipeline::UsagePipeline;
use crate::metering::watch::{Lasting, Watch, recurring, unanswered};

/// The names of this stack's alarms, as the dashboard shows them.
pub(crate) const ALARMS: [&str; 12] = [
    KEYS_TABLE_THROTTLES,
    USAGE_TABLE_THROTTLES,
    ANALYTICS_TABLE_THROTTLES,
    ITEMS_PARKED,
    RECORDS_FAILED,
    RECONCILED_CALLS,
    FOLD_AGE,
    AGGREGATOR_FAILURES,
    AGGREGATOR_DEAD_LETTERS,
    AGGREGATOR_IDLE,
    AGGREGATOR_TICK,
    AGGREGATOR_DURATION,
];
const KEYS_TABLE_THROTTLES: &str = "keys-table-throttles";
const USAGE_TABLE_THROTTLES: &str = "usage-table-throttles";
const ANALYTICS_TABLE_THROTTLES: &str = "analytics-table-throttles";
const ITEMS_PARKED: &str = "items-parked";
const RECORDS_FAILED: &str = "records-failed";
const RECONCILED_CALLS: &str = "reconciled-calls";
const FOLD_AGE: &str = "fold-age";
const AGGREGATOR_FAILURES: &str = "aggregator-failures";
const AGGREGATOR_DEAD_LETTERS: &str = "aggregator-dead-letters";
const AGGREGATOR_IDLE: &str = "aggregator-idle";
const AGGREGATOR_TICK: &str = "aggregator-tick";
const AGGREGATOR_DURATION: &str = "aggregator-duration";

/// Seconds between two ticks.
const TICK: u32 = 60;

/// All alarms.
pub(super) fn of(
    context: &UsagePipeline,
    [keys, usage, analytics]: [&Table; 3],
    aggregator: &Function,
    dead_letters: &Queue,
) -> Vec<Watch<'static>> {
    let mut alarms = Vec::from(throttles([keys, usage, analytics]));
    alarms.extend(uncounted(context));
    alarms.extend(failures(context, aggregator, dead_letters));
    alarms.extend(silences(context, aggregator, analytics));
    alarms
}

fn throttles([keys, usage, analytics]: [&Table; 3]) -> [Watch<'static>; 3] {
    let watch = |id, noun, means, table: &Table| Watch {
        id,
        noun,
        means,
        watched: UsagePipeline::throttles(table.name()).into(),
        breaches: Comparison::Above(0.0),
        lasting: Lasting::MOSTLY,
    };
    [
        watch(
            "KeysTableThrottles",
            KEYS_TABLE_THROTTLES,
            "DynamoDB throttles the key table. Calls whose key is not in an authorizer's cache get \
             500 and do not count. If it persists, raise the table's warm throughput.",
            keys,
        ),
        watch(
            "UsageTableThrottles",
            USAGE_TABLE_THROTTLES,
            "DynamoDB throttles the usage table. Counts are late, not lost. If it persists, look \
             for a hot partition in the table's Contributor Insights, or raise the table's warm \
             throughput.",
            usage,
        ),
        watch(
            "AnalyticsTableThrottles",
            ANALYTICS_TABLE_THROTTLES,
            "DynamoDB throttles the analytics table, which holds the journal. Writers spread entries \
             over further keys and retry, so counts are late, not lost. If it persists, raise the \
             table's warm throughput.",
            analytics,
        ),
    ]
}

fn uncounted(context: &UsagePipeline) -> [Watch<'static>; 3] {
    let sum = |name| context.kinesis_metric(name, Statistic::Sum, Period::MINUTE);
    [
        Watch {
            id: "ItemsParked",
            noun: ITEMS_PARKED,
            means: "The aggregator cannot read an item, or an item outgrew its table. The counts \
                    that depend on it do not change; all others go on. `cargo xtask errors list` \
                    shows the item. Deploy a release that reads it, and the next tick counts it.",
            watched: sum(metric::ITEMS_PARKED).into(),
            breaches: Comparison::Above(0.0),
            lasting: Lasting::ONCE,
        },
        Watch {
            id: "RecordsFailed",
            noun: RECORDS_FAILED,
            means: "Records or log lines could not be processed and are not counted. They are kept \
                    under `PK = ERRORS` with the reason. Run `cargo xtask errors list`, fix the \
                    cause, then run `cargo xtask errors redrive`.",
            watched: sum(metric::RECORDS_FAILED).into(),
            breaches: Comparison::Above(0.0),
            lasting: Lasting::ONCE,
        },
        Watch {
            id: "ReconciledCalls",
            noun: RECONCILED_CALLS,
            means: "More than one call in a hundred is counted from the access log alone: neither \
                    the stream nor the table got the authorizer's event. Counts are correct but \
                    late. A call whose log line is also lost does not count. Check \
                    `tracking-failures`, and `cargo xtask logs authorizer` for timeouts.",
            watched: reconciled(context).into(),
            breaches: Comparison::Above(1.0),
            lasting: Lasting::ONCE,
        },
    ]
}

/// Calls that only the access log reported, in percent of all; 0 if there are too few to judge.
fn reconciled(context: &UsagePipeline) -> Expression {
    const CALLS_TO_JUDGE: f64 = 10.0;
    let sum = |name| context.kinesis_metric(name, Statistic::Sum, Period::FIVE_MINUTES);
    let reconciled = Expression::from(sum(metric::RECONCILED_CALLS)).filled(0.0);
    let all = Expression::from(sum(metric::TOTAL_API_CALLS)).filled(0.0);
    // Reconciled calls were made a window ago: there may be fewer calls now.
    let share = reconciled.clone() * 100.0 / (all + reconciled.clone());
    reconciled.at_least(CALLS_TO_JUDGE).choose(share, 0.0)
}

fn failures(
    context: &UsagePipeline,
    aggregator: &Function,
    dead_letters: &Queue,
) -> [Watch<'static>; 4] {
    let minute = Period::MINUTE;
    let window = context.settings.aggregator.window_seconds.get();
    let most = |name| aggregator.metric(name, Statistic::Maximum, minute);
    [
        Watch {
            id: "FoldAge",
            noun: FOLD_AGE,
            means: "The aggregator is more than five minutes behind the journal. The usage table, \
                    metrics and alerts are late; no call is lost. Check `cargo xtask logs \
                    aggregator` for errors and timeouts.",
            watched: most("IteratorAge").into(),
            breaches: Comparison::Above(f64::from(300 + window) * 1_000.0),
            lasting: Lasting::MOSTLY,
        },
        Watch {
            id: "AggregatorFailures",
            noun: AGGREGATOR_FAILURES,
            means: "The aggregator fails. Lambda retries its batches for 23 hours, and its tick \
                    recurs each minute. Until it succeeds, counts are late and days stay open; no \
                    call is lost. Check `cargo xtask logs aggregator`.",
            watched: aggregator.metric("Errors", Statistic::Sum, minute).into(),
            breaches: Comparison::Above(0.0),
            lasting: Lasting::ONCE,
        },
        Watch {
            id: "AggregatorDeadLetters",
            noun: AGGREGATOR_DEAD_LETTERS,
            means: "Lambda gave up on changes of the journal after 23 hours of retries. Their \
                    calls are in the journal and count when their day is closed. Check `cargo \
                    xtask logs aggregator`. To fold them now, run `cargo xtask errors redrive`.",
            watched: dead_letters.depth(minute).into(),
            breaches: Comparison::Above(0.0),
            lasting: Lasting::ONCE,
        },
        Watch {
            id: "AggregatorDuration",
            noun: AGGREGATOR_DURATION,
            means: "Folds take more than four of their five minutes. Lambda redelivers the records \
                    that an invocation does not finish, so counts are late, not lost. Look for a \
                    user or an hour of unusual size in `cargo xtask logs aggregator`, or give the \
                    aggregator more memory.",
            watched: most("Duration").into(),
            breaches: Comparison::Above(f64::from(FOLD_SECONDS) * 800.0),
            lasting: Lasting::MOSTLY,
        },
    ]
}

/// The alarms on events that fail to happen. `IteratorAge` is reported only by invocations of the
/// table's stream, so the tick, which arrives each minute in any case, hides nothing. Each tick
/// changes the journal by its beacon: a working stream triggers the aggregator even without calls.
fn silences(
    context: &UsagePipeline,
    aggregator: &Function,
    analytics: &Table,
) -> [Watch<'static>; 2] {
    let window = context.settings.aggregator.window_seconds.get();
    let period = recurring(TICK + window);
    let written = Metric::new(
        "AWS/DynamoDB",
        "ConsumedWriteCapacityUnits",
        Statistic::Sum,
        period,
    )
    .dimension("TableName", analytics.name());
    let folds = aggregator.metric("IteratorAge", Statistic::SampleCount, period);
    let invocations = aggregator.metric("Invocations", Statistic::Sum, period);
    let ticks =
        Expression::from(invocations).filled(0.0) - Expression::from(folds.clone()).filled(0.0);
    [
        Watch {
            id: "AggregatorIdle",
            noun: AGGREGATOR_IDLE,
            means: "The journal changes but nothing wakes the aggregator: its mapping to the \
                    table's stream is disabled, deleted or broken. The usage table, metrics and \
                    alerts do not change; no call is lost. Enable the mapping \
                    `RealtimeAggregatorSource`, or deploy the data stack again.",
            watched: unanswered(written, folds.clone()).into(),
            breaches: Comparison::Above(0.0),
            lasting: Lasting::TWICE,
        },
        Watch {
            id: "AggregatorTickMissing",
            noun: AGGREGATOR_TICK,
            means: "The aggregator folds but its tick does not arrive: days are not closed, and \
                    parked items are not retried. Counts within the day are correct; no call is \
                    lost. Enable the rule `aggregator-tick`, or deploy the data stack again.",
            watched: unanswered(folds, ticks).into(),
            breaches: Comparison::Above(0.0),
            lasting: Lasting::TWICE,
        },
    ]
}
