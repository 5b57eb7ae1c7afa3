//! Draws a CloudWatch dashboard: the body as AWS describes it ("Dashboard Body Structure and Syntax"),
//! with metrics that somebody else reads. As far as the dashboards of `stacks` go: metric widgets with
//! lines or single values, metric math, alarms and text.

mod body;
mod draw;
mod math;

pub(crate) use body::{Body, Content, Line, Metric, Source, Widget};
pub(crate) use draw::{Drawn, DrawnLine, DrawnWidget, html};
pub(crate) use math::{Series, evaluate};
