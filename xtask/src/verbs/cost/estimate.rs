//! The monthly bill of a deployment.
//!
//! Amounts are whole numbers of the units that AWS bills. Where calls are batched, the number of
//! batches is the expected one for calls that are spread evenly. Where AWS does not document how it
//! batches, the estimate assumes the way with the most batches: it is too high rather than too low.

use domain::log_size;
use domain::names::Function;
use serde::Serialize;

use super::deployment::{Capacity, Deployment, Gateway, Stream};
use super::money::Money;
use super::prices::{Prices, Unit};
use super::shape::{DAYS, SECONDS, Traffic};
use super::units::{self, Units, Way};

/// Hours of the month.
const HOURS: u64 = DAYS * 24;
/// Shards of a new on-demand stream.
const ON_DEMAND_SHARDS: u64 = 4;
/// On-demand mode bills a record by the started KB; an event has some 700 bytes.
const RECORD_BYTES: u128 = 1_024;
/// Milliseconds that the authorizer computes per call, billed as started ones.
const AUTHORIZER_MILLIS: u64 = 1;
/// Milliseconds that the collector computes per request, billed as started ones.
const COLLECTOR_MILLIS: u64 = 1;
/// Events that a function processes per millisecond: benchmark B1, development build, rounded down.
const EVENTS_A_MILLI: u64 = 80;
/// Concurrent table calls of a function.
const CALLS_AT_ONCE: u64 = 32;
/// Seconds between two runs of the scaler, the metrics that each run requests, and the milliseconds
/// that it computes: it reads some 1,300 values.
const LOOK_SECONDS: u64 = 120;
const METRICS_A_LOOK: u64 = 4;
const LOOK_MILLIS: u64 = 20;
/// Bytes of the journal per call, both tracks: the packed entries of benchmark B4's W3.
const JOURNAL_BYTES: u128 = 75;
/// Stored size of a log in percent: logs are stored compressed.
const STORED_PERCENT: u128 = 15;
/// Log streams that the gateway writes concurrently, and seconds between two deliveries of one
/// (B4).
const LOG_STREAMS: u64 = 20;
const DELIVERY_SECONDS: u64 = 5;
/// The most lines that one invocation of the reconciler appends.
const LINES_AN_APPEND: u64 = 8_000;
/// Messages per request to the queue.
const MESSAGES_A_REQUEST: u64 = 10;
/// Requests that Lambda makes to an empty queue: five pollers that wait 20 seconds each.
const EMPTY_RECEIVES: u64 = 5 * SECONDS / 20;
/// Batches per month for which benchmark B4 counts the journal's writes: one every ten seconds.
const MEASURED_BATCHES: u64 = SECONDS / 10;
/// Failures per 1,000 calls whose writes are included in benchmark B4, and the most that each
/// further one writes.
const MEASURED_ERRORS: u64 = 20;
const FAILURE_WRITES: u64 = 2;

/// One line of the bill.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Line {
    pub(super) service: &'static str,
    pub(super) item: String,
    /// The billed amount, in AWS's smallest unit.
    pub(super) amount: String,
    /// Whether it pays for metering rather than for the metered API.
    pub(super) metering: bool,
    pub(super) monthly: Money,
}

/// A bill under construction.
struct Bill<'a> {
    prices: &'a Prices,
    deployment: &'a Deployment,
    traffic: Traffic,
    lines: Vec<Line>,
    log_bytes: u128,
}

/// The monthly bill.
pub(super) fn bill(
    deployment: &Deployment,
    traffic: Traffic,
    prices: &Prices,
) -> anyhow::Result<Vec<Line>> {
    let mut bill = Bill {
        prices,
        deployment,
        traffic,
        lines: Vec::new(),
        log_bytes: 0,
    };
    bill.gateway();
    bill.authorizer()?;
    if let Some(stream) = deployment.stream {
        bill.stream(stream);
        bill.processor(stream)?;
    }
    if deployment.functions.contains_key(&Function::Scaler) {
        bill.scaler()?;
    }
    if deployment.functions.contains_key(&Function::Collector) {
        bill.collector()?;
    }
    bill.aggregator()?;
    bill.reconciler()?;
    bill.tables();
    bill.logs();
    bill.watching();
    bill.secrets();
    Ok(bill.lines)
}

