//! The usage event: what the authorizer sends for each decision, as CloudEvents 1.0 structured
//! JSON (<https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md>).

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::id::EventId;
use crate::names::TrackingMode;
use crate::time::UnixMillis;

/// How far ahead of the reader's clock an event's time may be, in milliseconds.
pub const FUTURE_TOLERANCE_MILLIS: i64 = 5 * 60 * 1000;
/// How old an event may be and still be counted, in days: as long as the leaf that would
/// recognise its duplicate is kept.
pub const DEDUPE_HORIZON_DAYS: i64 = 7;
/// Most lanes that a subject is spread over.
pub const MOST_LANES: u16 = 64;
/// Longest subject in bytes: an email address has at most 254 (RFC 5321).
const LONGEST_SUBJECT: usize = 254;
/// Longest partition key that a stream takes
/// (<https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecord.html>).
const LONGEST_PARTITION_KEY: usize = 256;
/// Longest method or route template in bytes.
const LONGEST_LABEL: usize = 512;
/// Longest message of a rejection in bytes: it may quote the record, which may be a megabyte.
const LONGEST_MESSAGE: usize = 500;
/// Longest key id, plan or address in bytes.
const LONGEST_NAME: usize = 64;
/// Most bytes of what an event carries for reference only. Whoever makes an event cuts it there
/// ([`cut`]), for callers choose some of it.
const LONGEST_DETAIL: usize = 256;

/// What the authorizer decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum EventType {
    /// The call was let through; the only type that counts as usage.
    #[serde(rename = "API_CALL")]
    ApiCall,
    /// The call came without a usable key.
    #[serde(rename = "API_AUTH_FAILED")]
    AuthFailed,
    /// The call was over the rate or the quota.
    #[serde(rename = "API_RATE_LIMITED")]
    RateLimited,
}

impl EventType {
    /// Every type.
    pub const ALL: [Self; 3] = [Self::ApiCall, Self::AuthFailed, Self::RateLimited];

    /// The `type` member.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ApiCall => "API_CALL",
            Self::AuthFailed => "API_AUTH_FAILED",
            Self::RateLimited => "API_RATE_LIMITED",
        }
    }
}

/// Whom an event is about: a user's email, or `ip:{address}` where no user is known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Subject(String);

impl Subject {
    /// The subject of a known user.
    pub fn user(email: &str) -> Self {
        Self(email.to_ascii_lowercase())
    }

    /// The subject of a caller that is known by address only.
    pub fn address(ip: &str) -> Self {
        Self(format!("ip:{ip}"))
    }

