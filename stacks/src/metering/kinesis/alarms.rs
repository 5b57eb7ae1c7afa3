//! The alarms on the stream and its processor.

use domain::names::kinesis_metric as metric;

use super::SIZE;
use crate::constructs::{
    Comparison, Expression, Function, Percentile, Period, Queue, Statistic, Stream,
};
use crate::metering::pipeline::UsagePipeline;
use crate::metering::watch::{Lasting, Watch, settled, unanswered};

/// The names of this stack's alarms, as the dashboard shows them.
pub(crate) fn alarms(context: &UsagePipeline) -> Vec<&'static str> {
    let scaled = context.settings.stream.capacity.scaled();
    let scaling = scaled.into_iter().flat_map(|_| super::scaler::ALARMS);
    ALARMS.into_iter().chain(scaling).collect()
}

const ALARMS: [&str; 7] = [
    WRITE_THROTTLES,
    ITERATOR_AGE,
    PROCESSING_FAILURES,
    PROCESSING_LATENCY,
    PROCESSOR_DURATION,
    DEAD_LETTERS,
    PROCESSED_NOT_INCOMING,
];
const WRITE_THROTTLES: &str = "stream-write-throttles";
pub(crate) const ITERATOR_AGE: &str = "iterator-age";
const PROCESSING_FAILURES: &str = "processing-failures";
pub(crate) const PROCESSING_LATENCY: &str = "processing-latency";
const PROCESSOR_DURATION: &str = "processor-duration";
const DEAD_LETTERS: &str = "dead-letters";
const PROCESSED_NOT_INCOMING: &str = "processed-not-incoming";

/// The number of records that a minute needs for its latency to be judged: a percentile of fewer is
/// a single record's, such as the one that started the function.
const RECORDS_TO_JUDGE: f64 = 20.0;
/// Milliseconds beyond the batching window that a record may take: Lambda polls each shard once a
/// second, and up to two more go to the put, to a function that starts, and to an append that is
/// retried.
const PROCESSING_MILLIS: f64 = 3_000.0;
/// How far the processor may be behind the stream.
pub(crate) const BEHIND_MILLIS: f64 = 300_000.0;
/// The percentage of incoming records that may still wait at the end of a period. Half is far from
/// what a busy moment leaves to the next period; a smaller backlog shows in the age of the oldest
/// record.
const SHARE: f64 = 50.0;
/// The number of records of a period below which a share is chance, and only the lack of any
/// processed record means something.
const RECORDS_TO_SHARE: f64 = 50.0;

/// All alarms.
pub(super) fn of(
    context: &UsagePipeline,
    stream: &Stream,
    processor: &Function,
    dead_letters: &Queue,
) -> Vec<Watch<'static>> {
    let mut alarms = Vec::from(lateness(context, stream, processor));
    alarms.extend(failures(stream, processor, dead_letters));
    alarms
}

fn lateness(context: &UsagePipeline, stream: &Stream, processor: &Function) -> [Watch<'static>; 3] {
    let age = processor.metric("IteratorAge", Statistic::Maximum, Period::MINUTE);
    [
        Watch {
            id: "IteratorAge",
            noun: ITERATOR_AGE,
            means: "The processor is more than five minutes behind the stream. Counts are late; \
                    none is lost for six days. Check `cargo xtask logs processor`. If the \
                    processor does not fail, raise `processor.parallelizationFactor`.",
            watched: age.into(),
            breaches: Comparison::Above(BEHIND_MILLIS),
            lasting: Lasting::MOSTLY,
        },
        Watch {
            id: "ProcessingLatency",
            noun: PROCESSING_LATENCY,
            means: "One event in a hundred takes three seconds longer than the batching window to \
                    reach the journal. Counts are late, not lost. Check `iterator-age`, and the \
                    processor's duration on the dashboard.",
            watched: latency(context).into(),
            breaches: Comparison::Above(PROCESSING_MILLIS),
            lasting: Lasting::MOSTLY,
        },
        Watch {
            id: "ProcessedNotIncoming",
            noun: PROCESSED_NOT_INCOMING,
            means: "The processor handles fewer than half of the records that were put. Counts are \
                    late; none is lost for six days. Check `iterator-age`, `cargo xtask logs \
                    processor`, and whether the mapping `StreamProcessorSource` is enabled.",
            watched: unprocessed(context, stream).into(),
            breaches: Comparison::Above(SHARE),
            lasting: Lasting::TWICE,
        },
    ]
}

