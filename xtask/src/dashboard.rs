//! Draws a CloudWatch dashboard from its body ("Dashboard Body Structure and Syntax") and from
//! metrics that the caller reads. It supports what the dashboards of `stacks` use: metric widgets
//! with lines or single values, metric math, alarms and their thresholds, and text. Of a query of Logs
//! Insights it shows the words: only CloudWatch runs it.

mod body;
mod draw;
mod math;

pub(crate) use body::{Body, Content, Line, Metric, Source, Widget};
pub(crate) use draw::{Drawn, DrawnLine, DrawnWidget, html};
pub(crate) use math::{Series, evaluate};
