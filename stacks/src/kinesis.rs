//! `CompliCal-Kinesis-{env}`: the stream, what counts it, what it is counted into, and what
//! watches over that. Absent in synchronous mode; may be destroyed while the API stands.
//!
//! Shard scaling is not here yet: it needs a function of its own (`minShards` and `maxShards` wait
//! for it).

use std::collections::BTreeMap;
use std::num::NonZeroU16;

use domain::names::{BY_TIME_INDEX, Function as Of, StackKind, env, kinesis_metric as metric};
use domain::table::{LEAF_PREFIX, attribute};

use crate::cfn::Val;
use crate::constructs::{
    Alarm, Comparison, Encryption, EventSource, EventSourceSettings, Expression, Function, Key,
    Percentile, Period, Queue, QueueKind, QueueSettings, ScheduleRule, Stack, Start, Statistic,
    Stream, Table, TableSettings, Topic, Watched,
};
use crate::context::{Context, Size, Watch};
use crate::{SynthError, watching};

/// Declares the stack.
pub(crate) fn stack(context: &Context<'_>) -> Result<Stack, SynthError> {
    let mut stack = Stack::new(
        context.names.stack(StackKind::Kinesis),
        "Usage in real time: the stream, its processor, the analytics table.",
    );
    let stream = Stream::new(
        &mut stack,
        "UsageStream",
        &context.names.usage_stream(),
        &context.environment.stream,
        Encryption::Managed,
    );
    let analytics = analytics_table(context, &mut stack);
    let dead_letters = Queue::new(
        &mut stack,
        "DeadLetterQueue",
        &QueueSettings {
            name: &context.names.dead_letter_queue(),
            kind: QueueKind::Standard,
            dead_letters: None,
            encryption: Encryption::Managed,
        },
    );
    let processor = processor(context, &mut stack, &stream, &analytics, &dead_letters)?;
    let aggregator = aggregator(context, &mut stack, &analytics, &dead_letters)?;

    let alarms = alarms(
        context,
        &mut stack,
        &stream,
        (&processor, &aggregator),
        &dead_letters,
    );
    watching::dashboard(
        context,
        &stream,
        &processor,
        &aggregator,
        &dead_letters,
        &alarms,
    )
    .declare(&mut stack, "Dashboard", &context.names.dashboard());

    let template = stack.template();
    template.output("UsageStreamName", "The usage stream", stream.name());
    template.output("UsageStreamArn", "Its ARN", stream.arn());
    template.output(
        "AnalyticsTableName",
        "The analytics table",
        analytics.name(),
    );
    template.output(
        "DeadLetterQueueName",
        "The dead-letter queue",
        dead_letters.name(),
    );
    template.output(
        "StreamProcessorName",
        "Counts the stream's records",
        processor.name(),
    );
    template.output(
        "RealtimeAggregatorName",
        "Rolls leaves up",
        aggregator.name(),
    );
    template.output(
        "DashboardUrl",
        "The dashboard",
        watching::dashboard_url(&context.names.dashboard()),
    );
    Ok(stack)
}

/// The table of leaves, roll-ups, raw events and errors.
fn analytics_table(context: &Context<'_>, stack: &mut Stack) -> Table {
    Table::new(
        stack,
        "AnalyticsTable",
        &TableSettings {
            name: &context.names.analytics_table(),
            key: Key {
                partition: attribute::PK,
                sort: Some(attribute::SK),
            },
            index: Some((
                BY_TIME_INDEX,
                Key {
                    partition: attribute::WINDOW,
                    sort: Some(attribute::START),
                },
            )),
            expires: Some(attribute::TTL),
            stream: true,
            protected: !context.environment.is_local(),
            encryption: Encryption::Managed,
        },
    )
}

