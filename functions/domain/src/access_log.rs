//! The access log's line: the gateway's own report of a call, one JSON object of texts.
//!
//! Stacks write its format and the reconciler reads it, both by [`MEMBERS`]. A gateway that puts
//! values in as they are lets a caller close a quote: what a caller can choose therefore stands
//! last, and a line is read from its start, member by member in this order. Whatever a caller
//! writes into its user agent, everything that is counted by was read before.

use std::borrow::Cow;

use crate::names::context;

/// The gateway's own id of a request, which no caller can choose.
pub const EXTENDED_REQUEST_ID: &str = "extendedRequestId";
/// When the request came, in milliseconds since the epoch.
pub const REQUEST_TIME: &str = "requestTimeEpoch";
/// The caller's address.
pub const IP: &str = "ip";
/// HTTP method.
pub const METHOD: &str = "method";
/// Route template.
pub const RESOURCE_PATH: &str = "resourcePath";
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
/// Status that the integration answered.
pub const INTEGRATION_STATUS: &str = "integrationStatus";
/// Status of the authorizer's decision; absent where it was not asked.
pub const AUTHORIZER_STATUS: &str = "authorizerStatus";
/// What the authorizer failed with.
pub const AUTHORIZER_ERROR: &str = "authorizerError";
/// Which of the gateway's own answers was given; absent where it gave none.
pub const RESPONSE_TYPE: &str = "responseType";
/// Id of the request; callers can choose it.
pub const REQUEST_ID: &str = "requestId";
/// What the integration failed with.
pub const INTEGRATION_ERROR: &str = "integrationError";
/// The caller's `User-Agent`.
pub const USER_AGENT: &str = "userAgent";

/// [`RESPONSE_TYPE`] of a call that the authorizer denied: one over the rate or the quota.
pub const ACCESS_DENIED: &str = "ACCESS_DENIED";
/// What stands for a value that there is none of.
pub const ABSENT: &str = "-";

/// The members of a line in their order. What a caller can choose comes last.
pub const MEMBERS: [&str; 23] = [
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
    context::LANES,
    context::EMAIL,
    REQUEST_ID,
    INTEGRATION_ERROR,
    USER_AGENT,
];

/// A line of the access log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line<'a>([&'a str; MEMBERS.len()]);

impl<'a> Line<'a> {
    /// Reads a line; `None` where it has not all the members in their order.
    pub fn read(text: &'a str) -> Option<Self> {
        let mut values = [""; MEMBERS.len()];
        let mut rest = text.trim().strip_prefix('{')?.strip_suffix("\"}")?;
        let mut members = MEMBERS.iter().zip(&mut values).peekable();
        while let Some((member, value)) = members.next() {
            rest = rest.strip_prefix('"')?.strip_prefix(member)?;
            rest = rest.strip_prefix("\":\"")?;
            match members.peek() {
                Some((next, _)) => {
                    let end = rest.find(&format!("\",\"{next}\":\""))?;
                    *value = rest.get(..end)?;
                    rest = rest.get(end + 2..)?;
                }
                None => *value = rest,
            }
        }
        Some(Self(values))
    }

    /// The value of a member; `None` where there is none.
    pub fn get(&self, member: &str) -> Option<Cow<'a, str>> {
        let place = MEMBERS.iter().position(|known| *known == member)?;
        let value = *self.0.get(place)?;
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
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use proptest::prelude::*;

    fn line(value: impl Fn(&str) -> String) -> String {
        let members = MEMBERS.map(|member| format!(r#""{member}":"{}""#, value(member)));
        format!("{{{}}}", members.join(","))
    }

    fn chosen_by_caller(member: &str) -> bool {
        [REQUEST_ID, INTEGRATION_ERROR, USER_AGENT].contains(&member)
    }

    proptest! {
        /// Escaped or not, broken off or forged: what the gateway says is read as it says it.
        #[test]
        fn a_caller_changes_nothing_that_is_counted_by(agent: String, id in "[a-z\",:{}\\\\]{0,60}") {
            let forged = format!(r#"{agent}","eventId":"forged","status":"200","email":"{id}"#);
            let text = line(|member| match member {
                USER_AGENT => forged.clone(),
                REQUEST_ID => id.clone(),
                _ => format!("of {member}"),
            });
            // A caller can make a line unreadable at most, never another.
            if let Some(read) = Line::read(&text) {
                for member in MEMBERS.into_iter().filter(|member| !chosen_by_caller(member)) {
                    prop_assert_eq!(read.get(member).unwrap(), format!("of {member}"));
                }
            }
        }

        #[test]
        fn an_escaped_value_reads_back(agent: String) {
            let text = line(|member| {
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
        let text = line(|member| if member == STATUS { "401" } else { ABSENT }.to_owned());
        let read = Line::read(&text).unwrap();
        assert_eq!(read.get(STATUS).as_deref(), Some("401"));
        assert_eq!(read.get(context::EVENT_ID), None);
        assert_eq!(read.get("another"), None);
        assert_eq!(Line::read("{\"extendedRequestId\":\"x\"}"), None);
    }
}
