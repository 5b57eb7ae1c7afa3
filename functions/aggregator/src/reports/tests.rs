//! When a report is due, what is stored of it, and runs that die.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use domain::counts::Sum;
use domain::mark::DayMark;
use domain::notice::Notice;
use domain::plan::Plans;
use domain::report::ReportReady;
use domain::sample;
use domain::seen::Seen;
use domain::table::{self, user_bucket};
use domain::tally::Totals;
use runtime::memory::MemoryStore;
use runtime::store::{Document, Value};
use serde::Serialize;

use super::*;

const NEVER: fn() -> bool = || false;
const BOTH: [Unit; 2] = [Unit::Week, Unit::Month];

fn day(label: &str) -> UnixMillis {
    Window::Day.parse_label(label).unwrap()
}

/// Half past three on a day: the time of the schedule.
fn run_on(label: &str) -> UnixMillis {
    day(label).plus_millis(12_600_000)
}

/// Files and ids, and how many more of both are accepted.
#[derive(Debug, Default)]
struct Outside {
    files: Mutex<BTreeMap<String, String>>,
    ids: Mutex<Vec<String>>,
    good: Mutex<Option<u32>>,
}

impl Outside {
    fn accepts(&self) -> bool {
        match self.good.lock().unwrap().as_mut() {
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
            None => true,
        }
    }
}

impl Bucket for Outside {
    async fn put(&self, key: &str, _: &'static str, text: String) -> Result<(), PutError> {
        if !self.accepts() {
            return Err(PutError {
                key: key.to_owned(),
                source: "injected".into(),
            });
        }
        self.files.lock().unwrap().insert(key.to_owned(), text);
        Ok(())
    }
}

impl Queue for Outside {
    async fn send(&self, body: String, _: u32) -> Result<(), SendError> {
        if !self.accepts() {
            let source = "injected".into();
            return Err(SendError { source });
        }
        let message: serde_json::Value = serde_json::from_str(&body).unwrap();
        let id = message["alert"].as_str().unwrap().to_owned();
        self.ids.lock().unwrap().push(id);
        Ok(())
    }
}

/// An environment since October that closes every day nine days after its end.
struct World {
    store: MemoryStore,
    outside: Outside,
    plans: Plans,
    /// Lists so far, each of which has a part of its own.
    lists: AtomicUsize,
}

impl World {
    /// Days from the first to the last are sealed, and Ann calls on each.
    fn new((first, last): (&str, &str)) -> Self {
        let world = Self {
            store: MemoryStore::default(),
            outside: Outside::default(),
            plans: sample::plans([("free", "UTC")]),
            lists: AtomicUsize::new(0),
        };
        world.plant(&ItemKey::periods_mark(), &UnixMillis(0));
        world.seal((first, last));
        world
    }

    fn plant<T: Serialize>(&self, key: &ItemKey, state: &T) {
        self.store.plant(key, 1, state::encode(state).unwrap());
    }

    fn seal(&self, (first, last): (&str, &str)) {
        let days = std::iter::successors(Some(day(first)), |day| Some(day.plus_days(1)));
        for at in days.take_while(|at| *at <= day(last)) {
            let mut mark = DayMark::begin(at);
            mark.finish();
            mark.seal();
            mark.finish();
            self.plant(&ItemKey::day_mark(at), &mark);
            self.call("ann@example.com", at, 2);
        }
    }

    /// Calls of a user, and the list that the closing of the day wrote.
    fn call(&self, user: &str, at: UnixMillis, calls: u64) {
        let totals = Totals {
            calls,
            units: calls,
            ..Totals::default()
        };
        let mut sum = Sum::default();
        sum.quarters.insert(3, totals);
        sum.counts.seen = Some(Seen::new(at, at, Some((at, "free".to_owned()))));
        let key = ItemKey::day(user, at);
        self.store.plant(&key, 1, sum.encode().unwrap());
        let part = self.lists.fetch_add(1, Ordering::Relaxed);
        let list = ItemKey::day_users(at, user_bucket(user), part);
        let names = state::encode_packed(&vec![user.to_owned()]).unwrap();
        let document = Document {
            attributes: vec![(table::attribute::STATE, Value::Bytes(names))],
            expires_at: None,
        };
        self.store.plant_document(&list, document);
    }

    /// Bills of a month were made.
    fn bill(&self, month: &str) {
        let month = day(&format!("{month}-01"));
        self.plant(&ItemKey::month_mark(month), &0_u8);
    }

    async fn run(&self, units: &[Unit], now: UnixMillis) -> Result<Vec<String>, ReportError> {
        let reports = Reports {
            environment: "test",
            units,
            periods: Periods {
                usage: &self.store,
                queue: &self.outside,
                plans: &self.plans,
            },
            bucket: &self.outside,
            bucket_name: "reports",
        };
        reports.make_due(now, &NEVER).await
    }

    fn files(&self) -> BTreeMap<String, String> {
        self.outside.files.lock().unwrap().clone()
    }

    fn sent(&self) -> Vec<ReportReady> {
        let ids = self.outside.ids.lock().unwrap();
        let events = ids.iter().map(|id| {
            let stored = self.store.peek(&ItemKey::alert(id)).unwrap();
            match Notice::decode(id, &stored.state).unwrap() {
                Notice::Report(report) => report,
                other => unreachable!("{other:?}"),
            }
        });
        events.collect()
    }
}

