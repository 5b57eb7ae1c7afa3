//! Months that are over, as the aggregator leaves them: sealed days, and the months of users. The
//! export, the report and the analytics API say the same of them.

use std::time::{Duration, Instant};

use domain::calendar::Span;
use domain::counts::Sum;
use domain::event::EventType;
use domain::mark::DayMark;
use domain::names::Names;
use domain::report::{Format, ReportReady, Which};
use domain::seen::Seen;
use domain::state;
use domain::table::{ItemKey, user_bucket};
use domain::tally::Totals;
use domain::time::{UnixMillis, Window};
use runtime::dynamo::DynamoStore;
use runtime::store::{Condition, NewItem, Shown, Store as _};
use serde_json::{Value, json};
use tests::call::ACCOUNT;
use tests::system::{System, USAGE_TABLE, json_of};

/// What the export says of a user.
const EXPORTED: [&str; 9] = [
    "email",
    "plan",
    "periodStart",
    "periodEnd",
    "totalCalls",
    "authFailures",
    "rateLimited",
    "units",
    "meters",
];

/// A day's accepted calls by quarter hour, and a refused one in the first.
fn day(day: UnixMillis, plan: &str, quarters: &[(u8, u64)]) -> Sum {
    let mut sum = Sum::default();
    for (quarter, calls) in quarters {
        let totals = Totals {
            calls: *calls,
            units: *calls,
            rate_limited: 1,
            ..Totals::default()
        };
        sum.quarters.insert(*quarter, totals);
        let tally = &mut sum.counts.tally;
        tally.count(EventType::ApiCall, "GET", "/v1/deadlines", *calls);
        tally.count(EventType::RateLimited, "GET", "/v1/deadlines", 1);
        sum.rank += calls + 1;
    }
    sum.counts.seen = Some(Seen::new(day, day, Some((day, plan.to_owned()))));
    sum
}

async fn put(table: &DynamoStore, key: &ItemKey, version: u64, state: Vec<u8>) {
    let item = NewItem {
        version,
        state,
        shown: Shown::default(),
        condition: Condition::Version(0),
    };
    table.put(key, item).await.unwrap();
}

/// A user's days, and the months that they make up.
async fn user(table: &DynamoStore, email: &str, days: &[(UnixMillis, Sum)]) {
    for (day, sum) in days {
        let key = ItemKey::day(email, *day);
        put(table, &key, sum.rank, sum.encode().unwrap()).await;
        listed(table, email, *day).await;
    }
    let mut months: Vec<UnixMillis> = days
        .iter()
        .map(|(day, _)| Window::Month.start(*day))
        .collect();
    months.dedup();
    for month in months {
        let within = days
            .iter()
            .filter(|(day, _)| Window::Month.start(*day) == month);
        let sum = Sum::of(within.map(|(_, sum)| sum));
        let key = ItemKey::month(email, month);
        put(table, &key, sum.rank, sum.encode().unwrap()).await;
    }
}

/// The list of a day's users that its closing writes. Each user has a part of its own.
async fn listed(table: &DynamoStore, email: &str, day: UnixMillis) {
    let part = usize::from(email.as_bytes()[0]);
    let key = ItemKey::day_users(day, user_bucket(email), part);
    let names = state::encode_packed(&vec![email.to_owned()]).unwrap();
    put(table, &key, 1, names).await;
}

async fn sealed(table: &DynamoStore, (first, last): (UnixMillis, UnixMillis)) {
    let mut day = first;
    while day <= last {
        let mut mark = DayMark::begin(Window::Day.end(day));
        mark.seal();
        mark.finish();
        let state = state::encode(&mark).unwrap();
        put(table, &ItemKey::day_mark(day), 1, state).await;
        day = Window::Day.end(day);
    }
}

/// Two months, of which the later one is reported.
async fn plant(system: &System) -> Span {
    let table = aws_sdk_dynamodb::Client::new(&system.sdk().await);
    let table = DynamoStore::new(table, USAGE_TABLE);
    let now = UnixMillis::from(jiff::Timestamp::now());
    let month = Span::month(now).previous().previous();
    let start = month.in_utc().start;
    // At 18:30 of the day before, the month begins in India.
    let of_india = [
        (
            start.plus_days(-9),
            day(start.plus_days(-9), "tight", &[(5, 70)]),
        ),
        (
            start.plus_days(-1),
            day(start.plus_days(-1), "tight", &[(73, 8), (74, 30)]),
        ),
        (
            start.plus_days(7),
            day(start.plus_days(7), "tight", &[(0, 500)]),
        ),
    ];
    user(&table, "india@example.com", &of_india).await;
    let of_utc = [(start, day(start, "enterprise", &[(0, 12), (95, 4)]))];
    user(&table, "utc@example.com", &of_utc).await;
    let before = [(
        start.plus_days(-3),
        day(start.plus_days(-3), "enterprise", &[(1, 6)]),
    )];
    user(&table, "before@example.com", &before).await;
    // A plan is in India, so the days beside the months must be sealed too.
    let before = month.previous().in_utc().start;
    sealed(&table, (before.plus_days(-1), month.in_utc().end)).await;
    // Its bills were made.
    let key = ItemKey::month_mark(start);
    put(&table, &key, 1, state::encode(&0_u8).unwrap()).await;
    month
}