    /// The subject that an event or a key carries, as it is.
    pub fn as_carried(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The subject as events and keys carry it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The user's email, unless the subject is an address.
    pub fn email(&self) -> Option<&str> {
        (!self.0.starts_with("ip:")).then_some(self.0.as_str())
    }

    /// Eight bytes that stand for the subject where only distinctness matters.
    pub fn digest(&self) -> [u8; 8] {
        let digest = Sha256::digest(self.0.as_bytes());
        let mut short = [0; 8];
        for (to, from) in short.iter_mut().zip(digest) {
            *to = from;
        }
        short
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `data` of a usage event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventData {
    /// Id of the API key; for an unknown key the first eight hex digits of its SHA-256.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// The user's plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// HTTP method.
    pub method: String,
    /// Route template, such as `/v1/deadlines`; not the raw path.
    pub endpoint: String,
    /// The caller's address.
    pub ip: String,
    /// The caller's `User-Agent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// The gateway's request id; for reference only, a caller can choose it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The gateway's stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// Over how many lanes the subject's events are spread; stamped here so that a duplicate goes
    /// where the first one went.
    #[serde(default = "one_lane", skip_serializing_if = "is_one_lane")]
    pub lanes: u16,
    /// In which mode the decision was made, and so in which table the event is counted.
    #[serde(default = "stream", skip_serializing_if = "is_stream")]
    pub mode: TrackingMode,
}

const fn one_lane() -> u16 {
    1
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
const fn is_one_lane(lanes: &u16) -> bool {
    *lanes == 1
}

const fn stream() -> TrackingMode {
    TrackingMode::Stream
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_stream(mode: &TrackingMode) -> bool {
    *mode == TrackingMode::Stream
}

/// One decision of the authorizer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageEvent {
    /// Identity: the one thing that says whether two records are the same event.
    pub id: EventId,
    /// `/{resourcePrefix}/{env}/api`.
    pub source: String,
    /// What was decided.
    pub event_type: EventType,
    /// When it was decided.
    pub time: UnixMillis,
    /// Whom it is about.
    pub subject: Subject,
    /// The call.
    pub data: EventData,
}

impl UsageEvent {
    /// The lane that the event travels and is counted in, below `data.lanes`.
    pub fn lane(&self) -> u16 {
        self.id.spread() % self.data.lanes.max(1)
    }

    /// The stream's partition key: the subject, with its lane where there are several. It only says
    /// which shard: of a subject too long for it, a part will do.
    pub fn partition_key(&self) -> String {
        if self.data.lanes > 1 {
            let subject = self.subject.as_str();
            let lane = format!("#{}", self.lane());
            let end = subject.floor_char_boundary(LONGEST_PARTITION_KEY - lane.len());
            subject.get(..end).unwrap_or_default().to_owned() + &lane
        } else {
            self.subject.to_string()
        }
    }

    /// The event as the stream carries it.
    pub fn to_json(&self) -> Vec<u8> {
        let wire = WireOut {
            specversion: "1.0",
            id: self.id,
            source: &self.source,
            event_type: self.event_type.as_str(),
            time: self.time.to_string(),
            subject: self.subject.as_str(),
            datacontenttype: "application/json",
            data: &self.data,
        };
        serde_json::to_vec(&wire).unwrap_or_default()
    }

    /// Reads a record of the stream.
    ///
    /// Fields that are not known are ignored.
    pub fn decode(payload: &[u8]) -> Result<Self, Rejection> {
        let wire: WireIn = serde_json::from_slice(payload).map_err(|error| {
            Rejection::new(Reason::Malformed, format!("not a usage event: {error}"))
        })?;
        wire.check()
    }

    /// Refuses an event whose time is outside what can be counted exactly at `now`.
    pub fn check_time(&self, now: UnixMillis) -> Result<(), Rejection> {
        let age = now.since(self.time);
        if age < -FUTURE_TOLERANCE_MILLIS {
            let message = format!(
                "time `{}` is more than 5 minutes ahead of `{now}`",
                self.time
            );
            return Err(Rejection::new(Reason::FromTheFuture, message));
        }
        if self.time < now.plus_days(-DEDUPE_HORIZON_DAYS) {
            let message = format!("time `{}` is more than 7 days before `{now}`", self.time);
            return Err(Rejection::new(Reason::TooOld, message));
        }
        Ok(())
    }
}

/// Why a record cannot be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Reason {
    /// Not JSON, or fields missing or wrong.
    Malformed,
    /// A `type` that is not known.
    UnknownType,
    /// More than five minutes ahead.
    FromTheFuture,
    /// Beyond the dedupe horizon.
    TooOld,
}

impl Reason {
    /// The code, as items of `PK = ERRORS` carry it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::UnknownType => "unknownType",
            Self::FromTheFuture => "fromTheFuture",
            Self::TooOld => "tooOld",
        }
    }
}

/// A record that is set aside.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Rejection {
    /// The code.
    pub reason: Reason,
    /// What was wrong.
    pub message: String,
}

impl Rejection {
    /// A rejection; a message that is too long is cut.
    pub fn new(reason: Reason, mut message: String) -> Self {
        message.truncate(message.floor_char_boundary(LONGEST_MESSAGE));
        Self { reason, message }
    }
}

#[derive(Serialize)]
struct WireOut<'a> {
    specversion: &'static str,
    id: EventId,
    source: &'a str,
    #[serde(rename = "type")]
    event_type: &'static str,
    time: String,
    subject: &'a str,
    datacontenttype: &'static str,
    data: &'a EventData,
}

#[derive(Deserialize)]
struct WireIn {
    specversion: String,
    id: EventId,
    source: String,
    #[serde(rename = "type")]
    event_type: String,
    time: String,
    subject: Subject,
    data: serde_json::Value,
}

impl WireIn {
    fn check(self) -> Result<UsageEvent, Rejection> {
        let malformed = |message: String| Rejection::new(Reason::Malformed, message);
        if self.specversion != "1.0" {
            return Err(malformed(format!(
                "specversion `{}`, only `1.0` is known",
                self.specversion
            )));
        }
        let known = EventType::ALL
            .into_iter()
            .find(|known| known.as_str() == self.event_type);
        let Some(event_type) = known else {
            let message = format!(
                "type `{}`, known are `API_CALL`, `API_AUTH_FAILED` and `API_RATE_LIMITED`",
                self.event_type
            );
            return Err(Rejection::new(Reason::UnknownType, message));
        };
        let data: EventData = serde_json::from_value(self.data)
            .map_err(|error| malformed(format!("data: {error}")))?;
        let time = self
            .time
            .parse()
            .map_err(|error| malformed(format!("time: {error}")))?;
        let event = UsageEvent {
            id: self.id,
            source: self.source,
            event_type,
            time,
            subject: self.subject,
            data,
        };
        check_lengths(&event).map_err(malformed)?;
        Ok(event)
    }
}

