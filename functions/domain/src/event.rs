//! The usage event: one decision of the authorizer, as CloudEvents 1.0 structured JSON
//! (<https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md>).

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::dimension::Label;
use crate::id::EventId;
use crate::names::TrackingMode;
use crate::time::UnixMillis;

mod borrowed;
mod rejection;
mod why;

pub use borrowed::EventRef;
pub(crate) use borrowed::check_time;
pub use rejection::{Reason, Rejection};
pub use why::Why;

/// How far ahead of the reader's clock an event's time may be, in milliseconds.
pub const FUTURE_TOLERANCE_MILLIS: i64 = 5 * 60 * 1000;
/// How old an event may be and still be appended to the journal, in days.
pub const HORIZON_DAYS: i64 = 7;
/// Longest subject in bytes: an email address has at most 254 (RFC 5321).
const LONGEST_SUBJECT: usize = 254;
/// Longest partition key of a stream, in bytes
/// (<https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecord.html>).
const LONGEST_PARTITION_KEY: usize = 256;
/// Longest method or route template in bytes.
const LONGEST_LABEL: usize = 512;
/// Longest key id, plan or address in bytes.
const LONGEST_NAME: usize = 64;
/// Longest text in bytes that an event carries for reference only. Callers choose some of these
/// texts, so the producer of an event cuts them ([`cut`]).
const LONGEST_DETAIL: usize = 256;

/// What the authorizer decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum EventType {
    /// The call was let through: the only type that counts as usage.
    #[serde(rename = "API_CALL")]
    ApiCall,
    /// The call came without a valid key.
    #[serde(rename = "API_AUTH_FAILED")]
    AuthFailed,
    /// The call exceeded the rate or the quota.
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

    /// The type that a `type` member names.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|event_type| event_type.as_str() == text)
    }
}

/// The subject of an event: a user's email, or `ip:{address}` if the user is unknown.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Subject(String);

impl Subject {
    /// Prefix of the subject of a caller known only by address.
    pub const ADDRESS_PREFIX: &str = "ip:";

    /// The subject of a known user.
    pub fn user(email: &str) -> Self {
        Self(email.to_ascii_lowercase())
    }

    /// The subject of a caller known only by address.
    pub fn address(ip: &str) -> Self {
        Self(format!("{}{ip}", Self::ADDRESS_PREFIX))
    }

    /// The subject of an event or a key, unchanged.
    pub fn as_carried(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The subject as events and keys carry it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The user's email, unless the subject is an address.
    pub fn email(&self) -> Option<&str> {
        (!self.0.starts_with(Self::ADDRESS_PREFIX)).then_some(self.0.as_str())
    }

    /// Eight bytes that represent the subject where only distinctness matters.
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EventData {
    /// Id of the API key; for an unknown key the first eight hex digits of its SHA-256.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// The user's plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// HTTP method.
    pub method: String,
    /// Route template, such as `/v1/deadlines`; not the raw path.
    pub endpoint: String,
    /// The call's units if it is accepted; omitted from the JSON if one.
    #[serde(skip_serializing_if = "is_one")]
    pub units: u32,
    /// The values of the declared dimensions that an accepted call carries, by name; omitted from the
    /// JSON if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dimensions: Vec<Label<'static>>,
    /// The caller's address.
    pub ip: String,
    /// The caller's `User-Agent`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// The gateway's request id; for reference only, since callers can choose it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The gateway's stage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// The mode in which the decision was made; omitted from the JSON for the stream.
    #[serde(skip_serializing_if = "is_stream")]
    pub mode: TrackingMode,
    /// Why the call was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Why>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_stream(mode: &TrackingMode) -> bool {
    *mode == TrackingMode::Stream
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
const fn is_one(units: &u32) -> bool {
    *units == 1
}

/// One decision of the authorizer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageEvent {
    /// Identity: two records with the same id are the same event.
    pub id: EventId,
    /// `/{resourcePrefix}/{env}/api`.
    pub source: String,
    /// The decision.
    pub event_type: EventType,
    /// When the decision was made: always the time in `id`.
    pub time: UnixMillis,
    /// The subject of the event.
    pub subject: Subject,
    /// The call.
    pub data: EventData,
}

impl UsageEvent {
    /// The stream's partition key: the subject, followed by `#` and a number below `spread` if
    /// `spread` is greater than one. It only selects the shard, so a key that is too long is cut.
    pub fn partition_key(&self, spread: u16) -> String {
        let suffix = if spread > 1 {
            format!("#{}", self.id.spread() % spread)
        } else {
            String::new()
        };
        let subject = self.subject.as_str();
        let end = subject.floor_char_boundary(LONGEST_PARTITION_KEY - suffix.len());
        subject.get(..end).unwrap_or_default().to_owned() + &suffix
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

    /// Decodes a record of the stream; the owned form of [`EventRef::decode`].
    ///
    /// # Errors
    ///
    /// Those of [`EventRef::decode`].
    pub fn decode(payload: &[u8]) -> Result<Self, Rejection> {
        EventRef::decode(payload).map(|event| event.to_owned())
    }

    /// The borrowed form of this event.
    pub fn borrowed(&self) -> EventRef<'_> {
        let borrowed = |text| Cow::Borrowed(String::as_str(text));
        let data = &self.data;
        EventRef {
            id: self.id,
            source: borrowed(&self.source),
            event_type: self.event_type,
            subject: borrowed(&self.subject.0),
            key_id: data.key_id.as_ref().map(borrowed),
            plan: data.plan.as_ref().map(borrowed),
            method: borrowed(&data.method),
            endpoint: borrowed(&data.endpoint),
            units: data.units,
            dimensions: data.dimensions.clone(),
            ip: borrowed(&data.ip),
            user_agent: data.user_agent.as_ref().map(borrowed),
            request_id: data.request_id.as_ref().map(borrowed),
            stage: data.stage.as_ref().map(borrowed),
            mode: data.mode,
            reason: data.reason,
        }
    }

    /// Rejects an event whose time is outside the range accepted at `now`.
    ///
    /// # Errors
    ///
    /// Those of [`EventRef::check_time`].
    pub fn check_time(&self, now: UnixMillis) -> Result<(), Rejection> {
        borrowed::check_time(self.time, now)
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

/// Cuts a text, between characters, to the length that an event carries for reference.
pub fn cut(text: &str) -> &str {
    let end = text.floor_char_boundary(LONGEST_DETAIL);
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests;
