//! The gateway's request: the `REQUEST` event of a REST API's authorizer
//! (<https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-lambda-authorizer-input.html>).
//!
//! Not the type of `aws_lambda_events`, which quotes a header that it cannot read in its error and
//! so would write the caller's key to the log. This type exposes two headers: the user agent, and
//! the key as its hash.

use std::collections::BTreeMap;

use domain::event;
use domain::key::{self, ApiKey};
use serde::Deserialize;
use serde_json::Value;

const KEY_HEADER: &str = "x-api-key";
const USER_AGENT_HEADER: &str = "user-agent";
/// Bytes of a key that was made elsewhere and imported by its hash: API Gateway's own have 20 to 128.
const IMPORTED_BYTES: std::ops::RangeInclusive<usize> = 16..=128;

/// A call to be authorized.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// ARN of the called method.
    pub method_arn: String,
    /// The gateway's resource, such as `/v1/deadlines` or `/{proxy+}`.
    pub resource: String,
    /// The path as it was sent, still encoded.
    #[serde(default)]
    pub path: String,
    /// HTTP method.
    pub http_method: String,
    #[serde(default)]
    headers: Option<BTreeMap<String, Value>>,
    #[serde(default, rename = "requestContext")]
    context: RequestContext,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RequestContext {
    stage: Option<String>,
    request_id: Option<String>,
    identity: Identity,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Identity {
    source_ip: Option<String>,
}

/// What the caller presents as its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// Nothing.
    Missing,
    /// Not in the form of a key.
    Malformed {
        /// Its SHA-256.
        hash: String,
    },
    /// In the form of a key, with a correct checksum; or in a form in which one may have been imported.
    WellFormed {
        /// Its SHA-256.
        hash: String,
    },
}

impl Request {
    /// What the caller presents as its key. What begins like a key of `prefix` must have the checksum
    /// of one, so that a typo is refused without a look-up.
    pub fn credential(&self, prefix: &str) -> Credential {
        let Some(presented) = self.header(KEY_HEADER).filter(|text| !text.is_empty()) else {
            return Credential::Missing;
        };
        let is_ours = presented
            .strip_prefix(prefix)
            .is_some_and(|rest| rest.starts_with('_'));
        let may_be_imported = !is_ours
            && IMPORTED_BYTES.contains(&presented.len())
            && presented.bytes().all(|byte| byte.is_ascii_graphic());
        let hash = key::hash(presented);
        if may_be_imported || ApiKey::parse(presented).is_some() {
            Credential::WellFormed { hash }
        } else {
            Credential::Malformed { hash }
        }
    }

    /// The caller's address; `unknown` where the gateway reports none.
    pub fn ip(&self) -> &str {
        let ip = self.context.identity.source_ip.as_deref();
        ip.unwrap_or("unknown")
    }

    /// The caller's `User-Agent`, cut to the length that an event carries.
    pub fn user_agent(&self) -> Option<&str> {
        self.header(USER_AGENT_HEADER).map(event::cut)
    }

    /// The gateway's id of the request, which callers can choose, cut like the user agent.
    pub fn request_id(&self) -> Option<&str> {
        self.context.request_id.as_deref().map(event::cut)
    }

    /// Whether the call brings one of these headers, in any case.
    pub fn brings_any(&self, headers: &[String]) -> bool {
        headers.iter().any(|name| self.brings(name))
    }

    fn brings(&self, name: &str) -> bool {
        let mut headers = self.headers.iter().flatten();
        headers.any(|(known, _)| known.eq_ignore_ascii_case(name))
    }

    /// The gateway's stage.
    pub fn stage(&self) -> Option<&str> {
        self.context.stage.as_deref()
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter().flatten();
        let (_, value) = headers.find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        value.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn request(headers: &Value) -> Request {
        let event = json!({
            "type": "REQUEST",
            "methodArn": "arn:aws:execute-api:ap-south-1:000000000000:api/test/GET/v1/deadlines",
            "resource": "/v1/deadlines",
            "path": "/v1/deadlines",
            "httpMethod": "GET",
            "headers": headers,
            "queryStringParameters": null,
            "requestContext": {
                "stage": "test", "requestId": "r-1", "identity": {"sourceIp": "192.0.2.1"},
            },
        });
        serde_json::from_value(event).unwrap()
    }

    #[test]
    fn the_key_is_found_under_any_case_of_its_header_and_only_its_hash_is_exposed() {
        let key = ApiKey::mint("complical", [7; 24]);
        for name in ["x-api-key", "X-Api-Key", "X-API-KEY"] {
            let request = request(&json!({"Host": "a", name: key.reveal()}));
            let credential = request.credential("complical");
            assert_eq!(credential, Credential::WellFormed { hash: key.hash() });
            assert!(!format!("{credential:?}").contains(key.shown()));
        }
    }

    #[test]
    fn a_malformed_key_is_told_from_a_missing_one() {
        for headers in [
            json!(null),
            json!({}),
            json!({"x-api-key": ""}),
            json!({"x-api-key": null}),
        ] {
            assert_eq!(
                request(&headers).credential("complical"),
                Credential::Missing,
                "{headers}"
            );
        }
        let key = ApiKey::mint("complical", [7; 24]);
        let mistyped = key.reveal().replace('b', "B");
        let longer = format!("{}0", key.reveal());
        let long = "a".repeat(129);
        for presented in [
            "abc",
            "complical_",
            "ключ\u{1}, a long one",
            &long,
            &mistyped,
            &longer,
        ] {
            let credential = request(&json!({"x-api-key": presented})).credential("complical");
            let hash = key::hash(presented);
            assert_eq!(credential, Credential::Malformed { hash }, "{presented}");
        }
        // Made by another system, and perhaps imported.
        let imported = "hQ1fXm3Zb58aLkW0tYv2PdR9";
        let credential = request(&json!({"x-api-key": imported})).credential("complical");
        let hash = key::hash(imported);
        assert_eq!(credential, Credential::WellFormed { hash });
    }

    #[test]
    fn a_user_agent_is_cut_between_characters() {
        let agent = |text: &str| {
            let request = request(&json!({"User-Agent": text}));
            request.user_agent().map(str::len)
        };
        assert_eq!(agent("curl/8.1"), Some(8));
        assert_eq!(agent(&"é".repeat(200)), Some(256));
        assert_eq!(agent(&format!("a{}", "é".repeat(200))), Some(255));
        assert_eq!(request(&json!({})).user_agent(), None);
    }

    #[test]
    fn the_error_for_an_unreadable_request_quotes_no_header() {
        let event = json!({"headers": {"x-api-key": "secret"}, "methodArn": 1});
        let error = serde_json::from_value::<Request>(event).err().unwrap();
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}
