//! Wires the reconciler: settings, tables, queue, metrics, and the lines that Lambda brings.

// The SDK nests its futures deeply, and these hold several calls.
#![recursion_limit = "256"]

use domain::event::EventType;
use domain::names::kinesis_metric;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use reconciler::handler::{Reconciler, Report};
use reconciler::invocation::Invocation;
use reconciler::settings::Settings;
use runtime::dynamo::DynamoStore;
use runtime::metrics::{Metric, Metrics};
use runtime::queue::SqsQueue;
use runtime::settings::Variables;
use runtime::spill::Limits;
use runtime::{aws, clock, log};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let variables = Variables::of_process();
    log::start(&variables, &[]);
    let settings = Settings::read(&variables)?;
    let config = aws::config(aws::Patience::BACKGROUND).await;
    let client = aws_sdk_dynamodb::Client::new(&config);
    let metrics = Metrics::new(settings.metrics_namespace, settings.environment);
    let reconciler = Reconciler {
        analytics: DynamoStore::new(client.clone(), settings.analytics_table),
        usage: DynamoStore::new(client, settings.api_usage_table),
        queue: SqsQueue::new(aws_sdk_sqs::Client::new(&config), settings.reconcile_queue),
        source: settings.event_source,
        mode: settings.tracking_mode,
        raw_retention_days: settings.raw_retention.0.into(),
        limits: Limits::default(),
    };
    lambda_runtime::run(service_fn(|event: LambdaEvent<Invocation>| {
        let (reconciler, metrics) = (&reconciler, &metrics);
        async move {
            let handled = reconciler.handle(&event.payload, clock::now());
            // Boxed: what it may come to do fills some 30 KB.
            let (mut answer, report) = Box::pin(handled).await?;
            let mut values = counts(&report);
            // Lines that an operator offers again were told of when they came.
            let is_offered_again = event.payload.reports_outcome();
            if !is_offered_again {
                let set_aside = report.set_aside.len() as u64;
                values.push(Metric::count(kinesis_metric::RECORDS_FAILED, set_aside));
            }
            metrics.emit(clock::now(), &values);
            answer.outcome = is_offered_again.then(|| report.into());
            Ok::<_, Error>(answer)
        }
    }))
    .await
}

fn counts(report: &Report) -> Vec<Metric> {
    let counted = |event_type| report.counted.get(&event_type).copied().unwrap_or(0);
    let calls = counted(EventType::ApiCall);
    vec![
        Metric::count(kinesis_metric::RECONCILED_CALLS, calls),
        Metric::count(kinesis_metric::TOTAL_API_CALLS, calls),
        Metric::count(
            kinesis_metric::AUTH_FAILURES,
            counted(EventType::AuthFailed),
        ),
        Metric::count(
            kinesis_metric::RATE_LIMITED,
            counted(EventType::RateLimited),
        ),
    ]
}