fn failures(stream: &Stream, processor: &Function, dead_letters: &Queue) -> [Watch<'static>; 4] {
    let minute = Period::MINUTE;
    let throttled = "WriteProvisionedThroughputExceeded";
    [
        Watch {
            id: "StreamWriteThrottles",
            noun: WRITE_THROTTLES,
            means: "The stream refuses records. The authorizer appends their events to the journal \
                    directly, at one write each; none is lost. If it persists, raise \
                    `stream.maxShards`.",
            watched: stream.metric(throttled, Statistic::Sum, minute).into(),
            breaches: Comparison::Above(0.0),
            lasting: Lasting::ONCE,
        },
        Watch {
            id: "ProcessingFailures",
            noun: PROCESSING_FAILURES,
            means: "The processor cannot process some batches. Lambda retries them for six days; \
                    until then counts are late, not lost. Check `cargo xtask logs processor`.",
            watched: processor.metric("Errors", Statistic::Sum, minute).into(),
            breaches: Comparison::Above(0.0),
            lasting: Lasting::ONCE,
        },
        Watch {
            id: "ProcessorDuration",
            noun: PROCESSOR_DURATION,
            means: "Batches take four fifths of the processor's timeout. Lambda splits and retries \
                    a batch that runs out of time, so counts are late, not lost. Check `cargo \
                    xtask logs processor` for a slow table, or lower `processor.batchSize`.",
            watched: processor
                .metric("Duration", Statistic::Maximum, minute)
                .into(),
            breaches: Comparison::Above(f64::from(SIZE.timeout) * 800.0),
            lasting: Lasting::MOSTLY,
        },
        Watch {
            id: "DeadLetters",
            noun: DEAD_LETTERS,
            means: "Lambda gave up on records after six days of retries. Their calls count only if \
                    the access log reported them. Fix the cause that `cargo xtask logs processor` \
                    shows, then run `cargo xtask errors redrive` within a day: after that the \
                    stream no longer has the records.",
            watched: dead_letters.depth(minute).into(),
            breaches: Comparison::Above(0.0),
            lasting: Lasting::ONCE,
        },
    ]
}

/// Milliseconds that an event may take to the journal, the batching window included.
pub(crate) fn latest_millis(context: &UsagePipeline) -> f64 {
    let window = context.settings.processor.batching_window_seconds.get();
    f64::from(window) * 1_000.0 + PROCESSING_MILLIS
}

/// Milliseconds until an event is in the journal, beyond the batching window, which delays events
/// on purpose; 0 if there are too few records to judge.
fn latency(context: &UsagePipeline) -> Expression {
    let minute = Period::MINUTE;
    let p99 = Statistic::Percentile(Percentile::P99);
    let latency = context.kinesis_metric(metric::PROCESSING_LATENCY, p99, minute);
    let records = context.kinesis_metric(metric::PROCESSED_RECORDS, Statistic::Sum, minute);
    let window = context.settings.processor.batching_window_seconds.get();
    Expression::from(records)
        .at_least(RECORDS_TO_JUDGE)
        .choose(latency - f64::from(window) * 1_000.0, 0.0)
}

/// The records that were put and not processed, in percent of those that were put. For few records
/// it is 100 or 0, depending on whether any was processed. It is below 0 if more were processed,
/// which only means that they were redelivered.
fn unprocessed(context: &UsagePipeline, stream: &Stream) -> Expression {
    /// Seconds until a record is processed, beyond the window.
    const PROCESSING: u32 = 5;
    let window = context.settings.processor.batching_window_seconds.get();
    let period = settled(window + PROCESSING);
    let put = stream.metric("IncomingRecords", Statistic::Sum, period);
    let processed = context.kinesis_metric(metric::PROCESSED_RECORDS, Statistic::Sum, period);
    let none = unanswered(put.clone(), processed.clone()) * 100.0;
    let put = Expression::from(put).filled(0.0);
    let processed = Expression::from(processed).filled(0.0);
    put.clone()
        .at_least(RECORDS_TO_SHARE)
        .choose((put.clone() - processed) * 100.0 / put, none)
}
