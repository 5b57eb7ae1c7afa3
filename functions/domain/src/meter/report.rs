//! The report of an amount: a `CloudEvent` in structured JSON
//! (<https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md>).
//!
//! ```json
//! {"specversion": "1.0", "id": "7f3c", "source": "/my/api", "type": "API_USAGE",
//!  "data": {"call": "01a20400-1908-7fff-bfff-ffffffffffff", "meter": "tokens", "amount": 1234}}
//! ```
//!
//! `id` and `source` are the sender's own. They do not identify the amount: a sender that restarts
//! gives the same amount another id.

use serde_json::Value;

use super::{Amount, MOST_AMOUNT, Meters};
use crate::event::{Reason, Rejection, check_time};
use crate::id::EventId;
use crate::time::UnixMillis;

/// The `type` of a report.
pub const EVENT_TYPE: &str = "API_USAGE";
/// The most reports of one request.
pub const MOST_EVENTS: usize = 500;
/// Minutes after which a call's own report is expected in the journal. Until then an amount may
/// come first.
const SETTLED_MINUTES: i64 = 5;

/// A report, decoded as far as it is valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The sender's id of it, if it has one.
    pub id: Option<String>,
    /// The amount, or why there is none.
    pub amount: Result<Amount, Rejection>,
}

/// Decodes a report that arrives at `now`.
pub fn decode(event: &Value, meters: &Meters, now: UnixMillis) -> Report {
    Report {
        id: text(event, "id").ok().map(str::to_owned),
        amount: amount(event, meters, now),
    }
}

/// Whether the journal holds a call of `id` by `now`, if there was one: its events have arrived. An
/// amount for a younger call is appended unseen, and counts once the call is there.
pub fn settled(id: EventId, now: UnixMillis) -> bool {
    now.since(id.minted_at()) > SETTLED_MINUTES * 60_000
}

fn amount(event: &Value, meters: &Meters, now: UnixMillis) -> Result<Amount, Rejection> {
    if !event.is_object() {
        return Err(malformed("expected a JSON object".to_owned()));
    }
    let version = text(event, "specversion")?;
    if version != "1.0" {
        return Err(malformed(format!(
            "`specversion`: expected `1.0`, found `{version}`"
        )));
    }
    text(event, "id")?;
    text(event, "source")?;
    let event_type = text(event, "type")?;
    if event_type != EVENT_TYPE {
        let message = format!("`type`: expected `{EVENT_TYPE}`, found `{event_type}`");
        return Err(Rejection::new(Reason::UnknownType, message));
    }
    let call = text(event, "/data/call")?;
    let call: EventId = call.parse().map_err(|error| {
        let message = format!("`data.call` names no call: {error}");
        Rejection::new(Reason::UnknownCall, message)
    })?;
    check_time(call.minted_at(), now)?;
    let name = text(event, "/data/meter")?;
    let Some(meter) = meters.0.get(name) else {
        let message = format!("`data.meter`: expected {}, found `{name}`", meters.names());
        return Err(Rejection::new(Reason::UnknownMeter, message));
    };
    Ok(Amount {
        call,
        meter: name.to_owned(),
        amount: whole(event.pointer("/data/amount"))?,
        to_quota: meter.counts_to_quota,
    })
}

/// A whole number: `1.0` and `1e3` are not written as one.
fn whole(value: Option<&Value>) -> Result<u64, Rejection> {
    let number = value.and_then(Value::as_u64);
    number
        .filter(|number| *number <= MOST_AMOUNT)
        .ok_or_else(|| {
            let found = value.map_or_else(|| "nothing".to_owned(), |value| format!("`{value}`"));
            malformed(format!(
                "`data.amount`: expected a whole number from 0 to {MOST_AMOUNT}, found {found}"
            ))
        })
}

/// A text that is not empty, at a name or a JSON pointer.
fn text<'a>(event: &'a Value, at: &str) -> Result<&'a str, Rejection> {
    let value = if at.starts_with('/') {
        event.pointer(at)
    } else {
        event.get(at)
    };
    let text = value.and_then(Value::as_str);
    text.filter(|text| !text.is_empty()).ok_or_else(|| {
        let name = at.trim_start_matches('/').replace('/', ".");
        malformed(format!("`{name}`: expected a text"))
    })
}