/// Stream to leaves, raw events and errors.
fn processor(
    context: &Context<'_>,
    stack: &mut Stack,
    stream: &Stream,
    analytics: &Table,
    dead_letters: &Queue,
) -> Result<Function, SynthError> {
    let retention = context.environment.retention;
    let processor = context.function(
        stack,
        "StreamProcessor",
        Of::Processor,
        "Counts usage events into the analytics table",
        &Size {
            memory: 512,
            timeout: 60,
        },
        BTreeMap::from([
            (env::ENVIRONMENT, context.environment.name.as_str().into()),
            (
                env::METRICS_NAMESPACE,
                context.names.kinesis_namespace().into(),
            ),
            (env::ANALYTICS_TABLE, analytics.name().into()),
            (env::RAW_RETENTION_DAYS, days(retention.raw_days.get())),
        ]),
    )?;
    analytics.grant(&processor, ["dynamodb:GetItem", "dynamodb:PutItem"]);
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

/// Leaves to roll-ups and the usage table: by the table's stream, mended each minute.
fn aggregator(
    context: &Context<'_>,
    stack: &mut Stack,
    analytics: &Table,
    dead_letters: &Queue,
) -> Result<Function, SynthError> {
    let retention = context.environment.retention;
    let usage = Table::named(&context.names.usage_table(), []);
    let aggregator = context.function(
        stack,
        "RealtimeAggregator",
        Of::Aggregator,
        "Rolls leaves up into hours, days, months and the usage table",
        &Size {
            memory: 512,
            timeout: 60,
        },
        BTreeMap::from([
            (env::ENVIRONMENT, context.environment.name.as_str().into()),
            (
                env::METRICS_NAMESPACE,
                context.names.kinesis_namespace().into(),
            ),
            (env::ANALYTICS_TABLE, analytics.name().into()),
            (env::API_USAGE_TABLE, usage.name().into()),
            (
                env::MINUTE_RETENTION_DAYS,
                days(retention.minute_days.get()),
            ),
            (env::HOUR_RETENTION_DAYS, days(retention.hour_days.get())),
        ]),
    )?;
    let rolling = ["dynamodb:GetItem", "dynamodb:PutItem"];
    analytics.grant(&aggregator, rolling);
    usage.grant(&aggregator, rolling);
    EventSource::TableStream(analytics).feed(
        stack,
        "RealtimeAggregatorSource",
        &aggregator,
        &EventSourceSettings {
            start: Start::Oldest,
            // What everybody shares is written once a batch, each user's sums once a batch and user.
            batch_size: 500,
            window_seconds: 1,
            parallelization: 1,
            dead_letters,
            filter: Some(&leaves_only()),
        },
    );
    ScheduleRule {
        name: &context.named("aggregator-tick"),
        description: "Mends roll-ups that the table's stream missed",
        every_minutes: NonZeroU16::MIN,
    }
    .invoke(stack, "AggregatorTick", &aggregator);
    Ok(aggregator)
}

/// Roll-ups are written into the same table: they must not feed themselves.
fn leaves_only() -> String {
    format!(r#"{{"dynamodb":{{"Keys":{{"PK":{{"S":[{{"prefix":"{LEAF_PREFIX}"}}]}}}}}}}}"#)
}

fn days(days: u32) -> Val<String> {
    days.to_string().into()
}

/// What is watched here; the tracking alarms are with the API, the usage table's with the table.
fn alarms(
    context: &Context<'_>,
    stack: &mut Stack,
    stream: &Stream,
    (processor, aggregator): (&Function, &Function),
    dead_letters: &Queue,
) -> Vec<Alarm> {
    let topic = &Topic::named(&context.alarm_topic());
    let minute = Period::MINUTE;
    let watches = [
        Watch {
            id: "StreamWriteThrottles",
            noun: "stream-write-throttles",
            means: "The stream refuses records: more shards are needed, or one subject needs more \
                    lanes. Refused events take the slower way into the table.",
            watched: watching::of_stream(
                stream,
                "WriteProvisionedThroughputExceeded",
                Statistic::Sum,
                minute,
            )
            .into(),
            breaches: Comparison::Above(0.0),
            periods: 1,
        },
        Watch {
            id: "IteratorAge",
            noun: "iterator-age",
            means: "The processor is more than five minutes behind the stream.",
            watched: processor
                .metric("IteratorAge", Statistic::Maximum, minute)
                .into(),
            breaches: Comparison::Above(300_000.0),
            periods: 3,
        },
        Watch {
            id: "RollUpAge",
            noun: "roll-up-age",
            means: "The aggregator is more than five minutes behind the changes of leaves. After a \
                    day it would have to give them up.",
            watched: aggregator
                .metric("IteratorAge", Statistic::Maximum, minute)
                .into(),
            breaches: Comparison::Above(300_000.0),
            periods: 3,
        },
        Watch {
            id: "ProcessingFailures",
            noun: "processing-failures",
            means: "The processor fails whole batches. They are retried until the stream would \
                    drop them; its log says why.",
            watched: processor.metric("Errors", Statistic::Sum, minute).into(),
            breaches: Comparison::Above(0.0),
            periods: 1,
        },
        Watch {
            id: "RecordsFailed",
            noun: "records-failed",
            means: "Records were set aside under `PK = ERRORS`: `cargo xtask errors list`.",
            watched: context
                .kinesis_metric(metric::RECORDS_FAILED, Statistic::Sum, minute)
                .into(),
            breaches: Comparison::Above(0.0),
            periods: 1,
        },
        Watch {
            id: "ProcessingLatency",
            noun: "processing-latency",
            means: "From an event's time to its being stored takes more than a second, the \
                    batching window apart, for a hundredth of them.",
            watched: latency(context),
            breaches: Comparison::Above(1_000.0),
            periods: 3,
        },
        Watch {
            id: "DeadLetters",
            noun: "dead-letters",
            means: "Records were given up after failing for six days, or changes of leaves for \
                    23 hours. Within another day `cargo xtask errors redrive` counts them.",
            watched: dead_letters.depth(minute).into(),
            breaches: Comparison::Above(0.0),
            periods: 1,
        },
        Watch {
            id: "ProcessedNotIncoming",
            noun: "processed-not-incoming",
            means: "For fifteen minutes, records processed and records put differ by more than \
                    one in a hundred.",
            watched: difference(context, stream).into(),
            breaches: Comparison::Above(1.0),
            periods: 3,
        },
    ];
    watches
        .into_iter()
        .map(|watch| context.alarm(stack, topic, watch))
        .collect()
}

/// A batching window delays counts on purpose: only what is beyond it is slow.
fn latency(context: &Context<'_>) -> Watched {
    let p99 = Statistic::Percentile(Percentile::P99);
    let latency = context.kinesis_metric(metric::PROCESSING_LATENCY, p99, Period::MINUTE);
    match context.environment.processor.batching_window_seconds.get() {
        0 => latency.into(),
        seconds => (latency - f64::from(seconds) * 1_000.0).into(),
    }
}

/// How far records put and records processed are apart, in hundredths of their sum. A record put
/// at a period's end is processed in the next one: a difference counts only when it lasts.
fn difference(context: &Context<'_>, stream: &Stream) -> Expression {
    let period = Period::FIVE_MINUTES;
    let put = watching::of_stream(stream, "IncomingRecords", Statistic::Sum, period);
    let processed = context.kinesis_metric(metric::PROCESSED_RECORDS, Statistic::Sum, period);
    let put = Expression::from(put).filled(0.0);
    let processed = Expression::from(processed).filled(0.0);
    let both = put.clone() + processed.clone();
    both.clone()
        .greater_than(0.0)
        .choose((put - processed).abs() * 200.0 / both, 0.0)
}