/// The cost of metering within a bill.
pub(super) fn metering(lines: &[Line]) -> Money {
    let own = lines.iter().filter(|line| line.metering);
    own.map(|line| line.monthly).sum()
}

impl Bill<'_> {
    fn add(&mut self, service: &'static str, item: &str, unit: Unit, amount: u128) {
        self.lines.push(Line {
            service,
            item: item.to_owned(),
            amount: amount.to_string(),
            metering: !matches!(
                unit,
                Unit::GatewayRestRequests | Unit::GatewayHttpRequests | Unit::TransferGbOut
            ),
            monthly: self.prices.price(unit, amount),
        });
    }

    fn calls(&self) -> u128 {
        u128::from(self.traffic.calls)
    }

    fn gateway(&mut self) {
        let unit = match self.deployment.gateway {
            Gateway::Rest => Unit::GatewayRestRequests,
            Gateway::Http => Unit::GatewayHttpRequests,
        };
        self.add("API Gateway", "requests", unit, self.calls());
        let bytes = self.calls() * u128::from(self.traffic.shape.response_bytes);
        self.add("Data transfer", "answers", Unit::TransferGbOut, bytes);
    }

    /// Bills invocations, and their total duration in milliseconds.
    fn function(
        &mut self,
        function: Function,
        invocations: u64,
        millis: u128,
    ) -> anyhow::Result<()> {
        let deployed = self.deployment.function(function)?;
        let gb_seconds = if deployed.is_arm {
            Unit::LambdaArmGbSeconds
        } else {
            Unit::LambdaX86GbSeconds
        };
        let name = function.folder();
        self.add(
            "Lambda",
            &format!("{name}, requests"),
            Unit::LambdaRequests,
            invocations.into(),
        );
        let amount = millis * u128::from(deployed.memory_mb);
        self.add("Lambda", &format!("{name}, duration"), gb_seconds, amount);
        if deployed.has_platform_lines {
            self.log_bytes += u128::from(invocations) * u128::from(log_size::PLATFORM);
        }
        Ok(())
    }

    /// Computes for the response, then puts the event; the instance is billed until the put is
    /// done.
    fn authorizer(&mut self) -> anyhow::Result<()> {
        let millis = AUTHORIZER_MILLIS + self.traffic.shape.service_millis;
        self.log_bytes += self.calls() * u128::from(log_size::ACCESS + log_size::CALL_METRICS);
        self.function(
            Function::Authorizer,
            self.traffic.calls,
            self.calls() * u128::from(millis),
        )
    }

    fn stream(&mut self, stream: Stream) {
        const SERVICE: &str = "Kinesis";
        match stream.capacity {
            Capacity::Shards(shards) => {
                // Scaling adds the shards for the peak.
                let hours = u128::from(HOURS * shards.max(self.traffic.shards()));
                self.add(SERVICE, "shards", Unit::StreamShardHours, hours);
                if stream.retention_hours > 24 {
                    self.add(
                        SERVICE,
                        "retention beyond a day",
                        Unit::StreamRetentionShardHours,
                        hours,
                    );
                }
                self.add(SERVICE, "records", Unit::StreamPutUnits, self.calls());
            }
            Capacity::OnDemand => {
                let bytes = self.calls() * RECORD_BYTES;
                self.add(
                    SERVICE,
                    "the stream",
                    Unit::StreamOnDemandHours,
                    HOURS.into(),
                );
                self.add(SERVICE, "data in", Unit::StreamOnDemandGbIn, bytes);
                self.add(SERVICE, "data out", Unit::StreamOnDemandGbOut, bytes);
            }
        }
    }

    fn processor(&mut self, stream: Stream) -> anyhow::Result<()> {
        let batches = batches(stream, self.traffic);
        let each = u128::from(2 + self.traffic.shape.service_millis);
        let millis = u128::from(batches) * each + self.calls() / u128::from(EVENTS_A_MILLI);
        self.log_bytes += u128::from(batches) * u128::from(log_size::OTHER_METRICS);
        self.function(Function::Processor, batches, millis)
    }

    /// Reads the stream and its metrics, and seldom changes anything.
    fn scaler(&mut self) -> anyhow::Result<()> {
        let looks = SECONDS / LOOK_SECONDS;
        let millis = looks * (LOOK_MILLIS + 2 * self.traffic.shape.service_millis);
        self.log_bytes += u128::from(looks * log_size::OTHER_METRICS);
        self.function(Function::Scaler, looks, millis.into())?;
        let read = looks * METRICS_A_LOOK;
        self.add(
            "CloudWatch",
            "requests for metrics",
            Unit::MetricRequests,
            read.into(),
        );
        Ok(())
    }

    /// Appends the amounts of each request with one write. A request that names older calls also
    /// reads their minutes; that is not the rule.
    fn collector(&mut self) -> anyhow::Result<()> {
        let shape = self.traffic.shape;
        let reports = self.calls() * u128::from(shape.reports_per_thousand) / 1_000;
        let gateway = match self.deployment.gateway {
            Gateway::Rest => Unit::GatewayRestRequests,
            Gateway::Http => Unit::GatewayHttpRequests,
        };
        self.lines.push(Line {
            service: "API Gateway",
            item: "requests with amounts".to_owned(),
            amount: reports.to_string(),
            metering: true,
            monthly: self.prices.price(gateway, reports),
        });
        self.add("DynamoDB", "writes of amounts", Unit::TableWrites, reports);
        let millis = reports * u128::from(COLLECTOR_MILLIS + shape.service_millis);
        let invocations = u64::try_from(reports).unwrap_or(u64::MAX);
        self.log_bytes += reports * u128::from(log_size::ACCESS);
        self.function(Function::Collector, invocations, millis)
    }

    fn aggregator(&mut self) -> anyhow::Result<()> {
        let windows = SECONDS / self.deployment.fold_window_seconds.max(1);
        let (folds, ticks) = (windows.min(self.traffic.calls), SECONDS / 60);
        let service = u128::from(self.traffic.shape.service_millis);
        // A fold reads sequentially and writes many items concurrently. Every event is read and
        // folded, and folded again whenever its minute is.
        let each = 5 + 4 * service;
        let writes = self.units().writes * self.traffic.calls / 1_000;
        let writing = u128::from(writes / CALLS_AT_ONCE) * service;
        let reading = 2 * self.calls() / u128::from(EVENTS_A_MILLI);
        let millis = u128::from(folds + ticks) * each + writing + reading;
        self.log_bytes += u128::from(folds + ticks) * u128::from(log_size::OTHER_METRICS);
        self.function(Function::Aggregator, folds + ticks, millis)
    }

    /// Forwards each delivery of the log to the queue, and appends what was collected there.
    fn reconciler(&mut self) -> anyhow::Result<()> {
        let deliveries = spread(self.traffic.calls, LOG_STREAMS, DELIVERY_SECONDS);
        let appends = self.traffic.calls.div_ceil(LINES_AN_APPEND);
        let service = u128::from(self.traffic.shape.service_millis);
        let forwarding = u128::from(deliveries) * (2 + service);
        let appending =
            u128::from(appends) * 4 * service + self.calls() / u128::from(EVENTS_A_MILLI);
        self.function(
            Function::Reconciler,
            deliveries + appends,
            forwarding + appending,
        )?;
        self.log_bytes += u128::from(appends) * u128::from(log_size::OTHER_METRICS);
        // Each message is sent individually; receives and deletes handle ten.
        let requests = deliveries + 2 * deliveries.div_ceil(MESSAGES_A_REQUEST) + EMPTY_RECEIVES;
        self.add("SQS", "requests", Unit::QueueRequests, requests.into());
        Ok(())
    }

    fn units(&self) -> Units {
        let is_short = self.deployment.fold_window_seconds < 60;
        let way = match (self.deployment.stream.is_some(), is_short) {
            (true, false) => Way::Minute,
            (true, true) => Way::TenSeconds,
            (false, false) => Way::OneByOne,
            (false, true) => Way::OneByOneTenSeconds,
        };
        units::of_month(way, self.traffic.calls)
    }

    fn tables(&mut self) {
        const SERVICE: &str = "DynamoDB";
        let units = self.units();
        let errors = self
            .traffic
            .shape
            .errors_per_thousand
            .saturating_sub(MEASURED_ERRORS);
        let writes = self.calls() * u128::from(units.writes + errors * FAILURE_WRITES) / 1_000;
        // A batch beyond those of the benchmark rounds one entry up by one unit more.
        let batches = self
            .deployment
            .stream
            .map_or(0, |stream| batches(stream, self.traffic));
        let further = u128::from(batches.saturating_sub(MEASURED_BATCHES));
        self.add(SERVICE, "writes", Unit::TableWrites, writes + further);
        let reads = self.calls() * u128::from(units.reads) / 1_000;
        self.add(SERVICE, "reads", Unit::TableReads, reads);
        // In a steady state the journal holds the calls of its whole retention.
        let days = u128::from(self.deployment.raw_retention_days);
        let stored = self.calls() * JOURNAL_BYTES * days;
        self.add(SERVICE, "journal stored", Unit::TableGbMonths, stored);
        if self.deployment.has_backups {
            self.add(SERVICE, "backups", Unit::TableBackupGbMonths, stored);
        }
    }

    fn logs(&mut self) {
        const SERVICE: &str = "CloudWatch";
        let bytes = self.log_bytes;
        self.add(SERVICE, "logs written", Unit::LogGbIn, bytes);
        let days = u128::from(self.deployment.log_retention_days);
        let stored = bytes * STORED_PERCENT / 100 * days;
        self.add(SERVICE, "logs stored", Unit::LogGbMonths, stored);
    }

    /// Calls are few: an instance reads a secret once a minute at most, for $0.05 per 10,000.
    fn secrets(&mut self) {
        let secrets = self.deployment.secrets;
        if secrets > 0 {
            self.add("Secrets Manager", "secrets", Unit::Secrets, secrets.into());
        }
    }

    fn watching(&mut self) {
        const SERVICE: &str = "CloudWatch";
        let deployment = self.deployment;
        self.add(SERVICE, "metrics", Unit::Metrics, deployment.metrics.into());
        self.add(
            SERVICE,
            "alarms",
            Unit::AlarmMetrics,
            deployment.alarm_metrics.into(),
        );
        self.add(
            SERVICE,
            "dashboards",
            Unit::Dashboards,
            deployment.dashboards.into(),
        );
    }
}

