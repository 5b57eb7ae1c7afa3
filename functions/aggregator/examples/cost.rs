//! B4: what DynamoDB bills for a thousand calls, in a steady state, by item size.
#![allow(
    clippy::all,
    clippy::pedantic,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use aggregator::everybody::Retention;
use aggregator::handler::{Aggregator, Memory};
use aws_lambda_events::event::dynamodb::EventRecord;
use domain::counts::{Counts, Sum};
use domain::entry::Packer;
use domain::event::{EventData, EventType, Subject, UsageEvent};
use domain::id::EventId;
use domain::mark::DayMark;
use domain::names::TrackingMode;
use domain::response::Response;
use domain::seen::Seen;
use domain::state;
use domain::table::{ItemKey, JOURNAL_PREFIX};
use domain::time::{UnixMillis, Window};
use runtime::journal::Journal;
use runtime::memory::{MemoryStore, Units};
use serde_dynamo::AttributeValue;

#[derive(Clone, Copy)]
struct Work {
    name: &'static str,
    users: usize,
    zipf: bool,
    rate: f64,
    window_ms: i64,
    fold_ms: i64,
    line_ms: i64,
    seconds: i64,
    synchronous: bool,
    delivery_ms: i64,
}

struct Random(u64);
impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

const DAY15: &str = "2026-11-15T00:00:00Z";

fn history(users: usize, usage: &MemoryStore, names: &[String]) {
    let start: UnixMillis = DAY15.parse().unwrap();
    for day in 1..15 {
        let mut mark = DayMark::begin(start);
        mark.finish();
        if start.plus_days(-day) < start.plus_days(-9) {
            mark.seal();
            mark.finish();
        }
        let key = ItemKey::day_mark(start.plus_days(-day));
        usage.plant(&key, 40, state::encode(&mark).unwrap());
    }
    for user in 0..users {
        let mut sum = Sum {
            rank: 20_000,
            ..Sum::default()
        };
        for route in 0..5 {
            let endpoint = format!("/v1/resource-{route}/{{id}}");
            sum.counts
                .tally
                .count(EventType::ApiCall, "GET", &endpoint, 2_000);
        }
        for latency in 30..800 {
            sum.counts.responses.count(Response {
                status: 200,
                latency: Some(latency),
            });
        }
        sum.counts.seen = Some(Seen::new(
            start.plus_days(-300),
            start.plus_days(-1),
            Some((start.plus_days(-1), "free".into())),
        ));
        let name = &names[user];
        for day in 1..15 {
            let mut of = sum.clone();
            for quarter in 0..96 {
                of.quarters.insert(
                    quarter,
                    domain::tally::Totals {
                        calls: 20,
                        ..Default::default()
                    },
                );
            }
            usage.plant(
                &ItemKey::day(name, start.plus_days(-day)),
                3,
                of.encode().unwrap(),
            );
        }
        let mut month = start.plus_days(-15);
        usage.plant(
            &ItemKey::month(name, start),
            sum.rank * 14,
            Sum {
                rank: sum.rank * 14,
                ..sum.clone()
            }
            .encode()
            .unwrap(),
        );
        for _ in 0..11 {
            let rank = 30 * sum.rank;
            usage.plant(
                &ItemKey::month(name, month),
                rank,
                Sum {
                    rank,
                    ..sum.clone()
                }
                .encode()
                .unwrap(),
            );
            month = Window::Month.start(month).plus_days(-1);
        }
        let rank = 12 * 30 * sum.rank;
        usage.plant(
            &ItemKey::all_time(name),
            1,
            Sum {
                rank: 1,
                ..sum.clone()
            }
            .encode()
            .unwrap(),
        );
        let _ = rank;
    }
    let _ = Counts::default();
}

struct Line {
    event: UsageEvent,
    response: Response,
}

