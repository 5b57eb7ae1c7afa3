//! The access log's line: the gateway's own report of a call, one JSON object of strings.
//!
//! The stacks write its format and the reconciler reads it, both from [`MEMBERS`]. A gateway that
//! does not escape values lets a caller close a quote. Members that a caller can choose therefore
//! come last, and a line is read from its start, member by member in this order. Every member that
//! decides the count is read before the user agent, so a caller cannot change it.
//!
//! A line begins with the name of its format. REST APIs and HTTP APIs have a format each, because AWS
//! documents different variables for them. Lines of earlier formats are read too: some are in flight when
//! a new format is deployed. Format 1 carries no number. Formats 1 and 2 carry neither the template that
//! the call is counted under nor its units.

use std::borrow::Cow;

use crate::gateway::Gateway;
use crate::names::context;

/// The number of the line's format, [`FORMAT`].
pub const VERSION: &str = "version";
/// The gateway's own id of a request, which no caller can choose.
pub const EXTENDED_REQUEST_ID: &str = "extendedRequestId";
/// Time of the request, in milliseconds since the epoch.
pub const REQUEST_TIME: &str = "requestTimeEpoch";
/// The caller's address.
pub const IP: &str = "ip";
/// HTTP method.
pub const METHOD: &str = "method";
/// Route template of a REST API.
pub const RESOURCE_PATH: &str = "resourcePath";
/// Method and route template of an HTTP API, or `$default`.
pub const ROUTE_KEY: &str = "routeKey";
/// The stage.
pub const STAGE: &str = "stage";
/// HTTP status of the response.
pub const STATUS: &str = "status";
/// Milliseconds until the response.
pub const RESPONSE_LATENCY: &str = "responseLatency";
/// Bytes of the response.
pub const RESPONSE_LENGTH: &str = "responseLength";
/// Milliseconds that the integration took.
pub const INTEGRATION_LATENCY: &str = "integrationLatency";
/// Status that the integration returned.
pub const INTEGRATION_STATUS: &str = "integrationStatus";
/// Status of the authorizer's decision.
pub const AUTHORIZER_STATUS: &str = "authorizerStatus";
/// Milliseconds that the authorizer took.
pub const AUTHORIZER_LATENCY: &str = "authorizerLatency";
/// Id of the authorizer's invocation.
pub const AUTHORIZER_REQUEST_ID: &str = "authorizerRequestId";
/// Status of the authorizer's invocation.
pub const AUTHORIZER_INTEGRATION_STATUS: &str = "authorizerIntegrationStatus";
/// The error that the authorizer failed with.
pub const AUTHORIZER_ERROR: &str = "authorizerError";
/// The gateway response that was returned; absent if the integration answered.
pub const RESPONSE_TYPE: &str = "responseType";
/// Id of the request, which callers can choose.
pub const REQUEST_ID: &str = "requestId";
/// The error that the integration failed with.
pub const INTEGRATION_ERROR: &str = "integrationError";
/// The caller's `User-Agent`.
pub const USER_AGENT: &str = "userAgent";

/// [`RESPONSE_TYPE`] of a call that the authorizer denied: one over the rate or the quota.
pub const ACCESS_DENIED: &str = "ACCESS_DENIED";
/// [`RESPONSE_TYPE`] of a call whose path or method has no route.
pub const NO_ROUTE: &str = "MISSING_AUTHENTICATION_TOKEN";
/// The value of a member for which the gateway has no value.
pub const ABSENT: &str = "-";
/// The format of [`MEMBERS`].
pub const FORMAT: &str = "3";
/// The format of [`MEMBERS_OF_HTTP`].
pub const FORMAT_OF_HTTP: &str = "http-1";

/// The members of a REST API's line in their order. Those that a caller can choose come last.
pub const MEMBERS: [&str; 28] = [
    VERSION,
    EXTENDED_REQUEST_ID,
    REQUEST_TIME,
    IP,
    METHOD,
    RESOURCE_PATH,
    STAGE,
    STATUS,
    RESPONSE_LATENCY,
    RESPONSE_LENGTH,
    INTEGRATION_LATENCY,
    INTEGRATION_STATUS,
    AUTHORIZER_STATUS,
    AUTHORIZER_LATENCY,
    AUTHORIZER_REQUEST_ID,
    AUTHORIZER_INTEGRATION_STATUS,
    AUTHORIZER_ERROR,
    RESPONSE_TYPE,
    context::EVENT_ID,
    context::KEY_ID,
    context::PLAN,
    context::MODE,
    context::ROUTE,
    context::UNITS,
    context::EMAIL,
    REQUEST_ID,
    INTEGRATION_ERROR,
    USER_AGENT,
];

