//! Periods of users whose plans, zones and days differ.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::plan::{LimitMode, Plan};
use crate::seen::Seen;

fn at(text: &str) -> UnixMillis {
    text.parse().unwrap()
}

fn plans() -> Plans {
    let plan = |zone: &str| Plan {
        rate_per_second: 1,
        burst: 1,
        monthly_quota: None,
        alerts_percent: Vec::new(),
        limit_mode: LimitMode::Soft,
        timezone: zone.to_owned(),
    };
    [
        ("free".to_owned(), plan("UTC")),
        ("india".to_owned(), plan("Asia/Kolkata")),
        ("bogota".to_owned(), plan("America/Bogota")),
    ]
    .into()
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
    let bill = Bill::of("ann@example.com", &days, &plans(), at(NOVEMBER)).unwrap();
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
        Bill::of(user, &days, &plans(), at(NOVEMBER)).unwrap()
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
        &plans(),
        at("2026-12-01T00:00:00Z"),
    );
    assert_ne!(ann.id(), later.unwrap().id());
    // Other facts behind the same counts.
    let mut days = [day("2026-11-15", "free", &[(3, 1)])];
    days[0].1.rank += 1;
    let other = Bill::of("ann@example.com", &days, &plans(), at(NOVEMBER)).unwrap();
    assert_ne!(ann.digest, other.digest);
    assert!(Bill::of("ann@example.com", &[], &plans(), at(NOVEMBER)).is_none());
}

#[test]
fn a_month_is_final_once_every_day_that_any_plan_needs_is_sealed() {
    let utc: Plans = [("free".to_owned(), plans().remove("free").unwrap())].into();
    let november = at(NOVEMBER);
    let (first, last) = Span::month(november.plus_days(20)).days(&utc);
    assert_eq!((first, last), (november, november.plus_days(29)));
    let (first, last) = Span::month(november).days(&plans());
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

proptest! {
    /// Each call is on exactly one bill, even if the user changes plans at any time.
    #[test]
    fn each_call_is_on_one_bill_whatever_the_plan_changes_to(
        calls in proptest::collection::btree_map(
            (-6_i64..40, 0_u8..96),
            (1_u64..9, select(vec!["free", "india", "bogota", "gone"])),
            0..40,
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
        let mut billed = 0;
        for month in ["2026-10-01", "2026-11-01", "2026-12-01"] {
            let month = at(&format!("{month}T00:00:00Z"));
            let (first, last) = Span::month(month).days(&plans());
            let own: Vec<_> = all
                .iter()
                .filter(|(day, _)| (first..=last).contains(day))
                .cloned()
                .collect();
            let bill = Bill::of("ann@example.com", &own, &plans(), month);
            billed += bill.map_or(0, |bill| bill.totals.calls);
        }
        let counted: u64 = calls.values().map(|(count, _)| count).sum();
        prop_assert_eq!(billed, counted);
    }
}
