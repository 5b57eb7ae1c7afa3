//! Problem details (RFC 9457): the form of an error for a caller that asks for it.
//!
//! Every API of ours reports an error as `{"error": code, "message": …}`. A caller that prefers
//! [`MEDIA_TYPE`] gets the same statement in the standard's members, with the code as an extension.

use serde::Serialize;

/// The media type of problem details.
pub const MEDIA_TYPE: &str = "application/problem+json";
/// The media type of errors otherwise.
pub const JSON: &str = "application/json";

/// An error as problem details. Without `type`, its type is `about:blank`: `title` is then the
/// phrase of the status (RFC 9457, section 4.2.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem<'a> {
    /// The phrase of the status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<&'static str>,
    /// The HTTP status; absent where only the gateway knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The problem, for people.
    pub detail: &'a str,
    /// Code, for programs: the same as of an error in [`JSON`].
    pub error: &'a str,
    /// The parameter at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameter: Option<&'a str>,
}

impl<'a> Problem<'a> {
    /// The problem with a status, if it is known.
    pub fn new(status: Option<u16>, error: &'a str, detail: &'a str) -> Self {
        Self {
            title: status.and_then(title),
            status,
            detail,
            error,
            parameter: None,
        }
    }
}

/// The phrase of a status that our APIs answer with (RFC 9110, section 15; 429: RFC 6585).
pub const fn title(status: u16) -> Option<&'static str> {
    Some(match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => return None,
    })
}

/// Whether the values of `Accept` prefer problem details to plain JSON (RFC 9110, section 12.5.1).
///
/// The media type must be named: a wildcard keeps the plain form, and so does a caller that gives
/// plain JSON a greater weight, or the same weight and names it first.
pub fn is_preferred<'a>(accept: impl IntoIterator<Item = &'a str>) -> bool {
    let ranges = accept.into_iter().flat_map(|list| list.split(','));
    let mut best: Option<(bool, u16)> = None;
    for range in ranges {
        let mut parts = range.split(';');
        let media_type = parts.next().unwrap_or_default().trim();
        let is_problem = media_type.eq_ignore_ascii_case(MEDIA_TYPE);
        if !is_problem && !media_type.eq_ignore_ascii_case(JSON) {
            continue;
        }
        let weight = parts.find_map(weight).unwrap_or(MOST_WEIGHT);
        if weight > 0 && best.is_none_or(|(_, greatest)| weight > greatest) {
            best = Some((is_problem, weight));
        }
    }
    best.is_some_and(|(is_problem, _)| is_problem)
}

/// The weight of a media range without `q`, in thousandths.
const MOST_WEIGHT: u16 = 1_000;

/// The weight that a parameter `q` gives, in thousandths; zero if it is not valid.
fn weight(parameter: &str) -> Option<u16> {
    let (name, value) = parameter.split_once('=')?;
    if !name.trim().eq_ignore_ascii_case("q") {
        return None;
    }
    let (whole, decimals) = value.trim().split_once('.').unwrap_or((value.trim(), ""));
    let is_short = decimals.len() <= 3 && decimals.bytes().all(|byte| byte.is_ascii_digit());
    let thousandths = format!("{decimals:0<3}").parse().ok().filter(|_| is_short);
    Some(match (whole, thousandths) {
        ("0", Some(thousandths)) => thousandths,
        ("1", Some(0)) => MOST_WEIGHT,
        _ => 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problem_details_are_for_callers_that_name_them_first_or_with_the_greatest_weight() {
        for accept in [
            "application/problem+json",
            "Application/Problem+JSON; charset=utf-8",
            "text/html, application/problem+json;q=0.1, */*",
            "application/problem+json, application/json",
            "application/json;q=0.9, application/problem+json",
            "application/json;q=0, application/problem+json;q=0.001",
            "application/problem+json;q=1.000",
        ] {
            assert!(is_preferred([accept]), "{accept}");
        }
        for accept in [
            "",
            "*/*",
            "application/*",
            "application/json",
            "application/problem+xml",
            "application/json, application/problem+json",
            "application/problem+json;q=0.5, application/json",
            "application/problem+json;q=0",
            "application/problem+json;q=0.000",
            "application/problem+json;q=2",
            "application/problem+json;q=0.0001",
            "application/problem+json;q=0.x",
            "application/problem+json;q=",
        ] {
            assert!(!is_preferred([accept]), "{accept}");
        }
        assert!(is_preferred(["text/html", "application/problem+json"]));
        assert!(!is_preferred([]));
    }

    #[test]
    fn a_problem_has_the_members_of_the_standard_and_the_code() {
        let problem = Problem {
            parameter: Some("email"),
            ..Problem::new(Some(400), "invalidParameter", "expected an email")
        };
        assert_eq!(
            serde_json::to_string(&problem).unwrap(),
            "{\"title\":\"Bad Request\",\"status\":400,\"detail\":\"expected an email\",\
             \"error\":\"invalidParameter\",\"parameter\":\"email\"}"
        );
        let unknown = Problem::new(None, "badRequest", "no");
        assert_eq!(
            serde_json::to_string(&unknown).unwrap(),
            "{\"detail\":\"no\",\"error\":\"badRequest\"}"
        );
    }
}
