//! `CompliCal-Kinesis-{env}`: the stream, the processor that appends its records to the journal, the
//! scaler of its shards if `minShards` and `maxShards` differ, and their alarms. It is absent in
//! synchronous mode, and can be destroyed while the other stacks stay.

mod alarms;
mod scaler;

use std::collections::BTreeMap;

use domain::names::{Function as Of, StackKind, env};

use crate::SynthError;
use crate::constructs::{
    Capacity, EventSource, EventSourceSettings, Function, Queue, Stack, Start, Stream,
    StreamSettings, Topic,
};
use crate::environment::StreamCapacity;
use crate::metering::pipeline::{Size, UsagePipeline, dead_letters};

pub(crate) use alarms::{BEHIND_MILLIS, ITERATOR_AGE, PROCESSING_LATENCY, alarms, latest_millis};

/// The stream's logical id.
pub const USAGE_STREAM: &str = "UsageStream";

/// The processor's size.
const SIZE: Size = Size {
    memory: 512,
    timeout: 60,
};

/// An environment's stack.
pub(crate) fn stack(context: &UsagePipeline) -> Result<Stack, SynthError> {
    let mut stack = Stack::new(
        context.names.stack(StackKind::Kinesis),
        "Usage in real time: the stream and its processor.",
    );
    declare(context, &mut stack)?;
    Ok(stack)
}

/// Declares its resources.
pub(super) fn declare(context: &UsagePipeline, stack: &mut Stack) -> Result<(), SynthError> {
    let settings = &context.settings.stream;
    let settings = StreamSettings {
        retention_hours: settings.retention_hours.get(),
        capacity: match settings.capacity {
            StreamCapacity::OnDemand => Capacity::OnDemand,
            StreamCapacity::Provisioned { shards, .. } => Capacity::Provisioned { shards },
        },
    };
    let stream = Stream::new(
        stack,
        USAGE_STREAM,
        &context.names.usage_stream(),
        &settings,
        context.encryption(),
    );
    let dead_letters = dead_letters(
        context,
        stack,
        "DeadLetterQueue",
        &context.names.dead_letter_queue(),
    );
    let processor = processor(context, stack, &stream, &dead_letters)?;
    let topic = Topic::named(&context.alarm_topic());
    for watch in alarms::of(context, &stream, &processor, &dead_letters) {
        context.alarm(stack, &topic, watch);
    }
    if let Some(bounds) = context.settings.stream.capacity.scaled() {
        scaler::declare(context, stack, (&stream, &topic), bounds)?;
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
    Ok(())
}

/// Stream to journal.
fn processor(
    context: &UsagePipeline,
    stack: &mut Stack,
    stream: &Stream,
    dead_letters: &Queue,
) -> Result<Function, SynthError> {
    let names = &context.names;
    let raw_days = context.settings.retention.raw_days.get();
    let processor = context.function(
        stack,
        "StreamProcessor",
        Of::Processor,
        "Appends usage events to the journal",
        &SIZE,
        BTreeMap::from([
            (env::ENVIRONMENT, context.names.environment().into()),
            (env::METRICS_NAMESPACE, names.kinesis_namespace().into()),
            (env::ANALYTICS_TABLE, names.analytics_table().into()),
            (env::RAW_RETENTION_DAYS, raw_days.to_string().into()),
        ]),
    )?;
    let journal = context.table(&names.analytics_table());
    journal.grant(&processor, ["dynamodb:PutItem"]);
    let settings = &context.settings.processor;
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
