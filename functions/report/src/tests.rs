//! Reports of users whose plans, zones and days differ.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;

use domain::bill::{Bill, Terms};
use domain::calendar::Span;
use domain::counts::Sum;
use domain::meter::Amounts;
use domain::plan::Plans;
use domain::sample::{self, plans_of_two_zones};
use domain::tally::Totals;
use domain::time::{UnixMillis, Window};

use super::*;

/// A user's counts of one day.
struct UserDay {
    user: String,
    day: UnixMillis,
    sum: Sum,
}

fn by_user(days: Vec<UserDay>) -> BTreeMap<String, Vec<(UnixMillis, Sum)>> {
    let mut users: BTreeMap<String, Vec<(UnixMillis, Sum)>> = BTreeMap::new();
    for day in days {
        users.entry(day.user).or_default().push((day.day, day.sum));
    }
    users
}

/// The report of these days. Users come in no order.
fn made(chosen: (Span, bool), days: Vec<UserDay>, basis: &Basis) -> Report {
    let mut figures = Figures::new("test", chosen, basis);
    for (user, days) in by_user(days).into_iter().rev() {
        figures.add(user, &days);
    }
    figures.report()
}

fn at(day: &str) -> UnixMillis {
    Window::Day.parse_label(day).unwrap()
}

fn span(label: &str) -> Span {
    Span::parse(label).unwrap()
}

/// A day with accepted calls in some quarter hours, and a refused one in the first.
fn day(user: &str, label: &str, plan: &str, quarters: &[(u8, u64)]) -> UserDay {
    let day = at(label);
    let quarters = quarters
        .iter()
        .enumerate()
        .map(|(place, (quarter, calls))| {
            let totals = Totals {
                calls: *calls,
                units: 10 * *calls,
                rate_limited: u64::from(place == 0),
                ..Totals::default()
            };
            (*quarter, totals)
        });
    UserDay {
        user: user.to_owned(),
        day,
        sum: sample::sum(day, plan, quarters),
    }
}

/// Two months of four users: one changes plans at the border, one is new, one has gone.
fn days() -> Vec<UserDay> {
    let mut metered = day("bob@example.com", "2026-11-05", "india", &[(3, 40)]);
    metered.sum.amounts = [(3, Amounts::from([("tokens".to_owned(), 900)]))].into();
    vec![
        day("=ann@example.com", "2026-10-30", "free", &[(95, 7)]),
        // 18:30 in UTC is midnight in India: the 74th quarter hour.
        day(
            "=ann@example.com",
            "2026-10-31",
            "india",
            &[(73, 2), (74, 5)],
        ),
        day("=ann@example.com", "2026-11-01", "india", &[(0, 11)]),
        day("bob@example.com", "2026-10-04", "free", &[(0, 50)]),
        metered,
        day("bob@example.com", "2026-11-29", "india", &[(80, 60)]),
        day("gone@example.com", "2026-10-20", "free", &[(8, 4)]),
        day("new@example.com", "2026-11-30", "free", &[(95, 9)]),
    ]
}

fn report(label: &str, is_compared: bool) -> Report {
    made(
        (span(label), is_compared),
        days(),
        &Basis::of(plans_of_two_zones()),
    )
}

/// The plans with periods from a day of the month on.
fn anchored(day: u8) -> Plans {
    let mut plans = plans_of_two_zones();
    for plan in plans.values_mut() {
        plan.period_anchor_day = day.try_into().unwrap();
    }
    plans
}

#[test]
fn a_month_equals_what_users_are_billed_and_adds_up() {
    let (usual, middle, last) = (plans_of_two_zones(), anchored(15), anchored(31));
    // The plans of today, and those by which the bills were made.
    for (plans, noted) in [
        (&usual, &usual),
        (&middle, &middle),
        (&last, &last),
        (&usual, &middle),
    ] {
        for label in ["2026-10", "2026-11"] {
            equals_the_bills(label, plans, &Terms::of(noted));
        }
    }
}

#[test]
fn a_month_of_other_periods_shows_their_dates() {
    let basis = Basis::of(anchored(15));
    let days = vec![
        day("ann@example.com", "2026-11-14", "free", &[(3, 1)]),
        day("ann@example.com", "2026-11-15", "free", &[(3, 2)]),
        day("ann@example.com", "2026-12-14", "free", &[(3, 4)]),
        day("ann@example.com", "2026-12-15", "free", &[(3, 8)]),
    ];
    let report = made((span("2026-11"), false), days, &basis);
    let calls = report.days.iter().filter(|day| day.total_calls > 0);
    let calls: Vec<_> = calls
        .map(|day| (day.date.to_string(), day.total_calls))
        .collect();
    let expected = [("2026-11-15", 2), ("2026-12-14", 4)];
    assert_eq!(
        calls,
        expected.map(|(date, calls)| (date.to_owned(), calls))
    );
    let (first, last) = (report.first.to_string(), report.last.to_string());
    assert_eq!(
        (first.as_str(), last.as_str()),
        ("2026-11-15", "2026-12-14")
    );
}

