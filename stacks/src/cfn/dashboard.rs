//! The body of a CloudWatch dashboard: AWS's "Dashboard Body Structure and Syntax" as types, so
//! that only valid bodies can be written.

use serde_json::{Map, Value, json};

mod members;
mod shape;
mod structure;

use super::intrinsic::sub;
use super::value::Val;

pub use structure::dashboard_problems;

/// The widgets of a dashboard with their places.
#[derive(Debug, Default)]
pub(crate) struct Body(Vec<(Place, Content)>);

/// The place of a widget on the grid.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) x: u32,
    pub(crate) y: u32,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

/// The content of a widget.
#[derive(Debug)]
pub(crate) enum Content {
    Metrics {
        title: String,
        view: View,
        period: u32,
        series: Vec<Series>,
        stacked: bool,
        /// Lines across the chart, each with its label.
        thresholds: Vec<(f64, String)>,
    },
    /// The result of a query of Logs Insights, as a table.
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

/// The way in which a widget shows its metrics.
#[derive(Clone, Copy, Debug)]
pub(crate) enum View {
    TimeSeries,
    SingleValue,
}

/// One line of a widget, or an input of one.
#[derive(Debug)]
pub(crate) enum Series {
    Metric {
        id: String,
        /// Absent if only an expression uses it.
        label: Option<String>,
        namespace: String,
        name: String,
        dimensions: Vec<(&'static str, String)>,
        statistic: String,
    },
    Expression {
        id: String,
        label: String,
        text: String,
    },
}

impl Body {
    pub(crate) fn push(&mut self, place: Place, content: Content) {
        self.0.push((place, content));
    }

    /// The body's text, in which the region and the account are filled in at deployment.
    pub(crate) fn json(&self) -> Val<String> {
        let widgets: Vec<Value> = self.0.iter().map(widget).collect();
        sub(json!({ "widgets": widgets }).to_string())
    }
}

fn widget((place, content): &(Place, Content)) -> Value {
    let (kind, properties) = match content {
        Content::Text(markdown) => ("text", json!({ "markdown": markdown })),
        Content::Alarms { title, names } => {
            let arns: Vec<String> = names.iter().map(|name| alarm_arn(name)).collect();
            ("alarm", json!({ "title": title, "alarms": arns }))
        }
        Content::Logs { title, query } => {
            let properties = json!({
                "title": title,
                "view": "table",
                "region": "${AWS::Region}",
                "query": query,
            });
            ("log", properties)
        }
        Content::Metrics {
            title,
            view,
            period,
            series,
            stacked,
            thresholds,
        } => {
            let metrics: Vec<Value> = series.iter().map(row).collect();
            let view = match view {
                View::TimeSeries => "timeSeries",
                View::SingleValue => "singleValue",
            };
            let mut properties = json!({
                "title": title,
                "view": view,
                "stacked": stacked,
                "period": period,
                "region": "${AWS::Region}",
                "metrics": metrics,
            });
            if let (Some(members), false) = (properties.as_object_mut(), thresholds.is_empty()) {
                let lines = thresholds.iter();
                let lines = lines.map(|(value, label)| json!({ "value": value, "label": label }));
                let lines: Vec<Value> = lines.collect();
                members.insert("annotations".into(), json!({ "horizontal": lines }));
            }
            ("metric", properties)
        }
    };
    json!({
        "type": kind,
        "x": place.x,
        "y": place.y,
        "width": place.width,
        "height": place.height,
        "properties": properties,
    })
}

fn row(series: &Series) -> Value {
    match series {
        Series::Expression { id, label, text } => {
            json!([{ "expression": text, "id": id, "label": label }])
        }
        Series::Metric {
            id,
            label,
            namespace,
            name,
            dimensions,
            statistic,
        } => {
            let mut options = Map::new();
            options.insert("id".into(), json!(id));
            options.insert("stat".into(), json!(statistic));
            match label {
                Some(label) => options.insert("label".into(), json!(label)),
                None => options.insert("visible".into(), json!(false)),
            };
            let mut row = vec![json!(namespace), json!(name)];
            for (name, value) in dimensions {
                row.push(json!(name));
                row.push(json!(value));
            }
            row.push(Value::Object(options));
            Value::Array(row)
        }
    }
}

fn alarm_arn(name: &str) -> String {
    format!("arn:${{AWS::Partition}}:cloudwatch:${{AWS::Region}}:${{AWS::AccountId}}:alarm:{name}")
}
