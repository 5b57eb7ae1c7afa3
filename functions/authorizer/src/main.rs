//! Wires the authorizer to its tables, its stream and the Lambda service.

use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use authorizer::event::Origin;
use authorizer::handler::Handler;
use authorizer::keys::{DynamoKeyTable, Keys};
use authorizer::settings::Settings;
use authorizer::tracking::{Analytics, Tracking};
use aws_sdk_dynamodb::Client;
use domain::names::Function;
use lambda_runtime::layers::TracingLayer;
use lambda_runtime::{Error, Runtime, service_fn};
use runtime::aws::{self, Patience};
use runtime::clock;
use runtime::dynamo::DynamoStore;
use runtime::log::{self, Chain};
use runtime::metrics::Metrics;
use runtime::post_response::PostResponse;
use runtime::settings::Variables;
use runtime::spill::Limits;
use runtime::stream::KinesisStream;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let variables = Variables::of_process();
    // A refused call is no error of ours, and the other failures are logged where they happen.
    log::start(&variables, &[log::HANDLER_ERRORS]);
    match run(&variables).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = %Chain(error.as_ref()), "the authorizer ends");
            ExitCode::FAILURE
        }
    }
}

async fn run(variables: &Variables) -> Result<(), Error> {
    let settings = Settings::read(variables)?;
    let post_response = PostResponse::register(variables, Function::Authorizer.folder()).await;
    let config = aws::config(Patience::CALLER).await;
    let keys = Keys::new(DynamoKeyTable::new(&config, settings.api_keys_table));
    keys.connect().await;
    let tables = Client::new(&config);
    let tracking = Tracking::new(
        KinesisStream::new(&config, settings.usage_stream),
        Analytics {
            store: DynamoStore::new(tables.clone(), settings.analytics_table),
            raw_retention_days: settings.raw_retention.0.into(),
            limits: Limits::default(),
        },
        DynamoStore::new(tables, settings.api_usage_table),
        Metrics::new(settings.metrics_namespace, settings.environment),
    );
    let handler = Handler {
        keys,
        plans: settings.plans,
        origin: Origin {
            source: settings.event_source,
            mode: settings.tracking_mode,
            lanes: Mutex::default(),
        },
        tracking: Arc::new(tracking),
        deferral: post_response.deferral(),
        clock: clock::now,
    };
    let handler = Arc::new(handler);
    let service = service_fn(move |event| {
        let handler = Arc::clone(&handler);
        // Boxed: what it may come to do fills some 30 KB.
        async move { Box::pin(handler.handle(event)).await }
    });
    let runtime = Runtime::new(service).layer(TracingLayer::new());
    post_response.serve(runtime).await
}
