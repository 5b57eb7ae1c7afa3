//! The stream's load and the history of its shards, read from CloudWatch.

use std::future::Future;

use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{Datapoint, Dimension, Statistic};
use domain::names::{METRIC_DIMENSION, kinesis_metric};
use domain::time::UnixMillis;

use crate::decision::{CALM, DAY, Series};

/// Seconds of a period of the load.
const MINUTE: i32 = 60;
/// Seconds of a period of the shards: a call returns at most 1,440 periods, and the scaler runs every
/// two minutes.
const LOOK: i32 = 120;

/// CloudWatch did not answer.
#[derive(Debug, thiserror::Error)]
#[error("`GetMetricStatistics` of `{metric}` failed")]
pub struct SeriesError {
    metric: &'static str,
    source: Box<dyn std::error::Error + Send + Sync>,
}

/// A source of a stream's last day.
pub trait Watch: Send + Sync {
    /// The load of the hours up to `now`, and the shards of the day.
    fn day(&self, now: UnixMillis) -> impl Future<Output = Result<Series, SeriesError>> + Send;
}

/// The metrics of one stream and of its scaler.
#[derive(Debug, Clone)]
pub struct CloudWatch {
    /// The client.
    pub client: Client,
    /// The stream's name.
    pub stream: String,
    /// The namespace of the scaler's own metrics.
    pub namespace: String,
    /// The value of their dimension.
    pub environment: String,
}

impl CloudWatch {
    /// A metric of the stream, summed up by the minute.
    async fn load(
        &self,
        metric: &'static str,
        now: UnixMillis,
    ) -> Result<Vec<(UnixMillis, u64)>, SeriesError> {
        let request = self.client.get_metric_statistics();
        let request = request
            .namespace("AWS/Kinesis")
            .metric_name(metric)
            .dimensions(dimension("StreamName", &self.stream))
            .start_time(DateTime::from_millis(now.plus_millis(-CALM).0))
            .end_time(DateTime::from_millis(now.0))
            .period(MINUTE)
            .statistics(Statistic::Sum);
        let answer = request.send().await;
        let answer = answer.map_err(|error| failed(metric, error))?;
        Ok(points(answer.datapoints(), Datapoint::sum))
    }

    /// The greatest number of shards that each run observed.
    async fn shards(&self, now: UnixMillis) -> Result<Vec<(UnixMillis, u64)>, SeriesError> {
        let request = self.client.get_metric_statistics();
        let request = request
            .namespace(&self.namespace)
            .metric_name(kinesis_metric::SHARDS)
            .dimensions(dimension(METRIC_DIMENSION, &self.environment))
            .start_time(DateTime::from_millis(now.plus_millis(-DAY).0))
            .end_time(DateTime::from_millis(now.0))
            .period(LOOK)
            .statistics(Statistic::Maximum);
        let answer = request.send().await;
        let answer = answer.map_err(|error| failed(kinesis_metric::SHARDS, error))?;
        Ok(points(answer.datapoints(), Datapoint::maximum))
    }
}

impl Watch for CloudWatch {
    async fn day(&self, now: UnixMillis) -> Result<Series, SeriesError> {
        let mut series = Series::default();
        for (at, bytes) in self.load("IncomingBytes", now).await? {
            series.loads.entry(at).or_default().bytes = bytes;
        }
        for (at, records) in self.load("IncomingRecords", now).await? {
            series.loads.entry(at).or_default().records = records;
        }
        let throttled = "WriteProvisionedThroughputExceeded";
        for (at, throttled) in self.load(throttled, now).await? {
            series.loads.entry(at).or_default().throttled = throttled;
        }
        for (at, shards) in self.shards(now).await? {
            // The observation may be from any minute of the period; assume its last one, to be
            // safe.
            let at = at.plus_millis(i64::from(LOOK - MINUTE) * 1_000);
            let shards = u32::try_from(shards).unwrap_or(u32::MAX);
            series.shards.insert(at, shards);
        }
        Ok(series)
    }
}

fn dimension(name: &str, value: &str) -> Dimension {
    Dimension::builder().name(name).value(value).build()
}

fn failed<E>(metric: &'static str, error: E) -> SeriesError
where
    E: std::error::Error + Send + Sync + 'static,
{
    SeriesError {
        metric,
        source: Box::new(error),
    }
}

fn points(
    datapoints: &[Datapoint],
    value: impl Fn(&Datapoint) -> Option<f64>,
) -> Vec<(UnixMillis, u64)> {
    let point = |datapoint: &Datapoint| {
        let at = datapoint.timestamp()?.to_millis().ok()?;
        Some((UnixMillis(at), whole(value(datapoint)?)))
    };
    datapoints.iter().filter_map(point).collect()
}

/// CloudWatch keeps every value as a floating-point number; sums of records and bytes are whole ones.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates at both ends, and a load is not a count of calls"
)]
const fn whole(value: f64) -> u64 {
    value as u64
}
