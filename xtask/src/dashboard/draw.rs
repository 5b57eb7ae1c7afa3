//! Draws widgets as one self-contained HTML page with SVG charts.

use std::fmt::Write as _;

use serde::Serialize;

use super::body::Threshold;
use super::math::Series;
use report::escaped;

/// A dashboard with its values.
#[derive(Debug, Serialize)]
pub(crate) struct Drawn {
    pub(crate) name: String,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) widgets: Vec<DrawnWidget>,
}

/// A widget with its values.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DrawnWidget {
    pub(crate) title: String,
    /// `lines`, `numbers`, `alarms`, `logs` or `text`.
    pub(crate) kind: &'static str,
    /// The period in seconds.
    pub(crate) period: u32,
    pub(crate) lines: Vec<DrawnLine>,
    /// Values at which alarms go off.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) thresholds: Vec<Threshold>,
    #[serde(skip)]
    pub(crate) place: [u32; 4],
    /// The names of alarms and their states, or the text of a query.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) rows: Vec<(String, String)>,
}

/// A line of a widget.
#[derive(Debug, Serialize)]
pub(crate) struct DrawnLine {
    pub(crate) label: String,
    pub(crate) latest: Option<f64>,
    pub(crate) sum: f64,
    #[serde(skip)]
    pub(crate) values: Series,
}

impl DrawnLine {
    pub(crate) fn new(label: String, values: Series) -> Self {
        Self {
            label,
            latest: values.iter().rev().find_map(|value| *value),
            sum: values.iter().flatten().sum(),
            values,
        }
    }
}

const ALARMING: &str = "#b3261e";
const COLOURS: [&str; 6] = [
    "#0a66d8", "#b3261e", "#a15c00", "#1b7f4b", "#7a3fb5", "#44707f",
];
/// Size of a chart, in its own units.
const SIZE: (f64, f64) = (560.0, 200.0);
/// Space for the numbers beside a chart.
const LEFT: f64 = 52.0;
const BOTTOM: f64 = 8.0;

