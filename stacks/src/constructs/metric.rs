//! Metrics as values, and arithmetic over them.
//!
//! An expression is composed of metrics, never of ids: ids are assigned when it is written, so none
//! can be undefined, and none can mean two things.

use std::ops::{Add, Div, Mul, Sub};

use crate::cfn::Val;

/// The period of a metric. CloudWatch accepts 10, 20 or 30 seconds and whole minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(u32);

impl Period {
    /// Ten seconds: only for high-resolution metrics.
    pub const TEN_SECONDS: Self = Self(10);
    /// Thirty seconds: only for high-resolution metrics.
    pub const THIRTY_SECONDS: Self = Self(30);
    /// One minute.
    pub const MINUTE: Self = Self(60);
    /// Five minutes.
    pub const FIVE_MINUTES: Self = Self(300);
    /// One hour.
    pub const HOUR: Self = Self(3600);

    /// Whole minutes.
    pub const fn minutes(minutes: std::num::NonZeroU16) -> Self {
        Self(minutes.get() as u32 * 60)
    }

    /// Seconds.
    pub const fn seconds(self) -> u32 {
        self.0
    }
}

/// How the values within a period are combined.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Statistic {
    /// Their sum.
    Sum,
    /// Their average.
    Average,
    /// Their minimum.
    Minimum,
    /// Their maximum.
    Maximum,
    /// Their number.
    SampleCount,
    /// A percentile of them.
    Percentile(Percentile),
}

/// A percentile in tenths: `Percentile::P99`, `Percentile::tenths(999)` for p99.9.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Percentile(u16);

impl Percentile {
    /// The median.
    pub const P50: Self = Self(500);
    /// The 95th.
    pub const P95: Self = Self(950);
    /// The 99th.
    pub const P99: Self = Self(990);

    /// Tenths of a percent, at most 1,000.
    pub const fn tenths(tenths: u16) -> Option<Self> {
        if tenths <= 1000 {
            Some(Self(tenths))
        } else {
            None
        }
    }
}

impl Statistic {
    /// The percentile in CloudWatch's form.
    pub fn text(self) -> String {
        match self {
            Self::Sum => "Sum".to_owned(),
            Self::Average => "Average".to_owned(),
            Self::Minimum => "Minimum".to_owned(),
            Self::Maximum => "Maximum".to_owned(),
            Self::SampleCount => "SampleCount".to_owned(),
            Self::Percentile(Percentile(tenths)) if tenths % 10 == 0 => format!("p{}", tenths / 10),
            Self::Percentile(Percentile(tenths)) => format!("p{}.{}", tenths / 10, tenths % 10),
        }
    }
}

/// One metric with its statistic and period.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) dimensions: Vec<(&'static str, Val<String>)>,
    pub(crate) statistic: Statistic,
    pub(crate) period: Period,
}

impl Metric {
    /// A metric without dimensions.
    pub fn new(
        namespace: impl Into<String>,
        name: impl Into<String>,
        statistic: Statistic,
        period: Period,
    ) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
            dimensions: Vec::new(),
            statistic,
            period,
        }
    }

    /// The same metric for one value of a dimension.
    #[must_use]
    pub fn dimension(mut self, name: &'static str, value: impl Into<Val<String>>) -> Self {
        self.dimensions.push((name, value.into()));
        self
    }

    /// The same metric with another statistic.
    #[must_use]
    pub fn by(mut self, statistic: Statistic) -> Self {
        self.statistic = statistic;
        self
    }
}

