//! The description of the API (<https://spec.openapis.org/oas/v3.1.1>), generated from the list of
//! endpoints, their parameters and the types of their responses, the collector's one endpoint, and
//! the endpoints for keys.
//!
//! `openapi.json` is the generated document. It is committed so that a change of the API shows in
//! its diff, and a test fails if it is out of date.

mod collector;
mod keys;

use domain::endpoint::Endpoint;
use domain::meter::PATH;
use domain::names::ADMIN_SCOPE;
use domain::problem;
use schemars::generate::SchemaSettings;
use schemars::transform::transform_subschemas;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::body::{Anomalies, Endpoints, Forecast, Realtime, Timeseries, UserStats, Users};
use crate::parameters::{self, Kind, Parameter};

/// The document.
pub const DOCUMENT: &str = include_str!("../openapi.json");

/// Generates the document.
pub fn document() -> Value {
    let mut schemas = generator();
    let mut paths: Map<String, Value> = Endpoint::ALL
        .into_iter()
        .map(|endpoint| {
            let path = endpoint.path().to_owned();
            (path, json!({ "get": operation(endpoint, &mut schemas) }))
        })
        .collect();
    paths.insert(PATH.to_owned(), json!({"post": collector::operation()}));
    paths.extend(keys::paths());
    let errors = responses();
    let mut definitions = schemas.take_definitions(true);
    definitions.extend(collector::schemas());
    definitions.extend(keys::schemas());
    definitions.insert("ErrorBody".to_owned(), error_body());
    definitions.insert("Problem".to_owned(), problem_details());
    json!({
        "openapi": "3.1.1",
        "info": {
            "title": "Analytics of the metered API",
            "version": "1",
            "summary": "Usage of the metered API, by user and over time.",
            "description": format!(
                "A user sees their own data; the scope `{ADMIN_SCOPE}` sees everybody's. `totalCalls` counts \
                 accepted calls only: refused calls are reported apart and never against a quota. Counts are \
                 whole numbers, times RFC 3339 in UTC."
            ),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "../..", "description": "The stage that serves this document."}],
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"bearer": {
                "type": "http",
                "scheme": "bearer",
                "bearerFormat": "JWT",
                "description": "Signed with RS256 or ES256 by a key of the configured set. The user is the \
                                claim `email`; scopes are the claim `scope`, or the list `scp`.",
            }},
            "responses": errors,
            "schemas": definitions,
        },
    })
}

fn generator() -> SchemaGenerator {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let settings = settings
        .with(|settings| settings.definitions_path = "/components/schemas".into())
        .with_transform(in_one_line);
    settings.into_generator()
}

/// Where the source breaks a comment into lines means nothing.
fn in_one_line(schema: &mut Schema) {
    if let Some(Value::String(text)) = schema.get_mut("description") {
        *text = text.replace('\n', " ");
    }
    transform_subschemas(&mut in_one_line, schema);
}

/// The purpose of an operation.
struct Words {
    summary: &'static str,
    description: &'static str,
    answer: &'static str,
}

const fn words(endpoint: Endpoint) -> Words {
    let (summary, description, answer) = match endpoint {
        Endpoint::Page => (
            "The usage page",
            "Shows all of this in a browser. It holds no data: the token is pasted, or given behind `#token=`.",
            "The page.",
        ),
        Endpoint::Realtime => (
            "The last five minutes",
            "Everybody's for an administrator, with `topUsers` and `suspiciousIps`; else the caller's own.",
            "The last five minutes.",
        ),
        Endpoint::Timeseries => (
            "Counts over time",
            "Without `email`: everybody's for an administrator, else the caller's own. At most 1,500 points; empty buckets are there with zeros. A series is refused where its counts are not kept any more, or where the buckets of `timezone` do not split them exactly.",
            "The buckets, oldest first.",
        ),
        Endpoint::UserStats => (
            "One user's usage",
            "Of all time and of the current period of the user's plan. Without `email`: the caller's.",
            "The usage; of a user never seen, zeros and nulls.",
        ),
        Endpoint::Endpoints => (
            "What was called, and how it was answered",
            "A time series summed up, with routes, methods, statuses and latency. Without `email`: everybody's for an administrator, else the caller's own.",
            "The sums.",
        ),
        Endpoint::Users => (
            "Who called",
            "Users with an accepted call in the span; for administrators only.",
            "The users.",
        ),
        Endpoint::Forecast => (
            "What the current period comes to",
            "If calls go on as in the last weeks, with the pattern of the week. Without `email`: the caller's.",
            "The projection, each number with its interval.",
        ),
        Endpoint::Anomalies => (
            "What is not as usual",
            "Hours whose calls or refusals are far from those of the same hour of other weeks, and routes that are new. Without `email`: everybody's for an administrator, else the caller's own.",
            "What was found, the oldest first.",
        ),
        Endpoint::OpenApi => (
            "This document",
            "The description of the API.",
            "This document.",
        ),
    };
    Words {
        summary,
        description,
        answer,
    }
}

