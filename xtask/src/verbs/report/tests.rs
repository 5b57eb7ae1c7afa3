//! Which week or month is reported.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use domain::sample::plans_of_two_zones;
use domain::time::Window;

use super::*;

fn at(day: &str) -> UnixMillis {
    Window::Day.parse_label(day).unwrap()
}

fn span(label: &str) -> Span {
    Span::parse(label).unwrap()
}

#[test]
fn the_last_week_is_the_newest_whose_days_are_all_sealed() {
    let basis = Basis::of(plans_of_two_zones());
    let now = at("2026-11-28");
    let asked = |which, unit| Candidates::of((unit, which), now);
    let sealed = |first: &str, last: &str| -> BTreeMap<UnixMillis, Round> {
        let days = std::iter::successors(Some(at(first)), |day| Some(day.plus_days(1)));
        let days = days.take_while(|day| *day <= at(last));
        days.map(|day| (day, Round::Sealed)).collect()
    };
    let last = asked(Which::Last, Unit::Week);
    assert_eq!(last.newest, span("2026-W47"));
    let chosen = |rounds: &BTreeMap<_, _>| {
        let chosen = last.chosen(rounds, &basis);
        chosen.map_err(|stop| stop.to_string())
    };
    // The week's border in India lies on the days beside it.
    let rounds = sealed("2026-11-01", "2026-11-16");
    assert_eq!(chosen(&rounds), Ok((span("2026-W46"), true)));
    let rounds = sealed("2026-11-01", "2026-11-15");
    assert_eq!(chosen(&rounds), Ok((span("2026-W45"), true)));
    let mut rounds = sealed("2026-11-12", "2026-11-18");
    assert_eq!(chosen(&rounds), Ok((span("2026-W46"), false)));
    rounds.insert(at("2026-11-13"), Round::Closed);
    let none = "none of the last 5 weeks is closed".to_owned();
    assert_eq!(chosen(&rounds), Err(none));

    let named = asked(Which::Named(span("2026-10")), Unit::Month);
    let refused = named.chosen(&sealed("2026-10-01", "2026-10-30"), &basis);
    let message = "month `2026-10` is not closed: `2026-10-31` is not";
    assert_eq!(refused.unwrap_err().to_string(), message);
    let mut rounds = sealed("2026-09-01", "2026-11-01");
    rounds.insert(at("2026-09-07"), Round::Closed);
    let refused = named.chosen(&rounds, &basis).unwrap_err().to_string();
    let message =
        "month `2026-09`, with which `2026-10` is compared, is not closed: `2026-09-07` is not";
    assert_eq!(refused, message);
    let (first, last) = named.days(&basis);
    assert_eq!((first, last), (at("2026-08-31"), at("2026-11-01")));
}

#[test]
fn a_week_and_a_month_are_named_as_the_calendar_does() {
    assert_eq!(week("2026-W47"), Ok(Which::Named(span("2026-W47"))));
    assert_eq!(month("last"), Ok(Which::Last));
    for text in ["2026-W54", "2026-11", "yesterday"] {
        assert!(
            week(text).unwrap_err().starts_with("invalid week"),
            "{text}"
        );
    }
    assert!(month("2026-W47").unwrap_err().starts_with("invalid month"));
}
