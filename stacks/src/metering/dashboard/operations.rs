//! The dashboard of operations: whether everything is counted, how soon, and at what cost. In
//! synchronous mode it omits the stream and its processor.

use domain::names::{Function as Of, TrackingMode, api_metric, kinesis_metric as metric};

use super::{Links, logs};
use crate::constructs::{
    Alarm, Dashboard, Expression, Function, Metric, Percentile, Period, Queue, Statistic, Stream,
    Widget,
};
use crate::metering::context::StackContext;
use crate::metering::{api, data, kinesis, notifier, reconciler};

const P99: Statistic = Statistic::Percentile(Percentile::P99);

/// The dashboard.
pub(super) fn dashboard(context: &StackContext<'_>) -> Dashboard {
    let view = View::of(context);
    let mut dashboard = Dashboard::default().row([view.alarms()]).row(view.calls());
    if let Some(stream) = &view.stream {
        dashboard = dashboard.row(view.traffic(stream)).row(view.processing());
    }
    dashboard
        .row(view.folds())
        .row(view.errors())
        .row(view.cost())
        .row([logs::errors(context).wide(24)])
        .row([Links::from_operations(context)])
}

/// The content of the widgets.
struct View<'a> {
    context: &'a StackContext<'a>,
    /// Absent in synchronous mode.
    stream: Option<Stream>,
}

impl<'a> View<'a> {
    fn of(context: &'a StackContext<'a>) -> Self {
        let streaming = context.environment.mode() == TrackingMode::Stream;
        let stream = streaming.then(|| Stream::named(&context.names.usage_stream()));
        Self { context, stream }
    }

    fn function(&self, of: Of, name: &'static str, by: Statistic, period: Period) -> Metric {
        Function::metric_of(&self.context.names.function(of), name, by, period)
    }

    fn sum(&self, name: &str, period: Period) -> Metric {
        self.context.kinesis_metric(name, Statistic::Sum, period)
    }

    /// Whether this mode has a stream whose shards are scaled.
    fn scales(&self) -> bool {
        let capacity = self.context.environment.stream.capacity;
        self.stream.is_some() && capacity.scaled().is_some()
    }

    /// The functions of this mode, with their names in widgets.
    fn functions(&self) -> impl Iterator<Item = (&'static str, Of)> {
        let processor = self.stream.as_ref().map(|_| ("processor", Of::Processor));
        let scaler = self.scales().then_some(("scaler", Of::Scaler));
        [("authorizer", Of::Authorizer)]
            .into_iter()
            .chain(processor)
            .chain(scaler)
            .chain([
                ("aggregator", Of::Aggregator),
                ("reconciler", Of::Reconciler),
            ])
    }

    /// Every alarm of this mode.
    fn alarms(&self) -> Widget {
        let of_stream = self
            .stream
            .iter()
            .flat_map(|_| kinesis::alarms(self.context));
        let alarms: Vec<Alarm> = data::ALARMS
            .into_iter()
            .chain(of_stream)
            .chain(api::ALARMS)
            .chain(notifier::ALARMS)
            .chain(reconciler::ALARMS)
            .map(|noun| self.alarm(noun))
            .collect();
        Widget::alarms("Alarms", &alarms)
    }

    fn alarm(&self, noun: &str) -> Alarm {
        Alarm::named(&self.context.names.resource(noun))
    }

    /// Calls, callers, and whether each call was reported.
    fn calls(&self) -> [Widget; 3] {
        let period = Period::FIVE_MINUTES;
        let users = Statistic::Maximum;
        let users = self
            .context
            .kinesis_metric(metric::UNIQUE_USERS, users, Period::HOUR);
        let tracked = |name| {
            self.context
                .api_metric(name, Statistic::Sum, Period::MINUTE)
        };
        [
            Widget::graph("API calls (5 minutes)", period)
                .line("accepted", self.sum(metric::TOTAL_API_CALLS, period))
                .line("not authenticated", self.sum(metric::AUTH_FAILURES, period))
                .line("rate limited", self.sum(metric::RATE_LIMITED, period)),
            Widget::numbers("Active users (hour)", Period::HOUR).line("users", users),
            Widget::graph("Tracking", Period::MINUTE)
                .line("tracked", tracked(api_metric::USAGE_TRACKING_SUCCESS))
                .line("not tracked", tracked(api_metric::USAGE_TRACKING_FAILURE))
                .threshold(api::UNTRACKED_A_MINUTE, &self.alarm(api::TRACKING_FAILURES)),
        ]
    }