/// The members of an HTTP API's line in their order, as far as AWS documents them for its access
/// log
/// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-logging-variables.html>).
/// About the authorizer, the gateway logs only its error and its context. The context therefore
/// says which calls the authorizer denies.
pub const MEMBERS_OF_HTTP: [&str; 24] = [
    VERSION,
    REQUEST_TIME,
    IP,
    METHOD,
    ROUTE_KEY,
    STAGE,
    STATUS,
    RESPONSE_LATENCY,
    RESPONSE_LENGTH,
    INTEGRATION_LATENCY,
    INTEGRATION_STATUS,
    AUTHORIZER_ERROR,
    RESPONSE_TYPE,
    context::EVENT_ID,
    context::KEY_ID,
    context::PLAN,
    context::MODE,
    context::ROUTE,
    context::UNITS,
    context::ERROR,
    context::EMAIL,
    REQUEST_ID,
    INTEGRATION_ERROR,
    USER_AGENT,
];

/// The members that the line of an HTTP API alone has.
const OF_HTTP_ALONE: [&str; 2] = [ROUTE_KEY, context::ERROR];

/// The members of format 2.
const MEMBERS_OF_FORMAT_2: [&str; 26] = [
    VERSION,
    EXTENDED_REQUEST_ID,
    REQUEST_TIME,
    IP,
    METHOD,
    RESOURCE_PATH,
    STAGE,
    STATUS,
    RESPONSE_LATENCY,
    RESPONSE_LENGTH,
    INTEGRATION_LATENCY,
    INTEGRATION_STATUS,
    AUTHORIZER_STATUS,
    AUTHORIZER_LATENCY,
    AUTHORIZER_REQUEST_ID,
    AUTHORIZER_INTEGRATION_STATUS,
    AUTHORIZER_ERROR,
    RESPONSE_TYPE,
    context::EVENT_ID,
    context::KEY_ID,
    context::PLAN,
    context::MODE,
    context::EMAIL,
    REQUEST_ID,
    INTEGRATION_ERROR,
    USER_AGENT,
];

/// The members of format 1, which did not carry its number. `lanes` is no longer read.
const MEMBERS_OF_FORMAT_1: [&str; 23] = [
    EXTENDED_REQUEST_ID,
    REQUEST_TIME,
    IP,
    METHOD,
    RESOURCE_PATH,
    STAGE,
    STATUS,
    RESPONSE_LATENCY,
    RESPONSE_LENGTH,
    INTEGRATION_LATENCY,
    INTEGRATION_STATUS,
    AUTHORIZER_STATUS,
    AUTHORIZER_ERROR,
    RESPONSE_TYPE,
    context::EVENT_ID,
    context::KEY_ID,
    context::PLAN,
    context::MODE,
    "lanes",
    context::EMAIL,
    REQUEST_ID,
    INTEGRATION_ERROR,
    USER_AGENT,
];

/// The members of which the gateway sets at least one when it called the authorizer. AWS does not
/// document which of them it sets when the authorizer fails.
const OF_AUTHORIZER: [&str; 5] = [
    AUTHORIZER_STATUS,
    AUTHORIZER_LATENCY,
    AUTHORIZER_REQUEST_ID,
    AUTHORIZER_INTEGRATION_STATUS,
    AUTHORIZER_ERROR,
];

