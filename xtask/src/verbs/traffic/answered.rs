//! Whether the authorizer let a call through: every such call counts, with any status.

use serde_json::Value;
use stacks::environment::ApiKind;

/// The response to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::verbs) struct Answered {
    pub(in crate::verbs) status: u16,
    /// Whether the authorizer let the call through.
    pub(in crate::verbs) let_through: bool,
}

impl Answered {
    /// Reads the response of an API of this kind. The upstream may itself run on AWS, so only the
    /// gateway's own bodies tell its responses from the upstream's.
    pub(in crate::verbs) async fn of(kind: ApiKind, answer: reqwest::Response) -> Self {
        let status = answer.status().as_u16();
        let is_marked = answer.headers().contains_key("x-amzn-errortype");
        let body = answer.bytes().await.unwrap_or_default();
        let let_through = match kind {
            ApiKind::Rest => !is_marked || is_let_through_by_rest_api(status, &body),
            ApiKind::Http => is_let_through_by_http_api(status, &body),
        };
        Self {
            status,
            let_through,
        }
    }
}

/// A REST API's own responses have a code in `error`. It also responds for an upstream that fails,
/// and then the call was let through.
fn is_let_through_by_rest_api(status: u16, body: &[u8]) -> bool {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let code = body.get("error").and_then(Value::as_str);
    let for_upstream = matches!(code, Some("badGateway" | "gatewayTimeout"));
    code.is_none() || for_upstream && [502, 504].contains(&status)
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
        for (status, body, let_through) in [
            (401, r#"{"error":"unauthorized","message":"…"}"#, false),
            (429, r#"{"error":"rateLimited","message":"…"}"#, false),
            (500, r#"{"error":"internal","message":"…"}"#, false),
            (502, r#"{"error":"badGateway","message":"…"}"#, true),
            (504, r#"{"error":"gatewayTimeout","message":"…"}"#, true),
            // Of an upstream behind a gateway of its own.
            (403, r#"{"message":"Forbidden"}"#, true),
            (400, "no JSON", true),
        ] {
            let found = is_let_through_by_rest_api(status, body.as_bytes());
            assert_eq!(found, let_through, "{status} {body}");
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
