//! Wires the aggregator: settings, tables, metrics, and the events that Lambda brings.

// The SDK nests its futures deeply, and these hold several calls.
#![recursion_limit = "256"]

use aggregator::global::Retention;
use aggregator::handler::{Aggregator, Event};
use aggregator::settings::Settings;
use domain::delivery::Answer;
use domain::names::kinesis_metric;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use runtime::dynamo::DynamoStore;
use runtime::metrics::{Metric, Metrics};
use runtime::settings::Variables;
use runtime::spill::Limits;
use runtime::{aws, clock, log};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let variables = Variables::of_process();
    log::start(&variables, &[]);
    let settings = Settings::read(&variables)?;
    let client = aws_sdk_dynamodb::Client::new(&aws::config(aws::Patience::BACKGROUND).await);
    let metrics = Metrics::new(settings.metrics_namespace, settings.environment);
    let aggregator = Aggregator {
        analytics: DynamoStore::new(client.clone(), settings.analytics_table),
        usage: DynamoStore::new(client, settings.usage_table),
        retention: Retention {
            minutes: settings.minute_retention.0.into(),
            hours: settings.hour_retention.0.into(),
        },
        limits: Limits::default(),
    };
    lambda_runtime::run(service_fn(|event: LambdaEvent<Event>| {
        let (aggregator, metrics) = (&aggregator, &metrics);
        async move {
            match event.payload {
                Event::Batch { records } => Ok(aggregator.batch(&records).await),
                Event::Tick { .. } => {
                    let now = clock::now();
                    let users = aggregator.tick(now).await?;
                    metrics.emit(now, &[Metric::count(kinesis_metric::UNIQUE_USERS, users)]);
                    Ok::<_, Error>(Answer::default())
                }
            }
        }
    }))
    .await
}
