//! `schema`: JSON Schemas, and the `OpenAPI` document.

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use domain::alert::THRESHOLD;
use domain::bill::PERIOD_CLOSED;
use domain::dimension::{LONGEST_VALUE, MOST_DIMENSIONS, MOST_VALUES};
use domain::report::REPORT_READY;
use serde_json::{Map, Value, json};
use stacks::environment::Environment;

use crate::context::Context;
use crate::stop::Exit;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The schema to print; by default all of them in one document
    pub(crate) of: Option<SchemaOf>,
}

/// The schemas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SchemaOf {
    /// The environment file.
    Environment,
    /// The usage event, as the stream carries it and as `events` prints it.
    Event,
    /// The events that webhooks receive, by their type.
    Webhooks,
    /// The responses of the analytics API, by name.
    Answers,
    /// The analytics API as an `OpenAPI` 3.1 document.
    Openapi,
}

/// The analytics API's description, which its function also serves.
const OPENAPI: &str = include_str!("../../../functions/analytics/openapi.json");

pub(crate) fn run(context: &Context, of: Option<SchemaOf>) -> anyhow::Result<Exit> {
    let schema = match of {
        Some(of) => schema(of)?,
        None => all()?,
    };
    // A schema exists only as JSON.
    context
        .out
        .answer(&schema, |schema| format!("{schema:#}"))?;
    Ok(Exit::Done)
}

/// Every schema by its name on the command line.
fn all() -> anyhow::Result<Value> {
    let mut all = Map::new();
    for (name, of) in [
        ("environment", SchemaOf::Environment),
        ("event", SchemaOf::Event),
        ("webhooks", SchemaOf::Webhooks),
        ("answers", SchemaOf::Answers),
        ("openapi", SchemaOf::Openapi),
    ] {
        all.insert(name.to_owned(), schema(of)?);
    }
    Ok(Value::Object(all))
}

fn schema(of: SchemaOf) -> anyhow::Result<Value> {
    Ok(match of {
        SchemaOf::Environment => {
            serde_json::to_value(Environment::schema()).context("writing the schema")?
        }
        SchemaOf::Event => event(),
        SchemaOf::Webhooks => webhooks(),
        SchemaOf::Answers => answers(&openapi()?),
        SchemaOf::Openapi => openapi()?,
    })
}

fn openapi() -> anyhow::Result<Value> {
    serde_json::from_str(OPENAPI).context("reading `functions/analytics/openapi.json`")
}

/// The schemas of the `OpenAPI` document as one JSON Schema.
fn answers(openapi: &Value) -> Value {
    let schemas = openapi.pointer("/components/schemas").cloned();
    let mut document = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Answers of the analytics API",
        "$defs": schemas.unwrap_or_default(),
    });
    refer_to_definitions(&mut document);
    document
}

fn refer_to_definitions(value: &mut Value) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(target)) = members.get_mut("$ref") {
                *target = target.replace("#/components/schemas/", "#/$defs/");
            }
            members.values_mut().for_each(refer_to_definitions);
        }
        Value::Array(items) => items.iter_mut().for_each(refer_to_definitions),
        _ => {}
    }
}

/// The usage event. Readers ignore unknown members.
fn event() -> Value {
    let text = |description: &str| json!({"type": "string", "description": description});
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Usage event",
        "description": "One decision of the authorizer about one call: CloudEvents 1.0, structured JSON.",
        "type": "object",
        "required": ["specversion", "id", "source", "type", "time", "subject", "data"],
        "properties": {
            "specversion": {"const": "1.0"},
            "datacontenttype": {"const": "application/json"},
            "id": {"type": "string", "format": "uuid", "description": "Version 7: its time is the event's. Minted by the authorizer."},
            "source": text("`/{resourcePrefix}/{environment}/api`."),
            "type": {"enum": ["API_CALL", "API_AUTH_FAILED", "API_RATE_LIMITED"], "description": "Only `API_CALL` counts as usage."},
            "time": {"type": "string", "format": "date-time"},
            "subject": text("The user's email, or `ip:{address}` if the user is unknown."),
            "data": {
                "type": "object",
                "required": ["method", "endpoint", "ip"],
                "properties": {
                    "keyId": text("Id of the API key; for an unknown key, the first eight hex digits of its SHA-256."),
                    "plan": text("The user's plan."),
                    "method": text("The HTTP method."),
                    "endpoint": text("The route template, not the raw path."),
                    "units": {"type": "integer", "minimum": 1, "description": "Units of the call if it is accepted; 1 if omitted."},
                    "dimensions": {
                        "type": "array",
                        "maxItems": MOST_DIMENSIONS,
                        "description": "The values of the declared dimensions that an accepted call carries, by name; omitted if there are none.",
                        "items": {
                            "type": "object",
                            "required": ["name", "value", "values"],
                            "properties": {
                                "name": text("The dimension."),
                                "value": {"type": "string", "minLength": 1, "maxLength": LONGEST_VALUE, "description": "The value; `other` if it is too long or holds control characters."},
                                "values": {"type": "integer", "minimum": 1, "maximum": MOST_VALUES, "description": "How many values of the dimension a sum counts apart."},
                            },
                        },
                    },
                    "ip": text("The caller's address."),
                    "userAgent": text("The caller's `User-Agent`, at most 256 bytes of it."),
                    "requestId": text("The gateway's id of the request. Callers can choose it: for reference only."),
                    "stage": text("The gateway's stage."),
                    "mode": {"enum": ["stream", "synchronous"], "description": "The mode in which the call was decided; `stream` if omitted."},
                    "reason": {"enum": domain::event::Why::ALL.map(domain::event::Why::as_str), "description": "Why the call was refused; omitted for accepted calls. For people: it affects no count."},
                },
            },
        },
    })
}