/// Batches per month. Each of the concurrent batches of a shard waits for its own window, so a low
/// rate spreads thinly over many.
pub(super) fn batches(stream: Stream, traffic: Traffic) -> u64 {
    let shards = match stream.capacity {
        Capacity::Shards(shards) => shards.max(traffic.shards()),
        Capacity::OnDemand => ON_DEMAND_SHARDS.max(traffic.shards()),
    };
    // Without a window Lambda reads once a second.
    let by_window = spread(
        traffic.calls,
        shards * stream.parallelization,
        stream.window_seconds.max(1),
    );
    by_window.max(traffic.calls.div_ceil(stream.batch_size.max(1)))
}

/// How many of a month's pairs of a place and a window contain at least one of `calls`: the
/// expectation if they are spread evenly over the month and over `places`.
fn spread(calls: u64, places: u64, window_seconds: u64) -> u64 {
    const ONE: u128 = 1 << 40;
    let (windows, places) = (SECONDS / window_seconds.max(1), places.max(1));
    // The chance that a place stays empty, (1 - 1/places)^calls of a window, in parts of `ONE`.
    let mut empty = ONE;
    let mut factor = ONE * u128::from(places - 1) / u128::from(places);
    let mut left = calls.div_ceil(windows.max(1));
    while left > 0 {
        if left % 2 == 1 {
            empty = empty * factor / ONE;
        }
        factor = factor * factor / ONE;
        left /= 2;
    }
    let filled = u128::from(windows) * u128::from(places) * (ONE - empty) / ONE;
    u64::try_from(filled).unwrap_or(u64::MAX).min(calls)
}

