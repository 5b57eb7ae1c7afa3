//! The second track, a part of `CompliCal-API-{env}`: the access log's lines go to the reconciler,
//! which forwards them to a queue, and from the queue back to the reconciler, which appends them to
//! the journal.
//!
//! Each message is delayed until the end of its window, so that the lines of many log streams share
//! few batches. The track belongs to the API and not to the stream, and is the same in both modes.

use std::collections::BTreeMap;

use domain::names::{Function as Of, env};

use crate::SynthError;
use crate::cfn::{Handle, Val, logs};
use crate::constructs::{
    Comparison, Delivery, Function, Period, Queue, QueueKind, QueueSettings, Stack, Statistic,
    Subscription, Topic,
};
use crate::metering::pipeline::{Size, UsagePipeline, dead_letters};
use crate::metering::watch::{Lasting, Watch, unread};

/// The names of its alarms, as the dashboard shows them.
pub(crate) const ALARMS: [&str; 4] = [DEAD_LETTERS, FAILURES, QUEUE_IDLE, QUEUE_AGE];
const DEAD_LETTERS: &str = "reconcile-dead-letters";
const FAILURES: &str = "reconciler-failures";
const QUEUE_IDLE: &str = "reconcile-queue-idle";
const QUEUE_AGE: &str = "reconcile-queue-age";

/// The function's size.
const SIZE: Size = Size {
    memory: 256,
    timeout: 60,
};
/// All messages of a window become due at once: they arrive in a few large batches.
const DELIVERY: Delivery = Delivery {
    batch_size: 1_000,
    window_seconds: 5,
    concurrency: 2,
    timeout_seconds: SIZE.timeout,
};
/// How often a message is delivered before it is given up: at six minutes each, ten hours.
const RECEIVES: u32 = 100;

/// Declares the second track over the access log `group`.
pub(crate) fn declare(
    context: &UsagePipeline,
    stack: &mut Stack,
    group: &Handle<logs::LogGroup>,
) -> Result<Function, SynthError> {
    let dead_letters = dead_letters(
        context,
        stack,
        "ReconcileDeadLetterQueue",
        &context.names.reconcile_dead_letter_queue(),
    );
    let queue = Queue::delivered_by(
        stack,
        "ReconcileQueue",
        &QueueSettings {
            name: &context.names.reconcile_queue(),
            kind: QueueKind::Standard,
            dead_letters: Some((&dead_letters, RECEIVES)),
            encryption: context.encryption(),
        },
        DELIVERY,
    );
    let name = context.names.function(Of::Reconciler);
    let settings = context.function_settings(
        &name,
        Of::Reconciler,
        "Appends what the access log says to the journal",
        &SIZE,
        variables(context, &queue),
    )?;
    let reconciler = Function::with_dead_letters(stack, "Reconciler", settings, &dead_letters);
    let journal = context.table(&context.names.analytics_table());
    journal.grant(&reconciler, ["dynamodb:PutItem"]);
    queue.grant_send(&reconciler);
    queue.feed(stack, "ReconcilerSource", &reconciler, DELIVERY);
    Subscription { group }.invoke(stack, "AccessLogSubscription", &reconciler);
    let topic = Topic::named(&context.alarm_topic());
    for watch in alarms(context, &reconciler, &queue, &dead_letters) {
        context.alarm(stack, &topic, watch);
    }
    Ok(reconciler)
}

/// Seconds beyond its window that a message may wait: after a failed delivery it is hidden for six
/// minutes, and the next one may fill a batch.
const WAIT: u32 = 900;

fn alarms(
    context: &UsagePipeline,
    reconciler: &Function,
    queue: &Queue,
    dead_letters: &Queue,
) -> [Watch<'static>; 4] {
    let window = context.settings.reconciler.window_seconds.get();
    let failed = reconciler.metric("Errors", Statistic::Sum, Period::MINUTE);
    [
        Watch {
            id: "ReconcileDeadLetters",
            noun: DEAD_LETTERS,
            means: "Lines of the access log failed for ten hours, and Lambda gave up on them. \
                    Calls that the stream reported count, but without status and latency. Calls \
                    that only the log reported do not count. The queue holds the lines: fix the \
                    cause that `cargo xtask logs reconciler` shows, then run `cargo xtask errors \
                    redrive`.",
            watched: dead_letters.depth(Period::MINUTE).into(),
            breaches: Comparison::Above(0.0),
            lasting: Lasting::ONCE,
        },
        Watch {
            id: "ReconcilerFailures",
            noun: FAILURES,
            means: "The reconciler fails. Lines of the access log are redelivered for ten hours. \
                    Until they succeed, statuses and latencies are late, and so are calls that \
                    only the log reported. Check `cargo xtask logs reconciler`.",
            watched: failed.into(),
            breaches: Comparison::Above(0.0),
            lasting: Lasting::MOSTLY,
        },
        Watch {
            id: "ReconcileQueueIdle",
            noun: QUEUE_IDLE,
            means: "Lines of the access log are due and nothing takes them from the queue: its \
                    mapping is disabled, deleted or broken. Counts of calls that the stream \
                    reported are correct. Statuses, latencies and calls that only the log reported \
                    are late; the queue keeps the lines for days. Enable the mapping \
                    `ReconcilerSource`, or deploy the API stack again.",
            watched: unread(queue).into(),
            breaches: Comparison::Above(0.0),
            lasting: Lasting::TWICE,
        },
        Watch {
            id: "ReconcileQueueAge",
            noun: QUEUE_AGE,
            means: "Lines of the access log wait fifteen minutes longer than their window. Counts \
                    of calls that the stream reported are correct. Statuses, latencies and calls \
                    that only the log reported are late. Check `cargo xtask logs reconciler`.",
            watched: queue.age(Period::MINUTE).into(),
            breaches: Comparison::Above(f64::from(window + WAIT)),
            lasting: Lasting::MOSTLY,
        },
    ]
}

fn variables(context: &UsagePipeline, queue: &Queue) -> BTreeMap<&'static str, Val<String>> {
    let names = &context.names;
    let settings = &context.settings;
    let raw_days = settings.retention.raw_days.get();
    let window = settings.reconciler.window_seconds.get();
    BTreeMap::from([
        (env::ENVIRONMENT, names.environment().into()),
        (env::METRICS_NAMESPACE, names.kinesis_namespace().into()),
        (env::EVENT_SOURCE, names.event_source().into()),
        (env::ANALYTICS_TABLE, names.analytics_table().into()),
        (env::RECONCILE_QUEUE, queue.url().into()),
        (env::RECONCILE_WINDOW_SECONDS, window.to_string().into()),
        (env::RAW_RETENTION_DAYS, raw_days.to_string().into()),
    ])
}