fn main() {
    let which: Vec<String> = std::env::args().skip(1).collect();
    let base = Work {
        name: "",
        users: 0,
        zipf: false,
        rate: 100.0,
        window_ms: 1_000,
        fold_ms: 60_000,
        line_ms: 900_000,
        seconds: 3_600,
        synchronous: false,
        delivery_ms: 5_000,
    };
    let works = [
        Work {
            name: "W1",
            users: 10,
            seconds: 2 * 3600,
            ..base
        },
        Work {
            name: "W2",
            users: 100,
            seconds: 2 * 3600,
            ..base
        },
        Work {
            name: "W3",
            users: 1_000,
            zipf: true,
            seconds: 4 * 3600,
            ..base
        },
        Work {
            name: "W4",
            users: 1,
            rate: 1_000.0,
            window_ms: 500,
            seconds: 60,
            ..base
        },
        Work {
            name: "W5",
            users: 1_000,
            zipf: true,
            rate: 3.86,
            window_ms: 10_000,
            seconds: 86_400 - 60,
            ..base
        },
        Work {
            name: "W5-10s",
            users: 1_000,
            zipf: true,
            rate: 3.86,
            window_ms: 10_000,
            fold_ms: 10_000,
            seconds: 86_400 - 60,
            ..base
        },
        Work {
            name: "W6",
            users: 1_000,
            zipf: true,
            rate: 3.86,
            window_ms: 0,
            synchronous: true,
            seconds: 86_400 - 60,
            ..base
        },
    ];
    for work in works {
        if which.is_empty() || which.iter().any(|name| name == work.name) {
            run(work);
        }
    }
}

fn run(work: Work) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(simulate(work));
}

