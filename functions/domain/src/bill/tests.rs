//! Periods of users whose plans, zones and days differ.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::plan::Plan;
use crate::sample;
use crate::seen::Seen;

fn at(text: &str) -> UnixMillis {
    text.parse().unwrap()
}

fn plans() -> Plans {
    sample::plans([
        ("free", "UTC"),
        ("india", "Asia/Kolkata"),
        ("bogota", "America/Bogota"),
    ])
}

fn terms() -> Terms {
    Terms::of(&plans())
}

/// The plans, and one for each of some anchor days.
fn anchored(days: &[(&str, &str, u8)]) -> Plans {
    let mut all = plans();
    for (name, zone, day) in days {
        let plan = Plan {
            timezone: (*zone).to_owned(),
            period_anchor_day: (*day).try_into().unwrap(),
            ..all["free"].clone()
        };
        all.insert((*name).to_owned(), plan);
    }
    all
}

/// A day with calls in some quarter hours, the last of them on `plan`.
fn day(day: &str, plan: &str, quarters: &[(u8, u64)]) -> (UnixMillis, Sum) {
    let day = at(&format!("{day}T00:00:00Z"));
    let mut sum = Sum::default();
    for (quarter, calls) in quarters {
        let totals = Totals {
            calls: *calls,
            units: 10 * *calls,
            ..Totals::default()
        };
        sum.quarters.insert(*quarter, totals);
        sum.rank += 2 * *calls;
    }
    sum.counts.seen = Some(Seen::new(day, day, Some((day, plan.to_owned()))));
    (day, sum)
}

const NOVEMBER: &str = "2026-11-01T00:00:00Z";

#[test]
fn a_bill_is_handed_over_with_its_counts_and_a_digest_of_what_it_sums_up() {
    let mut first = day("2026-10-31", "india", &[(73, 7), (74, 1)]);
    first.1.amounts = [(74, Amounts::from([("tokens".to_owned(), 34)]))].into();
    let days = [first, day("2026-11-30", "india", &[(73, 2), (74, 9)])];
    let bill = Bill::of("ann@example.com", &days, &terms(), at(NOVEMBER)).unwrap();
    let text = "period.closed 1\n\
                ann@example.com\n\
                2026-10-31T18:30:00Z 2026-11-30T18:30:00Z\n\
                2026-10-31 16\n\
                2026-11-30 22\n\
                2026-10-31T18:30:00Z 1 0 0 10 tokens=34\n\
                2026-11-30T18:15:00Z 2 0 0 20\n";
    assert_eq!(bill.digest, hex(&Sha256::digest(text)));
    let event: serde_json::Value =
        serde_json::from_str(&bill.cloud_event("/complical/test/api")).unwrap();
    assert_eq!(event["id"], bill.id());
    let expected = serde_json::json!({
        "month": "2026-11",
        "plan": "india",
        "timezone": "Asia/Kolkata",
        "periodStart": "2026-10-31T18:30:00Z",
        "periodEnd": "2026-11-30T18:30:00Z",
        "totalCalls": 3,
        "authFailures": 0,
        "rateLimited": 0,
        "units": 30,
        "meters": {"tokens": 34},
        "digest": bill.digest(),
    });
    assert_eq!(event["data"], expected);
    assert_eq!(event["type"], "period.closed");
    assert_eq!(event["time"], "2026-12-10T00:00:00Z");
    assert_eq!(
        bill.text(),
        "ann@example.com made 3 calls of 30 units between 2026-10-31T18:30:00Z and \
         2026-11-30T18:30:00Z. These counts are final."
    );
}

#[test]
fn the_id_is_that_of_the_user_and_the_month_and_the_digest_that_of_the_counts() {
    let bill = |user: &str, calls, plan: &str| {
        let days = [day("2026-11-15", plan, &[(3, calls)])];
        Bill::of(user, &days, &terms(), at(NOVEMBER)).unwrap()
    };
    let ann = bill("ann@example.com", 1, "free");
    // The border of another zone is still the same month's.
    assert_eq!(ann.id(), bill("ann@example.com", 2, "india").id());
    assert_ne!(ann.id(), bill("bob@example.com", 1, "free").id());
    assert_ne!(ann.digest, bill("ann@example.com", 2, "free").digest);
    assert_ne!(ann.digest, bill("bob@example.com", 1, "free").digest);
    let later = [day("2026-12-15", "free", &[(3, 1)])];
    let later = Bill::of(
        "ann@example.com",
        &later,
        &terms(),
        at("2026-12-01T00:00:00Z"),
    );
    assert_ne!(ann.id(), later.unwrap().id());
    // Other facts behind the same counts.
    let mut days = [day("2026-11-15", "free", &[(3, 1)])];
    days[0].1.rank += 1;
    let other = Bill::of("ann@example.com", &days, &terms(), at(NOVEMBER)).unwrap();
    assert_ne!(ann.digest, other.digest);
    assert!(Bill::of("ann@example.com", &[], &terms(), at(NOVEMBER)).is_none());
}

