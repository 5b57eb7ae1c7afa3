//! The traffic: events, records that are not events, and how a table's stream of keys reports a
//! write.

use std::collections::HashMap;

use aws_lambda_events::event::dynamodb::EventRecord;
use domain::dimension::Label;
use domain::event::{EventData, EventType, Subject, UsageEvent};
use domain::id::EventId;
use domain::names::TrackingMode;
use domain::plan::{AnchorDay, LimitMode, Plan, Plans};
use domain::table::{ItemKey, attribute};
use domain::time::UnixMillis;
use serde_dynamo::AttributeValue;

use super::random::Random;

pub(super) const SOURCE: &str = "/complical/test/api";
/// The first is the busiest, the fourth is only ever refused, the last three are known by address.
pub(super) const CALLERS: [&str; 7] = [
    "ann@example.com",
    "bob#1@example.com",
    "cat@example.com",
    "dan@example.com",
    "ip:192.0.2.1",
    "ip:2001:db8:0:1::7",
    "ip:2001:db8:0:1:ffff::8",
];
/// The plans, the names of their time zones and their anchor days. No zone has a summer time in these
/// months.
pub(super) const PLANS: [(&str, &str, u8); 3] = [
    ("free", "UTC", 1),
    ("east", "Asia/Kolkata", 1),
    ("west", "America/Bogota", 2),
];
/// A plan's quota, and its thresholds in percent.
pub(super) type Allowed = (Option<u64>, &'static [u8]);
/// That of each plan: schedules cross the thresholds.
pub(super) const QUOTAS: [Allowed; 3] = [
    (Some(40), &[50, 80, 100]),
    (Some(12), &[100, 25]),
    (None, &[50, 100]),
];
/// A user's own quota, which applies on each plan.
pub(super) const OWN_QUOTA: (&str, u64) = (CALLERS[2], 7);
/// Method, template and units.
pub(super) const ROUTES: [(&str, &str, u32); 4] = [
    ("GET", "/v1/deadlines", 1),
    ("POST", "/v1/deadlines", 10),
    ("GET", "/v1/accounts/{id}", 3),
    ("DELETE", "/v1/accounts/{id}", 0),
];
/// Dimensions, and how many values of each are counted apart: fewer than there are.
pub(super) const DIMENSIONS: [(&str, u8); 2] = [("region", 2), ("tenant", 3)];
/// The values of the dimensions. Callers may also send the word for what is not counted apart.
const REGIONS: [&str; 4] = ["", "ap", "eu", "us"];
const TENANTS: [&str; 8] = [
    "", "", "acme", "acme", "globex", "initech", "other", "umbrella",
];
/// The most keys of a user that count apart, as the documentation says.
pub(super) const MOST_KEYS: usize = 50;
pub(super) const POISON: [&[u8]; 5] = [
    b"not json",
    b"{}",
    b"",
    b"\xff\xfe",
    b"{\"specversion\":\"1.0\",\"id\":\"01a20419-2588-7fff-bfff-ffffffffffff\",\"source\":\"s\",\
      \"type\":\"API_GUESS\",\"time\":\"2026-12-01T00:00:00Z\",\"subject\":\"ann@example.com\",\
      \"data\":{}}",
];

/// The plan of a user's keys. A line that names another user says that its key is on this one's.
fn plan_of(email: &str) -> &'static str {
    let caller = CALLERS.iter().position(|known| *known == email);
    PLANS[caller.unwrap_or(0) % PLANS.len()].0
}

pub(super) fn plans(with_quotas: bool) -> Plans {
    let plan = |((name, zone, day), (quota, alerts)): ((&str, &str, u8), Allowed)| {
        let plan = Plan {
            rate_per_second: 1,
            burst: 1,
            monthly_quota: quota.filter(|_| with_quotas),
            alerts_percent: alerts.to_vec(),
            limit_mode: LimitMode::Soft,
            timezone: zone.to_owned(),
            period_anchor_day: AnchorDay::try_from(day).unwrap_or_default(),
        };
        (name.to_owned(), plan)
    };
    PLANS.into_iter().zip(QUOTAS).map(plan).collect()
}

/// An event of `subject`.
pub(super) fn event(
    subject: Subject,
    event_type: EventType,
    route: usize,
    time: UnixMillis,
    random: &mut Random,
) -> UsageEvent {
    let ip = subject.as_str().strip_prefix("ip:");
    let ip = ip.unwrap_or_else(|| random.pick(&["198.51.100.7", "192.0.2.1"]));
    let (method, endpoint, units) = ROUTES[route];
    let mut data = EventData {
        key_id: None,
        plan: subject.email().map(|email| plan_of(email).to_owned()),
        method: method.to_owned(),
        endpoint: endpoint.to_owned(),
        units,
        dimensions: Vec::new(),
        ip: ip.to_owned(),
        user_agent: None,
        // Callers choose it, and one chose the same value every time.
        request_id: Some("chosen-by-the-caller".to_owned()),
        stage: None,
        mode: TrackingMode::Stream,
        reason: None,
    };
    let id = event_id(time, random);
    data.key_id = key_of(subject.as_str(), id);
    if event_type == EventType::ApiCall {
        data.dimensions = labels(id);
    }
    UsageEvent {
        id,
        source: SOURCE.to_owned(),
        event_type,
        time,
        subject,
        data,
    }
}

/// The key of a call, which follows from its id: the first caller has one, the second three, the
/// third one for every few calls. Some calls name none.
fn key_of(subject: &str, id: EventId) -> Option<String> {
    let [.., choice] = id.tail();
    let keys = match CALLERS.iter().position(|caller| *caller == subject) {
        Some(1) => 3,
        Some(2) => 200,
        _ => 1,
    };
    (choice < 250).then(|| format!("key_{:016x}", choice % keys))
}

/// The values that a call carries: they follow from its id.
fn labels(id: EventId) -> Vec<Label<'static>> {
    let [region, tenant, ..] = id.tail();
    let values = [
        REGIONS[usize::from(region) % REGIONS.len()],
        TENANTS[usize::from(tenant) % TENANTS.len()],
    ];
    let labels = DIMENSIONS.iter().zip(values);
    let labels = labels.filter(|(_, value)| !value.is_empty());
    let labels = labels.map(|((name, values), value)| Label {
        name: (*name).into(),
        value: value.into(),
        values: *values,
    });
    labels.collect()
}

fn event_id(time: UnixMillis, random: &mut Random) -> EventId {
    let mut bytes = [0; 10];
    let (spread, kept) = bytes.split_at_mut(2);
    kept.copy_from_slice(&random.next().to_be_bytes());
    spread.copy_from_slice(&kept[..2]);
    EventId::mint(time.0.unsigned_abs(), bytes)
}

/// A write as a table's stream of keys reports it.
///
/// # Panics
///
/// If `at` is beyond every calendar.
pub fn event_record(key: &ItemKey, name: &str, sequence: &str, at: UnixMillis) -> EventRecord {
    let keys = [(attribute::PK, &key.pk), (attribute::SK, &key.sk)];
    let keys = keys.map(|(name, text)| (name.to_owned(), AttributeValue::S(text.clone())));
    let mut record = EventRecord::default();
    name.clone_into(&mut record.event_name);
    record.change.keys = HashMap::from(keys).into();
    record.change.sequence_number = Some(sequence.to_owned());
    let at = chrono::DateTime::from_timestamp_millis(at.0);
    record.change.approximate_creation_date_time = at.expect("schedules lie in our times");
    record
}