/// The report of a month, made by these plans and by the terms of its bills, equals the bills.
fn equals_the_bills(label: &str, plans: &Plans, terms: &Terms) {
    let month = at(&format!("{label}-01"));
    let basis = Basis::noted(plans.clone(), [(month, terms.clone())].into());
    let report = made((span(label), false), days(), &basis);
    let (first, last) = terms.days(month);
    let mut calls = 0;
    for (user, days) in by_user(days()) {
        let within = |(day, _): &(UnixMillis, Sum)| (first..=last).contains(day);
        let own: Vec<_> = days.into_iter().filter(within).collect();
        let bill = Bill::of(&user, &own, terms, month);
        let mut rows = report.users.iter();
        let Some(bill) = bill else {
            assert!(rows.all(|row| row.email != user), "{user}");
            continue;
        };
        let row = rows.find(|row| row.email == user).unwrap();
        let counts = &row.usage.now.counts;
        assert_eq!(row.usage.now.plan, bill.plan);
        assert_eq!((row.period_start, row.period_end), (bill.start, bill.end));
        assert_eq!(counts.total_calls, bill.totals.calls);
        assert_eq!(counts.units, bill.totals.units);
        assert_eq!(counts.rate_limited, bill.totals.rate_limited);
        assert_eq!(counts.meters, bill.meters);
        calls += bill.totals.calls;
    }
    let of_plans = report.plans.iter().map(|plan| &plan.usage.now);
    let by_date = report.days.iter().map(|day| day.total_calls);
    assert_eq!(report.total.now.counts.total_calls, calls);
    assert_eq!(of_plans.map(|of| of.counts.total_calls).sum::<u64>(), calls);
    assert_eq!(by_date.sum::<u64>(), calls);
}

#[test]
fn a_report_is_compared_with_the_report_of_the_span_before() {
    for (label, before) in [("2026-11", "2026-10"), ("2026-W45", "2026-W44")] {
        let (now, before) = (report(label, true), report(before, false));
        let of_total = now.total.previous.as_ref();
        assert_eq!(of_total, Some(&before.total.now));
        assert_eq!(now.previous_days, before.days);
        for user in &before.users {
            let same = now
                .users
                .iter()
                .find(|row| row.email == user.email)
                .unwrap();
            assert_eq!(same.usage.previous.as_ref(), Some(&user.usage.now));
        }
        for plan in &before.plans {
            let same = now.plans.iter().find(|row| row.plan == plan.plan).unwrap();
            assert_eq!(same.usage.previous.as_ref(), Some(&plan.usage.now));
        }
    }
    let first = report("2026-11", false);
    assert_eq!((first.compared_with, first.total.previous), (None, None));
}

#[test]
fn each_call_is_in_one_week() {
    let weeks = (39..=49).map(|week| report(&format!("2026-W{week}"), false));
    let calls = weeks.map(|report| report.total.now.counts.total_calls);
    let counted = days().into_iter().flat_map(|day| day.sum.quarters);
    let counted: u64 = counted.map(|(_, totals)| totals.calls).sum();
    assert_eq!(calls.sum::<u64>(), counted);
}

#[test]
fn reports_look_like_this() {
    let month = report("2026-11", true);
    insta::assert_snapshot!("html", page::html(&month));
    insta::assert_snapshot!("csv", table::csv(&month));
    insta::assert_json_snapshot!("json", month);
    let first = report("2026-W44", false);
    insta::assert_snapshot!("first-week", page::html(&first));
}

#[test]
fn a_report_has_the_same_bytes_each_time() {
    let made = || {
        let report = report("2026-11", true);
        let json = serde_json::to_string(&report).unwrap();
        (page::html(&report), table::csv(&report), json)
    };
    assert_eq!(made(), made());
}

/// Gmail cuts a message off at 102 KB, and removes what would run or load.
#[test]
fn a_page_is_fit_for_mail_however_many_users_there_are() {
    let long = "x".repeat(200);
    let many = (0..3_000).map(|number| {
        let user = format!("<script>{number:04}{long}@example.com");
        day(&user, "2026-11-10", "free", &[(7, 3_000 - number)])
    });
    let of_many = (span("2026-11"), true);
    let page = page::html(&made(
        of_many,
        many.collect(),
        &Basis::of(plans_of_two_zones()),
    ));
    assert!(page.len() < 100_000, "{} bytes", page.len());
    assert!(page.contains("2,950 more users"), "{page}");
    assert!(
        page.contains("&lt;script&gt;0049x"),
        "those with most calls have rows"
    );
    for foreign in [
        "<script", "<style", "<link", "<img", "src=", "href=", "url(", "http", "@import",
    ] {
        assert!(!page.contains(foreign), "{foreign}");
    }
}

#[test]
fn no_cell_of_a_table_begins_a_formula() {
    let mut days = days();
    for name in ["+1", "-1", "@SUM(A1)", "\t=1"] {
        days.push(day(
            &format!("{name}@example.com"),
            "2026-11-30",
            name,
            &[(0, 1)],
        ));
    }
    days.sort_by(|one, other| one.user.cmp(&other.user));
    let all = (span("2026-11"), true);
    let table = table::csv(&made(all, days, &Basis::of(plans_of_two_zones())));
    let columns = table.lines().next().unwrap().split(',').count();
    assert!(table.lines().count() > 14, "{table}");
    for line in table.lines() {
        let cells: Vec<&str> = line.split(',').collect();
        assert_eq!(cells.len(), columns, "{line}");
        for cell in cells {
            let shown = cell.trim_start_matches('"');
            assert!(
                !shown.starts_with(['=', '+', '-', '@', '\t', '\r']),
                "{line}"
            );
        }
    }
}

#[test]
fn a_change_is_a_share_of_the_span_before() {
    for (now, before, text) in [
        (7, None, "–"),
        (0, Some(0), "unchanged"),
        (9, Some(0), "new"),
        (11, Some(10), "+10.0 %"),
        (9, Some(10), "−10.0 %"),
        (0, Some(10), "−100.0 %"),
        (2, Some(3), "−33.3 %"),
        (20_005, Some(10_000), "+100.1 %"),
        (u64::MAX, Some(1), "+1,844,674,407,370,955,161,400.0 %"),
    ] {
        assert_eq!(page::change(now, before), text);
    }
}