/// The export, the report and `user-stats` say the same, each time.
pub(super) async fn reports(system: &System) {
    let month = plant(system).await;
    let run = |command: &str| system.place.run(&format!("{command} --month {month}"));
    let export = json_of(&run("usage export --json"));
    let report = json_of(&run("report --json"));
    assert_eq!(json_of(&run("report --format json")), report);
    let exported = export["users"].as_array().unwrap();
    let reported = report["users"].as_array().unwrap();
    assert_eq!((exported.len(), reported.len()), (2, 3), "{report:#}");
    for row in exported {
        let same = reported.iter().find(|one| one["email"] == row["email"]);
        let same = same.unwrap();
        for name in EXPORTED {
            assert_eq!(same[name], row[name], "{name}: {same:#}");
        }
    }
    let sum = |rows: &[Value], name: &str| {
        rows.iter()
            .map(|row| row[name].as_u64().unwrap())
            .sum::<u64>()
    };
    for name in ["totalCalls", "rateLimited", "units"] {
        assert_eq!(report["total"][name], sum(exported, name), "{name}");
        assert_eq!(
            sum(report["plans"].as_array().unwrap(), name),
            sum(exported, name)
        );
    }
    assert_eq!(
        sum(report["days"].as_array().unwrap(), "totalCalls"),
        sum(exported, "totalCalls")
    );
    assert_eq!(report["total"]["totalCalls"], 30 + 500 + 12 + 4);
    assert_eq!(report["total"]["previous"]["totalCalls"], 70 + 8 + 6);

    // Nobody of them has called since.
    for row in reported {
        let email = row["email"].as_str().unwrap();
        let stats = system.analytics(&format!("user-stats?email={email}")).await;
        for name in ["totalCalls", "rateLimited"] {
            let both = sum(&[row.clone(), row["previous"].clone()], name);
            assert_eq!(stats[name], json!(both), "{email}: {name}");
        }
    }

    for format in ["html", "csv", "json"] {
        let file = system.place.dir().join(format!("usage.{format}"));
        let command = format!("report --format {format} --out {}", file.display());
        let written = || {
            let printed = run(&command);
            assert_eq!(printed.code, Some(0), "{printed:?}");
            std::fs::read_to_string(&file).unwrap()
        };
        let first = written();
        assert!(first.contains("india@example.com"), "{first}");
        assert_eq!(written(), first, "{format}");
        assert_eq!(run(&format!("report --format {format}")).stdout, first);
    }
    let now = Span::month(UnixMillis::from(jiff::Timestamp::now()));
    let refused = system.place.run(&format!("report --month {now}"));
    refused.fails(1, &[&format!("month `{now}` is not closed")]);
}

/// What the schedule asks for, twice: the files are those of the command, and one event arrives.
pub(super) async fn scheduled_reports(system: &System, endpoint: &super::Endpoint) {
    let sdk = system.sdk().await;
    let functions = aws_sdk_lambda::Client::new(&sdk);
    let aggregator = System::function(domain::names::Function::Aggregator);
    let asked = json!({ "report": Which::Due }).to_string();
    let ask = || async {
        let asked = asked.as_bytes().to_vec();
        let request = functions.invoke().function_name(&aggregator);
        let answer = request.payload(asked.into()).send().await.unwrap();
        let payload = answer.payload.unwrap_or_default();
        let text = String::from_utf8_lossy(payload.as_ref()).into_owned();
        assert_eq!(answer.function_error, None, "{text}");
        serde_json::from_str::<Value>(&text).unwrap()
    };
    let now = UnixMillis::from(jiff::Timestamp::now());
    let month = Span::month(now).previous().previous();
    assert_eq!(ask().await, json!({ "reports": [month.to_string()] }));
    assert_eq!(ask().await, json!({ "reports": [] }));

    let config = aws_sdk_s3::config::Builder::from(&sdk).force_path_style(true);
    let files = aws_sdk_s3::Client::from_conf(config.build());
    let bucket = Names::new("complical", "CompliCal", "local").report_bucket(ACCOUNT, "ap-south-1");
    for format in Format::ALL {
        let request = files.get_object().bucket(&bucket).key(format.key(month));
        let stored = request.send().await.unwrap();
        assert_eq!(stored.content_type(), Some(format.media_type()));
        let stored = stored.body.collect().await.unwrap().to_vec();
        let extension = format.extension();
        let file = system.place.dir().join(format!("made.{extension}"));
        let command = format!(
            "report --month {month} --format {extension} --out {}",
            file.display()
        );
        assert_eq!(system.place.run(&command).code, Some(0));
        assert_eq!(std::fs::read(&file).unwrap(), stored, "{extension}");
    }

    let id = ReportReady::id_of("local", &month.to_string());
    let announced = || {
        let got = endpoint.got().into_iter();
        got.filter(|delivery| delivery.headers["webhook-id"] == id)
            .collect::<Vec<_>>()
    };
    let start = Instant::now();
    while announced().is_empty() {
        assert!(start.elapsed() < super::PATIENCE, "{:?}", endpoint.got());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    let announced = announced();
    assert_eq!(announced.len(), 1, "{announced:?}");
    let event: Value = serde_json::from_str(&announced[0].body).unwrap();
    assert_eq!(
        (&event["type"], &event["id"]),
        (&json!("report.ready"), &json!(id))
    );
    assert_eq!(event["data"]["figures"]["totalCalls"], 30 + 500 + 12 + 4);
    let first = format!("s3://{bucket}/{}", Format::Html.key(month));
    assert_eq!(event["data"]["files"][0], json!(first));
    assert!(
        !announced[0].body.contains('@'),
        "it names no user: {event}"
    );
}
