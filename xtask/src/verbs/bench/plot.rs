//! Plots as SVG: panels over one time axis. Whole numbers only, so that equal figures make equal
//! files.

use std::fmt::Write as _;

const LEFT: u64 = 70;
const WIDTH: u64 = 650;
const TOP: u64 = 40;
const HEIGHT: u64 = 120;
/// Distance from one panel to the next.
const PANEL: u64 = 160;

/// A figure with panels below each other.
#[derive(Debug)]
pub(super) struct Plot {
    pub(super) title: String,
    pub(super) panels: [Panel; 2],
}

/// Lines with a common scale.
#[derive(Debug)]
pub(super) struct Panel {
    pub(super) unit: &'static str,
    pub(super) lines: Vec<Line>,
}

/// Values over time.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) name: &'static str,
    pub(super) colour: &'static str,
    /// Seconds and values.
    pub(super) points: Vec<(u64, u64)>,
}

impl Plot {
    /// The plot as a separate document.
    pub(super) fn svg(&self) -> String {
        let (width, height) = (LEFT + WIDTH + 30, TOP + 2 * PANEL + 10);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
             font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n"
        );
        text(&mut svg, (LEFT, 20), "start", &self.title);
        let seconds = self
            .panels
            .iter()
            .flat_map(Panel::points)
            .map(|(second, _)| second);
        let seconds = seconds.max().unwrap_or(0).max(1);
        for (number, panel) in (0..).zip(&self.panels) {
            panel.draw(&mut svg, TOP + number * PANEL, seconds);
        }
        svg.push_str("</svg>\n");
        svg
    }
}

impl Panel {
    fn points(&self) -> impl Iterator<Item = (u64, u64)> {
        self.lines
            .iter()
            .flat_map(|line| line.points.iter().copied())
    }

    fn draw(&self, svg: &mut String, top: u64, seconds: u64) {
        let most = self
            .points()
            .map(|(_, value)| value)
            .max()
            .unwrap_or(0)
            .max(1);
        let bottom = top + HEIGHT;
        let _ = writeln!(
            svg,
            "<path d=\"M{LEFT} {top}V{bottom}H{}\" fill=\"none\" stroke=\"#888\"/>",
            LEFT + WIDTH
        );
        text(svg, (LEFT - 6, top + 10), "end", &most.to_string());
        text(svg, (LEFT - 6, bottom), "end", "0");
        text(
            svg,
            (LEFT + WIDTH, bottom + 16),
            "end",
            &format!("{seconds} s"),
        );
        text(svg, (LEFT + 6, top - 6), "start", self.unit);
        for (number, line) in (1..).zip(&self.lines) {
            let points = line.points.iter().map(|(second, value)| {
                let x = LEFT + second * WIDTH / seconds;
                let y = bottom - value * HEIGHT / most;
                format!("{x},{y} ")
            });
            let points: String = points.collect();
            let _ = writeln!(
                svg,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\"/>",
                points.trim_end(),
                line.colour
            );
            let at = (LEFT + number * 90, bottom + 16);
            let _ = writeln!(svg, "<g fill=\"{}\">", line.colour);
            text(svg, at, "start", line.name);
            svg.push_str("</g>\n");
        }
    }
}

fn text(svg: &mut String, (x, y): (u64, u64), anchor: &str, text: &str) {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(
        svg,
        "<text x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\">{text}</text>"
    );
}