async fn simulate(work: Work) {
    let mut random = Random(7);
    let start: UnixMillis = DAY15.parse().unwrap();
    let names: Vec<String> = (0..work.users)
        .map(|user| format!("user{user:04}@customer{}.example.com", user % 97))
        .collect();
    let weights: Vec<f64> = (0..work.users)
        .map(|user| {
            if work.zipf {
                1.0 / ((user + 1) as f64).powf(1.1)
            } else {
                1.0
            }
        })
        .collect();
    let total: f64 = weights.iter().sum();
    let mut cumulative = Vec::new();
    let mut sum = 0.0;
    for weight in &weights {
        sum += weight / total;
        cumulative.push(sum);
    }
    let analytics = MemoryStore::journalled(Some(JOURNAL_PREFIX));
    let usage = MemoryStore::default();
    history(work.users, &usage, &names);
    let retention = Retention {
        raw: 90,
        minutes: 7,
        hours: 90,
    };
    let aggregator = || Aggregator {
        analytics: analytics.clone(),
        usage: usage.clone(),
        retention,
        reported_within: 960_000,
        cache: Memory::default(),
    };
    let shards: Vec<_> = (0..4).map(|_| aggregator()).collect();
    let ticker = aggregator();
    let journal = Arc::new(Journal {
        store: analytics.clone(),
        retention_days: 90,
    });
    // Warm: instances began before.
    for shard in &shards {
        let _ = shard.batch(&[], start.plus_millis(-1), &|| false).await;
    }
    let mut pending: Vec<Vec<(EventRecord, i64)>> = vec![Vec::new(); 4];
    let mut batch: Vec<UsageEvent> = Vec::new();
    let mut batch_since = start.0;
    // Lines waiting in log streams until the next delivery, then in the queue until the boundary.
    let mut streams: Vec<Vec<Line>> = (0..20).map(|_| Vec::new()).collect();
    let mut queue: BTreeMap<i64, Vec<Vec<Line>>> = BTreeMap::new();
    let mut calls = 0u64;
    let mut due = 0.0f64;
    let step = 100i64;
    let end = start.plus_millis(work.seconds * 1_000);
    let horizon = end.plus_millis(3_600_000);
    let mut now = start;
    let mut journal_units = Units::default();
    let mut tick_units = Units::default();
    let mut sequence = 0u64;
    let mut passes = 0;
    while now < horizon {
        now = now.plus_millis(step);
        if now <= end {
            due += work.rate * step as f64 / 1_000.0;
            while due >= 1.0 {
                due -= 1.0;
                let event = event(
                    &mut random,
                    &names,
                    &cumulative,
                    now.plus_millis(-(random_below(step) as i64).min(0)),
                );
                calls += 1;
                let latency = 30 + random.below(771) as u32;
                let status = if random.below(50) == 0 { 404 } else { 200 };
                if event.event_type == EventType::ApiCall {
                    let place = random.below(20) as usize;
                    streams[place].push(Line {
                        event: event.clone(),
                        response: Response {
                            status,
                            latency: Some(latency),
                        },
                    });
                }
                if work.synchronous {
                    let before = analytics.units();
                    append(&journal, &[event], now).await;
                    add(&mut journal_units, before, analytics.units());
                } else {
                    batch.push(event);
                }
            }
        }
        if !batch.is_empty() && now.0 - batch_since >= work.window_ms {
            let before = analytics.units();
            append(&journal, &batch, now).await;
            add(&mut journal_units, before, analytics.units());
            batch.clear();
        }
        if batch.is_empty() {
            batch_since = now.0;
        }
        // Deliveries, spread over the streams.
        for (place, lines) in streams.iter_mut().enumerate() {
            let turn = (now.0 / step + place as i64 * 7) % (work.delivery_ms / step) == 0;
            if turn && !lines.is_empty() {
                let boundary = (now.0 / work.line_ms + 1) * work.line_ms;
                queue
                    .entry(boundary)
                    .or_default()
                    .push(std::mem::take(lines));
            }
        }
        while let Some((&boundary, _)) = queue.first_key_value() {
            if boundary > now.0 {
                break;
            }
            let messages = queue.remove(&boundary).unwrap();
            let before = analytics.units();
            let mut bytes = 0;
            let mut group: Vec<&Line> = Vec::new();
            let mut count = 0;
            for message in &messages {
                bytes += message.len() * 650;
                count += 1;
                group.extend(message.iter());
                if count >= 1_000 || bytes >= 5_500_000 {
                    append_lines(&journal, &group, now).await;
                    group.clear();
                    (bytes, count) = (0, 0);
                }
            }
            if !group.is_empty() {
                append_lines(&journal, &group, now).await;
            }
            add(&mut journal_units, before, analytics.units());
        }
        for change in analytics.take_changes() {
            let shard = crc(&change.key.pk) as usize % 4;
            sequence += 1;
            let mut record = EventRecord::default();
            record.event_name = "INSERT".into();
            record.change.sequence_number = Some(sequence.to_string());
            record.change.approximate_creation_date_time = chrono(now);
            let keys = [("PK", change.key.pk.clone()), ("SK", change.key.sk.clone())];
            record.change.keys = keys
                .into_iter()
                .map(|(name, value)| (name.to_string(), AttributeValue::S(value)))
                .collect::<std::collections::HashMap<_, _>>()
                .into();
            pending[shard].push((record, now.0));
        }
        for (place, waiting) in pending.iter_mut().enumerate() {
            let ready = waiting
                .first()
                .is_some_and(|(_, at)| now.0 - at >= work.fold_ms)
                || waiting.len() >= 10_000;
            if ready {
                let records: Vec<_> = waiting.drain(..).map(|(record, _)| record).collect();
                let (answer, _) = shards[place].batch(&records, now, &|| false).await;
                assert!(answer.batch_item_failures.is_empty());
                passes += 1;
            }
        }
        if now.0 % 60_000 == 0 {
            let before = both(&analytics, &usage);
            ticker.tick(now, &|| false).await.unwrap();
            add(&mut tick_units, before, both(&analytics, &usage));
        }
    }
    let folded = both(&analytics, &usage);
    // Closing, both rounds.
    let before = both(&analytics, &usage);
    let day_end = Window::Day.end(start);
    for at in [
        day_end.plus_millis(3_700_000),
        day_end.plus_millis(3 * 3_600_000),
        day_end.plus_days(9).plus_millis(1),
    ] {
        // Other days are not its own.
        for day in 1..9 {
            let mut mark = DayMark::begin(start);
            mark.finish();
            mark.seal();
            mark.finish();
            usage.plant(
                &ItemKey::day_mark(start.plus_days(day)),
                40,
                state::encode(&mark).unwrap(),
            );
            usage.plant(
                &ItemKey::day_mark(start.plus_days(-day)),
                40,
                state::encode(&mark).unwrap(),
            );
            usage.plant(
                &ItemKey::day_mark(start.plus_days(-day - 6)),
                40,
                state::encode(&mark).unwrap(),
            );
        }
        ticker.tick(at, &|| false).await.unwrap();
    }
    let after = both(&analytics, &usage);
    let day: DayMark =
        state::decode(&usage.peek(&ItemKey::day_mark(start)).unwrap().state).unwrap();
    let per = |units: u64| units as f64 * 1_000.0 / calls as f64;
    println!(
        "{}: {calls} calls, writes {:.0} (journal {:.0}, fold {:.0}, ticks {:.1}, closing {:.1}), reads {:.0} (fold {:.0}, ticks {:.1}, closing {:.1}), passes {passes}, {:?}",
        work.name,
        per(after.writes),
        per(journal_units.writes),
        per(folded.writes - journal_units.writes - tick_units.writes),
        per(tick_units.writes),
        per(after.writes - before.writes),
        per(after.reads),
        per(folded.reads - tick_units.reads),
        per(tick_units.reads),
        per(after.reads - before.reads),
        day.round,
    );
}

