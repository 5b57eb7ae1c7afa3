//! `CompliCal-Kinesis-{env}`: the stream, the processor that appends its records to the journal,
//! and the alarms on both. Absent in synchronous mode; can be destroyed while the others stand.
//!
//! Shard scaling is not here yet: it needs a function of its own, which `minShards` and
//! `maxShards` wait for.

use std::collections::BTreeMap;

use domain::names::{Function as Of, StackKind, env, kinesis_metric as metric};

use crate::SynthError;
use crate::constructs::{
    Comparison, Encryption, EventSource, EventSourceSettings, Expression, Function, Percentile,
    Period, Queue, Stack, Start, Statistic, Stream, Table, Topic,
};
use crate::context::{Context, Size, Watch, dead_letters};

/// The names of this stack's alarms, as the dashboard shows them.
pub(crate) const ALARMS: [&str; 6] = [
    WRITE_THROTTLES,
    ITERATOR_AGE,
    PROCESSING_FAILURES,
    PROCESSING_LATENCY,
    DEAD_LETTERS,
    PROCESSED_NOT_INCOMING,
];
const WRITE_THROTTLES: &str = "stream-write-throttles";
const ITERATOR_AGE: &str = "iterator-age";
const PROCESSING_FAILURES: &str = "processing-failures";
const PROCESSING_LATENCY: &str = "processing-latency";
const DEAD_LETTERS: &str = "dead-letters";
const PROCESSED_NOT_INCOMING: &str = "processed-not-incoming";

/// Records that a minute must have for its latency to be judged: a percentile of fewer is a single
/// record's, such as the one that started the function.
const RECORDS_TO_JUDGE: f64 = 20.0;

/// Declares the stack.
pub(crate) fn stack(context: &Context<'_>) -> Result<Stack, SynthError> {
    let mut stack = Stack::new(
        context.names.stack(StackKind::Kinesis),
        "Usage in real time: the stream and its processor.",
    );
    let stream = Stream::new(
        &mut stack,
        "UsageStream",
        &context.names.usage_stream(),
        &context.environment.stream,
        Encryption::Managed,
    );
    let dead_letters = dead_letters(
        &mut stack,
        "DeadLetterQueue",
        &context.names.dead_letter_queue(),
    );
    let processor = processor(context, &mut stack, &stream, &dead_letters)?;
    let topic = Topic::named(&context.alarm_topic());
    for watch in stream_alarms(context, &stream)
        .into_iter()
        .chain(processor_alarms(context, &processor, &dead_letters))
    {
        context.alarm(&mut stack, &topic, watch);
    }

    let template = stack.template();
    template.output("UsageStreamName", "The usage stream", stream.name());
    template.output("UsageStreamArn", "Its ARN", stream.arn());
    template.output(
        "DeadLetterQueueName",
        "The processor's dead-letter queue",
        dead_letters.name(),
    );
    template.output(
        "StreamProcessorName",
        "Appends the stream's records to the journal",
        processor.name(),
    );
    Ok(stack)
}

/// Stream to journal.
fn processor(
    context: &Context<'_>,
    stack: &mut Stack,
    stream: &Stream,
    dead_letters: &Queue,
) -> Result<Function, SynthError> {
    let names = &context.names;
    let raw_days = context.environment.retention.raw_days.get();
    let processor = context.function(
        stack,
        "StreamProcessor",
        Of::Processor,
        "Appends usage events to the journal",
        &Size {
            memory: 512,
            timeout: 60,
        },
        BTreeMap::from([
            (env::ENVIRONMENT, context.environment.name.as_str().into()),
            (env::METRICS_NAMESPACE, names.kinesis_namespace().into()),
            (env::ANALYTICS_TABLE, names.analytics_table().into()),
            (env::RAW_RETENTION_DAYS, raw_days.to_string().into()),
        ]),
    )?;
    Table::named(&names.analytics_table(), []).grant(&processor, ["dynamodb:PutItem"]);
    let settings = &context.environment.processor;
    EventSource::Stream(stream).feed(
        stack,
        "StreamProcessorSource",
        &processor,
        &EventSourceSettings {
            start: Start::Oldest,
            batch_size: settings.batch_size.get(),
            window_seconds: settings.batching_window_seconds.get(),
            parallelization: settings.parallelization_factor.get(),
            dead_letters,
            filter: None,
        },
    );
    Ok(processor)
}