/// Writes a line of a gateway in its current format. `value` gives each member but [`VERSION`], escaped
/// as the gateway would; the stacks pass the gateway's variables and so write the format itself.
pub fn write(gateway: Gateway, value: impl Fn(&'static str) -> String) -> String {
    let (members, format) = match gateway {
        Gateway::Rest => (MEMBERS.as_slice(), FORMAT),
        Gateway::Http => (MEMBERS_OF_HTTP.as_slice(), FORMAT_OF_HTTP),
    };
    let members = members.iter().map(|member| match *member {
        VERSION => format!(r#""{VERSION}":"{format}""#),
        member => format!(r#""{member}":"{}""#, value(member)),
    });
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

/// A line of the access log: the value of each member, empty if it has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line<'a> {
    gateway: Gateway,
    values: [&'a str; MEMBERS.len() + OF_HTTP_ALONE.len()],
}

impl<'a> Line<'a> {
    /// Reads a line of a current format or of those before. `None` if it does not have all
    /// members in their order, or is of a format that this release does not know.
    pub fn read(text: &'a str) -> Option<Self> {
        let rest = |members: &[&str]| Self::of(Gateway::Rest, text, members);
        let named = |line: &Self, format| line.get(VERSION).as_deref() == Some(format);
        rest(&MEMBERS)
            .filter(|line| named(line, FORMAT))
            .or_else(|| {
                let line = Self::of(Gateway::Http, text, &MEMBERS_OF_HTTP);
                line.filter(|line| named(line, FORMAT_OF_HTTP))
            })
            .or_else(|| rest(&MEMBERS_OF_FORMAT_2).filter(|line| named(line, "2")))
            .or_else(|| rest(&MEMBERS_OF_FORMAT_1))
    }

    fn of(gateway: Gateway, text: &'a str, members: &[&str]) -> Option<Self> {
        let mut line = Self {
            gateway,
            values: [""; _],
        };
        let mut rest = text.trim().strip_prefix('{')?.strip_suffix("\"}")?;
        let mut members = members.iter().peekable();
        while let Some(member) = members.next() {
            rest = rest.strip_prefix('"')?.strip_prefix(member)?;
            rest = rest.strip_prefix("\":\"")?;
            let value = match members.peek() {
                Some(next) => {
                    let end = rest.find(&format!("\",\"{next}\":\""))?;
                    let value = rest.get(..end)?;
                    rest = rest.get(end + 2..)?;
                    value
                }
                None => rest,
            };
            line.set(member, value);
        }
        Some(line)
    }

    fn set(&mut self, member: &str, value: &'a str) {
        if let Some(place) = place_of(member).and_then(|place| self.values.get_mut(place)) {
            *place = value;
        }
    }

    /// The kind of API that wrote it.
    pub const fn gateway(&self) -> Gateway {
        self.gateway
    }

    /// The value of a member; `None` if it has none.
    pub fn get(&self, member: &str) -> Option<Cow<'a, str>> {
        let value = *self.values.get(place_of(member)?)?;
        if value.is_empty() || value == ABSENT {
            return None;
        }
        if value.contains('\\')
            && let Ok(text) = serde_json::from_str::<String>(&format!("\"{value}\""))
        {
            return Some(Cow::Owned(text));
        }
        Some(Cow::Borrowed(value))
    }

    /// Whether the gateway called the authorizer. For a call that the gateway refused by itself the
    /// authorizer has no event.
    pub fn asked_authorizer(&self) -> bool {
        OF_AUTHORIZER
            .iter()
            .any(|member| self.get(member).is_some())
    }
}

fn place_of(member: &str) -> Option<usize> {
    let mut known = MEMBERS.iter().chain(&OF_HTTP_ALONE);
    known.position(|known| *known == member)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use proptest::prelude::*;

    fn line_of(members: &[&'static str], value: impl Fn(&'static str) -> String) -> String {
        let members = members.iter();
        let members: Vec<_> = members
            .map(|member| format!(r#""{member}":"{}""#, value(member)))
            .collect();
        format!("{{{}}}", members.join(","))
    }

    /// A line of format 1.
    fn line_of_format_1(value: impl Fn(&'static str) -> String) -> String {
        line_of(&MEMBERS_OF_FORMAT_1, value)
    }

    /// A line of format 2, as an earlier release writes it.
    fn line_of_format_2(value: impl Fn(&'static str) -> String) -> String {
        line_of(&MEMBERS_OF_FORMAT_2, |member| match member {
            VERSION => "2".to_owned(),
            member => value(member),
        })
    }

    fn chosen_by_caller(member: &str) -> bool {
        [REQUEST_ID, INTEGRATION_ERROR, USER_AGENT].contains(&member)
    }

    /// A line is read as the gateway wrote it, or not at all.
    fn reads_what_the_gateway_says(text: &str, members: &[&str]) -> Result<(), TestCaseError> {
        let Some(read) = Line::read(text) else {
            return Ok(());
        };
        let counted_by = members
            .iter()
            .filter(|member| ![VERSION, "lanes"].contains(member) && !chosen_by_caller(member));
        for member in counted_by {
            prop_assert_eq!(read.get(member).unwrap(), format!("of {member}"));
        }
        Ok(())
    }

    proptest! {
        /// Escaped or not, truncated or forged: at worst a caller makes its own line unreadable.
        #[test]
        fn a_caller_cannot_change_what_its_line_counts_as(agent: String, id in "[a-z\",:{}\\\\]{0,60}") {
            let forged = format!(r#"{agent}","eventId":"forged","status":"200","email":"{id}"#);
            let value = |member: &str| match member {
                USER_AGENT => forged.clone(),
                REQUEST_ID => id.clone(),
                _ => format!("of {member}"),
            };
            reads_what_the_gateway_says(&write(Gateway::Rest, value), &MEMBERS)?;
            reads_what_the_gateway_says(&write(Gateway::Http, value), &MEMBERS_OF_HTTP)?;
            reads_what_the_gateway_says(&line_of_format_2(value), &MEMBERS_OF_FORMAT_2)?;
            reads_what_the_gateway_says(&line_of_format_1(value), &MEMBERS_OF_FORMAT_1)?;
        }

        #[test]
        fn an_escaped_value_reads_back(agent: String) {
            let text = write(Gateway::Rest, |member| {
                let quoted = serde_json::Value::from(agent.as_str()).to_string();
                if member == USER_AGENT { quoted[1..quoted.len() - 1].to_owned() } else { "x".to_owned() }
            });
            let read = Line::read(&text).unwrap().get(USER_AGENT).map(Cow::into_owned);
            let expected = (!agent.is_empty() && agent != ABSENT).then_some(agent);
            prop_assert_eq!(read, expected);
        }

        #[test]
        fn any_text_is_read_without_panic(text: String) {
            prop_assert_eq!(Line::read(&text), None);
        }
    }

    #[test]
    fn what_is_absent_is_none() {
        let text = write(Gateway::Rest, |member| {
            if member == STATUS { "401" } else { ABSENT }.to_owned()
        });
        let read = Line::read(&text).unwrap();
        assert_eq!(read.get(VERSION).as_deref(), Some("3"));
        assert_eq!(read.get(STATUS).as_deref(), Some("401"));
        assert_eq!(read.get(context::EVENT_ID), None);
        assert_eq!(read.get("another"), None);
        assert_eq!(
            Line::read("{\"version\":\"3\",\"extendedRequestId\":\"x\"}"),
            None
        );
    }

    #[test]
    fn a_line_of_format_2_names_neither_its_route_nor_its_units() {
        let text = line_of_format_2(|member| format!("of {member}"));
        let read = Line::read(&text).unwrap();
        let of_before = MEMBERS_OF_FORMAT_2.into_iter().filter(|of| *of != VERSION);
        for member in of_before {
            assert_eq!(read.get(member).unwrap(), format!("of {member}"));
        }
        for member in [context::ROUTE, context::UNITS] {
            assert_eq!(read.get(member), None, "{member}");
        }
    }

    #[test]
    fn a_line_of_format_1_is_read_without_what_it_does_not_have() {
        let text = line_of_format_1(|member| format!("of {member}"));
        let read = Line::read(&text).unwrap();
        for member in MEMBERS_OF_FORMAT_1
            .into_iter()
            .filter(|member| *member != "lanes")
        {
            assert_eq!(read.get(member).unwrap(), format!("of {member}"));
        }
        for member in ["lanes", VERSION, AUTHORIZER_LATENCY, AUTHORIZER_REQUEST_ID] {
            assert_eq!(read.get(member), None, "{member}");
        }
    }

    #[test]
    fn a_line_of_an_http_api_is_distinguished_from_one_of_a_rest_api() {
        let text = write(Gateway::Http, |member| format!("of {member}"));
        let read = Line::read(&text).unwrap();
        assert_eq!(read.gateway(), Gateway::Http);
        for member in MEMBERS_OF_HTTP.into_iter().filter(|of| *of != VERSION) {
            assert_eq!(read.get(member).unwrap(), format!("of {member}"));
        }
        for member in [EXTENDED_REQUEST_ID, RESOURCE_PATH, AUTHORIZER_STATUS] {
            assert_eq!(read.get(member), None, "{member}");
        }
        let rest = write(Gateway::Rest, |member| format!("of {member}"));
        let read = Line::read(&rest).unwrap();
        assert_eq!((read.gateway(), read.get(ROUTE_KEY)), (Gateway::Rest, None));
    }

    /// A caller's user agent that holds a whole line of the other kind changes nothing.
    #[test]
    fn a_line_within_a_line_is_text() {
        let forged = write(Gateway::Rest, |member| format!("forged {member}"));
        let forged = forged.trim_start_matches('{').trim_end_matches("\"}");
        let text = write(Gateway::Http, |member| match member {
            USER_AGENT => format!("x\",{forged}"),
            _ => ABSENT.to_owned(),
        });
        let read = Line::read(&text).unwrap();
        assert_eq!(read.gateway(), Gateway::Http);
        assert_eq!(read.get(context::EVENT_ID), None);
    }

    #[test]
    fn a_line_of_a_later_format_is_not_read() {
        let text = write(Gateway::Rest, |_| "x".to_owned()).replacen("\"3\"", "\"4\"", 1);
        assert_eq!(Line::read(&text), None);
    }

    #[test]
    fn any_member_of_the_authorizers_says_that_it_was_asked() {
        let with = |present: &str| {
            write(Gateway::Rest, |member| {
                if member == present { "x" } else { ABSENT }.to_owned()
            })
        };
        for member in MEMBERS {
            let text = with(member);
            let asked = Line::read(&text).unwrap().asked_authorizer();
            assert_eq!(asked, member.starts_with("authorizer"), "{member}");
        }
    }
}