#[tokio::test]
async fn a_week_is_reported_once_its_last_day_is_sealed() {
    // Sunday, 22 November, is sealed nine days after it ended.
    let world = World::new(("2026-10-05", "2026-11-21"));
    assert_eq!(
        world.run(&BOTH, run_on("2026-12-01")).await.unwrap(),
        ["2026-W46"]
    );
    assert_eq!(
        world.run(&BOTH, run_on("2026-12-02")).await.unwrap(),
        [""; 0]
    );
    world.seal(("2026-11-22", "2026-11-22"));
    // Its mark says so already, but the clock does not.
    let early = day("2026-12-01").plus_millis(86_399_000);
    assert_eq!(world.run(&BOTH, early).await.unwrap(), [""; 0]);
    assert_eq!(
        world.run(&BOTH, run_on("2026-12-02")).await.unwrap(),
        ["2026-W47"]
    );
    let sent = world.sent();
    let periods: Vec<_> = sent.iter().map(|event| event.period.as_str()).collect();
    assert_eq!(periods, ["2026-W46", "2026-W47"]);
    assert_eq!(sent[1].figures.total_calls, 14);
    assert_eq!(sent[1].previous.as_ref().unwrap().0, "2026-W46");
    assert_eq!(sent[1].at.to_string(), "2026-12-02T00:00:00Z");
}

#[tokio::test]
async fn a_month_is_reported_after_the_first_of_its_bills() {
    let world = World::new(("2026-10-05", "2026-11-30"));
    let now = run_on("2026-12-10");
    assert_eq!(world.run(&[Unit::Month], now).await.unwrap(), [""; 0]);
    world.bill("2026-11");
    assert_eq!(world.run(&[Unit::Month], now).await.unwrap(), ["2026-11"]);
    let sent = world.sent();
    assert_eq!(
        (sent[0].figures.users, sent[0].figures.total_calls),
        (1, 60)
    );
    let (before, figures) = sent[0].previous.as_ref().unwrap();
    assert_eq!((before.as_str(), figures.total_calls), ("2026-10", 54));
    let keys = [
        "months/2026-11.csv",
        "months/2026-11.html",
        "months/2026-11.json",
    ];
    assert_eq!(world.files().into_keys().collect::<Vec<_>>(), keys);
}

#[tokio::test]
async fn the_first_run_makes_the_newest_report_and_later_ones_what_was_missed() {
    let world = World::new(("2026-08-03", "2026-11-22"));
    assert_eq!(
        world
            .run(&[Unit::Week], run_on("2026-11-18"))
            .await
            .unwrap(),
        ["2026-W45"]
    );
    let missed = world
        .run(&[Unit::Week], run_on("2026-12-02"))
        .await
        .unwrap();
    assert_eq!(missed, ["2026-W46", "2026-W47"]);
    assert_eq!(world.run(&[], run_on("2026-12-02")).await.unwrap(), [""; 0]);
}

#[tokio::test]
async fn a_run_that_dies_anywhere_is_repeated_with_the_same_bytes_and_the_same_event() {
    let whole = World::new(("2026-11-02", "2026-11-22"));
    whole
        .run(&[Unit::Week], run_on("2026-12-02"))
        .await
        .unwrap();
    for good in 0..4 {
        let world = World::new(("2026-11-02", "2026-11-22"));
        *world.outside.good.lock().unwrap() = Some(good);
        assert!(
            world
                .run(&[Unit::Week], run_on("2026-12-02"))
                .await
                .is_err()
        );
        assert_eq!(world.sent(), [], "{good}");
        *world.outside.good.lock().unwrap() = None;
        let made = world
            .run(&[Unit::Week], run_on("2026-12-03"))
            .await
            .unwrap();
        assert_eq!(made, ["2026-W47"]);
        assert_eq!(world.files(), whole.files(), "{good}");
        assert_eq!(world.sent(), whole.sent(), "{good}");
    }
}

#[tokio::test]
async fn a_report_counts_every_user_of_both_spans() {
    let world = World::new(("2026-11-02", "2026-11-22"));
    for user in 0..450 {
        let at = day("2026-11-16").plus_days(user % 7);
        world.call(&format!("user{user}@example.com"), at, 3);
    }
    world.call("gone@example.com", day("2026-11-09"), 5);
    world
        .run(&[Unit::Week], run_on("2026-12-02"))
        .await
        .unwrap();
    let figures = world.sent()[0].figures;
    assert_eq!((figures.users, figures.total_calls), (451, 14 + 450 * 3));
    let table = world.files().remove("weeks/2026-W47.csv").unwrap();
    assert!(table.contains("\nuser,gone@example.com,"), "{table}");
    let emails = table.lines().filter_map(|line| line.strip_prefix("user,"));
    assert!(emails.clone().is_sorted() && emails.count() == 452);
}

#[tokio::test]
async fn no_report_is_made_of_users_whose_lists_have_expired() {
    let world = World::new(("2026-11-02", "2026-11-22"));
    let late = day("2026-11-09").plus_days(LIST_DAYS + 1);
    let reports = |now| {
        let world = &world;
        async move {
            let periods = Periods {
                usage: &world.store,
                queue: &world.outside,
                plans: &world.plans,
            };
            let reports = Reports {
                environment: "test",
                units: &[Unit::Week],
                periods,
                bucket: &world.outside,
                bucket_name: "reports",
            };
            let due = reports
                .if_final(Span::parse("2026-W47").unwrap(), now)
                .await;
            due.unwrap().is_some()
        }
    };
    assert!(reports(late.plus_days(-2)).await);
    assert!(!reports(late).await);
    // An environment that closed days before their users were listed.
    let since = day("2026-11-10");
    world.plant(&ItemKey::periods_mark(), &since);
    assert!(!reports(run_on("2026-12-02")).await);
    world.plant(&ItemKey::periods_mark(), &day("2026-11-09"));
    assert!(reports(run_on("2026-12-02")).await);
}