#[test]
fn a_month_is_final_once_every_day_that_any_plan_needs_is_sealed() {
    let utc: Plans = [("free".to_owned(), plans().remove("free").unwrap())].into();
    let november = at(NOVEMBER);
    let (first, last) = Terms::of(&utc).days(november.plus_days(20));
    assert_eq!((first, last), (november, november.plus_days(29)));
    let (first, last) = terms().days(november);
    assert_eq!(first, november.plus_days(-1));
    assert_eq!(last, november.plus_days(30));
    let marks = |from: i64| -> BTreeMap<UnixMillis, Round> {
        let days = (from..=31).map(|day| first.plus_days(day));
        days.map(|day| (day, Round::Sealed)).collect()
    };
    assert_eq!(unsealed(&marks(0), (first, last)), None);
    // Deployed in the middle of the month.
    assert_eq!(unsealed(&marks(12), (first, last)), None);
    for round in [Round::Closing, Round::Closed, Round::Sealing] {
        let mut open = marks(0);
        open.insert(first.plus_days(20), round);
        assert_eq!(unsealed(&open, (first, last)), Some(first.plus_days(20)));
    }
    let mut missing = marks(0);
    missing.remove(&last);
    assert_eq!(unsealed(&missing, (first, last)), Some(last));
    assert_eq!(unsealed(&BTreeMap::new(), (first, last)), Some(first));
}

#[test]
fn an_anchored_period_has_the_days_of_two_months() {
    let november = at(NOVEMBER);
    let plans = anchored(&[("pro", "UTC", 15), ("night", "Asia/Kolkata", 31)]);
    let terms = Terms::of(&plans);
    // Night's period ends on 31 December at 18:30 of the day before.
    assert_eq!(
        terms.days(november),
        (november.plus_days(-1), at("2026-12-30T00:00:00Z"))
    );
    let days = [
        day("2026-11-14", "pro", &[(95, 7)]),
        day("2026-11-15", "pro", &[(0, 1)]),
        day("2026-12-14", "pro", &[(95, 2)]),
        day("2026-12-15", "pro", &[(0, 9)]),
    ];
    let bill = Bill::of("ann@example.com", &days, &terms, november).unwrap();
    assert_eq!(
        (bill.start, bill.end),
        (at("2026-11-15T00:00:00Z"), at("2026-12-15T00:00:00Z"))
    );
    assert_eq!(bill.totals.calls, 3);
    assert_eq!(bill.month, november);
    let event: serde_json::Value =
        serde_json::from_str(&bill.cloud_event("/complical/test/api")).unwrap();
    assert_eq!(event["data"]["month"], "2026-11");
    assert_eq!(event["time"], "2026-12-24T00:00:00Z");
    // A month without a 31st ends on its last day.
    let days = [
        day("2026-11-29", "night", &[(73, 4), (74, 1)]),
        day("2026-12-30", "night", &[(73, 2), (74, 8)]),
    ];
    let bill = Bill::of("ann@example.com", &days, &terms, november).unwrap();
    assert_eq!(
        (bill.start, bill.end),
        (at("2026-11-29T18:30:00Z"), at("2026-12-30T18:30:00Z"))
    );
    assert_eq!(bill.totals.calls, 3);
}

