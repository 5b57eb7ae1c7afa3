//! What a line of the access log reports.
//!
//! The event of a call is made again from its line, byte for byte as the authorizer made it: the
//! same id, the same leaf, the same raw event. Its time is the id's own, for the authorizer mints
//! the id at the very millisecond that it gives the event.

use domain::access_log::{self as log, Line};
use domain::event::{self, EventData, EventType, Reason, Rejection, Subject, UsageEvent};
use domain::id::EventId;
use domain::names::{TrackingMode, context};
use domain::response::Response;
use domain::time::UnixMillis;

/// What the gateway reports of one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reported {
    /// The event of the call.
    pub event: UsageEvent,
    /// How it was answered, where it was let through.
    pub response: Option<Response>,
    /// When the gateway took the request.
    pub requested_at: UnixMillis,
    /// Whether only this log can tell of it: nobody minted an id for it.
    pub gateway_only: bool,
}

/// Reads a line.
///
/// `None` for a call that is none of those that are counted, or that the authorizer refused and
/// has reported. `source` is that of events that no authorizer made.
pub fn read(text: &str, source: &str) -> Result<Option<Reported>, Rejection> {
    let line = Line::read(text)
        .ok_or_else(|| malformed("the line has not the members of the access log".to_owned()))?;
    let reported = match line.get(context::EVENT_ID) {
        Some(id) => Some(of_call(&line, &id, source)?),
        None if refused_by_gateway(&line) => Some(of_refusal(&line, source)?),
        None => None,
    };
    if let Some(Reported { event, .. }) = &reported {
        // Whatever a record of the stream must be.
        UsageEvent::decode(&event.to_json())?;
    }
    Ok(reported)
}

/// A call that the authorizer named.
fn of_call(line: &Line<'_>, id: &str, source: &str) -> Result<Reported, Rejection> {
    let id: EventId = parse(context::EVENT_ID, id)?;
    let mode = required(line, context::MODE)?;
    let mode = TrackingMode::parse(&mode).ok_or_else(|| unusable(context::MODE, &mode))?;
    let lanes = required(line, context::LANES)?;
    // The gateway denies what the authorizer says is over its plan; all else was let through.
    let denied = line.get(log::RESPONSE_TYPE).as_deref() == Some(log::ACCESS_DENIED);
    let response = if denied { None } else { Some(response(line)?) };
    let event = UsageEvent {
        id,
        source: source.to_owned(),
        event_type: if denied {
            EventType::RateLimited
        } else {
            EventType::ApiCall
        },
        time: id.minted_at(),
        subject: Subject::as_carried(&required(line, context::EMAIL)?),
        data: EventData {
            key_id: owned(line, context::KEY_ID),
            plan: owned(line, context::PLAN),
            lanes: parse(context::LANES, &lanes)?,
            mode,
            ..data(line)
        },
    };
    Ok(Reported {
        event,
        response,
        requested_at: requested_at(line)?,
        gateway_only: false,
    })
}

/// Whether the gateway refused the call without asking the authorizer. Where a function answered,
/// the refusal is that function's own. An authorizer that failed, which is how ours says 401, shows by its
/// error: whether it has a status then, the gateway's documents do not say.
fn refused_by_gateway(line: &Line<'_>) -> bool {
    line.get(log::AUTHORIZER_STATUS).is_none()
        && line.get(log::AUTHORIZER_ERROR).is_none()
        && line.get(log::INTEGRATION_STATUS).is_none()
        && line.get(log::RESPONSE_TYPE).is_some()
        && matches!(line.get(log::STATUS).as_deref(), Some("401" | "403"))
}

/// A call that the gateway refused. Its name is the gateway's own id of the request.
fn of_refusal(line: &Line<'_>, source: &str) -> Result<Reported, Rejection> {
    let requested_at = requested_at(line)?;
    let name = required(line, log::EXTENDED_REQUEST_ID)?;
    let data = data(line);
    let event = UsageEvent {
        id: EventId::derive(requested_at.0.unsigned_abs(), &name),
        source: source.to_owned(),
        event_type: EventType::AuthFailed,
        time: requested_at,
        subject: Subject::address(&data.ip),
        data,
    };
    Ok(Reported {
        event,
        response: None,
        requested_at,
        gateway_only: true,
    })
}