    /// How soon the stream's records reach the journal.
    fn processing(&self) -> [Widget; 3] {
        let period = Period::MINUTE;
        let latency = |by| {
            self.context
                .kinesis_metric(metric::PROCESSING_LATENCY, by, period)
        };
        let of_processor = |name, by| self.function(Of::Processor, name, by, period);
        let age = of_processor("IteratorAge", Statistic::Maximum);
        [
            Widget::graph("Iterator age (ms)", period)
                .line("oldest record", age)
                .threshold(kinesis::BEHIND_MILLIS, &self.alarm(kinesis::ITERATOR_AGE)),
            Widget::graph("Processing latency (ms)", period)
                .line("average", latency(Statistic::Average))
                .line("p99", latency(P99))
                .threshold(
                    kinesis::latest_millis(self.context),
                    &self.alarm(kinesis::PROCESSING_LATENCY),
                ),
            Widget::graph("Processor duration (ms)", period)
                .line("average", of_processor("Duration", Statistic::Average))
                .line("p99", of_processor("Duration", P99)),
        ]
    }

    /// How soon the journal is folded.
    fn folds(&self) -> [Widget; 3] {
        let period = Period::MINUTE;
        let of_aggregator = |name, by| self.function(Of::Aggregator, name, by, period);
        let age = of_aggregator("IteratorAge", Statistic::Maximum);
        [
            Widget::graph("Fold age (ms)", period).line("oldest change", age),
            Widget::graph("Aggregator duration (ms)", period)
                .line("average", of_aggregator("Duration", Statistic::Average))
                .line("p99", of_aggregator("Duration", P99)),
            Widget::graph("Second track", period)
                .line("reconciled", self.sum(metric::RECONCILED_CALLS, period)),
        ]
    }

    /// Errors.
    fn errors(&self) -> [Widget; 3] {
        let period = Period::MINUTE;
        // The authorizer fails on purpose, so that the gateway responds 401.
        let failing = self.functions().filter(|(_, of)| *of != Of::Authorizer);
        let failed = failing.fold(
            Widget::graph("Failed invocations", period),
            |widget, (name, of)| {
                widget.line(name, self.function(of, "Errors", Statistic::Sum, period))
            },
        );
        let mut records = Widget::graph("Records", period);
        if self.stream.is_some() {
            records = records
                .line("processed", self.sum(metric::PROCESSED_RECORDS, period))
                .line(
                    "duplicates dropped",
                    self.sum(metric::DUPLICATES_DROPPED, period),
                );
        }
        let records = records
            .line("set aside", self.sum(metric::RECORDS_FAILED, period))
            .line("items parked", self.sum(metric::ITEMS_PARKED, period));
        [failed, records, self.dead_letters()]
    }

    fn dead_letters(&self) -> Widget {
        let period = Period::MINUTE;
        let names = &self.context.names;
        let processor = self.stream.as_ref();
        let queues = processor
            .map(|_| ("processor", names.dead_letter_queue()))
            .into_iter()
            .chain([
                ("aggregator", names.aggregator_dead_letter_queue()),
                ("reconciler", names.reconcile_dead_letter_queue()),
            ]);
        queues.fold(
            Widget::graph("Dead letters", period),
            |widget, (label, queue)| widget.line(label, Queue::depth_of(&queue, period)),
        )
    }

    /// The drivers of the bill.
    fn cost(&self) -> Vec<Widget> {
        let period = Period::HOUR;
        let invocations = |of| self.function(of, "Invocations", Statistic::Sum, period);
        let written = |table: String| {
            let name = "ConsumedWriteCapacityUnits";
            Metric::new("AWS/DynamoDB", name, Statistic::Sum, period).dimension("TableName", table)
        };
        let names = &self.context.names;
        let mut widgets = vec![
            self.functions().fold(
                Widget::graph("Cost: invocations (hour)", period),
                |widget, (name, of)| widget.line(name, invocations(of)),
            ),
            Widget::graph("Cost: write units (hour)", period)
                .line("analytics", written(names.analytics_table()))
                .line("usage", written(names.usage_table())),
        ];
        if let Some(stream) = &self.stream {
            // A PUT unit is 25 KB of a record: a small record uses one.
            let records = stream.metric("IncomingRecords", Statistic::Sum, period);
            let batch = Expression::from(records.clone()) / invocations(Of::Processor);
            let stream = Widget::graph("Cost: stream (hour)", period)
                .line("PUT units", records)
                .line("records a batch", batch);
            widgets.push(stream);
        }
        widgets
    }

    /// The records into the stream and out of it, and its shards if they change.
    fn traffic(&self, stream: &Stream) -> [Widget; 3] {
        let period = Period::MINUTE;
        let sum = |name| stream.metric(name, Statistic::Sum, period);
        let throttles = Widget::graph("Stream throttles", period)
            .line("writes", sum("WriteProvisionedThroughputExceeded"))
            .line("reads", sum("ReadProvisionedThroughputExceeded"));
        let shards = Statistic::Maximum;
        let shards = self.context.kinesis_metric(metric::SHARDS, shards, period);
        [
            Widget::graph("Stream in and out", period)
                .line("records in", sum("IncomingRecords"))
                .line("records out", sum("GetRecords.Records")),
            Widget::graph("Stream bytes", period)
                .line("bytes in", sum("IncomingBytes"))
                .line("bytes out", sum("GetRecords.Bytes")),
            if self.scales() {
                throttles.line("shards", shards)
            } else {
                throttles
            },
        ]
    }
}
