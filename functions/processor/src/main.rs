//! Wires the processor to its table, its metrics and Lambda.

// The SDK nests its futures deeply.
#![recursion_limit = "256"]

use aws_sdk_dynamodb::Client;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use processor::handler::{Delivery, Processor};
use processor::settings::Settings;
use runtime::dynamo::DynamoStore;
use runtime::journal::Journal;
use runtime::metrics::Metrics;
use runtime::settings::Variables;
use runtime::{aws, clock, log};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let variables = Variables::of_process();
    log::start(&variables, &[]);
    let settings = Settings::read(&variables)?;
    let client = Client::new(&aws::config(aws::Patience::BACKGROUND).await);
    let metrics = Metrics::new(settings.metrics_namespace, settings.environment);
    let processor = Processor {
        journal: Journal {
            store: DynamoStore::new(client, settings.analytics_table),
            retention_days: settings.raw_retention.0.into(),
        },
    };
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Delivery>| {
        let (answer, values) = processor.handle(&event.payload, &clock::now).await;
        metrics.emit(clock::now(), &values);
        Ok::<_, Error>(answer)
    }))
    .await
}
