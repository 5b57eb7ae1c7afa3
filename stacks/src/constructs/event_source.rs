//! A function's invocation by a stream or a queue. No record is dropped before the stream itself
//! drops it.

use super::function::Function;
use super::queue::{Delivery, Queue};
use super::stack::Stack;
use super::stream::Stream;
use super::table::Table;
use crate::cfn::{LogicalId, Val, lambda};

/// The source of batches.
#[derive(Clone, Debug)]
pub enum EventSource<'a> {
    /// A Kinesis stream.
    Stream(&'a Stream),
    /// The stream of a table.
    TableStream(&'a Table),
}

/// Where to start reading. A stream cannot be read without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At the oldest record that still exists.
    Oldest,
    /// At records that arrive from now on.
    Now,
}

/// How batches are formed, and how failed ones are handled.
#[derive(Clone, Debug)]
pub struct EventSourceSettings<'a> {
    /// Where to start reading.
    pub start: Start,
    /// The most records per batch.
    pub batch_size: u32,
    /// Seconds that a batch waits to fill.
    pub window_seconds: u32,
    /// Concurrent batches per shard.
    pub parallelization: u32,
    /// The queue for the positions of records that were given up after six days.
    pub dead_letters: &'a Queue,
    /// The records that the function receives, in the form of Lambda's filter patterns; all if
    /// `None`.
    pub filter: Option<&'a str>,
}

/// A record is retried for six days. After that only a dead letter names it, and it must be read
/// from the stream again to be counted: that leaves a seventh day, in which it still counts. The
/// number of retries is unlimited, so that an outage of a day loses nothing.
const GIVE_UP_SECONDS: u32 = 518_400;

/// A table's stream keeps its records for a day. A record that is given up an hour earlier leaves a
/// dead letter; a record that the stream has dropped leaves none.
const TABLE_STREAM_SECONDS: u32 = 82_800;

impl EventSource<'_> {
    /// Declares the mapping, and grants the permissions that it needs.
    pub fn feed(
        &self,
        stack: &mut Stack,
        id: impl Into<LogicalId>,
        function: &Function,
        settings: &EventSourceSettings<'_>,
    ) {
        let id = id.into();
        let (arn, age) = match self {
            Self::Stream(stream) => {
                stream.grant_read(function);
                (stream.arn().into(), GIVE_UP_SECONDS)
            }
            Self::TableStream(table) => {
                table.grant_read_stream(function);
                let Some(arn) = table.stream_arn() else {
                    let message = format!("table `{}` has no stream to read", table.name());
                    stack.template().problem(&id, message);
                    return;
                };
                (arn.into(), TABLE_STREAM_SECONDS)
            }
        };
        settings.dead_letters.grant_send(function);
        stack
            .template()
            .add(id, mapping(arn, age, function, settings));
    }
}

impl Queue {
    /// Delivers the messages to a function in batches. Those that it reports as failed are
    /// redelivered.
    pub fn feed(
        &self,
        stack: &mut Stack,
        id: impl Into<LogicalId>,
        function: &Function,
        delivery: Delivery,
    ) {
        self.grant_consume(function);
        let mapping = lambda::EventSourceMapping::new(function.handle().reference())
            .event_source_arn(self.arn())
            .batch_size(delivery.batch_size)
            .maximum_batching_window_in_seconds(delivery.window_seconds)
            .scaling_config(
                lambda::EventSourceMappingScalingConfig::new()
                    .maximum_concurrency(delivery.concurrency),
            )
            .function_response_types([
                lambda::EventSourceMappingFunctionResponseTypes::ReportBatchItemFailures,
            ]);
        stack.template().add(id, mapping);
    }
}

fn mapping(
    arn: Val<lambda::EventSourceMappingEventSourceArn>,
    age: u32,
    function: &Function,
    settings: &EventSourceSettings<'_>,
) -> lambda::EventSourceMapping {
    let start = match settings.start {
        Start::Oldest => lambda::EventSourceMappingStartingPosition::TrimHorizon,
        Start::Now => lambda::EventSourceMappingStartingPosition::Latest,
    };
    let mapping = lambda::EventSourceMapping::new(function.handle().reference())
        .event_source_arn(arn)
        .starting_position(start)
        .batch_size(settings.batch_size)
        .maximum_batching_window_in_seconds(settings.window_seconds)
        .parallelization_factor(settings.parallelization)
        .function_response_types([
            lambda::EventSourceMappingFunctionResponseTypes::ReportBatchItemFailures,
        ])
        .bisect_batch_on_function_error(true)
        .maximum_retry_attempts(-1)
        .maximum_record_age_in_seconds(age)
        .destination_config(
            lambda::EventSourceMappingDestinationConfig::new().on_failure(
                lambda::EventSourceMappingOnFailure::new().destination(settings.dead_letters.arn()),
            ),
        );
    match settings.filter {
        Some(pattern) => mapping.filter_criteria(
            lambda::EventSourceMappingFilterCriteria::new()
                .filters([lambda::EventSourceMappingFilter::new().pattern(pattern)]),
        ),
        None => mapping,
    }
}
