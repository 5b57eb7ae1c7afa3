//! Reads the body of a dashboard.

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Widgets with their places.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Body {
    pub(crate) widgets: Vec<Widget>,
}

/// A widget and its place on the grid of 24 columns.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Widget {
    pub(crate) x: u32,
    pub(crate) y: u32,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) content: Content,
}

/// The content of a widget.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Content {
    Text(String),
    /// A query of Logs Insights.
    Logs {
        title: String,
        query: String,
    },
    Alarms {
        title: String,
        names: Vec<String>,
    },
    Metrics {
        title: String,
        /// The latest values as numbers, instead of lines over time.
        single: bool,
        period: u32,
        lines: Vec<Line>,
        thresholds: Vec<Threshold>,
    },
}

/// A line across a chart: where an alarm goes off.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Threshold {
    pub(crate) value: f64,
    #[serde(default)]
    pub(crate) label: String,
}

/// A line of a widget, or an input of one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Line {
    pub(crate) id: String,
    pub(crate) label: String,
    pub(crate) visible: bool,
    pub(crate) source: Source,
}

/// The source of a line's values.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Source {
    Metric(Metric),
    /// Metric math over the ids of other lines.
    Expression(String),
}

/// A metric with its statistic and period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Metric {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) dimensions: Vec<(String, String)>,
    pub(crate) statistic: String,
    pub(crate) period: u32,
}

#[derive(Deserialize)]
struct Written {
    widgets: Vec<WrittenWidget>,
}

#[derive(Deserialize)]
struct WrittenWidget {
    #[serde(rename = "type")]
    kind: String,
    x: u32,
    y: u32,
    width: u32,
    height: u32,
    properties: Properties,
}

#[derive(Deserialize)]
struct Properties {
    #[serde(default)]
    title: String,
    #[serde(default)]
    markdown: String,
    #[serde(default)]
    alarms: Vec<String>,
    #[serde(default)]
    view: String,
    #[serde(default = "five_minutes")]
    period: u32,
    #[serde(default)]
    stat: Option<String>,
    #[serde(default)]
    metrics: Vec<Vec<Value>>,
    #[serde(default)]
    query: String,
    #[serde(default)]
    annotations: Annotations,
}

#[derive(Default, Deserialize)]
struct Annotations {
    #[serde(default)]
    horizontal: Vec<Threshold>,
}

/// The period of a widget without one.
const fn five_minutes() -> u32 {
    300
}

impl Body {
    /// Reads a body.
    pub(crate) fn read(json: &str) -> anyhow::Result<Self> {
        let written: Written =
            serde_json::from_str(json).context("reading the dashboard's body")?;
        let widgets = written.widgets.into_iter().map(widget);
        Ok(Self {
            widgets: widgets.collect::<Result<_, _>>()?,
        })
    }
}

fn widget(written: WrittenWidget) -> anyhow::Result<Widget> {
    let properties = written.properties;
    let content = match written.kind.as_str() {
        "text" => Content::Text(properties.markdown),
        "alarm" => Content::Alarms {
            title: properties.title,
            names: properties.alarms.iter().map(|arn| name_of(arn)).collect(),
        },
        "metric" => Content::Metrics {
            single: properties.view == "singleValue",
            period: properties.period,
            lines: lines(&properties)?,
            thresholds: properties.annotations.horizontal,
            title: properties.title,
        },
        "log" => Content::Logs {
            title: properties.title,
            query: properties.query,
        },
        kind => bail!("a widget of type `{kind}` cannot be drawn"),
    };
    Ok(Widget {
        x: written.x,
        y: written.y,
        width: written.width,
        height: written.height,
        content,
    })
}

/// `arn:aws:cloudwatch:ap-south-1:123456789012:alarm:name` → `name`.
fn name_of(arn: &str) -> String {
    arn.rsplit(':').next().unwrap_or_default().to_owned()
}

fn lines(properties: &Properties) -> anyhow::Result<Vec<Line>> {
    let rows = properties.metrics.iter().enumerate();
    rows.map(|(number, row)| line(number, row, properties))
        .collect()
}