fn random_below(_: i64) -> u64 {
    0
}

fn crc(text: &str) -> u32 {
    text.bytes().fold(2_166_136_261u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(16_777_619)
    })
}

fn chrono(at: UnixMillis) -> chrono_like::DateTime {
    chrono_like::from(at)
}

mod chrono_like {
    pub use chrono::DateTime as Generic;
    pub type DateTime = chrono::DateTime<chrono::Utc>;
    pub fn from(at: domain::time::UnixMillis) -> DateTime {
        chrono::DateTime::from_timestamp_millis(at.0).unwrap()
    }
}

fn both(one: &MemoryStore, other: &MemoryStore) -> Units {
    let (one, other) = (one.units(), other.units());
    Units {
        writes: one.writes + other.writes,
        reads: one.reads + other.reads,
        calls: one.calls + other.calls,
    }
}

fn add(sum: &mut Units, before: Units, after: Units) {
    sum.writes += after.writes - before.writes;
    sum.reads += after.reads - before.reads;
}

async fn append(journal: &Journal<MemoryStore>, events: &[UsageEvent], now: UnixMillis) {
    let borrowed: Vec<_> = events.iter().map(UsageEvent::borrowed).collect();
    let mut packer = Packer::default();
    for event in &borrowed {
        packer.report(event);
    }
    journal.append(packer, now).await.unwrap();
}

async fn append_lines(journal: &Journal<MemoryStore>, lines: &[&Line], now: UnixMillis) {
    let borrowed: Vec<_> = lines.iter().map(|line| line.event.borrowed()).collect();
    let mut packer = Packer::default();
    for (event, line) in borrowed.iter().zip(lines) {
        packer.line(event, Some(line.response));
    }
    journal.append(packer, now).await.unwrap();
}

fn event(random: &mut Random, names: &[String], cumulative: &[f64], now: UnixMillis) -> UsageEvent {
    let at = random.unit();
    let user = cumulative
        .partition_point(|sum| *sum < at)
        .min(names.len() - 1);
    let failed = random.below(50) == 0;
    let into = UnixMillis(now.0);
    let mut bytes = [0; 10];
    bytes[..8].copy_from_slice(&random.next().to_be_bytes());
    bytes[2..].copy_from_slice(&random.next().to_be_bytes());
    let route = random.below(5);
    let address = format!("203.0.{}.{}", user / 250, user % 250);
    let (subject, key_id, plan, ip) = if failed {
        let ip = format!("198.51.100.{}", random.below(20));
        (
            Subject::address(&ip),
            Some(format!("{:08x}", random.below(1 << 32))),
            None,
            ip,
        )
    } else {
        (
            Subject::user(&names[user]),
            Some(format!("key_{user:012x}")),
            Some("free".to_owned()),
            address,
        )
    };
    let request = [random.next().to_be_bytes(), random.next().to_be_bytes()].concat();
    let hex: String = request.iter().map(|byte| format!("{byte:02x}")).collect();
    let request_id = format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    );
    UsageEvent {
        id: EventId::mint(into.0.unsigned_abs(), bytes),
        source: "/complical/prod/api".to_owned(),
        event_type: if failed {
            EventType::AuthFailed
        } else {
            EventType::ApiCall
        },
        time: into,
        subject,
        data: EventData {
            key_id,
            plan,
            method: if route == 4 { "POST" } else { "GET" }.to_owned(),
            endpoint: format!("/v1/resource-{route}/{{id}}"),
            ip,
            user_agent: Some(
                [
                    "curl/8.5.0",
                    "python-requests/2.32",
                    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
                ][user % 3]
                    .to_owned(),
            ),
            request_id: Some(request_id),
            stage: Some("prod".to_owned()),
            mode: TrackingMode::Stream,
        },
    }
}