const STYLE: &str = "
body{margin:1rem;background:#f5f6f8;color:#17202b;font:14px/1.4 system-ui,sans-serif}
h1{font-size:1.2rem;margin:0 0 .8rem}h1 small{color:#55606e;font-weight:400}
main{display:grid;grid-template-columns:repeat(24,minmax(0,1fr));gap:.6rem}
section{background:#fff;border:1px solid #d5dae1;border-radius:.5rem;padding:.6rem .8rem;overflow:hidden}
h2{font-size:.95rem;margin:0 0 .4rem}svg{width:100%;height:auto}
ul{list-style:none;margin:.3rem 0 0;padding:0;display:flex;flex-wrap:wrap;gap:.2rem 1rem}
i{display:inline-block;width:.8em;height:.8em;border-radius:.2em;margin-right:.35em}
.ALARM{color:#b3261e;font-weight:600}.OK{color:#1b7f4b}.INSUFFICIENT_DATA{color:#55606e}
b{font-size:1.5rem;display:block}pre{white-space:pre-wrap;font-size:.8rem}
@media(max-width:60rem){main{display:block}section{margin-bottom:.6rem}}
";

/// The page.
pub(crate) fn html(drawn: &Drawn) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>{name}</title><style>{STYLE}</style>\
         <h1>{name} <small>{from} to {to}</small></h1><main>\n",
        name = escaped(&drawn.name),
        from = escaped(&drawn.from),
        to = escaped(&drawn.to),
    );
    for widget in &drawn.widgets {
        let [x, y, width, height] = widget.place;
        let _ = write!(
            page,
            "<section style=\"grid-column:{}/span {width};grid-row:{}/span {height}\"><h2>{}</h2>",
            x + 1,
            y + 1,
            escaped(&widget.title),
        );
        match widget.kind {
            "lines" => {
                page.push_str(&chart(&widget.lines, &widget.thresholds));
                page.push_str(&legend(&widget.lines, &widget.thresholds));
            }
            "numbers" => {
                for line in &widget.lines {
                    let latest = line.latest.map_or_else(|| "–".to_owned(), number);
                    let _ = write!(page, "<b>{latest}</b>{}", escaped(&line.label));
                }
            }
            "logs" => page.push_str(&query(&widget.rows)),
            _ => page.push_str(&rows(&widget.rows)),
        }
        page.push_str("</section>\n");
    }
    page.push_str("</main></html>\n");
    page
}

fn chart(lines: &[DrawnLine], thresholds: &[Threshold]) -> String {
    let most = lines.iter().flat_map(|line| line.values.iter().flatten());
    let most = most.chain(thresholds.iter().map(|threshold| &threshold.value));
    let most = most.copied().fold(0.0, f64::max);
    let top = if most > 0.0 { most } else { 1.0 };
    let (width, height) = SIZE;
    let mut svg = format!("<svg viewBox=\"0 0 {width} {height}\" role=\"img\">");
    for part in [0.0, 0.5, 1.0] {
        let y = height_of(part, 1.0);
        let _ = write!(
            svg,
            "<path d=\"M{LEFT} {y:.1}H{width}\" stroke=\"#e3e7ed\"/><text x=\"{x}\" y=\"{text:.1}\" font-size=\"12\" \
             fill=\"#55606e\" text-anchor=\"end\">{label}</text>",
            x = LEFT - 6.0,
            text = (y + 4.0).clamp(10.0, height),
            label = number(top * part),
        );
    }
    for (line, colour) in lines.iter().zip(COLOURS.iter().cycle()) {
        let path = path(&line.values, top);
        let _ = write!(
            svg,
            "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" stroke-linecap=\"round\"/>"
        );
    }
    for threshold in thresholds {
        let y = height_of(threshold.value, top);
        let _ = write!(
            svg,
            "<path d=\"M{LEFT} {y:.1}H{width}\" stroke=\"{ALARMING}\" stroke-dasharray=\"6 4\"/>"
        );
    }
    svg.push_str("</svg>");
    svg
}

/// Where a value is drawn, from the top.
fn height_of(value: f64, top: f64) -> f64 {
    (SIZE.1 - BOTTOM) * (1.0 - (value / top).clamp(0.0, 1.0)) + BOTTOM / 2.0
}

/// A path that ends where there is no value; a value between two gaps is a dot.
fn path(values: &Series, top: f64) -> String {
    let (width, _) = SIZE;
    let steps = u32::try_from(values.len().saturating_sub(1).max(1)).unwrap_or(u32::MAX);
    let mut path = String::new();
    let mut is_drawing = false;
    for (number, value) in (0_u32..).zip(values) {
        let Some(value) = value else {
            is_drawing = false;
            continue;
        };
        let x = LEFT + (width - LEFT - 2.0) * f64::from(number) / f64::from(steps);
        let y = height_of(*value, top);
        let _ = if is_drawing {
            write!(path, "L{x:.1} {y:.1}")
        } else {
            write!(path, "M{x:.1} {y:.1}h0")
        };
        is_drawing = true;
    }
    path
}

fn legend(lines: &[DrawnLine], thresholds: &[Threshold]) -> String {
    let mut list = String::from("<ul>");
    for (line, colour) in lines.iter().zip(COLOURS.iter().cycle()) {
        let latest = line.latest.map_or_else(|| "no data".to_owned(), number);
        let _ = write!(
            list,
            "<li><i style=\"background:{colour}\"></i>{} {latest}</li>",
            escaped(&line.label)
        );
    }
    for Threshold { value, label } in thresholds {
        let (label, value) = (escaped(label), number(*value));
        let _ = write!(
            list,
            "<li><i style=\"border-top:2px dashed {ALARMING};height:0\"></i>{label} {value}</li>"
        );
    }
    list + "</ul>"
}

/// A query, which only CloudWatch runs.
fn query(rows: &[(String, String)]) -> String {
    let texts = rows.iter().map(|(_, text)| escaped(text));
    let texts: String = texts.collect();
    format!("<pre>{texts}</pre><p>CloudWatch's console runs this query.</p>")
}

fn rows(rows: &[(String, String)]) -> String {
    let mut list = String::from("<ul>");
    for (name, state) in rows {
        let (name, state) = (escaped(name), escaped(state));
        let _ = write!(
            list,
            "<li>{name} <span class=\"{state}\">{state}</span></li>"
        );
    }
    list + "</ul>"
}

/// Formats with at most two decimals.
fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" {
        "0".to_owned()
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_drawn_to_scale_and_ends_at_gaps() {
        let values = vec![Some(0.0), Some(5.0), None, Some(10.0)];
        let (width, height) = SIZE;
        let step = (width - LEFT - 2.0) / 3.0;
        let y = |part: f64| (height - BOTTOM) * (1.0 - part) + BOTTOM / 2.0;
        let expected = format!(
            "M{:.1} {:.1}h0L{:.1} {:.1}M{:.1} {:.1}h0",
            LEFT,
            y(0.0),
            LEFT + step,
            y(0.5),
            LEFT + 3.0 * step,
            y(1.0),
        );
        assert_eq!(path(&values, 10.0), expected);
    }

    #[test]
    fn a_page_holds_every_widget_and_no_markup_of_others() {
        let drawn = Drawn {
            name: "n".to_owned(),
            from: "a".to_owned(),
            to: "b".to_owned(),
            widgets: vec![DrawnWidget {
                title: "<script>".to_owned(),
                thresholds: vec![Threshold {
                    value: 9.0,
                    label: "alarm a".to_owned(),
                }],
                kind: "lines",
                period: 60,
                lines: vec![DrawnLine::new(
                    "calls".to_owned(),
                    vec![Some(3.0), Some(4.5)],
                )],
                place: [0, 3, 8, 6],
                rows: Vec::new(),
            }],
        };
        let page = html(&drawn);
        assert!(
            page.contains("&lt;script&gt;") && !page.contains("<script"),
            "{page}"
        );
        assert!(
            page.contains("grid-column:1/span 8;grid-row:4/span 6"),
            "{page}"
        );
        assert!(page.contains("calls 4.5"), "{page}");
        // The threshold is the greatest value, so it is at the top.
        let dashed = format!("M{LEFT} {:.1}H", height_of(1.0, 1.0));
        assert!(
            page.contains(&dashed) && page.contains("alarm a 9"),
            "{page}"
        );
        assert!((drawn.widgets[0].lines[0].sum - 7.5).abs() < 1e-9);
    }

    #[test]
    fn numbers_are_short() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (12.0, "12"),
            (0.256, "0.26"),
            (1_000.5, "1000.5"),
        ] {
            assert_eq!(number(value), text);
        }
    }
}