/// The events that webhooks receive. Readers ignore unknown members.
fn webhooks() -> Value {
    let text = |description: &str| json!({"type": "string", "description": description});
    let count =
        |description: &str| json!({"type": "integer", "minimum": 0, "description": description});
    let instant = |description: &str| json!({"type": "string", "format": "date-time", "description": description});
    let plan = json!({"type": ["string", "null"], "description": "The user's plan; null if no accepted call named one."});
    let start = instant(
        "First instant of the period: the plan's anchor day in its time zone, by default the first of a month.",
    );
    let end = instant("First instant of the next period.");
    let threshold = json!({
        "plan": text("The user's plan."),
        "percent": count("The threshold, in percent of the quota."),
        "quota": count("Units per period."),
        "used": count("Units used when the crossing was found."),
        "periodStart": start,
        "periodEnd": end,
    });
    let closed = json!({
        "month": text("The month in which the period begins, such as `2026-11`."),
        "plan": plan,
        "timezone": text("IANA name of the plan's time zone."),
        "periodStart": start,
        "periodEnd": end,
        "totalCalls": count("Accepted calls."),
        "authFailures": count("Calls without a valid key."),
        "rateLimited": count("Calls over the rate limit or the quota."),
        "units": count("Units of accepted calls."),
        "meters": {"type": "object", "additionalProperties": {"type": "integer", "minimum": 0}, "description": "Amounts that upstreams reported of accepted calls, by meter."},
        "digest": {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$", "description": "Digest of what the counts sum up; `usage export` prints the same."},
    });
    let user = "The user's email.";
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Events of webhooks",
        "description": "CloudEvents 1.0, structured JSON. The same event always has the same id.",
        "oneOf": [
            notice(THRESHOLD, "A user crossed a threshold of its quota.", user, &threshold),
            notice(PERIOD_CLOSED, "A user's period is final: no call of it can arrive any more.", user, &closed),
            notice(REPORT_READY, "A scheduled report is stored. Its counts are final.", "The week or month.", &report()),
        ],
    })
}

/// What the event of a report says of it.
fn report() -> Value {
    let text = |description: &str| json!({"type": "string", "description": description});
    let date =
        |description: &str| json!({"type": "string", "format": "date", "description": description});
    let count =
        |description: &str| json!({"type": "integer", "minimum": 0, "description": description});
    let figures = |kind: Value, description: &str| {
        json!({
            "type": kind,
            "description": description,
            "required": ["users", "totalCalls", "authFailures", "rateLimited", "units"],
            "properties": {
                "users": count("Users with any count."),
                "totalCalls": count("Accepted calls."),
                "authFailures": count("Calls without a valid key, of known users."),
                "rateLimited": count("Calls over the rate limit or the quota."),
                "units": count("Units of accepted calls."),
            },
        })
    };
    json!({
        "period": text("The week or month: `2026-W47` or `2026-11`."),
        "first": date("Its first date."),
        "last": date("Its last date."),
        "files": {"type": "array", "items": {"type": "string"}, "description": "Where the report is, as a page, a table and JSON: `s3://{bucket}/{key}`."},
        "figures": figures(json!("object"), "Everybody's counts."),
        "comparedWith": {"type": ["string", "null"], "description": "The period before; null if the environment has none."},
        "previous": figures(json!(["object", "null"]), "Everybody's counts in the period before."),
    })
}

