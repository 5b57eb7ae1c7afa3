//! The dashboard of one environment: is everything counted, how fast, at what cost.

use domain::names::{Function as Of, api_metric, kinesis_metric as metric};

use crate::cfn::{Val, sub};
use crate::constructs::{
    Alarm, Dashboard, Expression, Function, Metric, Percentile, Period, Queue, Statistic, Stream,
    Widget,
};
use crate::context::Context;
use crate::{api, data, reconciling};

/// A metric of AWS's about a stream.
pub(crate) fn of_stream(
    stream: &Stream,
    name: &str,
    statistic: Statistic,
    period: Period,
) -> Metric {
    Metric::new("AWS/Kinesis", name, statistic, period).dimension("StreamName", stream.name())
}

/// Where the dashboard is looked at.
pub(crate) fn dashboard_url(name: &str) -> Val<String> {
    sub(format!(
        "https://${{AWS::Region}}.console.aws.amazon.com/cloudwatch/home?region=${{AWS::Region}}#dashboards/dashboard/{name}"
    ))
}

/// The widgets, row by row.
pub(crate) fn dashboard(
    context: &Context<'_>,
    stream: &Stream,
    processor: &Function,
    aggregator: &Function,
    dead_letters: &Queue,
    alarms: &[Alarm],
) -> Dashboard {
    let others = [
        data::USAGE_TABLE_THROTTLES,
        api::TRACKING_FAILURES,
        api::NO_TRACKING_SUCCESS,
        reconciling::DEAD_LETTERS,
    ]
    .map(|noun| Alarm::named(&context.named(noun)));
    Dashboard::default()
        .row([Widget::alarms("Alarms", alarms.iter().chain(&others))])
        .row(calls(context))
        .row(stream_traffic(stream))
        .row(delay(context, processor))
        .row(errors(context, processor, aggregator, dead_letters))
        .row(cost(context, stream, processor, aggregator))
}

/// What is called, and by how many.
fn calls(context: &Context<'_>) -> [Widget; 3] {
    let period = Period::FIVE_MINUTES;
    let sum = |name| context.kinesis_metric(name, Statistic::Sum, period);
    let users = context.kinesis_metric(metric::UNIQUE_USERS, Statistic::Maximum, Period::HOUR);
    let tracked = |name| context.api_metric(name, Statistic::Sum, Period::MINUTE);
    [
        Widget::graph("API calls (5 minutes)", period)
            .line("accepted", sum(metric::TOTAL_API_CALLS))
            .line("not authenticated", sum(metric::AUTH_FAILURES))
            .line("rate limited", sum(metric::RATE_LIMITED)),
        Widget::numbers("Active users (hour)", Period::HOUR).line("users", users),
        Widget::graph("Tracking", Period::MINUTE)
            .line("tracked", tracked(api_metric::USAGE_TRACKING_SUCCESS))
            .line("not tracked", tracked(api_metric::USAGE_TRACKING_FAILURE)),
    ]
}

/// What goes into the stream and out of it.
fn stream_traffic(stream: &Stream) -> [Widget; 3] {
    let period = Period::MINUTE;
    let sum = |name| of_stream(stream, name, Statistic::Sum, period);
    [
        Widget::graph("Stream in and out", period)
            .line("records in", sum("IncomingRecords"))
            .line("records out", sum("GetRecords.Records")),
        Widget::graph("Stream bytes", period)
            .line("bytes in", sum("IncomingBytes"))
            .line("bytes out", sum("GetRecords.Bytes")),
        Widget::graph("Stream throttles", period)
            .line("writes", sum("WriteProvisionedThroughputExceeded"))
            .line("reads", sum("ReadProvisionedThroughputExceeded")),
    ]
}

/// How late counts are.
fn delay(context: &Context<'_>, processor: &Function) -> [Widget; 3] {
    let period = Period::MINUTE;
    let latency = |by| context.kinesis_metric(metric::PROCESSING_LATENCY, by, period);
    let age = processor.metric("IteratorAge", Statistic::Maximum, period);
    let duration = |by| processor.metric("Duration", by, period);
    let p99 = Statistic::Percentile(Percentile::P99);
    [
        Widget::graph("Iterator age (ms)", period).line("oldest record", age),
        Widget::graph("Processing latency (ms)", period)
            .line("average", latency(Statistic::Average))
            .line("p99", latency(p99)),
        Widget::graph("Processor duration (ms)", period)
            .line("average", duration(Statistic::Average))
            .line("p99", duration(p99)),
    ]
}

/// What goes wrong.
fn errors(
    context: &Context<'_>,
    processor: &Function,
    aggregator: &Function,
    dead_letters: &Queue,
) -> [Widget; 3] {
    let period = Period::MINUTE;
    let failed = |function: &Function| function.metric("Errors", Statistic::Sum, period);
    let sum = |name| context.kinesis_metric(name, Statistic::Sum, period);
    [
        Widget::graph("Failed batches", period)
            .line("processor", failed(processor))
            .line("aggregator", failed(aggregator)),
        Widget::graph("Records", period)
            .line("processed", sum(metric::PROCESSED_RECORDS))
            .line("set aside", sum(metric::RECORDS_FAILED))
            .line("duplicates dropped", sum(metric::DUPLICATES_DROPPED))
            .line("reconciled", sum(metric::RECONCILED_CALLS)),
        Widget::graph("Dead letters", period).line("waiting", dead_letters.depth(period)),
    ]
}

/// What is paid for.
fn cost(
    context: &Context<'_>,
    stream: &Stream,
    processor: &Function,
    aggregator: &Function,
) -> [Widget; 3] {
    let period = Period::HOUR;
    let table = |name: String| {
        Metric::new(
            "AWS/DynamoDB",
            "ConsumedWriteCapacityUnits",
            Statistic::Sum,
            period,
        )
        .dimension("TableName", name)
    };
    let authorizer = Metric::new("AWS/Lambda", "Invocations", Statistic::Sum, period)
        .dimension("FunctionName", context.names.function(Of::Authorizer));
    // A PUT unit is 25 KB of a record: small records take one each.
    let records = of_stream(stream, "IncomingRecords", Statistic::Sum, period);
    [
        Widget::graph("Cost: invocations (hour)", period)
            .line("authorizer", authorizer)
            .line(
                "processor",
                processor.metric("Invocations", Statistic::Sum, period),
            )
            .line(
                "aggregator",
                aggregator.metric("Invocations", Statistic::Sum, period),
            ),
        Widget::graph("Cost: write units (hour)", period)
            .line("analytics", table(context.names.analytics_table()))
            .line("usage", table(context.names.usage_table())),
        Widget::graph("Cost: stream (hour)", period)
            .line("PUT units", records.clone())
            .line(
                "records a batch",
                Expression::from(records) / processor.metric("Invocations", Statistic::Sum, period),
            ),
    ]
}