/// What every event has of its call.
fn data(line: &Line<'_>) -> EventData {
    let detail = |member| line.get(member).map(|text| event::cut(&text).to_owned());
    EventData {
        key_id: None,
        plan: None,
        method: or_unknown(line, log::METHOD),
        endpoint: or_unknown(line, log::RESOURCE_PATH),
        ip: or_unknown(line, log::IP),
        user_agent: detail(log::USER_AGENT),
        request_id: detail(log::REQUEST_ID),
        stage: owned(line, log::STAGE),
        lanes: 1,
        mode: TrackingMode::Stream,
    }
}

fn response(line: &Line<'_>) -> Result<Response, Rejection> {
    let status = required(line, log::STATUS)?;
    let latency = line.get(log::RESPONSE_LATENCY);
    Ok(Response {
        status: parse(log::STATUS, &status)?,
        latency: latency
            .map(|text| parse(log::RESPONSE_LATENCY, &text))
            .transpose()?,
    })
}

/// When the gateway took the request, within what the id of an event can say.
fn requested_at(line: &Line<'_>) -> Result<UnixMillis, Rejection> {
    let text = required(line, log::REQUEST_TIME)?;
    let millis = parse(log::REQUEST_TIME, &text)?;
    if (0..1 << 48).contains(&millis) {
        Ok(UnixMillis(millis))
    } else {
        Err(unusable(log::REQUEST_TIME, &text))
    }
}

fn owned(line: &Line<'_>, member: &str) -> Option<String> {
    line.get(member).map(std::borrow::Cow::into_owned)
}

/// As the authorizer says where the gateway names nothing.
fn or_unknown(line: &Line<'_>, member: &str) -> String {
    owned(line, member).unwrap_or_else(|| "unknown".to_owned())
}

fn required(line: &Line<'_>, member: &str) -> Result<String, Rejection> {
    owned(line, member).ok_or_else(|| malformed(format!("the line has no `{member}`")))
}

fn parse<T: std::str::FromStr>(member: &str, text: &str) -> Result<T, Rejection> {
    text.parse().map_err(|_| unusable(member, text))
}

fn unusable(member: &str, text: &str) -> Rejection {
    malformed(format!("the line's `{member}` is `{text}`"))
}