#[cfg(test)]
mod tests {
    use super::super::deployment::tests::environment;
    use super::*;
    use crate::verbs::cost::Shape;

    fn prices() -> Prices {
        Prices::load(None, "ap-south-1").unwrap()
    }

    fn traffic(calls: u64) -> Traffic {
        let shape = Shape::default();
        Traffic { calls, shape }
    }

    fn of<'a>(lines: &'a [Line], service: &str, item: &str) -> &'a Line {
        let mut found = lines
            .iter()
            .filter(|line| line.service == service && line.item == item);
        found
            .next()
            .unwrap_or_else(|| panic!("no {service}, {item}"))
    }

    fn dollars(text: &str) -> Money {
        Money::parse(text).unwrap()
    }

    #[test]
    fn ten_million_calls_as_worked_out_by_hand() {
        let mut deployment = Deployment::of(&environment("prod")).unwrap();
        for function in deployment.functions.values_mut() {
            function.memory_mb = 512;
            function.has_platform_lines = false;
        }
        let lines = bill(&deployment, traffic(10_000_000), &prices()).unwrap();
        let is = |service: &str, item: &str, amount: &str, monthly: &str| {
            let line = of(&lines, service, item);
            assert_eq!(
                (line.amount.as_str(), line.monthly),
                (amount, dollars(monthly)),
                "{item}"
            );
        };
        is("API Gateway", "requests", "10000000", "35");
        is("Lambda", "authorizer, requests", "10000000", "2");
        // 9 ms each at 512 MB: 45,000 GB-seconds.
        is("Lambda", "authorizer, duration", "46080000000", "0.600003");
        // Two shards for 720 hours at 0.0195; their retention at 0.026; 10 M records at 0.0215 a million.
        is("Kinesis", "shards", "1440", "28.08");
        is("Kinesis", "retention beyond a day", "1440", "37.44");
        is("Kinesis", "records", "10000000", "0.215");
        // Two shards of ten batches each, every ten seconds for 30 days: 5,184,000, of which
        // 0.95^39 = 13.5276 % get none of a window's 39 calls.
        is("Lambda", "processor, requests", "4482729", "0.8965458");
        // W5: 843 per 1,000 calls, and 259,200 batches fewer than these: the benchmark's own.
        is("DynamoDB", "writes", "12653529", "8.98400559");
        is("DynamoDB", "reads", "3410000", "0.485925");
        // One fold and one tick a minute.
        is("Lambda", "aggregator, requests", "86400", "0.01728");
        is("CloudWatch", "dashboards", "1", "3");
    }

    #[test]
    fn each_webhook_pays_for_its_secret() {
        let mut deployment = Deployment::of(&environment("prod")).unwrap();
        let of_secrets = |deployment: &Deployment| {
            let lines = bill(deployment, traffic(1), &prices()).unwrap();
            let line = lines.into_iter().find(|line| line.item == "secrets");
            line.map(|line| line.monthly)
        };
        assert_eq!(of_secrets(&deployment), None);
        deployment.secrets = 2;
        assert_eq!(of_secrets(&deployment), Some(dollars("0.8")));
    }

    #[test]
    fn synchronous_mode_has_no_stream_on_the_bill() {
        let environment = environment("prod").with_analytics(Some(false));
        let deployment = Deployment::of(&environment).unwrap();
        let lines = bill(&deployment, traffic(10_000_000), &prices()).unwrap();
        assert!(lines.iter().all(|line| line.service != "Kinesis"));
        // W6: 1,760 per 1,000 calls.
        assert_eq!(of(&lines, "DynamoDB", "writes").monthly, dollars("12.496"));
    }

    #[test]
    fn the_peak_adds_shards_and_full_batches_bound_their_number() {
        // 1,000 M calls are 386 a second, ten times that at the peak: four shards.
        assert_eq!(traffic(1_000_000_000).shards(), 4);
        let deployment = Deployment::of(&environment("prod")).unwrap();
        let stream = deployment.stream.unwrap();
        let few = batches(stream, traffic(1_000));
        assert!((900..=1_000).contains(&few), "{few}");
        // Full batches of a hundred are more than the 40 that four shards fill every ten seconds.
        let shape = Shape {
            peak: 1,
            ..Shape::default()
        };
        let calls = 10_000_000_000;
        assert_eq!(batches(stream, Traffic { calls, shape }), 100_000_000);
    }

    #[test]
    fn metering_is_the_bill_without_gateway_and_transfer() {
        let deployment = Deployment::of(&environment("prod")).unwrap();
        let lines = bill(&deployment, traffic(10_000_000), &prices()).unwrap();
        let all: Money = lines.iter().map(|line| line.monthly).sum();
        let gateway = of(&lines, "API Gateway", "requests").monthly;
        let transfer = of(&lines, "Data transfer", "answers").monthly;
        assert_eq!(metering(&lines), all - gateway - transfer);
    }
}
