//! A usage event that borrows from the record it was read from.
//!
//! Decoding passes over the JSON once, builds no intermediate tree, and allocates only for texts
//! that contain escapes: it accounts for most of the processor's work on a record.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

use super::{
    EventData, EventType, FUTURE_TOLERANCE_MILLIS, HORIZON_DAYS, LONGEST_DETAIL, LONGEST_LABEL,
    LONGEST_NAME, LONGEST_SUBJECT, Reason, Rejection, Subject, UsageEvent, Why,
};
use crate::dimension::{LONGEST_VALUE, Label, MOST_DIMENSIONS, MOST_VALUES};
use crate::id::EventId;
use crate::names::TrackingMode;
use crate::time::UnixMillis;

/// One decision of the authorizer, borrowed. The fields are those of [`UsageEvent`] and
/// [`EventData`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRef<'a> {
    /// Identity and time of the event.
    pub id: EventId,
    /// `/{resourcePrefix}/{env}/api`.
    pub source: Cow<'a, str>,
    /// The decision.
    pub event_type: EventType,
    /// The user's email, or `ip:{address}`.
    pub subject: Cow<'a, str>,
    /// Id of the API key.
    pub key_id: Option<Cow<'a, str>>,
    /// The user's plan.
    pub plan: Option<Cow<'a, str>>,
    /// HTTP method.
    pub method: Cow<'a, str>,
    /// Route template.
    pub endpoint: Cow<'a, str>,
    /// The call's units if it is accepted.
    pub units: u32,
    /// The values of the declared dimensions that an accepted call carries, by name.
    pub dimensions: Vec<Label<'a>>,
    /// The caller's address.
    pub ip: Cow<'a, str>,
    /// The caller's `User-Agent`.
    pub user_agent: Option<Cow<'a, str>>,
    /// The gateway's request id.
    pub request_id: Option<Cow<'a, str>>,
    /// The gateway's stage.
    pub stage: Option<Cow<'a, str>>,
    /// The mode in which the decision was made.
    pub mode: TrackingMode,
    /// Why the call was refused.
    pub reason: Option<Why>,
}

impl<'a> EventRef<'a> {
    /// Decodes a record of the stream. Unknown fields are ignored.
    ///
    /// # Errors
    ///
    /// [`Reason::UnknownType`] if every member is present but the `type` is unknown;
    /// [`Reason::Malformed`] for everything else that is not a usage event, including one whose
    /// `time` differs from the time in its id.
    pub fn decode(payload: &'a [u8]) -> Result<Self, Rejection> {
        let not_an_event =
            |error: &dyn fmt::Display| Rejection::malformed(format!("not a usage event: {error}"));
        // `from_slice` checks the encoding of each text, which makes it a fifth slower.
        let json = str::from_utf8(payload).map_err(|error| not_an_event(&error))?;
        let record: Record<'a> =
            serde_json::from_str(json).map_err(|error| not_an_event(&error))?;
        record.into_event()
    }

    /// When the decision was made: the time in the id.
    pub fn time(&self) -> UnixMillis {
        self.id.minted_at()
    }

    /// Rejects an event whose time is outside the range accepted at `now`: from [`HORIZON_DAYS`]
    /// ago to [`FUTURE_TOLERANCE_MILLIS`] ahead.
    ///
    /// # Errors
    ///
    /// [`Reason::FromTheFuture`] or [`Reason::TooOld`].
    pub fn check_time(&self, now: UnixMillis) -> Result<(), Rejection> {
        check_time(self.time(), now)
    }

    /// The event with owned texts.
    pub fn to_owned(&self) -> UsageEvent {
        let owned = |text: &Option<Cow<'_, str>>| text.as_deref().map(str::to_owned);
        UsageEvent {
            id: self.id,
            source: self.source.as_ref().to_owned(),
            event_type: self.event_type,
            time: self.time(),
            subject: Subject::as_carried(&self.subject),
            data: EventData {
                key_id: owned(&self.key_id),
                plan: owned(&self.plan),
                method: self.method.as_ref().to_owned(),
                endpoint: self.endpoint.as_ref().to_owned(),
                units: self.units,
                dimensions: self
                    .dimensions
                    .iter()
                    .map(|label| label.clone().into_owned())
                    .collect(),
                ip: self.ip.as_ref().to_owned(),
                user_agent: owned(&self.user_agent),
                request_id: owned(&self.request_id),
                stage: owned(&self.stage),
                mode: self.mode,
                reason: self.reason,
            },
        }
    }

    fn check_lengths(&self) -> Result<(), Rejection> {
        for (name, text, most) in [
            ("subject", &self.subject, LONGEST_SUBJECT),
            ("data.method", &self.method, LONGEST_LABEL),
            ("data.endpoint", &self.endpoint, LONGEST_LABEL),
        ] {
            if text.is_empty() || text.len() > most {
                let message = format!("`{name}`: expected 1 to {most} bytes, found {}", text.len());
                return Err(Rejection::malformed(message));
            }
        }
        for (name, text, most) in [
            ("source", Some(&self.source), LONGEST_DETAIL),
            ("data.keyId", self.key_id.as_ref(), LONGEST_NAME),
            ("data.plan", self.plan.as_ref(), LONGEST_NAME),
            ("data.ip", Some(&self.ip), LONGEST_NAME),
            ("data.userAgent", self.user_agent.as_ref(), LONGEST_DETAIL),
            ("data.requestId", self.request_id.as_ref(), LONGEST_DETAIL),
            ("data.stage", self.stage.as_ref(), LONGEST_DETAIL),
        ] {
            let length = text.map_or(0, |text| text.len());
            if length > most {
                let message = format!("`{name}`: expected at most {most} bytes, found {length}");
                return Err(Rejection::malformed(message));
            }
        }
        Ok(())
    }
}