fn operation(endpoint: Endpoint, schemas: &mut SchemaGenerator) -> Value {
    let words = words(endpoint);
    let parameters: Vec<Value> = parameters::of(endpoint).iter().map(parameter).collect();
    let answer = json!({"description": words.answer, "content": content(endpoint, schemas)});
    let mut responses = Map::from_iter([("200".to_owned(), answer)]);
    let refer = |name: &str| json!({"$ref": format!("#/components/responses/{name}")});
    responses.insert("400".to_owned(), refer("BadParameter"));
    if !endpoint.is_open() {
        for (status, name) in [
            ("401", "Unauthorized"),
            ("403", "Forbidden"),
            ("500", "Internal"),
            ("503", "Unavailable"),
        ] {
            responses.insert(status.to_owned(), refer(name));
        }
    }
    let operation = json!({
        "operationId": endpoint.operation_id(),
        "summary": words.summary,
        "description": words.description,
        "responses": responses,
    });
    let with_parameters = if parameters.is_empty() {
        operation
    } else {
        with(operation, "parameters", Value::Array(parameters))
    };
    if endpoint.is_open() {
        with(with_parameters, "security", json!([]))
    } else {
        with_parameters
    }
}

/// An object with one more member.
fn with(mut object: Value, name: &str, member: Value) -> Value {
    if let Some(members) = object.as_object_mut() {
        members.insert(name.to_owned(), member);
    }
    object
}

/// The bodies of an endpoint's response, by media type.
fn content(endpoint: Endpoint, schemas: &mut SchemaGenerator) -> Value {
    let schema = match endpoint {
        Endpoint::Page => return json!({"text/html": {"schema": {"type": "string"}}}),
        Endpoint::OpenApi => json!({"type": "object"}),
        Endpoint::Realtime => reference::<Realtime>(schemas),
        Endpoint::Timeseries => reference::<Timeseries>(schemas),
        Endpoint::UserStats => reference::<UserStats>(schemas),
        Endpoint::Endpoints => reference::<Endpoints>(schemas),
        Endpoint::Users => reference::<Users>(schemas),
        Endpoint::Forecast => reference::<Forecast>(schemas),
        Endpoint::Anomalies => reference::<Anomalies>(schemas),
    };
    let content = json!({"application/json": {"schema": schema}});
    let mut named = parameters::of(endpoint).iter();
    if !named.any(|parameter| parameter.name == "format") {
        return content;
    }
    let table = json!({"schema": {
        "type": "string",
        "description": "A header with the names of an entry's members and one row an entry; of a series with \
                        `groupBy`, the columns `start,key,totalCalls` and one row a point and group. A cell \
                        that begins like a formula is preceded by an apostrophe.",
    }});
    with(content, "text/csv", table)
}

fn reference<T: JsonSchema>(schemas: &mut SchemaGenerator) -> Value {
    schemas.subschema_for::<T>().to_value()
}

