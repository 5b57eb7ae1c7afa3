//! Wires the processor: settings, table, metrics, and the batches that Lambda brings.

// The SDK nests its futures deeply, and these hold several calls.
#![recursion_limit = "256"]

use aws_lambda_events::event::kinesis::KinesisEvent;
use domain::event::EventType;
use domain::names::kinesis_metric;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use processor::handler::{Delivery, Processor, Report};
use processor::settings::Settings;
use runtime::metrics::{Metric, Metrics};
use runtime::settings::Variables;
use runtime::{aws, clock, dynamo, log};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let variables = Variables::of_process();
    log::start(&variables, &[]);
    let settings = Settings::read(&variables)?;
    let client = aws_sdk_dynamodb::Client::new(&aws::config(aws::Patience::BACKGROUND).await);
    let metrics = Metrics::new(settings.metrics_namespace, settings.environment);
    let processor = Processor {
        store: dynamo::DynamoStore::new(client, settings.analytics_table),
        raw_retention_days: settings.raw_retention.0.into(),
    };
    lambda_runtime::run(service_fn(|event: LambdaEvent<Delivery>| {
        let (processor, metrics) = (&processor, &metrics);
        async move {
            let mut batch = KinesisEvent::default();
            batch.records = event.payload.records;
            let (mut answer, report) = processor.process(&batch, clock::now(), clock::now).await;
            let mut values = counts(&report);
            // Records that an operator offers again came and took their time long ago.
            if !event.payload.report_outcome {
                values.extend(passage(&report));
            }
            metrics.emit(clock::now(), &values);
            answer.outcome = event.payload.report_outcome.then(|| report.into());
            Ok::<_, Error>(answer)
        }
    }))
    .await
}

/// What was counted.
fn counts(report: &Report) -> Vec<Metric> {
    let counted = |event_type| report.counted.get(&event_type).copied().unwrap_or(0);
    vec![
        Metric::count(kinesis_metric::TOTAL_API_CALLS, counted(EventType::ApiCall)),
        Metric::count(
            kinesis_metric::AUTH_FAILURES,
            counted(EventType::AuthFailed),
        ),
        Metric::count(
            kinesis_metric::RATE_LIMITED,
            counted(EventType::RateLimited),
        ),
        Metric::count(kinesis_metric::DUPLICATES_DROPPED, report.duplicates),
    ]
}

/// How the stream's records went through.
fn passage(report: &Report) -> Vec<Metric> {
    let set_aside = report.set_aside.len() as u64;
    vec![
        Metric::count(kinesis_metric::PROCESSED_RECORDS, report.processed),
        Metric::count(kinesis_metric::RECORDS_FAILED, set_aside),
        Metric::millis(kinesis_metric::PROCESSING_LATENCY, report.latencies.clone()),
    ]
}
