//! Wires the aggregator: settings, tables, metrics and the handler of its payloads.

// The SDK nests its futures deeply, and these hold several calls.
#![recursion_limit = "256"]

use std::time::Duration;

use aggregator::bucket::S3Bucket;
use aggregator::everybody::Retention;
use aggregator::handler::{Aggregator, Event, Memory};
use aggregator::metrics::{emit_of_plans, of_batch, of_tick};
use aggregator::reports::Reports;
use aggregator::settings::Settings;
use aggregator::thresholds::{LookMemory, Thresholds};
use domain::report::Which;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use runtime::dynamo::DynamoStore;
use runtime::metrics::Metrics;
use runtime::post_response::deadline;
use runtime::queue::SqsQueue;
use runtime::settings::Variables;
use runtime::{aws, clock, log};
use serde_json::{Value, json};
use tokio::time::Instant;

/// Part of an invocation's time reserved for the response and for work under way.
const MARGIN: Duration = Duration::from_secs(20);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let variables = Variables::of_process();
    log::start(&variables, &[]);
    let settings = Settings::read(&variables)?;
    let config = aws::config(aws::Patience::BACKGROUND).await;
    let client = aws_sdk_dynamodb::Client::new(&config);
    let thresholds = Thresholds {
        usage: DynamoStore::new(client.clone(), &settings.usage_table),
        alerts: SqsQueue::new(aws_sdk_sqs::Client::new(&config), settings.alert_queue),
        plans: settings.plans,
        memory: LookMemory::default(),
    };
    let of_plans = settings.plan_metrics_namespace;
    let of_plans = of_plans.map(|namespace| Metrics::new(namespace, &settings.environment));
    let metrics = Metrics::new(settings.metrics_namespace, &settings.environment);
    let bucket = settings.report_bucket.map(|name| {
        let bucket = S3Bucket::new(&config, &name);
        (name, bucket)
    });
    let (environment, units) = (settings.environment.as_str(), settings.reports.0.as_slice());
    let aggregator = Aggregator {
        analytics: DynamoStore::new(client.clone(), settings.analytics_table),
        usage: DynamoStore::new(client, settings.usage_table),
        retention: Retention {
            raw: settings.raw_retention.0.into(),
            minutes: settings.minute_retention.0.into(),
            hours: settings.hour_retention.0.into(),
        },
        reported_within: i64::from(settings.reconcile_seconds.0) * 1_000,
        cache: Memory::default(),
    };
    lambda_runtime::run(service_fn(|event: LambdaEvent<Event>| {
        let (aggregator, thresholds) = (&aggregator, &thresholds);
        let (metrics, of_plans, bucket) = (&metrics, of_plans.as_ref(), bucket.as_ref());
        async move {
            let until = deadline(&event.context, MARGIN);
            let over = || Instant::now() >= until;
            let now = clock::now();
            let answer = match event.payload {
                Event::Batch { records } => {
                    let batch = Box::pin(aggregator.batch(&records, now, &over));
                    let (answer, folded) = batch.await;
                    metrics.emit(clock::now(), &of_batch(&folded));
                    emit_of_plans(of_plans, &thresholds.plans, now, &folded.growth);
                    Box::pin(thresholds.look(&folded.counted, clock::now(), &over)).await;
                    serde_json::to_value(answer)?
                }
                Event::Tick { .. } => {
                    let periods = thresholds.periods();
                    periods.begin(now).await?;
                    let ticked = Box::pin(aggregator.tick(now, &over)).await?;
                    metrics.emit(clock::now(), &of_tick(&ticked));
                    emit_of_plans(of_plans, &thresholds.plans, now, &ticked.folded.growth);
                    let look = thresholds.look(&ticked.folded.counted, clock::now(), &over);
                    Box::pin(look).await;
                    let looks = thresholds.look_at_closed(&ticked.closed, clock::now(), &over);
                    let looked = Box::pin(looks).await;
                    // Looks that fail hold up no bill.
                    Box::pin(periods.hand_over(clock::now(), &over)).await?;
                    looked?;
                    Value::Null
                }
                Event::Report { report: Which::Due } => {
                    let made = match bucket {
                        Some((bucket_name, bucket)) => {
                            let reports = Reports {
                                environment,
                                units,
                                periods: thresholds.periods(),
                                bucket,
                                bucket_name,
                            };
                            Box::pin(reports.make_due(now, &over)).await?
                        }
                        None => Vec::new(),
                    };
                    json!({ "reports": made })
                }
                Event::Close { close } => {
                    json!({"days": aggregator.close_again(close, now).await?})
                }
                Event::Fold { fold } => {
                    json!({"minutes": aggregator.fold_again(fold, now).await?})
                }
            };
            Ok::<_, Error>(answer)
        }
    }))
    .await
}
