//! `GET /v1/deadlines?country=AU`, as the gateway's proxy integration invokes it.

use std::collections::BTreeMap;

use domain::time::UnixMillis;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::calendar::{Country, Deadline, next_deadlines};

const PARAMETER: &str = "country";

/// The part of the gateway's event that is read: the query. Its headers hold the caller's key,
/// which is none of this function's business.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    #[serde(default)]
    query_string_parameters: Option<BTreeMap<String, String>>,
}

/// The response in the gateway's form.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    status_code: u16,
    headers: BTreeMap<&'static str, &'static str>,
    body: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    country: &'static str,
    authority: &'static str,
    as_of: Date,
    deadlines: Vec<Entry>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    name: &'static str,
    due: Date,
    days_left: i32,
}

#[derive(Serialize)]
struct BadRequest {
    error: &'static str,
    message: String,
    parameter: &'static str,
}

/// Handles a request that arrives at `now`.
pub fn handle(request: &Request, now: UnixMillis) -> Response {
    let today = now.timestamp().to_zoned(TimeZone::UTC).date();
    let parameters = request.query_string_parameters.as_ref();
    let given = parameters.and_then(|parameters| parameters.get(PARAMETER));
    let country = given.and_then(|code| Country::parse(code));
    match country {
        Some(country) => respond(200, &answer(country, today)),
        None => respond(400, &refusal(given)),
    }
}

fn answer(country: Country, today: Date) -> Answer {
    let entry = |Deadline { due, name }| Entry {
        name,
        due,
        days_left: due.since(today).map_or(0, |span| span.get_days()),
    };
    let deadlines = next_deadlines(country, today);
    Answer {
        country: country.code(),
        authority: country.authority(),
        as_of: today,
        deadlines: deadlines.into_iter().map(entry).collect(),
    }
}

fn refusal(given: Option<&String>) -> BadRequest {
    let codes = Country::ALL.map(|country| format!("`{}`", country.code()));
    let expected = codes.join(", ");
    let message = match given {
        Some(code) => format!("`{PARAMETER}` is `{code}`, expected one of {expected}"),
        None => format!("`{PARAMETER}` is missing, expected one of {expected}"),
    };
    BadRequest {
        error: "invalidParameter",
        message,
        parameter: PARAMETER,
    }
}

fn respond(status_code: u16, body: &impl Serialize) -> Response {
    Response {
        status_code,
        headers: [("content-type", "application/json")].into(),
        body: serde_json::to_string(body).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const NOW: UnixMillis = UnixMillis(1_795_363_445_007);

    fn get(query: &Value) -> (u16, Value) {
        let event = json!({
            "resource": "/v1/deadlines",
            "httpMethod": "GET",
            "headers": {"x-api-key": "hidden", "odd": "\u{1}"},
            "queryStringParameters": query,
            "requestContext": {"stage": "test"},
            "body": null,
        });
        let response = handle(&serde_json::from_value(event).unwrap(), NOW);
        assert_eq!(response.headers["content-type"], "application/json");
        (
            response.status_code,
            serde_json::from_str(&response.body).unwrap(),
        )
    }

    #[test]
    fn a_country_has_its_deadlines_from_today_on() {
        let (status, body) = get(&json!({"country": "gb"}));
        assert_eq!(status, 200);
        assert_eq!(body["country"], "GB");
        assert_eq!(body["authority"], "HM Revenue and Customs");
        assert_eq!(body["asOf"], "2026-11-22");
        assert_eq!(
            body["deadlines"][0],
            json!({
                "name": "Self Assessment online return and payment",
                "due": "2027-01-31",
                "daysLeft": 70,
            })
        );
        assert_eq!(body["deadlines"].as_array().unwrap().len(), 4);
    }

    #[test]
    fn a_missing_or_unknown_country_is_refused_with_those_expected() {
        let codes = "expected one of `AU`, `GB`, `IN`, `NZ`, `US`";
        for (query, message) in [
            (json!(null), format!("`country` is missing, {codes}")),
            (json!({}), format!("`country` is missing, {codes}")),
            (
                json!({"country": "XX"}),
                format!("`country` is `XX`, {codes}"),
            ),
        ] {
            let (status, body) = get(&query);
            assert_eq!(status, 400);
            let expected = json!({
                "error": "invalidParameter",
                "message": message,
                "parameter": "country",
            });
            assert_eq!(body, expected);
        }
    }
}