fn notice(event_type: &str, description: &str, subject: &str, data: &Value) -> Value {
    let required: Vec<_> = data.as_object().into_iter().flat_map(Map::keys).collect();
    json!({
        "description": description,
        "type": "object",
        "required": ["specversion", "id", "source", "type", "time", "subject", "data"],
        "properties": {
            "specversion": {"const": "1.0"},
            "datacontenttype": {"const": "application/json"},
            "id": {"type": "string", "description": "The same for every delivery of the event: what to deduplicate by."},
            "source": {"type": "string", "description": "`/{resourcePrefix}/{environment}/api`."},
            "type": {"const": event_type},
            "time": {"type": "string", "format": "date-time"},
            "subject": {"type": "string", "description": subject},
            "data": {"type": "object", "required": required, "properties": data},
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verbs::webhooks::SampleEvent;
    use domain::dimension::Label;
    use domain::event::{EventRef, EventType};
    use domain::id::EventId;
    use domain::names::TrackingMode;
    use domain::time::UnixMillis;

    fn members(value: &Value) -> Vec<&String> {
        value.as_object().unwrap().keys().collect()
    }

    #[test]
    fn the_event_schema_has_the_members_of_an_event_and_no_other() {
        let event = EventRef {
            id: EventId::mint(1_795_363_445_007, [1; 10]),
            source: "/complical/local/api".into(),
            event_type: EventType::ApiCall,
            subject: "a@b".into(),
            key_id: Some("k".into()),
            plan: Some("free".into()),
            method: "GET".into(),
            endpoint: "/v1/x".into(),
            units: 2,
            dimensions: vec![Label {
                name: "tenant".into(),
                value: "acme".into(),
                values: 20,
            }],
            ip: "192.0.2.1".into(),
            user_agent: Some("curl".into()),
            request_id: Some("r".into()),
            stage: Some("local".into()),
            mode: TrackingMode::Synchronous,
            reason: Some(domain::event::Why::Rate),
        };
        let whole: Value = serde_json::from_slice(&event.to_owned().to_json()).unwrap();
        let schema = super::event();
        let properties = &schema["properties"];
        assert_eq!(members(properties), members(&whole));
        assert_eq!(
            members(&properties["data"]["properties"]),
            members(&whole["data"])
        );
        let dimensions = &properties["data"]["properties"]["dimensions"];
        assert_eq!(
            members(&dimensions["items"]["properties"]),
            members(&whole["data"]["dimensions"][0])
        );
        let types = properties["type"]["enum"].as_array().unwrap();
        assert_eq!(
            *types,
            EventType::ALL.map(|event_type| json!(event_type.as_str()))
        );
        assert_eq!(properties["specversion"]["const"], whole["specversion"]);
    }

    #[test]
    fn the_schema_of_webhooks_has_the_members_of_their_events_and_no_other() {
        let schema = webhooks();
        let samples = [
            SampleEvent::QuotaThreshold,
            SampleEvent::PeriodClosed,
            SampleEvent::ReportReady,
        ];
        for (place, event) in samples.into_iter().enumerate() {
            let notice = super::super::webhooks::sample(event, UnixMillis(1_795_363_445_000));
            let event: Value = serde_json::from_str(&notice.cloud_event("/a/test/api")).unwrap();
            let schema = &schema["oneOf"][place]["properties"];
            assert_eq!(members(schema), members(&event));
            let data = &schema["data"];
            assert_eq!(members(&data["properties"]), members(&event["data"]));
            assert_eq!(schema["type"]["const"], event["type"]);
            let figures = &data["properties"]["figures"]["properties"];
            if figures.is_object() {
                assert_eq!(members(figures), members(&event["data"]["figures"]));
            }
        }
    }

    #[test]
    fn every_reference_of_the_answers_names_a_definition() {
        let answers = schema(SchemaOf::Answers).unwrap();
        let definitions = answers["$defs"].as_object().unwrap();
        assert!(definitions.contains_key("UserStats"));
        let text = answers.to_string();
        for target in text.split("\"$ref\":\"").skip(1) {
            let target = target.split('"').next().unwrap();
            let name = target.strip_prefix("#/$defs/").unwrap();
            assert!(definitions.contains_key(name), "{target}");
        }
    }

    #[test]
    fn without_a_name_every_schema_is_printed() {
        let all = all().unwrap();
        assert_eq!(
            members(&all),
            ["answers", "environment", "event", "openapi", "webhooks"]
        );
    }
}
