//! Wires the scaler to its stream, its metrics and its schedule.

// The SDK nests its futures deeply.
#![recursion_limit = "256"]

use lambda_runtime::{Error, LambdaEvent, service_fn};
use runtime::metrics::Metrics;
use runtime::settings::Variables;
use runtime::{aws, clock, log};
use scaler::cloudwatch::CloudWatch;
use scaler::decision::{Bounds, Decision};
use scaler::handler::{Looked, Scaler};
use scaler::kinesis::KinesisStream;
use scaler::settings::Settings;
use serde::Deserialize;

/// EventBridge's `Scheduled Event`. The scaler ignores its content.
#[derive(Debug, Deserialize)]
struct Tick {}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let variables = Variables::of_process();
    log::start(&variables, &[]);
    let settings = Settings::read(&variables)?;
    let config = aws::config(aws::Patience::BACKGROUND).await;
    let metrics = Metrics::new(&settings.metrics_namespace, &settings.environment);
    let scaler = Scaler {
        stream: KinesisStream::new(aws_sdk_kinesis::Client::new(&config), &settings.stream),
        watch: CloudWatch {
            client: aws_sdk_cloudwatch::Client::new(&config),
            stream: settings.stream,
            namespace: settings.metrics_namespace,
            environment: settings.environment,
        },
        bounds: Bounds {
            least: settings.least.0,
            most: settings.most.0,
        },
    };
    lambda_runtime::run(service_fn(async |_: LambdaEvent<Tick>| {
        let now = clock::now();
        let looked = scaler.look(now).await?;
        metrics.emit(now, &looked.metrics());
        tell(looked);
        Ok::<_, Error>(())
    }))
    .await
}

fn tell(looked: Looked) {
    match looked {
        Looked::At(shards, Decision::Change(target)) => {
            tracing::info!(shards, target, "the stream changes its shards");
        }
        Looked::At(shards, Decision::Refused(why)) => {
            tracing::warn!(shards, ?why, "the stream needs more shards and gets none");
        }
        Looked::Changing | Looked::At(_, Decision::Stay) => {}
    }
}
