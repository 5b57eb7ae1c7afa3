//! Reads metrics and alarms.

use std::collections::BTreeMap;

use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{Datapoint, Dimension, Statistic};
use domain::time::UnixMillis;

use crate::error::{Error, failed};
use crate::session::Session;

/// The most names that AWS accepts in one `DescribeAlarms`.
const ALARMS_A_CALL: usize = 100;

/// An alarm and its state.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct AlarmState {
    /// The alarm's name.
    pub name: String,
    /// `OK`, `ALARM` or `INSUFFICIENT_DATA`.
    pub state: String,
    /// What it means and what to do.
    pub description: String,
}

/// A metric with its statistic and period.
#[derive(Debug, Clone, Copy)]
pub struct MetricSeries<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its dimensions.
    pub dimensions: &'a [(String, String)],
    /// `Sum`, `Average`, `Minimum`, `Maximum`, `SampleCount`, or a percentile such as `p99`.
    pub statistic: &'a str,
    /// Seconds.
    pub period: u32,
}

/// The account's metrics.
#[derive(Debug, Clone)]
pub struct Metrics {
    client: aws_sdk_cloudwatch::Client,
}

impl Metrics {
    /// Metrics reached through `session`.
    pub fn new(session: &Session) -> Self {
        Self {
            client: aws_sdk_cloudwatch::Client::new(session.config()),
        }
    }

    /// The named alarms, by name.
    pub async fn alarms(&self, names: &[String]) -> Result<Vec<AlarmState>, Error> {
        let mut states = Vec::new();
        for some in names.chunks(ALARMS_A_CALL) {
            let answer = self
                .client
                .describe_alarms()
                .set_alarm_names(Some(some.to_vec()))
                .max_records(100)
                .send()
                .await
                .map_err(failed("DescribeAlarms"))?;
            states.extend(answer.metric_alarms().iter().map(|alarm| {
                AlarmState {
                    name: alarm.alarm_name().unwrap_or_default().to_owned(),
                    state: alarm
                        .state_value()
                        .map_or("INSUFFICIENT_DATA", |state| state.as_str())
                        .to_owned(),
                    description: alarm.alarm_description().unwrap_or_default().to_owned(),
                }
            }));
        }
        states.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(states)
    }

    /// The sum of a metric over whole minutes; `None` if there are no values.
    pub async fn sum(
        &self,
        namespace: &str,
        metric: &str,
        dimension: (&str, &str),
        between: (UnixMillis, UnixMillis),
    ) -> Result<Option<f64>, Error> {
        let minutes = self
            .minutes(namespace, metric, dimension, between, Statistic::Sum)
            .await?;
        Ok((!minutes.is_empty()).then(|| minutes.iter().sum()))
    }

    /// The greatest value of a metric; `None` if there are no values.
    pub async fn maximum(
        &self,
        namespace: &str,
        metric: &str,
        dimension: (&str, &str),
        between: (UnixMillis, UnixMillis),
    ) -> Result<Option<f64>, Error> {
        let minutes = self
            .minutes(namespace, metric, dimension, between, Statistic::Maximum)
            .await?;
        Ok(minutes.into_iter().reduce(f64::max))
    }

    /// The average of a metric in each minute that has a value, in no order.
    pub async fn averages(
        &self,
        namespace: &str,
        metric: &str,
        dimension: (&str, &str),
        between: (UnixMillis, UnixMillis),
    ) -> Result<Vec<f64>, Error> {
        self.minutes(namespace, metric, dimension, between, Statistic::Average)
            .await
    }

    /// A metric's values over time, by the start of their periods.
    pub async fn series(
        &self,
        asked: &MetricSeries<'_>,
        (from, to): (UnixMillis, UnixMillis),
    ) -> Result<BTreeMap<UnixMillis, f64>, Error> {
        let dimensions = asked.dimensions.iter();
        let dimensions =
            dimensions.map(|(name, value)| Dimension::builder().name(name).value(value).build());
        let is_percentile = asked.statistic.starts_with('p');
        let request = self
            .client
            .get_metric_statistics()
            .namespace(asked.namespace)
            .metric_name(asked.name)
            .set_dimensions(Some(dimensions.collect()))
            .start_time(DateTime::from_millis(from.0))
            .end_time(DateTime::from_millis(to.0))
            .period(i32::try_from(asked.period).unwrap_or(i32::MAX));
        let request = if is_percentile {
            request.extended_statistics(asked.statistic)
        } else {
            request.statistics(Statistic::from(asked.statistic))
        };
        let answer = request.send().await;
        let answer = answer.map_err(failed("GetMetricStatistics"))?;
        let value = |point: &Datapoint| match asked.statistic {
            "Sum" => point.sum(),
            "Average" => point.average(),
            "Minimum" => point.minimum(),
            "Maximum" => point.maximum(),
            "SampleCount" => point.sample_count(),
            percentile => point.extended_statistics()?.get(percentile).copied(),
        };
        let points = answer.datapoints().iter().filter_map(|point| {
            let at = UnixMillis::from_seconds(point.timestamp()?.secs());
            Some((at, value(point)?))
        });
        Ok(points.collect())
    }

    async fn minutes(
        &self,
        namespace: &str,
        metric: &str,
        (name, value): (&str, &str),
        (from, to): (UnixMillis, UnixMillis),
        statistic: Statistic,
    ) -> Result<Vec<f64>, Error> {
        let answer = self
            .client
            .get_metric_statistics()
            .namespace(namespace)
            .metric_name(metric)
            .dimensions(Dimension::builder().name(name).value(value).build())
            .start_time(DateTime::from_millis(from.0))
            .end_time(DateTime::from_millis(to.0))
            .period(60)
            .statistics(statistic.clone())
            .send()
            .await
            .map_err(failed("GetMetricStatistics"))?;
        let points = answer.datapoints().iter();
        Ok(points
            .filter_map(|point| match statistic {
                Statistic::Sum => point.sum(),
                Statistic::Average => point.average(),
                _ => point.maximum(),
            })
            .collect())
    }
}
