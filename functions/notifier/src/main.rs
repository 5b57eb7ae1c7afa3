//! Wires the notifier to its table, its queue, its secrets, the alarm topic and the internet.

// The SDK nests its futures deeply.
#![recursion_limit = "256"]

use domain::delivery::BatchAnswer;
use domain::names::kinesis_metric;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use notifier::handler::{Handled, Notifier};
use notifier::mail::SnsTopic;
use notifier::post::HttpPost;
use notifier::secrets::{SecretsManager, SigningSecrets};
use notifier::settings::Settings;
use runtime::dynamo::DynamoStore;
use runtime::log::Chain;
use runtime::metrics::{Metric, Metrics};
use runtime::queue::SqsQueue;
use runtime::settings::Variables;
use runtime::{aws, clock, log};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
struct Batch {
    #[serde(rename = "Records")]
    records: Vec<Record>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    message_id: String,
    body: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let variables = Variables::of_process();
    log::start(&variables, &[]);
    let settings = Settings::read(&variables)?;
    let config = aws::config(aws::Patience::BACKGROUND).await;
    let tables = aws_sdk_dynamodb::Client::new(&config);
    let metrics = Metrics::new(settings.metrics_namespace, settings.environment);
    let secrets = aws_sdk_secretsmanager::Client::new(&config);
    let notifier = Notifier {
        usage: DynamoStore::new(tables, settings.usage_table),
        queue: SqsQueue::new(aws_sdk_sqs::Client::new(&config), settings.alert_queue),
        mail: SnsTopic::new(aws_sdk_sns::Client::new(&config), settings.alert_topic),
        post: HttpPost::new()?,
        secrets: SigningSecrets::new(SecretsManager::new(secrets, settings.webhook_secrets)),
        endpoints: settings.endpoints,
        source: settings.event_source,
    };
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Batch>| {
        let mut failed = Vec::new();
        let mut given_up = 0;
        for record in &event.payload.records {
            match notifier.handle(&record.body, clock::now()).await {
                Ok(Handled::GivenUp) => given_up += 1,
                Ok(Handled::Done | Handled::PutOff) => {}
                Err(error) => {
                    tracing::warn!(error = %Chain(&error), "a message is retried");
                    failed.push(record.message_id.as_str());
                }
            }
        }
        let given_up = Metric::count(kinesis_metric::DELIVERIES_FAILED, given_up);
        metrics.emit(clock::now(), &[given_up]);
        Ok::<_, Error>(BatchAnswer::failed(failed))
    }))
    .await
}
