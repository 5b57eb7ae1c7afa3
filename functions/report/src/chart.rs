//! Charts of a report, as SVG within its page. Every figure of a chart is also text, because some
//! mail programs leave images out.

use std::fmt::Write as _;

use jiff::civil::Date;

use crate::figures::Day;
use crate::markup::{escaped, grouped};

const WIDTH: u128 = 592;
const HEIGHT: u128 = 150;
/// Space for dates under the bars, and for the scale above them.
const BELOW: u128 = 18;
const ABOVE: u128 = 16;
const NOW: &str = "#0a66d8";
const BEFORE: &str = "#c3ccd6";
const WORDS: &str = "#55606e";

/// Calls by date, before those of the span before.
pub(crate) fn days(days: &[Day], previous: &[Day]) -> String {
    let most = days.iter().chain(previous).map(|day| day.total_calls);
    let most = most.max().unwrap_or(0).max(1);
    let count = u128::try_from(days.len().max(previous.len()).max(1)).unwrap_or(1);
    let label = days
        .iter()
        .map(|day| format!("{} {}", short(day.date), grouped(day.total_calls)));
    let label = label.collect::<Vec<_>>().join(", ");
    let mut svg = format!(
        "<svg width=\"{WIDTH}\" height=\"{HEIGHT}\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
         aria-label=\"Accepted calls by day: {}\" style=\"display:block;max-width:100%;height:auto\">",
        escaped(&label)
    );
    let floor = HEIGHT - BELOW;
    let _ = write!(
        svg,
        "<text x=\"0\" y=\"11\" font-size=\"11\" fill=\"{WORDS}\">{}</text>\
         <path d=\"M0 {ABOVE}H{WIDTH}M0 {floor}H{WIDTH}\" stroke=\"#e3e7ed\"/>",
        grouped(most)
    );
    let slot = WIDTH / count;
    for (place, day) in (0_u128..).zip(previous) {
        bar(&mut svg, place * slot, slot * 9 / 10, day, most, BEFORE);
    }
    for (place, day) in (0_u128..).zip(days) {
        let left = place * slot + slot / 6;
        bar(&mut svg, left, slot * 9 / 10 - slot / 3, day, most, NOW);
    }
    for (place, day) in (0_u128..).zip(days) {
        // Every seventh date of a month, every date of a week.
        if place.is_multiple_of(if count > 7 { 7 } else { 1 }) {
            let _ = write!(
                svg,
                "<text x=\"{}\" y=\"{}\" font-size=\"11\" fill=\"{WORDS}\">{}</text>",
                place * slot,
                HEIGHT - 5,
                short(day.date)
            );
        }
    }
    svg + "</svg>"
}

/// A bar, in tenths of a pixel so that few calls still show.
fn bar(svg: &mut String, left: u128, width: u128, day: &Day, most: u64, colour: &str) {
    let room = (HEIGHT - BELOW - ABOVE) * 10;
    let tall = u128::from(day.total_calls) * room / u128::from(most.max(1));
    if tall == 0 {
        return;
    }
    let top = (HEIGHT - BELOW) * 10 - tall;
    let _ = write!(
        svg,
        "<rect x=\"{left}\" y=\"{}.{}\" width=\"{}\" height=\"{}.{}\" fill=\"{colour}\"/>",
        top / 10,
        top % 10,
        width.max(1),
        tall / 10,
        tall % 10,
    );
}

/// A figure as a part of the greatest of its column.
pub(crate) fn share(of: u64, most: u64) -> String {
    const ROOM: u128 = 96;
    let width = u128::from(of) * ROOM / u128::from(most.max(1));
    format!(
        "<svg width=\"{ROOM}\" height=\"10\" role=\"presentation\"><rect width=\"{width}\" height=\"10\" \
         rx=\"2\" fill=\"{NOW}\"/></svg>"
    )
}

fn short(date: Date) -> String {
    date.strftime("%-d %b").to_string()
}
