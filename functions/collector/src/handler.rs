//! The gateway's requests and their responses: authenticates, reads `CloudEvents` (structured mode,
//! single or batched), and says what became of each.

use aws_lambda_events::apigw::ApiGatewayProxyResponse;
use bearer::Verifier;
use domain::meter::{MOST_EVENTS, Meters, Report, decode};
use domain::time::UnixMillis;
use runtime::request::Request;
use runtime::response::{failure, json};
use runtime::store::Store;
use serde_json::Value;

use crate::body::Collected;
use crate::collect::Collector;
use crate::error::RequestError;

/// The media type of one event
/// (<https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md>).
pub const SINGLE: &str = "application/cloudevents+json";
/// The media type of a batch.
pub const BATCH: &str = "application/cloudevents-batch+json";
/// The most bytes of a body.
pub const MOST_BYTES: usize = 1_000_000;

/// The endpoint.
#[derive(Debug)]
pub struct Api<S> {
    /// Appends what is reported.
    pub collector: Collector<S>,
    /// The declared meters.
    pub meters: Meters,
    /// Checks bearer tokens.
    pub verifier: Verifier,
}

impl<S: Store> Api<S> {
    /// Responds to a request.
    pub async fn respond(&self, request: &Request, now: UnixMillis) -> ApiGatewayProxyResponse {
        match self.collect(request, now).await {
            Ok(collected) => json(status(&collected), &collected, None),
            Err(error) => {
                error.log();
                failure(request, error.status(), &error.body(), error.header())
            }
        }
    }

    async fn collect(&self, request: &Request, now: UnixMillis) -> Result<Collected, RequestError> {
        if request.http_method != "POST" {
            let method = request.http_method.clone();
            return Err(RequestError::Method { method });
        }
        // A caller without a valid token learns nothing about the events.
        let authorization = request.header("authorization");
        let caller = self.verifier.caller(&authorization, now).await?;
        if !caller.writes {
            return Err(RequestError::Forbidden);
        }
        let events = events(request)?;
        let reports = events.iter().map(|event| decode(event, &self.meters, now));
        let reports: Vec<Report> = reports.collect();
        self.collector.collect(reports, now).await
    }
}

/// The events of a request.
fn events(request: &Request) -> Result<Vec<Value>, RequestError> {
    let given = request.header("content-type");
    let given = given.first().copied().unwrap_or_default();
    let media_type = given.split(';').next().unwrap_or_default().trim();
    let is_batch = media_type.eq_ignore_ascii_case(BATCH);
    if !is_batch && !media_type.eq_ignore_ascii_case(SINGLE) {
        let found = given.to_owned();
        return Err(RequestError::MediaType { found });
    }
    let malformed = |problem: String| RequestError::Malformed(problem);
    let body = request
        .body()
        .ok_or_else(|| malformed("the body is not Base64".to_owned()))?;
    if body.len() > MOST_BYTES {
        return Err(RequestError::TooLarge { bytes: body.len() });
    }
    let content: Value = serde_json::from_slice(&body)
        .map_err(|error| malformed(format!("the body is not JSON: {error}")))?;
    match content {
        Value::Array(events) if is_batch && events.len() > MOST_EVENTS => {
            Err(RequestError::TooMany {
                events: events.len(),
            })
        }
        Value::Array(events) if is_batch => Ok(events),
        Value::Object(_) if !is_batch => Ok(vec![content]),
        _ if is_batch => Err(malformed("expected an array of events".to_owned())),
        _ => Err(malformed(format!(
            "expected one event; several of them are `{BATCH}`"
        ))),
    }
}

/// 202 if all reports are accepted, 400 if none is, 207 if some are: a sender that looks at the
/// status alone does not take a refusal for a success.
const fn status(collected: &Collected) -> u16 {
    match (collected.accepted, collected.refused.is_empty()) {
        (_, true) => 202,
        (0, false) => 400,
        (_, false) => 207,
    }
}

#[cfg(test)]
mod tests;