fn parameter(parameter: &Parameter) -> Value {
    let schema = match parameter.kind {
        Kind::Choice { words, default } => {
            let schema = json!({"type": "string", "enum": words()});
            match default {
                Some(default) => with(schema, "default", json!(default)),
                None => schema,
            }
        }
        Kind::WordOrName { words } => json!({"anyOf": [
            {"type": "string", "enum": words()},
            {"type": "string", "pattern": "^[A-Za-z][A-Za-z0-9_-]{0,31}$"},
        ]}),
        Kind::Duration { default } => {
            json!({"type": "string", "pattern": "^[0-9]+[mhd]$", "default": default})
        }
        Kind::Instant => json!({"type": "string", "format": "date-time"}),
        Kind::Email => json!({"type": "string", "format": "email", "maxLength": 254}),
        Kind::TimeZone => json!({"type": "string", "default": "UTC"}),
        Kind::Whole {
            least,
            most,
            default,
        } => json!({"type": "integer", "minimum": least, "maximum": most, "default": default}),
        Kind::Text => json!({"type": "string"}),
    };
    json!({
        "name": parameter.name,
        "in": "query",
        "description": parameter.description,
        "schema": schema,
    })
}

/// The bodies of a refused or failed request, by media type.
fn errors() -> Value {
    let refer = |name: &str| json!({"schema": {"$ref": format!("#/components/schemas/{name}")}});
    json!({problem::JSON: refer("ErrorBody"), problem::MEDIA_TYPE: refer("Problem")})
}

/// The schema of `runtime::response::ErrorBody`.
fn error_body() -> Value {
    let text = |description: &str| json!({"type": "string", "description": description});
    json!({
        "type": "object",
        "description": "An error.",
        "required": ["error", "message"],
        "properties": {
            "error": text("Code, for programs."),
            "message": text("The problem, for people."),
            "parameter": text("The parameter at fault."),
        },
    })
}

/// The schema of problem details.
fn problem_details() -> Value {
    let text = |description: &str| json!({"type": "string", "description": description});
    json!({
        "type": "object",
        "description": "An error as problem details (RFC 9457), for callers that prefer \
                        `application/problem+json` in `Accept`. Its type is `about:blank`.",
        "required": ["title", "status", "detail", "error"],
        "properties": {
            "title": text("The phrase of the status."),
            "status": {"type": "integer", "description": "The HTTP status."},
            "detail": text("The problem, for people."),
            "error": text("Code, for programs: that of `ErrorBody`."),
            "parameter": text("The parameter at fault."),
        },
    })
}

/// The responses to refused and failed requests.
fn responses() -> Value {
    let response = |description: &str| json!({"description": description, "content": errors()});
    let challenge = json!({"WWW-Authenticate": {
        "description": "The challenge (RFC 6750). API Gateway sends it as `x-amzn-Remapped-WWW-Authenticate`.",
        "schema": {"type": "string"},
    }});
    let unauthorized = response("The bearer token is missing or not valid.");
    json!({
        "BadParameter": response("A parameter is unknown, repeated or not valid; `parameter` names it."),
        "Unauthorized": with(unauthorized, "headers", challenge),
        "Forbidden": response("The data is another user's, or everybody's."),
        "Internal": response("The stored data could not be read."),
        "Unavailable": response("The data is unavailable at the moment: try again."),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// `INSTA_UPDATE=always` writes the document, as it does snapshots.
    #[test]
    #[allow(
        clippy::disallowed_methods,
        reason = "how snapshots are taken over is said by a variable"
    )]
    fn the_kept_document_is_the_generated_one() {
        let generated = format!("{:#}\n", document());
        if std::env::var("INSTA_UPDATE").is_ok_and(|update| update == "always") {
            let file = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
            std::fs::write(file, &generated).unwrap();
        }
        assert_eq!(DOCUMENT, generated);
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
            match value {
                Value::Object(members) => {
                    let reference = members.get("$ref").and_then(Value::as_str);
                    found.extend(reference);
                    members.values().for_each(|value| references(value, found));
                }
                Value::Array(items) => items.iter().for_each(|value| references(value, found)),
                _ => {}
            }
        }
        let document = document();
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        assert!(found.len() > 10, "{found:?}");
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }
}