pub(crate) fn check_time(time: UnixMillis, now: UnixMillis) -> Result<(), Rejection> {
    if now.since(time) < -FUTURE_TOLERANCE_MILLIS {
        let message = format!("time `{time}` is more than 5 minutes ahead of `{now}`");
        return Err(Rejection::new(Reason::FromTheFuture, message));
    }
    if time < now.plus_days(-HORIZON_DAYS) {
        let message = format!("time `{time}` is more than {HORIZON_DAYS} days before `{now}`");
        return Err(Rejection::new(Reason::TooOld, message));
    }
    Ok(())
}

/// The JSON object.
#[derive(serde::Deserialize)]
struct Record<'a> {
    #[serde(borrow)]
    specversion: Text<'a>,
    id: EventId,
    #[serde(borrow)]
    source: Text<'a>,
    #[serde(borrow, rename = "type")]
    event_type: Text<'a>,
    #[serde(borrow)]
    time: Text<'a>,
    #[serde(borrow)]
    subject: Text<'a>,
    #[serde(borrow)]
    data: Data<'a>,
}

/// The object's `data`.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data<'a> {
    #[serde(borrow, default)]
    key_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    plan: Option<Text<'a>>,
    #[serde(borrow)]
    method: Text<'a>,
    #[serde(borrow)]
    endpoint: Text<'a>,
    /// Absent if one.
    units: Option<u32>,
    /// Absent if there are none.
    #[serde(borrow, default)]
    dimensions: Vec<Labelled<'a>>,
    #[serde(borrow)]
    ip: Text<'a>,
    #[serde(borrow, default)]
    user_agent: Option<Text<'a>>,
    #[serde(borrow, default)]
    request_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    stage: Option<Text<'a>>,
    /// Absent if the stream.
    mode: Option<TrackingMode>,
    /// A reason from a later release counts as absent.
    #[serde(borrow, default)]
    reason: Option<Text<'a>>,
}

/// The value of one dimension.
#[derive(serde::Deserialize)]
struct Labelled<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    value: Text<'a>,
    values: u8,
}

/// The labels by name, each once.
fn labels(values: Vec<Labelled<'_>>) -> Result<Vec<Label<'_>>, Rejection> {
    let values = values.into_iter();
    let labels = values.map(|value| Label {
        name: value.name.0,
        value: value.value.0,
        values: value.values,
    });
    let mut labels: Vec<_> = labels.collect();
    labels.sort_unstable();
    let is_sound = labels.len() <= MOST_DIMENSIONS
        && labels.iter().all(Label::is_sound)
        && labels
            .array_windows()
            .all(|[one, other]| one.name != other.name);
    if is_sound {
        return Ok(labels);
    }
    let message = format!(
        "`data.dimensions`: expected at most {MOST_DIMENSIONS}, each once, with a name, a value of 1 to \
         {LONGEST_VALUE} bytes without control characters, and 1 to {MOST_VALUES} values"
    );
    Err(Rejection::malformed(message))
}

impl<'a> Record<'a> {
    fn into_event(self) -> Result<EventRef<'a>, Rejection> {
        if self.specversion.0 != "1.0" {
            let message = format!(
                "`specversion`: expected `1.0`, found `{}`",
                self.specversion.0
            );
            return Err(Rejection::malformed(message));
        }
        let event_type = EventType::parse(&self.event_type.0).ok_or_else(|| {
            let message = format!(
                "`type`: expected `API_CALL`, `API_AUTH_FAILED` or `API_RATE_LIMITED`, found `{}`",
                self.event_type.0
            );
            Rejection::new(Reason::UnknownType, message)
        })?;
        check_is_time_of(self.id, &self.time.0)?;
        let data = self.data;
        let event = EventRef {
            id: self.id,
            source: self.source.0,
            event_type,
            subject: self.subject.0,
            key_id: data.key_id.map(|text| text.0),
            plan: data.plan.map(|text| text.0),
            method: data.method.0,
            endpoint: data.endpoint.0,
            units: data.units.unwrap_or(1),
            dimensions: labels(data.dimensions)?,
            ip: data.ip.0,
            user_agent: data.user_agent.map(|text| text.0),
            request_id: data.request_id.map(|text| text.0),
            stage: data.stage.map(|text| text.0),
            mode: data.mode.unwrap_or(TrackingMode::Stream),
            reason: data.reason.and_then(|text| Why::parse(&text.0)),
        };
        event.check_lengths()?;
        Ok(event)
    }
}

fn check_is_time_of(id: EventId, text: &str) -> Result<(), Rejection> {
    let time: UnixMillis = text
        .parse()
        .map_err(|error| Rejection::malformed(format!("`time`: {error}")))?;
    let minted_at = id.minted_at();
    if time != minted_at {
        let message = format!("`time`: expected `{minted_at}`, the time in the id, found `{text}`");
        return Err(Rejection::malformed(message));
    }
    Ok(())
}

/// A text that borrows if it has no escapes. `Cow<str>` never borrows inside an `Option`
/// (<https://github.com/serde-rs/serde/issues/2016>).
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(TextVisitor)
    }
}
