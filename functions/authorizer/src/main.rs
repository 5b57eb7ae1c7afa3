//! Wires the authorizer to its tables, its stream and the Lambda service.

use std::process::ExitCode;
use std::sync::Arc;

use authorizer::blocks::Blocks;
use authorizer::event::Origin;
use authorizer::handler::{Access, Handler};
use authorizer::keys::{DynamoKeyTable, Keys};
use authorizer::limits::Limiter;
use authorizer::settings::Settings;
use authorizer::tracking::Tracking;
use aws_sdk_dynamodb::Client;
use domain::names::Function;
use domain::time::UnixMillis;
use lambda_runtime::layers::TracingLayer;
use lambda_runtime::{Error, Runtime, service_fn};
use runtime::aws::{self, Patience};
use runtime::clock;
use runtime::counters::DynamoCounters;
use runtime::dynamo::DynamoStore;
use runtime::journal::Journal;
use runtime::log::{self, Chain};
use runtime::metrics::Metrics;
use runtime::post_response::PostResponse;
use runtime::settings::Variables;
use runtime::stream::KinesisStream;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let variables = Variables::of_process();
    // A refused call is not an error, and other failures are logged where they happen.
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
    let usage = DynamoStore::new(Client::new(&config), &settings.usage_table);
    let blocks = Blocks::new(usage.clone());
    blocks.catch_up(clock::now()).await;
    let limiter = Limiter::new(usage, DynamoCounters::new(&config, settings.usage_table));
    let tracking = Tracking::new(
        KinesisStream::new(&config, settings.usage_stream),
        Journal {
            store: DynamoStore::new(Client::new(&config), settings.analytics_table),
            retention_days: settings.raw_retention.0.into(),
        },
        Metrics::new(settings.metrics_namespace, settings.environment),
        clock::now as fn() -> UnixMillis,
    );
    let handler = Handler {
        access: Arc::new(Access {
            keys,
            blocks,
            limiter,
            plans: settings.plans,
        }),
        key_prefix: settings.key_prefix,
        reserved: settings.reserved_headers.0,
        origin: Origin {
            source: settings.event_source,
            mode: settings.tracking_mode,
            routes: settings.routes,
            attached: settings.attached,
            dimensions: settings.dimensions,
        },
        tracking: Arc::new(tracking),
        deferral: post_response.deferral(),
        clock: clock::now as fn() -> UnixMillis,
    };
    let handler = Arc::new(handler);
    let service = service_fn(move |event| {
        let handler = Arc::clone(&handler);
        // Boxed: the future of everything that a call may need fills some 30 KB.
        async move { Box::pin(handler.handle(event)).await }
    });
    let runtime = Runtime::new(service).layer(TracingLayer::new());
    post_response.serve(runtime).await
}
