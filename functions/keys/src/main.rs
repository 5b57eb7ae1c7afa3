//! Wires `/v1/keys`: settings, tables, the keys of bearer tokens and the handler of the gateway's
//! requests.

// The SDK nests its futures deeply, and these hold several calls.
#![recursion_limit = "256"]

use std::time::Duration;

use keyring::{DynamoKeys, Keyring};
use keys::handler::Api;
use keys::settings::Settings;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use runtime::aws::{self, Patience};
use runtime::request::Request;
use runtime::settings::Variables;
use runtime::{clock, log};

/// The gateway waits 29 s for a response.
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
    let api = Api {
        keyring: Keyring {
            table: DynamoKeys::new(client, settings.api_keys_table, settings.usage_table),
            prefix: settings.key_prefix,
            plans: settings.plans.into_keys().collect(),
        },
        verifier: bearer::settings::Settings::read(&variables)?.verifier()?,
    };
    lambda_runtime::run(service_fn(|event: LambdaEvent<Request>| {
        let api = &api;
        // Boxed: the future is large.
        async move { Ok::<_, Error>(Box::pin(api.respond(&event.payload, clock::now())).await) }
    }))
    .await
}
