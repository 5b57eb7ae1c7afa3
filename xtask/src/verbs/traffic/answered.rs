//! Whether the authorizer let a call through: every such call counts, with any status.

use serde_json::Value;
use stacks::environment::ApiKind;

/// The response to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::verbs) struct Answered {
    pub(in crate::verbs) status: u16,
    /// Whether the authorizer let the call through.
    pub(in crate::verbs) let_through: bool,
    /// Whether that is certain. A REST API marks its own responses, and AWS marks those for a stage
    /// that does not serve yet in the same way, as does an upstream that is itself on AWS.
    pub(in crate::verbs) is_certain: bool,
}

impl Answered {
    /// Reads the response of an API of this kind. The upstream may itself run on AWS, so only the
    /// gateway's own bodies tell its responses from the upstream's.
    pub(in crate::verbs) async fn of(kind: ApiKind, answer: reqwest::Response) -> Self {
        let status = answer.status().as_u16();
        let is_marked = answer.headers().contains_key("x-amzn-errortype");
        let body = answer.bytes().await.unwrap_or_default();
        match kind {
            ApiKind::Rest if is_marked => Self::marked_by_rest_api(status, &body),
            ApiKind::Rest => Self::certain(status, true),
            ApiKind::Http => Self::certain(status, is_let_through_by_http_api(status, &body)),
        }
    }

    const fn certain(status: u16, let_through: bool) -> Self {
        Self {
            status,
            let_through,
            is_certain: true,
        }
    }

    /// A REST API's own responses have a code in `error`, except to `HEAD`, which has no body. It also
    /// responds for an upstream that fails, and then the call was let through.
    fn marked_by_rest_api(status: u16, body: &[u8]) -> Self {
        let for_upstream = [502, 504].contains(&status);
        if body.is_empty() {
            return Self {
                status,
                let_through: for_upstream,
                is_certain: false,
            };
        }
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        match body.get("error").and_then(Value::as_str) {
            Some("badGateway" | "gatewayTimeout") if for_upstream => Self::certain(status, true),
            Some(_) => Self::certain(status, false),
            None => Self {
                status,
                let_through: true,
                is_certain: false,
            },
        }
    }
}

/// An HTTP API does not mark its own responses: it is known by their bodies. Its 503 stands for an
/// upstream that fails, whose call was let through.
fn is_let_through_by_http_api(status: u16, body: &[u8]) -> bool {
    const REFUSALS: [(u16, &str); 4] = [
        (403, "Forbidden"),
        (404, "Not Found"),
        (429, "Too Many Requests"),
        (500, "Internal Server Error"),
    ];
    let own = REFUSALS.iter().find(|(of, _)| *of == status);
    own.is_none_or(|(_, message)| body != format!("{{\"message\":\"{message}\"}}").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_gateways_own_refusals_refuse_a_call() {
        for (status, body, let_through, is_certain) in [
            (
                401,
                r#"{"error":"unauthorized","message":"…"}"#,
                false,
                true,
            ),
            (429, r#"{"error":"rateLimited","message":"…"}"#, false, true),
            (500, r#"{"error":"internal","message":"…"}"#, false, true),
            (502, r#"{"error":"badGateway","message":"…"}"#, true, true),
            (
                504,
                r#"{"error":"gatewayTimeout","message":"…"}"#,
                true,
                true,
            ),
            // Of an upstream behind a gateway of its own, or of a stage that does not serve yet.
            (403, r#"{"message":"Forbidden"}"#, true, false),
            (400, "no JSON", true, false),
            // To `HEAD`.
            (401, "", false, false),
            (504, "", true, false),
        ] {
            let found = Answered::marked_by_rest_api(status, body.as_bytes());
            let expected = Answered {
                status,
                let_through,
                is_certain,
            };
            assert_eq!(found, expected, "{body}");
        }
        for (status, body, let_through) in [
            (403, r#"{"message":"Forbidden"}"#, false),
            (500, r#"{"message":"Internal Server Error"}"#, false),
            (503, r#"{"message":"Service Unavailable"}"#, true),
            (403, "{}", true),
            (200, "", true),
        ] {
            let found = is_let_through_by_http_api(status, body.as_bytes());
            assert_eq!(found, let_through, "{status} {body}");
        }
    }
}