/// Arithmetic over metrics (CloudWatch User Guide, "Using math expressions").
#[derive(Clone, Debug, PartialEq)]
pub enum Expression {
    /// A metric's values.
    Metric(Metric),
    /// A number.
    Number(f64),
    /// Two expressions and the operator between them.
    Binary(Box<Self>, &'static str, Box<Self>),
    /// One of CloudWatch's functions.
    Call(&'static str, Vec<Self>),
}

impl From<Metric> for Expression {
    fn from(metric: Metric) -> Self {
        Self::Metric(metric)
    }
}

impl From<f64> for Expression {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl Expression {
    fn binary(self, operator: &'static str, other: impl Into<Self>) -> Self {
        Self::Binary(Box::new(self), operator, Box::new(other.into()))
    }

    /// Replaces missing values by this number.
    #[must_use]
    pub fn filled(self, with: f64) -> Self {
        Self::Call("FILL", vec![self, Self::Number(with)])
    }

    /// The absolute value.
    #[must_use]
    pub fn abs(self) -> Self {
        Self::Call("ABS", vec![self])
    }

    /// The quota that AWS applies to this usage; only for metrics in `AWS/Usage` (CloudWatch User
    /// Guide, "Visualizing your service quotas and setting alarms").
    #[must_use]
    pub fn service_quota(self) -> Self {
        Self::Call("SERVICE_QUOTA", vec![self])
    }

    /// 1 if it is greater, otherwise 0.
    #[must_use]
    pub fn greater_than(self, than: impl Into<Self>) -> Self {
        self.binary(">", than)
    }

    /// 1 if it is greater or equal, otherwise 0.
    #[must_use]
    pub fn at_least(self, least: impl Into<Self>) -> Self {
        self.binary(">=", least)
    }

    /// 1 if it is less, otherwise 0.
    #[must_use]
    pub fn less_than(self, than: impl Into<Self>) -> Self {
        self.binary("<", than)
    }

    /// 1 if both are true, otherwise 0.
    #[must_use]
    pub fn and(self, also: impl Into<Self>) -> Self {
        self.binary("AND", also)
    }

    /// This value if `holds` is true, otherwise the other.
    #[must_use]
    pub fn choose(self, holds: impl Into<Self>, otherwise: impl Into<Self>) -> Self {
        Self::Call("IF", vec![self, holds.into(), otherwise.into()])
    }

    /// The expression with an id for each distinct metric, and the metrics by id.
    pub(crate) fn written(&self, ids: &mut Ids) -> (String, Vec<(String, Metric)>) {
        let mut metrics = Vec::new();
        let text = self.write(ids, &mut metrics, true);
        (text, metrics)
    }

    fn write(&self, ids: &mut Ids, metrics: &mut Vec<(String, Metric)>, outermost: bool) -> String {
        match self {
            Self::Metric(metric) => {
                if let Some((id, _)) = metrics.iter().find(|(_, known)| known == metric) {
                    return id.clone();
                }
                let id = ids.metric();
                metrics.push((id.clone(), metric.clone()));
                id
            }
            Self::Number(number) => number.to_string(),
            Self::Binary(left, operator, right) => {
                let left = left.write(ids, metrics, false);
                let right = right.write(ids, metrics, false);
                if outermost {
                    format!("{left} {operator} {right}")
                } else {
                    format!("({left} {operator} {right})")
                }
            }
            Self::Call(function, arguments) => {
                let arguments: Vec<String> = arguments
                    .iter()
                    .map(|argument| argument.write(ids, metrics, true))
                    .collect();
                format!("{function}({})", arguments.join(", "))
            }
        }
    }
}

macro_rules! operators {
    ($($trait:ident $method:ident $operator:literal;)*) => {
        $(
            impl<E: Into<Expression>> $trait<E> for Expression {
                type Output = Self;

                fn $method(self, other: E) -> Self {
                    self.binary($operator, other)
                }
            }

            impl<E: Into<Expression>> $trait<E> for Metric {
                type Output = Expression;

                fn $method(self, other: E) -> Expression {
                    Expression::from(self).binary($operator, other)
                }
            }
        )*
    };
}

operators! {
    Add add "+";
    Sub sub "-";
    Mul mul "*";
    Div div "/";
}

/// Assigns ids, each once.
#[derive(Debug, Default)]
pub(crate) struct Ids {
    metrics: u32,
    expressions: u32,
}

impl Ids {
    pub(crate) fn metric(&mut self) -> String {
        self.metrics += 1;
        format!("m{}", self.metrics)
    }

    pub(crate) fn expression(&mut self) -> String {
        self.expressions += 1;
        format!("e{}", self.expressions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metric(name: &str) -> Metric {
        Metric::new("AWS/SQS", name, Statistic::Sum, Period::MINUTE)
    }

    fn written(expression: &Expression) -> (String, Vec<String>) {
        let (text, metrics) = expression.written(&mut Ids::default());
        let names = metrics
            .into_iter()
            .map(|(id, of)| format!("{id}={}", of.name));
        (text, names.collect())
    }

    #[test]
    fn a_metric_used_twice_has_one_id() {
        let both = Expression::from(metric("sent")) + metric("sent") - metric("deleted");
        let (text, metrics) = written(&both);
        assert_eq!(text, "(m1 + m1) - m2");
        assert_eq!(metrics, ["m1=sent", "m2=deleted"]);
    }

    #[test]
    fn the_same_metric_by_another_statistic_is_another() {
        let ratio = metric("sent") / metric("sent").by(Statistic::SampleCount);
        assert_eq!(written(&ratio).0, "m1 / m2");
    }

    #[test]
    fn what_belongs_together_stays_together() {
        let scaled = (metric("sent") - metric("deleted")).abs() * 100.0 / metric("sent");
        assert_eq!(written(&scaled).0, "(ABS(m1 - m2) * 100) / m1");
        let chosen = Expression::from(metric("sent"))
            .filled(0.0)
            .greater_than(0.0)
            .and(Expression::from(metric("deleted")).less_than(1.0))
            .choose(1.0, 0.0);
        assert_eq!(
            written(&chosen).0,
            "IF((FILL(m1, 0) > 0) AND (m2 < 1), 1, 0)"
        );
    }

    #[test]
    fn percentiles_are_written_as_cloudwatch_reads_them() {
        assert_eq!(Statistic::Percentile(Percentile::P99).text(), "p99");
        let tenths = |tenths| Percentile::tenths(tenths).map(|p| Statistic::Percentile(p).text());
        assert_eq!(tenths(999).as_deref(), Some("p99.9"));
        assert_eq!(tenths(1001), None);
    }
}
