//! Wires the reconciler to its table, its queue, its metrics and Lambda.

// The SDK nests its futures deeply.
#![recursion_limit = "256"]

use lambda_runtime::{Error, LambdaEvent, service_fn};
use reconciler::handler::Reconciler;
use reconciler::invocation::Invocation;
use reconciler::settings::Settings;
use runtime::dynamo::DynamoStore;
use runtime::journal::Journal;
use runtime::metrics::Metrics;
use runtime::queue::SqsQueue;
use runtime::settings::Variables;
use runtime::{aws, clock, log};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let variables = Variables::of_process();
    log::start(&variables, &[]);
    let settings = Settings::read(&variables)?;
    let config = aws::config(aws::Patience::BACKGROUND).await;
    let tables = aws_sdk_dynamodb::Client::new(&config);
    let queues = aws_sdk_sqs::Client::new(&config);
    let metrics = Metrics::new(settings.metrics_namespace, settings.environment);
    let reconciler = Reconciler {
        journal: Journal {
            store: DynamoStore::new(tables, settings.analytics_table),
            retention_days: settings.raw_retention.0.into(),
        },
        queue: SqsQueue::new(queues, settings.reconcile_queue),
        source: settings.event_source,
        window_seconds: settings.reconcile_window.0,
    };
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Invocation>| {
        let handled = reconciler.handle(&event.payload, clock::now()).await;
        let (answer, values) = handled?;
        metrics.emit(clock::now(), &values);
        Ok::<_, Error>(answer)
    }))
    .await
}
