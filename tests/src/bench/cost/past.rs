//! The tables' history: eleven months of every user, and closed days.

use domain::counts::Sum;
use domain::event::EventType;
use domain::mark::DayMark;
use domain::response::Response;
use domain::seen::Seen;
use domain::state;
use domain::table::ItemKey;
use domain::tally::Totals;
use domain::time::{UnixMillis, Window};
use runtime::memory::MemoryStore;

use super::super::callers::{ROUTES, endpoint, key_of};
use super::LATENCY;

/// Days of the month that are over.
const DAYS: i64 = 14;
/// Months before this one.
const MONTHS: u64 = 11;
/// Days after which a day is sealed.
const SEALED_AFTER: i64 = 9;
/// Calls of a user on a day, to each route.
const CALLS_TO_ROUTE: u64 = 2_000;
/// Facts of a user's day: a report and a line of each call.
const FACTS_OF_DAY: u64 = 2 * ROUTES * CALLS_TO_ROUTE;
/// Calls of a user in a quarter of an hour.
const CALLS_IN_QUARTER: u64 = 20;
const QUARTERS: u8 = 96;
/// Days since a user's first call.
const KNOWN_DAYS: i64 = 300;
/// Rank of a day's mark.
const MARK_RANK: u64 = 40;
/// Version of a day.
const DAY_RANK: u64 = 3;

/// Writes all history before `today`.
pub(super) fn plant(usage: &MemoryStore, users: &[String], today: UnixMillis) {
    for day in 1..=DAYS {
        plant_mark(usage, today.plus_days(-day), day > SEALED_AFTER);
    }
    let mut sum = sum(today);
    let calls = CALLS_IN_QUARTER;
    let totals = Totals {
        calls,
        units: calls,
        ..Totals::default()
    };
    let quarters = (0..QUARTERS).map(|quarter| (quarter, totals)).collect();
    let mut of_day = Sum {
        quarters,
        ..sum.clone()
    };
    for (number, user) in users.iter().enumerate() {
        for sum in [&mut sum, &mut of_day] {
            let tally = &mut sum.counts.tally;
            tally.keys.clear();
            tally.count_key(&key_of(number), tally.calls);
        }
        for day in 1..=DAYS {
            let key = ItemKey::day(user, today.plus_days(-day));
            plant_sum(usage, &key, DAY_RANK, &of_day);
        }
        plant_months(usage, user, today, &sum);
        let all_time = Sum {
            rank: 1,
            ..sum.clone()
        };
        plant_sum(usage, &ItemKey::all_time(user), 1, &all_time);
    }
}

/// Marks the days around `day` as sealed, so that only the cost of closing `day` is measured.
pub(super) fn seal_around(usage: &MemoryStore, day: UnixMillis) {
    for other in (-DAYS..0).chain(1..SEALED_AFTER) {
        plant_mark(usage, day.plus_days(other), true);
    }
}

fn plant_months(usage: &MemoryStore, user: &str, today: UnixMillis, sum: &Sum) {
    let of_rank = |rank| Sum {
        rank,
        ..sum.clone()
    };
    let rank = FACTS_OF_DAY * DAYS.unsigned_abs();
    plant_sum(usage, &ItemKey::month(user, today), rank, &of_rank(rank));
    let mut month = Window::Month.start(today);
    for _ in 0..MONTHS {
        month = Window::Month.start(month.plus_days(-1));
        let rank = FACTS_OF_DAY * 30;
        plant_sum(usage, &ItemKey::month(user, month), rank, &of_rank(rank));
    }
}

/// A user's day without its quarters: every route, and every latency.
fn sum(today: UnixMillis) -> Sum {
    let mut sum = Sum {
        rank: FACTS_OF_DAY,
        ..Sum::default()
    };
    for route in 0..ROUTES {
        let endpoint = endpoint(route);
        let tally = &mut sum.counts.tally;
        tally.count(EventType::ApiCall, "GET", &endpoint, CALLS_TO_ROUTE);
    }
    let (shortest, longest) = LATENCY;
    for latency in shortest..longest {
        sum.counts.responses.count(Response {
            status: 200,
            latency: u32::try_from(latency).ok(),
        });
    }
    let yesterday = today.plus_days(-1);
    let plan = Some((yesterday, "free".to_owned()));
    sum.counts.seen = Some(Seen::new(today.plus_days(-KNOWN_DAYS), yesterday, plan));
    sum
}

fn plant_sum(usage: &MemoryStore, key: &ItemKey, rank: u64, sum: &Sum) {
    usage.plant(key, rank, sum.encode().expect("a sum is encoded"));
}

fn plant_mark(usage: &MemoryStore, day: UnixMillis, is_sealed: bool) {
    let mut mark = DayMark::begin(day);
    mark.finish();
    if is_sealed {
        mark.seal();
        mark.finish();
    }
    let state = state::encode(&mark).expect("a mark is encoded");
    usage.plant(&ItemKey::day_mark(day), MARK_RANK, state);
}
