//! Schemas of the changes that administrators alone make.

use serde_json::{Value, json};

use super::{id, maybe, object, text, time};

const PLAN: &str = "Its plan.";
const USER: &str = "Its user.";

pub(super) fn setting() -> Value {
    json!({
        "type": "object",
        "description": "What to change of a key.",
        "additionalProperties": false,
        "minProperties": 1,
        "properties": {
            "plan": {"type": ["string", "null"], "minLength": 1, "description": "A plan of the environment."},
            "rate": {
                "type": ["object", "null"],
                "description": "The rate of this key alone, within its user's; null for none.",
                "required": ["ratePerSecond", "burst"],
                "additionalProperties": false,
                "properties": {
                    "ratePerSecond": whole("Calls per second.", 100_000),
                    "burst": whole("Calls accepted at once above the rate.", 1_000_000),
                },
            },
        },
    })
}

pub(super) fn set_key() -> Value {
    let number =
        |description: &str| json!({"type": ["integer", "null"], "description": description});
    let rate = "Calls per second with this key alone; null for no rate of its own.";
    object(
        "A key after a change.",
        &[
            ("id", id()),
            ("email", text(USER)),
            ("plan", text(PLAN)),
            ("ratePerSecond", number(rate)),
            ("burst", number("Burst with this key alone.")),
        ],
    )
}

pub(super) fn import() -> Value {
    json!({
        "type": "object",
        "description": "The key to import.",
        "required": ["hash", "email", "plan"],
        "additionalProperties": false,
        "properties": {
            "hash": {
                "type": "string", "pattern": "^[0-9A-Fa-f]{64}$",
                "description": "SHA-256 of the whole key, in hex.",
            },
            "email": {"type": "string", "format": "email", "maxLength": 254, "description": USER},
            "plan": {"type": "string", "minLength": 1, "description": "A plan of the environment."},
            "expires": {
                "type": ["string", "null"], "minLength": 1,
                "description": "When it stops working: a duration such as `30d`, or a time in RFC 3339.",
            },
        },
    })
}

pub(super) fn imported_key() -> Value {
    object(
        "A key that was imported.",
        &[
            ("id", id()),
            ("email", text(USER)),
            ("plan", text(PLAN)),
            ("createdAt", time("When it was imported.")),
            ("expiresAt", maybe("When it stops working.")),
        ],
    )
}

fn whole(description: &str, most: u32) -> Value {
    json!({"type": "integer", "minimum": 1, "maximum": most, "description": description})
}