/// So much of a text as an event carries for reference, cut between characters.
pub fn cut(text: &str) -> &str {
    let end = text.floor_char_boundary(LONGEST_DETAIL);
    text.get(..end).unwrap_or_default()
}

fn check_lengths(event: &UsageEvent) -> Result<(), String> {
    for (name, text, most) in [
        ("subject", event.subject.as_str(), LONGEST_SUBJECT),
        ("data.method", event.data.method.as_str(), LONGEST_LABEL),
        ("data.endpoint", event.data.endpoint.as_str(), LONGEST_LABEL),
    ] {
        if text.is_empty() || text.len() > most {
            return Err(format!(
                "{name} has {} bytes, allowed are 1 to {most}",
                text.len()
            ));
        }
    }
    let data = &event.data;
    for (name, text, most) in [
        ("source", Some(&event.source), LONGEST_DETAIL),
        ("data.keyId", data.key_id.as_ref(), LONGEST_NAME),
        ("data.plan", data.plan.as_ref(), LONGEST_NAME),
        ("data.ip", Some(&data.ip), LONGEST_NAME),
        ("data.userAgent", data.user_agent.as_ref(), LONGEST_DETAIL),
        ("data.requestId", data.request_id.as_ref(), LONGEST_DETAIL),
        ("data.stage", data.stage.as_ref(), LONGEST_DETAIL),
    ] {
        let bytes = text.map_or(0, String::len);
        if bytes > most {
            return Err(format!(
                "{name} has {bytes} bytes, allowed are at most {most}"
            ));
        }
    }
    if !(1..=MOST_LANES).contains(&event.data.lanes) {
        return Err(format!(
            "data.lanes is {}, allowed are 1 to {MOST_LANES}",
            event.data.lanes
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use serde_json::json;

    fn sample() -> serde_json::Value {
        json!({
            "specversion": "1.0",
            "id": "01a20419-2588-7fff-bfff-ffffffffffff",
            "source": "/complical/test/api",
            "type": "API_CALL",
            "time": "2026-11-22T16:04:05.007Z",
            "subject": "ann@example.com",
            "traceparent": "a field of tomorrow",
            "data": {
                "keyId": "key_1", "plan": "free", "method": "GET", "endpoint": "/v1/deadlines",
                "ip": "192.0.2.1", "userAgent": "curl", "requestId": "r", "stage": "test",
                "another": 1,
            },
        })
    }

    fn rejected(change: impl FnOnce(&mut serde_json::Value)) -> Rejection {
        let mut event = sample();
        change(&mut event);
        UsageEvent::decode(event.to_string().as_bytes()).unwrap_err()
    }

    #[test]
    fn an_event_reads_back_as_written_and_unknown_fields_are_ignored() {
        let event = UsageEvent::decode(sample().to_string().as_bytes()).unwrap();
        assert_eq!(event.data.lanes, 1);
        assert_eq!(event.partition_key(), "ann@example.com");
        assert_eq!(UsageEvent::decode(&event.to_json()), Ok(event));
    }

    #[test]
    fn one_lane_and_the_stream_go_without_saying_and_nothing_else_does() {
        let mut event = UsageEvent::decode(sample().to_string().as_bytes()).unwrap();
        let written = String::from_utf8(event.to_json()).unwrap();
        assert!(
            !written.contains("lanes") && !written.contains("mode"),
            "{written}"
        );
        event.data.mode = TrackingMode::Synchronous;
        assert_eq!(UsageEvent::decode(&event.to_json()), Ok(event));
    }

    #[test]
    fn an_address_is_no_user_and_subjects_are_told_apart_by_eight_bytes() {
        let user = Subject::user("Ann@Example.com");
        assert_eq!(user.email(), Some("ann@example.com"));
        assert_eq!(Subject::address("192.0.2.1").email(), None);
        // The first example of FIPS 180-4.
        let digest = [0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea];
        assert_eq!(Subject::as_carried("abc").digest(), digest);
    }

    #[test]
    fn what_cannot_be_counted_is_refused_with_its_reason() {
        let not_json = UsageEvent::decode(b"\xff{").unwrap_err();
        assert_eq!(not_json.reason, Reason::Malformed);
        let unknown = rejected(|event| event["type"] = json!("API_GUESS"));
        assert_eq!(unknown.reason, Reason::UnknownType);
        let endless = rejected(|event| event["type"] = json!("é".repeat(1_000_000)));
        assert_eq!(endless.message.len(), LONGEST_MESSAGE);
        assert!(
            unknown.message.contains("`API_GUESS`"),
            "{}",
            unknown.message
        );
        let longest: [fn(&mut serde_json::Value); 4] = [
            |event| event["subject"] = json!("a".repeat(254)),
            |event| event["data"]["endpoint"] = json!("/".repeat(512)),
            |event| event["data"]["keyId"] = json!("k".repeat(64)),
            |event| event["data"]["userAgent"] = json!("u".repeat(256)),
        ];
        for change in longest {
            let mut event = sample();
            change(&mut event);
            assert!(UsageEvent::decode(event.to_string().as_bytes()).is_ok());
        }
        let cases: [fn(&mut serde_json::Value); 13] = [
            |event| event["id"] = json!("chosen-by-the-client"),
            |event| event["time"] = json!("yesterday"),
            |event| event["subject"] = json!(""),
            |event| event["subject"] = json!("a".repeat(255)),
            |event| event["specversion"] = json!("0.3"),
            |event| event["data"]["lanes"] = json!(0),
            |event| event["data"]["lanes"] = json!(65),
            |event| event["data"] = json!({"method": "GET"}),
            |event| event["data"]["keyId"] = json!("k".repeat(65)),
            |event| event["source"] = json!("s".repeat(257)),
            |event| event["data"]["userAgent"] = json!("u".repeat(257)),
            |event| event["data"]["requestId"] = json!("r".repeat(257)),
            |event| event["data"]["stage"] = json!("s".repeat(257)),
        ];
        for (number, case) in cases.into_iter().enumerate() {
            assert_eq!(rejected(case).reason, Reason::Malformed, "case {number}");
        }
    }

    #[test]
    fn what_is_for_reference_is_cut_between_characters() {
        assert_eq!(cut("curl/8.1"), "curl/8.1");
        assert_eq!(cut(&"é".repeat(200)), "é".repeat(128));
        assert_eq!(cut(&format!("a{}", "é".repeat(200))).len(), 255);
    }

    #[test]
    fn reasons_are_named_as_documented() {
        let names = [
            (Reason::Malformed, "malformed"),
            (Reason::UnknownType, "unknownType"),
            (Reason::FromTheFuture, "fromTheFuture"),
            (Reason::TooOld, "tooOld"),
        ];
        for (reason, name) in names {
            assert_eq!(reason.as_str(), name);
        }
    }

    #[test]
    fn time_is_accepted_from_seven_days_ago_to_five_minutes_ahead() {
        let event = UsageEvent::decode(sample().to_string().as_bytes()).unwrap();
        let reason = |now: UnixMillis| event.check_time(now).map_err(|rejection| rejection.reason);
        assert_eq!(reason(event.time), Ok(()));
        assert_eq!(reason(event.time.plus_millis(-300_000)), Ok(()));
        assert_eq!(
            reason(event.time.plus_millis(-300_001)),
            Err(Reason::FromTheFuture)
        );
        assert_eq!(reason(event.time.plus_days(7)), Ok(()));
        assert_eq!(
            reason(event.time.plus_days(7).plus_millis(1)),
            Err(Reason::TooOld)
        );
    }

    #[test]
    fn lanes_follow_from_the_event_alone() {
        let mut event = UsageEvent::decode(sample().to_string().as_bytes()).unwrap();
        event.data.lanes = 8;
        assert_eq!(event.lane(), 0xffff % 8);
        assert_eq!(event.partition_key(), "ann@example.com#7");
        assert_eq!(UsageEvent::decode(&event.to_json()), Ok(event));
    }

    #[test]
    fn the_longest_subject_has_a_partition_key_that_a_stream_takes() {
        let mut event = UsageEvent::decode(sample().to_string().as_bytes()).unwrap();
        event.subject = Subject::user(&"é".repeat(LONGEST_SUBJECT / 2));
        event.data.lanes = MOST_LANES;
        assert_eq!(event.lane(), 63);
        let key = event.partition_key();
        // A byte less than there is room for: a character has two.
        assert!(
            key.len() == LONGEST_PARTITION_KEY - 1 && key.ends_with("é#63"),
            "{key}"
        );
    }
}
