//! Interprets a line of the access log.
//!
//! If the line names the authorizer's event, it is reported under the same id and with the same
//! contents as the authorizer's own report. Counts do not depend on which of the two arrives. The
//! event's time is the time in its id.

use std::borrow::Cow;

use domain::access_log::{self as log, Line};
use domain::event::{EventRef, EventType, Reason, Rejection, Subject, UsageEvent};
use domain::gateway::{self, Gateway};
use domain::id::EventId;
use domain::names::{TrackingMode, context};
use domain::response::Response;
use domain::time::UnixMillis;

/// The gateway's report of one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reported<'a> {
    /// The event of the call, without the members that only the authorizer reports: user agent and
    /// request id.
    pub event: EventRef<'a>,
    /// The response, if the call was accepted and the line reports it.
    pub response: Option<Response>,
}

/// Reads a line of the access log. `source` is that of the events.
///
/// `None` for a call that is not counted, and for a refusal that the authorizer reports itself.
pub fn read<'a>(text: &'a str, source: &'a str) -> Result<Option<Reported<'a>>, Rejection> {
    let line = Line::read(text).ok_or_else(|| {
        malformed("expected the members of the access log in their order".to_owned())
    })?;
    let reported = match line.get(context::EVENT_ID) {
        Some(id) => of_call(&line, &id, source)?,
        None if is_refused_by_gateway(&line) => of_refusal(&line, source)?,
        None => return Ok(None),
    };
    // A line must be as sound as a record of the stream.
    UsageEvent::decode(&reported.event.to_owned().to_json())?;
    Ok(Some(reported))
}

/// A call with the authorizer's event id. It counts by its id and its user, even without a response.
fn of_call<'a>(line: &Line<'a>, id: &str, source: &'a str) -> Result<Reported<'a>, Rejection> {
    let id = parse(context::EVENT_ID, id)?;
    let is_denied = is_denied(line);
    let event_type = if is_denied {
        EventType::RateLimited
    } else {
        EventType::ApiCall
    };
    let mode = line.get(context::MODE);
    let subject = required(line, context::EMAIL)?;
    let common = event(line, id, source, event_type, subject);
    let event = EventRef {
        key_id: line.get(context::KEY_ID),
        plan: line.get(context::PLAN),
        // The authorizer distinguishes routes within one resource of the gateway.
        endpoint: line.get(context::ROUTE).unwrap_or(common.endpoint),
        units: units(line)?,
        // No count depends on it.
        mode: mode
            .and_then(|mode| TrackingMode::parse(&mode))
            .unwrap_or(TrackingMode::Stream),
        ..common
    };
    Ok(Reported {
        event,
        response: response(line).filter(|_| !is_denied),
    })
}

/// Whether the authorizer denied a call because it is over its plan. A REST API's gateway denies only
/// such calls. For an HTTP API the authorizer's own context says so.
fn is_denied(line: &Line<'_>) -> bool {
    match line.gateway() {
        Gateway::Rest => line.get(log::RESPONSE_TYPE).as_deref() == Some(log::ACCESS_DENIED),
        Gateway::Http => line.get(context::ERROR).is_some(),
    }
}

/// Whether the gateway refused the call without asking the authorizer. If an integration answered,
/// the refusal is the integration's. A path or method without a route, and a preflight that nobody
/// answers, are nobody's attempt to get in.
///
/// An HTTP API's line does not say whether the gateway asked the authorizer. The gateway refuses by
/// itself only if the authorizer has an identity source
/// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-lambda-authorizer.html>). An
/// attached one has none, so every refusal is the authorizer's, which reports it.
fn is_refused_by_gateway(line: &Line<'_>) -> bool {
    line.gateway() == Gateway::Rest
        && !line.asked_authorizer()
        && line.get(log::INTEGRATION_STATUS).is_none()
        && line
            .get(log::RESPONSE_TYPE)
            .is_some_and(|of| of != log::NO_ROUTE)
        && line
            .get(log::METHOD)
            .is_none_or(|method| method != gateway::PREFLIGHT)
        && matches!(line.get(log::STATUS).as_deref(), Some("401" | "403"))
}

