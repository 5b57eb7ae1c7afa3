//! Wires the analytics API: settings, tables, keys and the handler of the gateway's requests.

// The SDK nests its futures deeply, and these hold several calls.
#![recursion_limit = "256"]

use std::time::Duration;

use analytics::handler::Api;
use analytics::page::Page;
use analytics::settings::Settings;
use analytics::timeseries::Retention;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use runtime::aws::{self, Patience};
use runtime::dynamo::DynamoStore;
use runtime::request::Request;
use runtime::settings::Variables;
use runtime::{clock, log};

/// The gateway waits 29 s for a response, and a query may have many pages.
const PATIENCE: Patience = Patience {
    connect: Duration::from_secs(1),
    attempt: Duration::from_secs(4),
    attempts: 3,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let variables = Variables::of_process();
    log::start(&variables, &[]);
    let settings = Settings::read(&variables)?;
    let client = aws_sdk_dynamodb::Client::new(&aws::config(PATIENCE).await);
    let dimensions: Vec<String> = settings.dimensions.0.into_keys().collect();
    let api = Api {
        usage: DynamoStore::new(client.clone(), &settings.usage_table),
        analytics: DynamoStore::new(client, &settings.analytics_table),
        retention: Retention {
            minutes: settings.minute_retention.0.into(),
            hours: settings.hour_retention.0.into(),
        },
        verifier: bearer::settings::Settings::read(&variables)?.verifier()?,
        plans: settings.plans,
        page: Page::new(settings.sign_in.as_ref(), &dimensions),
        dimensions,
    };
    lambda_runtime::run(service_fn(|event: LambdaEvent<Request>| {
        let api = &api;
        // Boxed: the future may fill some 25 KB.
        async move { Ok::<_, Error>(Box::pin(api.respond(&event.payload, clock::now())).await) }
    }))
    .await
}
