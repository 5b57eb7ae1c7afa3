//! Lines of all formats, with any members missing.

use domain::sample;

use super::*;

const NOW: UnixMillis = UnixMillis(1_795_363_445_007);
const SOURCE: &str = "/complical/test/api";

type Members<'a> = [(&'a str, &'a str)];

/// The value of a member; the first one wins, and a missing member counts as absent.
fn value<'a>(members: &Members<'a>, member: &str) -> &'a str {
    let of = members.iter().find(|(known, _)| *known == member);
    of.map_or(log::ABSENT, |(_, value)| value)
}

fn line(members: &Members<'_>) -> String {
    log::write(Gateway::Rest, |member| value(members, member).to_owned())
}

/// A line of format 1, which a call in flight across a deploy may still write.
fn line_of_format_1(members: &Members<'_>) -> String {
    let names = "extendedRequestId requestTimeEpoch ip method resourcePath stage status \
                 responseLatency responseLength integrationLatency integrationStatus \
                 authorizerStatus authorizerError responseType eventId keyId plan mode lanes email \
                 requestId integrationError userAgent";
    let names = names.split_whitespace();
    let members = names.map(|name| format!(r#""{name}":"{}""#, value(members, name)));
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

fn id() -> String {
    let event = sample::event(7, "ann@example.com", EventType::ApiCall, NOW);
    event.id.to_string()
}

/// A line of format 2, which names no route.
fn line_of_format_2(members: &Members<'_>) -> String {
    let text = line(members).replacen(r#""version":"3""#, r#""version":"2""#, 1);
    let members = [r#""route":"-","#, r#""units":"-","#];
    members
        .iter()
        .fold(text, |text, member| text.replacen(member, "", 1))
}

/// A call of the seventh sample event that timed out.
fn call(id: &str) -> Vec<(&'static str, &str)> {
    vec![
        (context::EVENT_ID, id),
        (context::KEY_ID, "key_1"),
        (context::EMAIL, "ann@example.com"),
        (context::PLAN, "free"),
        (context::MODE, "synchronous"),
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
    ]
}

/// `members` with another value of one of them.
fn with<'a>(members: &Members<'a>, other: (&'a str, &'a str)) -> Vec<(&'a str, &'a str)> {
    [other].into_iter().chain(members.iter().copied()).collect()
}

#[test]
fn a_call_is_reported_with_the_contents_that_the_authorizer_reports() {
    let mut event = sample::event(7, "ann@example.com", EventType::ApiCall, NOW);
    event.data.mode = TrackingMode::Synchronous;
    let id = id();
    let old = with(&call(&id), ("lanes", "8"));
    let texts = [
        line(&call(&id)),
        line_of_format_2(&call(&id)),
        line_of_format_1(&old),
    ];
    for text in texts {
        let reported = read(&text, SOURCE).unwrap().unwrap();
        assert_eq!(reported.event, event.borrowed());
        let response = Response {
            status: 504,
            latency: Some(29_001),
        };
        assert_eq!(reported.response, Some(response));
    }
}

#[test]
fn a_call_to_an_upstream_is_reported_under_the_authorizers_template() {
    let id = id();
    let call = with(&call(&id), (log::RESOURCE_PATH, "/{proxy+}"));
    for (route, endpoint) in [("/users/{id}", "/users/{id}"), ("-", "/{proxy+}")] {
        let text = line(&with(&call, (context::ROUTE, route)));
        let reported = read(&text, SOURCE).unwrap().unwrap();
        assert_eq!(reported.event.endpoint, endpoint);
    }
    for (text, units) in [("10", 10), ("-", 1), ("0", 0)] {
        let text = line(&with(&call, (context::UNITS, text)));
        let reported = read(&text, SOURCE).unwrap().unwrap();
        assert_eq!(reported.event.units, units);
    }
    let text = line(&with(&call, (context::UNITS, "many")));
    assert!(read(&text, SOURCE).is_err());
}

#[test]
fn a_call_counts_by_its_id_whatever_else_the_line_lacks() {
    let id = id();
    let call = call(&id);
    let expected = line(&call);
    let expected = read(&expected, SOURCE).unwrap().unwrap();
    let response = |latency| {
        Some(Response {
            status: 504,
            latency,
        })
    };
    for (member, value, response) in [
        (log::STATUS, "-", None),
        (log::STATUS, "", None),
        (log::STATUS, "2xx", None),
        (log::STATUS, "99999", None),
        (log::RESPONSE_LATENCY, "-", response(None)),
        (log::RESPONSE_LATENCY, "soon", response(None)),
        (log::RESPONSE_LATENCY, "-1", response(None)),
        (log::REQUEST_TIME, "-", response(Some(29_001))),
        (log::REQUEST_TIME, "yesterday", response(Some(29_001))),
        (log::AUTHORIZER_STATUS, "-", response(Some(29_001))),
    ] {
        let text = line(&with(&call, (member, value)));
        let reported = read(&text, SOURCE).unwrap().unwrap();
        assert_eq!(reported.event, expected.event, "{member} {value}");
        assert_eq!(reported.response, response, "{member} {value}");
    }
    for mode in ["-", "fast"] {
        let text = line(&with(&call, (context::MODE, mode)));
        let reported = read(&text, SOURCE).unwrap().unwrap();
        assert_eq!(reported.event.mode, TrackingMode::Stream);
        assert_eq!(reported.event.subject, "ann@example.com");
    }
}

#[test]
fn a_denied_call_is_not_usage_and_has_no_response() {
    let id = id();
    let denied = with(&call(&id), (log::RESPONSE_TYPE, log::ACCESS_DENIED));
    let text = line(&denied);
    let reported = read(&text, SOURCE).unwrap().unwrap();
    assert_eq!(reported.event.event_type, EventType::RateLimited);
    assert_eq!(reported.event.subject, "ann@example.com");
    assert_eq!(reported.response, None);
}

/// A call that the gateway refused by itself.
const REFUSAL: &Members<'_> = &[
    (log::EXTENDED_REQUEST_ID, "AbCdEfGhIjKlMn="),
    (log::REQUEST_TIME, "1795363445007"),
    (log::IP, "192.0.2.9"),
    (log::METHOD, "GET"),
    (log::RESOURCE_PATH, "/v1/deadlines"),
    (log::STATUS, "401"),
    (log::RESPONSE_TYPE, "UNAUTHORIZED"),
    (log::REQUEST_ID, "chosen"),
];

#[test]
fn a_refusal_of_the_gateways_own_is_a_failure_of_its_address() {
    for text in [line(REFUSAL), line_of_format_1(REFUSAL)] {
        let reported = read(&text, SOURCE).unwrap().unwrap();
        assert_eq!(reported.event.event_type, EventType::AuthFailed);
        assert_eq!(reported.event.subject, "ip:192.0.2.9");
        assert_eq!(reported.event.time(), NOW);
        let id = EventId::derive(1_795_363_445_007, "AbCdEfGhIjKlMn=");
        assert_eq!((reported.event.id, reported.response), (id, None));
    }
}

#[test]
fn a_refusal_is_the_gateways_own_only_if_it_did_not_ask_the_authorizer() {
    for other in [
        (log::AUTHORIZER_STATUS, "401"),
        (log::AUTHORIZER_LATENCY, "3"),
        (log::AUTHORIZER_REQUEST_ID, "0b8e6ba0"),
        (log::AUTHORIZER_INTEGRATION_STATUS, "200"),
        (log::AUTHORIZER_ERROR, "Unauthorized"),
        (log::INTEGRATION_STATUS, "401"),
        (log::RESPONSE_TYPE, log::ABSENT),
        (log::RESPONSE_TYPE, log::NO_ROUTE),
        (log::METHOD, gateway::PREFLIGHT),
        (log::STATUS, "404"),
        (log::STATUS, "200"),
        (log::STATUS, log::ABSENT),
    ] {
        let text = line(&with(REFUSAL, other));
        assert_eq!(read(&text, SOURCE), Ok(None), "{other:?}");
    }
}

#[test]
fn a_line_that_cannot_be_counted_names_the_member_that_is_wrong() {
    let id = id();
    let call = call(&id);
    let long = "x".repeat(600);
    for (members, other) in [
        (call.as_slice(), (context::EVENT_ID, "chosen-by-a-caller")),
        (&call, (context::EMAIL, log::ABSENT)),
        (REFUSAL, (log::REQUEST_TIME, log::ABSENT)),
        (REFUSAL, (log::REQUEST_TIME, "-1")),
        (REFUSAL, (log::EXTENDED_REQUEST_ID, log::ABSENT)),
    ] {
        let text = line(&with(members, other));
        let rejection = read(&text, SOURCE).unwrap_err();
        assert_eq!(rejection.reason, Reason::Malformed);
        let named = format!("`{}`", other.0);
        assert!(rejection.message.contains(&named), "{rejection}");
    }
    let text = line(&with(&call, (log::RESOURCE_PATH, &long)));
    let rejection = read(&text, SOURCE).unwrap_err();
    assert!(rejection.message.contains("`data.endpoint`"), "{rejection}");
    assert!(read("no line", SOURCE).is_err());
}

/// The line of an HTTP API.
fn http(members: &Members<'_>) -> String {
    log::write(Gateway::Http, |member| value(members, member).to_owned())
}

/// The call of the seventh sample event as an HTTP API logs it: from the authorizer only its own
/// context.
fn http_call(id: &str) -> Vec<(&'static str, &str)> {
    let of_rest = [
        log::RESOURCE_PATH,
        log::RESPONSE_TYPE,
        log::AUTHORIZER_STATUS,
    ];
    let mut members = call(id);
    members.retain(|(member, _)| !of_rest.contains(member));
    members.extend([
        (log::ROUTE_KEY, "GET /v1/deadlines"),
        (context::ROUTE, "/v1/deadlines"),
        (context::UNITS, "1"),
    ]);
    members
}

#[test]
fn a_call_to_an_http_api_is_reported_with_the_contents_that_the_authorizer_reports() {
    let mut event = sample::event(7, "ann@example.com", EventType::ApiCall, NOW);
    event.data.mode = TrackingMode::Synchronous;
    let id = id();
    let call = http_call(&id);
    let response = Some(Response {
        status: 504,
        latency: Some(29_001),
    });
    // With and without the authorizer's route.
    for members in [call.clone(), with(&call, (context::ROUTE, log::ABSENT))] {
        let text = http(&members);
        let reported = read(&text, SOURCE).unwrap().unwrap();
        assert_eq!(reported.event, event.borrowed());
        assert_eq!(reported.response, response);
    }
    for (key, endpoint) in [("$default", "$default"), ("ANY /{proxy+}", "/{proxy+}")] {
        let members = with(&call, (context::ROUTE, log::ABSENT));
        let text = http(&with(&members, (log::ROUTE_KEY, key)));
        let reported = read(&text, SOURCE).unwrap().unwrap();
        assert_eq!(reported.event.endpoint, endpoint);
    }
}

#[test]
fn a_call_that_an_http_api_denies_is_not_usage_whatever_the_gateway_calls_it() {
    let id = id();
    let denied = with(&http_call(&id), (context::ERROR, "quotaExceeded"));
    for response_type in [log::ABSENT, "ACCESS_DENIED", "AUTHORIZER_FAILURE"] {
        let text = http(&with(&denied, (log::RESPONSE_TYPE, response_type)));
        let reported = read(&text, SOURCE).unwrap().unwrap();
        assert_eq!(reported.event.event_type, EventType::RateLimited);
        assert_eq!(reported.response, None);
    }
}

/// The authorizer reports it under its own id; under another it would count twice.
#[test]
fn a_refusal_of_an_http_api_is_left_to_the_authorizer() {
    for status in ["401", "403", "500"] {
        for response_type in ["ACCESS_DENIED", "UNAUTHORIZED", log::ABSENT] {
            let refusal = with(REFUSAL, (log::STATUS, status));
            let text = http(&with(&refusal, (log::RESPONSE_TYPE, response_type)));
            assert_eq!(read(&text, SOURCE), Ok(None), "{status} {response_type}");
        }
    }
}

#[test]
fn a_line_of_an_http_api_that_cannot_be_counted_names_the_member_that_is_wrong() {
    let id = id();
    let call = http_call(&id);
    for other in [
        (context::EVENT_ID, "chosen-by-a-caller"),
        (context::EMAIL, log::ABSENT),
        (context::UNITS, "-3"),
    ] {
        let text = http(&with(&call, other));
        let rejection = read(&text, SOURCE).unwrap_err();
        let named = format!("`{}`", other.0);
        assert!(rejection.message.contains(&named), "{rejection}");
    }
}