/// A call that the gateway refused. Its id derives from the gateway's own id of the request.
fn of_refusal<'a>(line: &Line<'a>, source: &'a str) -> Result<Reported<'a>, Rejection> {
    let requested_at = requested_at(line)?;
    let name = required(line, log::EXTENDED_REQUEST_ID)?;
    let id = EventId::derive(requested_at.0.unsigned_abs(), &name);
    let subject = Subject::address(&or_unknown(line, log::IP));
    let subject = subject.as_str().to_owned().into();
    Ok(Reported {
        event: event(line, id, source, EventType::AuthFailed, subject),
        response: None,
    })
}

/// The event of a call without a known user.
fn event<'a>(
    line: &Line<'a>,
    id: EventId,
    source: &'a str,
    event_type: EventType,
    subject: Cow<'a, str>,
) -> EventRef<'a> {
    EventRef {
        id,
        source: source.into(),
        event_type,
        subject,
        key_id: None,
        plan: None,
        method: or_unknown(line, log::METHOD),
        endpoint: endpoint(line),
        units: 1,
        // A line carries none: its texts are those of the gateway and the authorizer.
        dimensions: Vec::new(),
        ip: or_unknown(line, log::IP),
        user_agent: None,
        request_id: None,
        stage: line.get(log::STAGE),
        mode: TrackingMode::Stream,
        reason: None,
    }
}

/// The gateway's own template of the call.
fn endpoint<'a>(line: &Line<'a>) -> Cow<'a, str> {
    match line.get(log::ROUTE_KEY) {
        Some(Cow::Borrowed(key)) => gateway::template(key).into(),
        Some(Cow::Owned(key)) => gateway::template(&key).to_owned().into(),
        None => or_unknown(line, log::RESOURCE_PATH),
    }
}

/// The call's units: one unless the authorizer says otherwise.
fn units(line: &Line<'_>) -> Result<u32, Rejection> {
    let units = line.get(context::UNITS);
    units.map_or(Ok(1), |text| parse(context::UNITS, &text))
}

/// The response; `None` without a readable status.
fn response(line: &Line<'_>) -> Option<Response> {
    let latency = line.get(log::RESPONSE_LATENCY);
    Some(Response {
        status: line.get(log::STATUS)?.parse().ok()?,
        latency: latency.and_then(|text| text.parse().ok()),
    })
}

/// The time of the request, limited to the times that an id can have.
fn requested_at(line: &Line<'_>) -> Result<UnixMillis, Rejection> {
    let text = required(line, log::REQUEST_TIME)?;
    let millis = parse(log::REQUEST_TIME, &text)?;
    if (0..1 << 48).contains(&millis) {
        Ok(UnixMillis(millis))
    } else {
        Err(unusable(log::REQUEST_TIME, &text))
    }
}

/// The authorizer's value for anything that the gateway does not name.
fn or_unknown<'a>(line: &Line<'a>, member: &str) -> Cow<'a, str> {
    line.get(member).unwrap_or(Cow::Borrowed("unknown"))
}

fn required<'a>(line: &Line<'a>, member: &str) -> Result<Cow<'a, str>, Rejection> {
    line.get(member)
        .ok_or_else(|| malformed(format!("`{member}` is missing")))
}

fn parse<T: std::str::FromStr>(member: &str, text: &str) -> Result<T, Rejection> {
    text.parse().map_err(|_| unusable(member, text))
}

fn unusable(member: &str, text: &str) -> Rejection {
    malformed(format!("`{member}` cannot be `{text}`"))
}

fn malformed(message: String) -> Rejection {
    Rejection::new(Reason::Malformed, message)
}

#[cfg(test)]
mod tests;
