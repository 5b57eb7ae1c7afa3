//! CloudWatch's alarms, evaluated as CloudWatch does (User Guide, "Alarm evaluation window" and
//! "Configuring how CloudWatch alarms treat missing data"): once a minute, over sliding windows,
//! with the data available at that time.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a test fails by panicking"
)]
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "values of metrics are floats, and milliseconds of a month are far below 2^53"
)]

mod expression;
mod series;
mod world;

use serde_json::Value;

use expression::Expression;
pub use series::Series;
pub use world::{Fault, Lateness, World, calls};

/// Windows beyond the alarm's own in which CloudWatch looks back for values.
const FURTHER: usize = 2;

/// An alarm as a template declares it.
#[derive(Debug)]
pub struct Alarm {
    /// Its logical id.
    pub id: String,
    expression: Expression,
    metrics: Vec<(String, Watched)>,
    period: usize,
    periods: usize,
    breaching: usize,
    threshold: f64,
    missing_breaches: bool,
}

/// A metric with one statistic.
#[derive(Debug)]
struct Watched {
    key: String,
    statistic: String,
}

impl Alarm {
    /// Reads the declaration of `resource`.
    pub fn declared(id: &str, resource: &Value) -> Self {
        let properties = &resource["Properties"];
        assert_eq!(properties["ComparisonOperator"], "GreaterThanThreshold");
        let number = |name: &str| properties[name].as_u64().unwrap().try_into().unwrap();
        let (expression, metrics, period) = match properties["Metrics"].as_array() {
            Some(queries) => of_math(queries),
            None => of_metric(properties),
        };
        Self {
            id: id.to_owned(),
            expression,
            metrics,
            period,
            periods: number("EvaluationPeriods"),
            breaching: number("DatapointsToAlarm"),
            threshold: properties["Threshold"].as_f64().unwrap(),
            missing_breaches: properties["TreatMissingData"] == "breaching",
        }
    }

    /// The minutes at whose end the alarm goes off.
    pub fn goes_off(&self, series: &Series) -> Vec<usize> {
        let mut minutes = Vec::new();
        let mut before = false;
        // Before that, a window would begin before the series.
        let first = self.period * (self.periods + FURTHER);
        for now in first..=series.minutes() {
            let is_on = self.is_on(series, now);
            if is_on && !before {
                minutes.push(now);
            }
            before = is_on;
        }
        minutes
    }

    /// The newest of the available values count; if they are too few, missing ones count as the
    /// alarm specifies.
    fn is_on(&self, series: &Series, now: usize) -> bool {
        let windows = 0..self.periods + FURTHER;
        let values: Vec<f64> = windows
            .filter_map(|back| self.value(series, now - back * self.period, now))
            .take(self.periods)
            .collect();
        let breaching = values.iter().filter(|value| **value > self.threshold);
        let missing = self.periods - values.len();
        let missing = if self.missing_breaches { missing } else { 0 };
        breaching.count() + missing >= self.breaching
    }

    /// The value of the window that ends at `end`, based on the data available at `now`.
    fn value(&self, series: &Series, end: usize, now: usize) -> Option<f64> {
        let window = end - self.period..end;
        self.expression.value(&|id| {
            let (_, watched) = self.metrics.iter().find(|(known, _)| known == id).unwrap();
            series.value(&watched.key, &watched.statistic, window.clone(), now)
        })
    }
}

fn of_math(queries: &[Value]) -> (Expression, Vec<(String, Watched)>, usize) {
    let returned = queries.iter().find(|query| query["ReturnData"] == true);
    let text = returned.unwrap()["Expression"].as_str().unwrap();
    let mut period = 0;
    let metrics = queries.iter().filter(|query| query["ReturnData"] == false);
    let metrics = metrics.map(|query| {
        let stat = &query["MetricStat"];
        period = minutes(&stat["Period"]);
        let watched = Watched {
            key: key(&stat["Metric"]),
            statistic: stat["Stat"].as_str().unwrap().to_owned(),
        };
        (query["Id"].as_str().unwrap().to_owned(), watched)
    });
    let metrics = metrics.collect();
    (Expression::parse(text), metrics, period)
}

fn of_metric(properties: &Value) -> (Expression, Vec<(String, Watched)>, usize) {
    let statistic = &properties["Statistic"];
    let statistic = statistic
        .as_str()
        .or(properties["ExtendedStatistic"].as_str());
    let watched = Watched {
        key: key(properties),
        statistic: statistic.unwrap().to_owned(),
    };
    let metrics = vec![("m1".to_owned(), watched)];
    (
        Expression::parse("m1"),
        metrics,
        minutes(&properties["Period"]),
    )
}

fn minutes(seconds: &Value) -> usize {
    let seconds: usize = seconds.as_u64().unwrap().try_into().unwrap();
    assert_eq!(seconds % 60, 0);
    seconds / 60
}

/// `AWS/Lambda Errors worker`: its namespace, its name, the values of its dimensions.
fn key(metric: &Value) -> String {
    let dimensions = metric["Dimensions"].as_array().into_iter().flatten();
    let values = dimensions.map(|dimension| dimension["Value"].as_str().unwrap());
    let names = [&metric["Namespace"], &metric["MetricName"]].map(|name| name.as_str().unwrap());
    let parts: Vec<&str> = names.into_iter().chain(values).collect();
    parts.join(" ")
}
