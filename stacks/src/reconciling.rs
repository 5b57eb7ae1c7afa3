//! The second track, a part of `CompliCal-API-{env}`: the access log's lines to the reconciler, and
//! the queue in which they wait for the stream.
//!
//! It stands with the API and not with the stream, in both modes: it is what remains where the
//! stream's stack is gone. So are its dead letters.

use std::collections::BTreeMap;

use domain::names::{Function as Of, env};

use crate::SynthError;
use crate::cfn::{Handle, Val, logs};
use crate::constructs::{
    Comparison, Encryption, Function, Handing, Period, Queue, QueueKind, QueueSettings, Stack,
    Subscription, Table, Topic,
};
use crate::context::{Context, Size, Watch};

/// What the alarm on lines that were given up is called.
pub(crate) const DEAD_LETTERS: &str = "reconcile-dead-letters";

/// How big the function is.
const SIZE: Size = Size {
    memory: 256,
    timeout: 60,
};
/// Messages that an invocation gets at most: each holds up to hundreds of lines.
const BATCH: u32 = 10;
/// Times that a message is handed out before it is given up: at six minutes each, ten hours.
const RECEIVES: u32 = 100;

/// Declares the second track over the access log `group`.
pub(crate) fn declare(
    context: &Context<'_>,
    stack: &mut Stack,
    group: &Handle<logs::LogGroup>,
) -> Result<Function, SynthError> {
    let dead_letters = Queue::new(
        stack,
        "ReconcileDeadLetterQueue",
        &QueueSettings {
            name: &context.names.reconcile_dead_letter_queue(),
            kind: QueueKind::Standard,
            dead_letters: None,
            encryption: Encryption::Managed,
        },
    );
    let queue = Queue::handing_out(
        stack,
        "ReconcileQueue",
        &QueueSettings {
            name: &context.names.reconcile_queue(),
            kind: QueueKind::Standard,
            dead_letters: Some((&dead_letters, RECEIVES)),
            encryption: Encryption::Managed,
        },
        Handing {
            delay_seconds: context.environment.reconciler.delay_seconds.get(),
            timeout_seconds: SIZE.timeout,
        },
    );
    let name = context.names.function(Of::Reconciler);
    let settings = context.settings(
        &name,
        Of::Reconciler,
        "Counts what only the access log knows, and how calls were answered",
        &SIZE,
        variables(context, &queue),
    )?;
    let reconciler = Function::with_dead_letters(stack, "Reconciler", settings, &dead_letters);
    let counting = ["dynamodb:GetItem", "dynamodb:PutItem"];
    // In both modes both: lines of the other mode are still under way when it changes.
    Table::named(&context.names.analytics_table(), []).grant(&reconciler, counting);
    Table::named(&context.names.usage_table(), []).grant(&reconciler, counting);
    queue.grant_send(&reconciler);
    queue.feed(stack, "ReconcilerSource", &reconciler, BATCH);
    Subscription { group }.invoke(stack, "AccessLogSubscription", &reconciler);
    context.alarm(
        stack,
        &Topic::named(&context.alarm_topic()),
        Watch {
            id: "ReconcileDeadLetters",
            noun: DEAD_LETTERS,
            means: "Lines of the access log were given up after failing again and again. The \
                    queue holds them; the reconciler's log says why.",
            watched: dead_letters.depth(Period::MINUTE).into(),
            breaches: Comparison::Above(0.0),
            periods: 1,
        },
    );
    Ok(reconciler)
}

fn variables(context: &Context<'_>, queue: &Queue) -> BTreeMap<&'static str, Val<String>> {
    let names = &context.names;
    let environment = context.environment;
    let raw_days = environment.retention.raw_days.get();
    BTreeMap::from([
        (env::ENVIRONMENT, environment.name.as_str().into()),
        (env::METRICS_NAMESPACE, names.kinesis_namespace().into()),
        (env::EVENT_SOURCE, names.event_source().into()),
        (env::TRACKING_MODE, environment.mode().as_str().into()),
        (env::ANALYTICS_TABLE, names.analytics_table().into()),
        (env::API_USAGE_TABLE, names.usage_table().into()),
        (env::RECONCILE_QUEUE, queue.url().into()),
        (env::RAW_RETENTION_DAYS, raw_days.to_string().into()),
    ])
}
