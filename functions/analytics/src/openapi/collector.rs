//! The endpoint of the collector, which is another function: `POST /v1/usage/events`.

use domain::event::Reason;
use domain::meter::{EVENT_TYPE, LONGEST_NAME, MOST_AMOUNT, MOST_EVENTS};
use domain::names::WRITE_SCOPE;
use serde_json::{Map, Value, json};

/// The operation.
pub(super) fn operation() -> Value {
    let report = json!({"$ref": "#/components/schemas/UsageReport"});
    let collected = |description: &str| {
        json!({
            "description": description,
            "content": {"application/json": {
                "schema": {"$ref": "#/components/schemas/Collected"},
            }},
        })
    };
    let error = |description: &str| json!({"description": description, "content": super::errors()});
    let refer = |name: &str| json!({"$ref": format!("#/components/responses/{name}")});
    json!({
        "operationId": "reportUsage",
        "summary": "What a call used, as only its upstream knows",
        "description": format!(
            "Exists if the environment declares `meters`. Needs the scope `{WRITE_SCOPE}`. An amount \
             counts once per call and meter, however often it is sent; of different amounts the greatest \
             counts. A call older than seven days is refused, and so is one that is not in the journal \
             five minutes after it was made."
        ),
        "requestBody": {
            "required": true,
            "content": {
                "application/cloudevents+json": {"schema": report},
                "application/cloudevents-batch+json": {"schema": {
                    "type": "array", "items": report, "maxItems": MOST_EVENTS,
                }},
            },
        },
        "responses": {
            "202": collected("Every event is accepted."),
            "207": collected("Some events are accepted; `refused` says which are not, and why."),
            "400": {
                "description": "No event is accepted: each is refused with its reason, or the body is not valid.",
                "content": {
                    "application/json": {"schema": {"anyOf": [
                        {"$ref": "#/components/schemas/Collected"},
                        {"$ref": "#/components/schemas/ErrorBody"},
                    ]}},
                    "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}},
                },
            },
            "401": refer("Unauthorized"),
            "403": error("The token lacks the scope."),
            "404": error("The environment declares no `meters`."),
            "413": error("The body is longer than a megabyte."),
            "415": error("The body is not one of the two media types."),
            "503": error("The journal is unavailable: send the same events again."),
        },
    })
}

/// The schemas that the operation refers to.
pub(super) fn schemas() -> Map<String, Value> {
    let text =
        |description: &str| json!({"type": "string", "minLength": 1, "description": description});
    let count =
        |description: &str| json!({"type": "integer", "minimum": 0, "description": description});
    let codes = [
        Reason::Malformed,
        Reason::UnknownType,
        Reason::UnknownCall,
        Reason::UnknownMeter,
        Reason::FromTheFuture,
        Reason::TooOld,
    ];
    let report = json!({
        "type": "object",
        "description": "An amount of a meter for a call: CloudEvents 1.0, structured mode.",
        "required": ["specversion", "id", "source", "type", "data"],
        "properties": {
            "specversion": {"const": "1.0"},
            "id": text("The sender's own id of the event. It does not identify the amount."),
            "source": text("The sender."),
            "type": {"const": EVENT_TYPE},
            "data": {
                "type": "object",
                "required": ["call", "meter", "amount"],
                "properties": {
                    "call": {
                        "type": "string", "format": "uuid",
                        "description": "The call: the `x-usage-event-id` that the upstream got with it.",
                    },
                    "meter": {
                        "type": "string", "maxLength": LONGEST_NAME,
                        "description": "A meter that the environment declares.",
                    },
                    "amount": {
                        "type": "integer", "minimum": 0, "maximum": MOST_AMOUNT,
                        "description": "How much of it the call used, in total.",
                    },
                },
            },
        },
    });
    let collected = json!({
        "type": "object",
        "description": "What became of a request's events.",
        "required": ["accepted", "refused"],
        "properties": {
            "accepted": count("Events whose amounts count."),
            "refused": {
                "type": "array", "items": {"$ref": "#/components/schemas/Refused"},
                "description": "The other events, in the order of the request.",
            },
        },
    });
    let refused = json!({
        "type": "object",
        "description": "A refused event.",
        "required": ["index", "id", "error", "message"],
        "properties": {
            "index": count("Its place in the request, from 0."),
            "id": {"type": ["string", "null"], "description": "Its `id`, if it has one."},
            "error": {
                "type": "string", "enum": codes.map(Reason::as_str),
                "description": "Code, for programs.",
            },
            "message": {"type": "string", "description": "The problem, for people."},
        },
    });
    Map::from_iter(
        [
            ("UsageReport", report),
            ("Collected", collected),
            ("Refused", refused),
        ]
        .map(|(name, schema)| (name.to_owned(), schema)),
    )
}
