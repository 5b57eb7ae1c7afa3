//! What is called and sent: events, records that are none, and how a table's stream reports a
//! change.

use std::collections::HashMap;

use aws_lambda_events::event::dynamodb::EventRecord;
use domain::event::{EventData, EventType, Subject, UsageEvent};
use domain::id::EventId;
use domain::names::TrackingMode;
use domain::table::attribute;
use domain::time::UnixMillis;
use runtime::memory::Change;
use runtime::store::Stored;
use serde_dynamo::AttributeValue;

use super::random::Random;

pub(super) const SOURCE: &str = "/complical/test/api";
pub(super) const CALLERS: [&str; 5] = [
    "ann@example.com",
    "bob#1@example.com",
    "cat@example.com",
    "ip:192.0.2.1",
    "ip:192.0.2.2",
];
pub(super) const ROUTES: [(&str, &str); 4] = [
    ("GET", "/v1/deadlines"),
    ("POST", "/v1/deadlines"),
    ("GET", "/v1/accounts/{id}"),
    ("DELETE", "/v1/accounts/{id}"),
];
pub(super) const POISON: [&[u8]; 5] = [
    b"not json",
    b"{}",
    b"",
    b"\xff\xfe",
    b"{\"specversion\":\"1.0\",\"id\":\"01a20419-2588-7fff-bfff-ffffffffffff\",\"source\":\"s\",\
      \"type\":\"API_GUESS\",\"time\":\"2026-12-01T00:00:00Z\",\"subject\":\"ann@example.com\",\
      \"data\":{}}",
];

/// An event of `subject`.
pub(super) fn event(
    subject: Subject,
    event_type: EventType,
    route: usize,
    time: UnixMillis,
    random: &mut Random,
) -> UsageEvent {
    let ip = subject
        .as_str()
        .strip_prefix("ip:")
        .unwrap_or("198.51.100.7");
    let (method, endpoint) = ROUTES[route];
    let data = EventData {
        key_id: Some("key_1".to_owned()),
        plan: subject.email().map(|_| "free".to_owned()),
        method: method.to_owned(),
        endpoint: endpoint.to_owned(),
        ip: ip.to_owned(),
        user_agent: None,
        // Callers choose it, and one chose the same every time.
        request_id: Some("chosen-by-the-caller".to_owned()),
        stage: None,
        lanes: 1,
        mode: TrackingMode::Stream,
    };
    UsageEvent {
        id: event_id(time, random),
        source: SOURCE.to_owned(),
        event_type,
        time,
        subject,
        data,
    }
}

pub(super) fn event_id(time: UnixMillis, random: &mut Random) -> EventId {
    let mut bytes = [0; 10];
    let (spread, kept) = bytes.split_at_mut(2);
    kept.copy_from_slice(&random.next().to_be_bytes());
    spread.copy_from_slice(&kept[..2]);
    EventId::mint(time.0.unsigned_abs(), bytes)
}

/// A change as the table's stream reports it.
pub fn event_record(change: &Change, sequence: &str) -> EventRecord {
    let image = |stored: &Stored| {
        let attributes = [
            (attribute::PK, AttributeValue::S(change.key.pk.clone())),
            (attribute::SK, AttributeValue::S(change.key.sk.clone())),
            (
                attribute::VERSION,
                AttributeValue::N(stored.version.to_string()),
            ),
            (attribute::STATE, AttributeValue::B(stored.state.clone())),
        ];
        let attributes = attributes.map(|(name, value)| (name.to_owned(), value));
        HashMap::from(attributes)
    };
    let mut record = EventRecord::default();
    record.change.new_image = image(&change.new).into();
    if let Some(old) = &change.old {
        record.change.old_image = image(old).into();
    }
    record.change.sequence_number = Some(sequence.to_owned());
    record
}