fn malformed(message: String) -> Rejection {
    Rejection::new(Reason::Malformed, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::sample;

    const NOW: UnixMillis = UnixMillis(1_795_363_445_007);
    const SOURCE: &str = "/complical/test/api";

    /// A line with these members; all others are absent.
    fn line(members: &[(&str, &str)]) -> String {
        let value = |member: &str| {
            let of = members.iter().find(|(known, _)| *known == member);
            of.map_or(log::ABSENT, |(_, value)| value)
        };
        let members = log::MEMBERS.map(|member| format!(r#""{member}":"{}""#, value(member)));
        format!("{{{}}}", members.join(","))
    }

    fn read_line(members: &[(&str, &str)]) -> Result<Option<Reported>, Rejection> {
        read(&line(members), SOURCE)
    }

    #[test]
    fn an_event_is_made_again_as_the_authorizer_made_it() {
        let mut event = sample::event(7, "ann@example.com", EventType::ApiCall, NOW);
        event.data.lanes = 8;
        event.data.mode = TrackingMode::Synchronous;
        event.data.user_agent = Some("curl \"8\"".to_owned());
        event.data.request_id = Some("chosen".to_owned());
        let id = event.id.to_string();
        let members = [
            (context::EVENT_ID, id.as_str()),
            (context::KEY_ID, "key_1"),
            (context::EMAIL, "ann@example.com"),
            (context::PLAN, "free"),
            (context::MODE, "synchronous"),
            (context::LANES, "8"),
            (log::REQUEST_TIME, "1795363444999"),
            (log::METHOD, "GET"),
            (log::RESOURCE_PATH, "/v1/deadlines"),
            (log::IP, "192.0.2.1"),
            (log::STAGE, "test"),
            (log::STATUS, "504"),
            (log::RESPONSE_LATENCY, "29001"),
            (log::RESPONSE_TYPE, "INTEGRATION_TIMEOUT"),
            (log::AUTHORIZER_STATUS, "200"),
            (log::USER_AGENT, r#"curl \"8\""#),
            (log::REQUEST_ID, "chosen"),
        ];
        let reported = read_line(&members).unwrap().unwrap();
        assert_eq!(reported.event.to_json(), event.to_json());
        let response = Response {
            status: 504,
            latency: Some(29_001),
        };
        assert_eq!(reported.response, Some(response));
        assert_eq!(reported.requested_at, UnixMillis(1_795_363_444_999));
        assert!(!reported.gateway_only);
    }

    #[test]
    fn a_denied_call_is_no_usage() {
        let id = sample::event(7, "ann@example.com", EventType::ApiCall, NOW)
            .id
            .to_string();
        let members = [
            (context::EVENT_ID, id.as_str()),
            (context::EMAIL, "ann@example.com"),
            (context::MODE, "stream"),
            (context::LANES, "1"),
            (log::REQUEST_TIME, "1795363444999"),
            (log::STATUS, "429"),
            (log::RESPONSE_TYPE, "ACCESS_DENIED"),
        ];
        let reported = read_line(&members).unwrap().unwrap();
        assert_eq!(reported.event.event_type, EventType::RateLimited);
        assert_eq!(reported.response, None);
    }

    #[test]
    fn a_call_refused_before_the_authorizer_is_a_failure_of_its_address() {
        let refused = [
            (log::EXTENDED_REQUEST_ID, "AbCdEfGhIjKlMn="),
            (log::REQUEST_TIME, "1795363445007"),
            (log::IP, "192.0.2.9"),
            (log::METHOD, "GET"),
            (log::RESOURCE_PATH, "/v1/deadlines"),
            (log::STATUS, "401"),
            (log::RESPONSE_TYPE, "UNAUTHORIZED"),
            (log::REQUEST_ID, "chosen"),
        ];
        let reported = read_line(&refused).unwrap().unwrap();
        assert_eq!(reported.event.event_type, EventType::AuthFailed);
        assert_eq!(reported.event.subject, Subject::address("192.0.2.9"));
        assert_eq!(reported.event.time, NOW);
        assert!(reported.gateway_only && reported.response.is_none());
        let again = read_line(&refused).unwrap().unwrap();
        assert_eq!(again, reported);
        for other in [
            (log::AUTHORIZER_STATUS, "401"),
            (log::AUTHORIZER_ERROR, "Unauthorized"),
            (log::INTEGRATION_STATUS, "200"),
            (log::STATUS, "404"),
            (log::STATUS, "200"),
        ] {
            let members: Vec<_> = [other].into_iter().chain(refused).collect();
            assert_eq!(read_line(&members), Ok(None), "{other:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_says_which_member_is_wrong() {
        let id = sample::event(7, "ann@example.com", EventType::ApiCall, NOW)
            .id
            .to_string();
        let sound = [
            (context::EVENT_ID, id.as_str()),
            (context::EMAIL, "ann@example.com"),
            (context::MODE, "stream"),
            (context::LANES, "1"),
            (log::REQUEST_TIME, "1795363444999"),
            (log::STATUS, "200"),
        ];
        assert!(read_line(&sound).is_ok());
        for (member, value) in [
            (context::EVENT_ID, "chosen-by-a-caller"),
            (context::EMAIL, "-"),
            (context::MODE, "fast"),
            (context::LANES, "65"),
            (log::REQUEST_TIME, "-1"),
            (log::STATUS, "2xx"),
            (log::RESPONSE_LATENCY, "soon"),
        ] {
            let members: Vec<_> = [(member, value)].into_iter().chain(sound).collect();
            let rejection = read_line(&members).unwrap_err();
            assert_eq!(rejection.reason, Reason::Malformed, "{member}");
        }
        assert!(read("no line", SOURCE).is_err());
    }
}