fn malformed(message: String) -> Rejection {
    Rejection::new(Reason::Malformed, message)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use std::collections::BTreeMap;

    use super::super::Meter;
    use super::*;
    use serde_json::json;

    const NOW: UnixMillis = UnixMillis(1_795_363_445_007);

    fn meters() -> Meters {
        let meter = |counts_to_quota| Meter { counts_to_quota };
        let meters = [("tokens", meter(true)), ("rows", meter(false))];
        Meters(BTreeMap::from(
            meters.map(|(name, of)| (name.to_owned(), of)),
        ))
    }

    fn call(millis_ago: i64) -> EventId {
        EventId::mint(NOW.plus_millis(-millis_ago).0.unsigned_abs(), [7; 10])
    }

    fn event() -> Value {
        json!({
            "specversion": "1.0", "id": "7f3c", "source": "/my/api", "type": "API_USAGE",
            "data": {"call": call(60_000), "meter": "tokens", "amount": 1234},
        })
    }

    #[test]
    fn a_report_names_a_call_a_meter_and_an_amount() {
        let report = decode(&event(), &meters(), NOW);
        assert_eq!(report.id.as_deref(), Some("7f3c"));
        let amount = Amount {
            call: call(60_000),
            meter: "tokens".to_owned(),
            amount: 1234,
            to_quota: true,
        };
        assert_eq!(report.amount, Ok(amount));
        let mut rows = event();
        rows["data"]["meter"] = json!("rows");
        rows["data"]["amount"] = json!(0);
        let amount = decode(&rows, &meters(), NOW).amount.unwrap();
        assert_eq!((amount.amount, amount.to_quota), (0, false));
    }

    #[test]
    fn what_is_not_a_report_is_refused_with_its_reason() {
        let week = 7 * 86_400_000;
        let cases = [
            (
                "/specversion",
                json!("0.3"),
                Reason::Malformed,
                "`specversion`",
            ),
            ("/id", json!(""), Reason::Malformed, "`id`"),
            ("/source", json!(7), Reason::Malformed, "`source`"),
            ("/type", json!("API_CALL"), Reason::UnknownType, "`type`"),
            (
                "/data/call",
                json!("4"),
                Reason::UnknownCall,
                "names no call",
            ),
            (
                "/data/call",
                json!("0af2ddb2-7e14-4a5e-8dbb-3a4de3e5e6f8"),
                Reason::UnknownCall,
                "version 7",
            ),
            (
                "/data/call",
                json!(call(week + 1)),
                Reason::TooOld,
                "7 days",
            ),
            (
                "/data/call",
                json!(call(-5 * 60_000 - 1)),
                Reason::FromTheFuture,
                "ahead",
            ),
            (
                "/data/meter",
                json!("bytes"),
                Reason::UnknownMeter,
                "expected `rows`, `tokens`",
            ),
            ("/data/amount", json!(1.5), Reason::Malformed, "`1.5`"),
            ("/data/amount", json!(2.0), Reason::Malformed, "`2.0`"),
            ("/data/amount", json!(-1), Reason::Malformed, "`-1`"),
            ("/data/amount", json!("7"), Reason::Malformed, "`\"7\"`"),
            (
                "/data/amount",
                json!(MOST_AMOUNT + 1),
                Reason::Malformed,
                "1000000000001",
            ),
            ("/data", json!(null), Reason::Malformed, "`data.call`"),
        ];
        for (at, value, reason, says) in cases {
            let mut event = event();
            *event.pointer_mut(at).unwrap() = value;
            let rejection = decode(&event, &meters(), NOW).amount.unwrap_err();
            assert_eq!(rejection.reason, reason, "{at}: {rejection}");
            assert!(rejection.message.contains(says), "{at}: {rejection}");
        }
        let rejection = decode(&json!([]), &meters(), NOW).amount.unwrap_err();
        assert_eq!(rejection.reason, Reason::Malformed);
    }

    #[test]
    fn an_amount_of_exactly_seven_days_is_accepted() {
        let mut event = event();
        event["data"]["call"] = json!(call(7 * 86_400_000));
        assert!(decode(&event, &meters(), NOW).amount.is_ok());
    }
}
