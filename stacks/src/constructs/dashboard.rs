//! A dashboard from typed widgets, laid out row by row on CloudWatch's grid of 24 columns.

use super::alarm::Alarm;
use super::metric::{Expression, Ids, Metric, Period};
use super::stack::Stack;
use crate::cfn::dashboard::{self, Body, Content, Series, View};
use crate::cfn::{LogicalId, cloudwatch};

/// Columns of the grid.
const COLUMNS: u32 = 24;

/// Rows of widgets.
#[derive(Debug, Default)]
pub struct Dashboard {
    body: Body,
    ids: Ids,
    below: u32,
    problems: Vec<String>,
}

/// A widget.
#[derive(Clone, Debug)]
pub struct Widget {
    width: u32,
    height: u32,
    content: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Metrics {
        title: String,
        view: View,
        period: Period,
        lines: Vec<(String, Expression)>,
        stacked: bool,
        thresholds: Vec<(f64, String)>,
    },
    Logs {
        title: String,
        query: String,
    },
    Alarms {
        title: String,
        names: Vec<String>,
    },
    Text(String),
}

impl Widget {
    /// Lines over time.
    pub fn graph(title: &str, period: Period) -> Self {
        Self::metrics(title, View::TimeSeries, period, 8, 6)
    }

    /// The latest values as numbers.
    pub fn numbers(title: &str, period: Period) -> Self {
        Self::metrics(title, View::SingleValue, period, 8, 4)
    }

    /// The states of alarms.
    pub fn alarms<'a>(title: &str, alarms: impl IntoIterator<Item = &'a Alarm>) -> Self {
        Self {
            width: COLUMNS,
            height: 3,
            content: Kind::Alarms {
                title: title.to_owned(),
                names: alarms.into_iter().map(|alarm| alarm.name.clone()).collect(),
            },
        }
    }

    /// The result of a query of Logs Insights over log groups, as a table. `query` lacks the groups: it
    /// begins with a command such as `fields` or `parse`.
    pub fn logs<'a>(title: &str, groups: impl IntoIterator<Item = &'a str>, query: &str) -> Self {
        let sources = groups
            .into_iter()
            .map(|group| format!("SOURCE '{group}' | "));
        Self {
            width: COLUMNS / 2,
            height: 6,
            content: Kind::Logs {
                title: title.to_owned(),
                query: sources.collect::<String>() + query,
            },
        }
    }

    /// Words, in Markdown.
    pub fn text(markdown: &str) -> Self {
        Self {
            width: COLUMNS,
            height: 2,
            content: Kind::Text(markdown.to_owned()),
        }
    }

    fn metrics(title: &str, view: View, period: Period, width: u32, height: u32) -> Self {
        Self {
            width,
            height,
            content: Kind::Metrics {
                title: title.to_owned(),
                view,
                period,
                lines: Vec::new(),
                stacked: false,
                thresholds: Vec::new(),
            },
        }
    }

    /// Marks the value beyond which an alarm goes off.
    #[must_use]
    pub fn threshold(mut self, value: f64, alarm: &Alarm) -> Self {
        if let Kind::Metrics { thresholds, .. } = &mut self.content {
            thresholds.push((value, format!("alarm {}", alarm.name)));
        }
        self
    }

    /// Adds a line or number, with the widget's period.
    #[must_use]
    pub fn line(mut self, label: &str, of: impl Into<Expression>) -> Self {
        if let Kind::Metrics { lines, .. } = &mut self.content {
            lines.push((label.to_owned(), of.into()));
        }
        self
    }

    /// The same widget, this many columns wide.
    #[must_use]
    pub fn wide(mut self, columns: u32) -> Self {
        self.width = columns;
        self
    }
}

impl Dashboard {
    /// Adds a row of widgets at the bottom.
    #[must_use]
    pub fn row(mut self, widgets: impl IntoIterator<Item = Widget>) -> Self {
        let mut left = 0;
        let mut tallest = 0;
        for widget in widgets {
            let place = dashboard::Place {
                x: left,
                y: self.below,
                width: widget.width,
                height: widget.height,
            };
            left += widget.width;
            tallest = tallest.max(widget.height);
            let content = self.content(widget.content);
            self.body.push(place, content);
        }
        self.below += tallest;
        self
    }

    /// Declares the dashboard. Its content is checked with the stack, against CloudWatch's own
    /// description: [`crate::cfn::dashboard_problems`].
    pub fn declare(self, stack: &mut Stack, id: impl Into<LogicalId>, name: &str) {
        let id = id.into();
        for problem in self.problems {
            stack.template().problem(&id, problem);
        }
        let dashboard = cloudwatch::Dashboard::new(self.body.json()).dashboard_name(name);
        stack.template().add(id, dashboard);
    }

    fn content(&mut self, kind: Kind) -> Content {
        match kind {
            Kind::Text(markdown) => Content::Text(markdown),
            Kind::Logs { title, query } => Content::Logs { title, query },
            Kind::Alarms { title, names } => Content::Alarms { title, names },
            Kind::Metrics {
                title,
                view,
                period,
                lines,
                stacked,
                thresholds,
            } => {
                if lines.is_empty() {
                    self.problems
                        .push(format!("the widget `{title}` shows no metric"));
                }
                let mut series = Vec::new();
                for (label, expression) in lines {
                    self.series(label, &expression, &mut series);
                }
                Content::Metrics {
                    title,
                    view,
                    period: period.seconds(),
                    series,
                    stacked,
                    thresholds,
                }
            }
        }
    }

    fn series(&mut self, label: String, expression: &Expression, series: &mut Vec<Series>) {
        let (text, metrics) = expression.written(&mut self.ids);
        let plain = matches!(expression, Expression::Metric(_));
        for (id, metric) in metrics {
            let shown = plain.then(|| label.clone());
            series.push(of_metric(id, shown, metric));
        }
        if !plain {
            series.push(Series::Expression {
                id: self.ids.expression(),
                label,
                text,
            });
        }
    }
}

fn of_metric(id: String, label: Option<String>, metric: Metric) -> Series {
    Series::Metric {
        id,
        label,
        namespace: metric.namespace,
        name: metric.name,
        dimensions: metric
            .dimensions
            .into_iter()
            .map(|(name, value)| (name, value.within_sub()))
            .collect(),
        statistic: metric.statistic.text(),
    }
}