/// Even if the plan's day moves between two months.
#[test]
fn a_period_begins_where_the_one_before_ended() {
    let november = at(NOVEMBER);
    let of = |day: u8| Calendars::of(&anchored(&[("pro", "UTC", day)]));
    let days: Vec<_> = (0..61)
        .map(|after| {
            let label = Window::Day.label(november.plus_days(after));
            day(&label, "pro", &[(0, 1)])
        })
        .collect();
    for (from, through, to) in [(1, 15, 20), (15, 1, 1), (31, 1, 31), (20, 20, 5)] {
        let first = Terms {
            from: of(from),
            to: of(through),
        };
        let second = Terms {
            from: of(through),
            to: of(to),
        };
        let december = Window::Month.end(november);
        let within = |terms: &Terms, month| {
            let (first, last) = terms.days(month);
            let own = days.iter().filter(|(day, _)| (first..=last).contains(day));
            let own: Vec<_> = own.cloned().collect();
            Bill::of("ann@example.com", &own, terms, month).unwrap()
        };
        let (first, second) = (within(&first, november), within(&second, december));
        assert_eq!(first.end, second.start, "{from} {through} {to}");
        assert!(first.start < first.end && second.start < second.end);
    }
}

#[test]
fn calendars_whose_periods_could_change_places_are_not_billable() {
    let is_billable = |zone: &str, day: u8| {
        let calendar = crate::plan::Calendar::of(zone, day.try_into().unwrap());
        super::is_billable(&calendar, at(NOVEMBER))
    };
    for (zone, day) in [
        ("UTC", 31),
        ("Pacific/Kiritimati", 31),
        ("Pacific/Honolulu", 31),
        ("Pacific/Pago_Pago", 27),
    ] {
        assert!(is_billable(zone, day), "{zone} {day}");
    }
    // The 28th is the last day of most Februaries.
    assert!(!is_billable("Pacific/Pago_Pago", 28));
    assert!(!is_billable("Pacific/Pago_Pago", 31));
}

/// A sample stored by the first release with anchor days.
#[test]
fn stored_calendars_stay_readable() {
    let stored =
        b"\x06\x04\x06bogota\x0eAmerica/Bogota\x01\x04free\x03UTC\x01\x05india\x0cAsia/Kolkata\x01\
                   \x05night\x0cAsia/Kolkata\x1f";
    let read: Calendars = crate::state::decode(stored).unwrap();
    let plans = anchored(&[("night", "Asia/Kolkata", 31)]);
    assert_eq!(read, Calendars::of(&plans));
    assert_eq!(crate::state::encode(&read).unwrap(), stored);
}

proptest! {
    /// Each call is on exactly one bill, even if the user changes plans at any time, and even if the
    /// plans' zones and days are changed between the bills of two months.
    #[test]
    fn each_call_is_on_one_bill_whatever_the_plan_changes_to(
        calls in proptest::collection::btree_map(
            (-40_i64..70, 0_u8..96),
            (1_u64..9, select(vec!["free", "india", "bogota", "pro", "east", "west", "gone"])),
            0..40,
        ),
        changes in proptest::collection::vec(
            proptest::option::of((1_u8..=31, 1_u8..=31, 1_u8..=31)),
            7,
        ),
    ) {
        let november = at(NOVEMBER);
        let mut sums: BTreeMap<i64, (u64, &str)> = BTreeMap::new();
        let mut quarters: BTreeMap<i64, Vec<(u8, u64)>> = BTreeMap::new();
        for ((of, quarter), (count, plan)) in &calls {
            let sum = sums.entry(*of).or_default();
            *sum = (sum.0 + count, plan);
            quarters.entry(*of).or_default().push((*quarter, *count));
        }
        let all: Vec<_> = sums
            .iter()
            .map(|(of, (_, plan))| {
                let label = Window::Day.label(november.plus_days(*of));
                day(&label, plan, &quarters[of])
            })
            .collect();
        let mut from = Calendars::of(&plans());
        let mut billed = 0;
        let mut month = at("2026-08-01T00:00:00Z");
        for change in changes {
            let to = change.map_or_else(
                || from.clone(),
                |(pro, east, west)| Calendars::of(&anchored(&[
                    ("pro", "UTC", pro),
                    ("east", "Pacific/Kiritimati", east),
                    ("west", "Pacific/Pago_Pago", west),
                ])),
            );
            let terms = Terms { from, to: to.clone() };
            let (first, last) = terms.days(month);
            let own: Vec<_> = all
                .iter()
                .filter(|(day, _)| (first..=last).contains(day))
                .cloned()
                .collect();
            if let Some(bill) = Bill::of("ann@example.com", &own, &terms, month) {
                billed += bill.totals.calls;
                prop_assert!(bill.start < bill.end);
            }
            from = to;
            month = Window::Month.end(month);
        }
        let counted: u64 = calls.values().map(|(count, _)| count).sum();
        prop_assert_eq!(billed, counted);
    }
}
