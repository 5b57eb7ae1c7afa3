//! An alarm on a metric or an expression, which notifies a topic of failure and recovery.

use super::metric::{Expression, Ids, Metric, Statistic};
use super::stack::Stack;
use super::topic::Topic;
use crate::cfn::{LogicalId, Val, cloudwatch};

/// What an alarm watches.
#[derive(Clone, Debug)]
pub enum Watched {
    /// One metric.
    Metric(Metric),
    /// Arithmetic over several, at most ten.
    Expression(Expression),
}

impl From<Metric> for Watched {
    fn from(metric: Metric) -> Self {
        Self::Metric(metric)
    }
}

impl From<Expression> for Watched {
    fn from(expression: Expression) -> Self {
        Self::Expression(expression)
    }
}

/// When a value breaches.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Comparison {
    /// Above this.
    Above(f64),
    /// This or above.
    AtLeast(f64),
    /// Below this.
    Below(f64),
    /// This or below.
    AtMost(f64),
}

/// How to treat a period without values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Not breaching: nothing happened.
    Fine,
    /// Breaching: something should have happened.
    Breaching,
}

/// The settings of an alarm.
#[derive(Clone, Debug)]
pub struct AlarmSettings<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its meaning and the remedy, at most 1,024 characters.
    pub description: Val<String>,
    /// What it watches.
    pub watched: Watched,
    /// When a value breaches.
    pub breaches: Comparison,
    /// The number of recent periods to evaluate.
    pub periods: u32,
    /// How many of them must breach.
    pub breaching: u32,
    /// How to treat a period without values.
    pub missing: Missing,
    /// The topic to notify, of failure and of recovery.
    pub topic: &'a Topic,
}

/// An alarm, known by its name.
#[derive(Clone, Debug)]
pub struct Alarm {
    pub(crate) name: String,
}

/// CloudWatch accepts ten metrics in an alarm's expression.
const METRICS: usize = 10;

impl Alarm {
    /// Declares an alarm.
    pub fn new(stack: &mut Stack, id: impl Into<LogicalId>, settings: AlarmSettings<'_>) -> Self {
        let id = id.into();
        let (operator, threshold) = match settings.breaches {
            Comparison::Above(n) => (cloudwatch::AlarmComparisonOperator::GreaterThanThreshold, n),
            Comparison::AtLeast(n) => (
                cloudwatch::AlarmComparisonOperator::GreaterThanOrEqualToThreshold,
                n,
            ),
            Comparison::Below(n) => (cloudwatch::AlarmComparisonOperator::LessThanThreshold, n),
            Comparison::AtMost(n) => (
                cloudwatch::AlarmComparisonOperator::LessThanOrEqualToThreshold,
                n,
            ),
        };
        let missing = match settings.missing {
            Missing::Fine => cloudwatch::AlarmTreatMissingData::NotBreaching,
            Missing::Breaching => cloudwatch::AlarmTreatMissingData::Breaching,
        };
        let alarm = cloudwatch::Alarm::new()
            .alarm_name(settings.name)
            .alarm_description(settings.description)
            .comparison_operator(operator)
            .threshold(threshold)
            .evaluation_periods(settings.periods)
            .datapoints_to_alarm(settings.breaching)
            .treat_missing_data(missing)
            .alarm_actions([settings.topic.arn()])
            .ok_actions([settings.topic.arn()]);
        let alarm = match settings.watched {
            Watched::Metric(metric) => with_metric(alarm, &metric),
            Watched::Expression(expression) => {
                let (alarm, metrics) = with_expression(alarm, &expression);
                if metrics == 0 || metrics > METRICS {
                    stack.template().problem(
                        &id,
                        format!("{metrics} metrics in an expression, 1 to {METRICS} are allowed"),
                    );
                }
                alarm
            }
        };
        stack.template().add(id, alarm);
        Self {
            name: settings.name.to_owned(),
        }
    }

    /// An alarm of another stack, in this account and region.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
        }
    }
}

fn with_metric(alarm: cloudwatch::Alarm, metric: &Metric) -> cloudwatch::Alarm {
    let alarm = alarm
        .namespace(metric.namespace.as_str())
        .metric_name(metric.name.as_str())
        .period(metric.period.seconds())
        .dimensions(dimensions(metric));
    match metric.statistic {
        Statistic::Percentile(_) => alarm.extended_statistic(metric.statistic.text()),
        Statistic::Sum => alarm.statistic(cloudwatch::AlarmStatistic::Sum),
        Statistic::Average => alarm.statistic(cloudwatch::AlarmStatistic::Average),
        Statistic::Minimum => alarm.statistic(cloudwatch::AlarmStatistic::Minimum),
        Statistic::Maximum => alarm.statistic(cloudwatch::AlarmStatistic::Maximum),
        Statistic::SampleCount => alarm.statistic(cloudwatch::AlarmStatistic::SampleCount),
    }
}

fn with_expression(
    alarm: cloudwatch::Alarm,
    expression: &Expression,
) -> (cloudwatch::Alarm, usize) {
    let mut ids = Ids::default();
    let (text, metrics) = expression.written(&mut ids);
    let count = metrics.len();
    let result = cloudwatch::AlarmMetricDataQuery::new(ids.expression())
        .expression(text)
        .return_data(true);
    let inputs = metrics.into_iter().map(|(id, metric)| {
        cloudwatch::AlarmMetricDataQuery::new(id)
            .return_data(false)
            .metric_stat(cloudwatch::AlarmMetricStat::new(
                cloudwatch::AlarmMetricStatRequired {
                    metric: cloudwatch::AlarmMetric::new()
                        .namespace(metric.namespace.as_str())
                        .metric_name(metric.name.as_str())
                        .dimensions(dimensions(&metric)),
                    period: Val::from(metric.period.seconds()),
                    stat: metric.statistic.text().into(),
                },
            ))
    });
    let queries: Vec<_> = std::iter::once(result).chain(inputs).collect();
    (alarm.metrics(queries), count)
}

fn dimensions(metric: &Metric) -> Vec<cloudwatch::AlarmDimension> {
    let dimensions = metric.dimensions.iter();
    dimensions
        .map(|(name, value)| {
            cloudwatch::AlarmDimension::new(cloudwatch::AlarmDimensionRequired {
                name: (*name).into(),
                value: value.clone(),
            })
        })
        .collect()
}