fn stream_alarms(context: &Context<'_>, stream: &Stream) -> [Watch<'static>; 2] {
    let throttled = "WriteProvisionedThroughputExceeded";
    [
        Watch {
            id: "StreamWriteThrottles",
            noun: WRITE_THROTTLES,
            means: "The stream refuses records. Their calls go to the journal directly, at a write \
                    each; none is lost. If it lasts, add shards.",
            watched: stream
                .metric(throttled, Statistic::Sum, Period::MINUTE)
                .into(),
            breaches: Comparison::Above(0.0),
            periods: 1,
        },
        Watch {
            id: "ProcessedNotIncoming",
            noun: PROCESSED_NOT_INCOMING,
            means: "For fifteen minutes, records processed and records put have differed by more \
                    than one per cent. Fewer processed: counts are late, check `iterator-age` and \
                    `cargo xtask logs processor`. More processed: records were delivered again, \
                    and count once.",
            watched: difference(context, stream).into(),
            breaches: Comparison::Above(1.0),
            periods: 3,
        },
    ]
}

fn processor_alarms(
    context: &Context<'_>,
    processor: &Function,
    dead_letters: &Queue,
) -> [Watch<'static>; 4] {
    let minute = Period::MINUTE;
    let age = processor.metric("IteratorAge", Statistic::Maximum, minute);
    [
        Watch {
            id: "IteratorAge",
            noun: ITERATOR_AGE,
            means: "The processor is more than five minutes behind the stream. Counts are late, \
                    none is lost for six days. Check `cargo xtask logs processor`; if it does not \
                    fail, add shards.",
            watched: age.into(),
            breaches: Comparison::Above(300_000.0),
            periods: 3,
        },
        Watch {
            id: "ProcessingFailures",
            noun: PROCESSING_FAILURES,
            means: "The processor cannot process some batches. Lambda retries them for six days; \
                    until then counts are late, not lost. Check `cargo xtask logs processor`.",
            watched: processor.metric("Errors", Statistic::Sum, minute).into(),
            breaches: Comparison::Above(0.0),
            periods: 1,
        },
        Watch {
            id: "ProcessingLatency",
            noun: PROCESSING_LATENCY,
            means: "One event in a hundred takes more than a second longer than the batching \
                    window until it is in the journal. Counts are late, not lost. Check \
                    `iterator-age`, and the processor's duration on the dashboard.",
            watched: latency(context).into(),
            breaches: Comparison::Above(1_000.0),
            periods: 3,
        },
        Watch {
            id: "DeadLetters",
            noun: DEAD_LETTERS,
            means: "Lambda gave up records after retrying for six days. Their calls are counted \
                    only if the access log reported them. Remove the cause that `cargo xtask logs \
                    processor` shows, then run `cargo xtask errors redrive` within a day: after \
                    that the stream has dropped the records.",
            watched: dead_letters.depth(minute).into(),
            breaches: Comparison::Above(0.0),
            periods: 1,
        },
    ]
}

/// Milliseconds until an event is in the journal, beyond the batching window, which delays events
/// on purpose. 0 where too few records are there to judge.
fn latency(context: &Context<'_>) -> Expression {
    let minute = Period::MINUTE;
    let p99 = Statistic::Percentile(Percentile::P99);
    let latency = context.kinesis_metric(metric::PROCESSING_LATENCY, p99, minute);
    let records = context.kinesis_metric(metric::PROCESSED_RECORDS, Statistic::Sum, minute);
    let window = context.environment.processor.batching_window_seconds.get();
    Expression::from(records)
        .at_least(RECORDS_TO_JUDGE)
        .choose(latency - f64::from(window) * 1_000.0, 0.0)
}

/// The difference between records put and records processed, in hundredths of their mean. A record
/// put at a period's end is processed in the next one: a difference counts only when it lasts.
fn difference(context: &Context<'_>, stream: &Stream) -> Expression {
    let period = Period::FIVE_MINUTES;
    let put = stream.metric("IncomingRecords", Statistic::Sum, period);
    let processed = context.kinesis_metric(metric::PROCESSED_RECORDS, Statistic::Sum, period);
    let put = Expression::from(put).filled(0.0);
    let processed = Expression::from(processed).filled(0.0);
    let both = put.clone() + processed.clone();
    both.clone()
        .greater_than(0.0)
        .choose((put - processed).abs() * 200.0 / both, 0.0)
}