fn line(number: usize, row: &[Value], properties: &Properties) -> anyhow::Result<Line> {
    let (names, options) = match row {
        [names @ .., Value::Object(options)] => (names, options.clone()),
        names => (names, Map::new()),
    };
    let option = |name: &str| options.get(name).and_then(Value::as_str).map(str::to_owned);
    let mut words = Vec::new();
    for name in names {
        words.push(
            name.as_str()
                .context("a metric's names are texts")?
                .to_owned(),
        );
    }
    let source = match (option("expression"), words.as_slice()) {
        (Some(expression), []) => Source::Expression(expression),
        (None, [namespace, name, dimensions @ ..]) => Source::Metric(Metric {
            namespace: namespace.clone(),
            name: name.clone(),
            dimensions: pairs(dimensions)?,
            statistic: option("stat")
                .or_else(|| properties.stat.clone())
                .unwrap_or_else(|| "Average".to_owned()),
            period: properties.period,
        }),
        _ => bail!(
            "the widget `{}` has a line that is neither a metric nor an expression",
            properties.title
        ),
    };
    let caption = match &source {
        Source::Metric(metric) => metric.name.clone(),
        Source::Expression(text) => text.clone(),
    };
    Ok(Line {
        id: option("id").unwrap_or_else(|| format!("line{number}")),
        label: option("label").unwrap_or(caption),
        visible: options
            .get("visible")
            .and_then(Value::as_bool)
            .unwrap_or(true),
        source,
    })
}

fn pairs(words: &[String]) -> anyhow::Result<Vec<(String, String)>> {
    let (pairs, rest) = words.as_chunks::<2>();
    if !rest.is_empty() {
        bail!("a dimension without a value: `{}`", rest.join("`, `"));
    }
    let pairs = pairs
        .iter()
        .map(|[name, value]| (name.clone(), value.clone()));
    Ok(pairs.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_expressions_alarms_and_text_are_read() {
        let body = r##"{"widgets": [
            {"type": "metric", "x": 8, "y": 3, "width": 8, "height": 6, "properties": {
                "title": "T", "view": "timeSeries", "period": 60, "metrics": [
                    ["AWS/SQS", "Sent", "Queue", "q", {"id": "m1", "stat": "Sum", "visible": false}],
                    [{"expression": "m1 / 2", "id": "e1", "label": "half"}]],
                "annotations": {"horizontal": [{"value": 7.5, "label": "alarm a"}]}}},
            {"type": "log", "x": 0, "y": 11, "width": 24, "height": 6, "properties": {
                "title": "L", "view": "table", "query": "SOURCE 'g' | limit 1"}},
            {"type": "alarm", "x": 0, "y": 0, "width": 24, "height": 3, "properties": {
                "title": "Alarms", "alarms": ["arn:aws:cloudwatch:r:1:alarm:a-b"]}},
            {"type": "text", "x": 0, "y": 9, "width": 24, "height": 2, "properties": {"markdown": "# Hi"}}
        ]}"##;
        let widgets = Body::read(body).unwrap().widgets;
        let Content::Metrics {
            lines,
            period,
            single,
            thresholds,
            ..
        } = &widgets[0].content
        else {
            panic!("{widgets:?}");
        };
        assert_eq!((*period, *single), (60, false));
        let threshold = Threshold {
            value: 7.5,
            label: "alarm a".to_owned(),
        };
        assert_eq!(thresholds, &[threshold]);
        let logs = Content::Logs {
            title: "L".to_owned(),
            query: "SOURCE 'g' | limit 1".to_owned(),
        };
        assert_eq!(widgets[1].content, logs);
        let Source::Metric(metric) = &lines[0].source else {
            panic!("{lines:?}")
        };
        assert_eq!(metric.dimensions, [("Queue".to_owned(), "q".to_owned())]);
        assert_eq!(
            (metric.statistic.as_str(), lines[0].visible),
            ("Sum", false)
        );
        assert_eq!(lines[1].source, Source::Expression("m1 / 2".to_owned()));
        assert_eq!(lines[1].label, "half");
        let alarms = Content::Alarms {
            title: "Alarms".to_owned(),
            names: vec!["a-b".to_owned()],
        };
        assert_eq!(widgets[2].content, alarms);
        assert_eq!(widgets[3].content, Content::Text("# Hi".to_owned()));
    }

    #[test]
    fn what_cannot_be_drawn_is_named() {
        let widget = |kind: &str, metrics: &str| {
            let body = format!(
                r#"{{"widgets": [{{"type": "{kind}", "x": 0, "y": 0, "width": 1, "height": 1,
                    "properties": {{"title": "T", "metrics": {metrics}}}}}]}}"#
            );
            Body::read(&body).unwrap_err().to_string()
        };
        assert!(widget("explorer", "[]").contains("`explorer`"));
        assert!(widget("metric", r#"[["AWS/SQS"]]"#).contains("`T`"));
        assert!(widget("metric", r#"[["N", "M", "D"]]"#).contains("`D`"));
    }
}
